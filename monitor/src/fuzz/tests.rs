//! Each target on its seeds, as they are and changed in ways that are the same in every run.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{TARGETS, Target};
use crate::scan;

/// Changed inputs for each target; libFuzzer makes as many in a second.
const CHANGED: u64 = 300;
/// The longest seed.
const LONGEST: u64 = 64 << 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/fuzz")
}

/// The seeds of a target, in an order that stays: inputs that reach far, and all that were once a fault.
fn seeds(target: Target) -> Vec<Vec<u8>> {
    // Archives are made; what has no other seed has no folder.
    let entries = std::fs::read_dir(folder().join(target.name))
        .into_iter()
        .flatten();
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let fixtures = paths
        .iter()
        .map(|path| crate::bounded::read(path, LONGEST).unwrap());
    let seeds: Vec<_> = fixtures.chain(made(target.name)).collect();
    assert!(!seeds.is_empty(), "{}: no seed", target.name);
    seeds
}

/// Seeds out of the rules' examples, which no fixture repeats.
fn made(name: &str) -> Vec<Vec<u8>> {
    let examples = scan::fuzz::examples();
    let archives = || examples.chunks(40).map(tar);
    match name {
        "file" => examples
            .iter()
            .map(|(path, content)| [path.as_bytes(), b"\n", content].concat())
            .chain(archives().map(|tar| [b"srv/a.tgz\n", gzip(&tar).as_slice()].concat()))
            .collect(),
        "layer" => archives()
            .map(|inner| {
                tar(&[
                    ("a/b.tar.gz".to_owned(), gzip(&inner)),
                    ("a/b.tar".to_owned(), inner),
                ])
            })
            .chain([long_names(), strange_entries()])
            .collect(),
        "target" => archives()
            .flat_map(|layer| [gzip(&layer), image(layer)])
            // Cut in the middle of a name.
            .chain([long_names()[..1536].to_vec()])
            .collect(),
        _ => Vec::new(),
    }
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len().try_into().unwrap());
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

const PASSWORDS: &[u8] = b"db:5432:shop:shopper:kV9-made-up-1\n";

/// A name that takes an entry of its own, as GNU tar has it.
fn long_names() -> Vec<u8> {
    tar(&[
        (format!("{}/x", "g".repeat(180)), b"x".to_vec()),
        ("root/.pgpass".to_owned(), PASSWORDS.to_vec()),
    ])
}

/// A name in a pax record, links that lead out, a name that does.
fn strange_entries() -> Vec<u8> {
    let mut builder =
        tar::Builder::new(tar(&[("root/.pgpass".to_owned(), PASSWORDS.to_vec())])[..1024].to_vec());
    let path = format!("{}/x", "l".repeat(180));
    builder
        .append_pax_extensions([("path", path.as_bytes())])
        .unwrap();
    for (name, kind, link) in [
        ("x", tar::EntryType::Regular, ""),
        ("link", tar::EntryType::Symlink, "../../etc/shadow"),
        ("hard", tar::EntryType::Link, "../../etc/shadow"),
        ("../up", tar::EntryType::Regular, ""),
    ] {
        let content: &[u8] = if link.is_empty() { b"x" } else { b"" };
        let mut header = tar::Header::new_ustar();
        // Its own setters refuse what leads out.
        for (field, text) in [(0, name), (157, link)] {
            header.as_mut_bytes()[field..field + text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_size(content.len().try_into().unwrap());
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As `docker save` writes an image with one layer.
fn image(layer: Vec<u8>) -> Vec<u8> {
    let manifest = r#"[{"Config":"c.json","RepoTags":["a/b:1"],"Layers":["l/layer.tar"]}]"#;
    let config = r#"{"config":{"Env":["DB_PASSWORD=Jtl6i2!8S98KQ"]},"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}"#;
    let file = |name: &str, content: Vec<u8>| (name.to_owned(), content);
    tar(&[
        file("manifest.json", manifest.into()),
        file("c.json", config.into()),
        file("l/layer.tar", layer),
    ])
}

/// Leaves the seeds for libFuzzer where somebody wants them.
fn hand_out(target: Target, seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("LAYERWATCH_SEEDS") else {
        return;
    };
    let folder = PathBuf::from(folder).join(target.name);
    std::fs::create_dir_all(&folder).unwrap();
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(number.to_string()), seed).unwrap();
    }
}

/// Numbers without a pattern (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// One to eight changes of a seed: a byte, a bit, a cut, a repetition, a piece of another seed, an extreme number.
fn changed(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(8) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(6) {
            0 if at < bytes.len() => bytes[at] = numbers.next().to_le_bytes()[0],
            1 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + numbers.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(512)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let extreme = [0, u64::MAX, 1 << 31, 1 << 63][numbers.below(4)];
                for (to, from) in bytes.iter_mut().skip(at).zip(extreme.to_le_bytes()) {
                    *to = from;
                }
            }
        }
    }
    bytes
}

#[test]
fn each_target_survives_its_seeds_and_what_is_near_them() {
    for target in TARGETS {
        let seeds = seeds(target);
        hand_out(target, &seeds);
        for seed in &seeds {
            (target.run)(seed);
        }
        let mut numbers = Numbers(1);
        for _ in 0..CHANGED {
            (target.run)(&changed(&seeds, &mut numbers));
        }
    }
}

#[test]
fn the_archives_are_what_they_are_meant_to_be() {
    let names = |archive: &[u8]| -> Vec<String> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap();
        let name = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()
        };
        entries.map(name).collect()
    };
    let long = |letter: &str| format!("{}/x", letter.repeat(180));
    assert_eq!(names(&long_names()), [long("g").as_str(), "root/.pgpass"]);
    assert_eq!(
        names(&strange_entries()),
        ["root/.pgpass", &long("l"), "link", "hard", "../up"]
    );
}

#[test]
fn each_target_is_a_binary_of_the_fuzz_crate_and_has_seeds() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let listed = |path: PathBuf, end: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        entries
            .map(|entry| name(entry).strip_suffix(end).unwrap().to_owned())
            .collect()
    };
    let binaries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/fuzz_targets");
    assert_eq!(listed(binaries, ".rs"), names);
    assert!(listed(folder(), "").is_subset(&names));
    assert!(TARGETS.into_iter().all(|target| !seeds(target).is_empty()));
}
