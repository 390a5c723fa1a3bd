//! Places where packages ship made-up keys: what is found there counts one step less, and is never skipped. They are
//! directories of documentation and tests, and the data of programs and libraries, which carry keys to test themselves.
//!
//! Invariant: a pure function of rule and path, so that both sides of the worker's pipe come to the same severity.

use super::{Rule, Trigger};
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
    /// How bad a match is in the file of that path; `in_text` if it stands in a line of text.
    pub(in crate::scan) fn severity_at(&self, path: &[u8], in_text: bool) -> Severity {
        let mut components = path.rsplit(|b| *b == b'/');
        // The file's own name says nothing.
        components.next();
        let embedded = !in_text && self.trigger != Trigger::Head;
        if embedded || components.any(|component| HARMLESS.contains(&component)) {
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

#[cfg(test)]
mod tests {
    use super::super::RuleSet;
    use super::*;
    use crate::model::RuleId;

    #[test]
    fn a_place_lowers_by_one_step_and_never_by_two() {
        let rules = RuleSet::builtin().unwrap();
        for (rule, path, in_text, severity) in [
            (
                "private-key-pem",
                "etc/ssl/private/a.key",
                true,
                Severity::Critical,
            ),
            (
                "private-key-pem",
                "usr/share/doc/a/examples/a.key",
                true,
                Severity::High,
            ),
            (
                "private-key-pem",
                "usr/lib/libgnutls.so.30",
                false,
                Severity::High,
            ),
            ("private-key-pem", "usr/lib/a/tests/a.so", false, Severity::High),
            ("private-key-pem", "srv/test", true, Severity::Critical),
            ("java-keystore", "opt/app/server.jks", false, Severity::High),
            (
                "java-keystore",
                "opt/app/tests/server.jks",
                false,
                Severity::Medium,
            ),
            ("aws-access-key-id", "docs/a", true, Severity::Info),
        ] {
            let rule = rules.get(&RuleId::new(rule)).unwrap();
            assert_eq!(rule.severity_at(path.as_bytes(), in_text), severity, "{path}");
        }
    }
}
