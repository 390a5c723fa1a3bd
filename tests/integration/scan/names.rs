//! Names that are made to write into a terminal, a log or a report: each format shows them escaped, and programs get them
//! back whole.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use layerwatch::model::text::unescape;
use layerwatch_tests::output;
use layerwatch_tests::scene::Scene;
use serde_json::Value;

use super::{command, ready};

const PASSWORD: &[u8] = b"db:5432:shop:shopper:kV9-made-up-1\n";
const FORMATS: [&str; 4] = ["table", "json", "jsonl", "sarif"];

/// Folders with a password file each.
const NAMES: [&[u8]; 8] = [
    b"plain",
    b"new\nline",
    b"tab\tcr\rback\\slash",
    b"esc\x1b[31m\x1b]0;title\x07",
    b"c1\xc2\x9b31m",
    b"bidi\xe2\x80\xae",
    b"no text\xff\xfe",
    b"quotes\"'<b>&%20",
];

/// The names, a path longer than a screen, and a password before a hole.
fn hostile(scene: &Scene) -> Result<Vec<Vec<u8>>> {
    let tree = scene.path().join("hostile");
    let mut paths: Vec<Vec<u8>> = NAMES.iter().map(|name| name.to_vec()).collect();
    paths.push([[b'n'; 250].as_slice(); 15].join(&b'/'));
    for path in &mut paths {
        let folder = tree.join(OsStr::from_bytes(path));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(".pgpass"), PASSWORD)?;
        path.extend(b"/.pgpass");
    }
    let hole = tree.join("hole");
    std::fs::create_dir(&hole)?;
    std::fs::write(hole.join(".pgpass"), PASSWORD)?;
    File::options()
        .write(true)
        .open(hole.join(".pgpass"))?
        .set_len(1 << 36)?;
    paths.push(b"hole/.pgpass".to_vec());
    paths.sort();
    Ok(paths)
}

/// Text in which nothing moves a cursor.
fn harmless(what: &str, bytes: &[u8]) -> Result<String> {
    let text = String::from_utf8(bytes.to_vec()).with_context(|| format!("{what} is no text"))?;
    let bad: Vec<char> = text
        .chars()
        .filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}')
        .collect();
    assert_eq!(bad, Vec::<char>::new(), "{what}");
    Ok(text)
}

/// The paths that programs get, as bytes.
fn paths_in(format: &str, text: &str) -> Result<Vec<Vec<u8>>> {
    let whole = || serde_json::from_str::<Value>(text);
    let escaped = |finding: &Value| finding["path"].as_str().map(unescape);
    let mut paths: Vec<Vec<u8>> = match format {
        "json" => whole()?["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(escaped)
            .collect(),
        "jsonl" => text
            .lines()
            .filter_map(|line| escaped(&serde_json::from_str(line).ok()?))
            .collect(),
        _ => whole()?["runs"][0]["results"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|result| {
                let place = &result["locations"][0]["physicalLocation"];
                place["artifactLocation"]["uri"].as_str().map(decoded)
            })
            .collect(),
    };
    paths.sort();
    Ok(paths)
}

/// Percent-decoding (RFC 3986, section 2.1).
fn decoded(uri: &str) -> Vec<u8> {
    let mut parts = uri.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend(rest.as_bytes());
    }
    bytes
}

#[test]
fn a_name_is_shown_escaped_and_given_whole() -> Result<()> {
    if !ready("hostile names", &[])? {
        return Ok(());
    }
    let scene = Scene::new()?;
    std::fs::create_dir(scene.path().join("state"))?;
    let expected = hostile(&scene)?;
    let tree = scene.path().join("hostile").display().to_string();
    for format in FORMATS {
        let shown = output(&mut command(&scene, &["scan", &tree, "-o", format])?)?;
        harmless("stderr", &shown.stderr)?;
        let text = harmless(format, &shown.stdout)?;
        assert_eq!(shown.status.code(), Some(0), "{format}");
        if format == "table" {
            assert_eq!(text.lines().count(), expected.len() + 1, "{text}");
            assert!(text.lines().all(|line| line.chars().count() < 400), "{text}");
        } else {
            assert_eq!(paths_in(format, &text)?, expected, "{format}");
        }
    }
    Ok(())
}

#[test]
fn an_error_names_its_subject_escaped() -> Result<()> {
    if !ready("hostile arguments", &["mkfifo"])? {
        return Ok(());
    }
    let scene = Scene::new()?;
    std::fs::create_dir(scene.path().join("state"))?;
    let name = OsStr::from_bytes(b"esc\x1b[2J\xe2\x80\xae");
    let pipe = scene.path().join(name);
    layerwatch_tests::run(std::process::Command::new("mkfifo").arg(&pipe))?;
    for target in [name, pipe.as_os_str()] {
        let mut scan = command(&scene, &["scan"])?;
        let shown = output(scan.arg(Path::new(target)))?;
        let said = harmless("the error", &shown.stderr)?;
        assert_eq!(shown.status.code(), Some(1), "{said}");
        assert!(said.contains("esc\\x1b[2J\\u{202e}"), "{said}");
    }
    Ok(())
}
