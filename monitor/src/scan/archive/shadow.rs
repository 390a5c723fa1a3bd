//! What later layers do to a finding: the entries of each layer are held against the findings of the layers before.
//!
//! OCI image spec, layer.md, "Whiteouts" and "Opaque Whiteout". Invariant: only findings are kept, never a layer's
//! entries, so memory is bounded by findings; what a layer puts in a place wins over what it deletes there, in whatever
//! order its entries stand. Layers come lowest first; where two images disagree about an order, what came first counts
//! as lower. Used by `archive`.

use std::collections::HashMap;

use super::super::stream::tar::{Entry, Kind};
use super::super::target::{Effect, Shadow};
use crate::model::{Finding, Fingerprint, Place, RuleId};

/// Findings that are followed.
const MAX_FOLLOWED: usize = 50_000;
const OPAQUE: &[u8] = b".wh..wh..opq";
const WHITEOUT: &[u8] = b".wh.";

/// A finding of an earlier layer, or of the present one.
struct Followed {
    number: u32,
    path: Vec<u8>,
    secret: (RuleId, Fingerprint, Option<Vec<u8>>),
    owner: (u32, u64, u64),
}

/// What the present layer does to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Deletes,
    Replaces,
    /// By a file with these permissions.
    File((u32, u64, u64)),
}

/// See the module.
#[derive(Default)]
pub(super) struct Shadows {
    next: u32,
    /// Permissions of the entry that is being read.
    owner: (u32, u64, u64),
    followed: Vec<Followed>,
    /// Of earlier layers: by path, and by each directory above it; the empty one is the root.
    exact: HashMap<Vec<u8>, Vec<usize>>,
    below: HashMap<Vec<u8>, Vec<usize>>,
    /// Findings of the present layer begin here.
    present: usize,
    marks: HashMap<usize, Mark>,
    overflowed: bool,
}

impl Shadows {
    /// These numbers went to findings that are in no layer.
    pub(super) fn skip(&mut self, numbers: u32) {
        self.next += numbers;
    }

    /// A finding in the entry that was met last.
    pub(super) fn found(&mut self, finding: &Finding) {
        let number = self.next;
        self.next += 1;
        let Place::File { path, member, .. } = &finding.place else {
            return;
        };
        if self.followed.len() >= MAX_FOLLOWED {
            self.overflowed = true;
            return;
        }
        self.followed.push(Followed {
            number,
            path: path.clone(),
            secret: (finding.rule.clone(), finding.fingerprint.clone(), member.clone()),
            owner: self.owner,
        });
    }

    /// An entry of the present layer.
    pub(super) fn entry(&mut self, entry: &Entry, path: &[u8]) {
        self.owner = entry.owner;
        if self.exact.is_empty() {
            return;
        }
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let directory = path.get(..cut.unwrap_or(0)).unwrap_or_default();
        let name = path.get(cut.map_or(0, |cut| cut + 1)..).unwrap_or_default();
        if name == OPAQUE {
            self.mark(directory, false, Mark::Deletes);
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            let target = match directory {
                b"" => name.to_vec(),
                directory => [directory, name].join(&b'/'),
            };
            self.mark(&target, true, Mark::Deletes);
            self.mark(&target, false, Mark::Deletes);
        } else if matches!(entry.kind, Kind::CharacterDevice { is_null: true }) {
            // The mark of overlayfs itself, in a tar that was made of an upper directory.
            self.mark(path, true, Mark::Deletes);
            self.mark(path, false, Mark::Deletes);
        } else if entry.kind == Kind::File {
            self.mark(path, true, Mark::File(entry.owner));
            self.mark(path, false, Mark::Deletes);
        } else if entry.kind == Kind::Directory {
            self.mark(path, true, Mark::Replaces);
        } else {
            self.mark(path, true, Mark::Replaces);
            self.mark(path, false, Mark::Deletes);
        }
    }

    fn mark(&mut self, path: &[u8], exact: bool, mark: Mark) {
        let map = if exact { &self.exact } else { &self.below };
        for index in map.get(path).into_iter().flatten() {
            let present = self.marks.entry(*index).or_insert(mark);
            *present = mark.max(*present);
        }
    }

    /// The present layer is over: what it does to the findings before it, and whether some could not be followed.
    pub(super) fn end_layer(&mut self, layer: u32) -> (Vec<Shadow>, bool) {
        let mut effects: Vec<Shadow> = Vec::new();
        for (index, mark) in std::mem::take(&mut self.marks) {
            let Some(earlier) = self.followed.get(index) else {
                continue;
            };
            let again = |owner| {
                let mut present = self.followed.get(self.present..).into_iter().flatten();
                owner != earlier.owner
                    && present.any(|now| now.path == earlier.path && now.secret == earlier.secret)
            };
            let effect = match mark {
                Mark::Deletes => Effect::Deletes,
                Mark::File(owner) if again(owner) => Effect::Repermissions,
                Mark::Replaces | Mark::File(_) => Effect::Replaces,
            };
            effects.push(Shadow {
                finding: earlier.number,
                layer,
                effect,
            });
        }
        effects.sort_by_key(|effect| effect.finding);
        for index in self.present..self.followed.len() {
            let Some(followed) = self.followed.get(index) else {
                break;
            };
            let path = followed.path.clone();
            let cuts = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let cuts: Vec<usize> = cuts.map(|(at, _)| at).chain([0]).collect();
            for cut in cuts {
                let directory = path.get(..cut).unwrap_or_default().to_vec();
                self.below.entry(directory).or_default().push(index);
            }
            self.exact.entry(path).or_default().push(index);
        }
        self.present = self.followed.len();
        (effects, std::mem::take(&mut self.overflowed))
    }
}
