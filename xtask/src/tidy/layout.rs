//! What each file begins with: a `//!` comment of a few lines that says what the file is.

use super::Finding;
use super::source::Source;

const MOST_LINES: usize = 12;

/// Rust files without an opening comment, or with one that is too long.
pub(super) fn opening_comments(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A module of tests says by its name what it is; a crate's root draws the whole picture and may take more room.
    for source in sources
        .iter()
        .filter(|source| source.is_rust() && !source.path.ends_with("/tests.rs"))
    {
        let lines = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .count();
        if lines == 0 {
            findings.push(Finding::new(
                source,
                1,
                "begins without a `//!` comment that says what it is",
            ));
        } else if lines > MOST_LINES && !source.path.ends_with("lib.rs") {
            findings.push(Finding::new(
                source,
                1,
                format!("its opening comment is above {MOST_LINES} lines"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_first_what_it_is() {
        let check = |path: &str, text: &str, expected: &[&str]| {
            let findings = opening_comments(&[Source::new(path, text)]);
            assert_eq!(
                findings
                    .iter()
                    .map(|finding| finding.what.as_str())
                    .collect::<Vec<_>>(),
                expected,
                "{text}"
            );
        };
        let none = "begins without a `//!` comment that says what it is";
        check("a.rs", "//! A noun.\nfn a() {}", &[]);
        check("a.rs", "fn a() {}", &[none]);
        check("a.rs", "// A noun.\nfn a() {}", &[none]);
        check(
            "a.rs",
            &"//! x\n".repeat(13),
            &["its opening comment is above 12 lines"],
        );
        check(
            "monitor/src/lib.rs",
            &format!("{}mod a;", "//! x\n".repeat(20)),
            &[],
        );
        check("monitor/src/a/tests.rs", "fn a() {}", &[]);
        check("a.toml", "a = 1", &[]);
    }
}
