//! The frame of a policy file: default, transports, scopes, lists of requirements.
//!
//! Invariant: reads all of the file or names the first place that is wrong; nothing is skipped. A transport that is
//! not known is accepted with any scopes, as the original accepts it. Called by `Policy::parse` only.

use std::collections::BTreeMap;

use super::super::scope::validate_scope;
use super::super::strict_json::{self, Value};
use super::fields::{Fields, Place};
use super::{Policy, PolicyError, Requirement, requirement};

pub(super) fn policy(bytes: &[u8]) -> Result<Policy, PolicyError> {
    let value = strict_json::parse(bytes).map_err(|source| PolicyError::Json { source })?;
    let mut fields = Fields::of(value, Place::top())?;
    let default = fields.take("default");
    let transports = match fields.take("transports") {
        None => BTreeMap::new(),
        Some((value, place)) => transports(value, place)?,
    };
    fields.finish()?;
    let (default, place) = default.ok_or(PolicyError::NoDefault)?;
    Ok(Policy {
        default: requirements(default, &place)?,
        transports,
    })
}

type Scopes = BTreeMap<String, Vec<Requirement>>;

fn transports(value: Value, place: Place) -> Result<BTreeMap<String, Scopes>, PolicyError> {
    Fields::of(value, place)?
        .into_entries()
        .map(|(transport, value, place)| {
            let scopes = scopes(&transport, value, place)?;
            Ok((transport, scopes))
        })
        .collect()
}

fn scopes(transport: &str, value: Value, place: Place) -> Result<Scopes, PolicyError> {
    Fields::of(value, place)?
        .into_entries()
        .map(|(scope, value, place)| {
            if let Err(source) = validate_scope(transport, &scope) {
                return Err(PolicyError::InvalidScope { place, source });
            }
            let requirements = requirements(value, &place)?;
            Ok((scope, requirements))
        })
        .collect()
}

fn requirements(value: Value, place: &Place) -> Result<Vec<Requirement>, PolicyError> {
    let items = match value {
        Value::List(items) => items,
        Value::Null => Vec::new(),
        Value::Bool | Value::Number(_) | Value::Text(_) | Value::Object(_) => {
            return Err(PolicyError::WrongType {
                place: place.clone(),
                expected: "a list of requirements",
            });
        }
    };
    if items.is_empty() {
        return Err(PolicyError::EmptyRequirements { place: place.clone() });
    }
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| requirement::requirement(item, place.index(index)))
        .collect()
}
