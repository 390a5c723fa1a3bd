//! What of a host decides who can read, beside the modes of one path; and the answer for a path.
//!
//! Invariant: one value is one moment, looked at once and used for all paths of a snapshot. Made by the knowledge task
//! and by the commands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::bypasses::{self, Open};
use super::gates::{self, shell_quoted};
use super::look::{Looker, Wanted};
use super::mounts::Mounts;
use super::people::{People, Person};
use super::processes::Processes;
use super::readers::readers_of;
use super::strangers::counts;
use super::way::{Component, Way};
use crate::bounded;
use crate::catalog::{Catalog, Host};
use crate::model::text::printable;
use crate::model::{Bypass, Cause, EngineSocket, Exposure, Gate, Means, Reader, Store, StoreId};

/// More ways past the modes than anybody reads about.
const MAX_BYPASSES: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct Surroundings {
    looker: Looker,
    mounts: Mounts,
    pub(super) people: People,
    engine_sockets: Vec<EngineSocket>,
    pub(super) sockets: Vec<Open>,
    capabilities: Vec<Open>,
    devices: Vec<(StoreId, Open)>,
    security_modules: Vec<String>,
    is_cut: bool,
}

/// To whom a path belongs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whose<'a> {
    /// The store; absent for a path of none.
    pub store: Option<&'a Store>,
    /// The path below the layer that it is in, to find it in an overlay above.
    pub in_layer: Option<&'a Path>,
}

impl<'a> Whose<'a> {
    /// A path of a store that is in no layer.
    pub fn store(store: Option<&'a Store>) -> Self {
        Self {
            store,
            in_layer: None,
        }
    }
}

/// What opens a way that is not the path's own.
struct Opening {
    gate: Option<Gate>,
    remedy: Option<String>,
    cause: Option<Cause>,
}

impl Surroundings {
    /// Looks at a host; `engines` are the roots of the engines that run.
    pub fn look(host: &Host, catalog: &Catalog, processes: &Processes, engines: &[PathBuf]) -> Self {
        let looker = Looker::new(host);
        let beside = bypasses::socket_host(host, engines).map(|host| Looker::new(&host));
        let at_sockets = beside.as_ref().unwrap_or(&looker);
        let engine_sockets = bypasses::engine_sockets(at_sockets);
        let roots = catalog.stores.iter().map(|store| store.root.as_path());
        Self {
            mounts: Mounts::look(&looker, processes, roots),
            people: People::read(host, &processes.users),
            sockets: {
                let mut sockets = bypasses::sockets(at_sockets, &engine_sockets);
                sockets.extend(bypasses::apis(&processes.apis));
                sockets
            },
            engine_sockets,
            capabilities: bypasses::capabilities(&looker, processes),
            devices: bypasses::devices(&looker, &catalog.raw_devices),
            security_modules: security_modules(host),
            is_cut: processes.is_cut,
            looker,
        }
    }

    /// The sockets at which engines serve now.
    pub fn engine_sockets(&self) -> &[EngineSocket] {
        &self.engine_sockets
    }

    /// Who besides root can read `path` (as this process sees it); for a directory, who can enter it.
    ///
    /// Links are followed as the host follows them. Paths in the answer are the host's.
    pub fn of(&self, path: &Path, whose: Whose<'_>) -> Exposure {
        let owner = whose.store.map_or(0, |store| store.owner_uid);
        let way = self.looker.walk(path, Wanted::Read);
        let found = readers_of(&way);
        let is_world = found.readers.contains(&Reader::World);
        let closed_by = if is_world {
            None
        } else {
            way.first_closed_to_world()
        };
        let opened = gates::opened_by(self.looker.host(), &way, &found.readers, owner);
        let mut openings = Vec::new();
        let mut bypasses = self.past_the_modes(whose, owner, &mut openings);
        bypasses.extend(self.by_mounts(path, whose, &found.readers, &mut openings));
        bypasses.extend(self.by_taking_on(&way, &found.readers));
        bypasses.sort();
        bypasses.dedup();
        let exposed_to = self.exposed_to(&found.readers, &bypasses, &way, owner);
        // What the path itself does not explain, something else does.
        let by_path = opened.is_some() || exposed_to.iter().any(|reader| found.readers.contains(reader));
        let other = openings.into_iter().find(|_| !by_path && !exposed_to.is_empty());
        let (opened_by, remedy, cause) = match (opened, other) {
            (Some(opened), _) => (Some(opened.gate), Some(opened.remedy), opened.cause),
            (None, Some(other)) => (other.gate, other.remedy, other.cause),
            (None, None) => (None, None, None),
        };
        let mut uncertain: Vec<String> = way.uncertain.iter().cloned().chain(found.combinations).collect();
        if self.is_cut {
            uncertain.push("there are more processes than were looked at".to_owned());
        }
        bypasses.truncate(MAX_BYPASSES);
        Exposure {
            closed_by: closed_by.map(Component::gate),
            security_modules: if exposed_to.is_empty() {
                Vec::new()
            } else {
                self.security_modules.clone()
            },
            readers: found.readers,
            excepted: found.excepted,
            opened_by,
            remedy,
            uncertain,
            bypasses,
            exposed_to,
            cause,
        }
    }

