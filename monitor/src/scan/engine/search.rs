//! From literal hits to matches that stand, one buffer at a time.
//!
//! Invariant: the work on a buffer is linear in its length for each rule, however many hits it has: a rule's expression
//! runs over each byte at most three times. Of one file the worst [`MAX_FILE_FINDINGS`] are kept; where two rules match
//! the same bytes the one that stands first in the table wins.

use std::ops::Range;

use super::Scanner;
use super::encoded::{self, Budget};
use super::gate::{FileKind, HEAD_BYTES};
use crate::model::{Fingerprint, LoweredBy, Severity};
use crate::scan::redact;
use crate::scan::rules::{ClassSet, Rule, Trigger};
use crate::scan::validate::Match;

/// Findings of one file that are kept.
pub(super) const MAX_FILE_FINDINGS: usize = 64;

/// A match that stood, with nothing left of the secret.
pub(in crate::scan) struct Kept {
    pub(in crate::scan) rule: usize,
    pub(in crate::scan) line: Option<u32>,
    pub(in crate::scan) fingerprint: Fingerprint,
    pub(in crate::scan) excerpt: String,
    /// Whether everybody knows it.
    pub(in crate::scan) known: Option<LoweredBy>,
    severity: Severity,
    /// Where the secret lies in the file.
    place: Range<u64>,
}

/// What a file gave.
#[derive(Default)]
pub(super) struct Found {
    pub(super) kept: Vec<Kept>,
    /// There were more than are kept.
    pub(super) overflowed: bool,
}

/// A match of this buffer; its excerpt is made when all secrets of the buffer are known.
struct Pending {
    rule: usize,
    whole: Range<usize>,
    secret: Range<usize>,
    fingerprint: Fingerprint,
    known: Option<LoweredBy>,
    severity: Severity,
}

/// The search through one file.
pub(super) struct Search<'s> {
    scanner: &'s Scanner,
    classes: ClassSet,
    kind: FileKind,
    /// A rule that is left out.
    muted: Option<usize>,
    /// What may still be decoded.
    budget: Budget,
    /// For each rule: before this place in the buffer everything was searched.
    searched: Vec<usize>,
    pending: Vec<Pending>,
    /// All secrets in the buffer, also those of matches that are not kept.
    secrets: Vec<Range<usize>>,
    found: Found,
    /// Bytes and lines that have left the buffer.
    base: u64,
    lines: u32,
}

impl<'s> Search<'s> {
    pub(super) fn new(scanner: &'s Scanner, classes: ClassSet, kind: FileKind) -> Self {
        Self {
            scanner,
            classes,
            kind,
            muted: None,
            budget: if kind == FileKind::Config || kind == FileKind::Image {
                Budget::WHOLE
            } else {
                Budget::NONE
            },
            searched: vec![0; scanner.rules.rules().len()],
            pending: Vec::new(),
            secrets: Vec::new(),
            found: Found::default(),
            base: 0,
            lines: 0,
        }
    }

    /// The same search without the rule of that number.
    pub(super) fn without(mut self, rule: Option<usize>) -> Self {
        self.muted = rule;
        self
    }

    /// Searches for matches whose hit lies in `from..limit`; `first` if the buffer begins where the file does.
    pub(super) fn buffer(&mut self, buffer: &[u8], from: usize, limit: usize, first: bool) {
        let scanner = self.scanner;
        let rules = scanner.rules.rules();
        // The byte before the first searched one tells whether a line begins there.
        let floor = usize::from(!first && from > 0);
        let part = buffer.get(from..).unwrap_or_default();
        let part_limit = limit.saturating_sub(from);
        scanner
            .prefilter
            .each_hit(self.kind, part, part_limit, |at, index| {
                let at = from + at;
                if let Some(rule) = rules.get(index).filter(|rule| self.applies(index, rule)) {
                    let span = at.saturating_sub(rule.before).max(floor)..at + rule.after;
                    self.span(index, rule, buffer, at, span);
                }
            });
        for index in scanner.prefilter.without_literals(self.classes) {
            let Some(rule) = rules.get(index).filter(|rule| self.applies(index, rule)) else {
                continue;
            };
            match rule.trigger {
                Trigger::Lines => self.span(index, rule, buffer, limit, floor..limit),
                Trigger::Head if first => {
                    let head = buffer.get(..HEAD_BYTES).unwrap_or(buffer);
                    self.span(index, rule, head, 0, 0..1);
                }
                Trigger::Head | Trigger::Literals(_) => {}
            }
        }
        self.encoded(buffer, from..limit);
        self.settle(buffer);
    }

