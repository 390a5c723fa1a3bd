//! What the scanner reads from strangers, as functions over bytes: archives, files, configurations, rule tables.
//!
//! Invariant: each ends, within the memory of a scan, whatever the bytes; what is found is bounded, printable and lies
//! below the root, and this is asserted here. Called by `fuzz`; no part of the program.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::archive::{self, Told};
use super::engine::{Run, of_file};
use super::redact::MAX_EXCERPT;
use super::rules::{RuleFile, RuleSet};
use super::stream::below_root;
use super::stream::peek::Plain;
use super::summary::{MAX_PROBLEMS, ScanSummary};
use super::{FingerprintKey, Scanner};
use crate::model::{DevIno, Finding, ImageId, KernelDev, Place, StoreId};

static SCANNER: LazyLock<Option<Scanner>> = LazyLock::new(|| {
    let rules = RuleSet::builtin().ok()?;
    Scanner::new(rules, FingerprintKey::new([0; 32])).ok()
});

/// A layer's tar, with whatever lies in it.
pub fn layer(bytes: &[u8]) {
    scan(|run, summary| {
        let (mut bytes, key) = (
            bytes,
            DevIno {
                dev: KernelDev(0),
                ino: 0,
            },
        );
        if let Err(fault) = run.layer(&mut Plain::new(&mut bytes), key, &mut |_, _| (), summary) {
            summary.problem(fault.problem(), b"", fault.errno());
        }
    });
}

/// A file: its name below the root, a line break, its content.
pub fn file(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(name), Some(content)) = (parts.next(), parts.next()) else {
        return;
    };
    let (name, _) = below_root(name);
    scan(|run, summary| {
        if let Some(Ok(opened)) = in_memory(content).map(of_file) {
            run.opened(&opened, &name, summary);
        }
    });
}

/// A target outside the stores: an image archive, a blob, a file.
pub fn target(bytes: &[u8]) {
    let (Some(scanner), Some(file)) = (SCANNER.as_ref(), in_memory(bytes)) else {
        return;
    };
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let summary = archive::scan_target(scanner, &path, &mut |told| {
        if let Told::Found { finding, .. } = told {
            check(&finding);
        }
    });
    assert!(summary.is_ok_and(|summary| summary.problems.len() <= MAX_PROBLEMS));
}

/// The configuration of an image.
pub fn image_config(bytes: &[u8]) {
    let Some(scanner) = SCANNER.as_ref() else { return };
    let (store, image) = (StoreId::new("s"), ImageId::new("i"));
    for finding in scanner
        .scan_image_config_bytes(bytes, Path::new("config"), &store, &image)
        .unwrap_or_default()
    {
        check(&finding);
    }
}

/// A user's rule table.
pub fn rule_table(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let table = RuleFile {
        name: "own.toml".to_owned(),
        text: text.to_owned(),
    };
    drop(RuleSet::parse(&table.text));
    drop(RuleSet::own_ids(&[table]));
}

/// A line that a worker answers.
pub fn answer(bytes: &[u8]) {
    if let Some(scanner) = SCANNER.as_ref() {
        super::worker::believe_line(scanner.rules(), bytes, &check);
    }
}

/// The records of packages, looked through for some paths.
pub fn package_records(bytes: &[u8]) {
    super::engine::read_records(bytes);
}

/// Files that rules are about, with their names: seeds of [`file`] and of archives.
#[cfg(test)]
pub(crate) fn examples() -> Vec<(String, Vec<u8>)> {
    let rules = RuleSet::builtin().unwrap();
    let of_rule = |rule: &super::Rule| {
        let (positive, negative) = rule.examples();
        let examples = positive.iter().chain(negative);
        examples
            .map(|example| (example.path.clone(), example.content.clone()))
            .collect::<Vec<_>>()
    };
    rules.rules().iter().flat_map(of_rule).collect()
}

fn scan(read: impl FnOnce(&mut Run<'_>, &mut ScanSummary)) {
    let Some(scanner) = SCANNER.as_ref() else { return };
    let mut summary = ScanSummary::default();
    let (mut progress, mut found) = (|_| (), |finding| check(&finding));
    let mut run = Run::new(scanner, None, &mut progress, &mut found);
    read(&mut run, &mut summary);
    run.end(&summary);
    assert!(summary.problems.len() <= MAX_PROBLEMS);
}

/// What holds of every finding.
fn check(finding: &Finding) {
    assert!(finding.excerpt.chars().count() <= MAX_EXCERPT);
    assert!(!finding.excerpt.chars().any(char::is_control), "{finding:?}");
    if let Place::File { path, member, .. } = &finding.place {
        for name in [Some(path), member.as_ref()].into_iter().flatten() {
            let is_below = |name: &[u8]| {
                !name
                    .split(|b| *b == b'/')
                    .any(|part| matches!(part, b"" | b"." | b".."))
            };
            assert!(name.is_empty() || is_below(name), "{finding:?}");
        }
    }
}

fn in_memory(bytes: &[u8]) -> Option<File> {
    let file = rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).ok()?;
    let mut file = File::from(file);
    file.write_all(bytes).ok()?;
    Some(file)
}
