//! No tracked file names a place of the machine it was written on, nor the address of a package registry.
//!
//! What is written here would else not be found on another machine, or bind the project to one mirror.

use super::Finding;
use super::source::Source;

/// Parts of paths that exist on one machine only.
const PLACES: [&str; 4] = ["/work/", "/tmp/lw", "/root/.cargo", "/root/.rustup"];

const REGISTRIES: [&str; 8] = [
    "deb.debian.org",
    "ftp.debian.org",
    "security.debian.org",
    "snapshot.debian.org",
    "archive.ubuntu.com",
    "index.crates.io",
    "static.crates.io",
    "static.rust-lang.org",
];

/// Written by Cargo, or this list itself.
const EXEMPT: [&str; 2] = ["Cargo.lock", "xtask/src/tidy/places.rs"];

/// Lines that name such a place.
pub(super) fn named(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !EXEMPT.contains(&source.path.as_str()))
    {
        for (number, line) in source.text.lines().enumerate() {
            for name in PLACES
                .iter()
                .chain(&REGISTRIES)
                .filter(|name| line.contains(**name))
            {
                findings.push(Finding::new(source, number + 1, format!("names {name}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_registries_are_found_in_any_text() {
        let check = |path: &str, text: &str, expected: &[(usize, &str)]| {
            let findings = named(&[Source::new(path, text)]);
            let found: Vec<_> = findings
                .iter()
                .map(|finding| (finding.line, finding.what.as_str()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("README.md", "see docs/\n/root/.ssh in a layer\nnetwork/\n", &[]);
        check("README.md", "a\ncd /work/main\n", &[(2, "names /work/")]);
        check(
            "a.rs",
            "// /tmp/lw/x\nlet a = \"deb.debian.org\";",
            &[(1, "names /tmp/lw"), (2, "names deb.debian.org")],
        );
        check("Cargo.lock", "index.crates.io", &[]);
    }
}
