//! Reading the rule table: TOML into rules, nothing judged yet beyond what a type can say.
//!
//! Invariant: an unknown key is an error; a rule is complete or there is none. Called by `RuleSet::parse`.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;

use super::class::PathClasses;
use super::{Example, Rule, RuleError, SPLIT, Scope, Trigger};
use crate::model::{Category, Confidence, RuleId, Severity};
use crate::scan::validate::Validation;

/// Compiled regular expressions may take this much memory each, bytes.
const REGEX_LIMIT: usize = 2 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    classes: BTreeMap<String, Vec<String>>,
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    title: String,
    category: Category,
    severity: Severity,
    confidence: Confidence,
    gain: String,
    advice: String,
    scope: Scope,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    trigger: RawTrigger,
    #[serde(default)]
    literals: Vec<String>,
    #[serde(default = "default_before")]
    before: usize,
    #[serde(default = "default_after")]
    after: usize,
    regex: String,
    validation: Validation,
    positive: Vec<RawExample>,
    negative: Vec<RawExample>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum RawTrigger {
    #[default]
    Literals,
    Lines,
    Head,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExample {
    path: String,
    text: Option<String>,
    base64: Option<String>,
}

fn default_before() -> usize {
    128
}

fn default_after() -> usize {
    1024
}

/// The rules of a table in its order, and its path classes.
pub(super) fn parse(text: &str) -> Result<(Vec<Rule>, PathClasses), RuleError> {
    let raw: RawTable = toml::from_str(text).map_err(RuleError::Parse)?;
    let classes = PathClasses::new(&raw.classes)?;
    let rules = raw
        .rule
        .into_iter()
        .map(|rule| build(rule, &classes))
        .collect::<Result<_, _>>()?;
    Ok((rules, classes))
}

fn build(raw: RawRule, classes: &PathClasses) -> Result<Rule, RuleError> {
    let regex = regex::bytes::RegexBuilder::new(&raw.regex)
        .unicode(false)
        .size_limit(REGEX_LIMIT)
        .dfa_size_limit(REGEX_LIMIT)
        .build()
        .map_err(|source| RuleError::Regex {
            id: raw.id.clone(),
            source: Box::new(source),
        })?;
    let named = classes.set(&raw.classes).map_err(|what| RuleError::Lint {
        id: raw.id.clone(),
        what,
    })?;
    let trigger = match raw.trigger {
        RawTrigger::Literals => Trigger::Literals(raw.literals.into_iter().map(String::into_bytes).collect()),
        RawTrigger::Lines => Trigger::Lines,
        RawTrigger::Head => Trigger::Head,
    };
    let examples = |raw_examples: Vec<RawExample>| {
        raw_examples
            .into_iter()
            .map(|example| read_example(&raw.id, example))
            .collect::<Result<_, _>>()
    };
    Ok(Rule {
        positive: examples(raw.positive)?,
        negative: examples(raw.negative)?,
        id: RuleId::new(&raw.id),
        title: raw.title,
        category: raw.category,
        severity: raw.severity,
        confidence: raw.confidence,
        gain: raw.gain,
        advice: raw.advice,
        scope: raw.scope,
        classes: named,
        trigger,
        before: raw.before,
        after: raw.after,
        regex,
        validation: raw.validation,
    })
}

fn read_example(id: &str, raw: RawExample) -> Result<Example, RuleError> {
    let content = match (raw.text, raw.base64) {
        (Some(text), None) => Some(text.replace(SPLIT, "").into_bytes()),
        (None, Some(base64)) => base64::engine::general_purpose::STANDARD.decode(base64).ok(),
        (Some(_), Some(_)) | (None, None) => None,
    };
    let content = content.ok_or_else(|| RuleError::Lint {
        id: id.to_owned(),
        what: "an example has either text or base64".to_owned(),
    })?;
    Ok(Example {
        path: raw.path,
        content,
    })
}
