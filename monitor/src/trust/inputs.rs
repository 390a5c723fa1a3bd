//! The files that trust is judged by, read once from a host's root.
//!
//! Invariant: each file is either there as a valid value or there as the reason why not; reading never fails as a
//! whole. Only the system's files are read: a user's own policy would let the user decide. Used by `evaluate`.

use std::path::{Path, PathBuf};

use super::docker::{DaemonConfigError, DockerRegistries};
use super::host_file;
use super::policy::{Policy, PolicyError};
use super::registries::{Registries, RegistriesError};
use super::strict_json;
use crate::bounded::BoundedError;

/// The system's policy (containers-policy.json(5)).
const POLICY_FILE: &str = "/etc/containers/policy.json";
/// A policy of root's own, which root's engines prefer to the system's.
const USER_POLICY_FILE: &str = "/root/.config/containers/policy.json";

/// What became of the policy file.
#[derive(Debug)]
pub enum PolicyInput {
    /// It is valid.
    Valid(Policy),
    /// There is none: every engine refuses to work.
    Missing,
    /// It is invalid as a whole: every engine refuses everything.
    Invalid(PolicyError),
    /// It is there and cannot be read.
    Unreadable(BoundedError),
}

/// What became of the registries configuration.
#[derive(Debug)]
pub enum RegistriesInput {
    /// It is valid; absent files are no rules.
    Valid(Registries),
    /// It is invalid as a whole, or a part of it cannot be read.
    Invalid(RegistriesError),
}

/// The files that trust is judged by.
#[derive(Debug)]
pub struct TrustInputs {
    /// The policy's path, as the host names it.
    pub policy_file: PathBuf,
    /// The policy.
    pub policy: PolicyInput,
    /// The registries configuration.
    pub registries: RegistriesInput,
    /// How Docker reaches registries.
    pub docker: Result<DockerRegistries, DaemonConfigError>,
    /// A policy of root's own, if there is one: root's engines use it instead, the verdict does not.
    pub overriding_policy: Option<PathBuf>,
}

impl TrustInputs {
    /// Reads the files of the host whose file system is mounted at `root`.
    pub fn read(root: &Path) -> Self {
        let policy_file = PathBuf::from(POLICY_FILE);
        let policy = match host_file::read(root, &policy_file, strict_json::BYTES_MAX) {
            Ok(bytes) => Policy::parse(&bytes).map_or_else(PolicyInput::Invalid, PolicyInput::Valid),
            Err(error) if error.is_not_found() => PolicyInput::Missing,
            Err(error) => PolicyInput::Unreadable(error),
        };
        let overriding_policy = PathBuf::from(USER_POLICY_FILE);
        Self {
            policy_file,
            policy,
            docker: DockerRegistries::read(root),
            registries: Registries::read(root).map_or_else(RegistriesInput::Invalid, RegistriesInput::Valid),
            overriding_policy: host_file::exists(root, &overriding_policy).then_some(overriding_policy),
        }
    }
}
