//! `repositories.json`: which names and which registry digests stand for which image (reference/store.go of moby).
//!
//! Invariant: never panics; what stands before a damage is kept. Names are written out in full, since Docker writes
//! `alpine:3` where every other engine writes `docker.io/library/alpine:3`. Called by the reader of images.

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::super::index::{Parsed, RECORD_LIMIT, parse_by};

/// A name of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reference {
    /// `repository:tag`, or `repository@digest` for what came from a registry or went to it.
    pub(super) name: String,
    /// The image's id as `sha256:…`.
    pub(super) image: String,
}

impl Reference {
    /// The registry's digest, where it is that kind of name.
    pub(super) fn digest(&self) -> Option<&str> {
        self.name.split_once('@').map(|(_, digest)| digest)
    }
}

/// Parses the file; an empty one has no names.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Reference> {
    parse_by(bytes, |parsed, deserializer| {
        Level(parsed, Depth::File).deserialize(deserializer)
    })
}

/// A familiar name in full (`ParseNormalizedNamed`, distribution/reference).
fn full_name(familiar: &str) -> String {
    const HUB: &str = "docker.io";
    let (host, path) = match familiar.split_once('/') {
        Some((first, path)) if is_host(first) => (first, path),
        _ => (HUB, familiar),
    };
    let host = if host == "index.docker.io" { HUB } else { host };
    let library = if host == HUB && !path.contains('/') {
        "library/"
    } else {
        ""
    };
    format!("{host}/{library}{path}")
}

fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

/// How deep in the file a map stands.
#[derive(Clone, Copy)]
enum Depth {
    /// `{"Repositories": …}`.
    File,
    /// `{"<repository>": …}`.
    Repositories,
    /// `{"<name>": "<image id>"}`.
    Names,
}

struct Level<'a>(&'a mut Parsed<Reference>, Depth);

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map of names")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.1 {
                Depth::File if key == "Repositories" => {
                    map.next_value_seed(Level(self.0, Depth::Repositories))?;
                }
                Depth::File => {
                    map.next_value::<IgnoredAny>()?;
                }
                Depth::Repositories => map.next_value_seed(Level(self.0, Depth::Names))?,
                Depth::Names => {
                    let image = map.next_value()?;
                    self.take(&key, image)?;
                }
            }
        }
        Ok(())
    }
}

impl Level<'_> {
    fn take<E: serde::de::Error>(&mut self, familiar: &str, image: serde_json::Value) -> Result<(), E> {
        if self.0.records.len() == RECORD_LIMIT {
            return Err(E::custom(format_args!("more than {RECORD_LIMIT} names")));
        }
        if let serde_json::Value::String(image) = image {
            let name = full_name(familiar);
            self.0.records.push(Reference { name, image });
        } else {
            self.0.bad_records.push(format!("{familiar:?} names no image"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn familiar_names_are_written_out() {
        for (familiar, full) in [
            ("alpine:3", "docker.io/library/alpine:3"),
            ("shop/api:1", "docker.io/shop/api:1"),
            ("docker.io/alpine:3", "docker.io/library/alpine:3"),
            ("index.docker.io/a/b:1", "docker.io/a/b:1"),
            ("localhost/api:1", "localhost/api:1"),
            ("127.0.0.1:5000/api:1", "127.0.0.1:5000/api:1"),
            ("UPPER/api:1", "UPPER/api:1"),
            ("r.example/a@sha256:00", "r.example/a@sha256:00"),
            ("", "docker.io/library/"),
        ] {
            assert_eq!(full_name(familiar), full, "{familiar}");
        }
    }

    /// The names with their images, the records that were passed over, and the damage.
    fn check(text: &str, names: &[(&str, &str)], bad: &[&str], damage: Option<&str>) {
        let parsed = parse(text.as_bytes());
        let records = parsed.records.iter();
        let found: Vec<_> = records
            .map(|one| (one.name.as_str(), one.image.as_str()))
            .collect();
        assert_eq!(found, names, "{text}");
        assert_eq!(parsed.bad_records, bad, "{text}");
        assert_eq!(parsed.damage.as_deref(), damage, "{text}");
    }

    #[test]
    fn what_stands_before_a_damage_is_kept() {
        check("", &[], &[], None);
        check("null", &[], &[], None);
        check(r#"{"Repositories":null,"other":[1]}"#, &[], &[], None);
        let whole = r#"{"Repositories":{"a":{"a:1":"sha256:1"},"b":{"b:1":7,"b:2":"sha256:2"}}}"#;
        let first = ("docker.io/library/a:1", "sha256:1");
        let second = ("docker.io/library/b:2", "sha256:2");
        let bad = [r#""b:1" names no image"#];
        check(whole, &[first, second], &bad, None);
        check(
            whole.get(..50).unwrap(),
            &[first],
            &[],
            Some("EOF while parsing an object at line 1 column 50 (offset 50 of 50 bytes)"),
        );
        check(
            "[1]",
            &[],
            &[],
            Some("invalid type: sequence, expected a map of names at line 1 column 1 (offset 1 of 3 bytes)"),
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200)) {
            proptest::prop_assert!(parse(&bytes).records.len() <= bytes.len());
        }
    }
}
