//! Which processes serve which sockets of engines: those that hold the listening end, and for Docker the containerd that it has
//! do the work.
//!
//! Invariant: bounded; only processes that are called as engines are looked at further. A process of another name serves
//! nobody here, and a socket without a known server may be anybody's. Used by `sockets`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::bounded;
use crate::catalog::Host;
use crate::exposure::apis;
use crate::exposure::ids::number;

/// What engines' processes are called (`comm`).
const ENGINES: &[&str] = &[
    "buildkitd",
    "containerd",
    "crio",
    "docker-containe",
    "dockerd",
    "k0s",
    "k3s-agent",
    "k3s-server",
    "podman",
    "rke2",
];
const DOCKER: &str = "dockerd";
const CONTAINERDS: [&str; 2] = ["containerd", "docker-containe"];
/// How the socket of a containerd ends that Docker uses where it starts none of its own.
const SHARED: &str = "run/containerd/containerd.sock";

const MAX_PROCESSES: usize = 50_000;
const MAX_ENGINES: usize = 256;
/// `stat` and `comm` of a process.
const MAX_TEXT: u64 = 4096;

/// A socket that is listened at: its number in the kernel's list, and its name there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Listening<'a> {
    pub(super) number: u64,
    pub(super) path: &'a Path,
}

struct Engine {
    pid: u32,
    parent: u32,
    name: String,
    /// Numbers of the sockets that it holds.
    sockets: BTreeSet<u64>,
}

/// The engines that run.
pub(super) struct Servers(Vec<Engine>);

impl Servers {
    pub(super) fn look(host: &Host) -> Self {
        let entries = std::fs::read_dir(host.path("/proc")).into_iter().flatten();
        let engines = entries
            .take(MAX_PROCESSES)
            .flatten()
            .filter_map(|entry| Engine::look(number(entry.file_name().as_encoded_bytes())?, &entry.path()));
        Self(engines.take(MAX_ENGINES).collect())
    }

    /// The processes that do what is asked at a socket; none where it is not known who does.
    pub(super) fn of(&self, socket: &Listening<'_>, all: &[Listening<'_>]) -> Vec<u32> {
        let holders = |number: u64| {
            let holds = move |engine: &&Engine| engine.sockets.contains(&number);
            self.0.iter().filter(holds).map(|engine| engine.pid)
        };
        let mut serving: Vec<u32> = holders(socket.number).collect();
        let dockers: Vec<u32> = self
            .0
            .iter()
            .filter(|engine| engine.name == DOCKER && serving.contains(&engine.pid))
            .map(|engine| engine.pid)
            .collect();
        if !dockers.is_empty() {
            let own = self.0.iter().filter(|engine| {
                CONTAINERDS.contains(&engine.name.as_str()) && dockers.contains(&engine.parent)
            });
            let own: Vec<u32> = own.map(|engine| engine.pid).collect();
            let shared = all.iter().filter(|one| one.path.ends_with(SHARED));
            if own.is_empty() {
                serving.extend(shared.flat_map(|one| holders(one.number)));
            } else {
                serving.extend(own);
            }
        }
        serving.sort_unstable();
        serving.dedup();
        serving
    }
}

impl Engine {
    fn look(pid: u32, process: &Path) -> Option<Self> {
        let name = bounded::read_text(&process.join("comm"), MAX_TEXT).ok()?;
        let name = name.trim_end().to_owned();
        if !ENGINES.contains(&name.as_str()) {
            return None;
        }
        let stat = bounded::read(&process.join("stat"), MAX_TEXT).ok()?;
        let sockets = apis::descriptors(process).unwrap_or_default();
        Some(Self {
            pid,
            parent: parent(&stat)?,
            name,
            sockets: sockets.into_keys().collect(),
        })
    }
}

/// The parent's id: the second word after the name, which may hold anything (`proc_pid_stat(5)`).
fn parent(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut words = stat.get(end + 1..)?.split(|byte| *byte == b' ').skip(2);
    number(words.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(pid: u32, parent: u32, name: &str, sockets: &[u64]) -> Engine {
        Engine {
            pid,
            parent,
            name: name.to_owned(),
            sockets: sockets.iter().copied().collect(),
        }
    }

    /// Who serves the sockets 1 (Docker's), 2 (containerd's own) and 3 (another containerd's, at a place of its own).
    fn check(engines: Vec<Engine>, expected: [&[u32]; 3]) {
        let paths = [
            "/run/docker.sock",
            "/run/containerd/containerd.sock",
            "/srv/containerd.sock",
        ];
        let all: Vec<Listening<'_>> = (1..)
            .zip(paths)
            .map(|(number, path)| Listening {
                number,
                path: Path::new(path),
            })
            .collect();
        let servers = Servers(engines);
        let told: Vec<Vec<u32>> = all.iter().map(|socket| servers.of(socket, &all)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn who_holds_the_listening_end_serves_and_docker_has_its_containerd() {
        let other = || engine(30, 1, "containerd", &[3]);
        let shared = || engine(20, 1, "containerd", &[2, 9]);
        // One of its own, whose socket is called otherwise; the host's; none.
        check(
            vec![
                engine(10, 1, "dockerd", &[1]),
                engine(11, 10, "containerd", &[8]),
                shared(),
                other(),
            ],
            [&[10, 11], &[20], &[30]],
        );
        check(
            vec![engine(10, 1, "dockerd", &[1]), shared(), other()],
            [&[10, 20], &[20], &[30]],
        );
        check(vec![engine(10, 1, "dockerd", &[1]), other()], [&[10], &[], &[30]]);
        check(vec![engine(10, 1, "dockerd", &[]), other()], [&[], &[], &[30]]);
        // Two that share it, as a service that is begun by its socket shares it with who began it.
        check(
            vec![engine(12, 1, "podman", &[1]), engine(13, 12, "podman", &[1])],
            [&[12, 13], &[], &[]],
        );
    }

    #[test]
    fn what_procfs_says_is_read_whatever_it_says() {
        for (stat, expected) in [
            (&b"10 (dockerd) S 7 10"[..], Some(7)),
            (b"10 (a) S 1) S 9 10", Some(9)),
            (b"10 (x", None),
            (b"10 (x) S", None),
            (b"10 (x) S -1", None),
            (b"", None),
        ] {
            assert_eq!(parent(stat), expected, "{stat:?}");
        }
    }
}
