//! Rules about rules, checked once when a table is read.
//!
//! Invariant: what the engine relies on is checked here, so that it holds for a user's table too: a match cannot be
//! longer than the span the reader keeps, a literal is long enough to be rare, the secret has a name in the expression.

use std::collections::BTreeSet;

use super::{Rule, RuleError, Scope, Trigger};

/// The reader keeps this many bytes after a hit; no rule may ask for more.
pub(in crate::scan) const MAX_AFTER: usize = 16 << 10;
/// The reader keeps this many bytes before a hit.
pub(in crate::scan) const MAX_BEFORE: usize = 1 << 10;
const MIN_LITERAL: usize = 3;

/// Checks all rules; the first fault is the error.
pub(super) fn check(rules: &[Rule]) -> Result<(), RuleError> {
    let mut ids = BTreeSet::new();
    for rule in rules {
        let fault = if ids.insert(&rule.id) {
            fault(rule)
        } else {
            Some("the id is not unique".to_owned())
        };
        if let Some(what) = fault {
            let id = rule.id.to_string();
            return Err(RuleError::Lint { id, what });
        }
    }
    Ok(())
}

fn fault(rule: &Rule) -> Option<String> {
    text_fault(rule)
        .or_else(|| trigger_fault(rule))
        .or_else(|| regex_fault(rule))
}

fn text_fault(rule: &Rule) -> Option<String> {
    let id = rule.id.as_str();
    if id.is_empty() || !id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Some("an id is lower-case words joined by hyphens".to_owned());
    }
    for (name, text) in [
        ("title", &rule.title),
        ("gain", &rule.gain),
        ("advice", &rule.advice),
    ] {
        if text.is_empty() || text.len() > 200 {
            return Some(format!("its {name} has 1 to 200 characters"));
        }
    }
    None
}

fn trigger_fault(rule: &Rule) -> Option<String> {
    match &rule.trigger {
        Trigger::Literals(literals) if literals.is_empty() => Some("it has no literal".to_owned()),
        Trigger::Literals(literals) => literals
            .iter()
            .find(|literal| literal.len() < MIN_LITERAL || literal.len() > rule.after)
            .map(|literal| format!("a literal of {} bytes", literal.len())),
        Trigger::Lines if rule.classes.is_empty() => {
            Some("looking at each line needs path classes".to_owned())
        }
        Trigger::Head if !rule.regex.text().contains(r"\A") => {
            Some(r"an expression on a file's head begins with \A".to_owned())
        }
        Trigger::Lines | Trigger::Head => None,
    }
}

fn regex_fault(rule: &Rule) -> Option<String> {
    if rule.after > MAX_AFTER || rule.before > MAX_BEFORE {
        return Some(format!(
            "it may look {MAX_BEFORE} bytes back and {MAX_AFTER} bytes ahead"
        ));
    }
    if rule.scope == Scope::Any && rule.regex.text().contains("(?i)") {
        return Some("in binaries literals are matched in their own case only".to_owned());
    }
    if rule.regex.text().matches("(?P<secret>").count() != 1 {
        return Some("its expression has not one group called secret".to_owned());
    }
    match maximum_length(rule.regex.text()) {
        None => Some("its expression has no bound on the length of a match".to_owned()),
        Some(length) if length > rule.after => Some(format!("its expression matches {length} bytes")),
        Some(_) => None,
    }
}

fn maximum_length(expression: &str) -> Option<usize> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build();
    parser.parse(expression).ok()?.properties().maximum_len()
}
