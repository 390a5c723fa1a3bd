//! Rows of registries configurations: what a name meets, and what makes a file invalid.

use super::*;

/// Merges files in order, the first as the main file.
fn merge(files: &[&str]) -> Result<Registries, RegistriesError> {
    let mut merged = Registries::default();
    for (index, text) in files.iter().enumerate() {
        merged.add(
            text.as_bytes(),
            PathBuf::from(format!("/{index}.conf")),
            index > 0,
        )?;
    }
    Ok(merged)
}

/// The prefix of the table that a name meets.
fn check(registries: &Registries, name: &str, prefix: Option<&str>) {
    let found = registries.find(&Reference::parse(name).unwrap());
    assert_eq!(found.map(|registry| registry.prefix.as_str()), prefix, "{name}");
}

#[test]
fn the_longest_prefix_that_ends_at_a_component_is_met() {
    let registries = merge(&[r#"
        [[registry]]
        location = "example.com"
        [[registry]]
        location = "example.com/ns/"
        [[registry]]
        prefix = "*.wild.example"
        [[registry]]
        location = "docker.io/library"
    "#])
    .unwrap();
    for (name, prefix) in [
        ("example.com/r:1", Some("example.com")),
        ("example.com/ns/r:1", Some("example.com/ns")),
        ("example.com/nsx/r:1", Some("example.com")),
        ("example.com:5000/r:1", Some("example.com")),
        ("example.com.evil/r:1", None),
        ("other.com/example.com/r", None),
        ("busybox", Some("docker.io/library")),
        ("user/app", None),
        ("a.wild.example/r", Some("*.wild.example")),
        ("a.b.wild.example:5000/r", Some("*.wild.example")),
        ("wild.example/r", None),
        ("a.wild.example.org/r", None),
        ("host.example/a.wild.example/r", None),
    ] {
        check(&registries, name, prefix);
    }
}

#[test]
fn what_the_original_refuses_is_refused() {
    for (text, good) in [
        ("", true),
        ("unknown = 1\n[[registry]]\nlocation = 'a.b'\nunknown = 1", true),
        ("[[registry]]\nLocation = 'a.b'\nBLOCKED = true", true),
        ("[[registry]]\nlocation = 'a.b'\nblocked = 'true'", false),
        ("[[registry]]\nlocation = 1", false),
        ("[registry]\nlocation = 'a.b'", false),
        ("[[registry]]\nlocation = 'a.b", false),
        ("[[registry]]", false),
        ("[[registry]]\nprefix = 'a.b'", false),
        ("[[registry]]\nprefix = '*.a.b'", true),
        ("[[registry]]\nprefix = '*.a.b/c'", false),
        ("[[registry]]\nlocation = 'https://a.b'", false),
        ("[[registry]]\nprefix = 'http://a.b'\nlocation = 'a.b'", false),
        ("[[registry]]\nlocation = 'a.b'\npull-from-mirror = 'all'", false),
        ("[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]", false),
        (
            "[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\nlocation = 'm.b'\npull-from-mirror = 'tag-only'",
            true,
        ),
        (
            "[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\nlocation = 'm.b'\npull-from-mirror = 'never'",
            false,
        ),
        (
            "[[registry]]\nlocation = 'a.b'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'm.b'\npull-from-mirror = 'all'",
            false,
        ),
        (
            "[[registry]]\nlocation = 'a.b'\n[[registry]]\nlocation = 'a.b'",
            true,
        ),
        (
            "[[registry]]\nlocation = 'a.b'\nblocked = true\n[[registry]]\nprefix = 'x.y'\nlocation = 'a.b'",
            false,
        ),
        (
            "[[registry]]\nlocation = 'a.b'\ninsecure = true\n[[registry]]\nlocation = 'a.b/'",
            false,
        ),
        ("unqualified-search-registries = ['a.b', 'localhost:5000']", true),
        ("unqualified-search-registries = ['a.b/c']", false),
        ("unqualified-search-registries = 'a.b'", false),
        ("short-name-mode = 'enforcing'", true),
        ("short-name-mode = 'strict'", false),
        (
            "[aliases]\nfedora = 'registry.example/fedora'\n'ns/app' = 'a.b/app'\ngone = ''",
            true,
        ),
        ("[aliases]\nfedora = 'fedora'", false),
        ("[aliases]\nfedora = 'a.b/fedora:1'", false),
        ("[aliases]\n'a.b/fedora' = 'a.b/fedora'", false),
        ("[registries.block]\nregistries = ['a.b']", true),
        (
            "[registries.block]\nregistries = ['a.b']\n[[registry]]\nlocation = 'c.d'",
            false,
        ),
        (
            "[registries.block]\nregistries = ['a.b']\n[aliases]\nx = 'a.b/x'",
            false,
        ),
    ] {
        let merged = merge(&[text]);
        assert_eq!(merged.is_ok(), good, "{text}: {merged:?}");
    }
}

#[test]
fn the_first_version_of_the_format_is_understood_in_the_main_file_only() {
    let old = "[registries.block]\nregistries = ['bad.example']\n[registries.insecure]\nregistries = ['weak.example', 'bad.example']";
    let registries = merge(&[old]).unwrap();
    let flags = |name: &str| {
        let found = registries.find(&Reference::parse(name).unwrap()).unwrap();
        (found.blocked, found.primary.insecure)
    };
    assert_eq!(flags("bad.example/r"), (true, true));
    assert_eq!(flags("weak.example/r"), (false, true));
    let error = merge(&["", old]).unwrap_err();
    assert!(matches!(error.fault, RegistriesFault::DropInV1), "{error:?}");
    assert_eq!(error.file, Path::new("/1.conf"));
}

#[test]
fn a_later_file_replaces_a_table_entirely() {
    let registries = merge(&[
        "[[registry]]\nlocation = 'a.b'\nblocked = true\ninsecure = true\n[[registry]]\nlocation = 'c.d'",
        "[[registry]]\nlocation = 'a.b'",
    ])
    .unwrap();
    let found = registries.find(&Reference::parse("a.b/r").unwrap()).unwrap();
    assert_eq!((found.blocked, found.primary.insecure), (false, false));
    assert_eq!(found.file, Path::new("/1.conf"));
    check(&registries, "c.d/r", Some("c.d"));
}

#[test]
fn mirrors_are_asked_before_the_primary_and_names_are_rewritten() {
    let registries = merge(&[r#"
        [[registry]]
        prefix = "a.b/ns"
        location = "primary.example/x"
        [[registry.mirror]]
        location = "tags.example"
        pull-from-mirror = "tag-only"
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "*.wild.example"
    "#])
    .unwrap();
    let digest = format!("@sha256:{}", "a".repeat(64));
    for (name, asked) in [
        (
            "a.b/ns/r:1".to_owned(),
            vec!["tags.example/r:1".to_owned(), "primary.example/x/r:1".to_owned()],
        ),
        (
            format!("a.b/ns/r{digest}"),
            vec![
                format!("digests.example/r{digest}"),
                format!("primary.example/x/r{digest}"),
            ],
        ),
        (
            "a.wild.example/r:1".to_owned(),
            vec!["a.wild.example/r:1".to_owned()],
        ),
    ] {
        let reference = Reference::parse(&name).unwrap();
        let registry = registries.find(&reference).unwrap();
        let physical: Vec<String> = registry
            .endpoints_for(&reference)
            .map(|endpoint| registry.physical(endpoint, &reference).unwrap().to_string())
            .collect();
        assert_eq!(physical, asked, "{name}");
    }
}

#[test]
fn a_host_is_read_with_its_drop_ins_in_order() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Registries::read(root.path()).unwrap(), Registries::default());
    let directory = root.path().join("etc/containers/registries.conf.d");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(
        directory.join("20.conf"),
        "[[registry]]\nlocation = 'a.b'\nblocked = true",
    )
    .unwrap();
    std::fs::write(
        directory.join("10.conf"),
        "[[registry]]\nlocation = 'a.b'\ninsecure = true",
    )
    .unwrap();
    std::fs::write(directory.join("30.conf.off"), "broken").unwrap();
    let found = Registries::read(root.path()).unwrap();
    let registry = found.find(&Reference::parse("a.b/r").unwrap()).unwrap();
    assert_eq!((registry.blocked, registry.primary.insecure), (true, false));
    assert_eq!(
        registry.file,
        Path::new("/etc/containers/registries.conf.d/20.conf")
    );
    std::fs::write(directory.join("40.conf"), "broken").unwrap();
    let error = Registries::read(root.path()).unwrap_err();
    assert_eq!(error.file, Path::new("/etc/containers/registries.conf.d/40.conf"));
    assert!(
        matches!(error.fault, RegistriesFault::Syntax { line: 1 }),
        "{error:?}"
    );
}

proptest::proptest! {
    #[test]
    fn reading_and_matching_are_total(text in "([a-z.*/\\[\\]='\" \n]|registry|location|prefix|blocked){0,40}", name in "[a-z.:/@]{1,30}") {
        if let (Ok(registries), Ok(reference)) = (merge(&[&text]), Reference::parse(&name))
            && let Some(registry) = registries.find(&reference)
        {
            proptest::prop_assert!(match_prefix(&reference.name(), &registry.prefix).is_some());
        }
        let _ends = match_prefix(&name, &text);
    }
}
