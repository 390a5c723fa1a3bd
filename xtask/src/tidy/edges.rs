//! Which module of the agent may use which: the picture of ARCHITECTURE.md as a table.
//!
//! Only production code is held to it; tests may reach further. `cli`, `app` and `main` wire everything together and
//! are free.

use super::Finding;
use super::source::{Source, first_word, in_word, line_at, words};

/// May use everything.
const FREE: [&str; 4] = ["app", "cli", "lib", "main"];

/// Used by everyone.
const SHARED: [&str; 2] = ["bounded", "model"];

/// Each module with those it may use besides itself and the shared ones.
const MODULES: [(&str, &[&str]); 26] = [
    ("attribute", &["knowledge"]),
    ("bounded", &[]),
    ("catalog", &[]),
    ("config", &[]),
    ("correlate", &["attribute", "counts", "judge", "knowledge"]),
    ("counts", &[]),
    ("decide", &["correlate"]),
    ("decode", &[]),
    ("enrich", &["knowledge"]),
    ("exposure", &["catalog"]),
    ("fuzz", &["scan", "trust"]),
    ("judge", &["knowledge"]),
    ("kernel", &[]),
    ("knowledge", &[]),
    ("model", &[]),
    (
        "plane",
        &[
            "attribute",
            "correlate",
            "counts",
            "decide",
            "decode",
            "enrich",
            "judge",
            "knowledge",
            "pulls",
            "recording",
        ],
    ),
    ("privilege", &[]),
    ("pulls", &["decide", "knowledge"]),
    ("recording", &["correlate", "decode", "enrich", "knowledge"]),
    ("replay", &["counts", "enrich", "plane", "recording"]),
    ("scan", &[]),
    ("sinks", &["config", "telemetry"]),
    (
        "survey",
        &[
            "catalog",
            "enrich",
            "exposure",
            "kernel",
            "knowledge",
            "pulls",
            "scan",
            "telemetry",
            "trust",
        ],
    ),
    ("telemetry", &[]),
    ("testing", &[]),
    ("trust", &[]),
];

/// Crates that belong to one station each.
const CRATES: [(&str, &[&str]); 12] = [
    ("anyhow", &[]),
    ("axum", &["sinks"]),
    ("aya", &["kernel"]),
    ("aya_log", &["kernel"]),
    ("clap", &[]),
    ("comfy_table", &[]),
    ("flate2", &["catalog", "scan"]),
    ("indicatif", &[]),
    ("prometheus", &["sinks", "telemetry"]),
    ("redb", &["scan"]),
    ("reqwest", &["config", "sinks"]),
    ("zstd", &["scan"]),
];

/// These take what they need as arguments: no runtime, no file, no network, no clock.
const PURE: [&str; 6] = ["attribute", "correlate", "decide", "decode", "judge", "model"];
const IMPURE: [&str; 8] = [
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
];

/// Uses of a module that the table does not have.
pub(super) fn between_modules(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, module) in modules(sources) {
        let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
            findings.push(Finding::new(
                source,
                0,
                format!("module {module} is not in tidy's table of edges"),
            ));
            continue;
        };
        for (line, used) in used_modules(source) {
            // Macros and items of the crate's root are no modules.
            let known = MODULES.iter().any(|(name, _)| *name == used) || FREE.contains(&used.as_str());
            if known
                && used != module
                && !SHARED.contains(&used.as_str())
                && !allowed.contains(&used.as_str())
            {
                findings.push(Finding::new(source, line, format!("{module} may not use {used}")));
            }
        }
    }
    findings
}

/// Uses of a crate outside its station.
pub(super) fn to_crates(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, module) in modules(sources) {
        let code = source.production();
        for (name, allowed) in CRATES.iter().filter(|(_, allowed)| !allowed.contains(&module)) {
            let path = format!("{name}::");
            for at in words(code, &path) {
                let stations = if allowed.is_empty() {
                    "the command line".into()
                } else {
                    allowed.join(", ")
                };
                let what = format!("{module} may not use the crate {name}, which belongs to {stations}");
                findings.push(Finding::new(source, line_at(code, at), what));
            }
        }
    }
    findings
}

