//! Layouts that Docker and containerd leave, release by release.

use super::layout::{ANN, Layout, PLAIN, ROOTS_GROUP};
use crate::model::Reader;

pub(super) const LAYOUTS: &[Layout] = &[
    Layout {
        name: "Docker 20.10.3 to 20.10.8",
        steps: &[
            ("docker", 0o711, 0, 0),
            ("overlay2", 0o701, 0, 0),
            ("abc", 0o701, 0, 0),
            ("diff", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        opened: Some(("docker", Some("CVE-2021-41091"))),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "Docker from 20.10.9 on",
        steps: &[
            ("docker", 0o710, 0, 0),
            ("overlay2", 0o710, 0, 0),
            ("abc", 0o710, 0, 0),
            ("diff", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        exposed: &[ROOTS_GROUP],
        ..PLAIN
    },
    Layout {
        name: "Docker upgraded from 20.10.3 to 20.10.8, and its root opened since",
        steps: &[
            ("docker", 0o711, 0, 0),
            ("overlay2", 0o711, 0, 0),
            ("abc", 0o701, 0, 0),
            ("diff", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        opened: Some(("docker", Some("CVE-2021-41091"))),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "Docker with remapped users, which are ann's",
        steps: &[
            ("docker", 0o710, 0, 200_000),
            ("overlay2", 0o710, 0, 200_000),
            ("abc", 0o710, 0, 200_000),
            ("diff", 0o755, 200_000, 200_000),
            ("key", 0o600, 200_000, 200_000),
        ],
        exposed: &[ANN],
        ..PLAIN
    },
    Layout {
        name: "Docker, vfs",
        steps: &[
            ("docker", 0o711, 0, 0),
            ("vfs", 0o701, 0, 0),
            ("dir", 0o701, 0, 0),
            ("abc", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        beside: "image/vfs",
        opened: Some(("docker", Some("CVE-2021-41091"))),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "containerd before its fix: a blob",
        steps: &[
            ("containerd", 0o711, 0, 0),
            ("io.containerd.content.v1.content", 0o755, 0, 0),
            ("blobs", 0o755, 0, 0),
            ("sha256", 0o755, 0, 0),
            ("abc", 0o444, 0, 0),
        ],
        opened: Some(("containerd", Some("CVE-2024-25621"))),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "containerd before its fix: a snapshot",
        steps: &[
            ("containerd", 0o711, 0, 0),
            ("io.containerd.snapshotter.v1.overlayfs", 0o700, 0, 0),
            ("snapshots", 0o700, 0, 0),
            ("1", 0o700, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        ..PLAIN
    },
    Layout {
        name: "containerd before 1.4.11: a subvolume",
        steps: &[
            ("containerd", 0o711, 0, 0),
            ("io.containerd.snapshotter.v1.btrfs", 0o755, 0, 0),
            ("snapshots", 0o755, 0, 0),
            ("1", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        opened: Some(("containerd", Some("CVE-2024-25621"))),
        exposed: &[Reader::World],
        ..PLAIN
    },
    Layout {
        name: "containerd with its fix: a subvolume",
        steps: &[
            ("containerd", 0o700, 0, 0),
            ("io.containerd.snapshotter.v1.btrfs", 0o700, 0, 0),
            ("snapshots", 0o755, 0, 0),
            ("1", 0o755, 0, 0),
            ("key", 0o644, 0, 0),
        ],
        ..PLAIN
    },
];
