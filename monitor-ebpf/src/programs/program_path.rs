//! The path of a program, for people: components leaf first, each ended by a zero byte, across mounts.
//!
//! Unlike `path`, which stays inside the file system of a layer, this is what a shell on the host would show: where the
//! root of one mount is reached, the walk goes on at the place it is mounted on. What does not fit is cut at the
//! beginning and flagged.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use layerwatch_ebpf::PROGRAM_PATH_LENGTH;

use super::fields::{Load, Probe, offset};

/// Most components and mounts on the way.
const LIMIT: usize = 20;
/// Bytes of one component, its zero byte included.
const COMPONENT: usize = 64;

/// Writes the path of `file`; gives the bytes used and whether the beginning is missing.
///
/// # Safety
/// `buffer` has `PROGRAM_PATH_LENGTH` writable bytes.
#[inline(always)]
pub(super) unsafe fn write(file: *const u8, buffer: *mut u8) -> (u32, bool) {
    // SAFETY: fault-safe loads.
    let (mut dentry, mut vfsmount) = unsafe {
        (
            Probe::pointer(file, offset!(file_path_dentry)),
            Probe::pointer(file, offset!(file_path_mnt)),
        )
    };
    let mut used: u64 = 0;
    for _ in 0..LIMIT {
        // SAFETY: no memory is touched. It changes nothing: the verifier forgets by it how often the loop was run, and
        // checks one way through the rest instead of each.
        unsafe { core::arch::asm!("{used} &= 0x1ff", used = inout(reg) used) };
        // SAFETY: fault-safe loads; the mount is the structure around the part that the file points to.
        let (root, parent) = unsafe {
            (
                Probe::pointer(vfsmount, offset!(vfsmount_root)),
                Probe::pointer(dentry, offset!(dentry_parent)),
            )
        };
        if dentry == root {
            // SAFETY: as above.
            unsafe {
                let mount = vfsmount.wrapping_sub(offset!(mount_mnt) as usize);
                let above = Probe::pointer(mount, offset!(mount_parent));
                if above.is_null() || above == mount {
                    return (used as u32, false);
                }
                dentry = Probe::pointer(mount, offset!(mount_mountpoint));
                vfsmount = above.wrapping_add(offset!(mount_mnt) as usize);
            }
            continue;
        }
        if used >= (PROGRAM_PATH_LENGTH - COMPONENT) as u64 {
            return (used as u32, true);
        }
        let mut at = used;
        // SAFETY: no memory is touched; the mask in plain sight is what the verifier's bound comes from.
        unsafe { core::arch::asm!("{at} &= 0xff", at = inout(reg) at) };
        // SAFETY: `at` is at most 255, and a component takes at most COMPONENT bytes after it.
        let length = unsafe {
            let name = Probe::pointer(dentry, offset!(dentry_name));
            bpf_probe_read_kernel_str(buffer.add(at as usize).cast(), COMPONENT as u32, name.cast())
        };
        if length <= 0 {
            return (used as u32, true);
        }
        used += length as u64;
        // A file of no directory (memfd): its name is all there is.
        if length as usize == COMPONENT || parent.is_null() || parent == dentry {
            return (used as u32, true);
        }
        dentry = parent;
    }
    (used as u32, true)
}
