//! Where many literals stand in bytes, in one pass: a filter over a few bytes at a time, and a comparison where it passes.
//!
//! An Aho-Corasick automaton waits at each byte for the state of the byte before (some 2 ns); the filter's probes wait for
//! nothing, and a processor has many of them under way. Each literal is known by two neighbouring grams of three bytes,
//! the rarest two, so that every second place needs a probe.
//! Invariant: exact and complete: every occurrence of every literal is told, by ascending place. A package of its own, so
//! that a debug build has it optimized; nothing here is generic over what the caller brings. Used by the scanner's
//! prefilter.

mod gram;
#[cfg(test)]
mod tests;

use gram::{CASE, Gram, HASH_BITS, LOAD, REACH, SLOTS, STEP, first_of, hash, head_of, slot};

/// The marks take 16 KiB, so that they stay in the processor's nearest cache.
const WORDS: usize = 1 << (HASH_BITS - 6);
/// Occurrences are gathered and sorted in parts of this length; it is even, so that the same places are probed in all.
const PART_BYTES: usize = 8 << 10;
/// Places of a part that may pass.
const PLACES: usize = (PART_BYTES + REACH) / STEP + 1;

/// A set of literals to look for.
#[derive(Debug)]
pub struct Literals {
    sought: Vec<Vec<u8>>,
    any_case: bool,
    /// A bit for each hash that a gram has.
    marks: Box<[u64; WORDS]>,
    /// By slot.
    grams: Vec<Gram>,
    /// Where in `grams` each slot begins.
    slots: Box<[u32]>,
}

impl Literals {
    /// Literals of at least three bytes; with `any_case` they must be in lower case.
    pub fn new(literals: Vec<Vec<u8>>, any_case: bool) -> Self {
        let mut grams = Vec::new();
        let mut marks = Box::new([0_u64; WORDS]);
        for (number, literal) in literals.iter().enumerate() {
            gram::each_of(literal, number, any_case, &mut |hash, gram| {
                grams.push(gram);
                if let Some(word) = marks.get_mut(word(hash)) {
                    *word |= bit(hash);
                }
            });
        }
        grams.sort_unstable();
        grams.dedup();
        let begin = |slot: usize| grams.partition_point(|gram| gram.slot < slot);
        let slots = (0..=SLOTS).map(|slot| narrow(begin(slot))).collect();
        Self {
            sought: literals,
            any_case,
            marks,
            grams,
            slots,
        }
    }

    /// Calls `hit` with the place and the number of each literal that begins before `limit`, by ascending place.
    pub fn each(&self, bytes: &[u8], limit: usize, hit: &mut dyn FnMut(usize, usize)) {
        let mut places = [0; PLACES];
        let mut hits: Vec<(usize, usize)> = Vec::new();
        let limit = limit.min(bytes.len());
        let mut from = 0;
        while from < limit {
            let to = (from + PART_BYTES).min(limit);
            // A literal that begins in the part may have its gram behind the part's end.
            let end = (to + REACH).min(bytes.len());
            let passed = self.probe(bytes, from, end, &mut places);
            for at in places.iter().take(passed).map(|at| from + usize::from(*at)) {
                self.confirm(bytes, at, &mut |start, literal| {
                    if (from..to).contains(&start) {
                        hits.push((start, literal));
                    }
                });
            }
            hits.sort_unstable();
            for (start, literal) in hits.drain(..) {
                hit(start, literal);
            }
            from = to;
        }
    }

    /// Writes where in `from..to`, counted from `from`, a gram of some literal may stand; how many such places there are.
    fn probe(&self, bytes: &[u8], from: usize, to: usize, places: &mut [u16; PLACES]) -> usize {
        let part = bytes.get(from..to).unwrap_or_default();
        let mut passed = if self.any_case {
            self.probe_all::<CASE>(part, places)
        } else {
            self.probe_all::<0>(part, places)
        };
        // The last places have fewer bytes behind them: zeros stand for what is not there.
        let whole = (part.len() + 1).saturating_sub(LOAD);
        for at in (whole..part.len()).filter(|at| at % STEP == 0) {
            let gram = first_of(bytes.get(from + at..).unwrap_or_default());
            let hash = hash(u32::from_le_bytes(gram), self.fold());
            if self.marks.get(word(hash)).copied().unwrap_or(0) & bit(hash) != 0
                && let Some(place) = places.get_mut(passed)
            {
                *place = place_of(at);
                passed += 1;
            }
        }
        passed
    }

    /// The same for whole grams: without a branch, so that none is mispredicted and probes overlap.
    fn probe_all<const FOLD: u32>(&self, part: &[u8], places: &mut [u16; PLACES]) -> usize {
        let marks = &*self.marks;
        let mut passed = 0;
        for (number, gram) in part.windows(LOAD).step_by(STEP).enumerate() {
            let hash = hash(u32::from_le_bytes(first_of(gram)), FOLD);
            let word = marks.get(word(hash)).copied().unwrap_or(0);
            if let Some(place) = places.get_mut(passed) {
                *place = place_of(STEP * number);
            }
            passed += usize::from(word & bit(hash) != 0);
        }
        passed
    }

    fn fold(&self) -> u32 {
        if self.any_case { CASE } else { 0 }
    }

    /// Calls `hit` with the literals that do stand where the gram at `at` says.
    fn confirm(&self, bytes: &[u8], at: usize, hit: &mut impl FnMut(usize, usize)) {
        let fold = self.fold();
        let gram = first_of(bytes.get(at..).unwrap_or_default());
        let slot = slot(hash(u32::from_le_bytes(gram), fold));
        let bound = |slot: usize| self.slots.get(slot).copied().unwrap_or(0) as usize;
        let grams = self.grams.get(bound(slot)..bound(slot + 1)).unwrap_or_default();
        for gram in grams {
            let Some(start) = at.checked_sub(gram.offset) else {
                continue;
            };
            let rest = bytes.get(start..).unwrap_or_default();
            // Most of what passed the marks ends here, without a look at the literal.
            if head_of(rest, fold) & gram.mask == gram.head
                && self
                    .sought
                    .get(gram.literal)
                    .is_some_and(|l| self.begins(rest, l))
            {
                hit(start, gram.literal);
            }
        }
    }

    fn begins(&self, bytes: &[u8], literal: &[u8]) -> bool {
        bytes.get(..literal.len()).is_some_and(|found| {
            if self.any_case {
                found.eq_ignore_ascii_case(literal)
            } else {
                found == literal
            }
        })
    }
}

#[inline]
fn word(hash: u32) -> usize {
    (hash >> 6) as usize
}

#[inline]
fn bit(hash: u32) -> u64 {
    1 << (hash & 63)
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A place in a part, which is shorter than 64 KiB.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a checked conversion would be a branch in the filter's loop"
)]
fn place_of(at: usize) -> u16 {
    at as u16
}
