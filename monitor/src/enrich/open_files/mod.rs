//! Files that processes hold open or mapped when the watches are first set: their opens were before anybody looked.
//!
//! Invariant: looked at once, bounded in files, and what could not be read is counted. Only files on watched devices are
//! kept, with who their process is now; which of them hold a finding is known when the scans are done. A file that was
//! opened through an overlay shows the overlay's inode and is not found. Made in a thread of its own, since a file
//! system may answer late; used by `app`.

mod descriptors;
mod held;
mod holder;
mod mappings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};

use super::procfs::Procfs;
use crate::model::{Access, DevIno, KernelDev, Operation, Tgid, Via, WatchMatch};
pub use held::is_open;
use holder::Holder;

/// Most files that are kept until the scans are done.
const FILES_MAX: usize = 65_536;
/// Most processes that are looked at.
const PROCESSES_MAX: usize = 65_536;

/// A file that was open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenFile {
    holder: Arc<Holder>,
    key: DevIno,
    mode: u32,
    open_flags: u32,
    path: Vec<u8>,
    proved: bool,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// The files, each once for a process.
    pub files: Vec<OpenFile>,
    /// Processes and files that could not be looked at, or found no room.
    pub unread: u64,
}

/// What is open on the given devices; `proc` is proc(5) of the host's process namespace.
pub fn open_files(proc: &Path, ticks_per_second: u64, devices: &BTreeSet<KernelDev>) -> Listing {
    let procfs = Procfs::new(proc.to_owned(), ticks_per_second);
    let mut listing = Listing::default();
    let own = Tgid(std::process::id());
    for tgid in procfs.all(PROCESSES_MAX) {
        if tgid == own {
            continue;
        }
        let directory = proc.join(tgid.0.to_string());
        let mut found = BTreeMap::new();
        let read = descriptors::files(&directory, devices, &mut found)
            .and(mappings::files(&directory, devices, &mut found));
        if found.is_empty() && read.is_ok() {
            continue;
        }
        // A process that ended meanwhile holds nothing any more.
        let Some(stat) = procfs.living(tgid) else { continue };
        listing.unread += u64::from(read.is_err());
        let holder = Arc::new(Holder::read(&directory, tgid, &stat, procfs.tick_ns()));
        for (key, one) in found {
            if listing.files.len() >= FILES_MAX {
                listing.unread += 1;
                continue;
            }
            listing.files.push(OpenFile {
                holder: Arc::clone(&holder),
                key,
                mode: one.mode,
                open_flags: one.open_flags,
                path: one.path,
                proved: one.proved,
            });
        }
    }
    listing
}

impl OpenFile {
    /// The file.
    pub fn key(&self) -> DevIno {
        self.key
    }

    /// Whether the process reached this inode itself. A mapping through an overlay shows the layer's inode on some
    /// kernels, and where its name leads to no file, nobody can tell.
    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// The file as an access that is noticed now; `boot` is the boot's id.
    pub fn access(&self, boot: &str, now: Timestamp) -> Access {
        let holder = &self.holder;
        let boot = boot.get(..8).unwrap_or(boot);
        let process = format!("{}-{}", holder.tgid.0, holder.start_ns);
        Access {
            id: format!("{boot}-open-{process}-{}-{}", self.key.dev.0, self.key.ino),
            time: now,
            operation: Operation::OpenBeforeStart,
            via: Via::Direct,
            matched: WatchMatch::File,
            watch: self.key,
            file: self.key,
            generation: 0,
            mode: self.mode,
            open_flags: self.open_flags,
            number_reused: false,
            incomplete: holder.incomplete,
            result: 0,
            path: self.path.clone(),
            path_truncated: false,
            tgid: holder.tgid,
            tid: holder.tgid.0,
            process_start_ns: holder.start_ns,
            parent: holder.parent,
            comm: holder.comm.clone(),
            kernel_thread: false,
            loginuid: holder.loginuid,
            mount_namespace: holder.mount_namespace,
            cgroup: 0,
            real: holder.credentials,
            effective: holder.credentials,
            root_device: holder.root_device,
            outer_device: None,
            outer_fsuid: None,
            mounter_uid: None,
        }
    }
}

/// One file of a process.
struct One {
    mode: u32,
    open_flags: u32,
    path: Vec<u8>,
    proved: bool,
}

type Found = BTreeMap<DevIno, One>;

/// Inode and mode of a file: not its own answer but what is known of it, which no dead server can hold up.
fn identity(path: &Path) -> std::io::Result<(DevIno, u32)> {
    let stat = rustix::fs::statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)?;
    let dev = KernelDev::from_stat(rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor));
    let ino = stat.stx_ino;
    Ok((DevIno { dev, ino }, u32::from(stat.stx_mode)))
}

fn is_regular(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile
}
/// How much of a path is kept, bytes.
const PATH_MAX: usize = 512;

fn cut(path: &[u8]) -> Vec<u8> {
    path.get(..PATH_MAX).unwrap_or(path).to_vec()
}

/// A process or a descriptor that ended meanwhile is nothing that was missed.
fn gone_or_unread(error: &std::io::Error) -> Result<(), ()> {
    const NO_SUCH_PROCESS: i32 = 3;
    let gone = error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS);
    gone.then_some(()).ok_or(())
}
