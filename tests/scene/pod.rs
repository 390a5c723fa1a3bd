//! The agent as a pod of the daemon set has it: a root of its own, the host's processes, the stores below `/host`, four
//! capabilities.
//!
//! Invariant: what it mounts is in a mount namespace that ends with the agent. Used by the integration tests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Agent, Scene};

/// `$1` is the pod's root, `$2` the store's, `$3` the agent's directory, `$4` the program; the rest its arguments.
const POD: &str = r#"set -e
pod=$1 store=$2 own=$3 program=$4
shift 4
mount -t tmpfs tmpfs "$pod"
for place in usr bin sbin lib lib64 proc sys dev; do
    if [ -e "/$place" ]; then mkdir -p "$pod/$place"; mount --rbind "/$place" "$pod/$place"; fi
done
mkdir -p "$pod/tmp" "$pod/etc" "$pod$own" "$pod/host$store" "$pod/host/etc" "$pod/host/proc"
mount --rbind /proc "$pod/host/proc"
mount --bind "$own" "$pod$own"
mount --rbind "$store" "$pod/host$store"
for name in passwd group; do cp "/etc/$name" "$pod/host/etc/$name"; done
cp "$program" "$pod/layerwatch"
caps=-all,+bpf,+perfmon,+dac_read_search,+sys_ptrace
exec chroot "$pod" setpriv --bounding-set "$caps" --inh-caps -all --no-new-privs /layerwatch "$@"
"#;

impl Agent {
    /// Starts it in a pod on an engine's root, in the scene's directory `pod`, and waits until it is ready.
    pub fn start_in_a_pod(scene: &Scene, root: &Path) -> Result<Self> {
        let directory = scene.path().join("pod");
        let inside = directory.join("root");
        std::fs::create_dir_all(&inside)?;
        let script = directory.join("pod.sh");
        std::fs::write(&script, POD)?;
        let start = directory.join("start");
        let words: Vec<PathBuf> = vec![
            script,
            inside,
            root.to_owned(),
            directory.clone(),
            Self::binary()?,
        ];
        let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.display())).collect();
        let line = format!(
            "#!/bin/sh\nexec unshare --mount --propagation private sh {} \"$@\"\n",
            words.join(" ")
        );
        std::fs::write(&start, line)?;
        std::fs::set_permissions(&start, std::fs::Permissions::from_mode(0o755)).context("start")?;
        let host = ["--set", "stores.host_root=/host"];
        Self::start_on(&start, root, &directory, &["run"], &host)
    }
}
