//! What an engine was told to do, by the command line that its program was begun with, or that of who asked it.
//!
//! Invariant: of who commits only the command line of an engine's own executable counts, and only where it is plain which word is
//! the verb; else nothing is said. No store keeps how an image came but for a pull's registry; who was at work does tell.

use crate::knowledge::Knowledge;
use crate::model::{ArrivalKind, Process};

/// The verbs of podman(1), buildah(1) and skopeo(1) that bring an image into a store.
const VERBS: &[(&str, ArrivalKind)] = &[
    ("build", ArrivalKind::Built),
    ("bud", ArrivalKind::Built),
    ("commit", ArrivalKind::Built),
    ("create", ArrivalKind::Pulled),
    ("from", ArrivalKind::Pulled),
    ("import", ArrivalKind::Imported),
    ("load", ArrivalKind::Loaded),
    ("pull", ArrivalKind::Pulled),
    ("run", ArrivalKind::Pulled),
];
/// Commands that have the verb after them.
const GROUPS: &[&str] = &["image", "container"];

/// Where `skopeo copy` can take an image from (containers-transports(5)), and what that is; its first such word is the source.
const SOURCES: &[(&str, ArrivalKind)] = &[
    ("docker://", ArrivalKind::Pulled),
    ("docker-archive:", ArrivalKind::Loaded),
    ("oci-archive:", ArrivalKind::Loaded),
    ("oci:", ArrivalKind::Loaded),
    ("dir:", ArrivalKind::Loaded),
    ("docker-daemon:", ArrivalKind::Loaded),
];

/// Verbs of those who ask a daemon for an image (docker(1), nerdctl(1), podman(1) with a remote, crictl(1), buildctl(1)).
const ASKED: &[(&str, ArrivalKind)] = &[
    ("bake", ArrivalKind::Built),
    ("build", ArrivalKind::Built),
    ("commit", ArrivalKind::Built),
    ("import", ArrivalKind::Imported),
    ("load", ArrivalKind::Loaded),
    ("pull", ArrivalKind::Pulled),
];
/// Those of ctr(8), which calls it an import when it loads.
const ASKED_BY_CTR: &[(&str, ArrivalKind)] =
    &[("import", ArrivalKind::Loaded), ("pull", ArrivalKind::Pulled)];
/// Commands of theirs that have the verb after them.
const ASKED_GROUPS: &[&str] = &[
    "builder",
    "buildx",
    "compose",
    "container",
    "i",
    "image",
    "images",
];
const CLIENTS: &[(&str, &[(&str, ArrivalKind)])] = &[
    ("buildctl", ASKED),
    ("crictl", ASKED),
    ("ctr", ASKED_BY_CTR),
    ("docker", ASKED),
    ("docker-buildx", ASKED),
    ("docker-compose", ASKED),
    ("nerdctl", ASKED),
    ("podman", ASKED),
    ("podman-remote", ASKED),
];

/// How the process brought an image, if it is an engine's and says so.
pub(super) fn of(process: &Process, knowledge: &Knowledge) -> Option<ArrivalKind> {
    let is_engine = process.exe_key.is_some_and(|exe| knowledge.is_engine(exe));
    let line = process.cmdline.as_deref().filter(|_| is_engine)?;
    // It does nothing else with images.
    let program = program(line)?;
    if program == "crio" || program == "crio-pull-image" {
        return Some(ArrivalKind::Pulled);
    }
    plain(line, VERBS, GROUPS)
}

/// What a client asked a daemon for. Whoever may ask may call their program as they like: it is their own record that they
/// colour.
pub(super) fn asked(process: &Process) -> Option<ArrivalKind> {
    let line = process.cmdline.as_deref()?;
    let program = program(line)?;
    let (_, verbs) = CLIENTS.iter().find(|(client, _)| *client == program)?;
    plain(line, verbs, ASKED_GROUPS)
}

fn program(line: &str) -> Option<&str> {
    line.split(' ').next()?.rsplit('/').next()
}

