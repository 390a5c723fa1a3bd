//! The answer compared with what the kernel lets real processes do.

mod reality;

use std::os::unix::fs::{PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::acl::tests::bytes_of;
use super::acl::{self, Entry, Who};
use super::look::{Looker, Wanted};
use super::way::{Subject, Way};
use super::*;
use crate::catalog::{Catalog, Host};
use crate::model::{Exposure, Gate, Reader};
use crate::testing::root_or_skip;

const NOBODY: u32 = 65534;
/// A group that no layout names, for subjects without groups.
const NOGROUP: u32 = 65533;
const STAFF: u32 = 50;
const ADM: u32 = 60;
const ANN: u32 = 1000;
const BOB: u32 = 1001;

/// Mode, owner, group and list of one component.
type Spec<'a> = (u32, u32, u32, &'a [Entry]);

const OPEN: Spec<'static> = (0o755, 0, 0, &[]);
const SHUT: Spec<'static> = (0o700, 0, 0, &[]);
const FILE: Spec<'static> = (0o644, 0, 0, &[]);

/// Lists as `setfacl -m <entry>` makes them, in the kernel's order.
const ANN_MAY: [Entry; 5] = [
    (Who::Owner, 7),
    (Who::User(ANN), 5),
    (Who::OwningGroup, 0),
    (Who::Mask, 7),
    (Who::Other, 0),
];
const STAFF_MAY: [Entry; 5] = [
    (Who::Owner, 7),
    (Who::OwningGroup, 0),
    (Who::Group(STAFF), 5),
    (Who::Mask, 7),
    (Who::Other, 0),
];
const ANN_MAY_NOT: [Entry; 5] = [
    (Who::Owner, 7),
    (Who::User(ANN), 0),
    (Who::OwningGroup, 5),
    (Who::Mask, 5),
    (Who::Other, 5),
];
const MASKED: [Entry; 5] = [
    (Who::Owner, 7),
    (Who::User(ANN), 7),
    (Who::OwningGroup, 7),
    (Who::Mask, 0),
    (Who::Other, 5),
];

fn of_path(host: &Host, path: &Path) -> Exposure {
    let around = Surroundings::look(host, &Catalog::default(), &Processes::default(), &[]);
    around.of(path, Whose::default())
}

fn walk(host: &Host, path: &Path) -> Way {
    Looker::new(host).walk(path, Wanted::Read)
}

/// Directories `0/1/…` below a directory that everybody may enter, the last component a file.
struct Layout {
    base: tempfile::TempDir,
    path: PathBuf,
}

impl Layout {
    fn new(components: &[Spec<'_>]) -> Self {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let layout = Self {
            path: (0..components.len())
                .fold(base.path().to_owned(), |path, name| path.join(name.to_string())),
            base,
        };
        std::fs::create_dir_all(layout.path.parent().unwrap()).unwrap();
        std::fs::write(&layout.path, "content").unwrap();
        for ((mode, uid, gid, acl), path) in components.iter().zip(layout.components()) {
            chown(&path, Some(*uid), Some(*gid)).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
            if !acl.is_empty() {
                rustix::fs::setxattr(
                    &path,
                    acl::ATTRIBUTE,
                    &bytes_of(acl),
                    rustix::fs::XattrFlags::empty(),
                )
                .unwrap();
            }
        }
        layout
    }

    fn components(&self) -> Vec<PathBuf> {
        let below = self.path.ancestors().take_while(|path| *path != self.base.path());
        let mut below: Vec<PathBuf> = below.map(Path::to_owned).collect();
        below.reverse();
        below
    }

    /// Whether a real process of that user and groups can read the file, if it may first change what it owns.
    fn can_read(&self, uid: u32, gids: &[u32]) -> bool {
        let list: Vec<String> = gids.iter().map(u32::to_string).collect();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &uid.to_string()]);
        command.args(["--regid", &gids.first().unwrap_or(&NOGROUP).to_string()]);
        if list.is_empty() {
            command.arg("--clear-groups");
        } else {
            command.args(["--groups", &list.join(",")]);
        }
        let script = r#"for p do chmod u+rwx "$p" 2>/dev/null; done; cat "$p""#;
        command.args(["sh", "-c", script, "sh"]).args(self.components());
        let output = command.output().unwrap();
        output.status.success() && output.stdout == b"content"
    }
}

