//! The parts of a line: an access, a process, a user and a finding as the JSON contract has them, and the sentences.
//!
//! Invariant: what somebody else chose (paths, names, command lines) comes out escaped; no sentence holds a name that
//! was not. Used by `decide` and `pulls`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::rules::Rule;
use crate::correlate::Correlated;
use crate::model::text::printable;
use crate::model::{
    Access, AccessReport, Actor, Attribution, Finding, FindingReport, Operation, Place, Process,
    ProcessReport, Subject, SubjectReport,
};

/// A user.
pub(crate) fn subject_report(subject: &Subject) -> SubjectReport {
    SubjectReport {
        uid: subject.uid,
        user: subject
            .user
            .as_ref()
            .map(|name| printable(name.as_bytes()).to_string()),
        loginuid: subject.loginuid,
    }
}

/// A process.
pub(crate) fn process_report(actor: &Actor) -> ProcessReport {
    ProcessReport {
        pid: actor.process.pid,
        comm: actor.process.comm.clone(),
        exe: actor.process.exe.as_deref().map(shown),
        cmdline: actor.process.cmdline.clone(),
        ancestors: actor.ancestors.iter().map(name_of).collect(),
    }
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes()).to_string()
}

/// The executable, or the thread's name where it is not known.
fn name_of(process: &Process) -> String {
    process.exe.as_deref().map_or_else(|| process.comm.clone(), shown)
}

/// An access.
pub(super) fn access_report(access: &Access, attribution: Option<&Attribution>) -> AccessReport {
    let path_in_layer = attribution.and_then(|found| found.path.as_ref());
    AccessReport {
        operation: access.operation,
        via: access.via,
        path: printable(&access.path).to_string(),
        path_in_layer: path_in_layer.map(|path| printable(path).to_string()),
        allowed: access.result == 0,
    }
}

/// The worst finding.
pub(super) fn finding_report(attribution: &Attribution) -> Option<FindingReport> {
    let finding = attribution.findings.first()?;
    let line = match &finding.place {
        Place::File { line, .. } => *line,
        Place::ImageConfig { .. } => None,
    };
    Some(FindingReport {
        rule: finding.rule.clone(),
        title: finding.title.clone(),
        category: finding.category,
        severity: finding.severity,
        confidence: finding.confidence,
        fingerprint: finding.fingerprint.clone(),
        line,
        shadowed: attribution.shadowed,
    })
}

/// The rule's sentence with its words in braces filled in.
pub(super) fn fill(template: &str, correlated: &Correlated) -> String {
    let sighting = &correlated.assessment.sighting;
    let asker = correlated.asker.as_deref();
    let whose = asker.map_or(sighting, |asker| &asker.sighting);
    let attribution = correlated.assessment.attribution.as_ref();
    let uid = whose.subject.uid.to_string();
    let user = match &whose.subject.user {
        Some(name) => format!("User {} (uid {uid})", printable(name.as_bytes())),
        None => format!("Uid {uid}"),
    };
    let container = whose
        .actor
        .container
        .as_ref()
        .map_or("", |container| &container.id);
    let container = printable(container.as_bytes()).to_string();
    let owner = attribution.map_or_else(String::new, |found| found.store_owner_uid.to_string());
    template
        .split_inclusive(['{', '}'])
        .map(|piece| match piece {
            "user}" => user.clone(),
            "uid}" => uid.clone(),
            "did}" => did(&sighting.access).to_owned(),
            "what}" => what(attribution),
            "container}" => container.clone(),
            "owner}" => owner.clone(),
            "engine}" => name_of(&sighting.actor.process),
            "socket}" => asker.map_or_else(String::new, |asker| shown(&asker.socket)),
            "others}" => match asker.map_or(0, |asker| asker.others) {
                0 => String::new(),
                others => format!(" (or for one of {others} others who asked it then)"),
            },
            text => text.trim_end_matches('{').to_owned(),
        })
        .collect()
}

/// What to do, with the command that closes the way if the exposure knows it.
pub(super) fn remedy(rule: &Rule, attribution: Option<&Attribution>) -> String {
    let command = attribution.and_then(|found| found.exposure.as_ref()?.remedy.as_ref());
    match command {
        Some(command) => format!("{} Close the way: {}", rule.remedy, printable(command.as_bytes())),
        None => rule.remedy.to_owned(),
    }
}

fn did(access: &Access) -> &'static str {
    let allowed = access.result == 0;
    match access.operation {
        _ if !allowed => "was refused",
        Operation::Map => "mapped",
        Operation::Read => "read",
        Operation::Receive => "received",
        Operation::OpenBeforeStart => "held open",
        Operation::Hold => "came to hold",
        Operation::Connect => "connected to",
        Operation::Open
        | Operation::OpenDevice
        | Operation::Rename
        | Operation::Create
        | Operation::Canary => "opened",
    }
}

fn what(attribution: Option<&Attribution>) -> String {
    let title = |finding: &Finding| printable(finding.title.as_bytes()).to_string();
    match attribution.map(|found| found.findings.as_slice()) {
        Some([only]) => format!("a file with a finding ({})", title(only)),
        Some([worst, more @ ..]) => {
            format!(
                "a file with {} findings (worst: {})",
                more.len() + 1,
                title(worst)
            )
        }
        Some([]) | None => "a watched file".to_owned(),
    }
}
