//! Archives that are made to break a scanner: bounded, counted, reported, and what is good in them is found.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{json_of, layerwatch, ready};
use layerwatch_tests::scene::Scene;

/// A case: its name, the archive, and how often each problem is reported.
type Row<'a> = (&'a str, Vec<u8>, &'a [(&'a str, usize)]);

/// Ends in time, whatever it is given.
pub(super) const DEADLINE: Duration = Duration::from_mins(2);

/// One header with these fields, and its checksum.
pub(super) fn header(name: &[u8], kind: u8, size: u64, link: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, &name[..name.len().min(100)]);
    put(100, b"0000644");
    put(124, format!("{size:011o}").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar\0");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    for (to, from) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0").bytes()) {
        *to = from;
    }
    block
}

pub(super) fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut entry = header(name, b'0', content.len() as u64, b"");
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

pub(super) fn secret(name: &str) -> Vec<u8> {
    file(name.as_bytes(), b"db:5432:shop:shopper:kV9-made-up-1\n")
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

/// All that a tar may hold and that is no file, then a secret.
fn strange() -> Vec<u8> {
    let long = [b'n'; 5000];
    let mut tar = Vec::new();
    for (name, kind, link) in [
        ("null", b'3', ""),
        ("disk", b'4', ""),
        ("pipe", b'6', ""),
        ("out", b'2', "../../../../etc/shadow"),
        ("hard", b'1', "/etc/shadow"),
        ("unknown", b'Z', ""),
    ] {
        tar.extend(header(name.as_bytes(), kind, 0, link.as_bytes()));
    }
    tar.extend(file(b"../../../etc/passwd", b"x"));
    tar.extend(file(b"/etc/hosts", b"x"));
    tar.extend(file(b"bad\xff\xfe\x1b[31m", b"x"));
    tar.extend(header(b"././@LongLink", b'L', long.len() as u64, b""));
    tar.extend(long);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend(file(b"short", b"x"));
    tar.extend(file(b"bomb.gz", &gzip(&vec![0; 192 << 20]).unwrap_or_default()));
    tar.extend(file(b"bomb.zst", &zstd_zeros(192)));
    tar.extend(secret("root/.pgpass"));
    tar.extend([0; 1024]);
    tar
}

/// So many times 128 KiB of zeros in a zstd frame (RFC 8878): a block that says how often its one byte comes.
fn zstd_zeros(megabytes: usize) -> Vec<u8> {
    // Magic; no size, window of 128 KiB; then blocks of type 1.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let count = megabytes * 8;
    for number in 0..count {
        let size = 128u32 << 10;
        let block = size << 3 | 1 << 1 | u32::from(number + 1 == count);
        frame.extend(block.to_le_bytes().iter().take(3));
        frame.push(0);
    }
    frame
}

/// Kinds of the problems, with how many of each.
pub(super) fn problems(shown: &Value) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for problem in shown["targets"][0]["problems"].as_array().into_iter().flatten() {
        *kinds
            .entry(problem["kind"].as_str().unwrap_or("").to_owned())
            .or_default() += 1;
    }
    kinds
}

#[test]
fn hostile_archives_are_counted_and_what_is_good_in_them_is_found() -> Result<()> {
    if !ready("hostile archives", &[])? {
        return Ok(());
    }
    let scene = Scene::new()?;
    std::fs::create_dir(scene.path().join("state"))?;
    let many: Vec<u8> = (0..200_000u32)
        .flat_map(|number| header(format!("d/{number}").as_bytes(), b'0', 0, b""))
        .chain(secret("root/.pgpass"))
        .collect();
    // Two gigabytes of nothing in two megabytes, before a secret.
    let zeros = header(b"zeros", b'0', 2 << 30, b"");
    let mut bomb = GzEncoder::new(Vec::new(), Compression::default());
    bomb.write_all(&[secret("root/.pgpass"), zeros].concat())?;
    for _ in 0..2048 {
        bomb.write_all(&vec![0; 1 << 20])?;
    }
    let bomb = bomb.finish()?;
    // The same with zstd, a block of one byte for 128 KiB.
    let mut packed = zstd_zeros(4096);
    let first = [&secret("root/.pgpass")[..], &header(b"zeros", b'0', 4 << 30, b"")].concat();
    let raw = u32::try_from(first.len())? << 3;
    let raw = [raw.to_le_bytes().get(..3).context("a block's head")?, &first].concat();
    packed.splice(6..6, raw);
    let endless = [
        secret("root/.pgpass"),
        header(b"endless", b'0', 0o77_777_777_777, b""),
    ]
    .concat();
    let rows: [Row<'_>; 6] = [
        (
            "the control",
            [secret("root/.pgpass"), vec![0; 1024]].concat(),
            &[],
        ),
        (
            "strange",
            strange(),
            &[("bomb", 2), ("name", 2), ("name-too-long", 1)],
        ),
        ("many", gzip(&many)?, &[]),
        ("bomb", bomb, &[("bomb", 2)]),
        ("bomb of zstd", packed, &[("bomb", 2)]),
        ("endless", endless, &[("archive", 1)]),
    ];
    for (name, bytes, expected) in rows {
        let path = scene.path().join("target");
        std::fs::write(&path, bytes)?;
        let begun = Instant::now();
        let shown = json_of(&scene, &["scan", path.to_str().context("text")?])?;
        assert!(begun.elapsed() < DEADLINE, "{name}");
        let expected: BTreeMap<String, usize> = expected
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), *count))
            .collect();
        assert_eq!(problems(&shown), expected, "{name}: {}", shown["targets"]);
        let found = &shown["findings"][0];
        assert_eq!(
            (&found["rule"], &found["path"]),
            (&json!("pgpass"), &json!("root/.pgpass")),
            "{name}"
        );
    }
    let skipped = &json_of(
        &scene,
        &["scan", scene.path().join("target").to_str().context("text")?],
    )?;
    assert_eq!(skipped["complete"], true);
    Ok(())
}

#[test]
fn a_directory_that_is_no_archive_and_a_target_that_is_no_file_end_well() -> Result<()> {
    if !ready("targets that are none", &["mkfifo"])? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let pipe = scene.path().join("pipe");
    layerwatch_tests::run(std::process::Command::new("mkfifo").arg(&pipe))?;
    for (target, status) in [
        ("/dev/null", 1),
        (pipe.to_str().context("text")?, 1),
        ("/dev/zero", 1),
    ] {
        let shown = layerwatch(&scene, &["scan", target])?;
        let said = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert_eq!(shown.status.code(), Some(status), "{target}: {said}");
    }
    Ok(())
}
