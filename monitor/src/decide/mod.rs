//! Which alert a judged access is, how bad, why it matters and what to do: the table of rules applied.
//!
//! Invariant: pure and total: each access gives exactly one line, an alert or a record, by the first rule that applies;
//! a sanctioned access and an unidentified one are never alerts of their own accord. Called by the event plane.

mod report;
mod rules;
mod severity;
#[cfg(test)]
mod tests;

use crate::correlate::Correlated;
use crate::model::{Alert, Record, RecordKind, TrustReport};
pub(crate) use report::{process_report, subject_report};
pub use rules::{Outcome, RULES, Rule};
pub use severity::{Bound, STEPS, Step};

/// The line of output for a judged access.
pub fn decide(correlated: &Correlated) -> Record {
    let rule = rules::first_that_applies(correlated);
    let alert = alert(rule, correlated);
    Record::new(match rule.outcome {
        Outcome::Alert if correlated.assessment.sanction.is_none() => RecordKind::Alert(alert),
        Outcome::Alert | Outcome::Record => RecordKind::Access(alert),
    })
}

fn alert(rule: &Rule, correlated: &Correlated) -> Alert {
    let assessment = &correlated.assessment;
    let sighting = &assessment.sighting;
    // What an engine does for somebody is theirs.
    let whose = correlated
        .asker
        .as_deref()
        .map_or(sighting, |asker| &asker.sighting);
    let attribution = assessment.attribution.as_ref();
    let trust = attribution.map(|found| TrustReport {
        provenance: found.provenance,
        quality: found.quality,
    });
    Alert {
        alert: rule.alert,
        id: sighting.access.id.clone(),
        severity: severity::severity(correlated),
        time: sighting.access.time,
        subject: subject_report(&whose.subject),
        process: process_report(&whose.actor),
        container: whose.actor.container.clone(),
        access: report::access_report(&sighting.access, attribution),
        layer: attribution.and_then(|found| found.report.clone()),
        images: attribution.map(|found| found.images.clone()).unwrap_or_default(),
        finding: attribution.and_then(report::finding_report),
        exposure: attribution.and_then(|found| found.exposure.clone()),
        trust: trust.unwrap_or(TrustReport {
            provenance: crate::model::Provenance::Unknown,
            quality: crate::model::Grade::Unknown,
        }),
        sanction: assessment.sanction,
        count: correlated.count,
        why: report::fill(rule.why, correlated),
        remedy: report::remedy(rule, attribution),
    }
}
