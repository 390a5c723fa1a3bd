//! The engine on a hostile layer, at buffer edges, and under limits.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, makedev, mknodat};

use super::read::FileBuffer;
use super::search::Search;
use super::*;
use crate::model::{LayerId, RuleId, Severity, StoreId};
use crate::scan::summary::{ProblemKind, SkipReason};

/// A way to write a secret down.
type Written = (&'static str, fn(&str) -> String);

/// A token whose checksum is right.
const TOKEN: &str = concat!("gh", "p_Qm3Zt8LwRk1XvB6nHs0YpJc5DfGe2u3ebODB");

/// Built once: in a debug build the automata take a second.
fn scanner() -> &'static Scanner {
    static SCANNER: std::sync::LazyLock<Scanner> =
        std::sync::LazyLock::new(|| Scanner::new(RuleSet::builtin().unwrap(), FingerprintKey::new([7; 32])));
    &SCANNER
}

fn scan(root: &Path) -> (Vec<Finding>, ScanSummary) {
    let mut findings = Vec::new();
    let summary = scanner()
        .scan_directory(root, None, &mut |_| (), &mut |f| findings.push(f))
        .unwrap();
    (findings, summary)
}

/// Rule, path and line of each finding.
fn places(findings: &[Finding]) -> Vec<(&str, Vec<u8>, Option<u32>)> {
    let mut places: Vec<_> = findings
        .iter()
        .map(|finding| match &finding.place {
            Place::File { path, line, .. } => (finding.rule.as_str(), path.clone(), *line),
            Place::ImageConfig { .. } => panic!("a file was scanned"),
        })
        .collect();
    places.sort();
    places
}

struct Layer(tempfile::TempDir);

impl Layer {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: impl AsRef<OsStr>) -> PathBuf {
        self.0.path().join(Path::new(path.as_ref()))
    }

    fn file(&self, path: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn node(&self, path: &str, kind: FileType, device: u64) {
        mknodat(CWD, self.at(path), kind, Mode::from_raw_mode(0o600), device).unwrap();
    }
}

/// Names that files with a token get.
const NAMES: [&[u8]; 9] = [
    b"plain.env",
    b"line\nbreak.env",
    b"escape\x1b[31m.env",
    b"bad\xff\xfe.env",
    b"-rf",
    b" ",
    "rtl\u{202e}vne.env".as_bytes(),
    &[b'n'; 255],
    b"deep/er/and/deeper/x",
];

/// Links, devices, pipes, marks and a terabyte of nothing with a token in its middle.
fn add_hostile_entries(layer: &Layer, outside: &Layer) {
    for (name, target) in [
        ("directory-outside", outside.0.path()),
        ("file-outside", &outside.at("secret.env")),
        ("up", Path::new("..")),
        ("loop", Path::new(".")),
        ("dangling", Path::new("nothing")),
        ("zero", Path::new("/dev/zero")),
        ("environ", Path::new("/proc/self/environ")),
    ] {
        symlink(target, layer.at(name)).unwrap();
    }
    layer.node("fifo", FileType::Fifo, 0);
    layer.node("whiteout", FileType::CharacterDevice, 0);
    layer.node("null", FileType::CharacterDevice, makedev(1, 3));
    layer.node("block", FileType::BlockDevice, makedev(7, 250));
    layer.file(".wh.deleted", TOKEN);
    layer.file("empty", "");
    let sparse = layer.file("sparse", "");
    let mut sparse = std::fs::File::options().write(true).open(sparse).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.seek(SeekFrom::Start(1 << 39)).unwrap();
    sparse.write_all(TOKEN.as_bytes()).unwrap();
}

