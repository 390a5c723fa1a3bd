//! Who may read a path: modes, ownership and ACLs of every component from the host's `/` down.
//!
//! Invariant: never a false "safe". A component that cannot be looked at counts as open and is named in `uncertain`;
//! an owner counts as a reader because an owner can change the mode. It is an upper bound all the same: a security
//! module (`SELinux`, `AppArmor`) may deny more, and root and its like (capabilities, group `disk`) are not listed. Called
//! by the knowledge task for each finding, and by the commands.

mod acl;
mod gates;
mod readers;
mod way;

use std::path::Path;

pub(crate) use self::readers::readers_of;
pub(crate) use self::way::Way;
use crate::catalog::Host;
use crate::model::{Exposure, Reader};

/// Who besides root can read `path` (as this process sees it); for a directory, who can enter it.
///
/// Links are followed as the host follows them. Paths in the answer are the host's.
pub fn of_path(host: &Host, path: &Path) -> Exposure {
    let way = Way::walk(host, path);
    let found = readers_of(&way);
    let is_world = found.readers.contains(&Reader::World);
    let closed_by = if is_world {
        None
    } else {
        way.first_closed_to_world()
    };
    let opened_by = gates::opened_by(&way, &found.readers);
    Exposure {
        remedy: opened_by.map(gates::remedy),
        opened_by: opened_by.map(|gate| gate.component.gate()),
        closed_by: closed_by.map(way::Component::gate),
        readers: found.readers,
        uncertain: way.uncertain.into_iter().chain(found.combinations).collect(),
    }
}

#[cfg(test)]
mod tests;
