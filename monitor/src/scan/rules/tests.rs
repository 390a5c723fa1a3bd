//! Every rule's own examples, through the whole scanner, and the rules about rules.

use std::collections::BTreeMap;

use super::expression::Place;
use super::*;
use crate::model::{Finding, ImageId, StoreId};
use crate::scan::{FingerprintKey, Scanner};

fn scanner() -> &'static Scanner {
    static SCANNER: std::sync::LazyLock<Scanner> =
        std::sync::LazyLock::new(|| Scanner::new(RuleSet::builtin().unwrap(), FingerprintKey::new([7; 32])));
    &SCANNER
}

/// What the scanner finds in an example, laid out as a layer or an image configuration.
fn findings(scanner: &Scanner, rule: &Rule, example: &Example) -> Vec<Finding> {
    let root = tempfile::tempdir().unwrap();
    if rule.scope == Scope::Image {
        let text = String::from_utf8(example.content.clone()).unwrap();
        let config = serde_json::json!({"config": {(&example.path): [text]}});
        let path = root.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        return scanner
            .scan_image_config(&path, &StoreId::new("s"), &ImageId::new("i"))
            .unwrap();
    }
    let path = root.path().join(&example.path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &example.content).unwrap();
    let mut findings = Vec::new();
    let summary = scanner
        .scan_directory(root.path(), None, &mut |_| (), &mut |f| findings.push(f))
        .unwrap();
    assert_eq!((summary.files, summary.problems_total), (1, 0), "{}", rule.id);
    findings
}

/// The built-in tables as they lie in the source tree.
pub(super) fn on_disk() -> RuleSet {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scan/rules/builtin");
    let files: Vec<String> = BUILTIN
        .iter()
        .map(|(name, _)| crate::bounded::read_text(&directory.join(format!("{name}.toml")), 1 << 20).unwrap())
        .collect();
    let lying_there = std::fs::read_dir(directory).unwrap().count();
    assert_eq!(files.len(), lying_there, "a table is not built in");
    let tables = files.iter().map(|text| table::parse(text).unwrap()).collect();
    RuleSet::build(tables, 0, files.iter().map(String::as_str)).unwrap()
}

