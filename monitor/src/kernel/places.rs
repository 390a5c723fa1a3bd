//! Which program stands at which place on which tier.
//!
//! Invariant: the first row of a tier is its open hook, without which the tier is none; any other place may be refused by
//! a kernel, and then is named wherever the agent says what it sees. Used by `attach` and `tiers`.

use layerwatch_ebpf::hooks;
use serde::Serialize;

use super::tiers::Tier;

/// How a program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Attachment {
    /// To an LSM hook.
    Lsm(&'static str),
    /// To a function's exit.
    Fexit(&'static str),
    /// To a function's entry, by a trampoline.
    Fentry(&'static str),
    /// To a function's entry, by a breakpoint or a call in its stead.
    Kprobe(&'static str),
    /// To the tracepoint of the program's name, with the kernel's own types.
    Tracepoint,
}

/// A program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Program {
    /// Its name in the object.
    pub(super) name: &'static str,
    /// What it is attached to.
    pub(super) at: Attachment,
    /// The places it serves (`layerwatch_ebpf::hooks`).
    pub(super) places: &'static [u16],
}

/// A place that this kernel does not let the agent look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RefusedPlace {
    /// Its number (`layerwatch_ebpf::hooks`).
    pub number: u16,
    /// Its name.
    pub place: &'static str,
    /// What the kernel said.
    pub reason: String,
}

/// All places with their metric labels, by number.
pub(super) const NAMES: [(u16, &str); 9] = [
    (hooks::OPEN, "open"),
    (hooks::RENAME, "rename"),
    (hooks::MAP, "map"),
    (hooks::READ, "read"),
    (hooks::RECEIVE, "receive"),
    (hooks::IO_URING, "io-uring"),
    (hooks::DESCRIPTORS, "descriptors"),
    (hooks::PROCESS, "process"),
    (hooks::CONNECT, "connect"),
];

/// A place's name.
pub fn place_name(number: u16) -> &'static str {
    let named = NAMES.iter().find(|(place, _)| *place == number);
    named.map_or("unknown", |(_, name)| name)
}

const fn program(name: &'static str, at: Attachment, places: &'static [u16]) -> Program {
    Program { name, at, places }
}

use Attachment::{Fentry, Fexit, Kprobe, Lsm, Tracepoint};

/// On every tier that has trampolines.
const RENAME: Program = program("fexit_rename", Fexit("security_inode_rename"), &[hooks::RENAME]);

const A: &[Program] = &[
    program("lsm_file_open", Lsm("file_open"), &[hooks::OPEN]),
    RENAME,
    program("lsm_mmap_file", Lsm("mmap_file"), &[hooks::MAP]),
    program("lsm_file_permission", Lsm("file_permission"), &[hooks::READ]),
    program("lsm_file_receive", Lsm("file_receive"), &[hooks::RECEIVE]),
    program("lsm_connect", Lsm("unix_stream_connect"), &[hooks::CONNECT]),
];

const B: &[Program] = &[
    program("fexit_file_open", Fexit("security_file_open"), &[hooks::OPEN]),
    RENAME,
    program("fexit_mmap_file", Fexit("security_mmap_file"), &[hooks::MAP]),
    program(
        "fentry_file_permission",
        Fentry("security_file_permission"),
        &[hooks::READ],
    ),
    program(
        "fexit_file_receive",
        Fexit("security_file_receive"),
        &[hooks::RECEIVE],
    ),
    program(
        "fexit_connect",
        Fexit("security_unix_stream_connect"),
        &[hooks::CONNECT],
    ),
];

const C: &[Program] = &[
    program("kprobe_file_open", Kprobe("security_file_open"), &[hooks::OPEN]),
    program("kprobe_rename", Kprobe("security_inode_rename"), &[hooks::RENAME]),
    program("kprobe_mmap_file", Kprobe("security_mmap_file"), &[hooks::MAP]),
    program(
        "kprobe_file_permission",
        Kprobe("security_file_permission"),
        &[hooks::READ],
    ),
    program(
        "kprobe_file_receive",
        Kprobe("security_file_receive"),
        &[hooks::RECEIVE],
    ),
    program(
        "kprobe_connect",
        Kprobe("security_unix_stream_connect"),
        &[hooks::CONNECT],
    ),
];

const D: &[Program] = &[
    program(
        "sys_exit",
        Tracepoint,
        &[
            hooks::OPEN,
            hooks::MAP,
            hooks::RECEIVE,
            hooks::DESCRIPTORS,
            hooks::CONNECT,
        ],
    ),
    program("io_uring_complete", Tracepoint, &[hooks::IO_URING]),
];

/// A tier's programs, the open hook first.
pub(super) fn programs(tier: Tier) -> &'static [Program] {
    match tier {
        Tier::A => A,
        Tier::B => B,
        Tier::C => C,
        Tier::D => D,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_begins_with_its_open_hook_and_serves_no_place_twice() {
        for tier in Tier::ALL {
            let programs = programs(tier);
            assert!(programs[0].places.contains(&hooks::OPEN), "{tier}");
            let mut places: Vec<u16> = programs.iter().flat_map(|one| one.places).copied().collect();
            let count = places.len();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), count, "{tier}");
        }
        assert!(
            NAMES
                .iter()
                .enumerate()
                .all(|(at, (number, _))| usize::from(*number) == at)
        );
    }
}
