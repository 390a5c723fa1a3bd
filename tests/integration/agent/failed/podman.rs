//! Engines of containers/storage: they put blobs aside where they are told to, and remove them unless they are killed.
//!
//! The host of the agent is the scene's directory, with configurations and a `/var/tmp` of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, Fault, cat_as};
use serde_json::{Value, json};

use super::{ENGINES, Ground, failed, kill, length, list, ready, told};

/// Which program pulls, and where it puts blobs aside: by default, or where containers.conf says.
struct Puller {
    program: &'static str,
    aside: &'static str,
}

impl Puller {
    fn command(&self, ground: &Ground, name: &str) -> Command {
        let (store, aside) = (&ground.scene.store, self.aside(ground));
        if self.program != "skopeo" {
            let mut command = store.command(self.program);
            command
                .args(["pull", "-q", "--tls-verify=false", name])
                .env("TMPDIR", aside);
            return command;
        }
        let mut command = Command::new("skopeo");
        let run = ground.scene.path().join("graph-run");
        let store = format!("[overlay@{}+{}]", store.root().display(), run.display());
        command
            .arg("--tmpdir")
            .arg(aside)
            .args(["copy", "-q", "--src-tls-verify=false"])
            .args([
                format!("docker://{name}"),
                format!("containers-storage:{store}{name}"),
            ]);
        command
    }

    fn pull(&self, ground: &Ground, name: &str) -> Result<()> {
        let output = output(&mut self.command(ground, name))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {said}", self.program);
        Ok(())
    }

    fn aside(&self, ground: &Ground) -> PathBuf {
        ground.scene.path().join(self.aside)
    }
}

/// What a pull has left: a directory of blobs.
fn blobs(aside: &Path) -> Result<Vec<PathBuf>> {
    let pulls = std::fs::read_dir(aside)?.collect::<std::io::Result<Vec<_>>>()?;
    let [pull] = pulls.as_slice() else {
        anyhow::bail!("one pull: {pulls:?}");
    };
    std::fs::read_dir(pull.path())?
        .map(|blob| Ok(blob?.path()))
        .collect()
}

/// A host with nothing but the scene's store.
fn furnish(ground: &Ground, puller: &Puller) -> Result<Vec<String>> {
    let root = ground.scene.path();
    let conf = root.join("etc/containers");
    for directory in [conf.as_path(), &root.join("var/tmp"), &puller.aside(ground)] {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(
        conf.join("storage.conf"),
        "[storage]\ndriver = 'overlay'\ngraphroot = '/graph'\n",
    )?;
    std::fs::write(
        conf.join("containers.conf"),
        "[engine]\nimage_copy_tmp_dir = '/spool'\n",
    )?;
    // The store must be there for its pulls to be known as such.
    ground.scene.store.run("podman", &["images"])?;
    Ok(vec![
        format!("stores.host_root={}", root.display()),
        "stores.roots=".to_owned(),
    ])
}

fn check(puller: &Puller) -> Result<()> {
    let needed = [&ENGINES[..], &[puller.program]].concat();
    if !ready(&format!("failed pull of {}", puller.program), &needed)? {
        return Ok(());
    }
    let ground = Ground::new()?;
    let settings = furnish(&ground, puller)?;
    let arguments: Vec<&str> = settings.iter().flat_map(|one| ["--set", one.as_str()]).collect();
    let agent = Agent::start(&ground.scene, "agent", &arguments)?;
    puller.pull(&ground, &ground.small)?;
    puller.pull(&ground, &ground.small)?;
    // The host shows no processes, so nobody says what was wanted.
    let mut expected = vec![json!(["unknown", "shop/small:1", 2, false])];
    assert_eq!(told(&agent, 1)?, expected);

    let is_failed = puller.pull(&ground, &ground.name(Fault::Cut)?).is_err();
    ensure!(is_failed, "the pull succeeded");
    expected.push(failed());
    assert_eq!(told(&agent, 2)?, expected);

    let aside = puller.aside(&ground);
    let stalling = puller.command(&ground, &ground.name(Fault::Stall)?);
    kill(stalling, &agent, || length(&aside) > 1 << 20)?;
    expected.push(failed());
    assert_eq!(told(&agent, 3)?, expected);
    is_shown_and_watched(&ground, &settings, &agent, &aside)?;
    assert_eq!(told(&agent, 3)?, expected, "each once");
    Ok(())
}

/// What was left is counted, listed and scanned, and its read by another user is an alert.
fn is_shown_and_watched(ground: &Ground, settings: &[String], agent: &Agent, aside: &Path) -> Result<()> {
    let blobs = blobs(aside)?;
    let size = |blob: &PathBuf| blob.metadata().map_or(0, |metadata| metadata.len());
    let blob = blobs.iter().max_by_key(|blob| size(blob)).context("a blob")?;
    let bytes: u64 = blobs.iter().map(size).sum();
    let stores = list(settings, "stores")?;
    let left = &stores.first().context("a store")?["leftovers"];
    assert_eq!(
        (&left["count"], &left["bytes"]),
        (&json!(blobs.len()), &json!(bytes))
    );
    let layers = list(settings, "layers")?;
    let left: Vec<&Value> = layers
        .iter()
        .filter(|layer| layer["state"] == "leftover")
        .collect();
    assert_eq!(left.len(), blobs.len(), "{layers:#?}");

    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    let mut way = Some(blob.as_path());
    while let Some(place) = way.filter(|place| *place != ground.scene.path()) {
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755))?;
        way = place.parent();
    }
    read_as_nobody(blob)?;
    let alert = agent.wait_for("alert", 1)?.remove(0);
    assert_eq!(
        (
            &alert["alert"],
            &alert["access"]["path"],
            &alert["subject"]["uid"]
        ),
        (&json!("SensitiveLayerRead"), &json!(blob), &json!(65534))
    );
    Ok(())
}

/// It is packed, so its bytes are no text.
fn read_as_nobody(file: &Path) -> Result<()> {
    match cat_as(65534, file) {
        Err(error) if !error.is::<std::string::FromUtf8Error>() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[test]
fn podmans_is_told() -> Result<()> {
    check(&Puller {
        program: "podman",
        aside: "var/tmp",
    })
}

#[test]
fn a_newer_podmans_is_told() -> Result<()> {
    check(&Puller {
        program: "podman-newer",
        aside: "var/tmp",
    })
}

#[test]
fn buildahs_where_the_configuration_says_is_told() -> Result<()> {
    check(&Puller {
        program: "buildah",
        aside: "spool",
    })
}

#[test]
fn skopeos_is_told() -> Result<()> {
    check(&Puller {
        program: "skopeo",
        aside: "var/tmp",
    })
}
