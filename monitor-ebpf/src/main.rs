//! The kernel programs: one object, loaded by the agent (`monitor/src/kernel`), one program per hook.
//!
//! Invariant: a program never changes what the kernel does, never waits, and counts what it leaves out. Built only for
//! the BPF target (`cargo xtask build`); for the host this is an empty program, so that the workspace checks anywhere.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        unsafe_code,
        reason = "kernel memory is read by address; the verifier checks each access"
    )
)]

#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
