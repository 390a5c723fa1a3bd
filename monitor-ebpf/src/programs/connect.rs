//! A connection to a container engine's socket: who asks the engine.
//!
//! Invariant: only sockets of the file system have an inode to be known by; each connection to a watched one is reported.
//! Everything is read fault-safe, since connections are few. Called by the entries of all tiers.

use layerwatch_ebpf::{InodeKey, Offsets, Watch, hooks, kinds};

use super::device;
use super::emit::{self, Match};
use super::fields::{Load, Probe, offset, scalar};
use super::maps::{Outer, SOCKETS, count, counters};

/// `AF_UNIX`, include/linux/socket.h.
const AF_UNIX: u16 = 1;
/// `S_IFMT` and `S_IFSOCK`, include/uapi/linux/stat.h.
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// A stream is connected to `listener`, a `struct sock` of the family of Unix sockets; `result` is 0 or why it is refused.
///
/// # Safety
/// To be called by the task that connects.
#[inline(always)]
pub(super) unsafe fn connected(listener: *const u8, result: i32) {
    if offset!(unix_sock_dentry) == Offsets::ABSENT {
        return;
    }
    // SAFETY: every load is fault-safe.
    unsafe {
        let dentry = Probe::pointer(listener, offset!(unix_sock_dentry));
        if dentry.is_null() {
            // It has no name, or an abstract one.
            return;
        }
        let inode = Probe::pointer(dentry, offset!(dentry_inode));
        let dev = device::device::<Probe>(inode, Probe::pointer(inode, offset!(inode_sb)));
        let key = InodeKey::new(dev, Probe::load(inode, offset!(inode_ino)));
        let (Some(watch), Some(counters)) = (SOCKETS.get_ptr(&key), counters(hooks::CONNECT)) else {
            return;
        };
        let watch: Watch = *watch;
        count(&raw mut (*counters).seen);
        count(&raw mut (*counters).matched);
        if emit::is_own() {
            return count(&raw mut (*counters).own);
        }
        let found = Match {
            hook: hooks::CONNECT,
            kind: kinds::CONNECT,
            flags: 0,
            result,
            open_flags: 0,
            file: key,
            inode,
            dentry,
            key,
            watch,
            outer: Outer::NONE,
            mounter: core::ptr::null(),
        };
        emit::emit(&found, counters);
    }
}

/// A file was connected, whatever it is: tier D sees the call's end, where the peer of the socket is known.
///
/// # Safety
/// `file` is a `struct file`; to be called by the task that connected.
#[inline(always)]
pub(super) unsafe fn made(file: *const u8) {
    layerwatch_connected(scalar(file));
}

/// Global to the verifier, as `report` is: a frame of its own, since the stack of a chain of calls is counted before 6.13.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn layerwatch_connected(file: u64) -> u32 {
    // SAFETY: every load is fault-safe.
    unsafe { look_at_peer(file as *const u8) };
    0
}

/// # Safety
/// As for [`made`].
#[inline(always)]
unsafe fn look_at_peer(file: *const u8) {
    if offset!(unix_sock_peer) == Offsets::ABSENT || offset!(file_private) == Offsets::ABSENT {
        return;
    }
    // SAFETY: every load is fault-safe.
    unsafe {
        let inode = Probe::pointer(file, offset!(file_inode));
        if Probe::load::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFSOCK {
            return;
        }
        let sock = Probe::pointer(Probe::pointer(file, offset!(file_private)), offset!(socket_sk));
        if Probe::load::<u16>(sock, offset!(sock_family)) != AF_UNIX {
            return;
        }
        // The peer is the socket that will be accepted; it has the listener's name.
        let peer = Probe::pointer(sock, offset!(unix_sock_peer));
        if !peer.is_null() {
            connected(peer, 0);
        }
    }
}
