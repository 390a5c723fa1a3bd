//! How bad a match is where it lies: less if its file is a package's, if it is known to everybody, or in a place where
//! made-up keys are shipped, which are directories of documentation and tests and the data of programs. Never skipped.
//!
//! Invariant: a pure function of rule, path and what is known, so that both sides of the worker's pipe come to the same.

use super::{Rule, Trigger};
use crate::model::{LoweredBy, Severity};

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
    /// How bad a match is in the file of that path, and why less than the rule says; `in_text` if it stands in a line.
    pub(in crate::scan) fn severity_at(
        &self,
        path: &[u8],
        in_text: bool,
        known: &[LoweredBy],
    ) -> (Severity, Vec<LoweredBy>) {
        let mut reasons = known.to_vec();
        let everybodys = [LoweredBy::PublishedKey, LoweredBy::DocumentedSample];
        let mut severity = if known.iter().any(|reason| everybodys.contains(reason)) {
            Severity::Info
        } else if known.contains(&LoweredBy::Package) {
            // Not to the bottom: a package can be a private one.
            lowered(lowered(self.severity))
        } else {
            self.severity
        };
        let mut components = path.rsplit(|b| *b == b'/');
        // The file's own name says nothing.
        components.next();
        let place = if !in_text && self.trigger != Trigger::Head {
            Some(LoweredBy::Embedded)
        } else {
            components
                .any(|component| HARMLESS.contains(&component))
                .then_some(LoweredBy::Place)
        };
        if let Some(place) = place {
            reasons.push(place);
            severity = lowered(severity);
        }
        (severity, reasons)
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
            assert_eq!(
                rule.severity_at(path.as_bytes(), in_text, &[]).0,
                severity,
                "{path}"
            );
        }
    }

    #[test]
    fn what_everybody_knows_counts_least_and_a_packages_file_two_steps_less() {
        use LoweredBy::{DocumentedSample, Package, Place, PublishedKey};
        let rules = RuleSet::builtin().unwrap();
        let rule = rules.get(&RuleId::new("private-key-pem")).unwrap();
        for (path, known, severity, reasons) in [
            ("a", vec![], Severity::Critical, vec![]),
            ("a", vec![Package], Severity::Medium, vec![Package]),
            ("doc/a", vec![Package], Severity::Low, vec![Package, Place]),
            ("a", vec![PublishedKey], Severity::Info, vec![PublishedKey]),
            (
                "doc/a",
                vec![DocumentedSample],
                Severity::Info,
                vec![DocumentedSample, Place],
            ),
        ] {
            assert_eq!(
                rule.severity_at(path.as_bytes(), true, &known),
                (severity, reasons)
            );
        }
    }
}
