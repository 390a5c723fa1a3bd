//! Four ways to one inode, and what must not be reported.

use anyhow::{Context, Result};
use layerwatch::kernel::Tier;
use layerwatch_ebpf::{NO_ID, Record, flags, hooks, kinds};

use crate::fixture::{Layer, Mounted, USER, cat_as, wire};

/// What one read must have left in the ring.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: u16,
    hook: u16,
    file: layerwatch_ebpf::InodeKey,
    backing: bool,
    uid: u32,
    effective_fsuid: u32,
    outer_fsuid: u32,
    mounter_uid: u32,
    result: i32,
    comm: String,
    leaf: String,
}

impl Seen {
    fn of(record: &Record) -> Self {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
        };
        Self {
            kind: record.kind,
            hook: record.hook,
            file: record.file,
            backing: record.flags & flags::BACKING != 0,
            uid: record.real.uid,
            effective_fsuid: record.effective.fsuid,
            outer_fsuid: record.outer_fsuid,
            mounter_uid: record.mounter_uid,
            result: record.result,
            comm: text(&record.comm),
            leaf: text(&record.path),
        }
    }
}

/// Reads the secret by `path` as `uid` and compares the one record that must come.
fn check(layer: &mut Layer, uid: u32, path: &str, leaf: &str, backing: bool) -> Result<()> {
    layer.records().context("before the read")?;
    assert_eq!(cat_as(uid, &layer.path(path))?, "the secret\n");
    let records = layer.records()?;
    let expected = Seen {
        kind: kinds::OPEN_FINDING,
        hook: hooks::OPEN,
        file: wire(layer.secret()?),
        backing,
        uid,
        // A backing file is opened with the mounter's rights.
        effective_fsuid: if backing { 0 } else { uid },
        // Elsewhere it is carried only where the opener worked with rights that are not its own.
        outer_fsuid: if backing && layer.tier == Tier::D {
            uid
        } else {
            NO_ID
        },
        mounter_uid: if backing { 0 } else { NO_ID },
        result: 0,
        comm: "cat".to_owned(),
        leaf: leaf.to_owned(),
    };
    assert_eq!(
        records.iter().map(Seen::of).collect::<Vec<_>>(),
        [expected],
        "{path} on tier {}",
        layer.tier
    );
    Ok(())
}

#[test]
fn a_direct_read_is_seen_with_its_user() -> Result<()> {
    let mut layer = Layer::new()?;
    check(&mut layer, USER, "lower/etc/secret.key", "secret.key", false)?;
    check(&mut layer, 0, "lower/etc/secret.key", "secret.key", false)
}

#[test]
fn a_read_through_a_bind_mount_is_seen() -> Result<()> {
    let mut layer = Layer::new()?;
    let _mounted = Mounted::bind(&layer.path("lower/etc"), &layer.path("elsewhere"))?;
    check(&mut layer, USER, "elsewhere/secret.key", "secret.key", false)
}

#[test]
fn a_read_through_a_hard_link_is_seen() -> Result<()> {
    let mut layer = Layer::new()?;
    std::fs::hard_link(layer.path("lower/etc/secret.key"), layer.path("alias"))?;
    check(&mut layer, USER, "alias", "alias", false)
}

#[test]
fn a_read_through_an_overlay_mount_is_seen_with_the_outer_user() -> Result<()> {
    let mut layer = Layer::new()?;
    let _mounted = Mounted::overlay(&layer)?;
    // Up to Linux 6.6 the backing file carries the overlay's path, later the layer's: the leaf is the same.
    check(&mut layer, USER, "merged/etc/secret.key", "secret.key", true)
}

#[test]
fn ordinary_content_is_reported_once_per_process_and_only_counted_through_an_overlay() -> Result<()> {
    let mut layer = Layer::new()?;
    layer.records()?;
    cat_as(USER, &layer.path("lower/etc/motd"))?;
    let records = layer.records()?;
    let kinds: Vec<_> = records
        .iter()
        .map(|r| (r.kind, r.real.uid, r.flags & flags::BY_DIRECTORY))
        .collect();
    assert_eq!(kinds, [(kinds::OPEN_CONTENT, USER, flags::BY_DIRECTORY)]);

    let _mounted = Mounted::overlay(&layer)?;
    cat_as(USER, &layer.path("merged/etc/motd"))?;
    assert_eq!(layer.records()?, []);
    let outside = layer.path("elsewhere/file");
    std::fs::write(&outside, "")?;
    cat_as(USER, &outside)?;
    assert_eq!(layer.records()?, []);
    Ok(())
}

#[test]
fn the_agents_own_process_is_left_out_and_counted() -> Result<()> {
    let mut layer = Layer::new()?;
    layer.maps().ignore_process(std::process::id(), 0)?;
    layer.records()?;
    let before: u64 = layer
        .maps()
        .counters()?
        .iter()
        .map(|hook| hook.counters.own)
        .sum();
    std::fs::File::open(layer.path("lower/etc/secret.key"))?;
    assert_eq!(layer.records()?, []);
    let after: u64 = layer
        .maps()
        .counters()?
        .iter()
        .map(|hook| hook.counters.own)
        .sum();
    assert_eq!(after - before, 1);
    layer.maps().forget_process(std::process::id())?;
    std::fs::File::open(layer.path("lower/etc/secret.key"))?;
    assert_eq!(layer.records()?.len(), 1);
    Ok(())
}

#[test]
fn the_books_of_each_hook_balance() -> Result<()> {
    let mut layer = Layer::new()?;
    for name in [
        "lower/etc/secret.key",
        "lower/etc/motd",
        "lower/etc/motd",
        "canary",
    ] {
        cat_as(USER, &layer.path(name))?;
    }
    layer.records()?;
    for hook in layer.maps().counters()? {
        let c = hook.counters;
        assert_eq!(c.seen, c.matched + c.ignored, "{}: {c:?}", hook.hook);
        assert_eq!(
            c.matched,
            c.emitted + c.repeated + c.own + c.ring_full,
            "{}: {c:?}",
            hook.hook
        );
    }
    Ok(())
}
