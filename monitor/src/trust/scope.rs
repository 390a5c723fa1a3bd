//! Under which names a policy looks up an image, by transport, and which scopes a policy may have at all.
//!
//! Invariant: the scopes of an [`ImageIdentity`] come in the order in which the engines look, the most specific first
//! and the transport's own default last. The rules are those of containers-policy.json(5), "Supported transports and
//! their scopes", as the engines implement them. Used by `policy` and `evaluate`.

use super::reference::Reference;
use crate::model::Digest;

/// Why a scope can never match an image of its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeFault {
    /// It must be an absolute path.
    #[error("a scope of this transport is an absolute path")]
    NotAbsolute,
    /// `/` would mean the same as the transport's default.
    #[error("a scope of this transport cannot be \"/\": use the default scope \"\"")]
    Root,
    /// It has `.`, `..`, doubled or trailing slashes.
    #[error("a scope of this transport is a path in its shortest form")]
    NotCanonical,
    /// The transport has no scopes but the default one.
    #[error("this transport supports no scope but the default one, \"\"")]
    NoScopes,
    /// It must begin with `[driver@graphroot]` or `[graphroot]`.
    #[error("a scope of this transport begins with [driver@graphroot] or [graphroot]")]
    NoStore,
    /// The part after `@` is neither a digest nor an image id.
    #[error("a scope of this transport ends with a digest or an image id, if it has an \"@\"")]
    NotAnId,
    /// It is a digest, which has no namespaces.
    #[error("a digest cannot be a scope")]
    IsDigest,
    /// It is not `host/namespace/stream:tag` or a beginning of it.
    #[error("a scope of this transport is host/namespace/stream:tag or a part of it")]
    NotAStream,
}

/// Why a reference cannot be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The docker transport refuses a reference with both a tag and a digest.
    #[error("a reference with both a tag and a digest cannot be looked up")]
    TagAndDigest,
    /// The docker transport needs one of them.
    #[error("a reference with neither a tag nor a digest cannot be looked up")]
    NameOnly,
}

/// What a policy knows an image by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageIdentity {
    transport: &'static str,
    scopes: Vec<String>,
}

impl ImageIdentity {
    /// An image of a registry, `docker://REFERENCE`: the reference, its repository, each namespace above, the registry,
    /// then wildcards for the registry's parent domains.
    pub fn docker(reference: &Reference) -> Result<Self, IdentityError> {
        match (reference.tag(), reference.digest()) {
            (Some(_), Some(_)) => return Err(IdentityError::TagAndDigest),
            (None, None) => return Err(IdentityError::NameOnly),
            (Some(_), None) | (None, Some(_)) => {}
        }
        let mut scopes = vec![reference.to_string()];
        let name = reference.name();
        let parents: Vec<&str> = parents_by_slash(&name).collect();
        let registry = parents.last().copied().unwrap_or_default();
        scopes.extend(parents.iter().map(|&parent| parent.to_owned()));
        // Up to the first colon, as the original cuts it: an IPv6 address has no dots and so no wildcards either way.
        let mut host = registry.split(':').next().unwrap_or_default();
        while let Some((_, parent)) = host.split_once('.') {
            scopes.push(format!("*.{parent}"));
            host = parent;
        }
        Ok(Self {
            transport: "docker",
            scopes,
        })
    }

    /// An image in a local store, `containers-storage:[DRIVER@ROOT]REFERENCE@ID`.
    pub fn containers_storage(
        driver: &str,
        graph_root: &str,
        reference: Option<&Reference>,
        id: Option<&str>,
    ) -> Self {
        let store = format!("[{driver}@{graph_root}]");
        let named = reference.map(ToString::to_string).unwrap_or_default();
        let mut scopes = Vec::new();
        match id {
            Some(id) => scopes.push(format!("{store}{named}@{id}")),
            None => scopes.push(format!("{store}{named}")),
        }
        if let Some(reference) = reference {
            if id.is_some() {
                scopes.push(format!("{store}{named}"));
            }
            if let (Some(tag), Some(_)) = (reference.tag(), reference.digest()) {
                scopes.push(format!("{store}{}:{tag}", reference.name()));
            }
            scopes.extend(parents_by_slash(&reference.name()).map(|parent| format!("{store}{parent}")));
        }
        scopes.push(store);
        scopes.push(format!("[{graph_root}]"));
        Self {
            transport: "containers-storage",
            scopes,
        }
    }

