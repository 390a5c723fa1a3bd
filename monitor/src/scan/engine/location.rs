//! Where something that is searched lies, and under which name it is reported.
//!
//! Invariant: a reported name stays below the root and has no NUL; what an archive calls its entry is only its origin.
//! Both sides of the worker's pipe judge a member by the same path. Used by `run` and by what believes a worker.

use super::read::Opened;
use crate::model::DevIno;
use crate::scan::stream::below_root;
use crate::scan::summary::{ProblemKind, ScanSummary};

/// Where something that is searched lies.
#[derive(Clone, Copy)]
pub(in crate::scan) struct Location<'a> {
    /// Below the layer's root.
    pub(in crate::scan) path: &'a [u8],
    /// In the archive at that path.
    pub(in crate::scan) member: Option<&'a [u8]>,
    /// The inode that was opened.
    pub(in crate::scan) key: DevIno,
    /// The file itself, where it is one of a directory: a watch wants its inode's generation.
    pub(in crate::scan) file: Option<&'a Opened>,
}

impl Location<'_> {
    /// The path that rules judge: a member lies below its archive.
    pub(in crate::scan) fn judged(&self) -> Vec<u8> {
        judged_path(self.path, self.member)
    }
}

/// The path that rules judge: a member lies below its archive.
pub(in crate::scan) fn judged_path(path: &[u8], member: Option<&[u8]>) -> Vec<u8> {
    member.map_or_else(|| path.to_vec(), |member| [path, member].join(&b'/'))
}

/// The name under which an entry is reported; what is wrong with it is counted.
pub(super) fn usable_name(
    name: &[u8],
    cut: bool,
    archive: Option<&[u8]>,
    summary: &mut ScanSummary,
) -> Vec<u8> {
    let (mut clean, leads_out) = below_root(name);
    if clean.is_empty() || clean.contains(&0) {
        clean = b"(unnamed)".to_vec();
    }
    for (is_so, kind) in [(leads_out, ProblemKind::Name), (cut, ProblemKind::NameTooLong)] {
        if is_so {
            match archive {
                Some(archive) => summary.problem(kind, &judged_path(archive, Some(&clean)), None),
                None => summary.problem(kind, &clean, None),
            }
        }
    }
    clean
}

/// The name of the one file in a compressed file.
pub(super) fn stem(path: &[u8]) -> &[u8] {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match name.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if dot > 0 => name.get(..dot).unwrap_or(name),
        _ => name,
    }
}
