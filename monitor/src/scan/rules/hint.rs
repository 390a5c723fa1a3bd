//! Places where packages ship made-up keys: what is found there counts one step less, and is never skipped.
//!
//! Invariant: a pure function of rule and path, so that both sides of the worker's pipe come to the same severity.

use super::Rule;
use crate::model::Severity;

/// Directory names under which documentation, examples and tests lie.
const HARMLESS: &[&[u8]] = &[
    b"SelfTest",
    b"certdata",
    b"doc",
    b"docs",
    b"example",
    b"examples",
    b"sample-keys",
    b"samples",
    b"spec",
    b"test",
    b"testdata",
    b"testing",
    b"tests",
];

impl Rule {
    /// How bad a match is in the file of that path.
    pub(in crate::scan) fn severity_at(&self, path: &[u8]) -> Severity {
        let mut components = path.rsplit(|b| *b == b'/');
        // The file's own name says nothing.
        components.next();
        if components.any(|component| HARMLESS.contains(&component)) {
            lowered(self.severity)
        } else {
            self.severity
        }
    }
}

fn lowered(severity: Severity) -> Severity {
    match severity {
        Severity::Critical => Severity::High,
        Severity::High => Severity::Medium,
        Severity::Medium => Severity::Low,
        Severity::Low | Severity::Info => Severity::Info,
    }
}
