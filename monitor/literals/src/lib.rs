//! Where many literals stand in bytes, in one pass: a filter over a few bytes at a time, and a comparison where it passes.
//!
//! An Aho-Corasick automaton waits at each byte for the state of the byte before (some 2 ns); the filter's probes wait for
//! nothing, and a processor has many of them under way. Each literal is known by two neighbouring grams of three bytes,
//! the rarest two, so that every second place needs a probe.
//! Invariant: exact and complete: every occurrence of every literal is told, by ascending place. A package of its own, so
//! that a debug build has it optimized; nothing here is generic over what the caller brings. Used by the scanner's
//! prefilter.

/// Bits of a gram's hash: the marks take 16 KiB, so that they stay in the processor's nearest cache.
const HASH_BITS: u32 = 17;
const WORDS: usize = 1 << (HASH_BITS - 6);
/// Places are looked up by these bits of the hash.
const SLOT_BITS: u32 = 12;
const SLOTS: usize = 1 << SLOT_BITS;
/// Occurrences are gathered and sorted in parts of this length.
const PART_BYTES: usize = 16 << 10;
/// In text bytes are folded by this bit; letters of either case and some signs become the same.
const CASE: u32 = 0x2020_2020;
/// Bytes of a gram.
const GRAM: usize = 3;
/// Every how many places there is a probe, and so many grams a literal is known by.
const STEP: usize = 2;
/// What is read at once for a gram.
const LOAD: usize = 4;

/// One gram of one literal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Gram {
    slot: usize,
    hash: u32,
    literal: usize,
    /// Where in the literal it stands.
    offset: usize,
}

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
    longest: usize,
}

impl Literals {
    /// Literals of at least three bytes; with `any_case` they must be in lower case.
    pub fn new(literals: Vec<Vec<u8>>, any_case: bool) -> Self {
        let longest = literals.iter().map(Vec::len).max().unwrap_or(0);
        let mut grams = Vec::new();
        for (number, literal) in literals.iter().enumerate() {
            grams_of(literal, any_case, &mut |hash, offset| {
                grams.push(Gram {
                    slot: slot(hash),
                    hash,
                    literal: number,
                    offset,
                });
            });
        }
        grams.sort_unstable();
        grams.dedup();
        let mut marks = Box::new([0_u64; WORDS]);
        for gram in &grams {
            if let Some(word) = marks.get_mut(word(gram.hash)) {
                *word |= bit(gram.hash);
            }
        }
        let begin = |slot: usize| grams.partition_point(|gram| gram.slot < slot);
        let slots = (0..=SLOTS)
            .map(|slot| u32::try_from(begin(slot)).unwrap_or(u32::MAX))
            .collect();
        Self {
            sought: literals,
            any_case,
            marks,
            grams,
            slots,
            longest,
        }
    }

