//! What a scan saw besides its findings: counts, what it skipped and why, what it could not read.
//!
//! Invariant: `files + members + skipped + problems_total` accounts for every entry that was met, in directories and in
//! archives, at least once; the list of problems is bounded, its total is not. Made by `engine`, carried over the worker's pipe, printed by the CLI.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{DevIno, Finding, LayerKey};

/// Problems that are kept with their path; the rest are only counted.
pub(crate) const MAX_PROBLEMS: usize = 64;
/// Bytes of a problem's path that are kept.
const MAX_SHOWN: usize = 512;

/// Why an entry was not read, which is no fault; a closed set, so that it can be a metric label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// A symbolic link; links are never followed.
    Symlink,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device other than a whiteout.
    Device,
    /// A character device 0:0 or a `.wh.` file: the mark of a deletion.
    Whiteout,
    /// An empty file.
    Empty,
    /// Something mounted into the layer.
    OtherFileSystem,
    /// A further name of an entry of the same archive.
    HardLink,
    /// An archive in an archive: searched as it is, not unpacked.
    NestedArchive,
    /// An entry of an archive that describes no file.
    OtherEntry,
}

impl SkipReason {
    /// All, for metrics.
    pub const ALL: [Self; 10] = [
        Self::Symlink,
        Self::Fifo,
        Self::Socket,
        Self::Device,
        Self::Whiteout,
        Self::Empty,
        Self::OtherFileSystem,
        Self::HardLink,
        Self::NestedArchive,
        Self::OtherEntry,
    ];

    /// The name in output and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::Whiteout => "whiteout",
            Self::Empty => "empty",
            Self::OtherFileSystem => "other-file-system",
            Self::HardLink => "hard-link",
            Self::NestedArchive => "nested-archive",
            Self::OtherEntry => "other-entry",
        }
    }
}

/// What went wrong with one entry; a closed set, so that it can be a metric label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// A directory could not be opened or listed, so nothing below it was read.
    Directory,
    /// A directory lies deeper than the scanner goes.
    TooDeep,
    /// A file could not be opened.
    Open,
    /// A file could not be read to its end.
    Read,
    /// A file changed while it was read.
    Changed,
    /// A file had more findings than are kept; the worst were kept.
    FileFindings,
    /// The layer had more findings than are kept.
    LayerFindings,
    /// An entry's name in an archive leads out of it, or is absolute; its content was read under the name without that.
    Name,
    /// An entry's name in an archive is longer than any path; its content was read under the name's beginning.
    NameTooLong,
    /// An archive is damaged, cut, encrypted or of a form that is not read; what stood before was read.
    Archive,
    /// An archive unpacks to more than it may; what came before was read.
    Bomb,
    /// An archive has more entries than are read.
    Entries,
    /// A blob that an image names is not there.
    Missing,
    /// A blob is not what its digest says.
    Digest,
    /// There are more findings than can be followed through later layers: the rest counts as visible.
    Shadows,
}

impl ProblemKind {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::TooDeep => "too-deep",
            Self::Open => "open",
            Self::Read => "read",
            Self::Changed => "changed",
            Self::FileFindings => "file-findings",
            Self::LayerFindings => "layer-findings",
            Self::Name => "name",
            Self::NameTooLong => "name-too-long",
            Self::Archive => "archive",
            Self::Bomb => "bomb",
            Self::Entries => "entries",
            Self::Missing => "missing",
            Self::Digest => "digest",
            Self::Shadows => "shadows",
        }
    }
}

/// One entry that was not scanned as it should have been.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub kind: ProblemKind,
    /// The path below the root, escaped, cut after 512 bytes.
    pub path: String,
    /// The system's error number, if it was the system's refusal.
    pub errno: Option<i32>,
}

/// What a scan saw besides its findings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ScanSummary {
    /// Regular files that were read.
    pub files: u64,
    /// Files inside archives that were read.
    #[serde(default)]
    pub members: u64,
    /// Bytes that were searched, unpacked where they were packed.
    pub bytes: u64,
    /// Entries that were not read, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Entries that could not be scanned as they should, the first few.
    pub problems: Vec<Problem>,
    /// How many such entries there were.
    pub problems_total: u64,
}

impl ScanSummary {
    /// Counts an entry that is not read.
    pub(crate) fn skip(&mut self, reason: SkipReason) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Notes an entry that could not be scanned as it should.
    pub(crate) fn problem(&mut self, kind: ProblemKind, path: &[u8], errno: Option<i32>) {
        self.problems_total += 1;
        if self.problems.len() < MAX_PROBLEMS {
            let shown = path.get(..MAX_SHOWN).unwrap_or(path);
            let path = crate::model::text::printable(shown).to_string();
            self.problems.push(Problem { kind, path, errno });
        }
    }
}

/// How far a scan is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Regular files read so far.
    pub files: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// A layer to scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerRequest {
    /// The layer; absent for a bare directory.
    pub layer: Option<LayerKey>,
    /// The directory with its content.
    pub root: std::path::PathBuf,
    /// That directory's inode as the catalog saw it; another one there is an error.
    pub root_key: Option<DevIno>,
    /// How long it may take, as wall time and as processor time each.
    pub deadline: std::time::Duration,
}

/// A scanned layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerScan {
    /// What was found, in the order of the walk.
    pub findings: Vec<Finding>,
    /// What was seen besides.
    pub summary: ScanSummary,
}