    /// Sockets, devices and capabilities.
    fn past_the_modes(&self, whose: Whose<'_>, owner: u32, openings: &mut Vec<Opening>) -> Vec<Bypass> {
        let Some(store) = whose.store else {
            return Vec::new();
        };
        let sockets = self
            .sockets
            .iter()
            .filter(|open| open.owner_uid == 0 || open.owner_uid == owner);
        let devices = self
            .devices
            .iter()
            .filter(|(of, _)| *of == store.id)
            .map(|(_, open)| open);
        let all = sockets.chain(devices).chain(&self.capabilities);
        let mut found = Vec::new();
        for open in all {
            if open.bypass.by != Means::Capability && counts(&open.bypass) {
                openings.push(Opening {
                    gate: open.gate.clone(),
                    remedy: open.remedy.clone(),
                    cause: bypasses::cause(&open.bypass),
                });
            }
            found.push(open.bypass.clone());
        }
        found
    }

    /// Mounts on the host and in other namespaces, for those whom the path itself stops.
    fn by_mounts(
        &self,
        path: &Path,
        whose: Whose<'_>,
        readers: &[Reader],
        openings: &mut Vec<Opening>,
    ) -> Vec<Bypass> {
        let mut found = Vec::new();
        if readers.contains(&Reader::World) {
            return found;
        }
        for other in self.mounts.others(&self.looker, path, whose.in_layer) {
            for reader in readers_of(&other.way).readers {
                if readers.contains(&reader) {
                    continue;
                }
                let gate = other.way.components.iter().find(|one| one.path == other.point);
                openings.push(Opening {
                    gate: gate.map(Component::gate),
                    remedy: Some(format!("umount {}", shell_quoted(&other.point))),
                    cause: None,
                });
                found.push(Bypass {
                    reader,
                    by: Means::Mount,
                    via: printable(other.point.as_os_str().as_encoded_bytes()).to_string(),
                    root_equivalent: false,
                });
            }
        }
        let inside = self.mounts.inside(path).into_iter();
        found.extend(inside.map(|(uid, at)| Bypass {
            reader: Reader::User { uid },
            by: Means::Namespace,
            via: printable(at.as_bytes()).to_string(),
            root_equivalent: false,
        }));
        found
    }

    /// Users who get through by ids that they may take on.
    fn by_taking_on(&self, way: &Way, readers: &[Reader]) -> Vec<Bypass> {
        if readers.contains(&Reader::World) {
            return Vec::new();
        }
        let without = |person: &Person| {
            let mut subject = person.subject();
            subject.takes_on = None;
            way.admits(&subject)
        };
        let admitted = self.people.admitted(way).filter(|person| !without(person));
        let found: BTreeSet<u32> = admitted.map(|person| person.uid).collect();
        let file = |uid| Bypass {
            reader: Reader::User { uid },
            by: Means::SubordinateId,
            via: "/etc/subuid, /etc/subgid".to_owned(),
            root_equivalent: false,
        };
        found.into_iter().map(file).collect()
    }
}

/// The active security modules that restrict by more than modes.
fn security_modules(host: &Host) -> Vec<String> {
    const LIMIT: u64 = 4096;
    let listed = bounded::read(&host.path("/sys/kernel/security/lsm"), LIMIT).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let mut found: Vec<String> = listed
        .trim()
        .split(',')
        .filter(|name| ["selinux", "apparmor", "smack", "tomoyo"].contains(name))
        .map(ToOwned::to_owned)
        .collect();
    // Without securityfs SELinux still tells.
    if found.is_empty() && host.path("/sys/fs/selinux/enforce").exists() {
        found.push("selinux".to_owned());
    }
    found
}
