//! What is kept and restored, for whom, and what happens to a file that is damaged, foreign or full of lies.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use std::path::PathBuf;

use super::*;
use crate::model::{
    DevIno, Driver, Engine, Finding, KernelDev, LayerId, LayerKey, LayerState, Place, StoreId,
};
use crate::scan::Scanner;

const TOKEN: &str = concat!("gh", "p_Qm3Zt8LwRk1XvB6nHs0YpJc5DfGe2u3ebODB");

/// What is done to a file.
type Change<'a> = (&'a str, &'a dyn Fn());

fn key(byte: u8) -> FingerprintKey {
    FingerprintKey::new([byte; 32])
}

fn rules() -> RuleSet {
    RuleSet::builtin().unwrap()
}

fn open(directory: &Path) -> ScanCache {
    let (cache, anew) = ScanCache::open(directory, rules(), key(7)).unwrap();
    assert!(!anew);
    cache
}

fn store(id: &str, owner_uid: u32, ino: u64) -> Store {
    Store {
        id: StoreId::new(id),
        engine: Engine::ContainersStorage,
        driver: Driver::Overlay,
        namespace: None,
        root: PathBuf::from("/s"),
        root_key: DevIno {
            dev: KernelDev(1),
            ino,
        },
        owner_uid,
        filesystem: "ext4".to_owned(),
        index_directories: Vec::new(),
        layer_directories: Vec::new(),
        unlisted: 0,
        leftovers: crate::model::Leftovers::default(),
    }
}

/// A layer with a secret, unpacked below `root`.
fn layer(root: &Path, store: &Store) -> Layer {
    let content = root.join("diff");
    std::fs::create_dir_all(content.join("etc")).unwrap();
    let file = content.join("etc/app.env");
    std::fs::write(&file, format!("TOKEN={TOKEN}\n")).unwrap();
    let times = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(times)
        .unwrap();
    Layer {
        key: LayerKey {
            store: store.id.clone(),
            layer: LayerId::new("l"),
        },
        content,
        content_key: None,
        diff_id: Some(Digest::parse(&format!("sha256:{}", "ab".repeat(32))).unwrap()),
        blob_digest: None,
        toc_digest: None,
        parent: None,
        size_bytes: None,
        created: None,
        state: LayerState::Image,
        build_cache: None,
        device: None,
    }
}

fn scan(layer: &Layer) -> LayerScan {
    let scanner = Scanner::new(rules(), key(7));
    let mut findings: Vec<Finding> = Vec::new();
    let summary = scanner
        .scan_directory(&layer.content, Some(&layer.key), &mut |_| (), &mut |found| {
            findings.push(found);
        })
        .unwrap();
    assert_eq!(findings.len(), 1);
    LayerScan { findings, summary }
}