#[test]
fn a_hostile_layer_is_scanned_to_its_end_and_every_entry_is_accounted_for() {
    let (layer, outside) = (Layer::new(), Layer::new());
    outside.file("secret.env", TOKEN);
    for name in NAMES {
        layer.file(OsStr::from_bytes(name), TOKEN);
    }
    add_hostile_entries(&layer, &outside);
    let socket = UnixListener::bind(layer.at("socket")).unwrap();

    let (findings, summary) = scan(layer.0.path());
    drop(socket);
    let mut expected: Vec<_> = NAMES
        .iter()
        .map(|name| ("github-token", name.to_vec(), Some(1)))
        .collect();
    // What follows a hole is a text of its own; the zeros behind it, as far as the file system's block, are none of it.
    expected.push(("github-token", b"sparse".to_vec(), Some(1)));
    expected.sort();
    assert_eq!(places(&findings), expected);
    let skipped = BTreeMap::from([
        (SkipReason::Symlink, 7),
        (SkipReason::Fifo, 1),
        (SkipReason::Socket, 1),
        (SkipReason::Device, 2),
        (SkipReason::Whiteout, 2),
        (SkipReason::Empty, 1),
    ]);
    assert_eq!(
        (summary.files, &summary.skipped, summary.problems_total),
        (10, &skipped, 0)
    );
    assert!(
        summary.bytes < 1 << 20,
        "{} bytes were read of a file that is a hole",
        summary.bytes
    );
    for finding in &findings {
        let line = serde_json::to_string(finding).unwrap();
        assert!(
            !line.chars().any(char::is_control) && !line.contains('\u{202e}'),
            "{line:?}"
        );
    }
}

#[test]
fn one_line_of_a_gigabyte_takes_no_more_memory_than_a_short_one() {
    let layer = Layer::new();
    let path = layer.file(
        "line.json",
        format!("{{\"password\": \"hunter2-a\", \"token\": \"{TOKEN}\""),
    );
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    // Not a hole, and no line break: 16 MiB stand for the gigabyte, read in the same rounds.
    let chunk = b"\"password\": 1, ".repeat(1 << 16);
    for _ in 0..16 {
        (&file).write_all(&chunk).unwrap();
    }
    let (findings, summary) = scan(layer.0.path());
    let rules: Vec<_> = findings.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!(rules, ["password-assignment", "github-token"]);
    assert!(findings.iter().all(|f| f.excerpt.len() < 120));
    assert_eq!(summary.bytes, path.metadata().unwrap().len());
}

