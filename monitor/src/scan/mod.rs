//! Finding secrets in layers and image configurations.
//!
//! `rules` say what a secret looks like, `engine` walks a directory and reads it in fixed buffers, `validate` judges a
//! match without any network, `redact` makes the finding, `worker` runs all of it in a confined child process.
//!
//! Invariant: a secret never leaves this module. No type outside it can hold one; the type inside it that does cannot
//! be printed or serialised and is overwritten when it is dropped. Called by the knowledge plane and by the CLI.

mod engine;
mod error;
mod examples;
mod image_config;
mod redact;
mod rules;
mod summary;
mod validate;
mod visibility;
mod worker;

pub use engine::Scanner;
pub use error::ScanError;
pub use examples::{ExampleFault, example_faults};
pub use redact::FingerprintKey;
pub use rules::{Rule, RuleError, RuleFile, RuleSet};
pub use summary::{LayerRequest, LayerScan, Problem, ProblemKind, Progress, ScanSummary, SkipReason};
pub use visibility::visibility;
pub use worker::{ImageRequest, ScanWorker, WorkerOptions, worker_main};

/// Rises when the same rules give other findings; part of a stored result's identity.
pub const ENGINE_VERSION: u32 = 2;