#[test]
fn each_rule_is_right_about_its_examples_and_is_needed() {
    let faults = crate::scan::example_faults(on_disk(), |_| true).unwrap();
    let shown: Vec<String> = faults.iter().map(|f| format!("{}: {}", f.rule, f.what)).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn each_expression_compiles() {
    for rule in on_disk().rules() {
        assert!(rule.regex.compile().is_ok(), "{}", rule.id);
    }
}

/// All that an attacker could want of an example: long runs of the characters that secrets are made of.
fn secrets(rule: &Rule, example: &Example) -> Vec<String> {
    let next = |last: &Place| {
        rule.regex
            .find(&example.content, last.whole.end.max(last.whole.start + 1))
    };
    let places = std::iter::successors(rule.regex.find(&example.content, 0), next);
    let mut secrets: Vec<String> = places
        .map(|place| String::from_utf8_lossy(&example.content[place.secret]).into_owned())
        .filter(|secret| secret.len() >= 6)
        .collect();
    if rule.category == Category::PrivateKey {
        let text = String::from_utf8_lossy(&example.content).into_owned();
        let lines = text.split(['\n', '\\']).map(|line| line.trim().to_owned());
        secrets.extend(lines.filter(|line| line.len() > 24 && !line.contains([' ', ':', '-'])));
    }
    secrets
}

#[test]
fn no_finding_holds_the_secret_in_any_output() {
    let scanner = scanner();
    let mut checked = 0;
    for rule in scanner.rules().rules() {
        for example in rule.examples().0 {
            for finding in findings(scanner, rule, example) {
                let outputs = [
                    serde_json::to_string(&finding).unwrap(),
                    format!("{finding:?}"),
                    finding.excerpt,
                ];
                for secret in secrets(rule, example) {
                    let parts = [secret.as_str(), secret.get(..12).unwrap_or(&secret)];
                    for (output, part) in outputs.iter().flat_map(|o| parts.map(|p| (o, p))) {
                        assert!(!output.contains(part), "{}: {output} holds {part}", rule.id);
                    }
                    checked += 1;
                }
            }
        }
    }
    assert!(checked >= 40, "only {checked} secrets were looked for");
}

#[test]
fn the_same_secret_has_one_fingerprint_however_it_is_written() {
    let scanner = scanner();
    let fingerprints = |id: &str| -> Vec<_> {
        let rule = scanner.rules().get(&RuleId::new(id)).unwrap();
        let found = rule
            .examples()
            .0
            .iter()
            .flat_map(|example| findings(scanner, rule, example));
        found
            .filter(|f| f.rule == rule.id)
            .map(|f| f.fingerprint.0)
            .collect()
    };
    let pem = fingerprints("private-key-pem");
    assert_eq!(pem[0], pem[2], "as lines and escaped in JSON");
    assert_ne!(pem[0], pem[1]);
    assert_eq!(pem[0], fingerprints("private-key-base64")[0]);
    assert_eq!(pem[0], fingerprints("kubeconfig-client-key")[0]);
    assert_eq!(pem[0], fingerprints("gcp-service-account")[0]);
}

/// A table with one good rule, changed.
fn table(replace: &[(&str, &str)]) -> Result<RuleSet, RuleError> {
    let mut text = r#"
        [classes]
        env = [".env"]
        [[rule]]
        id = "a-rule"
        title = "t"
        category = "generic"
        severity = "low"
        confidence = "low"
        gain = "g"
        advice = "a"
        scope = "text"
        classes = ["env"]
        literals = ["abc"]
        regex = "abc(?P<secret>[0-9]{1,9})"
        validation = "password"
        positive = [{path = ".env", text = "abc123456"}]
        negative = [{path = ".env", text = "abc"}]
    "#
    .to_owned();
    for (from, to) in replace {
        assert!(text.contains(from));
        text = text.replace(from, to);
    }
    RuleSet::parse(&text)
}

#[test]
fn a_table_that_breaks_a_rule_about_rules_is_refused() {
    assert!(table(&[]).is_ok());
    for (from, to, why) in [
        ("a-rule", "A Rule", "lower-case"),
        ("title = \"t\"", "title = \"\"", "title"),
        (
            "[\"env\"]\n        literals",
            "[\"nope\"]\n        literals",
            "unknown path class",
        ),
        ("[\"abc\"]", "[]", "no literal"),
        ("[\"abc\"]", "[\"ab\"]", "a literal of 2 bytes"),
        ("{1,9}", "+", "no bound"),
        ("{1,9}", "{1,2000}", "matches 2003 bytes"),
        ("?P<secret>", "?P<other>", "group called secret"),
        (
            "\"text\"\n        classes",
            "\"any\"\n        trigger = \"head\"\n        classes",
            r"begins with \A",
        ),
        ("text = \"abc\"}", "base64 = \"?\"}", "either text or base64"),
    ] {
        let error = table(&[(from, to)]).unwrap_err();
        let RuleError::Lint { what, .. } = &error else {
            panic!("{to}: {error:?}");
        };
        assert!(what.contains(why), "{what} / {why}");
    }
    assert!(matches!(
        table(&[("{1,9}", "{1,9")]),
        Err(RuleError::Regex { .. })
    ));
    assert!(matches!(table(&[("advice", "advise")]), Err(RuleError::Parse(_))));
}

#[test]
fn the_table_covers_each_category_and_has_a_stable_identity() {
    let rules = RuleSet::builtin().unwrap();
    let mut by_category: BTreeMap<Category, usize> = BTreeMap::new();
    for rule in rules.rules() {
        *by_category.entry(rule.category).or_default() += 1;
    }
    assert_eq!(by_category.keys().copied().collect::<Vec<_>>(), Category::ALL);
    assert_eq!(rules.digest(), on_disk().digest());
    assert_ne!(rules.digest(), table(&[]).unwrap().digest());
    assert!(rules.rules().iter().all(|rule| rule.example_counts() != (0, 0)));
}

/// A user's table with the rule of [`table`] under another id and literal.
fn own(id: &str, more: &str) -> RuleFile {
    let text = format!(
        r#"{more}
        [classes]
        own = ["own.key"]
        rails-key = ["own.key"]
        [[rule]]
        id = "{id}"
        title = "t"
        category = "api"
        severity = "low"
        confidence = "low"
        gain = "g"
        advice = "a"
        scope = "text"
        classes = ["own"]
        literals = ["own-"]
        regex = "own-(?P<secret>[0-9]{{1,9}})"
        validation = "password"
        positive = [{{path = "own.key", text = "own-123456"}}]
        negative = [{{path = "own.key", text = "own-"}}]
    "#
    );
    RuleFile {
        name: "own.toml".to_owned(),
        text,
    }
}

#[test]
fn a_users_rules_come_first_replace_and_switch_off() {
    let builtin = RuleSet::builtin().unwrap();
    let with = |file: RuleFile| RuleSet::with(&[file]);
    let added = with(own("own-key", "")).unwrap();
    assert_eq!(added.rules().len(), builtin.rules().len() + 1);
    assert_eq!(added.rules()[0].id.as_str(), "own-key");
    assert_ne!(added.digest(), builtin.digest());
    let extended = added.classes().of(b"own.key");
    assert!(
        extended.meets(added.classes().named("rails-key")),
        "a class is extended"
    );
    let replaced = with(own("vault-root-token", "")).unwrap();
    assert_eq!(replaced.rules().len(), builtin.rules().len());
    assert_eq!(replaced.get(&RuleId::new("vault-root-token")).unwrap().title, "t");
    let disabled = with(own("own-key", "disable = [\"shadow-hash\"]")).unwrap();
    assert!(disabled.get(&RuleId::new("shadow-hash")).is_none());
    assert_eq!(
        crate::scan::example_faults(added, |id| id == "own-key").unwrap(),
        []
    );
}

#[test]
fn a_users_table_that_is_refused_is_named() {
    let broken = RuleFile {
        name: "own.toml".to_owned(),
        text: "rule = 1".to_owned(),
    };
    let large = RuleFile {
        text: "#".repeat(MAX_USER_BYTES + 1),
        ..broken.clone()
    };
    let mut unbounded = own("own-key", "");
    unbounded.text = unbounded.text.replace("{1,9}", "+");
    for (file, expected) in [
        (broken, "rule table own.toml"),
        (unbounded, "rule table own.toml"),
        (large, "the rule tables have more than"),
    ] {
        let error = RuleSet::with(&[file]).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let mut lame = own("own-key", "");
    lame.text = lame
        .text
        .replace("own-123456", "own-")
        .replace("text = \"own-\"", "text = \"own-1234567\"");
    let faults = crate::scan::example_faults(RuleSet::with(&[lame]).unwrap(), |id| id == "own-key").unwrap();
    let told: Vec<_> = faults.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(told, ["it matches its negative own.key",]);
}
