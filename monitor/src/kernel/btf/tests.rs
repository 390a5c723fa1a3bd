//! Tests of the BTF reader on blobs made here, and on the running kernel's.

use super::*;

/// A blob from types (three words and a tail each) and names.
fn blob(types: &[&[u32]], strings: &[u8]) -> Vec<u8> {
    let types: Vec<u8> = types
        .iter()
        .flat_map(|t| t.iter())
        .flat_map(|w| w.to_le_bytes())
        .collect();
    let words = [
        24,
        0,
        u32::try_from(types.len()).unwrap(),
        u32::try_from(types.len()).unwrap(),
        u32::try_from(strings.len()).unwrap(),
    ];
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    bytes.extend(types);
    bytes.extend(strings);
    bytes
}

const STRUCT: u32 = KIND_STRUCT << 24;
const UNION: u32 = KIND_UNION << 24;

/// `struct outer { int a; union { int b; const inner_t c; }; u32 bits: 3; }`, `typedef struct inner { int x; int y; } inner_t`.
fn sample() -> Vec<u8> {
    let names = b"\0int\0outer\0a\0b\0c\0bits\0inner\0x\0y\0inner_t\0";
    let at = |name: &[u8]| {
        let needle: Vec<u8> = [b"\0", name, b"\0"].concat();
        u32::try_from(names.windows(needle.len()).position(|w| w == needle).unwrap() + 1).unwrap()
    };
    blob(
        &[
            &[at(b"int"), 1 << 24, 4, 32],
            &[at(b"inner"), STRUCT | 2, 8, at(b"x"), 1, 0, at(b"y"), 1, 32],
            &[at(b"inner_t"), 8 << 24, 2],
            &[0, 10 << 24, 3],
            &[0, UNION | 2, 8, at(b"b"), 1, 0, at(b"c"), 4, 0],
            &[
                at(b"outer"),
                (1 << 31) | STRUCT | 3,
                16,
                at(b"a"),
                1,
                0,
                0,
                5,
                32,
                at(b"bits"),
                1,
                (3 << 24) | 0x60,
            ],
        ],
        names,
    )
}

#[test]
fn members_are_found_through_anonymous_unions_typedefs_and_qualifiers() {
    let bytes = sample();
    let btf = Btf::parse(&bytes, None).unwrap();
    for (path, offset) in [
        ("outer.a", Some(0)),
        ("outer.b", Some(4)),
        ("outer.c", Some(4)),
        ("outer.c.y", Some(8)),
        ("inner.y", Some(4)),
        ("outer.bits", None),
        ("outer.missing", None),
        ("outer.a.b", None),
        ("missing.a", None),
        ("inner_t.x", None),
        ("outer", None),
        ("", None),
    ] {
        assert_eq!(btf.offset_of(path), offset, "{path}");
    }
}

#[test]
fn a_modules_blob_continues_its_base() {
    let base = sample();
    let base = Btf::parse(&base, None).unwrap();
    // Type 7, `struct extra { inner x; }`: the names `x` and type 2 are the base's, `extra` is its own.
    let x = u32::try_from(base.strings.windows(3).position(|w| w == b"\0x\0").unwrap() + 1).unwrap();
    let own = u32::try_from(base.strings.len()).unwrap();
    let bytes = blob(&[&[own, STRUCT | 1, 8, x, 2, 64]], b"extra\0");
    let split = Btf::parse(&bytes, Some(&base)).unwrap();
    assert_eq!(split.offset_of("extra.x.y"), Some(12));
    assert_eq!(split.offset_of("outer.c"), Some(4));
}

#[test]
fn bad_bytes_are_named() {
    let good = sample();
    let mut unknown = good.clone();
    unknown[24 + 7] = 31;
    for (bytes, error) in [
        (Vec::new(), BtfError::Truncated(0)),
        (b"\x9f\xeb".to_vec(), BtfError::Truncated(0)),
        (b"ELF?____________________".to_vec(), BtfError::Magic(0x4c45)),
        (unknown, BtfError::UnknownKind { id: 1, kind: 31 }),
        (
            good[..good.len() - 1].to_vec(),
            BtfError::Truncated(good.len() - 24),
        ),
    ] {
        assert_eq!(Btf::parse(&bytes, None).unwrap_err(), error);
    }
}

proptest::proptest! {
    #[test]
    fn whatever_the_bytes_there_is_an_answer(place in 0_usize..200, byte: u8, cut in 0_usize..200) {
        let mut bytes = sample();
        if let Some(target) = bytes.get_mut(place) {
            *target = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(btf) = Btf::parse(&bytes, None) {
            for path in ["outer.c.y", "outer.bits", "inner.x", "outer.missing"] {
                btf.offset_of(path);
            }
        }
    }
}
