//! A rootless store: its owner and its containers read it, another user is alerted.
//!
//! The users exist in a mount namespace alone, where the files that name them lie over the machine's; the engine is the
//! real one, with the driver that it takes there.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::output;
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const ANN: u32 = 44_001;
const BOB: u32 = 44_002;
const NAME: &str = "localhost/shop/api:1";

/// Lays the files over the machine's; then what is to run.
const INSIDE: &str = "set -e; for name in passwd group subuid subgid; do \
     mount --bind \"$DIRECTORY/$name\" \"/etc/$name\"; done; exec \"$@\"";

/// Two users with homes below the scene's directory.
struct Users {
    scene: Scene,
}

impl Users {
    fn new() -> Result<Self> {
        let users = Self { scene: Scene::new()? };
        let directory = users.scene.path();
        let homes = directory.join("home");
        for (name, uid) in [("ann", ANN), ("bob", BOB)] {
            for home in [homes.join(name), directory.join("run").join(name)] {
                std::fs::create_dir_all(&home)?;
                chown(&home, Some(uid), Some(uid))?;
            }
        }
        let line =
            |name: &str, uid: u32| format!("{name}:x:{uid}:{uid}::{}:/bin/sh\n", homes.join(name).display());
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\n{}{}",
            line("ann", ANN),
            line("bob", BOB)
        );
        let range = "ann:44100000:65536\nbob:44200000:65536\n";
        let group = format!("root:x:0:\nann:x:{ANN}:\nbob:x:{BOB}:\n");
        for (name, text) in [
            ("passwd", passwd.as_str()),
            ("group", &group),
            ("subuid", range),
            ("subgid", range),
        ] {
            std::fs::write(directory.join(name), text)?;
        }
        Ok(users)
    }

    /// A program where the users exist, as root.
    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", INSIDE, "sh"]);
        command.env("DIRECTORY", self.scene.path());
        command
    }

    fn home(&self) -> PathBuf {
        self.scene.path().join("home/ann")
    }

    /// What a shell of Ann's prints.
    fn ann(&self, script: &str) -> Result<String> {
        let id = ANN.to_string();
        let mut command = self.command();
        command.args([
            "setpriv",
            "--reuid",
            &id,
            "--regid",
            &id,
            "--clear-groups",
            "env",
            "-i",
        ]);
        command
            .arg(format!("PATH={}", std::env::var("PATH")?))
            .arg(format!("HOME={}", self.home().display()))
            .arg(format!(
                "XDG_RUNTIME_DIR={}",
                self.scene.path().join("run/ann").display()
            ))
            .args(["STORAGE_DRIVER=vfs", "sh", "-ec", script]);
        let shown = output(command.current_dir(self.home()))?;
        ensure!(
            shown.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&shown.stderr)
        );
        Ok(String::from_utf8(shown.stdout)?)
    }

    fn root(&self) -> PathBuf {
        self.home().join(".local/share/containers/storage")
    }

    /// The key in the image's layer, which the container's copy is not.
    fn key(&self) -> Result<PathBuf> {
        let index = std::fs::File::open(self.root().join("vfs-layers/layers.json"))?;
        let layers: Value = serde_json::from_reader(index)?;
        let layers = layers.as_array().context("a list")?;
        let image = layers.iter().find(|layer| layer["diff-digest"].is_string());
        let id = image
            .and_then(|layer| layer["id"].as_str())
            .context("the image's layer")?;
        Ok(self.root().join("vfs/dir").join(id).join(KEY))
    }

    /// Lets everybody pass, as a home that is shared does.
    fn open(&self) -> Result<()> {
        let layers = self.root().join("vfs/dir");
        let ways = layers.ancestors().take_while(|path| *path != self.scene.path());
        for directory in ways {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        // Podman keeps a process for the user's namespace, and says which.
        let pid = self.scene.path().join("run/ann/libpod/tmp/pause.pid");
        let text = std::fs::File::open(pid)
            .and_then(std::io::read_to_string)
            .unwrap_or_default();
        let pause = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        let ended = pause.map(|pause| rustix::process::kill_process(pause, rustix::process::Signal::KILL));
        if let Some(Err(error)) = ended {
            eprintln!("the engine's own process was not ended: {error}");
        }
    }
}