    /// Searches what the buffer holds in base64.
    fn encoded(&mut self, buffer: &[u8], part: Range<usize>) {
        let mut budget = std::mem::replace(&mut self.budget, Budget::NONE);
        encoded::each_text(buffer, part, &mut budget, |run, text| {
            let mut inner = Search::new(self.scanner, self.classes, FileKind::Config).without(self.muted);
            inner.budget = Budget::NONE;
            inner.buffer(text, 0, text.len(), false);
            for kept in inner.finish().kept {
                self.adopt(kept, buffer, &run);
            }
        });
        self.budget = budget;
    }

    /// Takes over what was found in a run of base64, at the place where it stands encoded.
    fn adopt(&mut self, kept: Kept, buffer: &[u8], run: &Range<usize>) {
        self.secrets.push(run.clone());
        let full = self.found.kept.len() + self.pending.len() >= MAX_FILE_FINDINGS;
        if full && !self.make_room(kept.severity) {
            return;
        }
        let before = buffer.get(..run.start).unwrap_or_default();
        let outside = |inner: u64| self.base + wide(run.start) + inner / 3 * 4;
        let place = outside(kept.place.start)..outside(kept.place.end) + 1;
        self.found.kept.push(Kept {
            line: Some(self.lines.saturating_add(count_lines(before)) + 1),
            place,
            ..kept
        });
    }

    fn applies(&self, index: usize, rule: &Rule) -> bool {
        self.kind.has(rule.scope)
            && self.muted != Some(index)
            && (rule.classes.is_empty() || rule.classes.meets(self.classes))
    }

    /// Runs a rule's expression for matches that begin in `span`, unless an earlier hit did so up to `hit`.
    fn span(&mut self, index: usize, rule: &Rule, buffer: &[u8], hit: usize, span: Range<usize>) {
        let searched = self.searched.get(index).copied().unwrap_or(0);
        if hit < searched {
            return;
        }
        let haystack = buffer
            .get(..(span.end + rule.after).min(buffer.len()))
            .unwrap_or_default();
        let mut at = span.start.max(searched);
        while at < haystack.len() {
            let Some(place) = rule.regex.find(haystack, at).filter(|p| p.whole.start < span.end) else {
                break;
            };
            let (begin, end) = (place.whole.start, place.whole.end);
            let matched = Match {
                haystack,
                whole: place.whole,
                secret: place.secret,
            };
            let judged = self.judge(index, rule, &matched);
            at = judged.unwrap_or(end).max(begin + 1);
        }
        if let Some(searched) = self.searched.get_mut(index) {
            *searched = at
                .min(haystack.len())
                .max(span.end.min(buffer.len()))
                .max(*searched);
        }
    }

    /// Validates a match; where its secret ends if it stands.
    fn judge(&mut self, index: usize, rule: &Rule, matched: &Match<'_>) -> Option<usize> {
        let accepted = rule.validation.judge(matched)?;
        let end = accepted.secret.end;
        self.secrets.push(accepted.secret.clone());
        let full = self.found.kept.len() + self.pending.len() >= MAX_FILE_FINDINGS;
        if full && !self.make_room(rule.severity) {
            return Some(end);
        }
        self.pending.push(Pending {
            rule: index,
            whole: matched.whole.start..matched.whole.end.max(end),
            secret: accepted.secret,
            fingerprint: self.scanner.key.fingerprint(accepted.canonical.bytes()),
            known: accepted.known,
            severity: rule.severity,
        });
        Some(end)
    }

