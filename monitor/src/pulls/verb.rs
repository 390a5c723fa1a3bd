//! What an engine was told to do, by the command line that its program was begun with.
//!
//! Invariant: only the command line of an engine's own executable counts, and only where it is plain which word is the
//! verb; else nothing is said. containers/storage does not keep how an image came; who committed it does tell.

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

/// How the process brought an image, if it is an engine's and says so.
pub(super) fn of(process: &Process, knowledge: &Knowledge) -> Option<ArrivalKind> {
    let is_engine = process.exe_key.is_some_and(|exe| knowledge.is_engine(exe));
    let line = process.cmdline.as_deref().filter(|_| is_engine)?;
    // It does nothing else with images.
    let program = line.split(' ').next()?.rsplit('/').next()?;
    if program == "crio" || program == "crio-pull-image" {
        return Some(ArrivalKind::Pulled);
    }
    let mut before = "";
    let mut words = line.split(' ').skip(1);
    while let Some(word) = words.next() {
        // A word after such an option may be its value, so nothing after it is sure to be the verb but a known one.
        let may_be_value = before.starts_with('-') && !before.contains('=');
        before = word;
        if word.starts_with('-') || GROUPS.contains(&word) {
            continue;
        }
        if word == "copy" && !may_be_value {
            return words.find_map(source);
        }
        if let Some((_, kind)) = VERBS.iter().find(|(verb, _)| *verb == word) {
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
}
