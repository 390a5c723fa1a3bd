//! The reader on files of a real containerd, on made ones, and on damaged ones.

pub(crate) mod writer;

use std::io::Read as _;

use self::writer::{Entries, PAGE, bucket, bytes, file, meta};
use super::meta::Meta;
use super::{BoltError, Bucket, Database, Value, file as live, read};

const META: &[u8] = include_bytes!("../../../../../tests/fixtures/containerd/meta.db.gz");
const SNAPSHOTS: &[u8] = include_bytes!("../../../../../tests/fixtures/fuzz/bolt/overlayfs.db");

/// The database of containerd 1.6.20 with two namespaces and two snapshotters.
pub(in crate::catalog) fn recorded() -> Vec<u8> {
    let mut bytes = Vec::new();
    let decoder = flate2::read::MultiGzDecoder::new(META);
    decoder.take(1 << 20).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Each key with the buckets above it and its value's length, as far as anything can be read.
fn outline(database: &Database) -> Vec<String> {
    fn add(bucket: &Bucket<'_>, above: &str, lines: &mut Vec<String>) {
        for (key, value) in bucket.entries() {
            let key = format!("{above}{}", String::from_utf8_lossy(key));
            match value {
                Value::Bytes(bytes) => lines.push(format!("{key}={}", bytes.len())),
                Value::Bucket(bucket) if above.len() < 200 => add(&bucket, &format!("{key}/"), lines),
                Value::Bucket(_) => lines.push(format!("{key}/…")),
            }
        }
    }
    let mut lines = Vec::new();
    add(&database.root(), "", &mut lines);
    lines
}

fn parsed(bytes: Vec<u8>) -> Database {
    Database::parse(bytes).unwrap()
}

#[test]
fn recorded_databases_are_read_whole() {
    let database = parsed(recorded());
    let lines = outline(&database);
    assert_eq!((lines.len(), database.damage()), (79, vec![]));
    assert_eq!(
        (database.meta.transaction, lines.last().unwrap().as_str()),
        (95, "v1/version=1")
    );
    let database = parsed(SNAPSHOTS.to_vec());
    let of_first = |line: &String| line.starts_with("v1/snapshots/default/2");
    let lines: Vec<String> = outline(&database).into_iter().filter(of_first).collect();
    let base =
        "v1/snapshots/default/2/sha256:e6972cbde143ebe8fdc32c7c46bcdbccd4adac43e9a21c8e50a6044a5f80b0e0";
    let expected = [
        "createdat=15",
        "id=1",
        "inodes=1",
        "kind=1",
        "size=3",
        "updatedat=15",
    ];
    assert_eq!(lines, expected.map(|field| format!("{base}/{field}")));
}

/// Three levels of pages, a bucket of its own, a small one inside a page, and a value of several pages.
fn tree() -> Entries {
    let mut tree: Entries = (0..600)
        .map(|number| bytes(&format!("key-{number:03}"), b"value"))
        .collect();
    let many = (0..60).map(|number| bytes(&format!("{number:02}"), &[0; 40]));
    tree.push(bucket("many", many.collect()));
    tree.push(bucket("small", vec![bytes("a", b"1"), bytes("b", b"")]));
    tree.push(bytes("long", &[1; 5000]));
    tree
}

#[test]
fn trees_of_any_form_are_read_whole() {
    let database = parsed(file(tree()));
    let lines = outline(&database);
    assert_eq!(database.damage(), Vec::<String>::new());
    let mut expected: Vec<String> = (0..600).map(|number| format!("key-{number:03}=5")).collect();
    expected.push("long=5000".to_owned());
    expected.extend((0..60).map(|number| format!("many/{number:02}=40")));
    expected.extend(["small/a=1", "small/b=0"].map(str::to_owned));
    assert_eq!(lines, expected);
    let small = database.root().bucket("small").unwrap();
    assert_eq!((small.buckets().len(), small.bucket("a").is_none()), (0, true));
    assert!(database.root().bucket("none").is_none());
    let empty = parsed(file(Vec::new()));
    assert_eq!((outline(&empty), empty.damage()), (vec![], vec![]));
}

/// A tree of one leaf with a bucket on a page of its own: that page is 3, the root 4.
fn small() -> Vec<u8> {
    let page = bucket("page", vec![bytes("x", &[7; 300])]);
    file(vec![page, bytes("key", b"value"), bytes("zz", b"last")])
}

fn put(bytes: &mut [u8], page: usize, at: usize, value: &[u8]) {
    bytes[page * PAGE + at..][..value.len()].copy_from_slice(value);
}

/// The file after a change: what can still be read, and what is named.
fn check(name: &str, change: impl FnOnce(&mut Vec<u8>), lines: &[&str], damage: &[&str]) {
    let mut bytes = small();
    change(&mut bytes);
    let database = parsed(bytes);
    assert_eq!(
        (outline(&database), database.damage()),
        (
            lines.iter().map(|line| (*line).to_owned()).collect(),
            damage.iter().map(|what| (*what).to_owned()).collect()
        ),
        "{name}"
    );
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_read() {
    let whole = ["key=5", "page/x=300", "zz=4"];
    let rest = ["key=5", "zz=4"];
    check("whole", |_| {}, &whole, &[]);
    check(
        "a newest header that is not whole",
        |file| put(file, 1, 20, &[9]),
        &whole,
        &[],
    );
    check(
        "an older header that is not whole",
        |file| put(file, 0, 20, &[9]),
        &whole,
        &[],
    );
    check(
        "another number",
        |file| put(file, 3, 0, &[9]),
        &rest,
        &["page 3: says that it is another one"],
    );
    check(
        "a free page",
        |file| put(file, 3, 8, &[16]),
        &rest,
        &["page 3: is no page of a tree"],
    );
    check(
        "too many pages",
        |file| put(file, 3, 12, &[0xff; 4]),
        &rest,
        &["page 3: lies outside the file"],
    );
    check(
        "too many elements",
        |file| put(file, 4, 10, &[0xff, 0xff]),
        &whole,
        &["page 4: has a key or value that leads out of it"],
    );
    check(
        "a key that leads out",
        |file| put(file, 4, 16 + 4, &[0xff; 4]),
        &[],
        &["page 4: has a key or value that leads out of it"],
    );
    check(
        "a value that leads out",
        |file| put(file, 4, 16 + 12, &[0xff; 4]),
        &[],
        &["page 4: has a key or value that leads out of it"],
    );
}

#[test]
fn pages_that_lead_nowhere_are_named() {
    check(
        "a branch into itself",
        |file| put(file, 4, 8, &[1]),
        &[],
        // What were lengths are pages now.
        &[
            "page 21474836483: lies outside the file",
            "page 68719476740: lies outside the file",
            "page 17179869186: lies outside the file",
        ],
    );
    check(
        "cut in the root",
        |file| file.truncate(4 * PAGE + 10),
        &[],
        &["page 4: lies outside the file"],
    );
    check(
        "a root outside",
        |file| {
            let metas = [meta(0, 4, 5, 12), meta(1, 99, 5, 13)].concat();
            file.splice(..2 * PAGE, metas);
        },
        &[],
        &["page 99: lies outside the file"],
    );
    check(
        "a root that is a header",
        |file| drop(file.splice(PAGE..2 * PAGE, meta(1, 0, 5, 13))),
        &[],
        &["page 0: lies outside the file"],
    );
}

/// A page with this many buckets that all lie on the page itself.
fn turning(count: usize) -> Vec<u8> {
    let of_page = (0..count).map(|number| bucket(&format!("{number:02}"), vec![bytes("x", &[7; 300])]));
    let mut bytes = file(of_page.collect());
    let root = 3 + count;
    let key_end = |index: usize| {
        let element = root * PAGE + 16 + index * 16;
        let word = |at: usize| u32::from_le_bytes(bytes[element + at..][..4].try_into().unwrap());
        element + usize::try_from(word(4) + word(8)).unwrap()
    };
    let ends: Vec<usize> = (0..count).map(key_end).collect();
    for end in ends {
        bytes[end..end + 8].copy_from_slice(&u64::try_from(root).unwrap().to_le_bytes());
    }
    bytes
}

#[test]
fn circles_and_pages_with_many_parents_end() {
    let database = parsed(turning(16));
    let lines = outline(&database);
    // Sixteen to the power of the depth would be looked at, were they not counted.
    assert!(lines.len() < database.bytes.len(), "{}", lines.len());
    let damage = database.damage();
    assert_eq!(damage, ["page 19: leads to more than the file can hold"]);
    // A branch whose children are itself.
    let mut bytes = file(tree());
    let root = usize::try_from(parsed(bytes.clone()).meta.root).unwrap();
    let number = u64::try_from(root).unwrap().to_le_bytes();
    put(&mut bytes, root, 16 + 8, &number);
    let database = parsed(bytes);
    assert!(!outline(&database).is_empty());
    assert_eq!(database.damage(), [format!("page {root}: is reached twice")]);
}

#[test]
fn a_file_without_a_header_is_none() {
    let mut no_header = small();
    put(&mut no_header, 0, 16, &[0; 4]);
    put(&mut no_header, 1, 20, &[9]);
    for bytes in [Vec::new(), vec![0; 100], vec![0xff; 100_000], no_header] {
        let length = bytes.len();
        let error = Database::parse(bytes).unwrap_err();
        assert!(matches!(error, BoltError::NoHeader { bytes } if bytes == length));
    }
}

#[test]
fn a_file_that_its_owner_has_locked_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    // Bolt makes room before it is needed.
    std::fs::write(&path, [recorded(), vec![0xff; 1 << 20]].concat()).unwrap();
    let owner = std::fs::File::open(&path).unwrap();
    rustix::fs::flock(&owner, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let database = read(&path).unwrap();
    assert_eq!((outline(&database).len(), database.bytes.len()), (79, 46 * 4096));
    assert!(read(&directory.path().join("none")).unwrap_err().is_not_found());
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(read(&link), Err(BoltError::File(_))));
}

#[test]
fn a_giant_is_refused_without_reading_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meta.db");
    let pages = u64::try_from((live::FILE_LIMIT / 1024) + 1).unwrap();
    std::fs::write(&path, [meta(0, 3, pages, 1), meta(1, 3, pages, 2)].concat()).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    let error = read(&path).unwrap_err();
    assert!(
        matches!(
            error,
            BoltError::File(crate::bounded::BoundedError::TooLarge { .. })
        ),
        "{error}"
    );
}

