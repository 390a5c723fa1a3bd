//! One requirement of a policy with the rules of its options.
//!
//! Invariant: a [`Requirement`] that exists has exactly the options that the engines demand of it. The rules differ
//! between `signedBy`, which counts options that are present, and `sigstoreSigned`, which counts those with a value;
//! both are kept as they are. Read by `read`.

use super::super::strict_json::Value;
use super::fields::{Fields, Place};
use super::identity::identity;
use super::{
    KeySource, KeyType, PolicyError, Requirement, SignedBy, SignedIdentity, SigstoreAuthority, SigstoreSigned,
};

/// Reads one item of a requirement list.
pub(super) fn requirement(value: Value, place: Place) -> Result<Requirement, PolicyError> {
    let mut fields = Fields::of(value, place)?;
    let kind = fields.text("type")?.unwrap_or_default();
    let requirement = match kind.as_str() {
        "insecureAcceptAnything" => Requirement::InsecureAcceptAnything,
        "reject" => Requirement::Reject,
        "signedBy" => Requirement::SignedBy(signed_by(&mut fields)?),
        "signedBaseLayer" => Requirement::SignedBaseLayer(base_layer(&mut fields)?),
        "sigstoreSigned" => Requirement::SigstoreSigned(sigstore_signed(&mut fields)?),
        _ => {
            return Err(PolicyError::UnknownType {
                place: fields.place().clone(),
                found: kind,
            });
        }
    };
    fields.finish()?;
    Ok(requirement)
}

fn broken(fields: &Fields, rule: &'static str) -> PolicyError {
    PolicyError::Options {
        place: fields.place().clone(),
        rule,
    }
}

fn base_layer(fields: &mut Fields) -> Result<SignedIdentity, PolicyError> {
    let (value, place) = fields
        .take("baseLayerIdentity")
        .ok_or_else(|| PolicyError::MissingKey {
            place: fields.place().clone(),
            key: "baseLayerIdentity",
        })?;
    identity(value, place)
}

fn signed_identity(fields: &mut Fields) -> Result<SignedIdentity, PolicyError> {
    fields
        .take("signedIdentity")
        .map_or(Ok(SignedIdentity::MatchRepoDigestOrExact), |(value, place)| {
            identity(value, place)
        })
}

fn signed_by(fields: &mut Fields) -> Result<SignedBy, PolicyError> {
    let present = ["keyPath", "keyPaths", "keyData"]
        .iter()
        .filter(|key| fields.has(key))
        .count();
    let key_type = key_type(fields)?;
    let path = fields.text("keyPath")?.filter(|path| !path.is_empty());
    let sources = [
        path.map(KeySource::Path),
        fields.texts("keyPaths")?.map(KeySource::Paths),
        fields.bytes("keyData")?.map(KeySource::Inline),
    ];
    let identity = signed_identity(fields)?;
    let keys = (present == 1)
        .then(|| sources.into_iter().flatten().next())
        .flatten()
        .ok_or_else(|| {
            broken(
                fields,
                "Exactly one of keyPath, keyPaths and keyData must be specified",
            )
        })?;
    Ok(SignedBy {
        key_type,
        keys,
        identity,
    })
}

fn key_type(fields: &mut Fields) -> Result<KeyType, PolicyError> {
    match fields.text("keyType")?.unwrap_or_default().as_str() {
        "GPGKeys" => Ok(KeyType::GpgKeys),
        "signedByGPGKeys" => Ok(KeyType::SignedByGpgKeys),
        "X509Certificates" => Ok(KeyType::X509Certificates),
        "signedByX509CAs" => Ok(KeyType::SignedByX509Cas),
        _ => Err(broken(fields, "invalid keyType")),
    }
}

