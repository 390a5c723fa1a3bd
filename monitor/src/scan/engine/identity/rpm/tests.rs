//! A package's header and an ndb made by hand; databases that rpm wrote are the integration tests' matter.

use std::collections::BTreeSet;

use super::*;

const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A header with one file, `/usr/lib/a.pem`, whose content is `abc`.
fn package(algorithm: u32) -> Vec<u8> {
    package_in(0, algorithm)
}

/// The same with that many directories before the file's.
fn package_in(directories: u32, algorithm: u32) -> Vec<u8> {
    let others = vec![0; directories.try_into().unwrap()];
    let mut data = Vec::new();
    let mut index = Vec::new();
    let mut entries = 0u32;
    let mut put = |tag: u32, kind: u32, content: &[u8]| {
        let count = if tag == 1118 { directories + 1 } else { 1 };
        for number in [tag, kind, u32::try_from(data.len()).unwrap(), count] {
            index.extend(number.to_be_bytes());
        }
        data.extend_from_slice(content);
        entries += 1;
    };
    put(5011, 4, &algorithm.to_be_bytes());
    put(1116, 4, &directories.to_be_bytes());
    put(1117, 8, b"a.pem\0");
    put(1118, 8, &[others.as_slice(), b"/usr/lib/\0"].concat());
    put(1035, 8, &[DIGEST.as_bytes(), b"\0"].concat());
    let length = u32::try_from(data.len()).unwrap();
    [&entries.to_be_bytes()[..], &length.to_be_bytes(), &index, &data].concat()
}

/// An ndb with that package.
fn ndb(package: &[u8]) -> Vec<u8> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut file = [b"RpmP".to_vec(), words(&[0, 1, 1, 2, 0, 0, 0])].concat();
    file.extend([&b"Slot"[..], &words(&[1, 256, 8])].concat());
    file.resize(4096, 0);
    let length = u32::try_from(package.len()).unwrap();
    file.extend([&b"BlbS"[..], &words(&[1, 1, length]), package].concat());
    file
}

fn claimed(bytes: &[u8]) -> usize {
    let paths = BTreeSet::from([b"usr/lib/a.pem".to_vec(), b"usr/lib/b.pem".to_vec()]);
    let mut claims = 0;
    read_all(bytes, &paths, &mut |path, expected| {
        assert_eq!(path, b"usr/lib/a.pem");
        assert!(expected.is_of(b"abc"));
        claims += 1;
    });
    claims
}

#[test]
fn a_package_claims_its_files_and_damage_claims_nothing() {
    let good = package(8);
    assert_eq!(claimed(&good), 1);
    assert_eq!(claimed(&package(2)), 0, "another digest");
    assert_eq!(claimed(&package_in(99_999, 8)), 1, "many directories");
    assert_eq!(
        claimed(&package_in(100_000, 8)),
        0,
        "more directories than are kept"
    );
    for cut in 0..good.len() {
        assert_eq!(claimed(&good[..cut]), 0, "{cut}");
    }
    let file = ndb(&good);
    assert_eq!(claimed(&file), 1);
    assert_eq!(claimed(&file[..file.len() - 1]), 0);
    let mut foreign = file;
    foreign[4096 + 4] = 2;
    assert_eq!(claimed(&foreign), 0, "the blob is another package's");
}

#[test]
fn a_circle_of_pages_ends() {
    // One interior page that is its own child, many times over.
    let mut file = vec![0; 4096];
    file[..16].copy_from_slice(b"SQLite format 3\0");
    file[16..18].copy_from_slice(&4096u16.to_be_bytes());
    file[100] = 5;
    file[103..105].copy_from_slice(&1000u16.to_be_bytes());
    file[108..112].copy_from_slice(&1u32.to_be_bytes());
    for cell in 0..1000usize {
        file[112 + 2 * cell..114 + 2 * cell].copy_from_slice(&4000u16.to_be_bytes());
    }
    file[4000..4004].copy_from_slice(&1u32.to_be_bytes());
    assert_eq!(claimed(&file), 0);
}
