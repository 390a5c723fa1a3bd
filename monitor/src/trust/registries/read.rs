//! One file of the registries configuration, both versions of the format.
//!
//! Invariant: as lenient and as strict as the original: keys it does not know are skipped and key names match in any
//! case, but a wrong type, a scheme in a location or contradicting tables make the file invalid. Called by `Registries`.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::super::reference::{Reference, is_domain};
use super::{Endpoint, MirrorUse, RegistriesFault, Registry};

/// The tables of a file by prefix; the first of equal prefixes stays.
pub(super) fn tables(
    bytes: &[u8],
    file: &Path,
    is_drop_in: bool,
) -> Result<BTreeMap<String, Registry>, RegistriesFault> {
    let text = std::str::from_utf8(bytes).map_err(|error| RegistriesFault::Syntax {
        line: line_of(bytes, error.valid_up_to()),
    })?;
    let table: Table = toml::from_str(text).map_err(|error| RegistriesFault::Syntax {
        line: line_of(bytes, error.span().map_or(0, |span| span.start)),
    })?;
    let old = version_1(&table, file)?;
    let registries = match old {
        Some(_) if is_drop_in => return Err(RegistriesFault::DropInV1),
        Some(_) if has_version_2(&table) => return Err(RegistriesFault::Mixed),
        Some(registries) => registries,
        None => version_2(&table, file)?,
    };
    refuse_conflicts(&registries)?;
    validate_names(&table)?;
    let mut by_prefix = BTreeMap::new();
    for registry in registries {
        if registry.prefix.starts_with("*.") && registry.prefix.contains(['/', '@', ':']) {
            return Err(RegistriesFault::Wildcard {
                prefix: registry.prefix,
            });
        }
        by_prefix.entry(registry.prefix.clone()).or_insert(registry);
    }
    Ok(by_prefix)
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

/// A key's value; the original's decoder falls back to the key in another case.
fn field<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    table.get(key).or_else(|| {
        table
            .iter()
            .find_map(|(name, value)| name.eq_ignore_ascii_case(key).then_some(value))
    })
}

fn text(table: &Table, key: &'static str) -> Result<String, RegistriesFault> {
    field(table, key).map_or(Ok(String::new()), |value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or(RegistriesFault::WrongType {
                key,
                expected: "a string",
            })
    })
}

fn flag(table: &Table, key: &'static str) -> Result<bool, RegistriesFault> {
    field(table, key).map_or(Ok(false), |value| {
        value.as_bool().ok_or(RegistriesFault::WrongType {
            key,
            expected: "true or false",
        })
    })
}

fn texts(table: &Table, key: &'static str) -> Result<Option<Vec<String>>, RegistriesFault> {
    let wrong = || RegistriesFault::WrongType {
        key,
        expected: "a list of strings",
    };
    field(table, key)
        .map(|value| {
            let items = value.as_array().ok_or_else(wrong)?;
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect()
        })
        .transpose()
}

fn inner_tables<'a>(table: &'a Table, key: &'static str) -> Result<Vec<&'a Table>, RegistriesFault> {
    let wrong = || RegistriesFault::WrongType {
        key,
        expected: "a list of tables",
    };
    field(table, key).map_or(Ok(Vec::new()), |value| {
        let items = value.as_array().ok_or_else(wrong)?;
        items
            .iter()
            .map(|item| item.as_table().ok_or_else(wrong))
            .collect()
    })
}

fn inner_table<'a>(table: &'a Table, key: &'static str) -> Result<Option<&'a Table>, RegistriesFault> {
    field(table, key)
        .map(|value| {
            value.as_table().ok_or(RegistriesFault::WrongType {
                key,
                expected: "a table",
            })
        })
        .transpose()
}

/// Without trailing slashes; a scheme is refused.
fn location(text: &str) -> Result<String, RegistriesFault> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
        return Err(RegistriesFault::Scheme {
            location: trimmed.to_owned(),
        });
    }
    Ok(trimmed.to_owned())
}

