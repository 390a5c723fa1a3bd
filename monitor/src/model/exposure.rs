//! Who may read a path: the answer of `exposure`, with the path component that decides it.
//!
//! Invariant: never a false "safe": what could not be read counts as open and says so in `uncertain`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One kind of reader that the modes let through.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "kebab-case")]
pub enum Reader {
    /// Every user of the host.
    World,
    /// Members of a group.
    Group {
        /// The group id.
        gid: u32,
    },
    /// One user besides root.
    User {
        /// The user id.
        uid: u32,
    },
}

/// The path component that stops or lets pass the widest class of readers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// The component.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Who can read a path now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Exposure {
    /// The readers besides root, widest first; empty when only root gets there.
    pub readers: Vec<Reader>,
    /// The component that keeps the rest of the world out, if one does.
    pub closed_by: Option<Gate>,
    /// The component whose mode an engine would have closed (its default is tighter), when `readers` is not empty.
    pub opened_by: Option<Gate>,
    /// The command that closes the way.
    pub remedy: Option<String>,
    /// What could not be looked at, so that more readers are possible.
    pub uncertain: Vec<String>,
}

impl Exposure {
    /// Whether any user of the host can read it.
    pub fn is_world(&self) -> bool {
        self.readers.contains(&Reader::World)
    }
}
