//! How long files and functions may be, and how many tests there must be.
//!
//! One file may not pass the hard stop, save for tables named here. The middle and the tail of all files and
//! functions have budgets too: a wide tail is where taste is lost.

use std::fmt;

use super::Finding;
use super::source::{Source, line_at, words};

/// No file of code may be longer.
const FILE_STOP: usize = 600;
/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];

/// A figure of the whole project and what it may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    name: &'static str,
    value: usize,
    limit: usize,
    /// Whether the limit is the least and not the most.
    least: bool,
}

impl Figure {
    fn kept(&self) -> bool {
        if self.least {
            self.value >= self.limit
        } else {
            self.value <= self.limit
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = if self.least { "at least" } else { "at most" };
        write!(
            formatter,
            "{}: {} ({relation} {})",
            self.name, self.value, self.limit
        )
    }
}

/// Files above the hard stop.
pub(super) fn lines(sources: &[Source]) -> Vec<Finding> {
    let long = sources
        .iter()
        .filter(|source| source.is_rust() && source.text.lines().count() > FILE_STOP);
    let long = long.filter(|source| !LONG_FILES.iter().any(|(path, _)| *path == source.path));
    long.map(|source| {
        Finding::new(
            source,
            FILE_STOP + 1,
            format!("above {FILE_STOP} lines: split it by noun"),
        )
    })
    .collect()
}

/// Figures out of their budget.
pub(super) fn figures(sources: &[Source]) -> Vec<Finding> {
    let broken = measure(sources).into_iter().filter(|figure| !figure.kept());
    broken
        .map(|figure| Finding {
            path: "budget".into(),
            line: 0,
            what: figure.to_string(),
        })
        .collect()
}

/// All figures; none if there is no code.
pub(super) fn measure(sources: &[Source]) -> Vec<Figure> {
    let files: Vec<_> = sources.iter().filter(|source| source.is_rust()).collect();
    let production = files.iter().filter(|source| !source.is_test());
    let mut file_lines: Vec<_> = production
        .clone()
        .map(|source| source.text.lines().count())
        .collect();
    let mut function_lines: Vec<_> = production
        .clone()
        .flat_map(|source| functions(source.production()))
        .collect();
    if file_lines.is_empty() {
        return Vec::new();
    }
    let tests: usize = files.iter().map(|source| tests_in(&source.code)).sum();
    let code: usize = production.map(|source| code_lines(source.production())).sum();
    let most = |name, value, limit| Figure {
        name,
        value,
        limit,
        least: false,
    };
    vec![
        most("lines of the middle file", percentile(&mut file_lines, 50), 130),
        most("lines of nine files in ten", percentile(&mut file_lines, 90), 350),
        most(
            "lines of the middle function",
            percentile(&mut function_lines, 50),
            10,
        ),
        most(
            "lines of nine functions in ten",
            percentile(&mut function_lines, 90),
            30,
        ),
        Figure {
            name: "tests in 1000 lines of code",
            value: tests * 1000 / code.max(1),
            limit: 12,
            least: true,
        },
    ]
}

fn code_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

fn tests_in(code: &str) -> usize {
    ["#[test]", "#[tokio::test"]
        .iter()
        .map(|mark| code.matches(mark).count())
        .sum()
}

fn percentile(values: &mut [usize], percent: usize) -> usize {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The length in lines of each function that has a body.
fn functions(code: &str) -> Vec<usize> {
    words(code, "fn ")
        .filter_map(|start| Some(line_at(code, body_end(code, start)?) - line_at(code, start) + 1))
        .collect()
}

/// Where the body of the function that begins at `start` ends.
fn body_end(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            // A declaration has no body; a semicolon in brackets belongs to an array's type.
            b';' if depth == 0 && !in_brackets(code.get(start..at)?) => return None,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return (depth == 1).then_some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn in_brackets(text: &str) -> bool {
    text.matches('[').count() > text.matches(']').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_above_the_hard_stop_is_found() {
        let long = "x\n".repeat(FILE_STOP + 1);
        let sources = [
            Source::new("a.rs", &long),
            Source::new("b.rs", &"x\n".repeat(FILE_STOP)),
            Source::new("c.md", &long),
        ];
        let expected = Finding {
            path: "a.rs".into(),
            line: 601,
            what: "above 600 lines: split it by noun".into(),
        };
        assert_eq!(lines(&sources), [expected]);
    }

    #[test]
    fn functions_are_measured_with_their_bodies() {
        let check = |code: &str, expected: &[usize]| assert_eq!(functions(code), expected, "{code}");
        check("fn a() {}", &[1]);
        check(
            "fn a(\n x: [u8; 3],\n) -> Option<u8>\n{\n if x { y }\n}\nfn b() {\n}",
            &[6, 2],
        );
        check("trait T { fn a(&self); fn b(&self) -> u8 {\n 1\n } }", &[3]);
        check("struct S { f: fn(u8), g: u8 }", &[]);
        check(
            "fn a<T: Into<u8>, F>(f: F) where T: X, F: Fn() -> u8 {\n\n}",
            &[3],
        );
    }

    #[test]
    fn figures_out_of_budget_are_findings() {
        let body = "\n".repeat(40);
        let sources = [Source::new(
            "a.rs",
            &format!("fn a() {{{body}}}\n#[test]\nfn t() {{}}"),
        )];
        let found: Vec<_> = figures(&sources)
            .into_iter()
            .map(|finding| finding.what)
            .collect();
        let expected = ["lines of nine functions in ten: 41 (at most 30)"];
        assert_eq!(found, expected);
        assert_eq!(measure(&[]), []);
        assert_eq!(percentile(&mut [3, 1, 2], 50), 2);
        assert_eq!(percentile(&mut [], 50), 0);
    }
}
