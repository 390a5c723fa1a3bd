//! What an open does not show: a descriptor that root opened and a user reads; and that an ordinary read is one record.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use layerwatch::kernel::Tier;
use layerwatch_ebpf::{NO_ID, Record, flags, hooks, kinds};

use crate::fixture::{Layer, Mounted, USER, tells_types_of, wire};

/// What a record says of a use.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    kind: u16,
    hook: u16,
    uid: u32,
    backing: bool,
    mounter_uid: u32,
    incomplete: bool,
    is_secret: bool,
}

impl Use {
    fn of(record: &Record, secret: layerwatch_ebpf::InodeKey) -> Self {
        Self {
            kind: record.kind,
            hook: record.hook,
            uid: record.real.uid,
            backing: record.flags & flags::BACKING != 0,
            mounter_uid: record.mounter_uid,
            incomplete: record.flags & flags::INCOMPLETE != 0,
            is_secret: record.file == secret,
        }
    }
}

/// Root opens the file and a user's `cat` inherits it as its input.
fn inherited(path: &Path) -> Result<()> {
    let output = Command::new("cat")
        .stdin(Stdio::from(File::open(path)?))
        .uid(USER)
        .gid(USER)
        .output()?;
    ensure!(output.stdout == b"the secret\n", "cat read something else");
    Ok(())
}

/// The records of a descriptor of root's that a user comes to read, by `path`.
fn check(layer: &mut Layer, path: &str, backing: bool) -> Result<()> {
    layer.records()?;
    inherited(&layer.path(path))?;
    let secret = wire(layer.secret()?);
    let said = |(kind, hook): (u16, u16), uid| Use {
        kind,
        hook,
        uid,
        backing,
        mounter_uid: if backing { 0 } else { NO_ID },
        incomplete: false,
        is_secret: true,
    };
    // Tier D sees the user hold it before the first read, the others see that read.
    let of_user = match layer.tier {
        Tier::A | Tier::B | Tier::C => (kinds::READ_FINDING, hooks::READ),
        Tier::D => (kinds::HOLD_FINDING, hooks::DESCRIPTORS),
    };
    let expected = vec![said((kinds::OPEN_FINDING, hooks::OPEN), 0), said(of_user, USER)];
    // Tier D finds the layer's inode behind the overlay's by types that a module may keep to itself.
    let expected = if backing && layer.tier == Tier::D && !tells_types_of("overlay") {
        Vec::new()
    } else {
        expected
    };
    let records = layer.records()?;
    let uses: Vec<_> = records.iter().map(|record| Use::of(record, secret)).collect();
    assert_eq!(uses, expected, "{path} on tier {}", layer.tier);
    Ok(())
}

#[test]
fn a_descriptor_that_a_user_inherits_from_root_is_the_users_read() -> Result<()> {
    let mut layer = Layer::new()?;
    check(&mut layer, "lower/etc/secret.key", false)?;
    let _mounted = Mounted::overlay(&layer)?;
    check(&mut layer, "merged/etc/secret.key", true)
}