/// Input, output and clocks in modules that must be pure.
pub(super) fn out_of_pure_modules(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, module) in modules(sources).filter(|(_, module)| PURE.contains(module)) {
        let code = source.production();
        for name in IMPURE {
            for at in words(code, name) {
                findings.push(Finding::new(
                    source,
                    line_at(code, at),
                    format!("{module} is pure: no {name}"),
                ));
            }
        }
        for (at, name) in heads(code, "std::") {
            // `use std::{fs, …}` does not spell the path out.
            let path = format!("std::{name}");
            if IMPURE.contains(&path.as_str()) && !code.get(at..).unwrap_or_default().starts_with(&path) {
                findings.push(Finding::new(
                    source,
                    line_at(code, at),
                    format!("{module} is pure: no {path}"),
                ));
            }
        }
    }
    findings
}

/// The agent's files that are held to the table, each with its module.
fn modules(sources: &[Source]) -> impl Iterator<Item = (&Source, &str)> {
    sources.iter().filter_map(|source| {
        let inside = source
            .path
            .strip_prefix("monitor/src/")
            .filter(|_| source.is_rust())?;
        let module = inside.split('/').next()?.trim_end_matches(".rs");
        (!FREE.contains(&module)).then_some((source, module))
    })
}

/// Line and name of every module of the crate that a file uses.
fn used_modules(source: &Source) -> Vec<(usize, String)> {
    let code = source.production();
    // From a file at the top, `super` is the crate's root; from one below, `super::super`, and so on.
    let inside = source.path.trim_start_matches("monitor/src/");
    let below = usize::from(!inside.ends_with("/mod.rs"));
    let up = "super::".repeat(inside.matches('/').count() + below);
    let from_root = heads(code, "crate::").into_iter();
    let from_above = heads(code, &up).into_iter();
    from_root
        .chain(from_above)
        .map(|(at, name)| (line_at(code, at), name))
        .collect()
}

