//! Layouts that Podman, administrators and users leave.

use super::layout::{ANN, Layout, PLAIN, ROOTS_GROUP};
use crate::model::Reader;

pub(super) const LAYOUTS: &[Layout] = &[
    Layout {
        name: "Podman after --uidmap: an image's layer",
        steps: &[
            ("storage", 0o711, 0, 0),
            ("overlay", 0o711, 0, 0),
            ("abc", 0o700, 0, 0),
            ("diff", 0o555, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        ..PLAIN
    },
    Layout {
        name: "Podman after --uidmap: the mapped copy, in ann's range",
        steps: &[
            ("storage", 0o711, 0, 0),
            ("overlay", 0o711, 0, 0),
            ("abc", 0o700, 200_000, 200_000),
            ("diff", 0o555, 200_000, 200_000),
            ("key", 0o600, 200_000, 200_000),
        ],
        opened: Some(("storage", None)),
        exposed: &[ANN, Reader::User { uid: 200_000 }],
        ..PLAIN
    },
    Layout {
        name: "Podman after --uidmap, vfs",
        steps: &[
            ("storage", 0o711, 0, 0),
            ("vfs", 0o711, 0, 0),
            ("dir", 0o711, 200_000, 200_000),
            ("abc", 0o555, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        beside: "vfs-layers",
        opened: Some(("storage", None)),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "Podman after --uidmap, zfs",
        steps: &[
            ("storage", 0o711, 0, 0),
            ("zfs", 0o711, 0, 0),
            ("graph", 0o755, 0, 0),
            ("abc", 0o555, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        beside: "zfs-layers",
        opened: Some(("storage", None)),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "a shared additional store under force_mask=shared",
        steps: &[
            ("shared", 0o755, 0, 0),
            ("overlay", 0o755, 0, 0),
            ("abc", 0o755, 0, 0),
            ("diff", 0o755, 0, 0),
            ("shadow", 0o755, 0, 0),
        ],
        opened: Some(("shared", None)),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "Docker below a default list on /var/lib",
        steps: &[
            ("docker", 0o710, 0, 0),
            ("overlay2", 0o710, 0, 0),
            ("abc", 0o710, 0, 0),
            ("diff", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        default_list: true,
        opened: Some(("docker", None)),
        exposed: &[ROOTS_GROUP, ANN],
        ..PLAIN
    },
    Layout {
        name: "containers/storage below a default list on /var/lib",
        steps: &[
            ("storage", 0o700, 0, 0),
            ("overlay", 0o700, 0, 0),
            ("abc", 0o700, 0, 0),
            ("diff", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        default_list: true,
        ..PLAIN
    },
    Layout {
        name: "a rootless store",
        steps: &[
            ("containers", 0o700, 1000, 1000),
            ("storage", 0o700, 1000, 1000),
            ("overlay", 0o700, 1000, 1000),
            ("abc", 0o700, 1000, 1000),
            ("diff", 0o755, 1000, 1000),
            ("key", 0o600, 200_007, 200_007),
        ],
        owner: 1000,
        ..PLAIN
    },
    Layout {
        name: "a rootless store that its owner opened",
        steps: &[
            ("storage", 0o755, 1000, 1000),
            ("overlay", 0o755, 1000, 1000),
            ("abc", 0o755, 1000, 1000),
            ("diff", 0o755, 1000, 1000),
            ("key", 0o640, 1000, 50),
        ],
        owner: 1000,
        opened: Some(("storage", None)),
        exposed: &[Reader::Group { gid: 50 }],
        ..PLAIN
    },
];
