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
use super::parts::{chain, part, retagged, unnamed, unusable_name};
use crate::model::{Decision, Image, Provenance};

/// What speaks of `image` under `name`.
pub(super) fn parts(inputs: &TrustInputs, image: &Image, name: Option<&str>) -> Vec<Part> {
    let named = match name.map(Reference::parse).transpose() {
        Ok(named) => named,
        Err(error) => return vec![unusable_name(&error), not_asked(None)],
    };
    let known = image
        .names_history
        .iter()
        .filter_map(|name| Reference::parse(name).ok());
    let of_registry: Vec<Reference> = known.filter(|known| known.digest().is_some()).collect();
    let same_repository =
        |known: &&Reference| named.as_ref().is_some_and(|named| named.name() == known.name());
    match (of_registry.iter().find(same_repository), of_registry.first()) {
        (Some(origin), _) => of_registry_name(inputs, origin),
        (None, Some(origin)) => {
            let mut parts = of_registry_name(inputs, origin);
            parts.push(retagged(origin, named.is_some()));
            parts
        }
        (None, None) if named.is_some() => vec![
            part(
                Some((Provenance::Local, Decision::Accepted)),
                "src.loaded",
                "built, loaded or imported on this host: no registry gave its digest".to_owned(),
                None,
            ),
            not_asked(None),
        ],
        (None, None) => vec![unnamed(), not_asked(None)],
    }
}

fn of_registry_name(inputs: &TrustInputs, origin: &Reference) -> Vec<Part> {
    let mut parts = vec![not_asked(Some((Provenance::Unattested, Decision::Accepted)))];
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

fn not_asked(state: Option<(Provenance, Decision)>) -> Part {
    let detail = "Docker asks no policy: it runs whatever it can pull, load or build".to_owned();
    part(state, "policy.not-asked", detail, None)
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
