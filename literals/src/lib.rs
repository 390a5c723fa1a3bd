//! Where many literals stand in bytes, in one pass: a filter over a few bytes at a time, and a comparison where it passes.
//!
//! An Aho-Corasick automaton waits at each byte for the state of the byte before (some 2 ns); the filter's probes wait for
//! nothing, and a processor has many of them under way. Each literal is known by a gram of it, the rarest; the bytes are
//! probed at each place, or at every second where all literals are long enough to be known by two neighbouring grams.
//! Invariant: exact and complete: every occurrence of every literal is told, by ascending place. A package of its own, so that a debug build has it
//! optimized; nothing here is generic over what the caller brings. Used by the scanner's prefilter.

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
/// The longest gram.
const WIDE: usize = 4;

/// How bytes are probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Probe {
    /// Bytes of a gram.
    width: usize,
    /// Every how many places.
    step: usize,
    fold: u32,
}

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
    literals: Vec<Vec<u8>>,
    any_case: bool,
    probe: Probe,
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
        let shortest = literals.iter().map(Vec::len).min().unwrap_or(WIDE);
        let longest = literals.iter().map(Vec::len).max().unwrap_or(0);
        let probe = Probe::of(shortest, any_case);
        let mut grams = Vec::new();
        for (number, literal) in literals.iter().enumerate() {
            probe.grams_of(literal, &mut |hash, offset| {
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
            literals,
            any_case,
            probe,
            marks,
            grams,
            slots,
            longest,
        }
    }

    /// Calls `hit` with the place and the number of each literal that begins before `limit`, by ascending place.
    pub fn each(&self, bytes: &[u8], limit: usize, hit: &mut dyn FnMut(usize, usize)) {
        let mut places = vec![0; PART_BYTES + self.longest];
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
        let part = bytes.get(from..to).unwrap_or_default();
        // Parts begin at even places, so that those that are probed are the same in all of them.
        let with_next = bytes
            .get(from..(to + WIDE - 1).min(bytes.len()))
            .unwrap_or_default();
        let grams = with_next.windows(WIDE);
        let mut passed = match self.probe {
            Probe::TEXT => self.probe_all::<CASE, WIDE>(grams, 1, places),
            Probe::EVERY_SECOND => self.probe_all::<0, 3>(grams.step_by(2), 2, places),
            _ => self.probe_all::<0, WIDE>(grams, 1, places),
        };
        // The last places of all have fewer bytes behind them: zeros stand for what is not there.
        let whole = (with_next.len() + 1).saturating_sub(WIDE);
        for at in (whole..part.len()).filter(|at| at % self.probe.step == 0) {
            let gram = first_of(part.get(at..).unwrap_or_default());
            if self.is_marked(self.probe.hash(u32::from_le_bytes(gram)))
                && let Some(place) = places.get_mut(passed)
            {
                *place = narrow(at);
                passed += 1;
            }
        }
        passed
    }

    /// The same for whole grams: without a branch, so that none is mispredicted and probes overlap.
    #[inline(always)]
    fn probe_all<'b, const FOLD: u32, const WIDTH: usize>(
        &self,
        grams: impl Iterator<Item = &'b [u8]>,
        step: u32,
        places: &mut [u32],
    ) -> usize {
        let marks = &*self.marks;
        let mut passed = 0;
        let mut at = 0;
        for gram in grams {
            let hash = hash(u32::from_le_bytes(first_of(gram)), FOLD, WIDTH);
            let word = marks.get(word(hash)).copied().unwrap_or(0);
            if let Some(place) = places.get_mut(passed) {
                *place = at;
            }
            passed += usize::from(word & bit(hash) != 0);
            at += step;
        }
        passed
    }

    fn is_marked(&self, hash: u32) -> bool {
        self.marks.get(word(hash)).copied().unwrap_or(0) & bit(hash) != 0
    }

    /// Calls `hit` with the literals that do stand where the gram at `at` says.
    fn confirm(&self, bytes: &[u8], at: usize, hit: &mut impl FnMut(usize, usize)) {
        let gram = first_of(bytes.get(at..).unwrap_or_default());
        let hash = self.probe.hash(u32::from_le_bytes(gram));
        let slot = slot(hash);
        let bound = |slot: usize| self.slots.get(slot).copied().unwrap_or(0) as usize;
        let grams = self.grams.get(bound(slot)..bound(slot + 1)).unwrap_or_default();
        for gram in grams.iter().filter(|gram| gram.hash == hash) {
            let Some((start, literal)) = at.checked_sub(gram.offset).zip(self.literals.get(gram.literal))
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

impl Probe {
    const TEXT: Self = Self {
        width: WIDE,
        step: 1,
        fold: CASE,
    };
    const EVERY: Self = Self {
        fold: 0,
        ..Self::TEXT
    };
    /// Two neighbouring grams of three bytes fit into a literal of four.
    const EVERY_SECOND: Self = Self {
        width: 3,
        step: 2,
        fold: 0,
    };

    fn of(shortest: usize, any_case: bool) -> Self {
        match (any_case, shortest) {
            (true, _) => Self::TEXT,
            (false, ..4) => Self::EVERY,
            (false, _) => Self::EVERY_SECOND,
        }
    }

    fn hash(self, gram: u32) -> u32 {
        hash(gram, self.fold, self.width)
    }

    /// Calls `gram` with the hash and the offset of each gram that a literal is known by.
    fn grams_of(self, literal: &[u8], gram: &mut dyn FnMut(u32, usize)) {
        let places = self.width + self.step - 1;
        if literal.len() < places {
            // Too short: known by all of it, whatever byte follows.
            for next in 0..=u8::MAX {
                let mut bytes = first_of(literal);
                if let Some(last) = bytes.get_mut(literal.len()) {
                    *last = next;
                }
                gram(self.hash(u32::from_le_bytes(bytes)), 0);
            }
            return;
        }
        let rarest = (0..=literal.len() - places)
            .min_by_key(|at| commonness(literal.get(*at..at + places).unwrap_or_default()))
            .unwrap_or(0);
        for offset in rarest..rarest + self.step {
            let bytes = first_of(literal.get(offset..).unwrap_or_default());
            gram(self.hash(u32::from_le_bytes(bytes)), offset);
        }
    }
}

#[inline]
fn hash(gram: u32, fold: u32, width: usize) -> u32 {
    let mask = u32::MAX >> (8 * (WIDE - width));
    ((gram | fold) & mask).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)
}

/// The first bytes; zeros where there are fewer.
#[inline]
fn first_of(bytes: &[u8]) -> [u8; WIDE] {
    if let Some(first) = bytes.first_chunk::<WIDE>() {
        return *first;
    }
    let mut first = [0; WIDE];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}

/// A guess at how often such bytes stand in files, for choosing between the grams of a literal.
fn commonness(gram: &[u8]) -> u32 {
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
