//! A rule's regular expression, compiled when it is first needed.
//!
//! Invariant: most rules never meet their literal in a layer, so most expressions are never compiled: a worker starts at
//! once and holds only the automata that it uses. That the built-in ones compile is a test's matter; a user's are
//! compiled when their table is read. Held by `Rule`.

use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::syntax;
use regex_automata::{Input, PatternID};

/// A compiled expression may take this much memory, bytes.
const REGEX_LIMIT: usize = 4 << 20;
/// The states that are built while it runs may take this much, bytes.
const CACHE_LIMIT: usize = 1 << 20;
/// So may an automaton that is only there to find the secret in a match faster. `regex`, which builds on the same crate, allows
/// a megabyte for it; most of what all the rules took was these, and few matches are ever looked into.
const ONE_PASS_LIMIT: usize = 16 << 10;
/// The group that every expression has.
const SECRET: &str = "secret";

/// An expression over bytes.
#[derive(Debug)]
pub(in crate::scan) struct Expression {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

/// Where it matches, and where in that the secret stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::scan) struct Place {
    pub(in crate::scan) whole: Range<usize>,
    pub(in crate::scan) secret: Range<usize>,
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

    /// The first match that begins at `at` or later; none too if the expression is too large, which `compile` tells
    /// beforehand.
    pub(in crate::scan) fn find(&self, haystack: &[u8], at: usize) -> Option<Place> {
        let regex = self.compiled.get_or_init(|| build(&self.text).ok()).as_ref()?;
        let group = regex.group_info().to_index(PatternID::ZERO, SECRET)?;
        let mut captures = regex.create_captures();
        regex.search_captures(&Input::new(haystack).range(at..), &mut captures);
        Some(Place {
            whole: captures.get_match()?.range(),
            secret: captures.get_group(group)?.range(),
        })
    }

    /// Whether it compiles.
    pub(super) fn compile(&self) -> Result<(), Box<BuildError>> {
        build(&self.text).map(|regex| {
            self.compiled.get_or_init(|| Some(regex));
        })
    }
}

fn build(text: &str) -> Result<Regex, Box<BuildError>> {
    let limits = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(REGEX_LIMIT))
        .hybrid_cache_capacity(CACHE_LIMIT)
        .onepass_size_limit(Some(ONE_PASS_LIMIT));
    Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(limits)
        .build(text)
        .map_err(Box::new)
}
