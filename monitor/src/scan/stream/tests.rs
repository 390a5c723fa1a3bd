//! The readers on what common programs write, on hostile headers, and on bytes at random.

use std::io::{Cursor, Read, Write};

use proptest::prelude::*;

use super::decode::decoder;
use super::limit::{Count, Limit};
use super::tar::{Kind, Tar};
use super::zip::{Packing, Zip};
use super::*;

impl Stream for Cursor<Vec<u8>> {}

/// A name and a content.
type Named = (Vec<u8>, Vec<u8>);
/// A case: its name, the archive, the contents that are read, and how it ends.
type Row<'a> = (&'a str, Vec<u8>, Vec<&'a [u8]>, Result<(), Fault>);

/// Names and contents of a tar's files, and how it ended.
fn files(bytes: &[u8]) -> (Vec<Named>, Result<(), Fault>) {
    let mut stream = Cursor::new(bytes.to_vec());
    let mut tar = Tar::new(&mut stream);
    let mut files = Vec::new();
    loop {
        match tar.next() {
            Ok(Some(entry)) if entry.kind == Kind::File => {
                let mut content = Vec::new();
                if let Err(error) = tar.content().read_to_end(&mut content) {
                    return (files, Err(error.into()));
                }
                files.push((entry.name, content));
            }
            Ok(Some(_)) => {}
            Ok(None) => return (files, Ok(())),
            Err(fault) => return (files, Err(fault)),
        }
    }
}

/// One header with these fields set, and its checksum.
pub(in crate::scan) fn header(name: &[u8], kind: u8, size: u64, more: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut block = vec![0; 512];
    let short = name.len().min(100);
    block[..short].copy_from_slice(&name[..short]);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    more(&mut block);
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn padded(content: &[u8]) -> Vec<u8> {
    let mut padded = content.to_vec();
    padded.resize(content.len().next_multiple_of(512), 0);
    padded
}

fn entry(name: &[u8], content: &[u8]) -> Vec<u8> {
    [header(name, b'0', content.len() as u64, |_| ()), padded(content)].concat()
}

#[test]
fn what_a_common_archiver_writes_is_read_back() {
    let long = "d/".repeat(150) + "file";
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in [("a", "one"), (long.as_str(), "two"), ("empty", "")] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, name, content.as_bytes())
            .unwrap();
    }
    let pax = [("path", "überlang/pax".as_bytes()), ("size", b"5".as_slice())];
    builder.append_pax_extensions(pax).unwrap();
    let mut wrong = ::tar::Header::new_ustar();
    wrong.set_path("short").unwrap();
    wrong.set_size(5);
    wrong.set_cksum();
    builder.append(&wrong, b"three".as_slice()).unwrap();
    let (files, end) = files(&builder.into_inner().unwrap());
    let expected: [(&str, &str); 4] = [
        ("a", "one"),
        (&long, "two"),
        ("empty", ""),
        ("überlang/pax", "three"),
    ];
    let expected = expected.map(|(name, content)| (name.as_bytes().to_vec(), content.as_bytes().to_vec()));
    assert_eq!((files, end), (expected.to_vec(), Ok(())));
}

/// The size 7 in base 256.
fn wide_header() -> Vec<u8> {
    header(b"wide", b'0', 0, |block| {
        block[124] = 0x80;
        block[125..136].fill(0);
        block[135] = 7;
    })
}

/// Two blocks of map stand before the content.
fn sparse_entry() -> Vec<u8> {
    let mut more = vec![0; 512];
    more[504] = 1;
    let head = header(b"sparse", b'S', 4, |block| block[482] = 1);
    [head, more, vec![0; 512], padded(b"data")].concat()
}

