//! What a literal is known by: two neighbouring grams of three bytes, those that are rarest in files.
//!
//! Invariant: whichever of two neighbouring places is probed, one of the two grams stands there; the bytes of a gram that
//! a short literal does not have stand for every byte. Made once for each set of literals, by `Literals::new`.

/// Bits of a gram's hash.
pub(super) const HASH_BITS: u32 = 17;
/// Grams are looked up by some of the hash's bits.
pub(super) const SLOTS: usize = 1 << 12;
/// In text bytes are folded by this bit; letters of either case and some signs become the same.
pub(super) const CASE: u32 = 0x2020_2020;
/// Bytes of a gram.
const GRAM: usize = 3;
/// Every how many places there is a probe, and so many grams a literal is known by.
pub(super) const STEP: usize = 2;
/// What is read at once for a gram.
pub(super) const LOAD: usize = 4;
/// Grams stand in a literal's first bytes, so that no part of the input has to overlap the next by more.
pub(super) const REACH: usize = 32;
/// What is compared at once of a literal.
const HEAD: usize = 8;

/// Pairs of letters that stand in every other word of prose and programs.
const COMMON: &[u8] =
    b"inerseoreratonsttetienleesthdelmentetalariocotrhelistarorianitexpandgnaednepasratonsamfurmanodilrsce\
    ctgesiveifprfortlakefomopchcatusslopoutptllncicunutyeimhadodclvalts";

/// One gram of one literal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Gram {
    pub(super) slot: usize,
    pub(super) literal: usize,
    /// Where in the literal it stands.
    pub(super) offset: usize,
    /// The literal's first bytes, folded, and which bits of them there are.
    pub(super) head: u64,
    pub(super) mask: u64,
}

/// Calls `gram` with the hash of each gram that a literal is known by.
pub(super) fn each_of(literal: &[u8], number: usize, any_case: bool, gram: &mut dyn FnMut(u32, Gram)) {
    let fold = if any_case { CASE } else { 0 };
    let mask = head_of(&vec![u8::MAX; literal.len()], 0);
    let mut add = |bytes, offset| {
        let hash = hash(u32::from_le_bytes(bytes), fold);
        let known = Gram {
            slot: slot(hash),
            literal: number,
            offset,
            head: head_of(literal, fold) & mask,
            mask,
        };
        gram(hash, known);
    };
    let last = literal.len().min(REACH).saturating_sub(GRAM + STEP - 1);
    let rarest = (0..=last)
        .min_by_key(|at| commonness(literal.get(*at..).unwrap_or_default()))
        .unwrap_or(0);
    for offset in rarest..rarest + STEP {
        let known = literal.get(offset..).unwrap_or_default();
        let mut bytes = first_of(known);
        if known.len() >= GRAM {
            add(bytes, offset);
            continue;
        }
        // A literal of three bytes: its second gram has a byte more, whichever.
        for next in 0..=u8::MAX {
            if let Some(last) = bytes.get_mut(GRAM - 1) {
                *last = next;
            }
            add(bytes, offset);
        }
    }
}

/// A guess at how often the grams that begin with these bytes stand in files, for choosing between those of a literal.
fn commonness(bytes: &[u8]) -> u32 {
    let pairs = bytes.windows(2).take(GRAM + STEP - 2).map(common_pair);
    let pairs: Vec<u32> = pairs.collect();
    let grams = pairs.windows(GRAM - 1).map(|gram| gram.iter().sum());
    grams.max().unwrap_or(u32::MAX)
}

fn common_pair(pair: &[u8]) -> u32 {
    let lower = pair.to_ascii_lowercase();
    let letters = lower.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    match lower.as_slice() {
        // Rulers, blanks, zeros.
        [a, b] if a == b && letters == 0 => 8,
        pair if pair.contains(&b' ') => 6,
        pair if COMMON.windows(2).any(|common| common == pair) => 6,
        _ if letters == 2 => 4,
        _ if letters == 1 => 2,
        _ => 1,
    }
}

#[inline]
pub(super) fn hash(gram: u32, fold: u32) -> u32 {
    ((gram | fold) & 0x00ff_ffff).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)
}

pub(super) fn slot(hash: u32) -> usize {
    (hash as usize) % SLOTS
}

/// The first bytes; zeros where there are fewer.
#[inline]
pub(super) fn first_of(bytes: &[u8]) -> [u8; LOAD] {
    padded(bytes)
}

/// The first bytes of what may be a literal, folded.
#[inline]
pub(super) fn head_of(bytes: &[u8], fold: u32) -> u64 {
    let fold = u64::from(fold);
    u64::from_le_bytes(padded::<HEAD>(bytes)) | fold | fold << 32
}

#[inline]
fn padded<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    if let Some(first) = bytes.first_chunk::<LENGTH>() {
        return *first;
    }
    let mut first = [0; LENGTH];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}