fn stores_there(users: &Users) -> Result<Vec<Value>> {
    let mut command = users.command();
    command.arg(Agent::binary()?).args(["stores", "-o", "json"]);
    let shown: Value = serde_json::from_slice(&output(&mut command)?.stdout)?;
    let stores = shown["stores"].as_array().context("a list")?.iter();
    let below = |store: &&Value| {
        store["root"]
            .as_str()
            .is_some_and(|root| Path::new(root).starts_with(users.scene.path()))
    };
    Ok(stores.filter(below).cloned().collect())
}

#[test]
fn another_users_read_of_a_rootless_store_is_alerted_and_the_owners_is_not() -> Result<()> {
    let programs = ["busybox", "setpriv", "unshare", "newuidmap"];
    if !ready("rootless stores", &[&ENGINES[..], &programs].concat())? {
        return Ok(());
    }
    let users = Users::new()?;
    let tree = users.scene.tree_with_shell()?;
    let container = users.ann("buildah from scratch")?;
    let container = container.trim();
    users.ann(&format!("buildah copy -q {container} {} /", tree.display()))?;
    users.ann(&format!(
        "buildah commit -q {container} {NAME} && buildah rm {container}"
    ))?;

    // Found without being told of, and whose it is.
    let stores = stores_there(&users)?;
    let told: Vec<_> = stores
        .iter()
        .map(|one| json!([one["driver"], one["owner_uid"], one["root"]]))
        .collect();
    assert_eq!(told, [json!(["vfs", ANN, users.root()])]);

    let directory = users.scene.path().join("agent");
    let agent = Agent::start_on(
        &Agent::binary()?,
        &users.root(),
        &directory,
        &["run"],
        &["--verbose"],
    )?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    users.open()?;
    let key = users.key()?;
    let shown = key.display();
    // Ann herself; root of her namespace; another user of her namespace; her container.
    let own = [
        format!("cat {shown}"),
        format!("buildah unshare cat {shown}"),
        format!("buildah unshare setpriv --reuid 7 --regid 7 --clear-groups cat {shown}"),
        format!("c=$(buildah from {NAME}) && buildah run --isolation chroot $c /bin/cat /{KEY}"),
    ];
    for script in &own {
        let read = users.ann(script)?;
        assert!(read.contains("PRIVATE KEY"), "{script}: {read}");
    }
    cat_as(BOB, &key)?;
    let alerts = agent.wait_for("alert", 1)?;
    let told: Vec<_> = alerts
        .iter()
        .map(|one| {
            json!([
                one["alert"],
                one["subject"]["uid"],
                one["access"]["path_in_layer"],
                one["images"][0]["name"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [json!(["ForeignStoreRead", BOB, KEY, NAME])],
        "{}",
        agent.log()
    );
    owners_reads_are_fine(&agent)
}

/// They were seen, and sanctioned.
fn owners_reads_are_fine(agent: &Agent) -> Result<()> {
    let of_key = agent
        .of_kind("access")?
        .into_iter()
        .filter(|one| one["access"]["path_in_layer"] == KEY);
    let sanctioned: Vec<_> = of_key.filter(|one| one["process"]["comm"] == "cat").collect();
    let users_seen: std::collections::BTreeSet<_> = sanctioned
        .iter()
        .filter_map(|one| one["subject"]["uid"].as_u64())
        .collect();
    assert!(
        sanctioned.iter().all(|one| one["sanction"] == "own-store"),
        "{sanctioned:#?}"
    );
    assert_eq!(users_seen, [u64::from(ANN), 44_100_006].into());
    Ok(())
}