#[test]
fn a_result_comes_back_for_root_everywhere_and_for_others_only_to_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (root, copy) = (store("overlay@/a", 0, 2), store("overlay@/b", 0, 3));
    let (user, same_place) = (store("overlay@/u", 1000, 4), store("overlay@/u", 1000, 5));
    let kept = layer(&at("a"), &root);
    let found = scan(&kept);
    let cache = open(directory.path());
    cache.keep(&root, &kept, &found).unwrap();
    drop(cache);
    let cache = open(directory.path());
    assert_eq!(cache.layer(&root, &kept).unwrap(), Some(found.clone()));
    // Another store of root: the same finding with that store's inode.
    let other = layer(&at("b"), &copy);
    let restored = cache.layer(&copy, &other).unwrap().unwrap();
    let Place::File { key, layer: of, .. } = &restored.findings[0].place else {
        panic!()
    };
    let metadata = other.content.join("etc/app.env").metadata().unwrap();
    assert_eq!((key.ino, of.as_ref()), (metadata.ino(), Some(&other.key)));
    // A user's store claims the id: it is scanned, and what it gives is its own.
    let theirs = layer(&at("u"), &user);
    assert_eq!(cache.layer(&user, &theirs).unwrap(), None);
    cache.keep(&user, &theirs, &scan(&theirs)).unwrap();
    assert!(cache.layer(&user, &theirs).unwrap().is_some());
    assert_eq!(cache.layer(&same_place, &theirs).unwrap(), None);
    // A copy of the whole tree has the id of the layer's own files, and others on each parent.
    let copies = Store {
        driver: Driver::Vfs,
        ..store("vfs@/v", 0, 6)
    };
    let tree = layer(&at("v"), &copies);
    assert_eq!(cache.layer(&copies, &tree).unwrap(), None);
    cache.keep(&copies, &tree, &scan(&tree)).unwrap();
    assert!(cache.layer(&copies, &tree).unwrap().is_some());
    let mut on_another = tree.clone();
    on_another.key.layer = LayerId::new("other");
    assert_eq!(cache.layer(&copies, &on_another).unwrap(), None);
    let mode = at(FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_changed_and_a_scan_that_was_not_whole_are_scanned_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = store("overlay@/a", 0, 2);
    let kept = layer(directory.path(), &root);
    let found = scan(&kept);
    let cache = open(directory.path());
    let mut partial = found.clone();
    partial
        .summary
        .problem(ProblemKind::Open, b"etc/closed", Some(13));
    cache.keep(&root, &kept, &partial).unwrap();
    assert_eq!(cache.layer(&root, &kept).unwrap(), None, "a scan without rights");
    let mut nameless = kept.clone();
    nameless.diff_id = None;
    cache.keep(&root, &nameless, &found).unwrap();
    assert_eq!(cache.layer(&root, &nameless).unwrap(), None, "no digest");
    cache.keep(&root, &kept, &found).unwrap();
    let file = kept.content.join("etc/app.env");
    let changes: [Change<'_>; 3] = [
        ("longer", &|| {
            std::fs::write(&file, "TOKEN=none at all, and longer\n").unwrap();
        }),
        ("a link", &|| {
            std::fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        }),
        ("gone", &|| std::fs::remove_file(&file).unwrap()),
    ];
    assert!(cache.layer(&root, &kept).unwrap().is_some(), "the control");
    for (name, change) in changes {
        change();
        assert_eq!(cache.layer(&root, &kept).unwrap(), None, "{name}");
    }
}

#[test]
fn another_key_and_a_changed_record_are_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let root = store("overlay@/a", 0, 2);
    let kept = layer(directory.path(), &root);
    let cache = open(directory.path());
    cache.keep(&root, &kept, &scan(&kept)).unwrap();
    let name = cache.key_of(&root, &kept).unwrap();
    let record = Record::of(&kept, &scan(&kept)).unwrap();
    let sealed = record.seal(&key(7), &name);
    assert_eq!(Record::unseal(&sealed, &key(7), &name), Some(record));
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (what, sealed, byte, name) in [
        ("another key", &sealed, 8, name.as_str()),
        ("another layer's", &sealed, 7, "other"),
        ("changed", &changed, 7, name.as_str()),
        ("cut", &sealed[..20].to_vec(), 7, name.as_str()),
    ] {
        assert_eq!(Record::unseal(sealed, &key(byte), name), None, "{what}");
    }
    // No byte of the secret is in the file.
    drop(cache);
    let bytes = crate::bounded::read(&directory.path().join(FILE), 64 << 20).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"etc/app.env"), "the control");
    assert!(!holds(&TOKEN.as_bytes()[8..24]));
}

#[test]
fn a_damaged_file_is_made_anew_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let root = store("overlay@/a", 0, 2);
    let kept = layer(directory.path(), &root);
    let path = directory.path().join(FILE);
    let good = {
        let cache = open(directory.path());
        cache.keep(&root, &kept, &scan(&kept)).unwrap();
        drop(cache);
        crate::bounded::read(&path, 64 << 20).unwrap()
    };
    let mut zeroed = good.clone();
    let half = zeroed.len() / 2;
    zeroed[..half].fill(0);
    let mut flipped = good.clone();
    for byte in flipped.iter_mut().skip(4096) {
        *byte ^= 0x55;
    }
    for (name, content) in [
        ("no database", b"hello".repeat(2000)),
        ("zeroed", zeroed),
        ("flipped", flipped),
        ("cut", good[..good.len() / 2].to_vec()),
    ] {
        std::fs::write(&path, content).unwrap();
        let (cache, anew) = ScanCache::open(directory.path(), rules(), key(7)).unwrap();
        assert!(anew, "{name}");
        assert_eq!(cache.layer(&root, &kept).unwrap(), None, "{name}");
        cache.keep(&root, &kept, &scan(&kept)).unwrap();
        assert!(cache.layer(&root, &kept).unwrap().is_some(), "{name}");
    }
    // A link in its place is not followed.
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
    assert!(ScanCache::open(directory.path(), rules(), key(7)).is_err());
}
