//! A layer directory with a finding in it, traced by the best tier that works here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use layerwatch::kernel::{self, Canary, Tier, TierPreference, Tracer, WatchMaps, WatchSet};
use layerwatch::model::DevIno;
use layerwatch_ebpf::{InodeKey, Record, kinds, watch_flags};
use layerwatch_tests::run;
use rustix::mount::{MountFlags, UnmountFlags};

/// How long a record may take; where none can come, there is no need to wait for long.
fn deadline() -> Duration {
    Duration::from_secs(if detached() { 2 } else { 10 })
}

/// Whether the open hook is detached after the self-check, to show that the tests can fail.
pub(crate) fn detached() -> bool {
    std::env::var_os("LAYERWATCH_TEST_DETACHED").is_some()
}

/// The tier that `LAYERWATCH_TEST_TIER` (a, b, c or d) asks for; unset for the best.
pub(crate) fn preference() -> TierPreference {
    let asked = std::env::var("LAYERWATCH_TEST_TIER").ok();
    let tier = asked.map(|asked| {
        let known = |tier: &Tier| tier.as_str().eq_ignore_ascii_case(&asked);
        Tier::ALL
            .into_iter()
            .find(known)
            .expect("LAYERWATCH_TEST_TIER is a tier")
    });
    TierPreference {
        forced: tier,
        ..TierPreference::default()
    }
}

/// The user that reads.
pub(crate) const USER: u32 = 1000;

/// A traced layer below a directory that everybody can enter.
pub(crate) struct Layer {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) tier: Tier,
    canary: Canary,
    ring: kernel::Ring,
    // Dropped last: it holds the attached programs.
    maps: WatchMaps,
    _tracer: Tracer,
}

impl Layer {
    /// `upper/` above `lower/`, each a layer; `lower/etc/secret.key` is the finding, `lower/etc/motd` is not.
    pub(crate) fn new() -> Result<Self> {
        Self::with(|_, _| Ok(()))
    }

    /// The same with more files and watches: `prepare` gets the directory and the set.
    pub(crate) fn with(prepare: impl FnOnce(&Path, &mut WatchSet) -> Result<()>) -> Result<Self> {
        Self::on(base()?, prepare)
    }

