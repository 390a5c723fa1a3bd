//! Ways to a store's content that are no file accesses in it: devices, engine sockets, programs with capabilities.
//!
//! Invariant: who is named here is named with what it goes by; whoever can write to an engine's socket as root serves it,
//! or read the disk, is root's equal and is told so. Looked at once for each snapshot by `Surroundings`.

mod apis;
mod capabilities;
mod devices;
mod servers;
mod sockets;

use std::path::Path;

pub(super) use apis::{apis, cause};
pub(super) use capabilities::capabilities;
pub(super) use devices::devices;
pub(super) use sockets::{engine_sockets, socket_host, sockets};

use crate::model::text::printable;
use crate::model::{Bypass, Gate, Means, Reader};

/// One of them, with what closes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::exposure) struct Open {
    pub(in crate::exposure) bypass: Bypass,
    /// The socket or device.
    pub(in crate::exposure) gate: Option<Gate>,
    pub(in crate::exposure) remedy: Option<String>,
    /// Whose rights it gives: root's, or those of the owner of a rootless engine.
    pub(in crate::exposure) owner_uid: u32,
}

fn bypass(reader: Reader, by: Means, via: &Path, root_equivalent: bool) -> Bypass {
    Bypass {
        reader,
        by,
        via: printable(via.as_os_str().as_encoded_bytes()).to_string(),
        root_equivalent,
    }
}
