//! A reader of BTF, the kernel's own description of its structures (Documentation/bpf/btf.rst).
//!
//! Invariant: bounded and total: whatever the bytes, the answer is an offset, "no such member", or an error. Written
//! here because aya's reader keeps members private and the others are LGPL or slow (ARCHITECTURE.md, "Own parsers").
//! Used by `offsets` alone.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
/// Deepest nesting of anonymous structures and of type modifiers that is followed.
const DEPTH_LIMIT: u32 = 16;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_POINTER: u32 = 2;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNCTION: u32 = 13;
const KIND_NAMED_FUNCTION: u32 = 12;

/// What is wrong with the bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BtfError {
    /// Not BTF, or not of this byte order.
    #[error("not BTF: magic {0:#06x}")]
    Magic(u16),
    /// A section or a type ends outside the bytes.
    #[error("BTF ends early at byte {0}")]
    Truncated(usize),
    /// A kind this reader does not know, so that the types after it cannot be found.
    #[error("BTF type {id} has the unknown kind {kind}")]
    UnknownKind {
        /// The type's id.
        id: u32,
        /// Its kind.
        kind: u32,
    },
}

/// The types of one BTF blob; of a split blob (a module's) together with its base.
#[derive(Debug)]
pub(crate) struct Btf<'a> {
    base: Option<&'a Btf<'a>>,
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type of this blob starts in `types`; the first has the id `first_id`.
    starts: Vec<u32>,
    first_id: u32,
    /// Complete structures by name; a name may stand for several.
    structures: HashMap<&'a [u8], Vec<u32>>,
}

/// A type's three leading words.
#[derive(Debug, Clone, Copy)]
struct Head {
    name: u32,
    info: u32,
    size_or_type: u32,
    at: usize,
}

impl Head {
    fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    fn members(self) -> usize {
        (self.info & 0xffff) as usize
    }

    fn has_bit_fields(self) -> bool {
        self.info >> 31 == 1
    }