fn has_version_2(table: &Table) -> bool {
    let keys = [
        "registry",
        "unqualified-search-registries",
        "credential-helpers",
        "short-name-mode",
        "additional-layer-store-auth-helper",
        "aliases",
    ];
    keys.iter()
        .any(|key| field(table, key).is_some_and(|value| value.as_str() != Some("")))
}

/// The tables that a file of the first version stands for; `None` where the file has none of its keys.
fn version_1(table: &Table, file: &Path) -> Result<Option<Vec<Registry>>, RegistriesFault> {
    let Some(section) = inner_table(table, "registries")? else {
        return Ok(None);
    };
    let list = |key| inner_table(section, key)?.map_or(Ok(None), |table| texts(table, "registries"));
    let (search, insecure, block) = (list("search")?, list("insecure")?, list("block")?);
    if search.is_none() && insecure.is_none() && block.is_none() {
        return Ok(None);
    }
    let mut registries: Vec<Registry> = Vec::new();
    let settings = [(block, true), (insecure, false)];
    for (name, blocks) in settings.into_iter().flat_map(|(list, blocks)| {
        list.unwrap_or_default()
            .into_iter()
            .map(move |name| (name, blocks))
    }) {
        let name = location(&name)?;
        let known = registries.iter().position(|registry| registry.prefix == name);
        let index = known.unwrap_or(registries.len());
        if known.is_none() {
            registries.push(plain_registry(name, file)?);
        }
        if let Some(registry) = registries.get_mut(index) {
            registry.blocked |= blocks;
            registry.primary.insecure |= !blocks;
        }
    }
    for name in search.unwrap_or_default() {
        search_registry(&name)?;
    }
    Ok(Some(registries))
}

fn plain_registry(name: String, file: &Path) -> Result<Registry, RegistriesFault> {
    if name.is_empty() {
        return Err(RegistriesFault::Condition {
            rule: "both location and prefix are unset",
        });
    }
    Ok(Registry {
        prefix: name.clone(),
        primary: Endpoint {
            location: name,
            insecure: false,
            pull_from_mirror: MirrorUse::All,
        },
        mirrors: Vec::new(),
        blocked: false,
        mirror_by_digest_only: false,
        file: file.to_owned(),
    })
}

fn version_2(table: &Table, file: &Path) -> Result<Vec<Registry>, RegistriesFault> {
    inner_tables(table, "registry")?
        .into_iter()
        .map(|table| registry(table, file))
        .collect()
}

fn registry(table: &Table, file: &Path) -> Result<Registry, RegistriesFault> {
    let condition = |rule| Err(RegistriesFault::Condition { rule });
    let at = location(&text(table, "location")?)?;
    let written = text(table, "prefix")?;
    let prefix = match (written.is_empty(), at.is_empty()) {
        (true, true) => return condition("both location and prefix are unset"),
        (true, false) => at.clone(),
        (false, _) => location(&written)?,
    };
    if at.is_empty() && !prefix.starts_with("*.") {
        return condition("location is unset and prefix is not in the format: *.example.com");
    }
    if !text(table, "pull-from-mirror")?.is_empty() {
        return condition("pull-from-mirror must not be set for a non-mirror registry");
    }
    let mirror_by_digest_only = flag(table, "mirror-by-digest-only")?;
    let mirrors = inner_tables(table, "mirror")?
        .into_iter()
        .map(|table| mirror(table, mirror_by_digest_only))
        .collect::<Result<_, _>>()?;
    Ok(Registry {
        prefix,
        primary: Endpoint {
            location: at,
            insecure: flag(table, "insecure")?,
            pull_from_mirror: MirrorUse::All,
        },
        mirrors,
        blocked: flag(table, "blocked")?,
        mirror_by_digest_only,
        file: file.to_owned(),
    })
}

