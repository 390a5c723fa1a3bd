//! The verdict on one image under one name.
//!
//! Invariant: pure; every state has at least one reason with the file and the place that says so, the decisive reason
//! first. A stored image is judged as if it were pulled again under its name (`docker://NAME`), as CRI-O judges one.
//! Called for every cached image and name when the inputs or the catalog change.

mod containerd;
mod docker;
mod origin;
mod parts;
#[cfg(test)]
mod tests;

use super::inputs::TrustInputs;
use super::reference::Reference;
use crate::model::{Decision, Engine, Grade, Image, Provenance, Reason, TrustReport, Verdict};

/// The registry name that engines give to what was built or loaded here.
const LOCALHOST: &str = "localhost";

/// Judges `image` of an engine's store under `name`, or under no name where it has none.
///
/// Docker and containerd ask no policy; what follows is about the others.
///
/// A name of `localhost/` is no origin: where the store knows another name, of a registry, that one is judged, since
/// anybody who may tag an image could else make it look built here. The same holds for an image without a name.
pub fn evaluate(inputs: &TrustInputs, engine: Engine, image: &Image, name: Option<&str>) -> Verdict {
    match engine {
        Engine::Docker => return verdict(name, docker::parts(inputs, image, name)),
        Engine::Containerd | Engine::BuildKit => return verdict(name, containerd::parts(image, name)),
        Engine::ContainersStorage | Engine::CriO => {}
    }
    let mut parts = match name.map(Reference::parse) {
        Some(Ok(reference)) if reference.domain() != LOCALHOST => parts::of_registry_name(inputs, &reference),
        Some(Err(error)) => vec![parts::unusable_name(&error)],
        named => match (origin(image), named) {
            (Some(origin), named) => {
                let mut parts = parts::of_registry_name(inputs, &origin);
                parts.push(parts::retagged(&origin, named.is_some()));
                parts
            }
            (None, Some(Ok(local))) => parts::of_local_name(inputs, &local),
            (None, _) => parts::of_no_name(inputs),
        },
    };
    parts.extend(parts::overridden(inputs));
    verdict(name, parts)
}

/// One thing found out, and what it alone would make of the image.
struct Part {
    /// Absent where it explains and changes nothing.
    provenance: Option<Provenance>,
    decision: Option<Decision>,
    reason: Reason,
}

/// The worst of the parts on each axis; what decides the state stands first.
fn verdict(name: Option<&str>, mut parts: Vec<Part>) -> Verdict {
    parts.sort_by_key(|part| part.provenance.map_or(u8::MAX, |provenance| provenance as u8));
    let provenance = parts.iter().filter_map(|part| part.provenance).min();
    let decision = parts
        .iter()
        .filter_map(|part| part.decision)
        .max_by_key(|&decision| gravity(decision));
    let mut reasons: Vec<Reason> = parts.into_iter().map(|part| part.reason).collect();
    reasons.push(Reason {
        code: "inv.none".to_owned(),
        detail: "quality is not evaluated yet".to_owned(),
        evidence: None,
    });
    Verdict {
        name: name.map(str::to_owned),
        provenance: provenance.unwrap_or(Provenance::Unknown),
        quality: Grade::Unknown,
        decision: decision.unwrap_or(Decision::Unknown),
        reasons,
    }
}

/// Which of two decisions stands: an engine that refuses everything, then one that refuses this, then nobody knows.
fn gravity(decision: Decision) -> u8 {
    match decision {
        Decision::Accepted => 0,
        Decision::Unknown => 1,
        Decision::Rejected => 2,
        Decision::InvalidPolicy => 3,
    }
}

/// The newest name of a registry that the store has or had for the image.
fn origin(image: &Image) -> Option<Reference> {
    image
        .names
        .iter()
        .chain(&image.names_history)
        .filter_map(|name| Reference::parse(name).ok())
        .find(|reference| reference.domain() != LOCALHOST)
}

/// The worst provenance and the worst quality among verdicts, each for itself; `None` without a verdict.
pub fn worst<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Option<TrustReport> {
    verdicts
        .into_iter()
        .map(|verdict| TrustReport {
            provenance: verdict.provenance,
            quality: verdict.quality,
        })
        .reduce(|a, b| TrustReport {
            provenance: a.provenance.min(b.provenance),
            quality: if badness(b.quality) > badness(a.quality) {
                b.quality
            } else {
                a.quality
            },
        })
}

/// Unknown is worse than every grade but the last: it must not look good, nor hide what is known to be bad.
fn badness(grade: Grade) -> u8 {
    match grade {
        Grade::A => 0,
        Grade::B => 1,
        Grade::C => 2,
        Grade::D => 3,
        Grade::E => 4,
        Grade::Unknown => 5,
        Grade::F => 6,
    }
}
