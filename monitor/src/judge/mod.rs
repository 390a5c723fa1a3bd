//! Whom an access counts for, and whether it is fine.
//!
//! Invariant: pure, and proved: a sanction rests on the kernel's credentials, superblocks and namespaces and on
//! executable inodes, never on a process name. A record with unreadable fields is never sanctioned for being root, for
//! a field that could not be read is 0. Called by the event plane (subject) and by `correlate` (sanction).

#[cfg(test)]
mod tests;

use crate::knowledge::{HostFacts, Knowledge};
use crate::model::{Access, Actor, Attribution, Credentials, Sanction, Sighting, Subject, Via};

/// The credentials that say who asked: the task's subjective ones on a direct open; inside an overlay those are the
/// mounter's, so there it is the objective ones (`override_creds` changes `cred` alone).
fn credentials(access: &Access) -> &Credentials {
    match access.via {
        Via::Direct => &access.effective,
        Via::Overlay => &access.real,
    }
}

/// The user id that an access counts for.
///
/// `fsuid` is what the kernel checks a file's mode with. Where that is root's and the task's own is not, the task borrows
/// root's rights, as a ring's personality lends them: it counts for the task, which gets the content. Through an overlay it is the outer open's; where that was not
/// carried, the task's own, which `setfsuid` and `seteuid` change in both credential sets.
pub fn subject_uid(access: &Access) -> u32 {
    match access.via {
        Via::Direct if access.effective.fsuid == 0 => access.real.fsuid,
        Via::Direct => access.effective.fsuid,
        Via::Overlay => access.outer_fsuid.unwrap_or(access.real.fsuid),
    }
}

/// Whom an access counts for; `user` is the host's name for [`subject_uid`].
pub fn subject(access: &Access, actor: &Actor, user: Option<String>, host: &HostFacts) -> Subject {
    let uid = subject_uid(access);
    Subject {
        uid,
        user,
        loginuid: (access.loginuid != u32::MAX).then_some(access.loginuid),
        host_root: uid == 0 && !access.incomplete && in_host(access, actor, host),
    }
}

/// Whether the process is one of the host's own: in its user namespace and outside container cgroups.
///
/// Where procfs came too late to see the cgroup, only the host's own mount namespace proves it.
fn in_host(access: &Access, actor: &Actor, host: &HostFacts) -> bool {
    let outside_containers = actor.container.is_none()
        && (actor.cgroup.is_some() || host.mount_namespace == Some(access.mount_namespace));
    credentials(access).user_namespace_level == 0 && outside_containers
}

/// Why an access is fine, if it is; `attribution` is absent while the layer is unknown.
pub fn sanction(
    sighting: &Sighting,
    attribution: Option<&Attribution>,
    knowledge: &Knowledge,
) -> Option<Sanction> {
    let owner = attribution.map(|attribution| attribution.store_owner_uid);
    if is_agent(sighting, knowledge.host()) {
        Some(Sanction::Agent)
    } else if is_engine_at_work(sighting, knowledge) {
        Some(Sanction::EngineAtWork)
    } else if sighting.subject.host_root {
        Some(Sanction::HostRoot)
    } else if is_own_root(&sighting.access, owner, knowledge.host())
        || is_own_device(&sighting.access, attribution, knowledge)
    {
        Some(Sanction::OwnRootFileSystem)
    } else if is_own_store(sighting, owner) {
        Some(Sanction::OwnStore)
    } else {
        None
    }
}

/// The agent or a child of it that runs its executable; a user who starts the same program is not the agent.
fn is_agent(sighting: &Sighting, host: &HostFacts) -> bool {
    let Some(agent) = host.agent else { return false };
    let actor = &sighting.actor;
    let descends = actor.process.pid == agent.pid || actor.ancestors.iter().any(|one| one.pid == agent.pid);
    actor.process.exe_key == Some(agent.exe) && descends
}

/// Host root's own credentials (which an engine keeps while it borrows a user's `fsuid`) in a process that runs an
/// engine's executable, or that one has started: unpackers are the engine re-executed, decompressors its children.
fn is_engine_at_work(sighting: &Sighting, knowledge: &Knowledge) -> bool {
    let (access, actor) = (&sighting.access, &sighting.actor);
    let is_root = !access.incomplete && access.real.uid == 0 && in_host(access, actor, knowledge.host());
    let mut lineage = std::iter::once(&actor.process).chain(&actor.ancestors);
    is_root && lineage.any(|process| process.exe_key.is_some_and(|exe| knowledge.is_engine(exe)))
}

/// Through the overlay that is the process's own root, mounted by host root or by the store's owner.
///
/// Uid 0 alone is not host root: a container's root is uid 0 too, and in a user namespace of its own it may mount an
/// overlay of anything it can read. Inside an overlay the subjective credentials are the mounter's and tell.
/// Not where the host's own root is that overlay: then every process of the host would pass.
fn is_own_root(access: &Access, owner: Option<u32>, host: &HostFacts) -> bool {
    let Some(overlay) = access.outer_device else {
        return false;
    };
    let own =
        access.via == Via::Overlay && overlay == access.root_device && host.root_device != Some(overlay);
    let mounted_by_owner = match access.mounter_uid {
        Some(0) => access.effective.user_namespace_level == 0,
        mounter => mounter.is_some() && mounter == owner,
    };
    own && mounted_by_owner && !access.incomplete
}

/// On the thin device or dataset that is the process's own root: devicemapper and zfs give each container one, without an
/// overlay.
///
/// Level 0 of the user namespaces, since anybody may take a directory for their root in a namespace of their own.
fn is_own_device(access: &Access, attribution: Option<&Attribution>, knowledge: &Knowledge) -> bool {
    let layer = attribution.and_then(|attribution| attribution.layer.as_ref());
    let store = layer.and_then(|layer| knowledge.store(&layer.store));
    let has_devices = store.is_some_and(|store| store.driver.mounts_layers());
    let own = access.file.dev == access.root_device && knowledge.host().root_device != Some(access.file.dev);
    has_devices && own && access.real.user_namespace_level == 0 && !access.incomplete
}

/// The owner of a rootless store, or a process in a user namespace they made: rootless containers run as sub-uids.
fn is_own_store(sighting: &Sighting, owner: Option<u32>) -> bool {
    let Some(owner) = owner.filter(|uid| *uid != 0) else {
        return false;
    };
    let credentials = credentials(&sighting.access);
    let in_own_namespace = credentials.user_namespace_level > 0 && credentials.user_namespace_owner == owner;
    sighting.subject.uid == owner || in_own_namespace
}