/// The first word that is a verb, where no other word may be it.
fn plain(line: &str, verbs: &[(&str, ArrivalKind)], groups: &[&str]) -> Option<ArrivalKind> {
    let mut before = "";
    let mut words = line.split(' ').skip(1);
    while let Some(word) = words.next() {
        // A word after such an option may be its value, so nothing after it is sure to be the verb but a known one.
        let may_be_value = before.starts_with('-') && !before.contains('=');
        before = word;
        if word.starts_with('-') || groups.contains(&word) {
            continue;
        }
        if word == "copy" && !may_be_value {
            return words.find_map(source);
        }
        if let Some((_, kind)) = verbs.iter().find(|(verb, _)| *verb == word) {
            return (!may_be_value).then_some(*kind);
        }
        if !may_be_value {
            return None;
        }
    }
    None
}

fn source(word: &str) -> Option<ArrivalKind> {
    let mut known = SOURCES.iter();
    known
        .find(|(transport, _)| word.starts_with(transport))
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::frames::Scene;

    #[test]
    fn the_verb_is_told_where_it_is_plain() {
        use ArrivalKind::{Built, Imported, Loaded, Pulled};
        let scene = Scene::new();
        let knowledge = scene.knowledge();
        let engine = knowledge.parts().engine_executables.first().copied();
        for (line, expected) in [
            ("podman pull -q docker.io/library/alpine", Some(Pulled)),
            (
                "podman --root /srv/graph --storage-driver overlay pull x",
                Some(Pulled),
            ),
            ("podman --root=/srv/graph image pull x", Some(Pulled)),
            ("podman run --rm alpine build", Some(Pulled)),
            ("podman load -i pull", Some(Loaded)),
            ("podman import x.tar build", Some(Imported)),
            ("buildah bud -t x .", Some(Built)),
            ("buildah commit -q 1 localhost/x", Some(Built)),
            (
                "skopeo copy --src-tls-verify=false docker://h/x containers-storage:x",
                Some(Pulled),
            ),
            (
                "skopeo copy oci-archive:/x.tar:docker containers-storage:x",
                Some(Loaded),
            ),
            ("skopeo copy", None),
            ("/usr/bin/crio --config /c", Some(Pulled)),
            ("crio-pull-image", Some(Pulled)),
            ("podman system service", None),
            ("podman tag pull load", None),
            ("podman --log-level pull", None),
            ("podman", None),
            ("", None),
        ] {
            let process = Process {
                exe_key: engine,
                cmdline: Some(line.to_owned()),
                ..Process::default()
            };
            assert_eq!(of(&process, &knowledge), expected, "{line}");
            let stranger = Process {
                exe_key: None,
                ..process
            };
            assert_eq!(of(&stranger, &knowledge), None, "{line}, by a stranger");
        }
    }

    #[test]
    fn what_a_client_asked_for_is_told_where_it_is_plain() {
        use ArrivalKind::{Built, Imported, Loaded, Pulled};
        for (line, expected) in [
            ("docker pull -q alpine", Some(Pulled)),
            ("/usr/bin/docker -H unix:///d.sock build -t x .", Some(Built)),
            ("docker --host unix:///d.sock image import x.tar", Some(Imported)),
            ("docker buildx build .", Some(Built)),
            ("docker-buildx buildx bake", Some(Built)),
            ("docker builder build .", Some(Built)),
            ("docker container commit c x", Some(Built)),
            ("docker load -i pull", Some(Loaded)),
            ("docker run --rm pull", None),
            ("docker tag build x", None),
            ("ctr -n k8s.io images import x.tar", Some(Loaded)),
            ("ctr --address /c.sock i pull x", Some(Pulled)),
            ("ctr build", None),
            ("crictl pull x", Some(Pulled)),
            ("buildctl build --output type=image", Some(Built)),
            ("python3 docker pull", None),
            ("docker", None),
            ("", None),
        ] {
            let process = Process {
                cmdline: Some(line.to_owned()),
                ..Process::default()
            };
            assert_eq!(asked(&process), expected, "{line}");
        }
    }
}
