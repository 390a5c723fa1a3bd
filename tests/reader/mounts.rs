//! Other mounts of the file's directory, and other roots.
//!
//! Invariant: mounts are made in a mount namespace of this process's own, save for one way that is about the host's.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use crate::opens::parts;
use crate::reads::whole;
use crate::user::{become_user, user_namespace};
use crate::{Absent, Place, Way, absent_for, calls, child};

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const WAYS: [(&str, Way); 11] = [
    ("bind", |place| {
        let (directory, name) = parts(place)?;
        let at = folder(place, "at")?;
        rustix::mount::mount_bind(directory, &at).context("bind mount")?;
        let content = child::run(|| read_as_user(&at.join(name)));
        rustix::mount::unmount(&at, UnmountFlags::DETACH)?;
        content
    }),
    ("mount-namespace", |place| {
        mount_namespace()?;
        let (directory, name) = parts(place)?;
        let at = folder(place, "at")?;
        rustix::mount::mount_bind(directory, &at).context("bind mount")?;
        read_as_user(&at.join(name))
    }),
    ("user-mount-namespace", |place| {
        become_user()?;
        user_namespace(UnshareFlags::NEWNS)?;
        let (directory, name) = parts(place)?;
        let at = folder(place, "at")?;
        rustix::mount::mount_bind_recursive(directory, &at).context("bind mount")?;
        whole(&File::open(at.join(name))?)
    }),
    ("chroot", |place| {
        rustix::process::chroot(&place.layer)?;
        std::env::set_current_dir("/")?;
        read_as_user(&inside(place)?)
    }),
    ("proc-root", proc_root),
    ("detached-mount", |place| {
        let (directory, name) = parts(place)?;
        let tree = detached(directory)?;
        become_user()?;
        whole(&rustix::fs::openat(tree, name, OFlags::RDONLY, Mode::empty())?.into())
    }),
    ("idmapped-mount", idmapped),
    ("overlay", |place| {
        mount_namespace()?;
        let merged = overlay(place, "merged", &place.layer)?;
        read_as_user(&merged.join(inside(place)?.strip_prefix("/")?))
    }),
    ("overlay-on-overlay", |place| {
        mount_namespace()?;
        let inner = overlay(place, "inner", &place.layer)?;
        let merged = overlay(place, "merged", &inner)?;
        read_as_user(&merged.join(inside(place)?.strip_prefix("/")?))
    }),
    ("overlay-by-user", |place| {
        become_user()?;
        user_namespace(UnshareFlags::NEWNS)?;
        let merged = overlay(place, "merged", &place.layer)
            .map_err(|error| absent_for(error, &[libc::EPERM], "no overlay mounts by users (Linux 5.11)"))?;
        whole(&File::open(merged.join(inside(place)?.strip_prefix("/")?))?)
    }),
    ("fuse-overlayfs", fuse_overlay),
];

fn read_as_user(path: &Path) -> Result<Vec<u8>> {
    become_user()?;
    whole(&File::open(path).with_context(|| format!("open {}", path.display()))?)
}

/// The file's path where the layer is the root.
fn inside(place: &Place) -> Result<PathBuf> {
    Ok(Path::new("/").join(place.file.strip_prefix(&place.layer)?))
}

