//! The commands on a real store: what they print is compared with what Podman says, and each outcome has its exit status.

use std::process::{Command, Output};

use anyhow::{Context, Result};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, KEY, Scene};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const NAME: &str = "localhost/shop/api:1";

fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.store.build(&scene.tree()?, NAME, true)?;
    // Fingerprints are the same from run to run where the node's key can be kept.
    std::fs::create_dir(scene.path().join("state"))?;
    Ok(scene)
}

fn layerwatch(scene: &Scene, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(Agent::binary()?);
    for setting in [
        format!("stores.roots={}", scene.store.root().display()),
        format!("state_directory={}", scene.path().join("state").display()),
    ] {
        command.args(["--set", &setting]);
    }
    output(command.args(arguments))
}

fn json_of(scene: &Scene, arguments: &[&str]) -> Result<Value> {
    let shown = layerwatch(scene, &[arguments, &["-o", "json"]].concat())?;
    serde_json::from_slice(&shown.stdout).with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())
}

/// The first object of several lines.
fn first_line(shown: &Output) -> Result<Value> {
    let text = String::from_utf8_lossy(&shown.stdout);
    serde_json::from_str(text.lines().next().unwrap_or("")).with_context(|| format!("{shown:?}"))
}

#[test]
fn images_and_layers_are_what_podman_says() -> Result<()> {
    if !ready("images and layers", &ENGINES)? {
        return Ok(());
    }
    let scene = scene()?;
    let podman: Value = serde_json::from_str(&scene.store.run("podman", &["inspect", NAME])?)?;
    let images = json_of(&scene, &["images"])?;
    let named = |image: &&Value| image["name"] == NAME;
    let image = images["images"]
        .as_array()
        .and_then(|i| i.iter().find(named))
        .context("the image")?;
    assert_eq!(
        (&image["id"], &image["digest"]),
        (&podman[0]["Id"], &podman[0]["Digest"])
    );
    assert_eq!(image["trust"]["provenance"], "local");
    let layers = json_of(&scene, &["layers"])?;
    let in_image = |layer: &&Value| {
        layer["images"]
            .as_array()
            .is_some_and(|i| i.iter().any(|i| i["name"] == NAME))
    };
    let mut own: Vec<_> = layers["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(in_image)
        .collect();
    own.sort_by_key(|layer| {
        layer["images"]
            .as_array()
            .and_then(|i| i.iter().find(|i| i["name"] == NAME)?["position"].as_u64())
    });
    let diff_ids: Vec<_> = own.iter().map(|layer| layer["diff_id"].clone()).collect();
    assert_eq!(json!(diff_ids), podman[0]["RootFS"]["Layers"]);
    let stores = json_of(&scene, &["stores"])?;
    assert_eq!(stores["stores"][0]["root"], json!(scene.store.root()));
    assert_eq!(
        (&stores["stores"][0]["driver"], &stores["problems"]),
        (&json!("overlay"), &json!([]))
    );
    Ok(())
}

#[test]
fn a_key_is_found_explained_and_fails_the_audit() -> Result<()> {
    if !ready("scan and explain", &ENGINES)? {
        return Ok(());
    }
    let scene = scene()?;
    let key = scene.store.find(KEY)?.remove(0);
    let by_image = layerwatch(&scene, &["scan", NAME, "--fail-on", "critical", "-o", "jsonl"])?;
    assert_eq!(by_image.status.code(), Some(3));
    let found = first_line(&by_image)?;
    let all = json_of(&scene, &["scan", "--all"])?;
    assert_eq!(all["findings"].as_array().map(Vec::len), Some(1));
    assert_eq!(all["findings"][0]["fingerprint"], found["fingerprint"]);
    let expected = json!({"path": KEY, "line": 1, "rule": "private-key-pem", "category": "private-key", "severity": "critical"});
    for (name, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(found[name], *value, "{name}");
    }
    let explained = json_of(&scene, &["explain", key.to_str().context("text")?])?;
    assert_eq!(explained["path_in_layer"], KEY);
    assert_eq!(explained["findings"][0]["fingerprint"], found["fingerprint"]);
    let states: Vec<_> = explained["images"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|i| i["name"] == NAME)
        .collect();
    assert_eq!(
        (&states[0]["visibility"]["state"], &states[0]["position"]),
        (&json!("deleted"), &json!(1))
    );
    assert_eq!(explained["exposure"]["readers"], json!([]));
    // No output holds the key itself.
    let secret = std::io::read_to_string(std::fs::File::open(&key)?)?;
    let body = secret.lines().nth(1).context("the key's body")?;
    for shown in [all.to_string(), explained.to_string()] {
        assert!(!shown.contains(body));
    }
    Ok(())
}

#[test]
fn a_name_is_found_with_its_layer_and_what_became_of_it() -> Result<()> {
    if !ready("find", &ENGINES)? {
        return Ok(());
    }
    let scene = scene()?;
    let podman: Value = serde_json::from_str(&scene.store.run("podman", &["inspect", NAME])?)?;
    let layers = &podman[0]["RootFS"]["Layers"];
    let found = json_of(&scene, &["find", "secret.key"])?;
    let places = found["found"].as_array().context("a list")?;
    let told: Vec<Value> = places
        .iter()
        .map(|place| {
            let image = place["images"]
                .as_array()
                .and_then(|i| i.iter().find(|i| i["name"] == NAME));
            json!({
                "path": place["path_in_layer"],
                "diff_id": place["diff_id"],
                "position": image.map(|image| &image["position"]),
                "layers": image.map(|image| &image["layers"]),
                "state": image.map(|image| &image["visibility"]["state"]),
                "shadowed": place["shadowed"],
            })
        })
        .collect();
    // The base that the build left without a name shows the file still.
    let expected = json!([{
        "path": KEY,
        "diff_id": layers[0],
        "position": 1,
        "layers": 2,
        "state": "deleted",
        "shadowed": false,
    }]);
    assert_eq!(json!(told), expected, "{found}");
    let places = |name: &str| -> Result<usize> {
        let found = json_of(&scene, &["find", name])?;
        Ok(found["found"].as_array().map_or(0, Vec::len))
    };
    for (name, count) in [
        ("secret.*", 1),
        ("/etc/secret.key", 1),
        ("/secret.key", 0),
        ("nothing", 0),
    ] {
        assert_eq!(places(name)?, count, "{name}");
    }
    Ok(())
}

#[test]
fn what_is_open_is_listed_with_what_closes_it() -> Result<()> {
    if !ready("exposure command", &ENGINES)? {
        return Ok(());
    }
    let scene = scene()?;
    let open = || -> Result<Vec<Value>> {
        let listed = json_of(&scene, &["exposure"])?;
        let rows = listed["exposures"].as_array().context("a list")?.iter();
        let open = rows.filter(|row| row["exposed_to"].as_array().is_some_and(|to| !to.is_empty()));
        Ok(open.cloned().collect())
    };
    assert_eq!(open()?, Vec::<Value>::new());
    scene.store.misconfigure()?;
    let rows = open()?;
    let root = scene.store.root().display().to_string();
    assert_eq!(rows.len(), 1, "one row for each store and component: {rows:?}");
    assert_eq!(
        (&rows[0]["exposed_to"], &rows[0]["remedy"]),
        (&json!([{"who": "world"}]), &json!(format!("chmod 700 {root}")))
    );
    let key = scene.store.find(KEY)?.remove(0);
    let of_key = json_of(&scene, &["exposure", key.to_str().context("text")?])?;
    assert_eq!(of_key["opened_by"]["path"], json!(root));
    let of_image = json_of(&scene, &["exposure", NAME])?;
    assert_eq!(of_image["exposures"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn an_ordinary_user_scans_a_directory() -> Result<()> {
    if !ready("scan without privileges", &[&ENGINES[..], &["setpriv"]].concat())? {
        return Ok(());
    }
    let scene = scene()?;
    let program = scene.path().join("layerwatch");
    std::fs::copy(Agent::binary()?, &program)?;
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program);
    let shown = output(
        command
            .args(["scan", "-o", "jsonl"])
            .arg(scene.path().join("tree")),
    )?;
    let found = first_line(&shown)?;
    assert_eq!(
        (&found["rule"], &found["path"]),
        (&json!("private-key-pem"), &json!(KEY))
    );
    Ok(())
}

#[test]
fn what_is_wrong_has_a_message_and_an_exit_status() -> Result<()> {
    if !ready("exit statuses", &ENGINES)? {
        return Ok(());
    }
    let scene = scene()?;
    for (arguments, status, said) in [
        (&["check-config"][..], 0, "valid"),
        (
            &["--set", "web.lisen=1", "check-config"],
            4,
            "did you mean \"web.listen\"?",
        ),
        (&["scan"], 2, "TARGET"),
        (&["scan", "no/such:image"], 1, "layerwatch images"),
        (&["explain", "/etc/passwd"], 1, "layerwatch stores"),
        (&["replay", "/dev/null"], 1, "the recording is cut"),
        (&["doctor", "-o", "json"], 0, ""),
    ] {
        let shown = layerwatch(&scene, arguments)?;
        let stderr = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert_eq!(shown.status.code(), Some(status), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let index = scene.store.root().join("overlay-layers/layers.json");
    let whole = std::fs::metadata(&index)?.len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&index)?
        .set_len(whole / 2)?;
    let cut = json_of(&scene, &["images"])?;
    assert!(cut["problems"].to_string().contains("layers.json"), "{cut}");
    assert!(cut["images"].to_string().contains(NAME), "{cut}");
    Ok(())
}
