//! Who may read a path: modes, ownership and ACLs of every component from the host's `/` down, by every mount that leads
//! there, and who gets past all that.
//!
//! Invariant: never a false "safe". A component that cannot be looked at counts as open and is named in `uncertain`;
//! an owner counts as a reader because an owner can change the mode. It is an upper bound all the same: a security
//! module (`SELinux`, `AppArmor`) may deny more, which is said. Called by the knowledge task for each finding, and by the
//! commands.

mod acl;
mod apis;
mod bypasses;
mod causes;
mod gates;
mod ids;
mod layouts;
mod look;
mod mounts;
mod people;
mod processes;
mod readers;
mod strangers;
mod surroundings;
mod way;

pub use self::processes::Processes;
pub use self::surroundings::{Surroundings, Whose};

#[cfg(test)]
mod tests;
