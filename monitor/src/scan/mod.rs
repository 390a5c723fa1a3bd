//! Finding secrets in layers and image configurations.
//!
//! `rules` say what a secret looks like, `engine` walks a directory and reads it in fixed buffers, `stream` reads tar,
//! zip, gzip and zstd, `archive` images outside a store, `validate` judges a match without any network, `redact` makes
//! the finding, `worker` runs all of it in a confined child process, `cache` keeps what was found.
//!
//! Invariant: a secret never leaves this module. No type outside it can hold one; the type inside it that does cannot
//! be printed or serialised and is overwritten when it is dropped. Called by the knowledge plane and by the CLI.

mod archive;
mod cache;
mod engine;
mod error;
mod examples;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod image_config;
mod redact;
mod rules;
mod shape;
mod stream;
mod summary;
mod target;
mod validate;
mod visibility;
mod worker;

pub use cache::{CacheError, ScanCache};
pub use engine::Scanner;
pub use error::ScanError;
pub use examples::{ExampleFault, Refusal, example_faults, refusal};
pub use redact::FingerprintKey;
pub use rules::{Rule, RuleError, RuleFile, RuleSet};
pub use shape::{ImageShape, Layout, Shape};
pub use summary::{LayerRequest, LayerScan, Problem, ProblemKind, Progress, ScanSummary, SkipReason};
pub use target::{Effect, Shadow, TargetFinding, TargetScan};
pub use visibility::{permissions_differ, visibility};
pub use worker::{ImageRequest, ScanWorker, TargetRequest, WorkerOptions, worker_main};

/// Rises when the same rules give other findings; part of a stored result's identity.
pub const ENGINE_VERSION: u32 = 4;
