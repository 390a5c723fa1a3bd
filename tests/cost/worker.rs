//! The process that does one thing again and again and says what it cost.
//!
//! It is a process of its own so that it can live in a container's root, and so that it can be older than audit, which
//! marks processes at their birth. It takes one request a line and answers in a line. Invariant: between two looks at the
//! clock there is nothing but the loop; threads of one chunk begin together.

use std::ffi::CString;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Gid, Mode, OFlags, Uid, open};
use serde::{Deserialize, Serialize};

/// Who opens: nobody's monitor leaves ordinary users out.
const USER: u32 = 1000;
const PAGE: usize = 4096;
const MOST_THREADS: usize = 2;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// A system call that does nothing.
    Nothing,
    /// Open for reading, and close.
    Open,
    /// Read 4 KiB from the start of a file that is open.
    Read,
}

/// How often, and on what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) path: PathBuf,
    pub(crate) threads: usize,
    pub(crate) chunks: usize,
    pub(crate) size: u32,
}

/// Nanoseconds for doing it once.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of the cheapest chunk.
    pub(crate) least: f64,
    /// Of the middle chunk.
    pub(crate) middle: f64,
}

/// A running worker, ended with its value.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one, with another root where that is given.
    pub(crate) fn start(root: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").args(root);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take().context("the worker has no input")?;
        let answers = BufReader::new(child.stdout.take().context("the worker has no output")?);
        Ok(Self {
            child,
            requests,
            answers,
        })
    }

    /// Does it.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Figures> {
        writeln!(self.requests, "{}", serde_json::to_string(request)?)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "the worker ended at {request:?}");
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// The worker's own side.
pub(crate) fn serve(root: Option<&Path>) -> Result<()> {
    if let Some(root) = root {
        rustix::process::chroot(root).context("enter the container's root")?;
        std::env::set_current_dir("/")?;
    }
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Gid::from_raw(USER), Gid::from_raw(USER), Gid::from_raw(USER))?;
    rustix::thread::set_thread_res_uid(Uid::from_raw(USER), Uid::from_raw(USER), Uid::from_raw(USER))?;
    let hands = Hands::new();
    for line in std::io::stdin().lines() {
        let figures = hands.answer(&serde_json::from_str(&line?)?)?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", serde_json::to_string(&figures)?)?;
        stdout.flush()?;
    }
    Ok(())
}

/// A request, and where its threads meet.
type Task = (Request, Arc<Barrier>);
type Chunks = Result<Vec<f64>>;

/// The threads, born with the process: audit marks threads at their birth too.
struct Hands(Vec<(SyncSender<Task>, Receiver<Chunks>)>);

impl Hands {
    fn new() -> Self {
        let hand = |_| {
            let (give, tasks) = sync_channel::<Task>(1);
            let (done, take) = sync_channel(1);
            std::thread::spawn(move || {
                for (request, barrier) in tasks {
                    if done.send(chunks(&request, &barrier)).is_err() {
                        return;
                    }
                }
            });
            (give, take)
        };
        Self((0..MOST_THREADS).map(hand).collect())
    }

    fn answer(&self, request: &Request) -> Result<Figures> {
        let hands = self
            .0
            .get(..request.threads)
            .context("so many threads are not there")?;
        let barrier = Arc::new(Barrier::new(request.threads));
        for (give, _) in hands {
            give.send((request.clone(), Arc::clone(&barrier)))?;
        }
        let of_threads = hands.iter().map(|(_, take)| take.recv()?);
        let of_threads = of_threads.collect::<Result<Vec<_>>>()?;
        // A chunk is done when its last thread is.
        let chunk = |number: usize| {
            let of_thread = of_threads.iter().filter_map(|chunks| chunks.get(number).copied());
            of_thread.fold(0.0, f64::max)
        };
        let mut chunks: Vec<_> = (0..request.chunks).map(chunk).collect();
        chunks.sort_by(f64::total_cmp);
        let at = |number: usize| chunks.get(number).copied().context("a request has chunks");
        Ok(Figures {
            least: at(0)?,
            middle: at(chunks.len() / 2)?,
        })
    }
}

/// Nanoseconds for doing it once, in each chunk.
fn chunks(request: &Request, barrier: &Barrier) -> Chunks {
    let path = CString::new(request.path.as_os_str().as_bytes())?;
    let mut buffer = [0; PAGE];
    let open_once = || open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = (request.action == Action::Read).then(open_once).transpose()?;
    let mut chunks = Vec::with_capacity(request.chunks);
    for _ in 0..request.chunks {
        barrier.wait();
        let begun = Instant::now();
        for _ in 0..request.size {
            match (request.action, &file) {
                (Action::Nothing, _) => {
                    black_box(rustix::process::getppid());
                }
                (Action::Read, Some(file)) => {
                    black_box(rustix::io::pread(file, &mut buffer, 0)?);
                }
                (Action::Open | Action::Read, _) => drop(black_box(open_once()?)),
            }
        }
        chunks.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(request.size));
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_done_and_timed() {
        let hands = Hands::new();
        for (action, threads) in [(Action::Nothing, 1), (Action::Open, 2), (Action::Read, 2)] {
            let request = Request {
                action,
                path: "/dev/null".into(),
                threads,
                chunks: 3,
                size: 10,
            };
            let figures = hands.answer(&request).unwrap();
            assert!(
                figures.least > 0.0 && figures.least <= figures.middle,
                "{request:?} {figures:?}"
            );
        }
    }
}
