//! Package lists of another suite than the machine's own, kept apart from the system's.
//!
//! The archive's address and key are those of the machine's own sources; only the suite's name is replaced, so no
//! address stands in this project. Both of apt's source formats are read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::Apt;
use crate::files;

/// One archive of the machine's own release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Archive {
    address: String,
    suite: String,
    signed_by: Option<String>,
}

/// The lines of apt's configuration for `suites`.
///
/// A suite named `…-security` comes from the machine's security archive, any other from its main archive.
pub(crate) fn list(suites: &[&str]) -> Result<String> {
    let codename = own_suite()?;
    let archives = own_archives()?;
    let mut lines = String::new();
    for suite in suites {
        let model = if suite.ends_with("-security") {
            format!("{codename}-security")
        } else {
            codename.clone()
        };
        let archive = archives.iter().find(|archive| archive.suite == model);
        let archive =
            archive.with_context(|| format!("the machine's sources name no archive for {model}"))?;
        let key = archive
            .signed_by
            .as_ref()
            .map_or(String::new(), |key| format!("[signed-by={key}] "));
        writeln!(lines, "deb {key}{} {suite} main", archive.address)?;
    }
    Ok(lines)
}

/// The name of the machine's own release.
pub(crate) fn own_suite() -> Result<String> {
    codename(&files::read_text(Path::new("/etc/os-release"))?)
}

/// An apt whose lists are those of `suites`, kept in `folder` and read anew.
pub(crate) fn suites(suites: &[&str], folder: &Path) -> Result<Apt> {
    let list = folder.join("sources.list");
    files::write(&list, self::list(suites)?.as_bytes())?;
    files::create_folder(&folder.join("lists/partial"))?;
    files::create_folder(&folder.join("cache/archives/partial"))?;
    let apt = Apt::with_options(vec![
        format!("Dir::Etc::sourcelist={}", list.display()),
        "Dir::Etc::sourceparts=-".into(),
        format!("Dir::State::Lists={}", folder.join("lists").display()),
        format!("Dir::Cache={}", folder.join("cache").display()),
        "Acquire::Languages=none".into(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        "APT::Sandbox::User=root".into(),
    ]);
    apt.update()?;
    Ok(apt)
}

fn codename(os_release: &str) -> Result<String> {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(line
        .context("/etc/os-release names no VERSION_CODENAME")?
        .trim_matches('"')
        .to_owned())
}

fn own_archives() -> Result<Vec<Archive>> {
    let mut archives = Vec::new();
    for path in source_files()? {
        let text = files::read_text(&path)?;
        let deb822 = path.extension().is_some_and(|extension| extension == "sources");
        archives.extend(if deb822 {
            from_stanzas(&text)
        } else {
            from_lines(&text)
        });
    }
    ensure!(!archives.is_empty(), "the machine has no apt sources");
    Ok(archives)
}

fn source_files() -> Result<Vec<PathBuf>> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = Path::new("/etc/apt/sources.list.d");
    if parts.is_dir() {
        for entry in std::fs::read_dir(parts).context("cannot list apt's sources")? {
            paths.push(entry?.path());
        }
    }
    let known = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "list" || end == "sources")
    };
    paths.retain(|path| path.is_file() && known(path));
    paths.sort();
    Ok(paths)
}

/// `deb [options] address suite component…`, one a line.
fn from_lines(text: &str) -> Vec<Archive> {
    text.lines().filter_map(from_line).collect()
}

fn from_line(line: &str) -> Option<Archive> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="));
    Some(Archive {
        address: words.next()?.to_owned(),
        suite: words.next()?.to_owned(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// Stanzas of `Field: value` lines, an empty line between them.
fn from_stanzas(text: &str) -> Vec<Archive> {
    let mut archives = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let line = stanza
                .lines()
                .find(|line| line.to_ascii_lowercase().starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim())
        };
        let Some(address) = field("uris:").and_then(|value| value.split_whitespace().next()) else {
            continue;
        };
        let signed_by = field("signed-by:")
            .filter(|value| value.starts_with('/'))
            .map(str::to_owned);
        for suite in field("suites:").unwrap_or_default().split_whitespace() {
            let (address, suite) = (address.to_owned(), suite.to_owned());
            archives.push(Archive {
                address,
                suite,
                signed_by: signed_by.clone(),
            });
        }
    }
    archives
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(suite: &str, key: Option<&str>) -> Archive {
        Archive {
            address: "a:b".into(),
            suite: suite.into(),
            signed_by: key.map(str::to_owned),
        }
    }

    #[test]
    fn one_line_sources() {
        let check = |text: &str, expected: &[Archive]| assert_eq!(from_lines(text), expected, "{text}");
        check("", &[]);
        check("# deb a:b x main\ndeb-src a:b x main\n", &[]);
        check("deb a:b x main\n", &[archive("x", None)]);
        check(
            "deb [arch=amd64 signed-by=/k] a:b x main\ndeb a:b y\n",
            &[archive("x", Some("/k")), archive("y", None)],
        );
        check("deb [unclosed a:b x main", &[]);
    }

    #[test]
    fn stanza_sources() {
        let check = |text: &str, expected: &[Archive]| assert_eq!(from_stanzas(text), expected, "{text}");
        check("", &[]);
        check("Types: deb\nSuites: x\n", &[]);
        check(
            "Types: deb\n# note\nURIs: a:b\nSuites: x y\nSigned-By: /k\n\nTypes: deb\nURIs: a:b c:d\nSuites: z\n",
            &[
                archive("x", Some("/k")),
                archive("y", Some("/k")),
                archive("z", None),
            ],
        );
    }

    #[test]
    fn codename_is_read_with_or_without_quotes() {
        assert_eq!(
            codename("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap(),
            "bookworm"
        );
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"\n").unwrap(), "trixie");
        assert!(codename("ID=debian\n").is_err());
    }
}
