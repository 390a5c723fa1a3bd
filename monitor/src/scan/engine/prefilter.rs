//! One pass over the bytes for all literals of all rules: an Aho-Corasick automaton for each kind of file.
//!
//! Invariant: every hit is reported with every rule that has the literal; in text letters match in either case, in
//! binaries only in their own. Which rules apply to the file's path is the caller's question.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::gate::FileKind;
use crate::scan::rules::{Rule, RuleError, Trigger};

/// The automata.
#[derive(Debug)]
pub(super) struct Prefilter {
    binary: Automaton,
    text: Automaton,
    config: Automaton,
    image: Automaton,
}

#[derive(Debug)]
struct Automaton {
    literals: AhoCorasick,
    /// For each literal the rules that have it, by their place in the table.
    rules: Vec<Vec<usize>>,
}

impl Prefilter {
    pub(super) fn new(rules: &[Rule]) -> Result<Self, RuleError> {
        Ok(Self {
            binary: Automaton::new(rules, FileKind::Binary)?,
            text: Automaton::new(rules, FileKind::Text)?,
            config: Automaton::new(rules, FileKind::Config)?,
            image: Automaton::new(rules, FileKind::Image)?,
        })
    }

    /// Calls `hit` with the place of each literal in `bytes` and each rule that has it, by ascending end.
    pub(super) fn each_hit(&self, kind: FileKind, bytes: &[u8], mut hit: impl FnMut(usize, usize)) {
        let automaton = match kind {
            FileKind::Binary => &self.binary,
            FileKind::Text => &self.text,
            FileKind::Config => &self.config,
            FileKind::Image => &self.image,
        };
        for found in automaton.literals.find_overlapping_iter(bytes) {
            for rule in automaton
                .rules
                .get(found.pattern().as_usize())
                .into_iter()
                .flatten()
            {
                hit(found.start(), *rule);
            }
        }
    }
}

impl Automaton {
    fn new(rules: &[Rule], kind: FileKind) -> Result<Self, RuleError> {
        let mut by_literal: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| kind.has(rule.scope)) {
            let Trigger::Literals(literals) = &rule.trigger else {
                continue;
            };
            for literal in literals {
                let literal = match kind {
                    FileKind::Binary => literal.clone(),
                    FileKind::Text | FileKind::Config | FileKind::Image => literal.to_ascii_lowercase(),
                };
                by_literal.entry(literal).or_default().push(index);
            }
        }
        let literals = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(kind != FileKind::Binary)
            .build(by_literal.keys())
            .map_err(RuleError::Automaton)?;
        Ok(Self {
            literals,
            rules: by_literal.into_values().collect(),
        })
    }
}
