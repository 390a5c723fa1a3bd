//! What holds for the tables of rules and of severity steps as such; the plane's scenarios try each row.
//!
//! Invariant: a new row is checked without a change here. Run by the unit tests.

use std::collections::BTreeSet;

use super::*;
use crate::model::{AlertKind, Severity};

#[test]
fn the_last_rule_always_applies() {
    let scene = crate::plane::frames::Scene::new();
    let (sighting, attribution, _) = scene.judged();
    let correlated = Correlated {
        assessment: crate::model::Assessment {
            sighting,
            attribution,
            sanction: None,
            severity: Severity::High,
        },
        unknown: None,
        asker: None,
        count: 1,
    };
    assert!((RULES[RULES.len() - 1].condition)(&correlated));
}

#[test]
fn each_rule_is_told_and_filled() {
    let words = [
        "{user}",
        "{uid}",
        "{did}",
        "{what}",
        "{container}",
        "{owner}",
        "{engine}",
        "{socket}",
        "{others}",
    ];
    let mut told = BTreeSet::new();
    for rule in &RULES {
        assert!(told.insert(rule.when), "two rules say {}", rule.when);
        let rest = words
            .iter()
            .fold(rule.why.to_owned(), |text, word| text.replace(word, ""));
        assert!(!rest.contains(['{', '}']), "unknown word in {}", rule.why);
        assert!(
            rule.why.ends_with('.') && rule.remedy.ends_with('.'),
            "{}",
            rule.when
        );
    }
    let alerts: BTreeSet<_> = RULES.iter().map(|rule| rule.alert).collect();
    let expected = [
        AlertKind::SensitiveLayerRead,
        AlertKind::ForeignContainerRead,
        AlertKind::ForeignStoreRead,
        AlertKind::LayerContentRead,
        AlertKind::RawDeviceRead,
        AlertKind::CacheApiAccess,
    ];
    assert_eq!(alerts, expected.into());
}

#[test]
fn floors_come_before_the_last_ceiling() {
    let last = STEPS.last().unwrap();
    assert_eq!(
        last.bound,
        Bound::Ceiling(Severity::Low),
        "a refusal or a sanction has the last word"
    );
}
