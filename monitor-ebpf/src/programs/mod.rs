//! What each hook does, in the order of travel: entry (`lsm`, `fexit`, `kprobe`, `syscall`, `uring`) ─▶ place (`places`) ─▶
//! match (`open`, `walk`, `overlay`) ─▶ emit (`report`, `emit`, `task`, `path`).
//!
//! Beside that, who lives (`process`, `program`): processes that begin, change their program and end.
//!
//! Invariant: matching is by inode; everything a person reads is gathered after the match.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;

mod calls;
mod connect;
mod descriptors;
mod device;
mod emit;
mod fexit;
mod fields;
mod kprobe;
mod lsm;
mod maps;
mod open;
mod overlay;
mod path;
mod places;
mod process;
mod program;
mod program_path;
mod report;
mod stretch;
mod syscall;
mod task;
mod uring;
mod walk;

use open::Judged;

/// What a developer wants to know when a counter rises; off unless the agent's own log is at debug.
#[inline(always)]
fn diagnose(context: &impl EbpfContext, judged: Judged) {
    match judged {
        Judged::Done => {}
        Judged::Unreadable => debug!(
            context,
            "process {}: an open file could not be read",
            task::current_tgid()
        ),
        Judged::Truncated => debug!(
            context,
            "process {}: a file lies too deep to be judged",
            task::current_tgid()
        ),
    }
}

/// The kernel reads the licence from this section; GPL-compatible programs may call all helpers.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: the verifier refuses programs that could get here.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
