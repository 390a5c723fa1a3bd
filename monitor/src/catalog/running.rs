//! The roots that running engines were started with.
//!
//! Invariant: only root's processes that see the host's own root directory count, so that nobody else can name a place; a
//! root that is none costs one look. Bounded. Called by `discover`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Host;
use super::problem::Problem;
use crate::bounded;
use crate::catalog::engine_config;

/// Processes that are looked at; the name alone is read of most.
const MAX_PROCESSES: usize = 50_000;
/// A command line of an engine; the kernel's names have fifteen bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The flags by which an engine is told its root, and its configuration file.
struct Flags {
    program: &'static str,
    root: &'static [&'static str],
    config: &'static [&'static str],
}

const ENGINES: [Flags; 4] = [
    Flags {
        program: "containerd",
        root: &["--root"],
        config: &["--config", "-c"],
    },
    Flags {
        program: "dockerd",
        root: &["--data-root", "-g", "--graph"],
        config: &[],
    },
    Flags {
        program: "crio",
        root: &["--root", "-r", "--imagestore"],
        config: &["--config", "-c"],
    },
    Flags {
        program: "buildkitd",
        root: &["--root"],
        config: &["--config"],
    },
];

/// Engines that put the blobs of a pull aside, and the flag that says where.
const PULLERS: [(&str, &[&str]); 4] = [
    ("podman", &[]),
    ("buildah", &[]),
    ("skopeo", &["--tmpdir"]),
    ("crio", &["--big-files-temporary-dir"]),
];
/// More than the kernel lets a process begin with.
const MAX_ENVIRONMENT: u64 = 4 << 20;

/// An engine that runs now.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) program: &'static str,
    /// The roots on its command line.
    pub(super) roots: Vec<PathBuf>,
    /// The configuration files on its command line.
    pub(super) configs: Vec<PathBuf>,
}

/// The engines that run now.
pub(super) fn engines(host: &Host) -> Vec<Running> {
    let of_name = |name: &[u8]| ENGINES.iter().find(|flags| name == flags.program.as_bytes());
    let running = of_root(host, &of_name)
        .into_iter()
        .filter_map(|(process, flags)| {
            let line = bounded::read(&process.join("cmdline"), MAX_BYTES).ok()?;
            Some(Running {
                program: flags.program,
                roots: values(&line, flags.root),
                configs: values(&line, flags.config),
            })
        });
    running.collect()
}

/// Where engines that run now put blobs aside: by a flag, or by `TMPDIR` in what they were begun with.
pub(super) fn blob_places(host: &Host) -> Vec<PathBuf> {
    let of_name = |name: &[u8]| PULLERS.iter().find(|(program, _)| name == program.as_bytes());
    let mut places = Vec::new();
    for (process, (_, flags)) in of_root(host, &of_name) {
        let line = bounded::read(&process.join("cmdline"), MAX_BYTES).unwrap_or_default();
        places.extend(values(&line, flags));
        let environment = bounded::read(&process.join("environ"), MAX_ENVIRONMENT).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let place = variables.find_map(|variable| variable.strip_prefix(b"TMPDIR="));
        let place = place.map(|place| PathBuf::from(std::ffi::OsStr::from_bytes(place)));
        places.extend(place.filter(|place| place.is_absolute()));
    }
    places
}

/// The directories of root's processes with such names that see the host's own root.
fn of_root<'a, T>(host: &Host, of_name: &dyn Fn(&[u8]) -> Option<&'a T>) -> Vec<(PathBuf, &'a T)> {
    let processes = host.path("/proc");
    let top = std::fs::metadata(processes.join("1/root")).map(|top| (top.dev(), top.ino()));
    let entries = std::fs::read_dir(&processes).into_iter().flatten();
    let found = entries.take(MAX_PROCESSES).filter_map(|entry| {
        let process = entry.ok()?.path();
        let name = bounded::read(&process.join("comm"), 64).ok()?;
        let named = of_name(name.trim_ascii_end())?;
        let root = std::fs::metadata(process.join("root")).ok()?;
        let is_hosts = top.as_ref().is_ok_and(|top| *top == (root.dev(), root.ino()));
        let is_roots = std::fs::metadata(&process).is_ok_and(|process| process.uid() == owner(&processes));
        (is_hosts && is_roots).then_some((process, named))
    });
    found.collect()
}

