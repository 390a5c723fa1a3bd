//! A rule's regular expression, compiled when it is first needed.
//!
//! Invariant: most rules never meet their literal in a layer, so most expressions are never compiled: a worker starts at
//! once and holds only the automata that it uses. That the built-in ones compile is a test's matter; a user's are
//! compiled when their table is read. Held by `Rule`.

use std::sync::OnceLock;

/// A compiled expression may take this much memory, bytes.
const REGEX_LIMIT: usize = 4 << 20;
/// The states that are built while it runs may take this much, bytes.
const CACHE_LIMIT: usize = 1 << 20;

/// An expression over bytes.
#[derive(Debug)]
pub(in crate::scan) struct Expression {
    text: String,
    compiled: OnceLock<Option<regex::bytes::Regex>>,
}

impl Expression {
    pub(super) fn new(text: String) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }

    pub(in crate::scan) fn text(&self) -> &str {
        &self.text
    }

    /// The automaton; none if the expression is too large, which `compile` tells beforehand.
    pub(in crate::scan) fn regex(&self) -> Option<&regex::bytes::Regex> {
        self.compiled.get_or_init(|| build(&self.text).ok()).as_ref()
    }

    /// Whether it compiles.
    pub(super) fn compile(&self) -> Result<(), regex::Error> {
        build(&self.text).map(|regex| {
            self.compiled.get_or_init(|| Some(regex));
        })
    }
}

fn build(text: &str) -> Result<regex::bytes::Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(text)
        .unicode(false)
        .size_limit(REGEX_LIMIT)
        .dfa_size_limit(CACHE_LIMIT)
        .build()
}
