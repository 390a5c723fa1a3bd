//! Raw system calls: numbers and pointers in, a number or the kernel's error out.
//!
//! Invariant: every pointer that is passed on belongs to a value that the caller keeps until the call returns.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// One system call.
///
/// # Safety
/// The arguments are what the call of this number takes, and pointers among them are valid for it.
pub(crate) unsafe fn call<const N: usize>(number: i64, arguments: [usize; N]) -> io::Result<usize> {
    let mut six = [0; 6];
    for (place, argument) in six.iter_mut().zip(arguments) {
        *place = argument;
    }
    let [first, second, third, fourth, fifth, sixth] = six;
    // SAFETY: the caller's.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

/// A 32-bit system call of a 64-bit process, as any process can make.
///
/// # Safety
/// As for [`call`]; pointers lie in the first 4 GiB.
pub(crate) unsafe fn call_32(number: u32, arguments: [u32; 3]) -> io::Result<i32> {
    let [first, second, third] = arguments;
    let result: u64;
    // SAFETY: the caller's. The compiler keeps rbx for itself, so it is exchanged and put back; the kernel keeps all
    // registers but rax, and r8 to r11, which older kernels clear.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) u64::from(first) => _,
            inout("rax") u64::from(number) => result,
            in("rcx") u64::from(second),
            in("rdx") u64::from(third),
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    // The lower half is the answer, a negative error number among them.
    let result = i32::from_ne_bytes(
        u32::try_from(result & 0xffff_ffff)
            .unwrap_or_default()
            .to_ne_bytes(),
    );
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(result)
}

/// A path as the kernel takes it.
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).with_context(|| format!("{} as an argument", path.display()))
}

/// Takes a descriptor that a call gave.
pub(crate) fn descriptor(number: usize) -> Result<OwnedFd> {
    let number = i32::try_from(number).context("a descriptor's number")?;
    // SAFETY: the kernel gave the descriptor to the caller just now, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A descriptor as an argument.
pub(crate) fn number(descriptor: BorrowedFd<'_>) -> Result<usize> {
    usize::try_from(descriptor.as_raw_fd()).context("a descriptor's number")
}

/// `AT_FDCWD` as an argument: negative, so it takes all the bits.
pub(crate) fn current_directory() -> usize {
    usize::from_ne_bytes(i64::from(libc::AT_FDCWD).to_ne_bytes())
}