    /// Throws out the least of what is kept if it is less than `severity`.
    fn make_room(&mut self, severity: Severity) -> bool {
        self.found.overflowed = true;
        let least = |severities: &mut dyn Iterator<Item = Severity>| {
            severities
                .enumerate()
                .min_by_key(|(_, s)| *s)
                .filter(|(_, s)| *s < severity)
        };
        let kept = least(&mut self.found.kept.iter().map(|kept| kept.severity));
        let pending = least(&mut self.pending.iter().map(|pending| pending.severity));
        match (kept, pending) {
            (Some((at, _)), None) => drop(self.found.kept.swap_remove(at)),
            (Some((at, k)), Some((_, p))) if k <= p => drop(self.found.kept.swap_remove(at)),
            (_, Some((at, _))) => drop(self.pending.swap_remove(at)),
            (None, None) => return false,
        }
        true
    }

    /// Makes the excerpts, now that all secrets of the buffer are known.
    fn settle(&mut self, buffer: &[u8]) {
        for pending in std::mem::take(&mut self.pending) {
            let near: Vec<_> = self
                .secrets
                .iter()
                .filter(|s| s.start < pending.whole.end && s.end > pending.whole.start)
                .cloned()
                .collect();
            let text = self.kind != FileKind::Binary;
            let before = buffer.get(..pending.whole.start).unwrap_or_default();
            // A match may begin with the line break before its line.
            let breaks = buffer.get(pending.whole.clone()).unwrap_or_default();
            let breaks = breaks
                .iter()
                .take_while(|b| matches!(b, b'\n' | b'\r'))
                .filter(|b| **b == b'\n')
                .count();
            let excerpt = redact::excerpt(buffer, &pending.whole, &near);
            self.found.kept.push(Kept {
                rule: pending.rule,
                line: text.then(|| {
                    self.lines
                        .saturating_add(count_lines(before))
                        .saturating_add(narrow(breaks))
                        + 1
                }),
                fingerprint: pending.fingerprint,
                excerpt: if text { excerpt } else { String::new() },
                known: pending.known,
                severity: pending.severity,
                place: self.base + wide(pending.secret.start)..self.base + wide(pending.secret.end),
            });
        }
    }

    /// The first `shift` bytes of the buffer go.
    pub(super) fn advance(&mut self, buffer: &[u8], shift: usize) {
        if self.kind != FileKind::Binary {
            self.lines = self
                .lines
                .saturating_add(count_lines(buffer.get(..shift).unwrap_or_default()));
        }
        self.base += wide(shift);
        for searched in &mut self.searched {
            *searched = searched.saturating_sub(shift);
        }
        self.secrets.retain(|secret| secret.end > shift);
        for secret in &mut self.secrets {
            *secret = secret.start.saturating_sub(shift)..secret.end - shift;
        }
    }

    /// What the file gave: of overlapping matches, and of the same secret told by several rules (a registry login and
    /// the password in it), those whose rule stands first.
    pub(super) fn finish(mut self) -> Found {
        let mut kept = std::mem::take(&mut self.found.kept);
        kept.sort_by_key(|kept| (kept.rule, kept.place.start));
        let mut winners: Vec<Kept> = Vec::new();
        for candidate in kept {
            let overlaps = |winner: &Kept| {
                winner.place.start < candidate.place.end && candidate.place.start < winner.place.end
            };
            let repeats =
                |winner: &Kept| winner.rule != candidate.rule && winner.fingerprint == candidate.fingerprint;
            if !winners.iter().any(|winner| overlaps(winner) || repeats(winner)) {
                winners.push(candidate);
            }
        }
        winners.sort_by_key(|kept| kept.place.start);
        Found {
            kept: winners,
            overflowed: self.found.overflowed,
        }
    }
}

fn count_lines(bytes: &[u8]) -> u32 {
    narrow(memchr::memchr_iter(b'\n', bytes).count())
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wide(offset: usize) -> u64 {
    u64::try_from(offset).unwrap_or(u64::MAX)
}
