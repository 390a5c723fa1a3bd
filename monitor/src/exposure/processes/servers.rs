//! Which processes serve which sockets of engines: those that hold the listening end, and for Docker the containerd that it has
//! do the work.
//!
//! Invariant: bounded; only processes that are called as engines are looked at further. A process of another name serves
//! nobody here, and a socket without a known server may be anybody's. Noted by `processes`, asked by `bypasses/sockets`.

use std::collections::BTreeSet;
use std::path::Path;

use super::status::Status;
use crate::exposure::apis;

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

const MAX_ENGINES: usize = 256;

/// A socket that is listened at: its number in the kernel's list, and its name there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::exposure) struct Listening<'a> {
    pub(in crate::exposure) number: u64,
    pub(in crate::exposure) path: &'a Path,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Engine {
    pid: u32,
    parent: u32,
    name: String,
    /// Numbers of the sockets that it holds.
    sockets: BTreeSet<u64>,
}

/// The engines that run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::exposure) struct Servers(Vec<Engine>);

impl Servers {
    /// Notes a process of the host, if it is an engine's; whether there was room.
    pub(super) fn note(&mut self, pid: u32, status: &Status, process: &Path) -> bool {
        let name = status.name.as_str();
        if !ENGINES.contains(&name) {
            return true;
        }
        if self.0.len() >= MAX_ENGINES {
            return false;
        }
        let sockets = apis::descriptors(process).unwrap_or_default();
        self.0.push(Engine {
            pid,
            parent: status.parent,
            name: name.to_owned(),
            sockets: sockets.into_keys().collect(),
        });
        true
    }

    /// The processes that do what is asked at a socket; none where it is not known who does.
    pub(in crate::exposure) fn of(&self, socket: &Listening<'_>, all: &[Listening<'_>]) -> Vec<u32> {
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
}