/// Each subject's real reading against the two forms of the answer.
fn check(components: &[Spec<'_>], readers: &[Reader], combinations: &[&str]) {
    let host = Host::new("/");
    let exposure = of_path(&host, &Layout::new(components).path);
    assert_eq!(
        (exposure.readers.as_slice(), exposure.uncertain.len()),
        (readers, combinations.len())
    );
    for (text, expected) in exposure.uncertain.iter().zip(combinations) {
        assert_eq!(text, expected);
    }
    for uid in [NOBODY, ANN, BOB] {
        for gids in [&[][..], &[0], &[STAFF], &[ADM], &[STAFF, ADM]] {
            check_subject(components, uid, gids);
        }
    }
}

fn check_subject(components: &[Spec<'_>], uid: u32, gids: &[u32]) {
    let layout = Layout::new(components);
    let host = Host::new("/");
    let exposure = of_path(&host, &layout.path);
    let subject = Subject {
        uid: Some(uid),
        gids,
        takes_on: None,
    };
    let admitted = walk(&host, &layout.path).admits(&subject);
    let real = layout.can_read(uid, gids);
    assert_eq!(admitted, real, "user {uid} in {gids:?}: {components:?}");
    let listed = exposure.readers.iter().any(|reader| match reader {
        Reader::World => true,
        Reader::Group { gid } => gids.contains(gid),
        Reader::User { uid: reader } => *reader == uid,
    });
    // A combination is said in words; apart from it, no one reads who is not listed.
    assert!(
        !real || listed || !exposure.uncertain.is_empty(),
        "user {uid} in {gids:?}: {components:?}"
    );
}

fn group(gid: u32) -> Reader {
    Reader::Group { gid }
}

fn user(uid: u32) -> Reader {
    Reader::User { uid }
}

#[test]
fn modes_say_what_the_kernel_does() {
    if !root_or_skip("modes_say_what_the_kernel_does") {
        return;
    }
    check(&[OPEN, OPEN, FILE], &[Reader::World], &[]);
    check(
        &[(0o711, 0, 0, &[]), (0o701, 0, 0, &[]), FILE],
        &[Reader::World],
        &[],
    );
    check(&[SHUT, OPEN, FILE], &[], &[]);
    check(&[OPEN, SHUT, FILE], &[], &[]);
    check(&[OPEN, OPEN, (0o600, 0, 0, &[])], &[], &[]);
    // Docker since 20.10.9: host group 0 gets through.
    check(&[(0o710, 0, 0, &[]), (0o710, 0, 0, &[]), FILE], &[group(0)], &[]);
    check(&[(0o750, 0, STAFF, &[]), OPEN, FILE], &[group(STAFF)], &[]);
    // The way in is for one group, the file for another.
    let both = "a user gets through as a member of groups 50 and 60";
    check(&[(0o750, 0, STAFF, &[]), (0o640, 0, ADM, &[])], &[], &[both]);
    // A file in a rootless store, or one of a mapped root.
    check(&[(0o700, ANN, ANN, &[]), OPEN, FILE], &[user(ANN)], &[]);
    check(
        &[(0o711, 0, 0, &[]), (0o700, ANN, ANN, &[]), FILE],
        &[user(ANN)],
        &[],
    );
    check(&[SHUT, (0o700, ANN, ANN, &[]), FILE], &[], &[]);
    check(&[(0o700, ANN, 0, &[]), (0o600, BOB, 0, &[])], &[], &[]);
    let of_ann = "user 1000 gets through as a member of group 50";
    check(&[(0o700, ANN, 0, &[]), (0o640, 0, STAFF, &[])], &[], &[of_ann]);
    // An owner without the right can give it to himself.
    check(&[(0, ANN, 0, &[]), FILE], &[user(ANN)], &[]);
    check(&[OPEN, (0o040, ANN, 0, &[])], &[group(0), user(ANN)], &[]);
    // The owner's and the group's class come before that of the others.
    check(&[(0o077, ANN, 0, &[]), FILE], &[Reader::World], &[]);
    check(&[(0o705, 0, STAFF, &[]), FILE], &[Reader::World], &[]);
    check(&[(0o700, 0, 0, &[]), (0o777, ANN, ANN, &[])], &[], &[]);
}

#[test]
fn lists_say_what_the_kernel_does() {
    if !root_or_skip("lists_say_what_the_kernel_does") {
        return;
    }
    check(&[(0o700, 0, 0, &ANN_MAY), FILE], &[user(ANN)], &[]);
    check(&[(0o700, 0, 0, &STAFF_MAY), OPEN, FILE], &[group(STAFF)], &[]);
    check(&[OPEN, (0o600, 0, 0, &ANN_MAY)], &[user(ANN)], &[]);
    check(&[(0o755, 0, 0, &ANN_MAY_NOT), FILE], &[Reader::World], &[]);
    check(&[(0o755, 0, 0, &MASKED), FILE], &[Reader::World], &[]);
    check(
        &[(0o700, 0, 0, &ANN_MAY), (0o600, 0, 0, &STAFF_MAY)],
        &[],
        &["user 1000 gets through as a member of group 50"],
    );
    check(&[SHUT, (0o700, 0, 0, &ANN_MAY), FILE], &[], &[]);
}

fn any_spec() -> impl Strategy<Value = (u32, u32, u32, Vec<Entry>)> {
    let bits = 0_u16..8;
    let acl = proptest::option::weighted(
        0.4,
        (any::<bool>(), bits.clone(), bits.clone(), bits.clone(), bits).prop_map(
            |(user, named, owning, mask, other)| {
                let who = if user { Who::User(ANN) } else { Who::Group(STAFF) };
                let mut list = vec![(Who::Owner, 7), (who, named), (Who::OwningGroup, owning)];
                // The kernel wants users before the owning group before groups.
                list.sort_by_key(|(who, _)| matches!(who, Who::Group(_)));
                list.extend([(Who::Mask, mask), (Who::Other, other)]);
                list
            },
        ),
    );
    let owner = prop_oneof![6 => Just(0_u32), 1 => Just(ANN), 1 => Just(BOB)];
    let group = prop_oneof![Just(0_u32), Just(STAFF), Just(ADM)];
    // Mostly passable, else every chain is closed somewhere.
    let mode = prop_oneof![3 => 0_u32..0o1000, 2 => Just(0o755_u32), 1 => Just(0o750_u32)];
    (mode, owner, group, acl).prop_map(|(mode, uid, gid, acl)| (mode, uid, gid, acl.unwrap_or_default()))
}

fn any_gids() -> impl Strategy<Value = Vec<u32>> {
    proptest::sample::subsequence(vec![0_u32, STAFF, ADM], 0..=3)
}

#[test]
fn any_way_says_what_the_kernel_does() {
    if !root_or_skip("any_way_says_what_the_kernel_does") {
        return;
    }
    let specs = proptest::collection::vec(any_spec(), 1..4);
    let uid = proptest::sample::select(vec![NOBODY, ANN, BOB]);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let outcome = runner.run(&(specs, uid, any_gids()), |(specs, uid, gids)| {
        let specs: Vec<Spec<'_>> = specs
            .iter()
            .map(|(mode, uid, gid, acl)| (*mode, *uid, *gid, acl.as_slice()))
            .collect();
        check_subject(&specs, uid, &gids);
        Ok(())
    });
    outcome.unwrap();
}

/// A store with these modes of its root and the two levels below; the gate that is named, and what its remedy leaves.
fn check_gate(levels: [&str; 2], modes: [u32; 3], opened: Option<&str>, closed: Option<&str>) {
    let base = tempfile::tempdir().unwrap();
    std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let root = base.path().join("graph root");
    let gates = [
        root.clone(),
        root.join(levels[0]),
        root.join(levels[0]).join(levels[1]),
    ];
    let file = gates[2].join("diff/etc/key");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "x").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    for (gate, mode) in gates.iter().zip(modes) {
        std::fs::set_permissions(gate, PermissionsExt::from_mode(mode)).unwrap();
    }
    let host = Host::new("/");
    let exposure = of_path(&host, &file);
    let name = |gate: &Option<Gate>| {
        gate.as_ref()
            .and_then(|gate| gate.path.file_name().map(ToOwned::to_owned))
    };
    let names = [name(&exposure.opened_by), name(&exposure.closed_by)];
    assert_eq!(
        names,
        [opened, closed].map(|name| name.map(Into::into)),
        "{levels:?} {modes:?}"
    );
    if let Some(remedy) = &exposure.remedy {
        assert!(
            Command::new("sh")
                .args(["-c", remedy])
                .status()
                .unwrap()
                .success(),
            "{remedy}"
        );
        let after = of_path(&host, &file);
        assert_eq!(
            (after.readers, after.opened_by, after.remedy),
            (vec![], None, None),
            "{modes:?}"
        );
    }
    assert_eq!(exposure.remedy.is_some(), opened.is_some());
}

#[test]
fn the_gate_that_is_open_is_named_and_the_remedy_closes_it() {
    // Readers that the test's own user is would stay.
    if !root_or_skip("the_gate_that_is_open_is_named_and_the_remedy_closes_it") {
        return;
    }
    let layer = ["overlay", "abc"];
    check_gate(layer, [0o700, 0o700, 0o700], None, Some("graph root"));
    check_gate(layer, [0o711, 0o711, 0o700], None, Some("abc"));
    check_gate(layer, [0o711, 0o700, 0o755], None, Some("overlay"));
    check_gate(layer, [0o711, 0o711, 0o711], Some("graph root"), None);
    check_gate(
        layer,
        [0o750, 0o755, 0o755],
        Some("graph root"),
        Some("graph root"),
    );
    check_gate(
        ["overlay-images", "abc"],
        [0o755, 0o755, 0o755],
        Some("graph root"),
        None,
    );
    check_gate(
        ["overlay-images", "abc"],
        [0o755, 0o755, 0o700],
        None,
        Some("abc"),
    );
    check_gate(["other", "abc"], [0o755, 0o755, 0o755], None, None);
}

#[test]
fn what_cannot_be_looked_at_counts_as_open() {
    let base = tempfile::tempdir().unwrap();
    std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let host = Host::new("/");
    let exposure = of_path(&host, &base.path().join("missing/file"));
    assert_eq!(exposure.readers, [Reader::World]);
    assert_eq!(exposure.uncertain.len(), 2);
    let outside = of_path(&Host::new("/host"), Path::new("/etc/passwd"));
    assert_eq!(outside.readers, [Reader::World]);
    assert_eq!(
        outside.uncertain,
        ["/etc/passwd could not be looked at: it is not below the host's root"]
    );
}

#[test]
fn links_lead_below_the_hosts_root() {
    let base = tempfile::tempdir().unwrap();
    std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let root = base.path().join("host");
    std::fs::create_dir_all(root.join("data/shut")).unwrap();
    std::fs::write(root.join("data/shut/file"), "x").unwrap();
    std::fs::set_permissions(root.join("data/shut"), PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("/data/shut", root.join("link")).unwrap();
    if rustix::process::geteuid().is_root() {
        lchown(root.join("link"), Some(ANN), Some(ANN)).unwrap();
    }
    let host = Host::new(&root);
    let exposure = of_path(&host, &root.join("link/file"));
    let gate = exposure.closed_by.unwrap();
    assert_eq!((gate.path.as_path(), gate.mode), (Path::new("/data/shut"), 0o700));
}
