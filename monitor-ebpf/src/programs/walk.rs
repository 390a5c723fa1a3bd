//! From a file up through its parents, inside its own file system, to a watched directory.
//!
//! Mounts are ignored on purpose: a bind mount, a chroot or a mount namespace changes the path, not the parents.

use layerwatch_ebpf::{InodeKey, Watch};

use super::fields::{Load, offset};
use super::maps::{ROOTS, may_be_watched};
use super::stretch::Fields;

/// Most directories between a file and a watched one. Deeper files are counted as `walk_truncated`.
const LIMIT: u32 = 48;

/// Where a walk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At a watched directory.
    Met,
    /// At the file system's root.
    Root,
    /// At the limit.
    Truncated,
}

/// A walk. All of it is filled in whatever the end is: half of an enum with fields is not copied the way the verifier
/// of 5.10 wants.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) end: End,
    /// Directories passed; 0 is the file's own parent.
    pub(super) depth: u32,
    /// The watched directory.
    pub(super) directory: u64,
    pub(super) watch: Watch,
}

/// Walks up from `dentry`, whose inode is on `dev`; what lies above the directory `topmost` is on another.
///
/// # Safety
/// `dentry` is a dentry that `L` can read.
#[inline(always)]
pub(super) unsafe fn to_watched_directory<L: Load>(start: *const u8, dev: u32, topmost: u64) -> Walk {
    let mut walk = Walk {
        end: End::Truncated,
        depth: 0,
        directory: 0,
        watch: Watch {
            flags: 0,
            generation: 0,
        },
    };
    let mut dentry = start;
    // SAFETY: dentries are freed by RCU, and the program runs inside a read-side section; loads survive faults.
    let mut parent = unsafe { L::pointer(dentry, offset!(dentry_parent)) };
    for depth in 0..LIMIT {
        // SAFETY: as above.
        let (above, ino) = unsafe {
            let (above, inode) = L::fields(parent, offset!(dentry_parent), |parent| {
                (
                    parent.pointer(offset!(dentry_parent)),
                    parent.pointer(offset!(dentry_inode)),
                )
            });
            if parent == dentry || inode.is_null() {
                walk.end = End::Root;
                return walk;
            }
            (above, L::load::<u64>(inode, offset!(inode_ino)))
        };
        let key = InodeKey::new(dev, ino);
        if may_be_watched(key)
            && let Some(watch) = ROOTS.get_ptr(&key)
        {
            walk.end = End::Met;
            walk.depth = depth;
            walk.directory = ino;
            // SAFETY: a map value; it is plain integers, so a concurrent update cannot tear it into nonsense.
            walk.watch = unsafe { *watch };
            return walk;
        }
        if ino == topmost {
            walk.end = End::Root;
            return walk;
        }
        dentry = parent;
        parent = above;
    }
    walk
}
