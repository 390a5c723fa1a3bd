//! Programs that do nothing, at the places where a tier's stand: the price of a program as such.
//!
//! The object is `monitor-ebpf/src/idle.rs`. Whether they run shows in the table of programs. Invariant: they are detached
//! when the value goes.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Lsm, Program};
use aya::{Btf, Ebpf};

/// The programs, attached.
#[derive(Debug)]
pub(crate) struct Idle {
    _programs: Ebpf,
}

/// A program and what it is attached to.
const A: [(&str, &str); 2] = [
    ("idle_lsm_open", "file_open"),
    ("idle_lsm_read", "file_permission"),
];
const B: [(&str, &str); 2] = [
    ("idle_fexit_open", "security_file_open"),
    ("idle_fentry_read", "security_file_permission"),
];
const C: [(&str, &str); 2] = [
    ("idle_kprobe_open", "security_file_open"),
    ("idle_kprobe_read", "security_file_permission"),
];
const D: [(&str, &str); 1] = [("idle_sys_exit", "sys_exit")];

impl Idle {
    /// Attaches them at the places of opens and reads; tier D's is at every system call.
    pub(crate) fn start(object: &Path, tier: &str) -> Result<Self> {
        let mut programs = Ebpf::load_file(object).context("load the programs that do nothing")?;
        let btf = Btf::from_sys_fs()?;
        let places: &[_] = match tier {
            "a" => &A,
            "b" => &B,
            "c" => &C,
            "d" => &D,
            _ => bail!("there is no tier {tier}"),
        };
        for (name, place) in places {
            let program = programs
                .program_mut(name)
                .context("the object has no such program")?;
            attach(program, place, &btf).with_context(|| format!("attach {name}"))?;
        }
        Ok(Self { _programs: programs })
    }
}

fn attach(program: &mut Program, place: &str, btf: &Btf) -> Result<()> {
    if let Ok(program) = <&mut Lsm>::try_from(&mut *program) {
        program.load(place, btf)?;
        program.attach()?;
    } else if let Ok(program) = <&mut FExit>::try_from(&mut *program) {
        program.load(place, btf)?;
        program.attach()?;
    } else if let Ok(program) = <&mut FEntry>::try_from(&mut *program) {
        program.load(place, btf)?;
        program.attach()?;
    } else if let Ok(program) = <&mut BtfTracePoint>::try_from(&mut *program) {
        program.load(place, btf)?;
        program.attach()?;
    } else {
        let program: &mut KProbe = program.try_into()?;
        program.load()?;
        program.attach(place, 0)?;
    }
    Ok(())
}
