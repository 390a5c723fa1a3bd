//! Meeting every entry below a directory that somebody hostile may have made.
//!
//! Invariant: every name is opened relative to its directory's descriptor and never followed if it is a link, so no
//! entry leads out; directories are streamed, never listed; depth is bounded; another file system is not entered.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::scan::summary::{ProblemKind, ScanSummary, SkipReason};

/// How deep directories are entered; each level holds one descriptor open.
pub(in crate::scan) const MAX_DEPTH: usize = 128;
/// Marks a deletion in layers that were unpacked without overlay (OCI image spec, layer.md, "Whiteouts").
const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// A regular file that was met.
pub(super) struct Entry<'a> {
    /// Its directory.
    pub(super) directory: BorrowedFd<'a>,
    /// Its name there.
    pub(super) name: &'a CStr,
    /// Its path below the root.
    pub(super) path: &'a [u8],
}

struct Level {
    directory: Dir,
    device: u64,
    path_length: usize,
}

/// Calls `file` for each regular file below `root`; counts everything else in the summary.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    summary: &mut ScanSummary,
    file: &mut dyn FnMut(&Entry<'_>, &mut ScanSummary),
) {
    let mut path = Vec::new();
    let mut levels = Vec::new();
    match enter(root, c".", None, 0) {
        Ok(Some(level)) => levels.push(level),
        Ok(None) => return,
        Err(errno) => return summary.problem(ProblemKind::Directory, &path, Some(errno.raw_os_error())),
    }
    while let Some(level) = levels.last_mut() {
        path.truncate(level.path_length);
        let entry = match level.directory.read() {
            None => {
                levels.pop();
                continue;
            }
            Some(Err(errno)) => {
                summary.problem(ProblemKind::Directory, &path, Some(errno.raw_os_error()));
                levels.pop();
                continue;
            }
            Some(Ok(entry)) => entry,
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        push_component(&mut path, name);
        let depth = levels.len();
        let deeper = levels
            .last()
            .and_then(|level| visit(level, &entry, &path, depth, summary, file));
        levels.extend(deeper);
    }
}

fn push_component(path: &mut Vec<u8>, name: &CStr) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
}

/// Handles one entry; a directory to enter is given back.
fn visit(
    level: &Level,
    entry: &rustix::fs::DirEntry,
    path: &[u8],
    depth: usize,
    summary: &mut ScanSummary,
    file: &mut dyn FnMut(&Entry<'_>, &mut ScanSummary),
) -> Option<Level> {
    let name = entry.file_name();
    let fault = |summary: &mut ScanSummary, kind, errno: Errno| {
        summary.problem(kind, path, Some(errno.raw_os_error()));
        None
    };
    let directory = match level.directory.fd() {
        Ok(directory) => directory,
        Err(errno) => return fault(summary, ProblemKind::Directory, errno),
    };
    let (kind, device) = match file_type(directory, entry) {
        Ok(kind) => kind,
        Err(errno) => return fault(summary, ProblemKind::Open, errno),
    };
    match kind {
        FileType::Directory if depth >= MAX_DEPTH => summary.problem(ProblemKind::TooDeep, path, None),
        FileType::Directory => match enter(directory, name, Some(level.device), path.len()) {
            Ok(Some(level)) => return Some(level),
            Ok(None) => summary.skip(SkipReason::OtherFileSystem),
            Err(errno) => return fault(summary, ProblemKind::Directory, errno),
        },
        FileType::RegularFile if name.to_bytes().starts_with(WHITEOUT_PREFIX) => {
            summary.skip(SkipReason::Whiteout);
        }
        FileType::RegularFile => file(
            &Entry {
                directory,
                name,
                path,
            },
            summary,
        ),
        FileType::Symlink => summary.skip(SkipReason::Symlink),
        FileType::Fifo => summary.skip(SkipReason::Fifo),
        FileType::Socket => summary.skip(SkipReason::Socket),
        FileType::CharacterDevice if device == 0 => summary.skip(SkipReason::Whiteout),
        FileType::CharacterDevice | FileType::BlockDevice => summary.skip(SkipReason::Device),
        FileType::Unknown => summary.problem(ProblemKind::Open, path, None),
    }
    None
}

/// The entry's type, and the device number if it is a character device.
fn file_type(directory: BorrowedFd<'_>, entry: &rustix::fs::DirEntry) -> rustix::io::Result<(FileType, u64)> {
    let known = entry.file_type();
    if matches!(known, FileType::Unknown | FileType::CharacterDevice) {
        let stat = rustix::fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        return Ok((FileType::from_raw_mode(stat.st_mode), stat.st_rdev));
    }
    Ok((known, 0))
}

/// Opens a directory for streaming; nothing if it is on another device than its parent.
fn enter(
    parent: BorrowedFd<'_>,
    name: &CStr,
    device: Option<u64>,
    path_length: usize,
) -> rustix::io::Result<Option<Level>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(parent, name, flags | OFlags::NOATIME, Mode::empty());
    // O_NOATIME is for owners only (open(2)).
    let opened: OwnedFd = match opened {
        Err(Errno::PERM) => rustix::fs::openat(parent, name, flags, Mode::empty())?,
        other => other?,
    };
    let found = rustix::fs::fstat(&opened)?.st_dev;
    if device.is_some_and(|device| device != found) {
        return Ok(None);
    }
    Ok(Some(Level {
        directory: Dir::new(opened)?,
        device: found,
        path_length,
    }))
}
