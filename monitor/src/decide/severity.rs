//! How bad an access is: the finding's own severity, bounded by the state of the access and of the image.
//!
//! Invariant: a bound, never a sum: each step that applies sets a floor or a ceiling, in the order of the table, so
//! that ten small things never look like one big one. Printed with the rules.

use crate::correlate::Correlated;
use crate::model::{Confidence, Provenance, Severity};

/// What a step does to the severity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// At least this.
    Floor(Severity),
    /// At most this.
    Ceiling(Severity),
}

/// One row.
#[derive(Debug)]
pub struct Step {
    /// The state in words.
    pub when: &'static str,
    /// The state.
    pub condition: fn(&Correlated) -> bool,
    /// What it does.
    pub bound: Bound,
}

/// The steps, in the order in which they bound.
pub static STEPS: [Step; 6] = [
    Step {
        when: "every finding in the file rests on a name alone",
        condition: |one| {
            let found = one.assessment.attribution.as_ref();
            found.is_some_and(|found| {
                !found.findings.is_empty()
                    && found.findings.iter().all(|one| one.confidence == Confidence::Low)
            })
        },
        bound: Bound::Ceiling(Severity::Medium),
    },
    Step {
        when: "the device under a store was opened",
        condition: Correlated::is_raw_device,
        bound: Bound::Floor(Severity::High),
    },
    Step {
        when: "a watched file left the stores before it could be looked up",
        condition: |one| one.is_sensitive() && one.assessment.attribution.is_none(),
        bound: Bound::Floor(Severity::Medium),
    },
    Step {
        when: "a process in a container reached a finding outside its root file system",
        condition: |one| {
            one.is_sensitive()
                && one.assessment.sanction.is_none()
                && one.assessment.sighting.actor.container.is_some()
        },
        bound: Bound::Floor(Severity::High),
    },
    Step {
        when: "ordinary content of an image that violates the policy",
        condition: |one| {
            let found = one.assessment.attribution.as_ref();
            !one.is_sensitive() && found.is_some_and(|found| found.provenance == Provenance::Violates)
        },
        bound: Bound::Floor(Severity::Low),
    },
    Step {
        when: "the kernel refused the access, or it is sanctioned",
        condition: |one| one.assessment.sighting.access.result != 0 || one.assessment.sanction.is_some(),
        bound: Bound::Ceiling(Severity::Low),
    },
];

/// The severity of a judged access.
pub(super) fn severity(correlated: &Correlated) -> Severity {
    let steps = STEPS.iter().filter(|step| (step.condition)(correlated));
    steps.fold(correlated.assessment.severity, |severity, step| {
        match step.bound {
            Bound::Floor(least) => severity.max(least),
            Bound::Ceiling(most) => severity.min(most),
        }
    })
}
