//! What is read from strangers, as functions over bytes: the fuzz targets, by name.
//!
//! `tests/fuzz` gives each to libFuzzer (`cargo xtask fuzz`), and the tests here give each a bounded number of inputs that are
//! the same in every run: the seeds below `tests/fixtures/fuzz`, as they are and changed. Invariant: a target ends
//! whatever the bytes and panics only where something that must hold does not. No part of the program.

#[cfg(test)]
mod tests;

use crate::{catalog, scan, trust};

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its seeds' folder too.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    target("answer", scan::fuzz::answer),
    target("bolt", catalog::fuzz::bolt),
    target("file", scan::fuzz::file),
    target("image-config", scan::fuzz::image_config),
    target("layer", scan::fuzz::layer),
    target("package-records", scan::fuzz::package_records),
    target("policy", trust::fuzz::policy),
    target("reference", trust::fuzz::reference),
    target("registries", trust::fuzz::registries_file),
    target("rule-table", scan::fuzz::rule_table),
    target("target", scan::fuzz::target),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// The target of that name.
pub fn named(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
