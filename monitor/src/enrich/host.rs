//! What tells this host from its containers: its mount namespace and root device, the agent itself, and the
//! executables of its container engines.
//!
//! Invariant: an engine is the inode of an installed program, so that a copy under the same name is none; a fact that
//! cannot be read is absent, and what rests on it then sanctions nothing. Used by the task that builds snapshots.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::knowledge::{AgentProcess, HostFacts};
use crate::model::{DevIno, KernelDev};

/// Where distributions and vendors install engines.
const DIRECTORIES: [&str; 7] = [
    "usr/bin",
    "usr/sbin",
    "usr/local/bin",
    "usr/local/sbin",
    "usr/libexec/docker",
    "opt/containerd/bin",
    "var/lib/rancher/k3s/data/current/bin",
];

/// Programs that write or read image storage as their work; a shim or runtime runs other people's code and is none.
const ENGINES: [&str; 13] = [
    "podman",
    "buildah",
    "skopeo",
    "crio",
    "dockerd",
    "docker-containerd",
    "containerd",
    "containerd-stargz-grpc",
    "buildkitd",
    "nerdctl",
    "ctr",
    "k3s",
    "rke2",
];

/// More processes than are looked at for engines.
const MAX_PROCESSES: usize = 32_768;
const STATUS_LIMIT: u64 = 1 << 20;

/// The host as proc(5) of its own process namespace shows it; `proc` is that file system's mount point.
pub fn host_facts(proc: &Path) -> HostFacts {
    let inode = |name: &str| std::fs::metadata(proc.join(name)).ok();
    let agent = inode("self/exe").map(|exe| AgentProcess {
        pid: std::process::id(),
        exe: DevIno::of(&exe),
    });
    HostFacts {
        root_device: inode("1/root")
            .or_else(|| inode("self/root"))
            .map(|root| KernelDev::from_stat(root.dev())),
        // Some sandboxes hide the first process; there, where the agent runs is the nearest thing to the host.
        mount_namespace: inode("1/ns/mnt")
            .or_else(|| inode("self/ns/mnt"))
            .and_then(|namespace| u32::try_from(namespace.ino()).ok()),
        agent,
    }
}

/// The inodes of the engines installed below a host's root, in the order of inode.
pub fn engine_executables(host_root: &Path) -> Vec<DevIno> {
    let directories = DIRECTORIES.iter().map(|directory| host_root.join(directory));
    let programs = directories.flat_map(|directory| ENGINES.map(|engine| directory.join(engine)));
    let found = programs.filter_map(|program| std::fs::metadata(program).ok());
    let programs = found.filter(is_roots_program);
    let keys: BTreeSet<DevIno> = programs.map(|one| DevIno::of(&one)).collect();
    keys.into_iter().collect()
}

/// An engine that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunningEngine {
    /// Its executable.
    pub exe: DevIno,
    /// Its root, by its process.
    pub root: PathBuf,
}

/// The engines that run as root of the host, wherever they are installed; `proc` is the host's.
///
/// A name alone proves nothing, so the process must be root's own: another user can give any program any name.
pub fn running_engines(proc: &Path) -> Vec<RunningEngine> {
    let host =
        std::fs::read_link(proc.join("1/ns/user")).or_else(|_| std::fs::read_link("/proc/self/ns/user"));
    let Ok(host) = host else { return Vec::new() };
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let processes = entries.map(|entry| entry.path()).filter(|process| {
        let name = process.file_name().unwrap_or_default().as_encoded_bytes();
        name.iter().all(u8::is_ascii_digit)
    });
    let engine = |process: PathBuf| {
        let exe = std::fs::read_link(process.join("exe")).ok()?;
        let name = exe.file_name()?;
        ENGINES.iter().find(|engine| name == **engine)?;
        let is_roots = real_uid(&process) == Some(0)
            && std::fs::read_link(process.join("ns/user")).is_ok_and(|namespace| namespace == host);
        let program = std::fs::metadata(process.join("exe")).ok()?;
        (is_roots && is_roots_program(&program)).then(|| RunningEngine {
            exe: DevIno::of(&program),
            root: process.join("root"),
        })
    };
    processes.take(MAX_PROCESSES).filter_map(engine).collect()
}

/// The first number of the line `Uid:` (`proc_pid_status(5)`).
fn real_uid(process: &Path) -> Option<u32> {
    let status = bounded::read_text(&process.join("status"), STATUS_LIMIT).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Executable, and nobody but root can change it.
fn is_roots_program(metadata: &std::fs::Metadata) -> bool {
    let mode = metadata.permissions().mode();
    metadata.is_file() && metadata.uid() == 0 && mode & 0o111 != 0 && mode & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_told_from_containers() {
        let facts = host_facts(Path::new("/proc"));
        let exe = std::fs::metadata(std::env::current_exe().unwrap()).unwrap();
        let agent = AgentProcess {
            pid: std::process::id(),
            exe: DevIno::of(&exe),
        };
        assert_eq!(facts.agent, Some(agent));
        assert_eq!(host_facts(Path::new("/nonexistent")), HostFacts::default());
        // Another user may not look at process 1.
        if let Ok(link) = std::fs::read_link("/proc/1/ns/mnt") {
            let number = facts.mount_namespace.unwrap();
            assert_eq!(link.to_str(), Some(format!("mnt:[{number}]").as_str()));
        }
    }

    #[test]
    fn an_engine_is_an_installed_program_of_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        for (path, mode, is_engine) in [
            ("usr/bin/podman", 0o755, true),
            ("usr/bin/skopeo", 0o777, false),
            ("usr/bin/buildah", 0o644, false),
            ("usr/bin/bash", 0o755, false),
            ("home/user/bin/podman", 0o755, false),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let key = DevIno::of(&std::fs::metadata(&path).unwrap());
            let listed = engine_executables(root.path()).contains(&key);
            assert_eq!(listed, is_engine && is_root, "{}", path.display());
        }
        std::fs::hard_link(
            root.path().join("usr/bin/podman"),
            root.path().join("usr/bin/ctr"),
        )
        .unwrap();
        assert_eq!(
            engine_executables(root.path()).len(),
            usize::from(is_root),
            "one inode"
        );
    }
}
