//! Why a scan gave no answer.
//!
//! Invariant: no variant holds content of a scanned file: a secret never gets into an error. One unreadable file is no
//! `ScanError` but a `Problem` of the summary.

use std::path::PathBuf;

/// Why a scan gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The rule table is wrong.
    #[error("load the scan rules")]
    Rules(#[from] super::rules::RuleError),
    /// The directory to scan could not be opened.
    #[error("open {} for scanning", root.display())]
    Root {
        /// The directory.
        root: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The directory to scan is another one than the catalog saw.
    #[error("{} is not the directory it was", root.display())]
    RootChanged {
        /// The directory.
        root: PathBuf,
    },
    /// An image configuration could not be read.
    #[error("read an image configuration")]
    Config(#[from] crate::bounded::BoundedError),
    /// An image configuration is no JSON of the known shape.
    #[error("parse the image configuration {} (line {line}, column {column})", path.display())]
    ConfigShape {
        /// The file.
        path: PathBuf,
        /// Where it stopped making sense.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// The scan worker could not be started.
    #[error("start the scan worker")]
    Start(#[source] std::io::Error),
    /// The scan worker ended in the middle of a request.
    #[error("the scan worker ended while it scanned {subject}: {status}")]
    Ended {
        /// The layer or image.
        subject: String,
        /// How it ended.
        status: String,
    },
    /// The scan worker took longer than it may.
    #[error("scanning {subject} took longer than {seconds} s, or as long without a sign of progress")]
    Deadline {
        /// The layer or image.
        subject: String,
        /// The deadline.
        seconds: u64,
    },
    /// The scan worker said something that it may not say; its answer is thrown away.
    #[error("the scan worker broke the protocol while it scanned {subject}: {what}")]
    Protocol {
        /// The layer or image.
        subject: String,
        /// What was wrong.
        what: &'static str,
    },
    /// The scan worker reports that it could not do it.
    #[error("scan {subject}: {reason}")]
    Refused {
        /// The layer or image.
        subject: String,
        /// The worker's reason, escaped and cut.
        reason: String,
    },
}
