//! Everything that touches the kernel's BPF side; the only module that imports aya.
//!
//! Invariant: a tier counts as attached only after its canary was seen with the right inode, name and user; what leaves
//! this module is bytes (frames), counters and plain descriptions. Called by `app` and by `doctor`.

mod attach;
mod btf;
mod consumer;
mod diagnostics;
mod error;
mod links;
mod maps;
mod misses;
mod object;
mod offsets;
mod pins;
mod places;
mod preemption;
mod probe;
mod processes;
mod ring;
mod self_check;
mod tiers;

pub use attach::{Tracer, since_boot};
pub use consumer::Position;
pub use diagnostics::Diagnostics;
pub use error::KernelError;
pub use maps::{HookCounters, WatchKey, WatchMaps, WatchSet};
pub use pins::{PinBase, PinError};
pub use places::{RefusedPlace, place_name};
pub use probe::{Environment, Lockdown, loaded_digest, programs_digest};
pub use ring::{Frame, FrameReceiver, GiveBack, Ring, pump};
pub use self_check::Canary;
pub use tiers::{Choice, Handicap, Rejection, Tier, TierPreference, start, start_kept};
