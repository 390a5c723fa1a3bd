//! Tier D: the end of every system call, for kernels that refuse trampolines.
//!
//! Invariant: a call that is none of the few below costs one look-up in a table of the program's own. What a descriptor
//! leads to is looked at as the call returns, so a descriptor that another thread closes in between is missed.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use layerwatch_ebpf::{hooks, kinds};

use super::calls::{CONNECTS, MAPS, OPENS, RECEIVES, TAKES, class};
use super::fields::{Direct, Load, Probe, offset};
use super::maps::{count, counters, may_be_watched_device};
use super::open::{self, Judged, Opened};
use super::stretch::Fields;
use super::{connect, descriptors, device, diagnose, overlay, places, task};

/// `sys_exit(struct pt_regs *regs, long ret)`.
///
/// Sees no backing open, so an overlay's inode is resolved to the layer's; sees no rename, so the creation of an
/// index's temporary file stands for it.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
fn sys_exit(context: BtfTracePointContext) -> i32 {
    let regs: *const u8 = context.arg(0);
    let returned: i64 = context.arg(1);
    // SAFETY: the tracepoint's argument has a type that the verifier knows.
    let number: u64 = unsafe { Direct::load(regs, offset!(pt_regs_orig_ax)) };
    let class = class(number);
    // An address that mmap gives is no error number either way.
    if class == 0 || (returned < 0 && returned > -4096) {
        return 0;
    }
    // SAFETY: every load is fault-safe.
    unsafe {
        let descriptor = match class {
            OPENS => {
                diagnose(&context, opened(returned as u64, hooks::OPEN));
                return 0;
            }
            MAPS if number == MMAP => u64::from(Direct::load::<u32>(regs, offset!(pt_regs_r8))),
            MAPS => u64::from(Direct::load::<u32>(regs, offset!(pt_regs_di))),
            TAKES => returned as u64,
            CONNECTS => {
                connected(descriptors::connected(regs, number));
                return 0;
            }
            RECEIVES if descriptors::connects(regs, number) => {
                connected(descriptors::connected(regs, number));
                return 0;
            }
            RECEIVES if !descriptors::brought_control_data(regs, number) => return 0,
            _ => {
                descriptors::look_at_all(class);
                return 0;
            }
        };
        let (place, kind) = if class == MAPS {
            (hooks::MAP, kinds::MAP_FINDING)
        } else {
            (hooks::DESCRIPTORS, kinds::HOLD_FINDING)
        };
        if let Some(file) = task::file_of(descriptor) {
            places::used::<Probe>(place, kind, file, true);
        }
    }
    0
}

/// A socket was connected.
///
/// # Safety
/// To be called by the task that has the descriptor.
#[inline(always)]
unsafe fn connected(descriptor: u64) {
    // SAFETY: the caller's.
    unsafe {
        if let Some(file) = task::file_of(descriptor) {
            connect::made(file);
        }
    }
}

/// mmap of 64-bit callers.
const MMAP: u64 = 9;

/// A file was opened and is behind this descriptor.
///
/// # Safety
/// To be called by the task that has the descriptor.
#[inline(always)]
pub(super) unsafe fn opened(descriptor: u64, place: u16) -> Judged {
    // SAFETY: every load is fault-safe.
    unsafe {
        let Some(file) = task::file_of(descriptor) else {
            return unreadable(place);
        };
        let mut inode = inode(Probe::pointer(file, offset!(file_inode)));
        let mut behind = core::ptr::null();
        let backing = inode.magic == overlay::MAGIC;
        if backing {
            let real = overlay::real(inode.at);
            if real.inode.is_null() {
                return unreadable(place);
            }
            inode = self::inode(real.inode);
            behind = real.dentry;
        }
        let is_block_device = open::is_block_device(inode.mode);
        if !is_block_device && !may_be_watched_device(inode.dev) {
            return Judged::Done;
        }
        let opened = Opened {
            place,
            sees_backing: false,
            backing,
            result: 0,
            file,
            inode: inode.at,
            ino: inode.ino,
            sb: inode.sb,
            magic: inode.magic,
            dev: inode.dev,
            dentry: if backing {
                behind
            } else {
                Probe::pointer(file, offset!(file_path_dentry))
            },
        };
        open::judge::<Probe>(&opened, is_block_device)
    }
}

/// What an open is judged by.
#[derive(Clone, Copy)]
struct Inode {
    at: *const u8,
    ino: u64,
    mode: u16,
    sb: *const u8,
    magic: u64,
    dev: u32,
}

/// # Safety
/// Every load is fault-safe.
#[inline(always)]
unsafe fn inode(at: *const u8) -> Inode {
    // SAFETY: the caller's.
    unsafe {
        let (ino, mode, sb) = Probe::fields(at, offset!(inode_sb), |inode| {
            (
                inode.get(offset!(inode_ino)),
                inode.get(offset!(inode_mode)),
                inode.pointer(offset!(inode_sb)),
            )
        });
        let (magic, dev) = device::kind_and_device::<Probe>(at, sb);
        Inode {
            at,
            ino,
            mode,
            sb,
            magic,
            dev,
        }
    }
}

#[inline(always)]
fn unreadable(place: u16) -> Judged {
    if let Some(counters) = counters(place) {
        // SAFETY: this processor's value.
        unsafe {
            count(&raw mut (*counters).seen);
            count(&raw mut (*counters).ignored);
            count(&raw mut (*counters).read_error);
        }
    }
    Judged::Unreadable
}
