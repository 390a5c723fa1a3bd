//! What a secret looks like: the rule table, as data.
//!
//! Invariant: a `RuleSet` that exists has passed the lint: unique ids, known path classes, regular expressions whose
//! matches are bounded by the rule's own span, literals for every content rule. Read by `engine`; `Rule` is printed by
//! the CLI and tells alerts what a finding means. Order in the table is precedence where two rules match the same bytes.

mod class;
mod hint;
mod lint;
mod table;

#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

pub(super) use class::{ClassSet, PathClasses};
pub(super) use lint::{MAX_AFTER, MAX_BEFORE};

use super::validate::Validation;
use crate::model::{Category, Confidence, RuleId, Severity};

/// The rules that come with the program.
const BUILTIN: &str = include_str!("builtin.toml");

/// Stands in examples where a token would otherwise look real to a forge's push protection; taken out before use.
const SPLIT: char = '§';

/// Why a rule table is refused.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// It is no TOML of the known shape.
    #[error("parse the rule table")]
    Parse(#[source] toml::de::Error),
    /// A rule breaks a rule about rules.
    #[error("rule {id}: {what}")]
    Lint {
        /// The rule or path class.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// A regular expression does not compile.
    #[error("rule {id}: compile its regular expression")]
    Regex {
        /// The rule.
        id: String,
        /// Why not.
        #[source]
        source: Box<regex::Error>,
    },
    /// The automaton over all literals could not be built.
    #[error("build the literal automaton")]
    Automaton(#[source] aho_corasick::BuildError),
}

/// In which files a rule looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// In every file, binaries too: only for distinctive literals.
    Any,
    /// In text.
    Text,
    /// In text whose name says that it configures something.
    Config,
    /// In the texts of an image's configuration.
    Image,
}

/// What makes the engine try a rule's regular expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trigger {
    /// One of these literals, in any case.
    Literals(Vec<Vec<u8>>),
    /// Each line of a file of the rule's path classes.
    Lines,
    /// The first bytes of a file.
    Head,
}

/// A made-up file that a rule must match, or must not.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "examples are counted and, in tests, run")
)]
#[derive(Clone, Debug)]
pub(super) struct Example {
    /// The path below a layer's root, or the field of an image configuration.
    pub(super) path: String,
    /// The content.
    pub(super) content: Vec<u8>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its stable id.
    pub id: RuleId,
    /// One line for people: what it is.
    pub title: String,
    /// What kind of secret.
    pub category: Category,
    /// How bad.
    pub severity: Severity,
    /// How sure a match is.
    pub confidence: Confidence,
    /// What an attacker gains.
    pub gain: String,
    /// What to do.
    pub advice: String,
    pub(super) scope: Scope,
    pub(super) classes: ClassSet,
    pub(super) trigger: Trigger,
    /// How far left of a literal a match can begin, bytes.
    pub(super) before: usize,
    /// How long a match can be, with what the validation reads after it, bytes.
    pub(super) after: usize,
    pub(super) regex: regex::bytes::Regex,
    pub(super) validation: Validation,
    positive: Vec<Example>,
    negative: Vec<Example>,
}

impl Rule {
    /// The made-up files that show what it matches: how many it must match and how many it must not.
    pub fn example_counts(&self) -> (usize, usize) {
        (self.positive.len(), self.negative.len())
    }

    #[cfg(test)]
    pub(super) fn examples(&self) -> (&[Example], &[Example]) {
        (&self.positive, &self.negative)
    }
}

/// A checked rule table.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    classes: PathClasses,
    digest: String,
}

impl RuleSet {
    /// The rules that come with the program.
    pub fn builtin() -> Result<Self, RuleError> {
        Self::parse(BUILTIN)
    }

    /// Parses and checks a rule table (TOML; docs/rules.md describes the keys).
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (rules, classes) = table::parse(text)?;
        lint::check(&rules)?;
        let digest = hex(&Sha256::digest(text.as_bytes()));
        Ok(Self {
            rules,
            classes,
            digest,
        })
    }

    /// All rules, in order of precedence.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of that id.
    pub fn get(&self, id: &RuleId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == *id)
    }

    /// SHA-256 of the table in hex: part of a stored result's identity.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) fn classes(&self) -> &PathClasses {
        &self.classes
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(digit)
        .collect()
}
