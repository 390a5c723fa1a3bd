//! The table of keys and the files made from it.

use std::collections::BTreeSet;

use super::*;

/// The names of all leaves of a value, in dots.
fn leaves(prefix: &str, value: &toml::Value, names: &mut BTreeSet<String>) {
    match value.as_table() {
        Some(table) if keys::find(prefix).is_none() => {
            for (name, inner) in table {
                let dot = if prefix.is_empty() { "" } else { "." };
                leaves(&format!("{prefix}{dot}{name}"), inner, names);
            }
        }
        _ => {
            names.insert(prefix.to_owned());
        }
    }
}

#[test]
fn the_table_is_sound() {
    let names: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    let variables: BTreeSet<String> = KEYS.iter().map(Key::variable).collect();
    assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
    for key in KEYS {
        assert!(key.default_value().is_some(), "{}", key.name);
        assert!(key.meaning.ends_with('.'), "{}", key.name);
    }
    // Every key reaches the raw type, and it takes nothing else: see `deny_unknown_fields`.
    assert!(load_text("", &[], &[]).is_ok());
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section().0).collect();
    sections.dedup();
    assert_eq!(
        sections.len(),
        sections.iter().collect::<BTreeSet<_>>().len(),
        "{sections:?}"
    );
}

#[test]
fn near_names_are_found_and_far_ones_are_not() {
    let known = ["alertmanager.timeout", "web.listen", "log.level"];
    for (name, expected) in [
        ("alertmanager.timeout", Some("alertmanager.timeout")),
        ("alertmanager.tiemout", Some("alertmanager.timeout")),
        ("timeout", Some("alertmanager.timeout")),
        ("listen", Some("web.listen")),
        ("levle", None),
        ("", None),
        ("completely.different", None),
        (&"x".repeat(10_000), None),
    ] {
        assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
    }
}

/// Compares a file of the repository with what the table makes of it; writes it instead under `UPDATE_DOCS=1`.
fn check_file(path: &str, made: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, made).unwrap();
    }
    let found = bounded::read_text(&path, BYTES_MAX).unwrap();
    assert_eq!(
        found,
        made,
        "{}: run this test with UPDATE_DOCS=1",
        path.display()
    );
    found
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let text = check_file("docs/configuration.md", &reference());
    for key in KEYS {
        assert!(
            text.contains(&format!("| `{}`<br>`{}` |", key.name, key.variable())),
            "{}",
            key.name
        );
    }
}

#[test]
fn the_shipped_example_sets_every_key_to_its_default() {
    let text = check_file("deploy/config.toml", &example());
    let mut names = BTreeSet::new();
    leaves("", &toml::from_str(&text).unwrap(), &mut names);
    let known: BTreeSet<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    assert_eq!(names, known);
    let (example, mut defaults) = (
        load_text(&text, &[], &[]).unwrap(),
        load_text("", &[], &[]).unwrap(),
    );
    for (ours, default) in example.settings.all.iter().zip(&defaults.settings.all) {
        assert_eq!((ours.key, &ours.value), (default.key, &default.value));
        assert!(matches!(ours.origin, Origin::File(_)), "{}", ours.key);
    }
    defaults.settings = example.settings.clone();
    assert_eq!(example, defaults);
}
