//! The literals of all rules, for each kind of file: where they stand, and which rules have them; and the rules without.
//!
//! Invariant: every hit is reported with every rule that has the literal; in text letters match in either case, in
//! binaries only in their own. Which rules apply to the file's path is the caller's question.

use std::collections::BTreeMap;

use layerwatch_literals::Literals;

use super::gate::FileKind;
use crate::scan::rules::{ClassSet, Rule, Trigger};

/// What is looked for in each kind of file.
#[derive(Debug)]
pub(super) struct Prefilter {
    binary: Table,
    text: Table,
    config: Table,
    image: Table,
    /// Rules without a literal that look into files of any path.
    anywhere: Vec<usize>,
    /// Those that look into files of some path classes.
    classed: Vec<usize>,
}

#[derive(Debug)]
struct Table {
    literals: Literals,
    /// For each literal the rules that have it, by their place in the table.
    rules: Vec<Vec<usize>>,
}

impl Prefilter {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let without = rules.iter().enumerate().filter(|(_, rule)| match rule.trigger {
            Trigger::Literals(_) => false,
            Trigger::Lines | Trigger::Head => true,
        });
        let (anywhere, classed): (Vec<_>, Vec<_>) = without.partition(|(_, rule)| rule.classes.is_empty());
        let numbers = |rules: Vec<(usize, &Rule)>| rules.into_iter().map(|(number, _)| number).collect();
        Self {
            anywhere: numbers(anywhere),
            classed: numbers(classed),
            binary: Table::new(rules, FileKind::Binary),
            text: Table::new(rules, FileKind::Text),
            config: Table::new(rules, FileKind::Config),
            image: Table::new(rules, FileKind::Image),
        }
    }

    /// The rules without a literal that may look into a file of these path classes.
    pub(super) fn without_literals(&self, classes: ClassSet) -> impl Iterator<Item = usize> {
        let some = if classes.is_empty() { 0 } else { self.classed.len() };
        self.anywhere
            .iter()
            .chain(self.classed.iter().take(some))
            .copied()
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
