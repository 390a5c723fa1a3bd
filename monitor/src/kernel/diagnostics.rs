//! What the kernel programs say for developers, through aya-log into the agent's own log.
//!
//! Invariant: diagnostics only, never an event; unless the agent's log is at debug the programs are loaded with the level
//! off, and the verifier removes every trace of it. Pumped by `app`.

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::Log;
use tokio::io::unix::AsyncFd;

/// The level that the programs are loaded with: 0 is off (`aya_log_common::Level` counts from 1, error, to 5, trace).
pub(super) fn level() -> u8 {
    if tracing::enabled!(tracing::Level::DEBUG) {
        4
    } else {
        0
    }
}

/// The programs' messages.
pub struct Diagnostics(EbpfLogger<&'static dyn Log>);

impl std::fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Diagnostics")
    }
}

impl Diagnostics {
    pub(super) fn of(ebpf: &mut Ebpf) -> Option<Self> {
        if level() == 0 {
            return None;
        }
        EbpfLogger::init(ebpf).map(Self).ok()
    }

    /// Copies messages to the log until `stop` resolves.
    pub async fn pump(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let mut ring = register(self.0)?;
        tokio::pin!(stop);
        loop {
            let mut ready = tokio::select! {
                () = &mut stop => return Ok(()),
                ready = ring.readable_mut() => ready?,
            };
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    }
}

type Logger = EbpfLogger<&'static dyn Log>;

#[expect(
    unsafe_code,
    reason = "tokio asks for the promise that the descriptor stays the same"
)]
fn register(logger: Logger) -> std::io::Result<AsyncFd<Logger>> {
    // SAFETY: the logger owns its ring's descriptor and neither closes nor replaces it before it is dropped.
    unsafe { AsyncFd::register(logger) }.map_err(std::io::Error::from)
}
