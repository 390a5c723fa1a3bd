//! Who a process is by procfs, in the terms of a kernel record.
//!
//! Invariant: what cannot be read is marked as incomplete, and a process of which something is unknown is never
//! sanctioned for being root. Used by `open_files`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bounded;
use crate::enrich::procfs::Stat;
use crate::model::{Credentials, KernelDev, Tgid};

const SMALL: u64 = 64 << 10;
const UNSET: u32 = u32::MAX;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holder {
    pub(super) tgid: Tgid,
    pub(super) parent: Tgid,
    pub(super) start_ns: u64,
    pub(super) comm: Vec<u8>,
    pub(super) credentials: Credentials,
    pub(super) loginuid: u32,
    pub(super) mount_namespace: u32,
    pub(super) root_device: KernelDev,
    pub(super) incomplete: bool,
}

impl Holder {
    /// Reads the process's directory in proc(5).
    pub(super) fn read(directory: &Path, tgid: Tgid, stat: &Stat, tick_ns: u64) -> Self {
        let text = |name: &str| bounded::read_text(&directory.join(name), SMALL).ok();
        let namespace = |name: &str| {
            let metadata = std::fs::metadata(directory.join("ns").join(name)).ok()?;
            u32::try_from(metadata.ino()).ok()
        };
        let ids = text("status").and_then(|status| Some((ids(&status, "Uid:")?, ids(&status, "Gid:")?)));
        let user_namespace = user_namespace(directory);
        let mount_namespace = namespace("mnt");
        let root = std::fs::metadata(directory.join("root")).ok();
        let incomplete =
            ids.is_none() || user_namespace.is_none() || mount_namespace.is_none() || root.is_none();
        let (users, groups) = ids.unwrap_or_default();
        let (level, owner) = user_namespace.unwrap_or((UNSET, UNSET));
        Self {
            tgid,
            parent: stat.parent,
            start_ns: stat.start_ticks.saturating_mul(tick_ns),
            comm: text("comm").map_or_else(Vec::new, |comm| comm.trim_end_matches('\n').into()),
            credentials: Credentials {
                uid: users.real,
                gid: groups.real,
                euid: users.effective,
                egid: groups.effective,
                fsuid: users.files,
                fsgid: groups.files,
                user_namespace: namespace("user").unwrap_or(0),
                user_namespace_level: level,
                user_namespace_owner: owner,
            },
            loginuid: text("loginuid").map_or(UNSET, |id| id.trim().parse().unwrap_or(UNSET)),
            mount_namespace: mount_namespace.unwrap_or(0),
            root_device: KernelDev::from_stat(root.map_or(0, |root| root.dev())),
            incomplete,
        }
    }
}

/// A process's ids of one sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ids {
    real: u32,
    effective: u32,
    /// What modes are checked with.
    files: u32,
}

/// The ids of a line `Uid:` or `Gid:` in `status` (proc(5)).
pub(super) fn ids(status: &str, name: &str) -> Option<Ids> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let mut ids = line.split_ascii_whitespace().map(str::parse);
    let mut next = || ids.next()?.ok();
    let (real, effective, _saved, files) = (next()?, next()?, next()?, next()?);
    Some(Ids {
        real,
        effective,
        files,
    })
}

/// Whether the process is in the user namespace of the agent (0) or in another (1), and who made that one.
///
/// The maker is not shown. Whom its root is mapped to is: nobody may map another user but a privileged process, which
/// then does so for that user (`user_namespaces(7)`).
fn user_namespace(directory: &Path) -> Option<(u32, u32)> {
    let number = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.ino());
    let own = number(Path::new("/proc/self/ns/user"))?;
    if number(&directory.join("ns/user"))? == own {
        return Some((0, 0));
    }
    let map = bounded::read_text(&directory.join("uid_map"), SMALL).ok()?;
    Some((1, root_of(&map).unwrap_or(UNSET)))
}

/// The host's id that 0 is mapped to, in lines `inside outside count`.
pub(super) fn root_of(map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (inside, outside) = (fields.next()?, fields.next()?);
        (inside == "0").then(|| outside.parse().ok())?
    })
}
