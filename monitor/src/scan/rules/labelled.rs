//! No rule can go unseen: for each there are files outside the tables that it, and no other, must find.
//!
//! The files are the written ones of the labelled corpus and, for the rules whose files there are all made by programs,
//! `sole.toml`. Invariant: the tables are read from the source tree, so that a rule taken out is met without a build.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::tests::on_disk;
use super::*;
use crate::scan::{FingerprintKey, Scanner};

/// Its written files are whole configurations, which other tests read.
const IMAGE_RULE: &str = "image-config-secret";

/// What the corpus has besides does not matter here.
#[derive(Deserialize)]
struct Files {
    positive: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    rule: String,
    path: String,
    text: Option<String>,
    base64: Option<String>,
}

fn files() -> Vec<File> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/accuracy");
    let read = |name: &str| crate::bounded::read_text(&directory.join(name), 1 << 20).unwrap();
    let parse = |name: &str| toml::from_str::<Files>(&read(name)).unwrap().positive;
    let written = parse("written.toml");
    let mut files: Vec<File> = written
        .into_iter()
        .filter(|file| file.rule != IMAGE_RULE)
        .collect();
    files.extend(parse("sole.toml"));
    files
}

/// The rules that find something in a file, with the rule of that number left out.
fn found(scanner: &Scanner, file: &File, left_out: Option<usize>) -> BTreeSet<String> {
    let example = table::read_example(
        &file.rule,
        &file.path,
        file.text.as_deref(),
        file.base64.as_deref(),
    );
    let content = example.unwrap().content;
    let kept = if file.rule == IMAGE_RULE {
        scanner.scan_text_without(&content, left_out)
    } else {
        scanner.scan_bytes(file.path.as_bytes(), &content, left_out)
    };
    let rules = scanner.rules().rules();
    kept.iter().map(|kept| rules[kept.rule].id.to_string()).collect()
}

/// What finds a file instead of its rule, by rule and path.
fn faults<'f>(
    scanner: &Scanner,
    files: impl Iterator<Item = &'f File>,
    left_out: Option<usize>,
) -> BTreeMap<(&'f str, &'f str), BTreeSet<String>> {
    files
        .map(|file| {
            (
                (file.rule.as_str(), file.path.as_str()),
                found(scanner, file, left_out),
            )
        })
        .filter(|((rule, _), found)| *found != BTreeSet::from([(*rule).to_owned()]))
        .collect()
}

#[test]
fn each_rule_has_files_outside_the_tables_that_it_alone_finds() {
    let scanner = Scanner::new(on_disk(), FingerprintKey::new([5; 32]));
    let files = files();
    let of_rules: BTreeSet<&str> = scanner.rules().rules().iter().map(|r| r.id.as_str()).collect();
    let of_files: BTreeSet<&str> = files.iter().map(|file| file.rule.as_str()).collect();
    assert_eq!(of_rules, of_files);
    assert_eq!(faults(&scanner, files.iter(), None), BTreeMap::new());
    // And whichever of them goes, each of its files is one that the line above would show.
    for (number, rule) in scanner.rules().rules().iter().enumerate() {
        let own = || files.iter().filter(|file| file.rule == rule.id.as_str());
        let lost = faults(&scanner, own(), Some(number));
        let rows: BTreeSet<(&str, &str)> = own().map(|f| (f.rule.as_str(), f.path.as_str())).collect();
        assert_eq!(lost.into_keys().collect::<BTreeSet<_>>(), rows);
    }
}