fn sigstore_signed(fields: &mut Fields) -> Result<SigstoreSigned, PolicyError> {
    let mut authorities: Vec<SigstoreAuthority> =
        key_sources(fields, ["keyPath", "keyPaths", "keyData", "keyDatas"])?
            .into_iter()
            .map(SigstoreAuthority::Keys)
            .collect();
    if let Some((value, place)) = fields.take("fulcio") {
        authorities.push(fulcio(Fields::of(value, place)?)?);
    }
    if let Some((value, place)) = fields.take("pki") {
        authorities.push(pki(Fields::of(value, place)?)?);
    }
    let rekor_keys = [
        "rekorPublicKeyPath",
        "rekorPublicKeyPaths",
        "rekorPublicKeyData",
        "rekorPublicKeyDatas",
    ];
    let mut rekor = key_sources(fields, rekor_keys)?;
    let identity = signed_identity(fields)?;
    let authority = authorities
        .pop()
        .filter(|_| authorities.is_empty())
        .ok_or_else(|| {
            broken(
                fields,
                "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio, and pki must be specified",
            )
        })?;
    let rule = match (&authority, rekor.len()) {
        (_, 2..) => Some("at most one rekorPublicKey option can be used"),
        (SigstoreAuthority::Fulcio { .. }, 0) => {
            Some("a rekorPublicKey option must be specified if fulcio is used")
        }
        (SigstoreAuthority::Pki { .. }, 1) => Some("rekorPublicKey options are not supported for pki"),
        (_, _) => None,
    };
    match rule {
        Some(rule) => Err(broken(fields, rule)),
        None => Ok(SigstoreSigned {
            authority,
            rekor: rekor.pop(),
            identity,
        }),
    }
}

/// The sources that have a value, of the four kinds a source can have: path, paths, data, datas.
fn key_sources(
    fields: &mut Fields,
    [path, paths, data, datas]: [&'static str; 4],
) -> Result<Vec<KeySource>, PolicyError> {
    let lists_present = [paths, datas].map(|key| fields.has(key));
    let path = fields.text(path)?.filter(|path| !path.is_empty());
    let paths = fields.texts(paths)?.filter(|list| !list.is_empty());
    let data = fields.bytes(data)?;
    let datas = fields.bytes_list(datas)?.filter(|list| !list.is_empty());
    if lists_present != [paths.is_some(), datas.is_some()] {
        return Err(broken(fields, "a list of keys contains no entries"));
    }
    Ok([
        path.map(KeySource::Path),
        paths.map(KeySource::Paths),
        data.map(KeySource::Inline),
        datas.map(KeySource::Inlines),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// One certificate source of the two kinds it can have, or none.
fn certificates(
    fields: &mut Fields,
    path: &'static str,
    data: &'static str,
) -> Result<Option<KeySource>, PolicyError> {
    let path = fields.text(path)?.filter(|path| !path.is_empty());
    match (path, fields.bytes(data)?) {
        (Some(_), Some(_)) => Err(broken(
            fields,
            "path and data of certificates cannot be used simultaneously",
        )),
        (Some(path), None) => Ok(Some(KeySource::Path(path))),
        (None, data) => Ok(data.map(KeySource::Inline)),
    }
}

fn fulcio(mut fields: Fields) -> Result<SigstoreAuthority, PolicyError> {
    let ca = certificates(&mut fields, "caPath", "caData")?;
    let issuer = fields.text("oidcIssuer")?.filter(|text| !text.is_empty());
    let email = fields.text("subjectEmail")?.filter(|text| !text.is_empty());
    let authority = match (ca, issuer, email) {
        (Some(ca), Some(oidc_issuer), Some(subject_email)) => SigstoreAuthority::Fulcio {
            ca,
            oidc_issuer,
            subject_email,
        },
        (None, _, _) => {
            return Err(broken(
                &fields,
                "At least one of caPath and caData must be specified",
            ));
        }
        (_, None, _) => return Err(broken(&fields, "oidcIssuer not specified")),
        (_, _, None) => return Err(broken(&fields, "subjectEmail not specified")),
    };
    fields.finish()?;
    Ok(authority)
}

fn pki(mut fields: Fields) -> Result<SigstoreAuthority, PolicyError> {
    let roots = certificates(&mut fields, "caRootsPath", "caRootsData")?;
    let intermediates = certificates(&mut fields, "caIntermediatesPath", "caIntermediatesData")?;
    let subject_email = fields.text("subjectEmail")?.filter(|text| !text.is_empty());
    let subject_hostname = fields.text("subjectHostname")?.filter(|text| !text.is_empty());
    let Some(roots) = roots else {
        return Err(broken(
            &fields,
            "At least one of caRootsPath and caRootsData must be specified",
        ));
    };
    if subject_email.is_none() && subject_hostname.is_none() {
        return Err(broken(
            &fields,
            "At least one of subjectEmail, subjectHostname must be specified",
        ));
    }
    fields.finish()?;
    Ok(SigstoreAuthority::Pki {
        roots,
        intermediates,
        subject_email,
        subject_hostname,
    })
}
