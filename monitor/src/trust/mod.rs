//! Whether a cached image is to be trusted: where it came from, and how good it is.
//!
//! Invariant: pure functions of files read once and of what the catalog knows; everything works offline. What the
//! engines ask only when they pull is asked here of what is already stored. As far as no signature is needed the answer
//! is final; where one is, it is `unknown` with that reason until signatures are evaluated. Used by `knowledge`, `cli`.

mod docker;
mod evaluate;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod host_file;
mod inputs;
mod network;
mod policy;
mod reference;
mod registries;
mod scope;
mod strict_json;

pub use docker::{Connection, DaemonConfigError, DockerRegistries};
pub use evaluate::{evaluate, worst};
pub use inputs::{PolicyInput, RegistriesInput, TrustInputs};
pub use policy::{
    Applicable, KeySource, KeyType, Outcome, Place, Policy, PolicyError, Requirement, SignedBy,
    SignedIdentity, SigstoreAuthority, SigstoreSigned,
};
pub use reference::{Reference, ReferenceError};
pub use registries::{Endpoint, MirrorUse, Registries, RegistriesError, RegistriesFault, Registry};
pub use scope::{IdentityError, ImageIdentity, ScopeFault};
pub use strict_json::JsonError;
