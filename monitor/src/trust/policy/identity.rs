//! `signedIdentity`: what the name inside a signature must be.
//!
//! Invariant: a value that exists can be matched against; references are parsed, and a remap prefix is a registry or
//! a repository of one. Read by `requirement`, for `signedBy`, `sigstoreSigned` and `signedBaseLayer`.

use super::super::reference::{Reference, is_domain, is_path_component};
use super::super::strict_json::Value;
use super::fields::{Fields, Place};
use super::{PolicyError, SignedIdentity};

/// Reads the object of `signedIdentity` or `baseLayerIdentity`.
pub(super) fn identity(value: Value, place: Place) -> Result<SignedIdentity, PolicyError> {
    let mut fields = Fields::of(value, place)?;
    let kind = fields.text("type")?.unwrap_or_default();
    let identity = match kind.as_str() {
        "matchExact" => SignedIdentity::MatchExact,
        "matchRepoDigestOrExact" => SignedIdentity::MatchRepoDigestOrExact,
        "matchRepository" => SignedIdentity::MatchRepository,
        "exactReference" => SignedIdentity::ExactReference(exact_reference(&mut fields)?),
        "exactRepository" => SignedIdentity::ExactRepository(reference(&mut fields, "dockerRepository")?),
        "remapIdentity" => SignedIdentity::RemapIdentity {
            prefix: remap_prefix(&mut fields, "prefix")?,
            signed_prefix: remap_prefix(&mut fields, "signedPrefix")?,
        },
        _ => {
            return Err(PolicyError::UnknownType {
                place: fields.place().clone(),
                found: kind,
            });
        }
    };
    fields.finish()?;
    Ok(identity)
}

fn reference(fields: &mut Fields, key: &'static str) -> Result<Reference, PolicyError> {
    let place = fields.place().key(key);
    Reference::parse(&fields.required_text(key)?).map_err(|source| PolicyError::Reference { place, source })
}

fn exact_reference(fields: &mut Fields) -> Result<Reference, PolicyError> {
    let reference = reference(fields, "dockerReference")?;
    if reference.is_name_only() {
        return Err(PolicyError::Options {
            place: fields.place().key("dockerReference"),
            rule: "dockerReference contains neither a tag nor digest",
        });
    }
    Ok(reference)
}

fn remap_prefix(fields: &mut Fields, key: &'static str) -> Result<String, PolicyError> {
    let prefix = fields.required_text(key)?;
    let is_repository = prefix
        .split_once('/')
        .is_some_and(|(domain, path)| is_domain(domain) && path.split('/').all(is_path_component));
    if is_domain(&prefix) || is_repository {
        Ok(prefix)
    } else {
        Err(PolicyError::Options {
            place: fields.place().key(key),
            rule: "prefix is not valid",
        })
    }
}
