//! What this kernel and this process offer, read and not guessed: for `doctor` and the log at start.
//!
//! Invariant: each answer is yes, no, or could not tell with the reason.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{object, offsets};
use crate::bounded;

const SMALL: u64 = 64 << 10;

/// Kernel lockdown, from `/sys/kernel/security/lockdown`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lockdown {
    /// Off.
    None,
    /// Kernel memory cannot be changed from user space.
    Integrity,
    /// Kernel memory cannot be read either: the programs' reads are refused.
    Confidentiality,
    /// The file cannot be read.
    Unknown,
}

/// What this kernel and this process offer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Environment {
    /// `uname -r`.
    pub release: String,
    /// Whether the kernel describes its types.
    pub btf: bool,
    /// Whether the overlay module does; absent where overlay is built in or not loaded.
    pub overlay_btf: bool,
    /// Lockdown.
    pub lockdown: Lockdown,
    /// The active security modules; empty where they cannot be read.
    pub security_modules: Vec<String>,
    /// `kernel.unprivileged_bpf_disabled`; absent where it cannot be read.
    pub unprivileged_bpf_disabled: Option<u8>,
    /// The size of the embedded object in bytes; absent in a build without kernel programs.
    pub object_bytes: Option<usize>,
}

impl Environment {
    /// Looks.
    pub fn read() -> Self {
        let text = |path: &str| bounded::read_text(Path::new(path), SMALL).ok();
        Self {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            btf: Path::new(offsets::VMLINUX).exists(),
            overlay_btf: Path::new("/sys/kernel/btf/overlay").exists(),
            lockdown: text("/sys/kernel/security/lockdown").map_or(Lockdown::Unknown, |t| lockdown(&t)),
            security_modules: text("/sys/kernel/security/lsm")
                .map(|t| {
                    t.trim()
                        .split(',')
                        .filter(|m| !m.is_empty())
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
            unprivileged_bpf_disabled: text("/proc/sys/kernel/unprivileged_bpf_disabled")
                .and_then(|t| t.trim().parse().ok()),
            object_bytes: object::OBJECT.map(<[u8]>::len),
        }
    }
}

/// SHA-256 of the embedded object in hex; absent in a build without kernel programs.
pub fn programs_digest() -> Option<String> {
    Some(hex(&Sha256::digest(object::OBJECT?)))
}

/// The same of the object and of the offsets that it is given here: where a file system's module was loaded since, programs
/// that an agent left know less than new ones would.
pub fn loaded_digest() -> Option<String> {
    let mut digest = Sha256::new_with_prefix(object::OBJECT?);
    digest.update(bytemuck::bytes_of(&offsets::read().ok()?.offsets));
    Some(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
        hex
    })
}

fn lockdown(text: &str) -> Lockdown {
    match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some(("none", _)) => Lockdown::None,
        Some(("integrity", _)) => Lockdown::Integrity,
        Some(("confidentiality", _)) => Lockdown::Confidentiality,
        _ => Lockdown::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bracketed_word_is_the_lockdown_in_force() {
        for (text, expected) in [
            ("[none] integrity confidentiality\n", Lockdown::None),
            ("none [integrity] confidentiality\n", Lockdown::Integrity),
            ("none integrity [confidentiality]\n", Lockdown::Confidentiality),
            ("", Lockdown::Unknown),
            ("[", Lockdown::Unknown),
        ] {
            assert_eq!(lockdown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_running_kernel_is_described() {
        let environment = Environment::read();
        assert!(!environment.release.is_empty());
        assert_eq!(environment.btf, Path::new("/sys/kernel/btf/vmlinux").exists());
    }
}
