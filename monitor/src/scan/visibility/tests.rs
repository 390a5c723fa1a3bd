//! Visibility on trees made by hand and on the upper directory of a real overlay mount.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

fn id(name: &str) -> LayerId {
    LayerId::new(name)
}

fn touch(root: &Path, path: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "new").unwrap();
}

fn whiteout(root: &Path, path: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0);
    rustix::fs::mknodat(rustix::fs::CWD, path, FileType::CharacterDevice, mode, 0).unwrap();
}

fn set(path: PathBuf, name: &str, value: &str) {
    rustix::fs::lsetxattr(path, name, value.as_bytes(), rustix::fs::XattrFlags::empty()).unwrap();
}

/// What one upper layer, made by `make`, does to `etc/app/key`.
fn check(name: &str, make: impl Fn(&Path), expected: &Visibility) {
    let upper = tempfile::tempdir().unwrap();
    make(upper.path());
    let empty = tempfile::tempdir().unwrap();
    let above = [(id("empty"), empty.path()), (id("upper"), upper.path())];
    assert_eq!(
        visibility(b"etc/app/key", &above, &|_, _| false),
        *expected,
        "{name}"
    );
    assert_eq!(
        visibility(b"etc/app/key", &above[..1], &|_, _| false),
        Visibility::Visible,
        "{name}"
    );
}

#[test]
fn a_layer_above_hides_a_file_by_any_of_the_marks() {
    let deleted = Visibility::Deleted { by: id("upper") };
    let replaced = Visibility::Replaced { by: id("upper") };
    let visible = Visibility::Visible;
    check("untouched", |u| touch(u, "etc/app/other"), &visible);
    check("whiteout", |u| whiteout(u, "etc/app/key"), &deleted);
    check("whiteout of a parent", |u| whiteout(u, "etc/app"), &deleted);
    check("oci whiteout", |u| touch(u, "etc/app/.wh.key"), &deleted);
    check("oci whiteout of a parent", |u| touch(u, "etc/.wh.app"), &deleted);
    check("replaced", |u| touch(u, "etc/app/key"), &replaced);
    check(
        "replaced by a directory",
        |u| touch(u, "etc/app/key/x"),
        &replaced,
    );
    check("parent is a file", |u| touch(u, "etc/app"), &deleted);
    check(
        "parent is a link to a directory with such a file",
        |u| {
            touch(u, "elsewhere/key");
            std::fs::create_dir_all(u.join("etc")).unwrap();
            symlink("../elsewhere", u.join("etc/app")).unwrap();
        },
        &deleted,
    );
    check("oci opaque", |u| touch(u, "etc/app/.wh..wh..opq"), &deleted);
    check(
        "another device is no whiteout",
        |u| {
            std::fs::create_dir_all(u.join("etc/app")).unwrap();
            let device = rustix::fs::makedev(1, 3);
            let mode = rustix::fs::Mode::from_raw_mode(0);
            rustix::fs::mknodat(
                rustix::fs::CWD,
                u.join("etc/app/key"),
                FileType::CharacterDevice,
                mode,
                device,
            )
            .unwrap();
        },
        &replaced,
    );
}

#[test]
fn opaque_directories_and_metacopies_are_told_by_their_attributes() {
    let deleted = Visibility::Deleted { by: id("upper") };
    let replaced = Visibility::Replaced { by: id("upper") };
    for prefix in ["trusted.overlay.", "user.overlay."] {
        if prefix.starts_with("user") && !user_attributes_work() {
            continue;
        }
        let opaque = |u: &Path| {
            touch(u, "etc/app/other");
            set(u.join("etc/app"), &format!("{prefix}opaque"), "y");
        };
        check("opaque", opaque, &deleted);
        check(
            "opaque and new",
            |u| (opaque(u), touch(u, "etc/app/key")).1,
            &replaced,
        );
        check(
            "merging directory with the mark for its own whiteouts",
            |u| {
                touch(u, "etc/app/other");
                set(u.join("etc/app"), &format!("{prefix}opaque"), "x");
            },
            &Visibility::Visible,
        );
        check(
            "metacopy",
            |u| {
                touch(u, "etc/app/key");
                set(u.join("etc/app/key"), &format!("{prefix}metacopy"), "");
            },
            &Visibility::Repermissioned { by: id("upper") },
        );
    }
}

