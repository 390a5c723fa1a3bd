//! What each hook does, in the order of travel: hook (`hooks`) ─▶ match (`open`, `walk`) ─▶ emit (`emit`, `task`, `path`).
//!
//! Beside that, who lives (`process`, `program`): processes that begin, change their program and end.
//!
//! Invariant: matching is by inode; everything a person reads is gathered after the match.

mod emit;
mod fields;
mod hooks;
mod maps;
mod open;
mod overlay;
mod path;
mod process;
mod program;
mod program_path;
mod task;
mod walk;

/// The kernel reads the licence from this section; GPL-compatible programs may call all helpers.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: the verifier refuses programs that could get here.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
