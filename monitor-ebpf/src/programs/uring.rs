//! Tier D: what `io_uring` does, which no system call shows.
//!
//! Invariant: attached only where the tracepoint names the request (from 6.0 on; the agent looks at its type first): on
//! older kernels its second argument is the user's to choose.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use layerwatch_ebpf::{hooks, kinds};

use super::fields::{Load, Probe, offset};
use super::{connect, diagnose, places, syscall};

/// `IORING_OP_OPENAT`, `IORING_OP_OPENAT2`, include/uapi/linux/io_uring.h.
const OPENAT: u8 = 18;
const OPENAT2: u8 = 28;
/// `IORING_OP_CONNECT`.
const CONNECT: u8 = 16;

/// `io_uring_complete(struct io_ring_ctx *ctx, void *req, …)`.
#[btf_tracepoint(function = "io_uring_complete")]
fn io_uring_complete(context: BtfTracePointContext) -> i32 {
    let request: *const u8 = context.arg(1);
    if request.is_null() {
        return 0;
    }
    // SAFETY: every load is fault-safe.
    unsafe {
        let result: i32 = Probe::load(request, offset!(io_kiocb_result));
        if result < 0 {
            return 0;
        }
        let operation: u8 = Probe::load(request, offset!(io_kiocb_opcode));
        if operation == OPENAT || operation == OPENAT2 {
            diagnose(
                &context,
                syscall::opened(u64::from(result as u32), hooks::IO_URING),
            );
        } else if operation == CONNECT {
            connect::made(Probe::pointer(request, offset!(io_kiocb_file)));
        } else {
            let file = Probe::pointer(request, offset!(io_kiocb_file));
            places::used::<Probe>(hooks::IO_URING, kinds::READ_FINDING, file, true);
        }
    }
    0
}