    /// The same in a directory below `base`.
    pub(crate) fn on(base: &Path, prepare: impl FnOnce(&Path, &mut WatchSet) -> Result<()>) -> Result<Self> {
        let directory = directory_in(base)?;
        for name in ["lower/etc", "upper", "work", "merged", "elsewhere"] {
            std::fs::create_dir_all(directory.path().join(name))?;
        }
        std::fs::write(directory.path().join("lower/etc/secret.key"), "the secret\n")?;
        std::fs::write(directory.path().join("lower/etc/motd"), "welcome\n")?;
        let canary = Canary::create(directory.path())?;
        let (mut tracer, choice) = kernel::start(&preference(), &canary)?;
        if let Ok(lands) = std::env::var("LAYERWATCH_TEST_LANDS") {
            ensure!(
                choice.tier.as_str() == lands,
                "tier {} instead of {lands}: {:?}",
                choice.tier,
                choice.rejections
            );
        }
        let mut maps = tracer.take_maps().context("maps are taken once")?;
        let mut ring = tracer.take_ring().context("the ring is taken once")?;
        let mut set = WatchSet::default();
        set.files
            .insert(key(&directory.path().join("lower/etc/secret.key"))?, 0);
        set.files.insert(canary.key(), watch_flags::CANARY);
        set.directories.insert(
            key(&directory.path().join("lower"))?,
            watch_flags::LAYER | watch_flags::SCANNED,
        );
        prepare(directory.path(), &mut set)?;
        ensure!(maps.apply(&set)? == 0, "the watch set did not fit");
        if detached() {
            tracer.detach_hooks()?;
            // The kernel lets a link go in its own time: until the canary stays unseen, the hook still fires.
            canary.open()?;
            while ring.wait(Duration::from_millis(500)).is_some() {
                canary.open()?;
            }
        }
        Ok(Self {
            directory,
            tier: choice.tier,
            canary,
            ring,
            maps,
            _tracer: tracer,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The key of the finding's inode.
    pub(crate) fn secret(&self) -> Result<DevIno> {
        key(&self.path("lower/etc/secret.key"))
    }

    pub(crate) fn maps(&mut self) -> &mut WatchMaps {
        &mut self.maps
    }

    /// Watches this set and the canary instead.
    pub(crate) fn watch(&mut self, mut set: WatchSet) -> Result<()> {
        set.files.insert(self.canary.key(), watch_flags::CANARY);
        ensure!(self.maps.apply(&set)? == 0, "the watch set did not fit");
        Ok(())
    }

    /// All records so far. Each is in the ring before the call that it is about returns, so what the caller waited for is
    /// there; with the hook attached the canary proves that it still fires.
    pub(crate) fn everything(&mut self) -> Result<Vec<Record>> {
        if detached() {
            return Ok(self.drain());
        }
        self.records()
    }

    /// What lies in the ring now.
    pub(crate) fn drain(&mut self) -> Vec<Record> {
        let frames = std::iter::from_fn(|| self.ring.wait(Duration::ZERO));
        frames.map(|frame| bytemuck::pod_read_unaligned(&frame)).collect()
    }

    /// The records up to the canary, which is opened now: what came before it is all there was.
    pub(crate) fn records(&mut self) -> Result<Vec<Record>> {
        self.canary.open()?;
        let start = Instant::now();
        let mut records = Vec::new();
        while start.elapsed() < deadline() {
            let Some(frame) = self.ring.wait(deadline().saturating_sub(start.elapsed())) else {
                continue;
            };
            let record: Record = bytemuck::pod_read_unaligned(&frame);
            if record.kind == kinds::CANARY && record.tgid == std::process::id() {
                return Ok(records);
            }
            // Other test processes have canaries of their own.
            if record.kind != kinds::CANARY {
                records.push(record);
            }
        }
        bail!(
            "the canary was not seen within {} s: the open hook does not fire",
            deadline().as_secs()
        )
    }
}

/// Whether this is a machine of `cargo xtask vm`, whose processor is emulated.
pub(crate) fn emulated() -> bool {
    Path::new("/data").is_dir()
}

/// Whether the kernel tells how this part of it keeps its data: of modules it does from Linux 5.11 on.
pub(crate) fn tells_types_of(module: &str) -> bool {
    let is_module = Path::new("/sys/module").join(module).join("initstate").exists();
    !is_module || Path::new("/sys/kernel/btf").join(module).exists()
}

/// A directory on a disk, not on an overlay, that everybody can enter.
pub(crate) fn directory() -> Result<tempfile::TempDir> {
    directory_in(base()?)
}

fn base() -> Result<&'static Path> {
    let base = ["/data", "/var/tmp"].into_iter().map(Path::new);
    base.into_iter()
        .find(|base| base.is_dir())
        .context("no directory for the layer")
}

fn directory_in(base: &Path) -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir_in(base)?;
    open_to_all(directory.path())?;
    Ok(directory)
}

/// An inode as the kernel's maps have it.
pub(crate) fn wire(key: DevIno) -> InodeKey {
    InodeKey::new(key.dev.0, key.ino)
}

/// The key of a file.
pub(crate) fn key(path: &Path) -> Result<DevIno> {
    let metadata = std::fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
    Ok(DevIno::of(&metadata))
}

fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Reads a file as `uid` with the system's own `cat`; the content.
pub(crate) fn cat_as(uid: u32, path: &Path) -> Result<String> {
    use std::os::unix::process::CommandExt;
    let output = Command::new("cat")
        .arg(path)
        .uid(uid)
        .gid(uid)
        .output()
        .context("run cat")?;
    ensure!(
        output.status.success(),
        "cat {}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A mount that ends with the test.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn bind(from: &Path, to: &Path) -> Result<Self> {
        rustix::mount::mount_bind(from, to).context("bind mount")?;
        Ok(Self(to.to_owned()))
    }

    /// One that somebody else mounted.
    pub(crate) fn of(at: &Path) -> Self {
        Self(at.to_owned())
    }

    /// A file system in a file.
    pub(crate) fn image(kind: &str, image: &Path, to: &Path) -> Result<Self> {
        run(Command::new("mount")
            .args(["-t", kind, "-o", "loop"])
            .args([image, to]))?;
        Ok(Self(to.to_owned()))
    }

    /// A file system without a device.
    pub(crate) fn file_system(name: &str, to: &Path) -> Result<Self> {
        rustix::mount::mount(name, to, name, MountFlags::empty(), None)
            .with_context(|| format!("mount {name}"))?;
        Ok(Self(to.to_owned()))
    }

    /// An empty tmpfs that everybody can enter.
    pub(crate) fn tmpfs(to: &Path) -> Result<Self> {
        rustix::mount::mount("tmpfs", to, "tmpfs", MountFlags::empty(), c"mode=755")
            .context("mount a tmpfs")?;
        Ok(Self(to.to_owned()))
    }

    /// An overlay of lower directories only, topmost first.
    pub(crate) fn lower_only(lower: &[&Path], to: &Path) -> Result<Self> {
        let lower: Vec<_> = lower.iter().map(|path| path.display().to_string()).collect();
        let options = std::ffi::CString::new(format!("lowerdir={}", lower.join(":")))?;
        rustix::mount::mount("overlay", to, "overlay", MountFlags::empty(), options.as_c_str())
            .context("mount an overlay")?;
        Ok(Self(to.to_owned()))
    }

    pub(crate) fn overlay(layer: &Layer) -> Result<Self> {
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            layer.path("lower").display(),
            layer.path("upper").display(),
            layer.path("work").display(),
        );
        let to = layer.path("merged");
        let options = std::ffi::CString::new(options)?;
        rustix::mount::mount("overlay", &to, "overlay", MountFlags::empty(), options.as_c_str())
            .context("mount an overlay")?;
        Ok(Self(to))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
        assert!(
            unmounted.is_ok() || std::thread::panicking(),
            "{}: {unmounted:?}",
            self.0.display()
        );
    }
}
