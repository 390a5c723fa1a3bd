//! How accurate the scanner is on the project's own labelled corpus: every secret is found by the rule that is for it,
//! and where there is none nothing is found.
//!
//! `cargo xtask bench accuracy` has the corpus left in a folder of its own and puts others to it.

mod corpus;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use corpus::Sample;
use layerwatch::model::{ImageId, RuleId, StoreId};
use layerwatch::scan::{FingerprintKey, Refusal, RuleSet, Scanner, refusal};

/// The file with the labels, beside the layers.
const LABELS: &str = "labels.tsv";
/// Such a rule looks at image configurations.
const IMAGE_RULE: &str = "image-config-secret";

/// The rules that found something in a layer.
fn found(scanner: &Scanner, sample: &Sample) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    if sample.rule == IMAGE_RULE {
        let path = sample.layer.join(&sample.path);
        let findings = scanner
            .scan_image_config(&path, &StoreId::new("s"), &ImageId::new("i"))
            .unwrap();
        rules.extend(findings.iter().map(|finding| finding.rule.to_string()));
    } else {
        let mut note = |finding: layerwatch::model::Finding| {
            rules.insert(finding.rule.to_string());
        };
        let summary = scanner
            .scan_directory(&sample.layer, None, &mut |_| (), &mut note)
            .unwrap();
        assert_eq!((summary.files, summary.problems_total), (1, 0), "{}", sample.path);
    }
    rules
}

/// The folder that the labels and layers stay in, if somebody wants them.
fn kept_folder() -> Option<PathBuf> {
    std::env::var_os("LAYERWATCH_CORPUS").map(PathBuf::from)
}

#[test]
fn every_secret_of_the_corpus_is_found_by_its_rule_and_nothing_else_is() {
    let scratch = tempfile::tempdir().unwrap();
    let root = kept_folder().unwrap_or_else(|| scratch.path().join("layers"));
    let work = scratch.path().join("w");
    std::fs::create_dir_all(&work).unwrap();
    let samples = corpus::make(&root, &work).unwrap();
    let rules = RuleSet::builtin().unwrap();
    let category: BTreeMap<String, &str> = rules
        .rules()
        .iter()
        .map(|rule| (rule.id.to_string(), rule.category.as_str()))
        .collect();
    let scanner = Scanner::new(RuleSet::builtin().unwrap(), FingerprintKey::new([3; 32])).unwrap();
    let mut faults: BTreeMap<String, usize> = BTreeMap::new();
    let mut labels = String::new();
    for sample in &samples {
        let found = found(&scanner, sample);
        let expected: BTreeSet<String> = sample.positive.then(|| sample.rule.clone()).into_iter().collect();
        if found != expected {
            let fault = format!("{}\t{}\t{}", sample.path, rules_of(&expected), rules_of(&found));
            *faults.entry(fault).or_default() += 1;
        }
        writeln!(
            labels,
            "{}\t{}\t{}\t{}\t{}",
            if sample.positive { "positive" } else { "negative" },
            category.get(&sample.rule).unwrap_or(&"none"),
            sample.rule,
            if found.is_empty() { "silent" } else { "found" },
            relative(&root, sample)
        )
        .unwrap();
    }
    if kept_folder().is_some() {
        std::fs::write(root.join(LABELS), labels).unwrap();
    }
    assert_eq!(faults, known_faults(), "of {} files", samples.len());
    assert_size(&samples, &rules);
    assert_near(&scanner, &samples);
}

/// A negative of a rule is one that the rule nearly takes: its literal stands there, and its expression matches what its
/// validation refuses.
fn assert_near(scanner: &Scanner, samples: &[Sample]) {
    let mut far = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in samples.iter().filter(|s| !s.positive && !s.rule.is_empty()) {
        let content = layerwatch::bounded::read(&sample.layer.join(&sample.path), 1 << 20).unwrap();
        let refused = refusal(scanner, &RuleId::new(&sample.rule), &sample.path, &content);
        let name = match refused {
            Some(Refusal::Validation) => "validation",
            Some(Refusal::Expression) => "expression",
            Some(Refusal::Untried) => "untried",
            None => "none",
        };
        *counts.entry(name).or_default() += 1;
        if refused != Some(Refusal::Validation) {
            far.push(format!("{}\t{}\t{name}", sample.rule, sample.path));
        }
    }
    assert_eq!(far, Vec::<String>::new(), "{counts:?}");
}

fn rules_of(rules: &BTreeSet<String>) -> String {
    let names: Vec<&str> = rules.iter().map(String::as_str).collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(",")
    }
}

/// The faults that are known, with how many files have each.
fn known_faults() -> BTreeMap<String, usize> {
    let lines = include_str!("../../fixtures/accuracy/faults.tsv").lines();
    let faults = lines.filter(|line| !line.starts_with('#'));
    faults
        .map(|line| {
            let (count, fault) = line.split_once('\t').unwrap();
            (fault.to_owned(), count.parse().unwrap())
        })
        .collect()
}

fn relative(root: &Path, sample: &Sample) -> String {
    let path = sample.layer.join(&sample.path);
    path.strip_prefix(root).unwrap().display().to_string()
}

/// As many files as the corpus promises, most of them by real programs, and each rule on both sides.
fn assert_size(samples: &[Sample], rules: &RuleSet) {
    let count = |wanted: &dyn Fn(&Sample) -> bool| samples.iter().filter(|sample| wanted(sample)).count();
    let positive = count(&|sample| sample.positive);
    let made = count(&|sample| sample.made);
    let negative = count(&|sample| !sample.positive);
    assert!(
        positive >= 400 && negative >= 400,
        "{positive} positives, {negative} negatives"
    );
    assert!(
        made * 10 >= positive * 7,
        "{made} of {positive} were made by programs"
    );
    for rule in rules.rules() {
        let is_there = |positive| {
            samples
                .iter()
                .any(|s| s.positive == positive && s.rule == rule.id.as_str())
        };
        assert!(is_there(true), "no positive for {}", rule.id);
        assert!(is_there(false), "no negative for {}", rule.id);
    }
}
