//! Archives and layouts as skopeo and Podman write them give what the store gives.

use anyhow::{Context, Result};
use layerwatch_tests::scene::KEY;
use serde_json::{Value, json};

use super::{ENGINES, NAME, json_of, ready, scene};

#[test]
fn each_way_to_carry_an_image_gives_the_finding_of_the_store() -> Result<()> {
    if !ready(
        "archives of real engines",
        &[&ENGINES[..], &["skopeo", "gzip"]].concat(),
    )? {
        return Ok(());
    }
    let scene = scene()?;
    let at = |name: &str| scene.path().join(name).display().to_string();
    let graph = scene.store.root().display().to_string();
    let source = format!("containers-storage:[overlay@{graph}+{graph}-run]{NAME}");
    for target in ["docker-archive", "oci-archive", "oci"] {
        let place = format!("{target}:{}:{NAME}", at(target));
        layerwatch_tests::run(std::process::Command::new("skopeo").args(["copy", "-q", &source, &place]))?;
    }
    scene
        .store
        .run("podman", &["save", "-q", "-o", &at("podman.tar"), NAME])?;
    layerwatch_tests::run(std::process::Command::new("gzip").args(["-k", &at("podman.tar")]))?;
    let stored = json_of(&scene, &["scan", NAME])?;
    let expected = &stored["findings"][0];
    // The store has the base as an image of its own, which shows the file; an archive has the named one alone.
    let state = |finding: &Value| {
        let images = finding["images"].as_array().into_iter().flatten();
        let named = images.filter(|image| image["name"] == NAME);
        named
            .map(|image| image["visibility"]["state"].clone())
            .collect::<Vec<_>>()
    };
    let deleted = vec![json!("deleted")];
    assert_eq!(
        (&expected["shadowed"], state(expected)),
        (&json!(false), deleted.clone())
    );
    let podman: Value = serde_json::from_str(&scene.store.run("podman", &["inspect", NAME])?)?;
    let lower = &podman[0]["RootFS"]["Layers"][0];
    for (name, layout) in [
        ("docker-archive", "docker-archive"),
        ("oci-archive", "oci-archive"),
        ("oci", "oci-layout"),
        ("podman.tar", "docker-archive"),
        ("podman.tar.gz", "docker-archive"),
    ] {
        let shown = json_of(&scene, &["scan", &at(name)])?;
        let target = &shown["targets"][0];
        assert_eq!(
            (&target["layout"], &target["problems_total"], &shown["complete"]),
            (&json!(layout), &json!(0), &json!(true)),
            "{name}: {shown}"
        );
        let finding = shown["findings"]
            .get(0)
            .with_context(|| format!("{name}: {shown}"))?;
        for key in ["rule", "path", "line", "fingerprint", "severity", "excerpt"] {
            assert_eq!(finding[key], expected[key], "{name}: {key}");
        }
        assert_eq!(
            (&finding["path"], &finding["shadowed"], state(finding)),
            (&json!(KEY), &json!(true), deleted.clone()),
            "{name}"
        );
        // The digest of what was read is the one that Podman has for the layer.
        assert_eq!(&finding["layer"]["layer"], lower, "{name}");
        assert_eq!(shown["findings"].as_array().map(Vec::len), Some(1), "{name}");
    }
    Ok(())
}
