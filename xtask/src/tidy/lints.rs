//! The lint table is inherited by every package, exceptions carry a reason, unsafe code says why it is sound.

use super::Finding;
use super::source::{Source, in_word, line_at, words};

/// How many lines above unsafe code its reason may stand: a statement can begin a little earlier. It may also be the
/// first line of the block.
const REASON_REACH: usize = 4;

/// Packages that do not inherit the workspace's lints.
pub(super) fn inheritance(sources: &[Source]) -> Vec<Finding> {
    let manifests = sources
        .iter()
        .filter(|source| source.path.ends_with("Cargo.toml"));
    let packages = manifests.filter(|source| source.text.contains("[package]"));
    let bare = packages.filter(|source| !inherits(&source.text));
    bare.map(|source| {
        Finding::new(
            source,
            0,
            "does not inherit the lints: `[lints] workspace = true`",
        )
    })
    .collect()
}

fn inherits(manifest: &str) -> bool {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    lines.any(|line| line == "workspace = true")
        || manifest
            .lines()
            .any(|line| line.trim() == "lints.workspace = true")
}

/// `allow` in an attribute: it stays when the reason is gone, where `expect` would complain.
pub(super) fn exceptions(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (start, attribute) in attributes(&source.code) {
            if words(attribute, "allow")
                .any(|at| attribute.get(at..).is_some_and(|rest| rest.starts_with("allow(")))
            {
                let line = line_at(&source.code, start);
                findings.push(Finding::new(source, line, "`allow`: use `expect` with a reason"));
            }
        }
    }
    findings
}

/// Unsafe blocks and implementations without a `SAFETY:` comment.
pub(super) fn unsafe_code(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let lines: Vec<_> = source.text.lines().collect();
        for at in words(&source.code, "unsafe").filter(|at| needs_reason(&source.code, *at)) {
            let line = line_at(&source.code, at);
            let near = lines
                .get(line.saturating_sub(1 + REASON_REACH)..lines.len().min(line + 1))
                .unwrap_or_default();
            if !near.iter().any(|text| text.contains("SAFETY:")) {
                findings.push(Finding::new(source, line, "unsafe code without a SAFETY comment"));
            }
        }
    }
    findings
}

/// Whether this is a block or an implementation; a function only hands the duty on, an attribute is none.
fn needs_reason(code: &str, at: usize) -> bool {
    let rest = code.get(at + "unsafe".len()..).unwrap_or_default().trim_start();
    rest.starts_with('{')
        || rest
            .strip_prefix("impl")
            .is_some_and(|rest| !rest.bytes().next().is_some_and(in_word))
}

/// Start and text of each attribute.
fn attributes(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices('#').filter_map(|(start, _)| {
        let rest = code.get(start..)?;
        let open = if rest.starts_with("#![") { 2 } else { 1 };
        (rest.as_bytes().get(open) == Some(&b'[')).then_some(())?;
        let mut depth = 0_usize;
        let end = rest.bytes().position(|byte| {
            depth += usize::from(byte == b'[');
            depth -= usize::from(byte == b']' && depth > 0);
            byte == b']' && depth == 0
        })?;
        Some((start, rest.get(..end)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: fn(&[Source]) -> Vec<Finding>, path: &str, text: &str, lines: &[usize]) {
        let findings = found(&[Source::new(path, text)]);
        assert_eq!(
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            lines,
            "{text}"
        );
    }

    #[test]
    fn a_package_inherits_the_lints() {
        let check = |text, lines| check(inheritance, "a/Cargo.toml", text, lines);
        check("[package]\nname = 'a'\n\n[lints]\nworkspace = true\n", &[]);
        check("lints.workspace = true\n[package]\n", &[]);
        check("[package]\nname = 'a'\n", &[0]);
        check("[package]\nedition.workspace = true\n[lints]\n", &[0]);
        check("[workspace]\n", &[]);
    }

    #[test]
    fn exceptions_are_expectations() {
        let check = |text, lines| check(exceptions, "a.rs", text, lines);
        check("#[expect(unused, reason = \"x\")]\nfn a() {}", &[]);
        check("\n#[allow(unused)]\nfn a() {}", &[2]);
        check("#![allow(unused)]", &[1]);
        check("#![cfg_attr(test, allow(unused))]", &[1]);
        check("#[derive(Debug)]\nfn allow(x: [u8; 1]) { self.allow(x) }", &[]);
        check("// #[allow(unused)]", &[]);
    }

    #[test]
    fn unsafe_code_has_its_reason_close_by() {
        let check = |text, lines| check(unsafe_code, "a.rs", text, lines);
        check("// SAFETY: it is.\nlet a = unsafe { f() };", &[]);
        check("fn a() {\n unsafe {\n // SAFETY: it is.\n f() }\n}", &[]);
        check("fn a() {\n unsafe { f() }\n}", &[2]);
        check("unsafe impl Send for A {}", &[1]);
        check("// SAFETY: no pointer.\nunsafe impl Send for A {}", &[]);
        check(
            "unsafe fn a() {}\n#[unsafe(no_mangle)]\n#[expect(unsafe_code)]\nfn b() {}",
            &[],
        );
        check("// SAFETY: far away.\n\n\n\n\nunsafe { f() }", &[6]);
        check("// unsafe { }\nlet a = \"unsafe { }\";", &[]);
    }
}