/// The first names after each `prefix`, those of a `{a, b::c}` group included, each with its place.
fn heads(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, prefix) {
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        let Some(group) = rest.strip_prefix('{') else {
            found.push((at, first_word(rest).to_owned()));
            continue;
        };
        let mut depth = 0_usize;
        let mut expect_name = true;
        for (offset, byte) in group.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 0 => break,
                b'}' => depth -= 1,
                b',' if depth == 0 => expect_name = true,
                _ if expect_name && in_word(byte) => {
                    expect_name = false;
                    found.push((at, first_word(group.get(offset..).unwrap_or_default()).to_owned()));
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a whole list of findings, each as line and text.
    fn expect(found: fn(&[Source]) -> Vec<Finding>, path: &str, text: &str, expected: &[(usize, &str)]) {
        let findings = found(&[Source::new(path, text)]);
        let findings: Vec<_> = findings
            .iter()
            .map(|finding| (finding.line, finding.what.as_str()))
            .collect();
        assert_eq!(findings, expected, "{path}: {text}");
    }

    #[test]
    fn only_edges_of_the_table_are_allowed() {
        let check = |path: &str, text: &str, expected: &[(usize, &str)]| {
            expect(between_modules, path, text, expected);
        };
        check(
            "monitor/src/judge.rs",
            "use crate::model::Alert;\nuse crate::knowledge::Snapshot;\n",
            &[],
        );
        check(
            "monitor/src/judge.rs",
            "\nuse crate::sinks::Sink;\n",
            &[(2, "judge may not use sinks")],
        );
        check(
            "monitor/src/decode/mod.rs",
            "use crate::{model::{self, kernel}, kernel,\n scan::x};",
            &[(1, "decode may not use kernel"), (1, "decode may not use scan")],
        );
        check(
            "monitor/src/decide/a.rs",
            "fn f() { crate::plane::g() }",
            &[(1, "decide may not use plane")],
        );
        check(
            "monitor/src/judge.rs",
            "use super::sinks::Sink;",
            &[(1, "judge may not use sinks")],
        );
        check(
            "monitor/src/catalog/a.rs",
            "use super::kernel; use super::super::kernel;",
            &[(1, "catalog may not use kernel")],
        );
        check(
            "monitor/src/catalog/a/mod.rs",
            "use super::super::kernel;",
            &[(1, "catalog may not use kernel")],
        );
        check(
            "monitor/src/judge.rs",
            "// crate::sinks\n#[cfg(test)]\nmod tests { use crate::sinks; }",
            &[],
        );
        check("monitor/src/cli/scan.rs", "use crate::sinks;", &[]);
        check("monitor/src/novel.rs", "", &[]);
        check(
            "monitor/src/novel.rs",
            "fn f() {}",
            &[(0, "module novel is not in tidy's table of edges")],
        );
        check("xtask/src/novel.rs", "use crate::sinks;", &[]);
    }

    #[test]
    fn a_crate_stays_at_its_station() {
        let check =
            |path: &str, text: &str, expected: &[(usize, &str)]| expect(to_crates, path, text, expected);
        check("monitor/src/kernel/attach.rs", "use aya::Ebpf;", &[]);
        check("monitor/src/cli/mod.rs", "use aya::Ebpf; use clap::Parser;", &[]);
        let what = "scan may not use the crate aya, which belongs to kernel";
        check("monitor/src/scan/mod.rs", "\nfn f() -> aya::Ebpf;", &[(2, what)]);
        let what = "catalog may not use the crate anyhow, which belongs to the command line";
        check("monitor/src/catalog/mod.rs", "use anyhow::Result;", &[(1, what)]);
    }

    #[test]
    fn pure_modules_have_no_input_output_or_clock() {
        let check = |path: &str, text: &str, expected: &[(usize, &str)]| {
            expect(out_of_pure_modules, path, text, expected);
        };
        check(
            "monitor/src/decode/mod.rs",
            "use std::collections::BTreeMap;",
            &[],
        );
        check(
            "monitor/src/decode/mod.rs",
            "use std::fs::File;",
            &[(1, "decode is pure: no std::fs")],
        );
        check(
            "monitor/src/judge.rs",
            "use std::{fmt, net::IpAddr};",
            &[(1, "judge is pure: no std::net")],
        );
        check(
            "monitor/src/model/a.rs",
            "use std::time::{Duration, SystemTime};",
            &[(1, "model is pure: no SystemTime")],
        );
        check(
            "monitor/src/correlate/mod.rs",
            "\ntokio::spawn(f)",
            &[(2, "correlate is pure: no tokio")],
        );
        check("monitor/src/scan/mod.rs", "use std::fs::File;", &[]);
    }

    #[test]
    fn the_tables_name_modules_once_and_only_known_ones() {
        let names: Vec<_> = MODULES.iter().map(|(name, _)| *name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        let used = MODULES
            .iter()
            .chain(&CRATES)
            .flat_map(|(_, used)| used.iter())
            .chain(&PURE)
            .chain(&SHARED);
        used.for_each(|name| assert!(names.contains(name), "{name}"));
    }

    #[test]
    fn no_module_of_the_table_uses_itself_in_a_circle() {
        let mut settled: Vec<&str> = Vec::new();
        let mut open = MODULES.to_vec();
        while !open.is_empty() {
            let before = open.len();
            open.retain(|(name, used)| {
                let ready = used.iter().all(|used| settled.contains(used));
                if ready {
                    settled.push(name);
                }
                !ready
            });
            assert!(open.len() < before, "in a circle: {open:?}");
        }
    }
}
