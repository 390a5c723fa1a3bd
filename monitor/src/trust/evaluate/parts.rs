//! What the policy, the registries configuration and the name each say about an image.
//!
//! Invariant: each part carries its evidence; the order of parts means nothing. Used by `evaluate`.

use std::path::Path;

use super::super::inputs::{PolicyInput, RegistriesInput, TrustInputs};
use super::super::policy::{Applicable, Outcome, PolicyError};
use super::super::reference::{Reference, ReferenceError};
use super::super::registries::{Registries, Registry};
use super::super::scope::ImageIdentity;
use super::Part;
use crate::bounded::BoundedError;
use crate::model::{Decision, Evidence, Provenance, Reason};

pub(super) fn part(
    state: Option<(Provenance, Decision)>,
    code: &str,
    detail: String,
    evidence: Option<(&Path, Option<String>)>,
) -> Part {
    Part {
        provenance: state.map(|(provenance, _)| provenance),
        decision: state.map(|(_, decision)| decision),
        reason: Reason {
            code: code.to_owned(),
            detail,
            evidence: evidence.map(|(file, place)| Evidence {
                file: file.to_owned(),
                place,
            }),
        },
    }
}

/// The message of an error with those of its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string())
        .chain(causes.map(ToString::to_string))
        .collect::<Vec<_>>()
        .join(": ")
}

/// An image that has a registry's name.
pub(super) fn of_registry_name(inputs: &TrustInputs, reference: &Reference) -> Vec<Part> {
    let policy = match applicable(inputs, reference) {
        Ok(applicable) => of_requirements(inputs, &applicable),
        Err(part) => part,
    };
    let accepted = policy.decision == Some(Decision::Accepted);
    let mut parts = vec![policy];
    match &inputs.registries {
        RegistriesInput::Valid(registries) => parts.extend(of_registry(registries, reference, accepted)),
        RegistriesInput::Invalid(error) => parts.push(part(
            Some((Provenance::Unknown, Decision::Unknown)),
            "reg.invalid",
            chain(error),
            Some((&error.file, None)),
        )),
    }
    parts
}

/// An image that was built, loaded or imported here: the engines never ask the policy about it.
///
/// So only an entry that speaks of `localhost` changes its state; what the policy says of names it does not list is
/// reported as the decision alone.
pub(super) fn of_local_name(inputs: &TrustInputs, reference: &Reference) -> Vec<Part> {
    let (mut policy, is_listed) = match applicable(inputs, reference) {
        Ok(applicable) => (
            of_requirements(inputs, &applicable),
            applicable.scope.is_some_and(|scope| !scope.is_empty()),
        ),
        Err(part) => (part, true),
    };
    if !is_listed || policy.decision == Some(Decision::Accepted) {
        policy.provenance = None;
    }
    let local = part(
        Some((Provenance::Local, Decision::Accepted)),
        "src.loaded",
        "built, loaded or imported on this host".to_owned(),
        None,
    );
    vec![local, policy]
}

/// An image that has and had no name of a registry, nor any other now.
pub(super) fn of_no_name(inputs: &TrustInputs) -> Vec<Part> {
    let mut parts = vec![unnamed()];
    parts.extend(policy_fault(inputs));
    parts
}

pub(super) fn unnamed() -> Part {
    part(
        Some((Provenance::Unknown, Decision::Unknown)),
        "src.unnamed",
        "the image has no name to judge it under".to_owned(),
        None,
    )
}

pub(super) fn unusable_name(error: &ReferenceError) -> Part {
    part(
        Some((Provenance::Unknown, Decision::Unknown)),
        "src.name-invalid",
        chain(error),
        None,
    )
}

pub(super) fn retagged(origin: &Reference, has_name: bool) -> Part {
    let now = if has_name {
        "now has a local name"
    } else {
        "has no name now"
    };
    part(
        None,
        "src.retagged",
        format!("the image {now}; it is judged as {origin}, which the store has or had for it"),
        None,
    )
}

/// A policy of root's own, which root's engines use instead of the system's.
pub(super) fn overridden(inputs: &TrustInputs) -> Option<Part> {
    inputs.overriding_policy.as_deref().map(|file| {
        part(
            None,
            "policy.user-override",
            "root's engines use this policy instead of the system's; the verdict does not".to_owned(),
            Some((file, None)),
        )
    })
}

/// The requirements for a name, or the part that says why there are none.
fn applicable<'a>(inputs: &'a TrustInputs, reference: &Reference) -> Result<Applicable<'a>, Part> {
    if let Some(fault) = policy_fault(inputs) {
        return Err(fault);
    }
    let asked = reference.clone().without_redundant_tag().with_default_tag();
    match (&inputs.policy, ImageIdentity::docker(&asked)) {
        (PolicyInput::Valid(policy), Ok(identity)) => Ok(policy.requirements_for(&identity)),
        (PolicyInput::Valid(_), Err(error)) => Err(part(
            Some((Provenance::Unknown, Decision::Unknown)),
            "src.name-invalid",
            chain(&error),
            None,
        )),
        (PolicyInput::Missing | PolicyInput::Invalid(_) | PolicyInput::Unreadable(_), _) => {
            Err(missing(inputs))
        }
    }
}

