//! The first file system of a test machine: busybox, programs of this host with the libraries they need, modules.
//!
//! Programs are taken as they are built for the host and not linked statically: one build serves both, and the
//! machine runs exactly what the host runs. Debug information is left out, for it is most of their size.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cpio::Archive;
use crate::{files, process};

const FOLDERS: [&str; 14] = [
    "bin", "data", "dev", "etc", "modules", "proc", "root", "run", "sbin", "scratch", "share", "sys", "tmp",
    "usr/bin",
];
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n\
                     other:x:1001:1001:other:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n";
const GROUPS: &str = "root:x:0:\ndisk:x:6:\nuser:x:1000:\nother:x:1001:\nnogroup:x:65534:\n";

/// What goes into a machine's first file system.
#[derive(Debug, Default)]
pub(crate) struct Contents<'a> {
    /// Programs of the host, each with its name under `/bin`.
    pub(crate) programs: &'a [(PathBuf, String)],
    /// Modules to load, in order.
    pub(crate) modules: &'a [(String, Vec<u8>)],
    /// The command and its arguments.
    pub(crate) command: &'a [String],
    /// What the last line of output begins with.
    pub(crate) marker: &'a str,
}

/// Builds the archive; `folder` takes intermediate files.
pub(crate) fn build(contents: &Contents<'_>, folder: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for path in FOLDERS {
        archive.folder(path)?;
    }
    archive.device("dev/console", (5, 1))?;
    archive.device("dev/null", (1, 3))?;
    archive.file("etc/passwd", 0o644, USERS.as_bytes())?;
    archive.file("etc/group", 0o644, GROUPS.as_bytes())?;
    archive.link("etc/mtab", "/proc/self/mounts")?;
    archive.file("init", 0o755, include_bytes!("init.sh"))?;
    archive.file("command", 0o755, shell_line(contents.command).as_bytes())?;
    archive.file("marker", 0o644, contents.marker.as_bytes())?;
    for (position, (name, bytes)) in contents.modules.iter().enumerate() {
        archive.file(&format!("modules/{position:02}-{name}.ko"), 0o644, bytes)?;
    }
    let busybox = process::find("busybox").context("there is no busybox")?;
    let mut libraries = BTreeSet::new();
    let programs = contents
        .programs
        .iter()
        .map(|(path, name)| (path.as_path(), name.as_str()));
    for (path, name) in programs.chain([(busybox.as_path(), "busybox")]) {
        let stripped = folder.join("stripped");
        process::run_quietly(
            Command::new("strip")
                .args(["--strip-debug", "-o"])
                .arg(&stripped)
                .arg(path),
        )?;
        archive.file(&format!("bin/{name}"), 0o755, &files::read(&stripped)?)?;
        libraries.extend(libraries_of(path)?);
    }
    for path in libraries {
        let inside = path.to_string_lossy();
        archive.file(inside.trim_start_matches('/'), 0o755, &files::read(&path)?)?;
    }
    archive.finish()
}

/// The shared libraries a program needs, its interpreter included; none if it is static.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let done = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .output()
        .context("cannot start ldd")?;
    // ldd fails on a static program, which needs nothing.
    if !done.status.success() {
        return Ok(Vec::new());
    }
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    libraries_in(&printed).with_context(|| format!("{} lacks a library", program.display()))
}

fn libraries_in(ldd: &str) -> Result<Vec<PathBuf>> {
    anyhow::ensure!(!ldd.contains("not found"), "ldd: {ldd}");
    let paths = ldd
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// A line of shell that runs exactly these arguments.
fn shell_line(command: &[String]) -> String {
    let quoted: Vec<_> = command
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    format!("exec {}\n", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_command_unchanged() {
        let check = |arguments: &[&str]| {
            let command: Vec<_> = ["printf", "%s|"]
                .iter()
                .chain(arguments)
                .map(|word| (*word).to_owned())
                .collect();
            let printed = process::output(Command::new("sh").args(["-c", &shell_line(&command)])).unwrap();
            assert_eq!(printed.split_terminator('|').collect::<Vec<_>>(), arguments);
        };
        check(&["plain"]);
        check(&["two words", "it's", "$HOME `id` \\", "", "a\nb", "*"]);
    }

    #[test]
    fn libraries_are_read_from_ldd() {
        let check = |printed: &str, expected: &[&str]| {
            let paths: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(libraries_in(printed).unwrap(), paths, "{printed}");
        };
        check("\tstatically linked\n", &[]);
        check(
            "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n",
            &["/lib/libc.so.6", "/lib64/ld.so.2"],
        );
        assert!(libraries_in("\tlibx.so => not found\n").is_err());
    }
}
