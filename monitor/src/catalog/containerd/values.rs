//! How containerd writes numbers, times and texts into its databases (`boltutil` and `encoding/binary` of Go).
//!
//! Invariant: pure and total; what is malformed is absent. Used by the readers of both databases.

use std::collections::BTreeMap;

use crate::catalog::bolt::{Bucket, Value};

/// Seconds from the year 1, from which Go counts, to 1970.
const YEAR_ONE: i64 = 62_135_596_800;

/// The plain values of a bucket.
pub(in crate::catalog) type Fields<'a> = BTreeMap<&'a [u8], &'a [u8]>;

/// The plain values of a bucket, and the buckets in it.
pub(in crate::catalog) fn parts<'a>(bucket: &Bucket<'a>) -> (Fields<'a>, BTreeMap<&'a [u8], Bucket<'a>>) {
    let (mut fields, mut buckets) = (Fields::new(), BTreeMap::new());
    for (key, value) in bucket.entries() {
        match value {
            Value::Bytes(bytes) => {
                fields.entry(key).or_insert(bytes);
            }
            Value::Bucket(bucket) => {
                buckets.entry(key).or_insert(bucket);
            }
        }
    }
    (fields, buckets)
}

/// A value that is text.
pub(in crate::catalog) fn text<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a str> {
    std::str::from_utf8(fields.get(key.as_bytes())?).ok()
}

/// An unsigned number of variable length.
pub(super) fn unsigned(bytes: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(index).ok()?;
        let shifted = bits.checked_shl(shift)?;
        if shifted >> shift != bits {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A signed number of variable length (zig-zag), where it is not negative.
pub(super) fn size(bytes: &[u8]) -> Option<u64> {
    let coded = unsigned(bytes)?;
    (coded & 1 == 0).then_some(coded >> 1)
}

/// A time (`Time.MarshalBinary`): version, seconds, nanoseconds, zone.
pub(super) fn time(bytes: &[u8]) -> Option<jiff::Timestamp> {
    let (1, rest) = (bytes.first()?, bytes.get(1..)?) else {
        return None;
    };
    let seconds = i64::from_be_bytes(*rest.first_chunk()?);
    let nanoseconds = i32::from_be_bytes(*rest.get(8..)?.first_chunk()?);
    if seconds == 0 {
        return None;
    }
    jiff::Timestamp::new(seconds.checked_sub(YEAR_ONE)?, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_go_writes_them() {
        for (bytes, number) in [
            (&[0x01][..], Some(1)),
            (&[0xac, 0x02], Some(300)),
            (&[0xac, 0x02, 0xff], Some(300)),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                Some(u64::MAX),
            ),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
                None,
            ),
            (&[0x80], None),
            (&[0x80; 20], None),
            (&[], None),
        ] {
            assert_eq!(unsigned(bytes), number, "{bytes:?}");
        }
        for (bytes, number) in [(&[0x90, 0x04][..], Some(264)), (&[0x01], None), (&[], None)] {
            assert_eq!(size(bytes), number, "{bytes:?}");
        }
    }

    #[test]
    fn times_are_as_go_writes_them() {
        let written = b"\x01\x00\x00\x00\x0e\xe2\x95\xda\xe0\x14O\x7f9\xff\xff";
        let cases: [(&[u8], Option<&str>); 4] = [
            (written, Some("2026-11-23T06:57:36.340754233Z")),
            (b"\x02\x00\x00\x00\x0e\xe2\x95\xda\xe0\x14O\x7f9\xff\xff", None),
            (b"\x01\x00\x00\x00\x0e", None),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                time(bytes).map(|time| time.to_string()).as_deref(),
                expected,
                "{bytes:?}"
            );
        }
    }
}