/// Headers as they are met before and after each try: how many tries it takes, or that it is given up.
#[test]
fn a_commit_in_the_middle_is_noticed_and_read_again() {
    let at = |transaction| {
        let bytes = [meta(0, 3, 4, transaction), vec![0; PAGE]].concat();
        Meta::newest(&bytes)
    };
    for (headers, tries) in [
        (vec![1, 1], Some(1)),
        (vec![1, 2, 2, 2], Some(2)),
        (vec![1, 2, 3, 4, 5, 5], Some(3)),
        ((0..100).collect(), None),
    ] {
        let mut made = 0;
        let mut headers = headers.into_iter();
        let result = live::read_while(
            || {
                made += 1;
                Ok(small())
            },
            || Ok(at(headers.next().unwrap())),
        );
        match tries {
            Some(tries) => assert_eq!((made, result.is_ok()), (tries, true)),
            None => assert!(matches!(result, Err(BoltError::Changing { tries }) if tries == made)),
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(200))]
    #[test]
    fn mutated_files_never_panic(
        changes in proptest::collection::vec((proptest::arbitrary::any::<usize>(), proptest::arbitrary::any::<u8>()), 1..30),
        cut in proptest::arbitrary::any::<usize>(),
    ) {
        let mut bytes = file(tree());
        let body = bytes.len() - 2 * PAGE;
        for (place, byte) in changes {
            bytes[2 * PAGE + place % body] = byte;
        }
        bytes.truncate(2 * PAGE + cut % body);
        let database = parsed(bytes);
        proptest::prop_assert!(outline(&database).len() <= database.bytes.len());
    }
}
