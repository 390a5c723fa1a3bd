//! The monitors that are measured beside ours: Debian's packages, unpacked and not installed.
//!
//! auditd would start a service if it were installed. What a program needs of libraries is gathered in one folder, so that
//! the same copy runs here and in a virtual machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::apt::{self, Apt};
use crate::workspace::Workspace;
use crate::{files, process, say};

const PACKAGES: [&str; 4] = ["auditd", "bpftrace", "fatrace", "libbpf-tools"];
const PROGRAMS: [&str; 5] = [
    "sbin/auditctl",
    "sbin/auditd",
    "usr/bin/bpftrace",
    "usr/sbin/fatrace",
    "usr/sbin/opensnoop",
];

/// Makes them ready, once; without apt there are none, and each says so in the table.
pub(super) fn unpack(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("bench/peers");
    let stamp = workspace.target.join("bench/peers.stamp");
    let wanted = PACKAGES.join(" ");
    if !Apt::exists() || (stamp.exists() && files::read_text(&stamp)? == wanted) {
        files::create_folder(&folder)?;
        return Ok(folder);
    }
    say::progress(&format!("bench: unpacking {wanted}"));
    files::empty_folder(&folder)?;
    let download = workspace.target.join("bench/download");
    for deb in Apt::system().download_with_dependencies(&PACKAGES, &download)? {
        apt::unpack(&deb, &folder)?;
    }
    std::fs::remove_dir_all(&download).context("cannot remove the packages")?;
    gather_libraries(&folder)?;
    files::write(&stamp, wanted.as_bytes())?;
    Ok(folder)
}

fn gather_libraries(folder: &Path) -> Result<()> {
    let libraries = folder.join("libraries");
    files::create_folder(&libraries)?;
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let own = ["usr/lib", "lib"].map(|place| folder.join(place).join(&triplet));
    for program in PROGRAMS {
        let mut ldd = Command::new("ldd");
        ldd.arg(folder.join(program)).env("LC_ALL", "C");
        ldd.env("LD_LIBRARY_PATH", std::env::join_paths(&own)?);
        for (name, path) in libraries_in(&process::output(&mut ldd)?) {
            files::write_if_changed(&libraries.join(name), &files::read(Path::new(path))?)?;
        }
    }
    Ok(())
}

/// The name and the place of each library; the loader itself, which has no name there, is everywhere.
fn libraries_in(ldd: &str) -> Vec<(&str, &str)> {
    let lines = ldd.lines().filter_map(|line| line.trim().split_once(" => "));
    lines
        .filter_map(|(name, rest)| Some((name, rest.split(' ').next()?)))
        .filter(|(_, path)| path.starts_with('/'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_with_the_name_they_are_asked_for_by() {
        let printed = "\tlinux-vdso.so.1 (0x1)\n\tlibbpf.so.1 => /p/lib/libbpf.so.1 (0x2)\n\
                       \tlibx.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        assert_eq!(libraries_in(printed), [("libbpf.so.1", "/p/lib/libbpf.so.1")]);
        assert_eq!(libraries_in("\tnot a dynamic executable\n"), []);
    }
}
