//! Programs that do nothing, at the places where the agent's stand: what such a place costs by itself.
//!
//! Loaded by `layerwatch-cost` alone (`cargo xtask bench kernel`), to tell the kernel's price of a program from what the
//! agent's programs do. The agent has none of them inside. Built only for the BPF target, as `main.rs` is.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        unsafe_code,
        reason = "names that the kernel looks for are given without mangling"
    )
)]

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::macros::{btf_tracepoint, fentry, fexit, kprobe, lsm};
    use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, FExitContext, LsmContext, ProbeContext};

    #[lsm(hook = "file_open")]
    fn idle_lsm_open(_: LsmContext) -> i32 {
        0
    }

    #[lsm(hook = "file_permission")]
    fn idle_lsm_read(_: LsmContext) -> i32 {
        0
    }

    #[fexit(function = "security_file_open")]
    fn idle_fexit_open(_: FExitContext) -> u32 {
        0
    }

    #[fentry(function = "security_file_permission")]
    fn idle_fentry_read(_: FEntryContext) -> u32 {
        0
    }

    #[kprobe]
    fn idle_kprobe_open(_: ProbeContext) -> u32 {
        0
    }

    #[kprobe]
    fn idle_kprobe_read(_: ProbeContext) -> u32 {
        0
    }

    #[btf_tracepoint(function = "sys_exit")]
    fn idle_sys_exit(_: BtfTracePointContext) -> i32 {
        0
    }

    /// The kernel reads the licence from this section.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = "license")]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

    /// Never reached: the verifier refuses programs that could get here.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
