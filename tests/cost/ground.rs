//! The files that are opened and read: on another device, on the store's device, in the store, and inside a container.
//!
//! Invariant: everything lies below one temporary directory; the mounts end with the mount namespace, or the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use layerwatch_tests::cost::{Row, rows};
use layerwatch_tests::written::{Store, private_key};
use rustix::mount::{MountFlags, mount};

use super::worker::{Action, Worker};

const FINDING: &str = "etc/secret.key";
const FINDING_ABOVE: &str = "srv/other.key";
const ORDINARY: &str = "etc/motd";
/// More than what is read.
const FILE_BYTES: usize = 8192;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) directory: tempfile::TempDir,
    elsewhere: tempfile::TempDir,
    pub(crate) store: Store,
}

/// One row of the table, and how to do it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) row: Row,
    pub(crate) action: Action,
    pub(crate) path: PathBuf,
    /// Done by the worker whose root is the container's.
    pub(crate) contained: bool,
}

/// Workers with the host's root and with the container's.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) plain: Worker,
    pub(crate) contained: Worker,
}

impl Ground {
    /// Makes the files and mounts the container's root.
    pub(crate) fn new() -> Result<Self> {
        // A disk: in the virtual machines the root is in memory.
        let base = ["/data", "/var/tmp"]
            .into_iter()
            .find(|base| Path::new(base).is_dir());
        let directory = in_folder(base.context("there is no directory for the store")?)?;
        let elsewhere = in_folder("/dev/shm")?;
        let padded = |text: String| text + &"# nothing to see here\n".repeat(FILE_BYTES / 22 + 1);
        let files = [
            (FINDING, padded(private_key(1))),
            (ORDINARY, padded(String::new())),
        ];
        let store = Store::write(&directory.path().join("store"), &files)?;
        // A finding in each layer, so that it shows when both were scanned: until then the agent looks at more.
        let upper = store.diff(&store.upper).join(FINDING_ABOVE);
        fs::create_dir_all(upper.parent().context("the file's directory")?)?;
        fs::write(upper, private_key(2))?;
        fs::write(directory.path().join("file"), padded(String::new()))?;
        fs::create_dir(directory.path().join("beside"))?;
        fs::write(directory.path().join("beside/file"), padded(String::new()))?;
        fs::write(elsewhere.path().join("file"), padded(String::new()))?;
        let ground = Self {
            directory,
            elsewhere,
            store,
        };
        ground.mount_container()?;
        mount_tracing()?;
        Ok(ground)
    }

    fn mount_container(&self) -> Result<()> {
        let path = |name: &str| self.directory.path().join(name);
        for name in ["container", "changes", "work"] {
            fs::create_dir(path(name))?;
        }
        let options = format!(
            "lowerdir={}:{},upperdir={},workdir={}",
            self.store.diff(&self.store.upper).display(),
            self.store.diff(&self.store.lower).display(),
            path("changes").display(),
            path("work").display(),
        );
        let options = std::ffi::CString::new(options)?;
        mount(
            "overlay",
            path("container"),
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .context("mount the container's root")
    }

    /// Everything that is measured, in the order of the table.
    pub(crate) fn operations(&self, threads: &[usize]) -> Vec<Operation> {
        let layer = self.store.diff(&self.store.lower);
        let outside = self.elsewhere.path().join("file");
        let opens = [
            (rows::ELSEWHERE, outside.clone(), false),
            (rows::BESIDE, self.directory.path().join("beside/file"), false),
            (
                "open+close: unrelated file in a directory above the store",
                self.directory.path().join("file"),
                false,
            ),
            (rows::CONTAINED, Path::new("/").join(ORDINARY), true),
            (
                "open+close: ordinary file of a layer",
                layer.join(ORDINARY),
                false,
            ),
            ("open+close: file with a finding", self.finding(), false),
        ];
        let operation = |what: &str, threads, action, path: &Path, contained| Operation {
            row: Row {
                what: what.to_owned(),
                threads,
            },
            action,
            path: path.to_owned(),
            contained,
        };
        let nothing = operation("getppid", 1, Action::Nothing, Path::new("/"), false);
        let opens = threads.iter().flat_map(|threads| {
            let with = opens.iter();
            with.map(|(what, path, contained)| operation(what, *threads, Action::Open, path, *contained))
        });
        let reads = [
            (rows::READ, outside),
            ("read of 4 KiB: file with a finding", self.finding()),
        ];
        let reads = reads
            .iter()
            .map(|(what, path)| operation(what, 1, Action::Read, path, false));
        [nothing].into_iter().chain(opens).chain(reads).collect()
    }

    /// Workers that audit, if it is on by now, sees.
    pub(crate) fn workers(&self) -> Result<Workers> {
        Ok(Workers {
            plain: Worker::start(None)?,
            contained: Worker::start(Some(&self.directory.path().join("container")))?,
        })
    }

    /// The file with a finding.
    pub(crate) fn finding(&self) -> PathBuf {
        self.store.diff(&self.store.lower).join(FINDING)
    }

    /// A file that no row opens, and whose name is short enough for every peer; a peer that shows it works. On a disk,
    /// since fatrace leaves file systems in memory out.
    pub(crate) fn mark(&self) -> PathBuf {
        self.directory.path().join("mark")
    }

    /// Where a peer's output goes: in memory, where fatrace does not see it.
    pub(crate) fn output(&self) -> PathBuf {
        self.elsewhere.path().join("output")
    }
}

/// What only some machines have mounted, and the peers look for.
fn mount_tracing() -> Result<()> {
    for (place, kind, sign) in [
        ("/sys/kernel/tracing", "tracefs", "events"),
        ("/sys/kernel/debug", "debugfs", "tracing/events"),
    ] {
        if !Path::new(place).join(sign).exists() {
            mount(kind, place, kind, MountFlags::empty(), None).with_context(|| format!("mount {place}"))?;
        }
    }
    Ok(())
}

fn in_folder(base: &str) -> Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("lw-").tempdir_in(base)?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}
