//! What is to be said of an image in containerd's store, which asks no policy: where its blobs came from.
//!
//! Invariant: a name is no origin by itself, anybody who may tag can give one; the label on the blobs is, which containerd
//! writes when it pulls. How the registry was reached is the client's business (hosts.toml, flags) and on no disk. Used by
//! `evaluate`.

use super::Part;
use super::origin::Unasking;
use super::parts::part;
use crate::model::{Decision, Image, Provenance};

const CONTAINERD: Unasking = Unasking {
    policy: "containerd asks no policy: it runs whatever it can pull or import",
    local: "built or imported on this host: no blob of it says that it came from a registry",
};

/// What speaks of `image` under `name`.
pub(super) fn parts(image: &Image, name: Option<&str>) -> Vec<Part> {
    CONTAINERD.parts(image, name, |_| {
        let way = "how the registry was reached is not read: hosts.toml and the client's flags decide";
        vec![
            CONTAINERD.not_asked(Some((Provenance::Unattested, Decision::Accepted))),
            part(None, "reg.not-read", way.to_owned(), None),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::super::tests::{host, image};
    use crate::model::Engine;

    /// It is not asked.
    const REJECT: &str = r#"{"default":[{"type":"reject"}]}"#;

    /// The name, the repository that the blobs came from, the state, the decision, the reasons but `inv.none`.
    const ROWS: &str = "
registry.example/r:1 -                  local      accepted src.loaded policy.not-asked
registry.example/r:1 registry.example/r unattested accepted policy.not-asked reg.not-read
own.example/r:1      registry.example/r unattested accepted policy.not-asked reg.not-read src.retagged
-                    registry.example/r unattested accepted policy.not-asked reg.not-read src.retagged
-                    -                  unknown    unknown  src.unnamed policy.not-asked
No@Name              -                  unknown    unknown  src.name-invalid policy.not-asked
";

    #[test]
    fn no_policy_is_asked_and_only_what_the_blobs_say_is_an_origin() {
        let inputs = host(&[("/etc/containers/policy.json", REJECT)]);
        let text = |word: &str| (word != "-").then(|| word.to_owned());
        for row in ROWS.lines().skip(1) {
            let words: Vec<&str> = row.split_whitespace().collect();
            let [name, repository, state, decision, codes @ ..] = words.as_slice() else {
                panic!("{row}")
            };
            let (name, repository) = (text(name), text(repository));
            let names: Vec<&str> = name.iter().map(String::as_str).collect();
            let from = repository.map(|repository| format!("{repository}@sha256:{}", "ab".repeat(32)));
            let history: Vec<&str> = from.iter().map(String::as_str).collect();
            let verdict = evaluate(
                &inputs,
                Engine::Containerd,
                &image(&names, &history),
                name.as_deref(),
            );
            let decided = serde_json::to_value(verdict.decision).unwrap();
            let mut reasons: Vec<_> = verdict
                .reasons
                .iter()
                .map(|reason| reason.code.as_str())
                .collect();
            let mut expected: Vec<_> = codes.iter().copied().chain(["inv.none"]).collect();
            reasons.sort_unstable();
            expected.sort_unstable();
            assert_eq!(
                (verdict.provenance.as_str(), decided.as_str().unwrap(), reasons),
                (*state, *decision, expected),
                "{row}"
            );
        }
    }
}
