//! Tests that could not run: what was recorded in this run, and the list of those that were reviewed.
//!
//! A test records `name<TAB>reason`, one a line. The reviewed list is `tests/skips.toml`: `[[skip]]` with `test` and
//! `reason`, which says why the skip may stand.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// A test that did not run, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Skip {
    pub(super) test: String,
    pub(super) reason: String,
}

/// Records a skip of a step of this program.
pub(super) fn record(file: &Path, test: &str, reason: &str) -> Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(file)
        .context("cannot open the list of skips")?;
    file.write_all(format!("{test}\t{reason}\n").as_bytes())
        .context("cannot record a skip")
}

/// The recorded skips, each once.
pub(super) fn recorded(text: &str) -> Vec<Skip> {
    let skips = text
        .lines()
        .map(|line| line.split_once('\t').unwrap_or((line, "no reason given")));
    let mut skips: Vec<_> = skips
        .map(|(test, reason)| Skip {
            test: test.to_owned(),
            reason: reason.to_owned(),
        })
        .collect();
    skips.sort();
    skips.dedup();
    skips
}

/// The reviewed list.
pub(super) fn reviewed(text: &str) -> Result<Vec<Skip>> {
    let table: toml::Table = text.parse().context("tests/skips.toml")?;
    let mut skips = Vec::new();
    for (key, value) in &table {
        ensure!(key == "skip", "tests/skips.toml: unknown key {key}");
        for entry in value.as_array().context("tests/skips.toml: `skip` is a list")? {
            let field = |name| {
                let text = entry
                    .get(name)
                    .and_then(toml::Value::as_str)
                    .filter(|text| !text.is_empty());
                text.map(str::to_owned)
                    .with_context(|| format!("tests/skips.toml: an entry has no {name}"))
            };
            ensure!(
                entry.as_table().is_some_and(|entry| entry.len() == 2),
                "tests/skips.toml: unknown key in {entry}"
            );
            skips.push(Skip {
                test: field("test")?,
                reason: field("reason")?,
            });
        }
    }
    Ok(skips)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(test: &str, reason: &str) -> Skip {
        Skip {
            test: test.into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn recorded_skips_are_read_once_each() {
        assert_eq!(recorded(""), []);
        assert_eq!(
            recorded("b\tno b\na\tno a\nb\tno b\nc\n"),
            [skip("a", "no a"), skip("b", "no b"), skip("c", "no reason given")]
        );
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        record(file.path(), "deny", "not here").unwrap();
        assert_eq!(
            recorded(&crate::files::read_text(file.path()).unwrap()),
            [skip("deny", "not here")]
        );
    }

    #[test]
    fn the_reviewed_list_is_strict() {
        assert_eq!(reviewed("").unwrap(), []);
        assert_eq!(
            reviewed("[[skip]]\ntest = 'a'\nreason = 'b'\n").unwrap(),
            [skip("a", "b")]
        );
        let check = |text: &str, expected: &str| {
            let message = format!("{:#}", reviewed(text).unwrap_err());
            assert!(message.contains(expected), "{message}");
        };
        check("[[skip]]\ntest = 'a'\n", "unknown key");
        check("[[skip]]\ntest = 'a'\nreason = ''\n", "no reason");
        check("[[skip]]\ntest = 'a'\nreason = 'b'\nx = 1\n", "unknown key");
        check("[[skips]]\ntest = 'a'\n", "unknown key skips");
        check("skip", "tests/skips.toml");
    }
}