fn mirror(table: &Table, mirror_by_digest_only: bool) -> Result<Endpoint, RegistriesFault> {
    let at = location(&text(table, "location")?)?;
    let usage = text(table, "pull-from-mirror")?;
    if at.is_empty() {
        return Err(RegistriesFault::Condition {
            rule: "mirror location is unset",
        });
    }
    if mirror_by_digest_only && !usage.is_empty() {
        return Err(RegistriesFault::Condition {
            rule: "mirror-by-digest-only and pull-from-mirror cannot be set at the same time",
        });
    }
    let pull_from_mirror = match usage.as_str() {
        "" | "all" => MirrorUse::All,
        "digest-only" => MirrorUse::DigestOnly,
        "tag-only" => MirrorUse::TagOnly,
        _ => {
            return Err(RegistriesFault::UnknownValue {
                key: "pull-from-mirror",
                value: usage,
            });
        }
    };
    Ok(Endpoint {
        location: at,
        insecure: flag(table, "insecure")?,
        pull_from_mirror,
    })
}

/// Tables of one location, or of one wildcard without a location, must agree.
fn refuse_conflicts(registries: &[Registry]) -> Result<(), RegistriesFault> {
    let mut seen: BTreeMap<&str, &Registry> = BTreeMap::new();
    for registry in registries {
        let location = registry.primary.location.as_str();
        let key = if location.is_empty() {
            registry.prefix.as_str()
        } else {
            location
        };
        let first = *seen.entry(key).or_insert(registry);
        let settings = [
            ("insecure", first.primary.insecure != registry.primary.insecure),
            ("blocked", first.blocked != registry.blocked),
        ];
        if let Some((setting, _)) = settings.into_iter().find(|(_, differ)| *differ) {
            return Err(RegistriesFault::Conflict {
                location: key.to_owned(),
                setting,
            });
        }
    }
    Ok(())
}

/// The keys that no verdict needs and that can make a file invalid all the same.
fn validate_names(table: &Table) -> Result<(), RegistriesFault> {
    for name in texts(table, "unqualified-search-registries")?.unwrap_or_default() {
        search_registry(&name)?;
    }
    texts(table, "credential-helpers")?;
    let mode = text(table, "short-name-mode")?;
    if !matches!(mode.as_str(), "" | "disabled" | "enforcing" | "permissive") {
        return Err(RegistriesFault::UnknownValue {
            key: "short-name-mode",
            value: mode,
        });
    }
    let Some(aliases) = inner_table(table, "aliases")? else {
        return Ok(());
    };
    for (name, value) in aliases {
        let value = value.as_str().ok_or(RegistriesFault::WrongType {
            key: "aliases",
            expected: "a string",
        })?;
        if !is_short_name(name) || !(value.is_empty() || is_full_repository(value)) {
            return Err(RegistriesFault::Alias { alias: name.clone() });
        }
    }
    Ok(())
}

fn search_registry(name: &str) -> Result<(), RegistriesFault> {
    let name = location(name)?;
    if is_domain(&name) {
        Ok(())
    } else {
        Err(RegistriesFault::UnknownValue {
            key: "unqualified-search-registries",
            value: name,
        })
    }
}

/// A name whose first component, if there are several, is no registry; without tag and digest.
fn is_short_name(name: &str) -> bool {
    let names_registry = name
        .split_once('/')
        .is_some_and(|(first, _)| first == "localhost" || (first.contains(['.', ':']) && is_domain(first)));
    !names_registry && Reference::parse(name).is_ok_and(|reference| reference.is_name_only())
}

/// A repository that names its registry; without tag and digest.
fn is_full_repository(value: &str) -> bool {
    let names_registry = value
        .split_once('/')
        .is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']));
    names_registry
        && Reference::parse(value)
            .is_ok_and(|reference| reference.is_name_only() && !reference.domain().is_empty())
}