#[test]
fn a_copy_of_the_secret_under_other_permissions_is_told_from_another_file() {
    let (lower, upper, top) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    for layer in [&lower, &upper] {
        touch(layer.path(), "etc/key");
    }
    let [file, copy] = [&lower, &upper].map(|layer| layer.path().join("etc/key"));
    let above = [(id("upper"), upper.path()), (id("top"), top.path())];
    let judge = |same_secret: bool| {
        let is_copy = |_: &LayerId, _: &Path| same_secret && permissions_differ(&file, &copy);
        visibility(b"etc/key", &above, &is_copy)
    };
    let by = |name| id(name);
    assert_eq!(judge(true), Visibility::Replaced { by: by("upper") });
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&copy, mode).unwrap();
    assert_eq!(judge(true), Visibility::Repermissioned { by: by("upper") });
    assert_eq!(judge(false), Visibility::Replaced { by: by("upper") });
    whiteout(top.path(), "etc/key");
    assert_eq!(judge(true), Visibility::Deleted { by: by("top") });
}

/// tmpfs has user attributes from Linux 6.6 on.
fn user_attributes_work() -> bool {
    let directory = tempfile::tempdir().unwrap();
    rustix::fs::lsetxattr(directory.path(), "user.x", b"y", rustix::fs::XattrFlags::empty()).is_ok()
}

/// An overlay mount on a tmpfs of its own: an upper directory may not lie on an overlay, as /tmp in a container does.
struct Overlay {
    base: tempfile::TempDir,
}

impl Overlay {
    fn new(lower: &[&str]) -> Self {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().to_str().unwrap().to_owned();
        run("mount", &["-t", "tmpfs", "tmpfs", &root]);
        for directory in ["lower", "upper", "work", "merged"] {
            std::fs::create_dir(base.path().join(directory)).unwrap();
        }
        for file in lower {
            touch(&base.path().join("lower"), file);
        }
        let options = format!("lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work");
        run(
            "mount",
            &[
                "-t",
                "overlay",
                "overlay",
                "-o",
                &options,
                &format!("{root}/merged"),
            ],
        );
        Self { base }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.base.path().join(path)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        run("umount", &[self.at("merged").to_str().unwrap()]);
        run("umount", &[self.base.path().to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

#[test]
fn the_upper_directory_of_a_real_overlay_is_understood() {
    let files = [
        "etc/deleted",
        "etc/replaced",
        "etc/kept",
        "gone/a",
        "opaque/a",
        "opaque/b",
    ];
    let overlay = Overlay::new(&files);
    std::fs::remove_file(overlay.at("merged/etc/deleted")).unwrap();
    std::fs::write(overlay.at("merged/etc/replaced"), "other").unwrap();
    std::fs::remove_dir_all(overlay.at("merged/gone")).unwrap();
    std::fs::remove_dir_all(overlay.at("merged/opaque")).unwrap();
    std::fs::create_dir(overlay.at("merged/opaque")).unwrap();
    std::fs::write(overlay.at("merged/opaque/b"), "other").unwrap();
    let upper = overlay.at("upper");
    let above = [(id("upper"), upper.as_path())];
    let deleted = Visibility::Deleted { by: id("upper") };
    let replaced = Visibility::Replaced { by: id("upper") };
    let expected = [
        &deleted,
        &replaced,
        &Visibility::Visible,
        &deleted,
        &deleted,
        &replaced,
    ];
    for (file, expected) in files.iter().zip(expected) {
        assert_eq!(
            visibility(file.as_bytes(), &above, &|_, _| false),
            *expected,
            "{file}"
        );
        let merged = crate::bounded::read(&overlay.at("merged").join(file), 16).ok();
        let seen = match expected {
            Visibility::Visible | Visibility::Repermissioned { .. } => Some(&b"new"[..]),
            Visibility::Replaced { .. } => Some(&b"other"[..]),
            Visibility::Deleted { .. } => None,
        };
        assert_eq!(merged.as_deref(), seen, "{file}: what the kernel shows");
    }
}