    /// An image in a directory, `dir:PATH`; `path` is absolute and free of symbolic links.
    pub fn directory(path: &str) -> Self {
        Self {
            transport: "dir",
            scopes: parents_by_slash(path)
                .filter(|parent| !parent.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The transport's name in a policy.
    pub fn transport(&self) -> &'static str {
        self.transport
    }

    /// The scopes in the order of lookup, the transport's default `""` last.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(String::as_str).chain([""])
    }
}

/// The text itself, then without its last component, and so on until no slash is left.
fn parents_by_slash(text: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(text), |text| text.rsplit_once('/').map(|(parent, _)| parent))
}

/// Whether a policy may have the scope for the transport; the default `""` always, and anything for a transport that
/// checks nothing, such as `docker`, or that nobody knows.
pub(crate) fn validate_scope(transport: &str, scope: &str) -> Result<(), ScopeFault> {
    if scope.is_empty() {
        return Ok(());
    }
    match transport {
        "dir" | "oci" | "oci-archive" | "sif" => validate_path(scope),
        "docker-archive" | "tarball" => Err(ScopeFault::NoScopes),
        "docker-daemon" if Digest::parse(scope).is_ok() => Err(ScopeFault::IsDigest),
        "atomic" => validate_stream(scope),
        "containers-storage" => validate_store(scope),
        _ => Ok(()),
    }
}

fn validate_path(scope: &str) -> Result<(), ScopeFault> {
    if !scope.starts_with('/') {
        return Err(ScopeFault::NotAbsolute);
    }
    if scope == "/" {
        return Err(ScopeFault::Root);
    }
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    if scope.split('/').skip(1).all(is_plain) {
        Ok(())
    } else {
        Err(ScopeFault::NotCanonical)
    }
}

fn validate_stream(scope: &str) -> Result<(), ScopeFault> {
    let mut parts = scope.split('/').skip(1);
    let namespace = parts.next().unwrap_or_default();
    let stream = parts.next().unwrap_or_default();
    if parts.next().is_none() && !namespace.contains(':') && stream.matches(':').count() <= 1 {
        Ok(())
    } else {
        Err(ScopeFault::NotAStream)
    }
}

