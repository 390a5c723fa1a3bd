//! A store of the driver zfs of either engine: what is not mounted is listed and said, what is mounted at run time is
//! scanned and watched until it is unmounted.
//!
//! A tmpfs stands for the dataset; a real pool is in the kernel tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, DOCKER, Datasets, Docker, KEY, Scene, cat_as};
use layerwatch_tests::{output, wait_until};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const NOBODY: u32 = 65534;

/// The agent looks every fifteen seconds, whatever it was told.
const DEADLINE: Duration = Duration::from_mins(1);

/// An image of two layers, the first with a key, and a container that does not run.
struct Store {
    datasets: Datasets,
    root: PathBuf,
    image: String,
    /// Diff ids, base first.
    layers: Value,
    scene: Scene,
}

impl Store {
    fn new(engine: &str) -> Result<Self> {
        let mut scene = Scene::with_driver("vfs")?;
        let image = scene.publish_tree(&scene.tree_with_shell()?, "shop/api:2", false)?;
        let inspect = ["image", "inspect", &image];
        let create = ["create", &image, "/bin/sh"];
        let (root, shown) = if engine == "docker" {
            let docker = Docker::start(&scene, "vfs")?;
            docker.run(&["pull", "-q", &image])?;
            docker.run(&create)?;
            (docker.root(), docker.run(&inspect)?)
        } else {
            scene.pull(&image)?;
            scene.store.run("podman", &create)?;
            (scene.store.root(), scene.store.run("podman", &inspect)?)
        };
        let mut shown: Value = serde_json::from_str(&shown)?;
        Ok(Self {
            datasets: Datasets::of(&root)?,
            root,
            image,
            layers: shown[0]["RootFS"]["Layers"].take(),
            scene,
        })
    }

    fn list(&self, verb: &str) -> Result<Value> {
        let mut command = Command::new(Agent::binary()?);
        command.args(["--set", &format!("stores.roots={}", self.root.display())]);
        let shown = output(command.args([verb, "-o", "json"]))?;
        serde_json::from_slice(&shown.stdout)
            .with_context(|| String::from_utf8_lossy(&shown.stderr).into_owned())
    }

    /// State and device of each layer, and the problems.
    fn listed(&self) -> Result<(Vec<Value>, Vec<Value>)> {
        let shown = self.list("layers")?;
        let rows = |list: &str| shown[list].as_array().cloned().context("a list");
        let mut layers: Vec<Value> = rows("layers")?
            .iter()
            .map(|layer| json!([layer["state"], layer["device"]["is_mounted"]]))
            .collect();
        layers.sort_by_key(Value::to_string);
        let problems = rows("problems")?.into_iter();
        let kinds = problems.map(|mut problem| problem["kind"].take());
        Ok((layers, kinds.collect()))
    }
}

fn wait_for_findings(agent: &Agent, count: f64) -> Result<()> {
    wait_until("the findings", DEADLINE, || {
        let found = agent.metric("layerwatch_findings{severity=\"critical\"}")?;
        ((found - count).abs() < 0.5).then_some(())
    })
    .with_context(|| agent.log())
}

/// Reads the key with a dataset for the root, as a container does.
fn read_as_container(root: &Path) -> Result<()> {
    let mut command = Command::new("chroot");
    command.arg(format!("--userspec={NOBODY}:{NOBODY}")).arg(root);
    let done = output(command.args(["/bin/cat", &format!("/{KEY}")]))?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// `containers` are the layers that one has: its own, and what an engine puts below it.
fn check(engine: &str, containers: usize) -> Result<()> {
    let mut store = Store::new(engine)?;
    let listed = |mounted: usize| {
        let container = (0..containers).map(|at| json!(["container", at < mounted]));
        let mut all: Vec<Value> = container.chain((0..2).map(|_| json!(["image", false]))).collect();
        all.sort_by_key(Value::to_string);
        (all, vec![json!("not-mounted")])
    };
    assert_eq!(store.listed()?, listed(0), "{engine}");
    let directory = store.scene.path().join("agent");
    let agent = Agent::start_on(&Agent::binary()?, &store.root, &directory, &["run"], &[])?;
    wait_for_findings(&agent, 0.0)?;

    let container = store.datasets.container()?;
    let mounted = store.datasets.mount(&container)?;
    wait_for_findings(&agent, 1.0)?;
    assert_eq!(store.listed()?, listed(1), "{engine}");
    store.datasets.misconfigure()?;
    read_as_container(&mounted)?;
    // A read that is an alert comes behind the one that is none.
    cat_as(NOBODY, &mounted.join(KEY))?;
    let alerts = agent.wait_for("alert", 1)?;
    let told: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            json!([
                alert["alert"],
                alert["layer"]["diff_id"],
                alert["access"]["path_in_layer"],
                alert["images"][0]["name"],
                alert["subject"]["uid"],
            ])
        })
        .collect();
    assert_eq!(
        told,
        [json!([
            "SensitiveLayerRead",
            store.layers[0],
            KEY,
            store.image,
            NOBODY
        ])],
        "{engine}"
    );

    store.datasets.unmount()?;
    wait_for_findings(&agent, 0.0)?;
    assert_eq!(store.listed()?, listed(0), "{engine}");
    Ok(())
}

#[test]
fn a_dataset_is_watched_while_it_is_mounted() -> Result<()> {
    let needed = [&ENGINES[..], &DOCKER, &["docker-registry", "busybox", "chroot"]].concat();
    if !ready("datasets", &needed)? {
        return Ok(());
    }
    check("podman", 1)?;
    check("docker", 2)
}
