//! A rule table put to its own examples: the proof that each rule works, and that each is needed.
//!
//! Invariant: an example is run as the engine runs a file, not against the expression alone. Called by
//! `layerwatch rules --lint` and by the tests of the built-in table.

use super::engine::Scanner;
use super::redact::FingerprintKey;
use super::rules::{Example, Rule, RuleError, RuleSet, Scope};
use crate::model::RuleId;

/// Why a rule says nothing about a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its literal does not stand there, or its path class is another.
    Untried,
    /// Its expression does not match.
    Expression,
    /// Its expression matches, and the validation refuses what matched.
    Validation,
}

/// Where a rule stops on a file of that path and content; nothing if it matches, or if there is no such rule.
pub fn refusal(scanner: &Scanner, rule: &RuleId, path: &str, content: &[u8]) -> Option<Refusal> {
    let rule = scanner.rules().get(rule)?;
    let example = Example {
        path: path.to_owned(),
        content: content.to_vec(),
    };
    if ids(scanner, rule, &example, None).contains(&rule.id.as_str()) {
        return None;
    }
    let is_matched = || rule.regex.find(content, 0).is_some();
    Some(if !rule.is_tried(scanner.rules(), &example) {
        Refusal::Untried
    } else if is_matched() {
        Refusal::Validation
    } else {
        Refusal::Expression
    })
}

/// What is wrong with a rule's examples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExampleFault {
    /// The rule.
    pub rule: String,
    /// What is wrong.
    pub what: String,
}

/// Runs the examples of the rules that `wanted` names; empty if all is well.
///
/// A positive is matched by its rule and no other. Without the rule it is not matched at all, or only by the rule that
/// it refines. A negative is one that the rule is tried on, and nothing in it is matched by the rule.
pub fn example_faults(rules: RuleSet, wanted: impl Fn(&str) -> bool) -> Result<Vec<ExampleFault>, RuleError> {
    let scanner = Scanner::new(rules, FingerprintKey::new([0; 32]));
    let mut faults = Vec::new();
    for (number, rule) in scanner.rules().rules().iter().enumerate() {
        if wanted(rule.id.as_str()) {
            let of_rule = check(&scanner, number, rule);
            faults.extend(of_rule.into_iter().map(|what| ExampleFault {
                rule: rule.id.to_string(),
                what,
            }));
        }
    }
    Ok(faults)
}

fn check(scanner: &Scanner, number: usize, rule: &Rule) -> Vec<String> {
    let (positive, negative) = rule.examples();
    let mut faults = Vec::new();
    if positive.is_empty() || negative.is_empty() {
        faults.push("it has at least one positive and one negative example".to_owned());
    }
    for example in positive {
        let found = ids(scanner, rule, example, None);
        if found != [rule.id.as_str()] {
            faults.push(format!("its positive {} is matched by {found:?}", example.path));
        }
    }
    let needed = positive.iter().any(|example| {
        let others = ids(scanner, rule, example, Some(number));
        let refined = rule.refines.as_ref().map(RuleId::as_str);
        match refined {
            None => others.is_empty(),
            Some(refined) => others == [refined],
        }
    });
    if !needed && !positive.is_empty() {
        let example = positive
            .first()
            .map(|example| ids(scanner, rule, example, Some(number)));
        faults.push(format!("without it its positives are matched by {example:?}"));
    }
    for example in negative {
        if !rule.is_tried(scanner.rules(), example) {
            faults.push(format!("its negative {} is never tried", example.path));
        }
        if ids(scanner, rule, example, None).contains(&rule.id.as_str()) {
            faults.push(format!("it matches its negative {}", example.path));
        }
    }
    faults
}

/// The rules that match in an example, each once.
fn ids<'s>(scanner: &'s Scanner, rule: &Rule, example: &Example, muted: Option<usize>) -> Vec<&'s str> {
    let kept = if rule.scope == Scope::Image {
        scanner.scan_text_without(&example.content, muted)
    } else {
        scanner.scan_bytes(example.path.as_bytes(), &example.content, muted)
    };
    let rules = scanner.rules().rules();
    let mut ids: Vec<&str> = kept
        .iter()
        .filter_map(|kept| rules.get(kept.rule))
        .map(|rule| rule.id.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
