//! What a secret looks like: the rule table, as data.
//!
//! Invariant: a `RuleSet` that exists has passed the lint: unique ids, known path classes, regular expressions whose
//! matches are bounded by the rule's own span, literals for every content rule. Read by `engine`; `Rule` is printed by
//! the CLI and tells alerts what a finding means. Order in the table is precedence where two rules match the same bytes.

mod class;
mod expression;
mod hint;
#[cfg(test)]
mod labelled;
mod lint;
mod table;

#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

pub(super) use class::{ClassSet, PathClasses};
use expression::Expression;
pub(super) use lint::{MAX_AFTER, MAX_BEFORE};

use super::validate::Validation;
use crate::model::{Category, Confidence, RuleId, Severity};

/// The rules that come with the program, in order of precedence.
const BUILTIN: [(&str, &str); 15] = [
    ("keys", include_str!("builtin/keys.toml")),
    ("keystores", include_str!("builtin/keystores.toml")),
    ("accounts", include_str!("builtin/accounts.toml")),
    ("mail", include_str!("builtin/mail.toml")),
    ("network", include_str!("builtin/network.toml")),
    ("cloud", include_str!("builtin/cloud.toml")),
    ("forge", include_str!("builtin/forge.toml")),
    ("registry", include_str!("builtin/registry.toml")),
    ("database", include_str!("builtin/database.toml")),
    ("kubernetes", include_str!("builtin/kubernetes.toml")),
    ("infrastructure", include_str!("builtin/infrastructure.toml")),
    ("messaging", include_str!("builtin/messaging.toml")),
    ("payment", include_str!("builtin/payment.toml")),
    ("api", include_str!("builtin/api.toml")),
    ("generic", include_str!("builtin/generic.toml")),
];
/// All of a user's tables together, bytes.
pub(in crate::scan) const MAX_USER_BYTES: usize = 128 << 10;

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
    /// A user's table is refused.
    #[error("rule table {file}")]
    File {
        /// Its file.
        file: String,
        /// Why.
        #[source]
        source: Box<RuleError>,
    },
    /// A user's tables are too large.
    #[error("the rule tables have more than {MAX_USER_BYTES} bytes together")]
    TooLarge,
    /// A regular expression does not compile.
    #[error("rule {id}: compile its regular expression")]
    Regex {
        /// The rule.
        id: String,
        /// Why not.
        #[source]
        source: Box<regex_automata::meta::BuildError>,
    },
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
    pub(super) regex: Expression,
    pub(super) validation: Validation,
    /// The rule that would find the same, and say less about it.
    pub refines: Option<RuleId>,
    positive: Vec<Example>,
    negative: Vec<Example>,
}

impl Rule {
    /// The made-up files that show what it matches: how many it must match and how many it must not.
    pub fn example_counts(&self) -> (usize, usize) {
        (self.positive.len(), self.negative.len())
    }

    /// Whether the engine would run the expression on an example: its literal stands there, or its path class fits.
    pub(super) fn is_tried(&self, rules: &RuleSet, example: &Example) -> bool {
        let lower = example.content.to_ascii_lowercase();
        let classes = rules.classes().of(example.path.as_bytes());
        let in_class = self.classes.is_empty() || self.classes.meets(classes);
        let has_literal = match &self.trigger {
            Trigger::Literals(literals) => literals
                .iter()
                .any(|literal| memchr::memmem::find(&lower, &literal.to_ascii_lowercase()).is_some()),
            Trigger::Lines | Trigger::Head => true,
        };
        in_class && has_literal
    }

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

/// A user's rule table.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// Its file's name, for errors.
    pub name: String,
    /// Its content, TOML.
    pub text: String,
}

impl RuleSet {
    /// The rules that come with the program.
    pub fn builtin() -> Result<Self, RuleError> {
        Self::with(&[])
    }

    /// The built-in rules after those of `files`; a rule with a built-in one's id takes its place.
    pub fn with(files: &[RuleFile]) -> Result<Self, RuleError> {
        if files.iter().map(|file| file.text.len()).sum::<usize>() > MAX_USER_BYTES {
            return Err(RuleError::TooLarge);
        }
        let mut tables = Vec::new();
        for file in files {
            tables.push(table::parse(&file.text).map_err(|error| error.of(file))?);
        }
        let own = tables.len();
        for (_, text) in BUILTIN {
            tables.push(table::parse(text)?);
        }
        let builtin = BUILTIN.iter().map(|(_, text)| *text);
        let texts = files.iter().map(|file| file.text.as_str()).chain(builtin);
        Self::build(tables, own, texts).map_err(|error| match files {
            [file] => error.of(file),
            _ => error,
        })
    }

    /// The ids of the rules that stand in these tables.
    pub fn own_ids(files: &[RuleFile]) -> Result<Vec<String>, RuleError> {
        let mut ids = Vec::new();
        for file in files {
            let table = table::parse(&file.text).map_err(|error| error.of(file))?;
            ids.extend(table.ids().map(str::to_owned));
        }
        Ok(ids)
    }

    /// Parses and checks one rule table alone.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        Self::build(vec![table::parse(text)?], 1, std::iter::once(text))
    }

    /// The first `own` tables are a user's.
    fn build<'t>(
        tables: Vec<table::RawTable>,
        own: usize,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<Self, RuleError> {
        let classes = table::classes(tables.iter())?;
        let disabled: Vec<String> = tables.iter().flat_map(|table| table.disable.clone()).collect();
        let mut rules: Vec<Rule> = Vec::new();
        let mut users = 0;
        for (number, table) in tables.into_iter().enumerate() {
            let is_own = number < own;
            for rule in table::rules(table, &classes)? {
                let replaced = !is_own && rules.iter().take(users).any(|earlier| earlier.id == rule.id);
                let unwanted = !is_own && disabled.iter().any(|id| id == rule.id.as_str());
                if is_own {
                    rule.regex.compile().map_err(|source| RuleError::Regex {
                        id: rule.id.to_string(),
                        source,
                    })?;
                }
                if !replaced && !unwanted {
                    rules.push(rule);
                }
            }
            if is_own {
                users = rules.len();
            }
        }
        lint::check(&rules)?;
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        Ok(Self {
            rules,
            classes,
            digest: hex(&hash.finalize()),
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

impl RuleError {
    fn of(self, file: &RuleFile) -> Self {
        Self::File {
            file: file.name.clone(),
            source: Box::new(self),
        }
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
