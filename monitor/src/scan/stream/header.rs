//! The fields of a tar's header block and of the extended headers before it.
//!
//! POSIX.1-2017 pax(1), "ustar Interchange Format" and "pax Header Block"; GNU tar for base 256. Invariant: total, and
//! nothing is allocated beyond what was read. Used by `tar`.

use super::Fault;

pub(super) const BLOCK: usize = 512;

/// What extended headers say of the next entry.
#[derive(Default)]
pub(super) struct Extended {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) cut: bool,
}

/// Whether a block is a header: its checksum is right and it is not empty.
pub(super) fn is_header(block: &[u8]) -> bool {
    block.get(..BLOCK).is_some_and(|block| {
        let sums = number(field(block, 148, 8)).map(|sum| checksums(block).contains(&sum));
        block.iter().any(|byte| *byte != 0) && sums == Some(true)
    })
}

pub(super) fn field(block: &[u8], at: usize, length: usize) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

pub(super) fn c_string(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Name and, in ustar, the prefix before it.
pub(super) fn short_name(block: &[u8]) -> Vec<u8> {
    let name = c_string(field(block, 0, 100));
    let prefix = c_string(field(block, 345, 155));
    if field(block, 257, 6) == b"ustar\0" && !prefix.is_empty() {
        [prefix, name].join(&b'/')
    } else {
        name.to_vec()
    }
}

/// Octal digits, or base 256 with the highest bit set (GNU); nothing if it is neither, negative or too large.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let rest = field.get(1..)?.iter();
        return std::iter::once(first & 0x7f)
            .chain(rest.copied())
            .try_fold(0u64, |sum, byte| Some(sum.checked_mul(256)? | u64::from(byte)));
    }
    let digits = c_string(field).trim_ascii();
    digits.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// The sum of a header's bytes with the checksum as spaces; old archivers summed signed bytes.
fn checksums(block: &[u8]) -> [u64; 2] {
    let (mut unsigned, mut signed) = (0u64, 0i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { *byte };
        unsigned += u64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    [unsigned, u64::try_from(signed).unwrap_or(unsigned)]
}

/// The records `LENGTH KEY=VALUE\n` of a pax header.
pub(super) fn pax(mut text: &[u8], extended: &mut Extended) -> Result<(), Fault> {
    while let Some(space) = memchr::memchr(b' ', text) {
        let length = decimal(text.get(..space).unwrap_or_default()).and_then(|n| usize::try_from(n).ok());
        let Some(record) = length
            .filter(|length| *length > space)
            .and_then(|length| text.get(space + 1..length))
        else {
            // The header was cut, or is not what it says: what stood before counts.
            break;
        };
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        if let Some(equals) = memchr::memchr(b'=', record) {
            let value = record.get(equals + 1..).unwrap_or_default();
            match record.get(..equals).unwrap_or_default() {
                b"path" | b"GNU.sparse.name" => extended.name = Some(value.to_vec()),
                b"linkpath" => extended.link = Some(value.to_vec()),
                b"size" => extended.size = Some(decimal(value).ok_or(Fault::Damaged)?),
                _ => {}
            }
        }
        text = text.get(length.unwrap_or(usize::MAX)..).unwrap_or_default();
    }
    Ok(())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
