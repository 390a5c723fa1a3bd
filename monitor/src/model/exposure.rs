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

/// What leads to the content beside the path itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// Another mount of the same directory, or an overlay above it.
    Mount,
    /// A mount in the mount namespace of a running process.
    Namespace,
    /// The block device or image file under the store.
    Device,
    /// The socket of an engine that reads the store as root.
    Socket,
    /// The API of an engine that reads the store as root, on a TCP port.
    ApiPort,
    /// A capability that passes over modes, held by a process or given by a program.
    Capability,
    /// User or group ids that a user may take on (`subuid(5)`, `subgid(5)`).
    SubordinateId,
}

impl Means {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Namespace => "namespace",
            Self::Device => "device",
            Self::Socket => "socket",
            Self::ApiPort => "api-port",
            Self::Capability => "capability",
            Self::SubordinateId => "subordinate-id",
        }
    }
}

/// Somebody who gets to the content by other means than the modes of its path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Bypass {
    /// Who.
    #[serde(flatten)]
    pub reader: Reader,
    /// How.
    pub by: Means,
    /// The mount point, device, socket, address or program, escaped.
    pub via: String,
    /// Who can do this can do all that root can, on this host or on this file system.
    pub root_equivalent: bool,
}

/// Why a component is open, where it is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cause {
    /// The vulnerability, where it is one.
    pub cve: Option<String>,
    /// One sentence.
    pub text: String,
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
    /// Whom the modes keep out although everybody else gets in: members of a group, a user of a list.
    #[serde(default)]
    pub excepted: Vec<Reader>,
    /// Who gets there by other means.
    #[serde(default)]
    pub bypasses: Vec<Bypass>,
    /// Who of all these exists and is neither the store's owner nor root's equal, widest first.
    #[serde(default)]
    pub exposed_to: Vec<Reader>,
    /// Why `opened_by` is open.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// Security modules that may still deny what the modes let through.
    #[serde(default)]
    pub security_modules: Vec<String>,
}

impl Exposure {
    /// Whether any user of the host can read it.
    pub fn is_world(&self) -> bool {
        self.readers.contains(&Reader::World)
    }
}
