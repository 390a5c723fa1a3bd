//! Reading kernel structures at the offsets that the agent found in BTF.
//!
//! Invariant: `OFFSETS` is frozen read-only data, so the verifier knows each offset. `Direct` needs a pointer that the
//! verifier has a type for (a hook's argument and what hangs off it) and costs a load; `Probe` takes any address.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use bytemuck::Zeroable;
use layerwatch_ebpf::Offsets;

use super::stretch::{Copied, Fields, InPlace, copied};

/// Set by the agent before load.
#[unsafe(no_mangle)]
pub(super) static OFFSETS: Offsets = unsafe {
    // SAFETY: all-zero bytes are an `Offsets`; `Zeroable::zeroed` is not const.
    MaybeUninit::zeroed().assume_init()
};

/// The offset of a field, read where it stands so that no copy of the table lands on the stack.
macro_rules! offset {
    ($field:ident) => {
        $crate::programs::fields::frozen(&$crate::programs::fields::OFFSETS.$field)
    };
}
pub(super) use offset;

/// The value that the loader put there before it froze the table.
#[inline(always)]
pub(super) fn frozen(place: &'static u32) -> u32 {
    // SAFETY: a static of plain integers; volatile, since the loader writes it behind the compiler's back.
    unsafe { core::ptr::read_volatile(place) }
}

/// The value at `base + offset`, zero where it cannot be read; then `failed` is no longer zero.
///
/// # Safety
/// As for [`Load::load`].
#[inline(always)]
pub(super) unsafe fn checked<T: Copy + Zeroable>(base: *const u8, offset: u32, failed: &mut u64) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: as in `Probe::load`.
    unsafe {
        let status = bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            base.wrapping_add(offset as usize).cast(),
        );
        *failed |= status as u64;
        value.assume_init()
    }
}

/// Copies the value at `base + offset` to `out`, zeros where it cannot be read; then `failed` is no longer zero.
///
/// # Safety
/// `out` is writable.
#[inline(always)]
pub(super) unsafe fn into<T: Zeroable>(out: *mut T, base: *const u8, offset: u32, failed: &mut u64) {
    // SAFETY: the helper writes exactly the size of `T`, zeros if it fails.
    unsafe {
        let source = base.wrapping_add(offset as usize).cast();
        *failed |= bpf_probe_read_kernel(out.cast(), size_of::<T>() as u32, source) as u64;
    }
}

/// A pointer as a plain number, also for the verifier: what has a type cannot be handed to a global function.
#[inline(always)]
pub(super) fn scalar(pointer: *const u8) -> u64 {
    let typed = pointer;
    let mut number = 0_u64;
    // SAFETY: eight bytes of the program's own stack are copied to its own stack.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut number).cast(),
            size_of::<u64>() as u32,
            (&raw const typed).cast(),
        );
    }
    number
}

/// A way to read kernel memory.
pub(super) trait Load {
    /// Fields of a structure, of which a few words were read together where that pays.
    type Fields<'w>: Fields;
    /// Whether they were: then a field that is not needed costs nothing.
    const COPIES: bool;

    /// The value at `base + offset`; zero where it cannot be read.
    ///
    /// # Safety
    /// The verifier decides.
    unsafe fn load<T: Copy + Zeroable>(base: *const u8, offset: u32) -> T;

    /// The pointer at `base + offset`.
    ///
    /// # Safety
    /// As for [`Load::load`].
    #[inline(always)]
    unsafe fn pointer(base: *const u8, offset: u32) -> *const u8 {
        // SAFETY: the caller's.
        unsafe { Self::load::<u64>(base, offset) as *const u8 }
    }

    /// A structure of which several fields are wanted, most of them within four words from `from` on.
    ///
    /// # Safety
    /// As for [`Load::load`].
    unsafe fn fields<R>(base: *const u8, from: u32, take: impl FnOnce(&Self::Fields<'_>) -> R) -> R;
}

/// Loads the verifier has types for.
pub(super) enum Direct {}

impl Load for Direct {
    type Fields<'w> = InPlace;
    const COPIES: bool = false;

    #[inline(always)]
    unsafe fn load<T: Copy + Zeroable>(base: *const u8, offset: u32) -> T {
        // SAFETY: the verifier checks base and offset, and a fault reads zero.
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
    }

    #[inline(always)]
    unsafe fn pointer(base: *const u8, offset: u32) -> *const u8 {
        // SAFETY: as above; loaded as a pointer so that the verifier keeps its type.
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<*const u8>()) }
    }

    #[inline(always)]
    unsafe fn fields<R>(base: *const u8, _: u32, take: impl FnOnce(&Self::Fields<'_>) -> R) -> R {
        take(&InPlace(base))
    }
}

/// Loads through the kernel's fault-safe copy.
pub(super) enum Probe {}

impl Load for Probe {
    type Fields<'w> = Copied<'w>;
    const COPIES: bool = true;

    #[inline(always)]
    unsafe fn load<T: Copy + Zeroable>(base: *const u8, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the helper writes exactly the size of `T`, zeros if it fails; `T` may be all zeros.
        unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
                base.wrapping_add(offset as usize).cast(),
            );
            value.assume_init()
        }
    }

    #[inline(always)]
    unsafe fn fields<R>(base: *const u8, from: u32, take: impl FnOnce(&Self::Fields<'_>) -> R) -> R {
        // SAFETY: every address may be copied.
        unsafe { copied(base, from, take) }
    }
}
