//! What is to be said of an image in Docker's own store, which asks no policy: where its names came from, and how the
//! registry is reached.
//!
//! Invariant: a name is no origin by itself, for Docker writes `docker.io/library/app` for what was built here as `app`;
//! only the digest that a registry gave with a pull, or got with a push, is. Used by `evaluate`.

use std::path::Path;

use super::super::docker::{Connection, DockerRegistries, FILE};
use super::super::inputs::TrustInputs;
use super::super::reference::Reference;
use super::Part;
use super::origin::Unasking;
use super::parts::{chain, part};
use crate::model::{Decision, Image, Provenance};

const DOCKER: Unasking = Unasking {
    policy: "Docker asks no policy: it runs whatever it can pull, load or build",
    local: "built, loaded or imported on this host: no registry gave its digest",
};

/// What speaks of `image` under `name`.
pub(super) fn parts(inputs: &TrustInputs, image: &Image, name: Option<&str>) -> Vec<Part> {
    DOCKER.parts(image, name, |origin| of_registry_name(inputs, origin))
}

fn of_registry_name(inputs: &TrustInputs, origin: &Reference) -> Vec<Part> {
    let mut parts = vec![DOCKER.not_asked(Some((Provenance::Unattested, Decision::Accepted)))];
    match &inputs.docker {
        Ok(registries) => parts.extend(of_connections(registries, origin.domain())),
        Err(error) => parts.push(part(
            Some((Provenance::Unknown, Decision::Accepted)),
            "reg.invalid",
            chain(error),
            Some((Path::new(FILE), None)),
        )),
    }
    parts
}

fn of_connections(registries: &DockerRegistries, domain: &str) -> Vec<Part> {
    let primary = of_connection(
        registries,
        &registries.connection(domain),
        "reg.insecure",
        &format!("the registry {domain:?}"),
    );
    let mirrors = registries.mirrors(domain);
    let mirrors = mirrors.iter().filter_map(|(mirror, connection)| {
        of_connection(
            registries,
            connection,
            "reg.mirror",
            &format!("the mirror {mirror:?}"),
        )
    });
    primary.into_iter().chain(mirrors).collect()
}

fn of_connection(
    registries: &DockerRegistries,
    connection: &Connection,
    code: &str,
    what: &str,
) -> Option<Part> {
    let (provenance, code, detail, rule) = match connection {
        Connection::Verified => return None,
        Connection::Insecure(rule) => {
            let detail = format!("{what} is insecure: TLS is not verified, or plain HTTP is used");
            (Provenance::WeakPath, code, detail, rule)
        }
        Connection::Unresolved(rule) => {
            let detail = format!("{what} may be in a network that is insecure; its address is not looked up");
            (Provenance::Unknown, "reg.cidr-unresolvable", detail, rule)
        }
    };
    let evidence = Some((registries.file.as_path(), Some(format!("insecure by {rule:?}"))));
    Some(part(
        Some((provenance, Decision::Accepted)),
        code,
        detail,
        evidence,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::super::tests::{host, image};
    use crate::model::{Decision, Engine, Provenance};

    const DAEMON: &str =
        r#"{"insecure-registries":["weak.example","10.0.0.0/8"],"registry-mirrors":["http://m.example"]}"#;
    /// It is not asked.
    const REJECT: &str = r#"{"default":[{"type":"reject"}]}"#;

    /// The name, the repository that a registry gave a digest for, the state, the decision, the reasons but `inv.none`.
    const ROWS: &str = "
registry.example/r:1     -                   local      accepted src.loaded policy.not-asked
docker.io/library/app:1  -                   local      accepted src.loaded policy.not-asked
11.1.1.1:5/r:1           11.1.1.1:5/r        unattested accepted policy.not-asked
11.1.1.1:5/other:1       11.1.1.1:5/r        unattested accepted policy.not-asked src.retagged
weak.example/r:1         weak.example/r      weak-path  accepted reg.insecure policy.not-asked
127.0.0.1:5/r:1          127.0.0.1:5/r       weak-path  accepted reg.insecure policy.not-asked
registry.example/r:1     registry.example/r  unknown    accepted reg.cidr-unresolvable policy.not-asked
docker.io/library/a:1    docker.io/library/a weak-path  accepted reg.mirror policy.not-asked
localhost/own:1          weak.example/r      weak-path  accepted reg.insecure policy.not-asked src.retagged
-                        weak.example/r      weak-path  accepted reg.insecure policy.not-asked src.retagged
-                        -                   unknown    unknown  src.unnamed policy.not-asked
No@Name                  -                   unknown    unknown  src.name-invalid policy.not-asked
";

    #[test]
    fn no_policy_is_asked_and_only_a_registrys_digest_is_an_origin() {
        let inputs = host(&[
            ("/etc/docker/daemon.json", DAEMON),
            ("/etc/containers/policy.json", REJECT),
        ]);
        let text = |word: &str| (word != "-").then(|| word.to_owned());
        for row in ROWS.lines().skip(1) {
            let words: Vec<&str> = row.split_whitespace().collect();
            let [name, repository, state, decision, codes @ ..] = words.as_slice() else {
                panic!("{row}")
            };
            let (name, repository) = (text(name), text(repository));
            let by_digest = repository.map(|repository| format!("{repository}@sha256:{}", "ab".repeat(32)));
            let names: Vec<&str> = name.iter().map(String::as_str).collect();
            let history: Vec<&str> = by_digest.iter().map(String::as_str).collect();
            let verdict = evaluate(&inputs, Engine::Docker, &image(&names, &history), name.as_deref());
            let decided = serde_json::to_value(verdict.decision).unwrap();
            let reasons: Vec<_> = verdict
                .reasons
                .iter()
                .map(|reason| reason.code.as_str())
                .collect();
            let expected: Vec<_> = codes.iter().copied().chain(["inv.none"]).collect();
            assert_eq!(
                (verdict.provenance.as_str(), decided.as_str().unwrap(), reasons),
                (*state, *decision, expected),
                "{row}"
            );
        }
    }

    #[test]
    fn a_configuration_that_the_daemon_refuses_is_named() {
        let inputs = host(&[("/etc/docker/daemon.json", "{")]);
        let name = format!("registry.example/r@sha256:{}", "ab".repeat(32));
        let verdict = evaluate(&inputs, Engine::Docker, &image(&[&name], &[&name]), Some(&name));
        let reason = &verdict.reasons[0];
        assert_eq!(
            (verdict.provenance, verdict.decision, reason.code.as_str()),
            (Provenance::Unknown, Decision::Accepted, "reg.invalid")
        );
        let file = &reason.evidence.as_ref().unwrap().file;
        assert_eq!(file.to_str(), Some("/etc/docker/daemon.json"));
    }
}
