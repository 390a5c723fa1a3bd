//! Made-up sysfs trees of the shapes that machines have, and this machine's own.
//!
//! Invariant: each row names its devices and the whole answer. Run by the unit tests.

use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::model::{Driver, Engine, StoreId};

/// One device: its number, its directory below `/sys/devices`, and what it lies on.
struct Device(&'static str, &'static str, &'static [&'static str]);

fn store(dev: KernelDev, root: &str) -> Store {
    Store {
        id: StoreId::new("overlay@/s"),
        engine: Engine::ContainersStorage,
        driver: Driver::Overlay,
        namespace: None,
        root: root.into(),
        root_key: DevIno { dev, ino: 2 },
        owner_uid: 0,
        filesystem: "ext4".to_owned(),
        dataset: None,
        index_directories: Vec::new(),
        layer_directories: Vec::new(),
        unlisted: 0,
        leftovers: crate::model::Leftovers::default(),
    }
}

fn dev(number: &str) -> KernelDev {
    let (major, minor) = number.split_once(':').unwrap();
    KernelDev::from_numbers(major.parse().unwrap(), minor.parse().unwrap()).unwrap()
}

fn check(name: &str, devices: &[Device], on: &str, expected: &[(&str, &str)]) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::create_dir_all(root.join("sys/dev/block")).unwrap();
    std::fs::create_dir_all(root.join("images")).unwrap();
    std::fs::write(root.join("images/disk.img"), "").unwrap();
    for Device(number, at, _) in devices {
        let path = root.join("sys/devices").join(at);
        std::fs::create_dir_all(path.join("slaves")).unwrap();
        std::fs::write(path.join("dev"), format!("{number}\n")).unwrap();
        if at.contains("/sda") {
            std::fs::write(path.join("partition"), "1\n").unwrap();
        }
        if at.contains("loop") {
            std::fs::create_dir_all(path.join("loop")).unwrap();
            std::fs::write(path.join("loop/backing_file"), "/images/disk.img\n").unwrap();
        }
        symlink(
            Path::new("../../devices").join(at),
            root.join("sys/dev/block").join(number),
        )
        .unwrap();
    }
    for Device(_, at, slaves) in devices {
        for slave in *slaves {
            let link = root
                .join("sys/devices")
                .join(at)
                .join("slaves")
                .join(slave.replace('/', "."));
            symlink(root.join("sys/devices").join(slave), link).unwrap();
        }
    }
    let host = Host::new(root);
    let found = raw_devices(&host, &[store(dev(on), "/s")], &MountTable::default());
    let file = std::fs::metadata(root.join("images/disk.img")).unwrap();
    let expected: Vec<_> = expected
        .iter()
        .map(|(number, path)| RawDevice {
            key: match *number {
                "file" => RawKey::File(DevIno::of(&file)),
                number => RawKey::Device(dev(number)),
            },
            path: PathBuf::from(path),
            store: StoreId::new("overlay@/s"),
        })
        .collect();
    let sorted = |mut devices: Vec<RawDevice>| {
        devices.sort_by_key(|one| one.key);
        devices
    };
    assert_eq!(sorted(found), sorted(expected), "{name}");
}

#[test]
fn a_store_lies_on_all_that_its_device_lies_on() {
    check(
        "a disk",
        &[Device("254:0", "vda", &[])],
        "254:0",
        &[("254:0", "/dev/vda")],
    );
    check(
        "a partition",
        &[Device("8:0", "sda", &[]), Device("8:1", "sda/sda1", &[])],
        "8:1",
        &[("8:1", "/dev/sda1"), ("8:0", "/dev/sda")],
    );
    check(
        "LVM over encryption over a partition",
        &[
            Device("8:0", "sda", &[]),
            Device("8:2", "sda/sda2", &[]),
            Device("253:0", "dm-0", &["sda/sda2"]),
            Device("253:1", "dm-1", &["dm-0"]),
        ],
        "253:1",
        &[
            ("253:1", "/dev/dm-1"),
            ("253:0", "/dev/dm-0"),
            ("8:2", "/dev/sda2"),
            ("8:0", "/dev/sda"),
        ],
    );
    check(
        "a loop device",
        &[Device("7:3", "loop3", &[])],
        "7:3",
        &[("7:3", "/dev/loop3"), ("file", "/images/disk.img")],
    );
    check(
        "a name with a slash",
        &[Device("72:0", "cciss!c0d0", &[])],
        "72:0",
        &[("72:0", "/dev/cciss/c0d0")],
    );
    check(
        "devices that lie on each other",
        &[Device("9:0", "md0", &["md1"]), Device("9:1", "md1", &["md0"])],
        "9:0",
        &[("9:0", "/dev/md0"), ("9:1", "/dev/md1")],
    );
    check("no device at all", &[], "0:41", &[]);
    check("one that sysfs does not know", &[], "8:1", &[]);
}

#[test]
fn a_device_with_an_anonymous_number_is_found_by_the_mount_table() {
    let Some(device) = ["/dev/vda", "/dev/sda", "/dev/loop0"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.exists())
    else {
        panic!("this machine has no block device to ask about");
    };
    let line = format!("30 21 0:26 / /s rw - btrfs {} rw\n", device.display());
    let mounts = MountTable::parse(line.as_bytes());
    let found = raw_devices(&Host::new("/"), &[store(dev("0:26"), "/s")], &mounts);
    let number = KernelDev::from_stat(std::fs::metadata(device).unwrap().rdev());
    assert!(
        found
            .iter()
            .any(|one| one.key == RawKey::Device(number) && one.path == device),
        "{found:?}"
    );
}
