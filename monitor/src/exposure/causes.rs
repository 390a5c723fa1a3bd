//! What a directory that is too open comes from: releases of engines that made or left it so.
//!
//! Invariant: said only of the state that the release leaves, by the gate's place below the store's root (0) and its mode.
//! Used by `layouts`.

use super::way::Component;
use crate::model::Cause;

pub(super) fn unknown(_: usize, _: &Component) -> Option<Cause> {
    None
}

/// `makeAccessible` of Podman before 5.2 adds 0111 to all directories above a container's root file system.
pub(super) fn podman(level: usize, gate: &Component) -> Option<Cause> {
    (level < 2 && gate.mode & 0o777 == 0o711).then(|| Cause {
        cve: None,
        text: "Podman before 5.2 leaves it so when a container with user ids of its own starts (--uidmap, \
               --userns=auto)."
            .to_owned(),
    })
}

pub(super) fn docker(level: usize, gate: &Component) -> Option<Cause> {
    let by_release = level > 0 && gate.mode & 0o777 == 0o701;
    // Up to 20.10.8 the data root was 0711 behind closed drivers.
    (by_release || gate.mode & 0o777 == 0o711).then(|| Cause {
        cve: Some("CVE-2021-41091".to_owned()),
        text: "Docker 19.03.15 and 20.10.3 to 20.10.8 made its directories so; later releases close the upper two \
               when they start, and no layer's."
            .to_owned(),
    })
}

pub(super) fn containerd(level: usize, gate: &Component) -> Option<Cause> {
    (level == 0 && gate.mode & 0o001 != 0).then(|| Cause {
        cve: Some("CVE-2024-25621".to_owned()),
        text: "containerd before 1.7.29, 2.0.7, 2.1.5 and 2.2.0 keeps its root open; below it every blob is readable, \
               whatever modes the files in it have."
            .to_owned(),
    })
}
