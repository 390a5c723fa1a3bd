//! The files that were open before the start, from the look at procfs to the event plane.
//!
//! Invariant: looked for once, in a thread that nobody waits for; a file is held until its layer is scanned, so that a
//! finding in it is told, and let go when every layer is. Used by `learn` (when) and `events` (what became of it).

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::enrich::{Listing, OpenFile, open_files};
use crate::knowledge::Knowledge;
use crate::model::{Access, KernelDev, LayerState};
use crate::telemetry::Metrics;
use crate::telemetry::happenings::OpenFilesListed;

/// The two ends: who says that the watches are set, and who waits for the list.
pub(super) fn waiting(boot_id: String) -> (OpenFilesSender, OpenFiles) {
    let (sender, receiver) = oneshot::channel();
    let open_files = OpenFiles {
        boot_id,
        receiver: Some(receiver),
        files: Vec::new(),
    };
    (OpenFilesSender(sender), open_files)
}

/// Makes the list when it is told that the watches are set.
#[derive(Debug)]
pub(super) struct OpenFilesSender(oneshot::Sender<Listing>);

impl OpenFilesSender {
    /// Looks at every process, in a thread of its own: a file system that does not answer holds nobody up.
    pub(super) fn list(self, devices: BTreeSet<KernelDev>) {
        let list = move || {
            let ticks = rustix::param::clock_ticks_per_second();
            let listing = open_files(Path::new("/proc"), ticks, &devices);
            if self.0.send(listing).is_err() {
                tracing::debug!("the list of open files came after the end");
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("open-files".to_owned())
            .spawn(list)
        {
            tracing::error!(%error, "files that are open already are not listed");
        }
    }
}

/// The list, and what of it is not known yet.
#[derive(Debug)]
pub(super) struct OpenFiles {
    boot_id: String,
    receiver: Option<oneshot::Receiver<Listing>>,
    files: Vec<OpenFile>,
}

impl OpenFiles {
    /// The list, once; absent at once when there is none to wait for.
    pub(super) async fn listing(&mut self) -> Option<Listing> {
        let listing = self.receiver.as_mut()?.await;
        self.receiver = None;
        listing.ok()
    }

    /// Keeps the list until its files are known.
    pub(super) fn take(&mut self, listing: Listing, metrics: &Metrics) {
        OpenFilesListed {
            files: listing.files.len(),
            unread: listing.unread,
        }
        .report(metrics);
        self.files = listing.files;
    }

    /// The files that a snapshot knows a finding in.
    pub(super) fn known(&mut self, knowledge: &Knowledge, metrics: &Metrics, now: Timestamp) -> Vec<Access> {
        if self.files.is_empty() {
            return Vec::new();
        }
        let has_finding = |file: &OpenFile| knowledge.findings_of(file.key()).next().is_some();
        let (found, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.files).into_iter().partition(has_finding);
        let settled = knowledge.parts().layers.iter().all(|layer| {
            (layer.state == LayerState::Container && !layer.is_scannable())
                || knowledge.is_scanned(&layer.key)
        });
        if !settled {
            self.files = rest;
        }
        let (proved, unproved): (Vec<_>, Vec<_>) = found.into_iter().partition(OpenFile::is_proved);
        if !unproved.is_empty() {
            OpenFilesListed {
                files: proved.len(),
                unread: u64::try_from(unproved.len()).unwrap_or(u64::MAX),
            }
            .report(metrics);
        }
        proved
            .iter()
            .map(|file| file.access(&self.boot_id, now))
            .collect()
    }
}