/// The roots of engines, those in their configuration files among them.
pub(super) fn roots(host: &Host, engines: &[Running], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for engine in engines {
        roots.extend(engine.roots.iter().cloned());
        for config in &engine.configs {
            roots.extend(engine_config::roots_of(host, engine.program, config, problems));
        }
    }
    roots.sort();
    roots
}

/// Root, whose the directory of processes is.
fn owner(processes: &Path) -> u32 {
    std::fs::metadata(processes).map_or(0, |metadata| metadata.uid())
}

/// The values of flags on a command line: `--flag value` or `--flag=value`; absolute ones alone, since a relative one is
/// relative to what the process was started in.
fn values(line: &[u8], flags: &[&str]) -> Vec<PathBuf> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let values = words.iter().enumerate().filter_map(|(at, word)| {
        let is_flag = |flag: &&str| word.strip_prefix(flag.as_bytes());
        let rest = flags.iter().find_map(is_flag)?;
        match rest.split_first() {
            None => words.get(at + 1).copied(),
            Some((b'=', value)) => Some(value),
            Some(_) => None,
        }
    });
    let paths = values.map(|value| PathBuf::from(std::ffi::OsStr::from_bytes(value)));
    paths.filter(|path| path.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host on which this process runs.
    fn check(program: &str, command: &str, has_own_root: bool, expected: &[&str]) {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path());
        for process in ["1", "7"] {
            std::fs::create_dir_all(host.path(format!("/proc/{process}"))).unwrap();
        }
        std::fs::create_dir_all(host.path("/other")).unwrap();
        let link = |process: &str, to: &str| {
            let link = host.path(format!("/proc/{process}/root"));
            std::os::unix::fs::symlink(host.path(to), link).unwrap();
        };
        link("1", "/");
        link("7", if has_own_root { "/other" } else { "/" });
        std::fs::write(host.path("/proc/1/comm"), "systemd\n").unwrap();
        std::fs::write(host.path("/proc/7/comm"), format!("{program}\n")).unwrap();
        std::fs::write(host.path("/proc/7/cmdline"), command.replace(' ', "\0")).unwrap();
        std::fs::write(host.path("/c.toml"), "root = '/in/file'\n").unwrap();
        std::fs::write(host.path("/crio.conf"), "[crio]\nroot = '/of/crio'\n").unwrap();
        let found = roots(&host, &engines(&host), &mut Vec::new());
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(found, expected, "{command}");
    }

    #[test]
    fn a_running_engine_tells_its_root() {
        check("containerd", "/usr/bin/containerd", false, &[]);
        check("containerd", "containerd --root /r --state /s", false, &["/r"]);
        check("containerd", "containerd --root=/r", false, &["/r"]);
        check("containerd", "containerd --rooted=/r --root relative", false, &[]);
        check("containerd", "containerd --config /c.toml", false, &["/in/file"]);
        check(
            "containerd",
            "containerd -c /c.toml --root /r",
            false,
            &["/in/file", "/r"],
        );
        check("containerd", "containerd --config /none", false, &[]);
        check("dockerd", "dockerd --data-root /d -H unix:///x", false, &["/d"]);
        check("crio", "crio --root /r --runroot /s", false, &["/r"]);
        check("crio", "crio -c /crio.conf", false, &["/of/crio"]);
        check("buildkitd", "buildkitd --root=/b", false, &["/b"]);
        check("sleep", "containerd --root /r", false, &[]);
        // In a container, whose paths are not the host's.
        check("containerd", "containerd --root /r", true, &[]);
    }
}
