//! The literals of all rules, for each kind of file: where they stand, and which rules have them.
//!
//! Invariant: every hit is reported with every rule that has the literal; in text letters match in either case, in
//! binaries only in their own. Which rules apply to the file's path is the caller's question.

use std::collections::BTreeMap;

use layerwatch_literals::Literals;

use super::gate::FileKind;
use crate::scan::rules::{Rule, Trigger};

/// What is looked for in each kind of file.
#[derive(Debug)]
pub(super) struct Prefilter {
    binary: Table,
    text: Table,
    config: Table,
    image: Table,
}

#[derive(Debug)]
struct Table {
    literals: Literals,
    /// For each literal the rules that have it, by their place in the table.
    rules: Vec<Vec<usize>>,
}

impl Prefilter {
    pub(super) fn new(rules: &[Rule]) -> Self {
        Self {
            binary: Table::new(rules, FileKind::Binary),
            text: Table::new(rules, FileKind::Text),
            config: Table::new(rules, FileKind::Config),
            image: Table::new(rules, FileKind::Image),
        }
    }

    /// Calls `hit` with the place of each literal that begins before `limit` and each rule that has it, by ascending place.
    pub(super) fn each_hit(
        &self,
        kind: FileKind,
        bytes: &[u8],
        limit: usize,
        mut hit: impl FnMut(usize, usize),
    ) {
        let table = match kind {
            FileKind::Binary => &self.binary,
            FileKind::Text => &self.text,
            FileKind::Config => &self.config,
            FileKind::Image => &self.image,
        };
        table.literals.each(bytes, limit, &mut |start, literal| {
            for rule in table.rules.get(literal).into_iter().flatten() {
                hit(start, *rule);
            }
        });
    }
}

impl Table {
    fn new(rules: &[Rule], kind: FileKind) -> Self {
        let any_case = kind != FileKind::Binary;
        let mut by_literal: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| kind.has(rule.scope)) {
            let Trigger::Literals(literals) = &rule.trigger else {
                continue;
            };
            for literal in literals {
                let literal = if any_case {
                    literal.to_ascii_lowercase()
                } else {
                    literal.clone()
                };
                by_literal.entry(literal).or_default().push(index);
            }
        }
        let (literals, rules) = by_literal.into_iter().unzip();
        Self {
            literals: Literals::new(literals, any_case),
            rules,
        }
    }
}