    /// Calls `hit` with the place and the number of each literal that begins before `limit`, by ascending place.
    pub fn each(&self, bytes: &[u8], limit: usize, hit: &mut dyn FnMut(usize, usize)) {
        let mut places = vec![0; (PART_BYTES.min(bytes.len()) + self.longest) / STEP + 1];
        let mut hits: Vec<(usize, usize)> = Vec::new();
        let limit = limit.min(bytes.len());
        let mut from = 0;
        while from < limit {
            let to = (from + PART_BYTES).min(limit);
            // A literal that begins in the part may have its gram behind the part's end.
            let end = (to + self.longest).min(bytes.len());
            let passed = self.probe(bytes, from, end, &mut places);
            for at in places.iter().take(passed).map(|at| from + *at as usize) {
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
    fn probe(&self, bytes: &[u8], from: usize, to: usize, places: &mut [u32]) -> usize {
        // Parts begin at even places, so that those that are probed are the same in all of them.
        let part = bytes.get(from..to).unwrap_or_default();
        let mut passed = if self.any_case {
            self.probe_all::<CASE>(part, places)
        } else {
            self.probe_all::<0>(part, places)
        };
        // The last places have fewer bytes behind them: zeros stand for what is not there.
        let whole = (part.len() + 1).saturating_sub(LOAD);
        for at in (whole..part.len()).filter(|at| at % STEP == 0) {
            let gram = u32::from_le_bytes(first_of(bytes.get(from + at..).unwrap_or_default()));
            if self.is_marked(hash(gram, self.fold()))
                && let Some(place) = places.get_mut(passed)
            {
                *place = narrow(at);
                passed += 1;
            }
        }
        passed
    }

    /// The same for whole grams: without a branch, so that none is mispredicted and probes overlap.
    fn probe_all<const FOLD: u32>(&self, part: &[u8], places: &mut [u32]) -> usize {
        let marks = &*self.marks;
        let mut passed = 0;
        for (number, gram) in part.windows(LOAD).step_by(STEP).enumerate() {
            let hash = hash(u32::from_le_bytes(first_of(gram)), FOLD);
            let word = marks.get(word(hash)).copied().unwrap_or(0);
            if let Some(place) = places.get_mut(passed) {
                *place = narrow(STEP * number);
            }
            passed += usize::from(word & bit(hash) != 0);
        }
        passed
    }

    fn fold(&self) -> u32 {
        if self.any_case { CASE } else { 0 }
    }

    fn is_marked(&self, hash: u32) -> bool {
        self.marks.get(word(hash)).copied().unwrap_or(0) & bit(hash) != 0
    }

    /// Calls `hit` with the literals that do stand where the gram at `at` says.
    fn confirm(&self, bytes: &[u8], at: usize, hit: &mut impl FnMut(usize, usize)) {
        let gram = first_of(bytes.get(at..).unwrap_or_default());
        let hash = hash(u32::from_le_bytes(gram), self.fold());
        let slot = slot(hash);
        let bound = |slot: usize| self.slots.get(slot).copied().unwrap_or(0) as usize;
        let grams = self.grams.get(bound(slot)..bound(slot + 1)).unwrap_or_default();
        for gram in grams.iter().filter(|gram| gram.hash == hash) {
            let Some((start, literal)) = at.checked_sub(gram.offset).zip(self.sought.get(gram.literal))
            else {
                continue;
            };
            let found = bytes.get(start..start + literal.len());
            let is_there = found.is_some_and(|found| {
                if self.any_case {
                    found.eq_ignore_ascii_case(literal)
                } else {
                    found == literal
                }
            });
            if is_there {
                hit(start, gram.literal);
            }
        }
    }
}

/// Calls `gram` with the hash and the offset of each gram that a literal is known by.
fn grams_of(literal: &[u8], any_case: bool, gram: &mut dyn FnMut(u32, usize)) {
    let fold = if any_case { CASE } else { 0 };
    let rarest = (0..=literal.len().saturating_sub(GRAM + STEP - 1))
        .min_by_key(|at| commonness(literal.get(*at..).unwrap_or_default()))
        .unwrap_or(0);
    for offset in rarest..rarest + STEP {
        let known = literal.get(offset..).unwrap_or_default();
        let bytes = first_of(known);
        if known.len() >= GRAM {
            gram(hash(u32::from_le_bytes(bytes), fold), offset);
            continue;
        }
        // A literal of three bytes: its second gram has a byte more, whichever.
        for next in 0..=u8::MAX {
            let mut bytes = bytes;
            if let Some(last) = bytes.get_mut(GRAM - 1) {
                *last = next;
            }
            gram(hash(u32::from_le_bytes(bytes), fold), offset);
        }
    }
}

#[inline]
fn hash(gram: u32, fold: u32) -> u32 {
    ((gram | fold) & 0x00ff_ffff).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)
}

/// The first bytes; zeros where there are fewer.
#[inline]
fn first_of(bytes: &[u8]) -> [u8; LOAD] {
    if let Some(first) = bytes.first_chunk::<LOAD>() {
        return *first;
    }
    let mut first = [0; LOAD];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}

/// A guess at how often the first two grams of these bytes stand in files, for choosing between those of a literal.
fn commonness(bytes: &[u8]) -> u32 {
    let gram = bytes.get(..GRAM + STEP - 1).unwrap_or(bytes);
    let runs = gram.windows(2).filter(|pair| pair.first() == pair.last()).count();
    let bytes = gram.iter().map(|byte| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' => 8,
        b'a'..=b'z' | b'-' => 6,
        b'0'..=b'9' | b'.' | b'"' | b'/' => 5,
        b'_' | b'=' | b':' => 4,
        _ => 3,
    });
    bytes.sum::<u32>() + 8 * u32::try_from(runs).unwrap_or(0)
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

fn slot(hash: u32) -> usize {
    (hash as usize) % SLOTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What must be found, by looking everywhere.
    fn slowly(literals: &[Vec<u8>], any_case: bool, bytes: &[u8], limit: usize) -> Vec<(usize, usize)> {
        let mut hits = Vec::new();
        for start in 0..limit.min(bytes.len()) {
            for (number, literal) in literals.iter().enumerate() {
                let found = bytes.get(start..start + literal.len());
                if found
                    .is_some_and(|found| found == literal || any_case && found.eq_ignore_ascii_case(literal))
                {
                    hits.push((start, number));
                }
            }
        }
        hits
    }

    fn check(literals: &[&str], any_case: bool, bytes: &[u8], limit: usize) {
        let literals: Vec<Vec<u8>> = literals.iter().map(|l| l.as_bytes().to_vec()).collect();
        let mut hits = Vec::new();
        let found = Literals::new(literals.clone(), any_case);
        found.each(bytes, limit, &mut |start, number| hits.push((start, number)));
        assert_eq!(hits, slowly(&literals, any_case, bytes, limit));
    }

    #[test]
    fn every_occurrence_is_told_wherever_it_stands() {
        let text = b"----BEGIN ghp_ghp_ AKIAAKIA -----BEGIN x st. PASSword passwordpassword st.";
        for shift in 0..40 {
            let bytes = [&vec![b'.'; PART_BYTES - shift][..], text].concat();
            for limit in [bytes.len(), bytes.len() - 5, PART_BYTES, 0] {
                check(
                    &["-----BEGIN ", "----BEGIN ", "ghp_", "AKIA"],
                    false,
                    &bytes,
                    limit,
                );
                check(&["password", "pass", "st.", "begin x"], true, &bytes, limit);
                check(&["st.", "AKIA"], false, &bytes, limit);
            }
        }
        check(&[], false, text, text.len());
        check(&["abc"], true, b"ab", 2);
        check(&["abc", "abcd"], true, b"zabc", 4);
    }

    proptest! {
        #[test]
        fn it_finds_what_looking_everywhere_finds(
            literals in proptest::collection::btree_set("[abA_]{3,7}", 0..12),
            bytes in "[abAB_]{0,300}",
            any_case: bool,
            limit in 0_usize..310,
        ) {
            let literals: std::collections::BTreeSet<String> = literals
                .into_iter()
                .map(|l| if any_case { l.to_ascii_lowercase() } else { l })
                .collect();
            let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
            check(&literals, any_case, bytes.as_bytes(), limit);
        }
    }
}
