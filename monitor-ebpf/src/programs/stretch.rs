//! Several fields of one structure, read together where each read costs a call.
//!
//! Invariant: a field is at the offset that BTF says, whether it lies in what was copied or not. What cannot be read is
//! zero, as with single loads. The copy is gone when the fields are taken, since the stack is small. Called by what looks
//! at every open and every directory above a file.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use bytemuck::Zeroable;

use super::fields::{Direct, Load, Probe};

/// What is copied: from the parent to the inode of a `dentry`, and from the superblock to the number of an `inode`, on all
/// kernels so far. Not more, since 5.10 has no stack for it.
const WORDS: usize = 4;

/// The fields of one structure.
pub(super) trait Fields {
    /// The value at `offset`; zero where it cannot be read.
    ///
    /// # Safety
    /// As for [`Load::load`].
    unsafe fn get<T: Copy + Zeroable>(&self, offset: u32) -> T;

    /// The pointer at `offset`.
    ///
    /// # Safety
    /// As for [`Load::load`].
    unsafe fn pointer(&self, offset: u32) -> *const u8;
}

/// A structure whose fields are loaded one by one, since that costs nothing beside.
pub(super) struct InPlace(pub(super) *const u8);

impl Fields for InPlace {
    #[inline(always)]
    unsafe fn get<T: Copy + Zeroable>(&self, offset: u32) -> T {
        // SAFETY: the caller's.
        unsafe { Direct::load(self.0, offset) }
    }

    #[inline(always)]
    unsafe fn pointer(&self, offset: u32) -> *const u8 {
        // SAFETY: the caller's.
        unsafe { Direct::pointer(self.0, offset) }
    }
}

/// A few words of a structure, copied at once; what lies beside them is read apart.
pub(super) struct Copied<'w> {
    base: *const u8,
    from: u32,
    words: &'w [u64; WORDS],
}

/// Copies the words at `base + from` and lets `take` have the fields.
///
/// # Safety
/// As for [`Load::load`].
#[inline(always)]
pub(super) unsafe fn copied<R>(base: *const u8, from: u32, take: impl FnOnce(&Copied<'_>) -> R) -> R {
    let mut words = MaybeUninit::<[u64; WORDS]>::uninit();
    // SAFETY: the helper writes exactly that many bytes, zeros if it fails.
    unsafe {
        let first = base.wrapping_add(from as usize);
        bpf_probe_read_kernel(words.as_mut_ptr().cast(), (WORDS * 8) as u32, first.cast());
        take(&Copied {
            base,
            from,
            words: words.assume_init_ref(),
        })
    }
}

impl Fields for Copied<'_> {
    #[inline(always)]
    unsafe fn get<T: Copy + Zeroable>(&self, offset: u32) -> T {
        let inside = offset.wrapping_sub(self.from) as usize;
        if inside + size_of::<T>() > WORDS * 8 {
            // SAFETY: a fault-safe load.
            return unsafe { Probe::load(self.base, offset) };
        }
        // SAFETY: inside the copy, aligned as in the structure, and `T` is an integer.
        unsafe {
            let first = self.words.as_ptr().cast::<u8>();
            core::ptr::read_volatile(first.add(inside).cast::<T>())
        }
    }

    #[inline(always)]
    unsafe fn pointer(&self, offset: u32) -> *const u8 {
        // SAFETY: the caller's.
        unsafe { self.get::<u64>(offset) as *const u8 }
    }
}