fn folder(place: &Place, name: &str) -> Result<PathBuf> {
    let folder = place.spare.join(name);
    std::fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

fn mount_namespace() -> Result<()> {
    // SAFETY: no descriptor table is unshared, and there is one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare the mounts")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).context("make the mounts private")
}

/// An overlay of `lower` below an empty directory.
fn overlay(place: &Place, name: &str, lower: &Path) -> Result<PathBuf> {
    let empty = folder(place, &format!("{name}-empty"))?;
    let merged = folder(place, name)?;
    let options = CString::new(format!("lowerdir={}:{}", empty.display(), lower.display()))?;
    rustix::mount::mount(
        "overlay",
        &merged,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .map_err(std::io::Error::from)
    .context("mount an overlay")?;
    Ok(merged)
}

fn detached(directory: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, directory, flags).context("open_tree")
}

/// A process of the same user whose root is the layer.
fn proc_root(place: &Place) -> Result<Vec<u8>> {
    let other = child::hold(|| {
        rustix::process::chroot(&place.layer)?;
        become_user()
    })?;
    become_user()?;
    let path = inside(place)?;
    let path = Path::new("/proc")
        .join(other.to_string())
        .join("root")
        .join(path.strip_prefix("/")?);
    whole(&File::open(&path).with_context(|| format!("open {}", path.display()))?)
}

/// `struct mount_attr`, `include/uapi/linux/mount.h`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// A detached mount on which the file belongs to somebody else than on the disk.
fn idmapped(place: &Place) -> Result<Vec<u8>> {
    const IDMAP: u64 = 0x0010_0000;
    const EMPTY_PATH: usize = 0x1000;
    let (directory, name) = parts(place)?;
    let tree = detached(directory)?;
    let namespace = shifted_namespace()?;
    let attributes = MountAttributes {
        set: IDMAP,
        clear: 0,
        propagation: 0,
        user_namespace: u64::try_from(calls::number(namespace.as_fd())?)?,
    };
    let empty = c"";
    // SAFETY: the path and the attributes outlive the call, which is told how large these are.
    let changed = unsafe {
        let arguments = [
            calls::number(tree.as_fd())?,
            empty.as_ptr() as usize,
            EMPTY_PATH,
            &raw const attributes as usize,
            size_of::<MountAttributes>(),
        ];
        calls::call(libc::SYS_mount_setattr, arguments)
    };
    changed.map_err(|error| {
        absent_for(
            error,
            &[libc::ENOSYS, libc::EINVAL],
            "no idmapped mounts (Linux 5.12)",
        )
    })?;
    become_user()?;
    whole(&rustix::fs::openat(tree, name, OFlags::RDONLY, Mode::empty())?.into())
}

/// A user namespace that maps ids to others.
fn shifted_namespace() -> Result<OwnedFd> {
    let other = child::hold(|| {
        // SAFETY: no descriptor table is unshared, and there is one thread.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }.context("unshare the users")
    })?;
    let directory = Path::new("/proc").join(other.to_string());
    for map in ["uid_map", "gid_map"] {
        std::fs::write(directory.join(map), "0 100000 65536").with_context(|| format!("write {map}"))?;
    }
    let namespace = File::open(directory.join("ns/user"))?;
    // The namespace stays with its descriptor. Its process is no longer this one's to end once this one is the user.
    let other = Pid::from_raw(other).context("a process id")?;
    rustix::process::kill_process(other, Signal::KILL)?;
    Ok(namespace.into())
}

/// The user's own overlay in user space: the daemon opens the layer's file, as the user.
fn fuse_overlay(place: &Place) -> Result<Vec<u8>> {
    const PROGRAM: &str = "fuse-overlayfs";
    let names = std::env::var_os("PATH").unwrap_or_default();
    let Some(program) = std::env::split_paths(&names)
        .map(|folder| folder.join(PROGRAM))
        .find(|program| program.is_file())
    else {
        anyhow::bail!(Absent("fuse-overlayfs is not installed".into()));
    };
    fuse_device_for_all(place)?;
    become_user()?;
    user_namespace(UnshareFlags::NEWNS)?;
    let merged = folder(place, "merged")?;
    let empty = folder(place, "empty")?;
    let before = std::fs::metadata(&merged)?.dev();
    let options = format!("lowerdir={}:{}", empty.display(), place.layer.display());
    let mut daemon = std::process::Command::new(program)
        .args(["-f", "-o", &options])
        .arg(&merged)
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let mounted = layerwatch_tests::wait_until("fuse-overlayfs has mounted", DEADLINE, || {
        let now = std::fs::metadata(&merged).ok()?.dev();
        (now != before).then_some(())
    });
    let content = mounted.and_then(|()| whole(&File::open(merged.join(inside(place)?.strip_prefix("/")?))?));
    daemon.kill()?;
    daemon.wait()?;
    content
}

/// udev lets every user open it; in a mount namespace of its own, for where there is none.
fn fuse_device_for_all(place: &Place) -> Result<()> {
    const DEVICE: &str = "/dev/fuse";
    let number = std::fs::metadata(DEVICE).context("look at /dev/fuse")?.rdev();
    mount_namespace()?;
    let node = place.spare.join("fuse");
    let mode = Mode::from(0o666);
    rustix::fs::mknodat(CWD, &node, FileType::CharacterDevice, mode, number).context("make the device")?;
    std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o666))?;
    rustix::mount::mount_bind(&node, DEVICE).context("mount the device")
}