#[test]
fn what_is_mounted_into_a_layer_is_not_entered() {
    let layer = Layer::new();
    std::fs::create_dir(layer.at("proc")).unwrap();
    let mount = |arguments: &[&OsStr]| {
        assert!(
            std::process::Command::new("mount")
                .args(arguments)
                .status()
                .unwrap()
                .success()
        );
    };
    mount(&[
        "-t".as_ref(),
        "tmpfs".as_ref(),
        "tmpfs".as_ref(),
        layer.at("proc").as_os_str(),
    ]);
    layer.file("proc/secret.env", TOKEN);
    let (findings, summary) = scan(layer.0.path());
    assert!(
        std::process::Command::new("umount")
            .arg(layer.at("proc"))
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(findings, []);
    assert_eq!(
        summary.skipped,
        BTreeMap::from([(SkipReason::OtherFileSystem, 1)])
    );
}

#[test]
fn directories_are_entered_down_to_a_bound() {
    let layer = Layer::new();
    let deep = |n: usize| vec!["d"; n].join("/");
    layer.file(format!("{}/x", deep(walk::MAX_DEPTH + 3)), TOKEN);
    layer.file(format!("{}/x", deep(walk::MAX_DEPTH - 1)), TOKEN);
    let (findings, summary) = scan(layer.0.path());
    assert_eq!(findings.len(), 1);
    let problem = &summary.problems[0];
    assert_eq!(
        (problem.kind, problem.path.as_str()),
        (ProblemKind::TooDeep, deep(walk::MAX_DEPTH).as_str())
    );
    assert_eq!(summary.problems_total, 1);
}

#[test]
fn a_secret_is_found_wherever_the_buffers_edge_falls() {
    let layer = Layer::new();
    let edge = 256 << 10;
    let filler = "just a line of text that says nothing\n";
    let mut expected = Vec::new();
    for offset in (edge - 80..edge + 1100)
        .step_by(13)
        .chain(edge + 15_000..edge + 15_010)
        .chain([2 * edge, 2 * edge + 17_000])
    {
        let mut content = filler.repeat(offset / filler.len());
        let line = u32::try_from(content.lines().count()).unwrap() + 1;
        content.push_str(&"x".repeat(offset - content.len()));
        content.extend([" ", TOKEN, "\n"]);
        content.push_str(&filler.repeat(1000));
        let name = format!("f{offset}");
        layer.file(&name, content);
        expected.push(("github-token", name.into_bytes(), Some(line)));
    }
    expected.sort();
    let (findings, summary) = scan(layer.0.path());
    assert_eq!(places(&findings), expected);
    assert_eq!(summary.problems_total, 0);
}

#[test]
fn a_line_begins_only_after_a_line_break_also_at_the_buffers_edge() {
    let layer = Layer::new();
    let hash = format!(
        "$6$saltsalt${}",
        "aB3./xYz09".chars().cycle().take(86).collect::<String>()
    );
    for offset in (256 << 10) - 2000..(256 << 10) + 40 {
        if offset % 61 == 0 {
            // One line: `user:` is preceded by other characters, so it is no shadow entry.
            layer.file(
                "etc/shadow",
                format!(
                    "{}user:{hash}:1::::::\n{}",
                    "x".repeat(offset),
                    "y\n".repeat(20_000)
                ),
            );
            let found = scan(layer.0.path()).0;
            let of_rule = found.iter().filter(|f| f.rule == RuleId::new("shadow-hash"));
            assert_eq!(of_rule.count(), 0, "{offset}");
        }
    }
    layer.file(
        "etc/shadow",
        format!("{}\nuser:{hash}:1::::::\n", "x".repeat(300 << 10)),
    );
    assert_eq!(
        places(&scan(layer.0.path()).0),
        [("shadow-hash", b"etc/shadow".to_vec(), Some(2))]
    );
}

#[test]
fn a_file_full_of_hits_costs_bounded_findings_and_keeps_the_worst() {
    let layer = Layer::new();
    let lines: Vec<_> = (0..5000)
        .map(|i| format!("db{i}_password = hunter2-{i}"))
        .collect();
    let content = format!(
        "{}
{TOKEN}",
        lines.join(
            "
"
        )
    );
    layer.file("app.conf", &content);
    let (findings, summary) = scan(layer.0.path());
    assert_eq!(findings.len(), search::MAX_FILE_FINDINGS);
    assert!(findings.iter().any(|f| f.rule == RuleId::new("github-token")));
    assert_eq!(summary.problems[0].kind, ProblemKind::FileFindings);
}

#[test]
fn of_two_rules_on_the_same_bytes_the_first_in_the_table_wins() {
    let layer = Layer::new();
    layer.file("app/.env", format!("API_TOKEN=1\nAUTH_TOKEN={TOKEN}\n"));
    let (findings, _) = scan(layer.0.path());
    assert_eq!(
        places(&findings),
        [("github-token", b"app/.env".to_vec(), Some(2))]
    );
    // The other rule takes the prefix for a part of the secret, so it is masked too.
    assert_eq!(findings[0].excerpt, "****");
}

#[test]
fn a_file_that_grows_or_cannot_be_read_is_a_problem_and_not_the_end() {
    let layer = Layer::new();
    let growing = layer.file("growing.env", format!("{TOKEN}\n{}", "x".repeat(1 << 20)));
    layer.file("other.env", TOKEN);
    let mut file = std::fs::File::options().append(true).open(&growing).unwrap();
    let entry_directory = open_root(layer.0.path()).unwrap();
    let entry = walk::Entry {
        directory: entry_directory.as_fd(),
        name: c"growing.env",
        path: b"growing.env",
    };
    let opened = read::open(&entry).unwrap();
    file.write_all(&vec![b'y'; 4 << 20]).unwrap();
    let scanner = scanner();
    for is_begun in [false, true] {
        let mut buffer = FileBuffer::new();
        let already = if is_begun { buffer.begin(&opened).len() } else { 0 };
        assert_eq!(already > 0, is_begun);
        let outcome = buffer.scan(
            &mut &opened,
            already,
            |_| Search::new(scanner, ClassSet::default(), FileKind::Text),
            &mut |_| {},
        );
        assert_eq!(outcome.bytes, opened.size);
        assert_eq!(outcome.fault.unwrap().kind, ProblemKind::Changed);
        assert_eq!(outcome.found.kept.len(), 1);
    }
    let missing = walk::Entry {
        name: c"missing",
        ..entry
    };
    let fault = read::open(&missing).err().unwrap();
    assert_eq!((fault.kind, fault.errno), (ProblemKind::Open, Some(2)));
    std::fs::set_permissions(&growing, std::fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(scan(layer.0.path()).0.len(), 2, "root reads what modes forbid");
}

/// What e2fsprogs' `lsattr -v` says of a file: another program's reading of the same number; 0 where it cannot.
fn generation_of(path: &Path) -> u32 {
    let said = std::process::Command::new("lsattr")
        .arg("-v")
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.split_whitespace()
        .next()
        .map_or(0, |number| number.parse().unwrap())
}

#[test]
fn a_finding_names_layer_inode_and_progress_adds_up() {
    let layer = Layer::new();
    let path = layer.file("a/b.env", format!("\n\nX={TOKEN}\n"));
    let key = LayerKey {
        store: StoreId::new("overlay@/x"),
        layer: LayerId::new("l1"),
    };
    let mut findings = Vec::new();
    let mut last = Progress::default();
    let summary = scanner()
        .scan_directory(layer.0.path(), Some(&key), &mut |p| last = p, &mut |f| {
            findings.push(f);
        })
        .unwrap();
    let metadata = path.metadata().unwrap();
    let expected = Place::File {
        layer: Some(key),
        path: b"a/b.env".to_vec(),
        member: None,
        line: Some(3),
        key: DevIno::of(&metadata),
        generation: generation_of(&path),
    };
    assert_eq!(findings[0].place, expected);
    assert_eq!((last.files, last.bytes), (summary.files, metadata.size()));
    let missing = scanner().scan_directory(&layer.at("nothing"), None, &mut |_| (), &mut |_| ());
    assert!(matches!(missing, Err(ScanError::Root { .. })));
    let other = Some(DevIno::of(&metadata));
    let changed = scanner().scan_expected_directory(layer.0.path(), other, None, &mut |_| (), &mut |_| ());
    assert!(matches!(changed, Err(ScanError::RootChanged { .. })));
}

/// Rule, severity and reasons of each finding.
fn judged(findings: &[Finding]) -> Vec<(&str, Severity, &[LoweredBy])> {
    findings
        .iter()
        .map(|f| (f.rule.as_str(), f.severity, f.lowered.as_slice()))
        .collect()
}

#[test]
fn what_stands_in_base64_is_found_once_and_one_level_deep() {
    let layer = Layer::new();
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let login = encode("deploy:m2oHGWvxlMhL");
    let docker = encode(&format!(
        r#"{{"auths":{{"registry.example.com":{{"auth":"{login}"}}}}}}"#
    ));
    layer.file(
        "pull.yaml",
        format!("kind: Secret\ndata:\n  .dockerconfigjson: {docker}\n"),
    );
    let token = encode(&format!("export TOKEN={TOKEN}\n"));
    layer.file(
        "cloud.yaml",
        format!("write_files:\n- encoding: b64\n  content: {token}\n"),
    );
    layer.file("twice.yaml", format!("content: {}\n", encode(&token)));
    layer.file("plain.txt", format!("content: {token}\n"));
    let (findings, _) = scan(layer.0.path());
    assert_eq!(
        places(&findings),
        [
            ("docker-config-auth", b"pull.yaml".to_vec(), Some(3)),
            ("github-token", b"cloud.yaml".to_vec(), Some(3)),
        ]
    );
    assert!(
        findings
            .iter()
            .all(|f| !f.excerpt.contains("auth\":\"Z") && f.excerpt.contains("****"))
    );
    let plain = scanner().key.fingerprint(&TOKEN.as_bytes()[4..]);
    assert!(
        findings.iter().any(|f| f.fingerprint == plain),
        "the secret is the same as in the clear"
    );
}

#[test]
fn a_key_is_whole_however_it_is_escaped_and_wherever_the_buffers_edge_falls() {
    const KEY: &str = concat!(
        "-----BEGIN PRIVATE ",
        "KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSbocNaAvQBD1tcUl\n",
        "bhhAGza4ry6sekhD55ltilNkV3ChRANCAAQsa2dx+ZTY00Qi7uD7lDyu7/YX4ers\n",
        "lDrsm6HI2UYVaNtKMmjIwbeSUr1vE3ZMtTn00y9ufnk77iootBltblsv\n-----END PRIVATE KEY-----\n",
    );
    let layer = Layer::new();
    let written: [Written; 7] = [
        ("pem", str::to_owned),
        ("crlf", |key| key.replace('\n', "\r\n")),
        ("json", |key| serde_json::json!({"k": key}).to_string()),
        ("twice", |key| {
            serde_json::json!({"k": serde_json::json!({"k": key}).to_string()}).to_string()
        }),
        ("slashes", |key| {
            key.replace('\n', "\\n")
                .replace('/', "\\/")
                .replace('+', "\\u002b")
        }),
        ("yaml", |key| key.replace('\n', "\n    ")),
        ("line", |key| key.replace('\n', " ")),
    ];
    for (name, write) in written {
        for offset in ((256 << 10) - 300..(256 << 10) + 20)
            .step_by(61)
            .chain([0, (272 << 10) - 100])
        {
            layer.file(
                format!("{name}-{offset}"),
                format!("{}\n{}\n", "x\n".repeat(offset / 2), write(KEY)),
            );
        }
    }
    let (findings, _) = scan(layer.0.path());
    let fingerprints: std::collections::BTreeSet<_> = findings.iter().map(|f| &f.fingerprint).collect();
    let rules: std::collections::BTreeSet<_> = findings.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!((findings.len(), fingerprints.len()), (7 * 8, 1));
    assert_eq!(rules, std::collections::BTreeSet::from(["private-key-pem"]));
}

#[test]
fn what_a_package_ships_and_what_a_documentation_shows_count_less_and_say_why() {
    let layer = Layer::new();
    layer.file("usr/share/shipped.env", TOKEN);
    layer.file("usr/share/changed.env", format!("{TOKEN}\n"));
    layer.file("root/sample.env", concat!("id = AK", "IAIOSFODNN7EXAMPLE\n"));
    // By `md5sum` of the first file.
    let digest = "1e5c8ecda4c29f74b9b0116e0b62d01e  usr/share/shipped.env\n";
    let digest = format!("{digest}{}", digest.replace("shipped", "changed"));
    layer.file("var/lib/dpkg/info/x.md5sums", digest);
    let (mut findings, _) = scan(layer.0.path());
    findings.sort_by_key(|f| (f.severity, f.rule.clone()));
    assert_eq!(
        judged(&findings),
        [
            (
                "aws-access-key-id",
                Severity::Info,
                &[LoweredBy::DocumentedSample][..]
            ),
            ("github-token", Severity::Medium, &[LoweredBy::Package][..]),
            ("github-token", Severity::Critical, &[][..]),
        ]
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]
    #[test]
    fn any_bytes_behind_any_literal_are_survived(tail: Vec<u8>, pick: proptest::sample::Index, kind in 0usize..3) {
        let scanner = scanner();
        let literals: Vec<Vec<u8>> = scanner.rules.rules().iter().flat_map(|rule| {
            let whole = rule.regex.text().as_bytes().to_vec();
            match &rule.trigger {
                crate::scan::rules::Trigger::Literals(l) => l.clone(),
                crate::scan::rules::Trigger::Lines | crate::scan::rules::Trigger::Head => vec![whole],
            }
        }).collect();
        let text = [pick.get(&literals).as_slice(), &tail].concat();
        let kind = [FileKind::Binary, FileKind::Config, FileKind::Image][kind];
        let mut search = Search::new(scanner, ClassSet::default(), kind);
        search.buffer(&text, 0, text.len(), true);
        proptest::prop_assert!(search.finish().kept.len() <= 64);
    }
}