#[test]
fn a_hostile_tar_costs_what_follows_the_damage_and_nothing_else() {
    let end = vec![0; 1024];
    let good = entry(b"good", b"content");
    let wide = wide_header();
    let negative = header(b"negative", b'0', 0, |block| block[124..136].fill(0xff));
    let endless = header(b"endless", b'0', 0o77_777_777_777, |_| ());
    let long_name = [
        header(b"././@LongLink", b'L', 1 << 20, |_| ()),
        vec![b'n'; 1 << 20],
        entry(b"short", b"long"),
    ]
    .concat();
    let huge_name = header(b"././@LongLink", b'L', 0o77_777_777_777, |_| ());
    let sparse = [sparse_entry(), good.clone()].concat();
    let mut wrong_sum = entry(b"wrong", b"x");
    wrong_sum[0] ^= 1;
    let two = b"content".as_slice();
    let rows: [Row<'_>; 10] = [
        ("the control", [&good[..], &end].concat(), vec![two], Ok(())),
        ("no end", good.clone(), vec![two], Ok(())),
        (
            "one empty block",
            [&vec![0; 512][..], &good, &end].concat(),
            vec![two],
            Ok(()),
        ),
        (
            "base 256",
            [&wide[..], &padded(two), &end].concat(),
            vec![two],
            Ok(()),
        ),
        (
            "negative size",
            [&good[..], &negative].concat(),
            vec![two],
            Err(Fault::Damaged),
        ),
        (
            "endless entry",
            [&good[..], &endless].concat(),
            vec![two],
            Err(Fault::Damaged),
        ),
        (
            "wrong checksum",
            [&good[..], &wrong_sum].concat(),
            vec![two],
            Err(Fault::Damaged),
        ),
        (
            "a name of a megabyte",
            [&long_name[..], &good].concat(),
            vec![b"long", two],
            Ok(()),
        ),
        (
            "a name without end",
            [&good[..], &huge_name].concat(),
            vec![two],
            Err(Fault::Damaged),
        ),
        ("old sparse file", sparse, vec![b"data", two], Ok(())),
    ];
    for (name, bytes, contents, ended) in rows {
        let (files, end) = files(&bytes);
        let found: Vec<&[u8]> = files.iter().map(|(_, content)| content.as_slice()).collect();
        assert_eq!((found, end), (contents, ended), "{name}");
        assert!(files.iter().all(|(name, _)| name.len() <= MAX_NAME), "{name}");
    }
}

#[test]
fn a_link_has_no_content_whatever_size_it_claims() {
    let link = header(b"link", b'1', 0o1000, |_| ());
    let bytes = [link, entry(b"good", b"content")].concat();
    assert_eq!(
        files(&bytes),
        (vec![(b"good".to_vec(), b"content".to_vec())], Ok(()))
    );
}

#[test]
fn names_stay_below_the_root() {
    for (name, path, leads_out) in [
        ("etc/key", "etc/key", false),
        ("./etc//key/", "etc/key", false),
        ("/etc/key", "etc/key", true),
        ("../../etc/key", "etc/key", true),
        ("a/../../b", "b", true),
        ("..", "", true),
        ("", "", false),
    ] {
        let expected = (path.as_bytes().to_vec(), leads_out);
        assert_eq!(below_root(name.as_bytes()), expected, "{name}");
    }
}

/// A case: its name, how it is packed, and what comes out.
type Packed<'a> = (&'a str, Magic, Vec<u8>, Result<&'a [u8], Fault>);

/// Reached soon, also by a program that was built without optimization.
const SMALL: Limit = Limit {
    free: 1 << 20,
    ratio: 16,
};

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn decoders_read_all_members_and_stop_at_the_limit() {
    let packed = gzip(b"one");
    let zstd = zstd::encode_all(b"one".as_slice(), 3).unwrap();
    let zeros = vec![0; 4 << 20];
    let rows: [Packed<'_>; 9] = [
        ("gzip", Magic::Gzip, packed.clone(), Ok(b"one")),
        (
            "two members",
            Magic::Gzip,
            [&packed[..], &packed].concat(),
            Ok(b"oneone"),
        ),
        (
            "padding",
            Magic::Gzip,
            [&packed[..], &[0; 700]].concat(),
            Ok(b"one"),
        ),
        (
            "garbage",
            Magic::Gzip,
            [&packed[..], b"garbage"].concat(),
            Ok(b"one"),
        ),
        (
            "cut",
            Magic::Gzip,
            packed[..packed.len() - 9].to_vec(),
            Err(Fault::Damaged),
        ),
        ("zstd", Magic::Zstd, zstd.clone(), Ok(b"one")),
        (
            "two frames",
            Magic::Zstd,
            [&zstd[..], &zstd].concat(),
            Ok(b"oneone"),
        ),
        ("gzip bomb", Magic::Gzip, gzip(&zeros), Err(Fault::Bomb)),
        (
            "zstd bomb",
            Magic::Zstd,
            zstd::encode_all(zeros.as_slice(), 3).unwrap(),
            Err(Fault::Bomb),
        ),
    ];
    for (name, kind, bytes, expected) in rows {
        assert_eq!(magic(&[&bytes[..], &[0; 512]].concat()), Some(kind), "{name}");
        let read = Count::default();
        let mut stream = decoder(kind, bytes.as_slice(), &read, SMALL).unwrap().unwrap();
        let mut content = Vec::new();
        let ended = stream.read_to_end(&mut content).map_err(Fault::from);
        match expected {
            Ok(whole) => assert_eq!((content.as_slice(), ended.is_ok()), (whole, true), "{name}"),
            Err(fault) => assert_eq!(ended.err(), Some(fault), "{name}"),
        }
    }
}