fn validate_store(scope: &str) -> Result<(), ScopeFault> {
    let (store, name) = scope
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .ok_or(ScopeFault::NoStore)?;
    let root = match store.split_once('@') {
        Some(("", _) | (_, "")) => return Err(ScopeFault::NoStore),
        Some((_, root)) => root,
        None if store.is_empty() => return Err(ScopeFault::NoStore),
        None => store,
    };
    if !root.starts_with('/') {
        return Err(ScopeFault::NotAbsolute);
    }
    let is_digest = |text: &str| Digest::parse(text).is_ok();
    let is_id = |text: &str| is_digest(&format!("sha256:{text}"));
    let parts: Vec<&str> = name.splitn(3, '@').collect();
    match parts.as_slice() {
        [_, id] if !is_id(id) && !is_digest(id) => Err(ScopeFault::NotAnId),
        [_, digest, id] if !is_digest(digest) || !is_id(id) => Err(ScopeFault::NotAnId),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(text: &str) -> Vec<String> {
        let reference = Reference::parse(text).unwrap();
        let identity = ImageIdentity::docker(&reference).unwrap();
        identity.scopes().map(str::to_owned).collect()
    }

    #[test]
    fn a_registry_image_is_looked_up_from_its_name_to_wildcards() {
        for (text, scopes) in [
            (
                "yet.another.example.com:8443/ns/repo:1",
                &[
                    "yet.another.example.com:8443/ns/repo:1",
                    "yet.another.example.com:8443/ns/repo",
                    "yet.another.example.com:8443/ns",
                    "yet.another.example.com:8443",
                    "*.another.example.com",
                    "*.example.com",
                    "*.com",
                    "",
                ][..],
            ),
            (
                "busybox:latest",
                &[
                    "docker.io/library/busybox:latest",
                    "docker.io/library/busybox",
                    "docker.io/library",
                    "docker.io",
                    "*.io",
                    "",
                ],
            ),
            (
                "localhost/app:1",
                &["localhost/app:1", "localhost/app", "localhost", ""],
            ),
            (
                "[2001:db8::1]:5000/r:1",
                &[
                    "[2001:db8::1]:5000/r:1",
                    "[2001:db8::1]:5000/r",
                    "[2001:db8::1]:5000",
                    "",
                ],
            ),
        ] {
            assert_eq!(docker(text), scopes, "{text}");
        }
    }

    #[test]
    fn a_registry_image_needs_one_of_tag_and_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("busybox".to_owned(), Err(IdentityError::NameOnly)),
            (format!("busybox:1@{digest}"), Err(IdentityError::TagAndDigest)),
            (
                "busybox:1".to_owned(),
                Ok("docker.io/library/busybox:1".to_owned()),
            ),
            (
                format!("busybox@{digest}"),
                Ok(format!("docker.io/library/busybox@{digest}")),
            ),
        ] {
            let identity = ImageIdentity::docker(&Reference::parse(&text).unwrap());
            let first = identity.map(|identity| identity.scopes().next().unwrap().to_owned());
            assert_eq!(first, expected, "{text}");
        }
    }

    #[test]
    fn a_stored_image_is_looked_up_with_its_store() {
        let (digest, id) = (format!("sha256:{}", "a".repeat(64)), "b".repeat(64));
        let reference = Reference::parse(&format!("example.com/ns/r:1@{digest}")).unwrap();
        let identity = ImageIdentity::containers_storage("overlay", "/s", Some(&reference), Some(&id));
        assert_eq!(
            identity.scopes().collect::<Vec<_>>(),
            [
                &format!("[overlay@/s]example.com/ns/r:1@{digest}@{id}"),
                &format!("[overlay@/s]example.com/ns/r:1@{digest}"),
                "[overlay@/s]example.com/ns/r:1",
                "[overlay@/s]example.com/ns/r",
                "[overlay@/s]example.com/ns",
                "[overlay@/s]example.com",
                "[overlay@/s]",
                "[/s]",
                ""
            ]
        );
        let unnamed = ImageIdentity::containers_storage("vfs", "/s", None, Some(&id));
        assert_eq!(
            unnamed.scopes().collect::<Vec<_>>(),
            [&format!("[vfs@/s]@{id}"), "[vfs@/s]", "[/s]", ""]
        );
    }

    #[test]
    fn a_directory_is_looked_up_by_its_parents() {
        let identity = ImageIdentity::directory("/a/b/c");
        assert_eq!(
            identity.scopes().collect::<Vec<_>>(),
            ["/a/b/c", "/a/b", "/a", ""]
        );
    }

    #[test]
    fn scopes_are_refused_as_the_transports_refuse_them() {
        let id = "a".repeat(64);
        let stored = |rest: &str| format!("[overlay@/s]r{}", rest.replace("ID", &id));
        for (transport, scope, expected) in [
            ("docker", "exa*.com", Ok(())),
            ("docker", "busybox:latest", Ok(())),
            ("no-such-transport", "/../", Ok(())),
            ("dir", "", Ok(())),
            ("dir", "/a/b", Ok(())),
            ("dir", "/", Err(ScopeFault::Root)),
            ("dir", "a", Err(ScopeFault::NotAbsolute)),
            ("oci", "/a/", Err(ScopeFault::NotCanonical)),
            ("oci-archive", "/a//b", Err(ScopeFault::NotCanonical)),
            ("sif", "/a/../b", Err(ScopeFault::NotCanonical)),
            ("docker-archive", "x", Err(ScopeFault::NoScopes)),
            ("tarball", "/x", Err(ScopeFault::NoScopes)),
            ("docker-daemon", "example.com", Ok(())),
            (
                "docker-daemon",
                &format!("sha256:{id}"),
                Err(ScopeFault::IsDigest),
            ),
            ("atomic", "host/ns/stream:tag", Ok(())),
            ("atomic", "host:5000/ns", Ok(())),
            ("atomic", "host/ns:1/stream", Err(ScopeFault::NotAStream)),
            ("atomic", "host/ns/stream/more", Err(ScopeFault::NotAStream)),
            ("containers-storage", "[overlay@/s]", Ok(())),
            ("containers-storage", "[/s]", Ok(())),
            ("containers-storage", "/s", Err(ScopeFault::NoStore)),
            ("containers-storage", "[]", Err(ScopeFault::NoStore)),
            ("containers-storage", "[@/s]", Err(ScopeFault::NoStore)),
            ("containers-storage", "[s]", Err(ScopeFault::NotAbsolute)),
            ("containers-storage", "[overlay@s]", Err(ScopeFault::NotAbsolute)),
            ("containers-storage", &stored("@ID"), Ok(())),
            ("containers-storage", &stored("@sha256:ID@ID"), Ok(())),
            ("containers-storage", &stored("@x"), Err(ScopeFault::NotAnId)),
            ("containers-storage", &stored("@ID@ID"), Err(ScopeFault::NotAnId)),
        ] {
            assert_eq!(validate_scope(transport, scope), expected, "{transport} {scope}");
        }
    }
}
