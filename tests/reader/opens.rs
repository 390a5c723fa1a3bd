//! Ways to open a file by its own path.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::reads::whole;
use crate::user::become_user;
use crate::{Place, Way, calls};

pub(crate) const WAYS: [(&str, Way); 13] = [
    ("open", |place| {
        become_user()?;
        let path = calls::c_path(&place.file)?;
        // SAFETY: the path outlives the call.
        let opened = unsafe { calls::call(libc::SYS_open, [path.as_ptr() as usize, 0, 0]) };
        whole(&File::from(calls::descriptor(opened?)?))
    }),
    ("open-read-write", |place| {
        become_user()?;
        whole(&File::options().read(true).write(true).open(&place.file)?)
    }),
    ("openat", |place| {
        become_user()?;
        let (directory, name) = parts(place)?;
        let directory = File::open(directory)?;
        whole(&rustix::fs::openat(directory, name, OFlags::RDONLY, Mode::empty())?.into())
    }),
    ("openat2-no-symlinks", |place| {
        openat2(place, ResolveFlags::NO_SYMLINKS)
    }),
    ("openat2-beneath", |place| openat2(place, ResolveFlags::BENEATH)),
    ("openat2-in-root", |place| openat2(place, ResolveFlags::IN_ROOT)),
    ("openat2-no-xdev", |place| {
        openat2(place, ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS)
    }),
    ("open-32-bit", |place| open_32(place, 5)),
    ("openat-32-bit", |place| open_32(place, 295)),
    ("open_by_handle_at", by_handle),
    ("o_path", |place| {
        become_user()?;
        path_only(&place.file)?;
        Ok(Vec::new())
    }),
    ("o_path-reopened", |place| {
        become_user()?;
        let path = path_only(&place.file)?;
        whole(&File::open(format!("/proc/self/fd/{}", path.as_raw_fd()))?)
    }),
    ("execve", |place| {
        become_user()?;
        Err(std::process::Command::new(&place.file).exec()).context("execute the file")
    }),
];

/// Directory and name of the file.
pub(crate) fn parts(place: &Place) -> Result<(&Path, &Path)> {
    let directory = place.file.parent().context("the file has a directory")?;
    let name = place.file.file_name().context("the file has a name")?;
    Ok((directory, Path::new(name)))
}

fn openat2(place: &Place, resolve: ResolveFlags) -> Result<Vec<u8>> {
    become_user()?;
    let (directory, name) = parts(place)?;
    let directory = File::open(directory)?;
    let opened = rustix::fs::openat2(directory, name, OFlags::RDONLY, Mode::empty(), resolve);
    whole(&opened.context("openat2")?.into())
}

fn path_only(path: &Path) -> Result<std::os::fd::OwnedFd> {
    rustix::fs::open(path, OFlags::PATH, Mode::empty()).context("open with O_PATH")
}

/// By the 32-bit `open` (5) or `openat` (295).
fn open_32(place: &Place, number: u32) -> Result<Vec<u8>> {
    /// Longer than any path the kernel takes.
    const ROOM: usize = 8192;
    /// `MAP_32BIT`, which the wrapper does not name.
    const LOW: MapFlags = MapFlags::from_bits_retain(0x40);
    become_user()?;
    let path = calls::c_path(&place.file)?;
    let path = path.to_bytes_with_nul();
    ensure!(path.len() <= ROOM, "the path is too long");
    let (kind, access) = (MapFlags::PRIVATE | LOW, ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a fresh mapping that is larger than the path; the call reads the path while it is there.
    let opened = unsafe {
        let low = rustix::mm::mmap_anonymous(std::ptr::null_mut(), ROOM, access, kind)?.cast::<u8>();
        low.copy_from_nonoverlapping(path.as_ptr(), path.len());
        let low = u32::try_from(low as usize).context("the path lies above 4 GiB")?;
        let here = u32::from_ne_bytes(libc::AT_FDCWD.to_ne_bytes());
        let arguments = if number == 5 { [low, 0, 0] } else { [here, low, 0] };
        calls::call_32(number, arguments)
    };
    whole(&File::from(calls::descriptor(usize::try_from(opened?)?)?))
}

/// `struct file_handle` with the most bytes a handle has.
#[repr(C)]
struct Handle {
    length: u32,
    kind: i32,
    bytes: [u8; 128],
}

/// As the user with the one capability that this call wants.
fn by_handle(place: &Place) -> Result<Vec<u8>> {
    let path = calls::c_path(&place.file)?;
    let mut handle = Handle {
        length: 128,
        kind: 0,
        bytes: [0; 128],
    };
    let mount = File::open(&place.layer)?;
    let mut mount_id = 0_i32;
    rustix::thread::set_keep_capabilities(true)?;
    become_user()?;
    let wanted = CapabilitySet::DAC_READ_SEARCH;
    let sets = CapabilitySets {
        effective: wanted,
        permitted: wanted,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).context("keep one capability")?;
    // SAFETY: path, handle and mount id outlive the calls; the handle says how long it is.
    let opened = unsafe {
        let ids = [&raw mut handle as usize, &raw mut mount_id as usize];
        let [handle, mount_id] = ids;
        let ask = [
            calls::current_directory(),
            path.as_ptr() as usize,
            handle,
            mount_id,
            0,
        ];
        calls::call(libc::SYS_name_to_handle_at, ask).context("name_to_handle_at")?;
        calls::call(
            libc::SYS_open_by_handle_at,
            [calls::number(mount.as_fd())?, handle, 0],
        )
    };
    whole(&File::from(calls::descriptor(
        opened.context("open_by_handle_at")?,
    )?))
}
