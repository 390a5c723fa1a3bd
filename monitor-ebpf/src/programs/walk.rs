//! From a file up through its parents, inside its own file system, to a watched directory.
//!
//! Mounts are ignored on purpose: a bind mount, a chroot or a mount namespace changes the path, not the parents.

use layerwatch_ebpf::{InodeKey, Watch};

use super::fields::{Load, offset};
use super::maps::ROOTS;

/// Most directories between a file and a watched one. Deeper files are counted as `walk_truncated`.
const LIMIT: usize = 48;

/// Where a walk ended.
pub(super) enum Walk {
    /// At a watched directory; `depth` 0 is the file's own parent.
    Met {
        key: InodeKey,
        watch: Watch,
        depth: usize,
    },
    /// At the file system's root.
    Root,
    /// At the limit.
    Truncated,
}

/// Walks up from `dentry`, whose file system is on `dev`.
///
/// # Safety
/// `dentry` is a dentry that `L` can read.
#[inline(always)]
pub(super) unsafe fn to_watched_directory<L: Load>(start: *const u8, dev: u32) -> Walk {
    let mut dentry = start;
    for depth in 0..LIMIT {
        // SAFETY: dentries are freed by RCU, and the program runs inside a read-side section; loads survive faults.
        let (parent, ino) = unsafe {
            let parent = L::pointer(dentry, offset!(dentry_parent));
            let inode = L::pointer(parent, offset!(dentry_inode));
            if parent == dentry || inode.is_null() {
                return Walk::Root;
            }
            (parent, L::load::<u64>(inode, offset!(inode_ino)))
        };
        let key = InodeKey::new(dev, ino);
        if let Some(watch) = ROOTS.get_ptr(&key) {
            // SAFETY: a map value; it is plain integers, so a concurrent update cannot tear it into nonsense.
            return Walk::Met {
                key,
                watch: unsafe { *watch },
                depth,
            };
        }
        dentry = parent;
    }
    Walk::Truncated
}
