//! `layerwatch rules`: what the scanner looks for, and whether a user's own rules are good.
//!
//! Invariant: the rules that are printed are those that a scan with the same configuration uses. `--lint` runs a table's
//! examples as the engine runs files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Done;
use super::output::{Item, Output, OutputArguments, note};
use super::tone::Entry;
use crate::app;
use crate::decide;
use crate::model::{Category, Confidence, RuleId, Severity};
use crate::scan::{Rule, RuleSet, example_faults};

/// Flags of `rules`.
#[derive(Debug, Args)]
pub(super) struct RulesArguments {
    /// A file with rules of your own; may be given several times
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Check a file with rules: its form, and each rule on its examples. Exit with 4 if something is wrong
    #[arg(long, value_name = "FILE", conflicts_with = "rules")]
    lint: Option<PathBuf>,
    /// Print the rules for alerts instead: when one is raised, why it matters and what to do
    #[arg(long, conflicts_with_all = ["rules", "lint"])]
    alerts: bool,
    #[command(flatten)]
    output: OutputArguments,
}

/// One rule as it is printed.
#[derive(Debug, Serialize)]
struct RuleRow<'a> {
    id: &'a RuleId,
    title: &'a str,
    category: Category,
    severity: Severity,
    confidence: Confidence,
    gain: &'a str,
    advice: &'a str,
    /// The rule that would find the same, and say less about it.
    refines: Option<&'a RuleId>,
    positive_examples: usize,
    negative_examples: usize,
}

impl<'a> RuleRow<'a> {
    fn new(rule: &'a Rule) -> Self {
        let (positive_examples, negative_examples) = rule.example_counts();
        Self {
            id: &rule.id,
            title: &rule.title,
            category: rule.category,
            severity: rule.severity,
            confidence: rule.confidence,
            gain: &rule.gain,
            advice: &rule.advice,
            refines: rule.refines.as_ref(),
            positive_examples,
            negative_examples,
        }
    }
}

impl Item for RuleRow<'_> {
    const KIND: &'static str = "rule";
    const LIST: &'static str = "rules";
    const COLUMNS: &'static [&'static str] = &["SEVERITY", "CATEGORY", "RULE", "WHAT IT FINDS"];

    fn rows(&self) -> Vec<Vec<Entry>> {
        vec![vec![
            Entry::severity(self.severity),
            Entry::plain(self.category.as_str()),
            Entry::plain(self.id),
            // A user's table may hold anything.
            Entry::outside(self.title),
        ]]
    }
}

/// One rule for alerts as it is printed; words in braces stand for what an alert says there.
#[derive(Debug, Serialize)]
struct AlertRow {
    alert: &'static str,
    outcome: &'static str,
    when: &'static str,
    why: &'static str,
    remedy: &'static str,
}

impl Item for AlertRow {
    const KIND: &'static str = "alert-rule";
    const LIST: &'static str = "alert-rules";
    const COLUMNS: &'static [&'static str] = &["ALERT", "OUTCOME", "WHEN"];

    fn rows(&self) -> Vec<Vec<Entry>> {
        vec![[self.alert, self.outcome, self.when].map(Entry::plain).into()]
    }
}

fn alert_rows() -> Vec<AlertRow> {
    let row = |rule: &decide::Rule| AlertRow {
        alert: rule.alert.as_str(),
        outcome: match rule.outcome {
            decide::Outcome::Alert => "alert",
            decide::Outcome::Record => "record",
        },
        when: rule.when,
        why: rule.why,
        remedy: rule.remedy,
    };
    decide::RULES.iter().map(row).collect()
}

/// Prints the rules, in order of precedence, or checks a file.
pub(super) fn rules(context: &Context, arguments: &RulesArguments) -> Result<Done> {
    if let Some(path) = &arguments.lint {
        return lint(path);
    }
    if arguments.alerts {
        Output::new(arguments.output).list(&alert_rows(), &[])?;
        return Ok(Done::Clean);
    }
    let config = with_own(context, &arguments.rules)?.config(&[])?;
    let rules = RuleSet::with(&app::rule_files(&config.scan.rules)?)?;
    let rows: Vec<RuleRow<'_>> = rules.rules().iter().map(RuleRow::new).collect();
    Output::new(arguments.output).list(&rows, &[])?;
    Ok(Done::Clean)
}

/// The configuration with these rule tables instead of the configured ones, if there are any.
pub(super) fn with_own(context: &Context, files: &[PathBuf]) -> Result<Context> {
    if files.is_empty() {
        return Ok(context.clone());
    }
    let absolute = |file: &PathBuf| {
        let path = file
            .canonicalize()
            .with_context(|| format!("open {}", file.display()))?;
        path.into_os_string()
            .into_string()
            .ok()
            .context("a rule table's name is no text")
    };
    let paths: Vec<String> = files.iter().map(absolute).collect::<Result<_>>()?;
    Ok(context.with("scan.rules", &paths.join(",")))
}

fn lint(path: &Path) -> Result<Done> {
    let files = app::rule_files(&[path.to_owned()])?;
    let own = RuleSet::own_ids(&files)?;
    let rules = RuleSet::with(&files)?;
    let faults = example_faults(rules, |id| own.iter().any(|own| own == id))?;
    for fault in &faults {
        note(&format!(
            "layerwatch: {}: rule {}: {}",
            path.display(),
            fault.rule,
            fault.what
        ));
    }
    if faults.is_empty() {
        note(&format!(
            "layerwatch: {}: {} rules, all well",
            path.display(),
            own.len()
        ));
        return Ok(Done::Clean);
    }
    Ok(Done::Invalid)
}
