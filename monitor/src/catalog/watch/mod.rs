//! Says when a store's index or the mode of a directory on the way to it changed, so that it is read and judged again.
//!
//! Invariant: every directory that begins to be watched counts as changed once, so nothing falls between a reading and
//! its watch; a directory that cannot be watched is an event with a reason, never silence. A store that does not exist
//! yet is waited for in the nearest directory above it. A mount on such a directory makes no inotify event: the
//! knowledge task reads again from time to time as well. Run by the knowledge task.

mod arming;
mod debounce;
mod targets;

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use inotify::{EventMask, EventOwned, EventStream, Inotify};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use self::arming::{Armed, Role};
use self::debounce::Debounce;
pub use self::targets::{Target, targets};
use super::Host;
use crate::model::StoreId;

/// Events that wait for the knowledge task; beyond it the task waits and the kernel's queue fills.
const QUEUE: usize = 64;

/// Room for some hundred events of one read.
const BUFFER_BYTES: usize = 16 << 10;

type Buffer = [u8; BUFFER_BYTES];

/// What happened to the stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreEvent {
    /// The store's index changed, or began to be watched: read it again.
    Changed(StoreId),
    /// A directory of the store cannot be watched: changes there go unseen.
    Unwatched {
        /// The store.
        store: StoreId,
        /// The directory, as a host path.
        directory: PathBuf,
        /// Why.
        reason: UnwatchedReason,
    },
    /// The kernel's queue was full and changes were lost; each store is reported as changed after it.
    Overflowed,
    /// The watch ended: no change is seen any more.
    Failed {
        /// What the system said.
        cause: String,
    },
}

/// Why a directory is not watched; a closed set, so that it can be a metric label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UnwatchedReason {
    /// `fs.inotify.max_user_watches` is used up.
    Limit,
    /// The agent may not read the directory.
    Denied,
    /// Something else.
    Failed,
}

impl UnwatchedReason {
    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No inotify instance could be made.
    #[error("start inotify")]
    Start(#[source] std::io::Error),
}

/// A running watch; it ends when this is dropped.
#[derive(Debug)]
pub struct StoreWatch {
    events: mpsc::Receiver<StoreEvent>,
    targets: watch::Sender<Vec<Target>>,
    task: JoinHandle<()>,
}

impl StoreWatch {
    /// Starts to watch; a store is reported when its indexes were quiet for `quiet`. Needs a tokio runtime.
    pub fn start(host: Host, targets: Vec<Target>, quiet: Duration) -> Result<Self, WatchError> {
        let inotify = Inotify::init().map_err(WatchError::Start)?;
        let stream = inotify
            .into_event_stream([0; BUFFER_BYTES])
            .map_err(WatchError::Start)?;
        let (out, events) = mpsc::channel(QUEUE);
        let (targets, incoming) = watch::channel(targets);
        let watcher = Watcher {
            armed: Armed::new(host),
            stream,
            dirty: Debounce::new(quiet),
            out,
        };
        let task = tokio::spawn(watcher.run(incoming));
        Ok(Self {
            events,
            targets,
            task,
        })
    }

    /// The next event; `None` when the watch ended, after [`StoreEvent::Failed`].
    pub async fn next(&mut self) -> Option<StoreEvent> {
        self.events.recv().await
    }

    /// Watches these stores from now on; what is watched already stays watched without a gap.
    pub fn retarget(&self, targets: Vec<Target>) {
        self.targets.send_replace(targets);
    }
}

impl Drop for StoreWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watcher {
    armed: Armed,
    stream: EventStream<Buffer>,
    dirty: Debounce,
    out: mpsc::Sender<StoreEvent>,
}

/// The watch is over: its instance failed, or nobody receives the events.
struct Ended;

impl Watcher {
    async fn run(mut self, mut incoming: watch::Receiver<Vec<Target>>) {
        let first = incoming.borrow_and_update().clone();
        let mut state = self.rearm(Some(first)).await;
        while state.is_ok() {
            let due = self.dirty.due();
            state = tokio::select! {
                event = next_event(&mut self.stream) => self.take(event).await,
                changed = incoming.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let targets = incoming.borrow_and_update().clone();
                    self.rearm(Some(targets)).await
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.report().await,
            };
        }
    }

    async fn take(&mut self, event: std::io::Result<EventOwned>) -> Result<(), Ended> {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let cause = format!("read inotify events: {error}");
                self.send(StoreEvent::Failed { cause }).await?;
                return Err(Ended);
            }
        };
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            self.send(StoreEvent::Overflowed).await?;
            self.dirty.mark(self.armed.stores(), Instant::now());
            return self.rearm(None).await;
        }
        let ended = event.mask.intersects(
            EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT | EventMask::IGNORED,
        );
        let mut must_rearm = false;
        for role in self.armed.roles(&event.wd) {
            match role {
                Role::Index(store, entries) => {
                    let index = event.name.as_ref().and_then(|name| name.to_str());
                    if ended || index.is_some_and(|name| entries.contain(name)) {
                        self.dirty.mark([store.clone()], Instant::now());
                    }
                    must_rearm |= ended;
                }
                Role::Waiting(next) => must_rearm |= ended || event.name.as_ref() == Some(next),
                Role::Gate(store, next) => {
                    // Without a name it is the directory itself.
                    let concerns = event.name.is_none() || next.is_none() || event.name == *next;
                    if event.mask.contains(EventMask::ATTRIB) && concerns {
                        self.dirty.mark([store.clone()], Instant::now());
                    }
                    must_rearm |= ended;
                }
            }
        }
        if must_rearm {
            self.rearm(None).await
        } else {
            Ok(())
        }
    }

    async fn rearm(&mut self, targets: Option<Vec<Target>>) -> Result<(), Ended> {
        let outcome = self.armed.arm(targets, &mut self.stream.watches());
        self.dirty.mark_due(outcome.begun, Instant::now());
        for loss in outcome.losses {
            self.send(loss).await?;
        }
        Ok(())
    }

    async fn report(&mut self) -> Result<(), Ended> {
        for store in self.dirty.take_due(Instant::now()) {
            self.send(StoreEvent::Changed(store)).await?;
        }
        Ok(())
    }

    async fn send(&self, event: StoreEvent) -> Result<(), Ended> {
        self.out.send(event).await.map_err(|_unsent| Ended)
    }
}

async fn next_event(stream: &mut EventStream<Buffer>) -> std::io::Result<EventOwned> {
    let next = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await;
    next.unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()))
}

#[cfg(test)]
mod tests;
