//! Reading rule tables: TOML into rules, nothing judged yet beyond what a type can say.
//!
//! Invariant: an unknown key is an error; a rule is complete or there is none. A class that several tables name has all
//! their patterns. Called by `RuleSet`.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;

use super::class::PathClasses;
use super::expression::Expression;
use super::{Example, Rule, RuleError, SPLIT, Scope, Trigger};
use crate::model::{Category, Confidence, RuleId, Severity};
use crate::scan::validate::Validation;

/// One table as it stands in its file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    #[serde(default)]
    classes: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    rule: Vec<RawRule>,
    /// Ids of rules of the tables after this one that are not wanted.
    #[serde(default)]
    pub(super) disable: Vec<String>,
}

impl RawTable {
    /// The ids of its rules.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.rule.iter().map(|rule| rule.id.as_str())
    }
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
    refines: Option<String>,
    #[serde(default)]
    positive: Vec<RawExample>,
    #[serde(default)]
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

/// Parses one table.
pub(super) fn parse(text: &str) -> Result<RawTable, RuleError> {
    toml::from_str(text).map_err(RuleError::Parse)
}

/// The path classes of all tables.
pub(super) fn classes<'a>(tables: impl Iterator<Item = &'a RawTable>) -> Result<PathClasses, RuleError> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, patterns) in tables.flat_map(|table| &table.classes) {
        all.entry(name.clone()).or_default().extend_from_slice(patterns);
    }
    PathClasses::new(&all)
}

/// The rules of a table, in its order.
pub(super) fn rules(table: RawTable, classes: &PathClasses) -> Result<Vec<Rule>, RuleError> {
    table.rule.into_iter().map(|rule| build(rule, classes)).collect()
}

fn build(raw: RawRule, classes: &PathClasses) -> Result<Rule, RuleError> {
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
            .map(|example| {
                read_example(
                    &raw.id,
                    &example.path,
                    example.text.as_deref(),
                    example.base64.as_deref(),
                )
            })
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
        regex: Expression::new(raw.regex),
        validation: raw.validation,
        refines: raw.refines.as_deref().map(RuleId::new),
    })
}

/// The file that a table writes as text or as base64.
pub(super) fn read_example(
    id: &str,
    path: &str,
    text: Option<&str>,
    base64: Option<&str>,
) -> Result<Example, RuleError> {
    let content = match (text, base64) {
        (Some(text), None) => Some(text.replace(SPLIT, "").into_bytes()),
        (None, Some(base64)) => base64::engine::general_purpose::STANDARD.decode(base64).ok(),
        (Some(_), Some(_)) | (None, None) => None,
    };
    let content = content.ok_or_else(|| RuleError::Lint {
        id: id.to_owned(),
        what: "an example has either text or base64".to_owned(),
    })?;
    Ok(Example {
        path: path.to_owned(),
        content,
    })
}