/// A local header with its content, as `zip` and `jar` write them.
pub(in crate::scan) fn member(name: &str, method: u16, flags: u16, content: &[u8]) -> Vec<u8> {
    let packed = match method {
        8 => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        _ => content.to_vec(),
    };
    let known = if flags & 8 == 0 { packed.len() } else { 0 };
    let mut bytes = b"PK\x03\x04".to_vec();
    for field in [20, flags, method, 0, 0] {
        bytes.extend(u16::to_le_bytes(field));
    }
    for field in [
        0,
        u32::try_from(known).unwrap(),
        u32::try_from(content.len()).unwrap(),
    ] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    bytes.extend(&packed);
    if flags & 8 != 0 {
        bytes.extend(b"PK\x07\x08");
        bytes.extend([0; 12]);
    }
    bytes
}

#[test]
fn a_zip_is_read_without_its_directory() {
    let deflated = member("conf/app.properties", 8, 0, b"password=1");
    let streamed = member("META-INF/x", 8, 8, b"streamed");
    let stored = member("stored", 0, 0, b"stored");
    let directory = b"PK\x01\x02 and so on".to_vec();
    let bomb = member("bomb", 8, 0, &vec![0; 4 << 20]);
    let rows: [Row<'_>; 8] = [
        (
            "deflated",
            [&deflated[..], &directory].concat(),
            vec![b"password=1"],
            Ok(()),
        ),
        (
            "lengths after the content",
            [&streamed[..], &stored, &directory].concat(),
            vec![b"streamed", b"stored"],
            Ok(()),
        ),
        ("no directory", stored.clone(), vec![b"stored"], Ok(())),
        (
            "stored, length unknown",
            member("s", 0, 8, b"x"),
            vec![],
            Err(Fault::Damaged),
        ),
        (
            "encrypted",
            [&member("e", 0, 1, b"cipher")[..], &stored].concat(),
            vec![b"stored"],
            Ok(()),
        ),
        (
            "a method that is not read",
            [&member("l", 14, 0, b"lzma")[..], &stored].concat(),
            vec![b"stored"],
            Ok(()),
        ),
        ("cut", deflated[..40].to_vec(), vec![], Err(Fault::Damaged)),
        (
            "bomb",
            [&stored[..], &bomb].concat(),
            vec![b"stored"],
            Err(Fault::Bomb),
        ),
    ];
    for (name, bytes, expected, ended) in rows {
        let (contents, end) = members(&bytes);
        let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        assert_eq!((contents, end), (expected, ended), "{name}");
    }
}

/// The contents of a zip's members, and how it ended.
fn members(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), Fault>) {
    let read = Count::default();
    let mut zip = Zip::new(bytes, &read);
    let mut contents = Vec::new();
    let whole = |content: &mut (dyn Read + Send)| {
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(Fault::from)
            .map(|_| bytes)
    };
    let end = loop {
        let member = match zip.next() {
            Ok(Some(member)) => member,
            Ok(None) => break Ok(()),
            Err(fault) => break Err(fault),
        };
        match zip.content(&member, SMALL, whole) {
            Ok(Some(Ok(content))) => contents.push(content),
            Ok(Some(Err(fault))) | Err(fault) => break Err(fault),
            Ok(None) => assert_eq!(member.packing, Packing::Unread),
        }
    };
    (contents, end)
}

proptest! {
    /// Whatever the bytes, the readers end, and hand out no more than there is.
    #[test]
    fn any_bytes_are_read_to_an_end(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..4096),
        good in any::<bool>(),
    ) {
        if good {
            bytes = [entry(b"first", &bytes), bytes].concat();
        }
        let (found, _) = files(&bytes);
        prop_assert!(found.iter().map(|(_, content)| content.len()).sum::<usize>() <= bytes.len());
        for prefix in [&b"PK\x03\x04"[..], b""] {
            let bytes = [prefix, &bytes].concat();
            let read = Count::default();
            let mut zip = Zip::new(bytes.as_slice(), &read);
            let mut members = 0;
            while let Ok(Some(member)) = zip.next() {
                members += 1;
                if zip.content(&member, SMALL, |content| skip_by_reading(content, 1 << 20).is_ok()).is_err() {
                    break;
                }
            }
            prop_assert!(members <= bytes.len());
        }
        for kind in [Magic::Gzip, Magic::Zstd] {
            let read = Count::default();
            if let Ok(Some(mut stream)) = decoder(kind, bytes.as_slice(), &read, SMALL) {
                drop(std::io::copy(&mut stream, &mut std::io::sink()));
            }
        }
    }
}
