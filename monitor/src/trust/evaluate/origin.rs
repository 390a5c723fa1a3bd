//! What is to be said of an image in a store whose engine asks no policy: whether a registry gave it, under this name or
//! another.
//!
//! Invariant: a name is no origin by itself, anybody who may tag can give one; a name with a digest is, which an engine
//! writes down when it pulls. Used by `docker` and `containerd`, which say what their stores tell of the way.

use super::super::reference::Reference;
use super::Part;
use super::parts::{part, retagged, unnamed, unusable_name};
use crate::model::{Decision, Image, Provenance};

/// An engine that runs whatever it gets.
pub(super) struct Unasking {
    /// That it does.
    pub(super) policy: &'static str,
    /// What an image without an origin is.
    pub(super) local: &'static str,
}

impl Unasking {
    /// What speaks of `image` under `name`; `of_registry` is what speaks of an origin.
    pub(super) fn parts(
        &self,
        image: &Image,
        name: Option<&str>,
        of_registry: impl Fn(&Reference) -> Vec<Part>,
    ) -> Vec<Part> {
        let named = match name.map(Reference::parse).transpose() {
            Ok(named) => named,
            Err(error) => return vec![unusable_name(&error), self.not_asked(None)],
        };
        let known = image
            .names_history
            .iter()
            .filter_map(|name| Reference::parse(name).ok());
        let origins: Vec<Reference> = known.filter(|known| known.digest().is_some()).collect();
        let is_named_so =
            |origin: &&Reference| named.as_ref().is_some_and(|named| named.name() == origin.name());
        match (origins.iter().find(is_named_so), origins.first()) {
            (Some(origin), _) => of_registry(origin),
            (None, Some(origin)) => {
                let mut parts = of_registry(origin);
                parts.push(retagged(origin, named.is_some()));
                parts
            }
            (None, None) if named.is_some() => {
                let local = Some((Provenance::Local, Decision::Accepted));
                vec![
                    part(local, "src.loaded", self.local.to_owned(), None),
                    self.not_asked(None),
                ]
            }
            (None, None) => vec![unnamed(), self.not_asked(None)],
        }
    }

    /// That nothing is asked, and what that makes of the image.
    pub(super) fn not_asked(&self, state: Option<(Provenance, Decision)>) -> Part {
        part(state, "policy.not-asked", self.policy.to_owned(), None)
    }
}