fn policy_fault(inputs: &TrustInputs) -> Option<Part> {
    match &inputs.policy {
        PolicyInput::Valid(_) => None,
        PolicyInput::Missing => Some(missing(inputs)),
        PolicyInput::Invalid(error) => Some(invalid(inputs, error)),
        PolicyInput::Unreadable(error) => Some(unreadable(inputs, error)),
    }
}

fn missing(inputs: &TrustInputs) -> Part {
    part(
        Some((Provenance::Unknown, Decision::Unknown)),
        "policy.missing",
        "there is no policy file".to_owned(),
        Some((&inputs.policy_file, None)),
    )
}

fn invalid(inputs: &TrustInputs, error: &PolicyError) -> Part {
    part(
        Some((Provenance::Unknown, Decision::InvalidPolicy)),
        "policy.invalid",
        chain(error),
        Some((&inputs.policy_file, Some(error.place()))),
    )
}

fn unreadable(inputs: &TrustInputs, error: &BoundedError) -> Part {
    part(
        Some((Provenance::Unknown, Decision::Unknown)),
        "policy.unreadable",
        chain(error),
        Some((&inputs.policy_file, None)),
    )
}

fn of_requirements(inputs: &TrustInputs, applicable: &Applicable<'_>) -> Part {
    let outcome = Outcome::of(applicable.requirements);
    let scope = match applicable.scope {
        None => "the policy's default".to_owned(),
        Some("") => "the transport's default".to_owned(),
        Some(scope) => format!("the policy's scope {scope:?}"),
    };
    let (index, provenance, decision, code, what) = match outcome {
        Outcome::Accepted => (
            0,
            Provenance::Unattested,
            Decision::Accepted,
            "policy.accept-anything",
            "accepts anything",
        ),
        Outcome::Rejected(index) => (
            index,
            Provenance::Violates,
            Decision::Rejected,
            "policy.reject",
            "rejects it",
        ),
        Outcome::Unimplemented(index) => (
            index,
            Provenance::Violates,
            Decision::Rejected,
            "policy.unimplemented",
            "has a requirement that the engines always reject",
        ),
        Outcome::NeedsSignature(index) => (
            index,
            Provenance::Unknown,
            Decision::Unknown,
            "sig.not-evaluated",
            "requires a signature, and signatures are not evaluated yet",
        ),
    };
    let place = applicable.place.index(index).to_string();
    part(
        Some((provenance, decision)),
        code,
        format!("{scope} {what}"),
        Some((&inputs.policy_file, Some(place))),
    )
}

/// What the matching `[[registry]]` table says, if one matches.
///
/// The engines ask for `blocked` once more by the physical name of each place that they fetch from, and by nothing else
/// (measured with skopeo 1.9.3). So a mirror makes a blocked registry reachable, which is how administrators force its
/// use; and a blocked table whose location is elsewhere blocks nothing: that is told, and violates what was meant.
fn of_registry(registries: &Registries, reference: &Reference, accepted: bool) -> Vec<Part> {
    let Some(registry) = registries.find(reference) else {
        return Vec::new();
    };
    let asked = reference.clone().without_redundant_tag().with_default_tag();
    let mut parts = Vec::new();
    let mut blocks = Vec::new();
    let mut reachable = Vec::new();
    for endpoint in registry.endpoints_for(&asked) {
        match registry.physical(endpoint, &asked) {
            Ok(physical) => match registries.find(&physical).filter(|table| table.blocked) {
                Some(table) => blocks.push(table),
                None => reachable.push(endpoint),
            },
            Err(error) => parts.push(of_table(
                registry,
                Some((Provenance::Unknown, Decision::Unknown)),
                "reg.invalid",
                &format!("leads to a name that is none: {}", chain(&error)),
            )),
        }
    }
    let uses_mirror = reachable.iter().any(|endpoint| **endpoint != registry.primary);
    match blocks.first() {
        Some(table) if reachable.is_empty() => {
            let state = Some((Provenance::Violates, Decision::Rejected));
            parts.push(of_table(table, state, "reg.blocked", "is blocked"));
        }
        _ if registry.blocked && !uses_mirror => {
            let detail = "is blocked, which the engines do not enforce since its location is elsewhere";
            let state = Some((Provenance::Violates, Decision::Accepted));
            parts.push(of_table(registry, state, "reg.blocked", detail));
        }
        _ => {}
    }
    let weak = accepted.then_some((Provenance::WeakPath, Decision::Accepted));
    for endpoint in reachable.into_iter().filter(|endpoint| endpoint.insecure) {
        if *endpoint == registry.primary {
            let detail = "is insecure: TLS is not verified and plain HTTP is tried";
            parts.push(of_table(registry, weak, "reg.insecure", detail));
        } else {
            let detail = format!("has an insecure mirror, {:?}", endpoint.location);
            parts.push(of_table(registry, weak, "reg.mirror", &detail));
        }
    }
    parts
}

fn of_table(registry: &Registry, state: Option<(Provenance, Decision)>, code: &str, detail: &str) -> Part {
    let evidence = (
        registry.file.as_path(),
        Some(format!("registry prefix {:?}", registry.prefix)),
    );
    part(
        state,
        code,
        format!("the registry {:?} {detail}", registry.prefix),
        Some(evidence),
    )
}