    /// Bytes after the head.
    fn tail(self) -> Option<usize> {
        let count = self.members();
        Some(match self.kind() {
            // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
            2 | 7..=12 | 16 | 18 => 0,
            // integer, variable, declaration tag
            1 | 14 | 17 => 4,
            3 => 12,
            KIND_STRUCT | KIND_UNION | 15 | 19 => count * 12,
            6 | 13 => count * 8,
            _ => return None,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let chunk = bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk::<4>)
        .ok_or(BtfError::Truncated(at))?;
    Ok(u32::from_le_bytes(*chunk))
}

fn section(bytes: &[u8], start: u32, length: u32) -> Result<&[u8], BtfError> {
    let start = start as usize;
    let end = start
        .checked_add(length as usize)
        .ok_or(BtfError::Truncated(start))?;
    bytes.get(start..end).ok_or(BtfError::Truncated(end))
}

impl<'a> Btf<'a> {
    /// Reads a blob; `base` is the kernel's own where the blob is a module's.
    pub(crate) fn parse(bytes: &'a [u8], base: Option<&'a Btf<'a>>) -> Result<Self, BtfError> {
        let lead = word(bytes, 0)?;
        let magic = u16::try_from(lead & 0xffff).unwrap_or(0);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let header = word(bytes, 4)?;
        let body = bytes
            .get(header as usize..)
            .ok_or(BtfError::Truncated(header as usize))?;
        let types = section(body, word(bytes, 8)?, word(bytes, 12)?)?;
        let strings = section(body, word(bytes, 16)?, word(bytes, 20)?)?;
        let first_id = base.map_or(1, Btf::next_id);
        let mut btf = Self {
            base,
            types,
            strings,
            starts: Vec::new(),
            first_id,
            structures: HashMap::new(),
        };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.types.len() {
            let id = self.next_id();
            let head = self.head_at(at)?;
            let tail = head.tail().ok_or(BtfError::UnknownKind {
                id,
                kind: head.kind(),
            })?;
            let Ok(start) = u32::try_from(at) else {
                return Err(BtfError::Truncated(at));
            };
            self.starts.push(start);
            if head.kind() == KIND_STRUCT && head.size_or_type > 0 {
                self.structures.entry(self.name(head.name)).or_default().push(id);
            }
            at += 12 + tail;
        }
        if at == self.types.len() {
            Ok(())
        } else {
            Err(BtfError::Truncated(at))
        }
    }

    fn next_id(&self) -> u32 {
        self.first_id + u32::try_from(self.starts.len()).unwrap_or(u32::MAX - self.first_id)
    }

    fn head_at(&self, at: usize) -> Result<Head, BtfError> {
        Ok(Head {
            name: word(self.types, at)?,
            info: word(self.types, at + 4)?,
            size_or_type: word(self.types, at + 8)?,
            at,
        })
    }

    /// A type's head and the blob it stands in.
    fn head(&self, id: u32) -> Option<(&Self, Head)> {
        let Some(index) = id.checked_sub(self.first_id) else {
            return self.base?.head(id);
        };
        let at = *self.starts.get(index as usize)?;
        Some((self, self.head_at(at as usize).ok()?))
    }

    fn name(&self, offset: u32) -> &'a [u8] {
        let own = match self.base {
            Some(base) => match (offset as usize).checked_sub(base.strings.len()) {
                Some(own) => own,
                None => return base.name(offset),
            },
            None => offset as usize,
        };
        let rest = self.strings.get(own..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The byte offset of `structure.member[.member…]`; members of anonymous structures and unions count as their
    /// parent's. Nothing where there is none, where it is a bit field, or where two structures of that name disagree.
    pub(crate) fn offset_of(&self, path: &str) -> Option<u32> {
        let (structure, members) = path.split_once('.')?;
        let ids = self.structures.get(structure.as_bytes()).or_else(|| {
            self.base
                .and_then(|base| base.structures.get(structure.as_bytes()))
        })?;
        let mut found = ids.iter().filter_map(|id| self.member_path(*id, members));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }

    /// Whether the kernel has a function of this name.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        let mut heads = (self.first_id..self.next_id()).filter_map(|id| Some(self.head(id)?.1));
        heads.any(|head| head.kind() == KIND_NAMED_FUNCTION && self.name(head.name) == name.as_bytes())
    }

    /// Whether the parameter at `place` of the function that a type definition names is a pointer; the first one of a
    /// tracepoint is the kernel's own. `false` where there is no such type.
    pub(crate) fn takes_pointer(&self, definition: &str, place: usize) -> bool {
        let ids = self.first_id..self.next_id();
        ids.filter_map(|id| Some((id, self.head(id)?.1)))
            .filter(|(_, head)| head.kind() == KIND_TYPEDEF && self.name(head.name) == definition.as_bytes())
            .any(|(_, head)| self.parameter_is_pointer(head.size_or_type, place) == Some(true))
    }

    fn parameter_is_pointer(&self, function_pointer: u32, place: usize) -> Option<bool> {
        let (_, pointer) = self.head(self.strip(function_pointer)?)?;
        let (blob, function) = self.head(self.strip(pointer.size_or_type)?)?;
        if pointer.kind() != KIND_POINTER || function.kind() != KIND_FUNCTION || place >= function.members() {
            return None;
        }
        let parameter = word(blob.types, function.at + 12 + place * 8 + 4).ok()?;
        Some(self.head(self.strip(parameter)?)?.1.kind() == KIND_POINTER)
    }

    fn member_path(&self, structure: u32, members: &str) -> Option<u32> {
        let mut total = 0_u32;
        let mut id = structure;
        for name in members.split('.') {
            let (bits, member_type) = self.member(self.strip(id)?, name.as_bytes(), 0)?;
            if bits % 8 != 0 {
                return None;
            }
            total = total.checked_add(bits / 8)?;
            id = member_type;
        }
        Some(total)
    }

    /// Follows typedefs and qualifiers to the type itself.
    fn strip(&self, mut id: u32) -> Option<u32> {
        for _ in 0..DEPTH_LIMIT {
            let (_, head) = self.head(id)?;
            match head.kind() {
                8..=11 | 18 => id = head.size_or_type,
                _ => return Some(id),
            }
        }
        None
    }

    /// Bit offset and type of a member.
    fn member(&self, id: u32, wanted: &[u8], depth: u32) -> Option<(u32, u32)> {
        let (blob, head) = self.head(id)?;
        if depth > DEPTH_LIMIT || !matches!(head.kind(), KIND_STRUCT | KIND_UNION) {
            return None;
        }
        for index in 0..head.members() {
            let at = head.at + 12 + index * 12;
            let (name, member_type, place) = (
                word(blob.types, at).ok()?,
                word(blob.types, at + 4).ok()?,
                word(blob.types, at + 8).ok()?,
            );
            let bits = if head.has_bit_fields() {
                place & 0x00ff_ffff
            } else {
                place
            };
            let name = blob.name(name);
            if name == wanted {
                let is_bit_field = head.has_bit_fields() && place >> 24 != 0;
                return (!is_bit_field).then_some((bits, member_type));
            }
            if name.is_empty()
                && let Some((inner, inner_type)) = self.member(self.strip(member_type)?, wanted, depth + 1)
            {
                return Some((bits.checked_add(inner)?, inner_type));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
