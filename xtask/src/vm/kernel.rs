//! The kernels of the matrix: Debian's cloud kernels, fetched once and unpacked under the target folder.
//!
//! A kernel's packages come from a suite of their own; none is installed. Modules are read for what they need, since
//! the order of loading is worked out by the package's scripts, which never run here.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::apt::{self, sources};
use crate::workspace::Workspace;
use crate::{files, process, say};

/// A kernel of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 11's
    #[value(name = "5.10")]
    Bullseye,
    /// Debian 12's
    #[value(name = "6.1")]
    Bookworm,
    /// The newer one for Debian 12, which is Debian 13's
    #[value(name = "6.12")]
    Backports,
    /// The newest Debian has
    #[value(name = "sid")]
    Sid,
}

impl Kernel {
    /// From the oldest on.
    pub(crate) const ALL: [Self; 4] = [Self::Bullseye, Self::Bookworm, Self::Backports, Self::Sid];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "5.10",
            Self::Bookworm => "6.1",
            Self::Backports => "6.12",
            Self::Sid => "sid",
        }
    }

    /// Where its package is, and what its name looks like.
    fn package(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Bullseye => (&["bullseye"], r"^linux-image-5\.10\.0-[0-9]+-cloud-amd64$"),
            Self::Bookworm => (
                &["bookworm", "bookworm-security"],
                r"^linux-image-6\.1\.0-[0-9]+-cloud-amd64-unsigned$",
            ),
            Self::Backports => (
                &["bookworm-backports", "bookworm-security"],
                r"^linux-image-6\.12\.[0-9.]+\+deb12-cloud-amd64$",
            ),
            Self::Sid => (&["sid"], r"^linux-image-[0-9.]+\+deb[0-9]+-cloud-amd64$"),
        }
    }
}

/// A kernel ready to boot.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The kernel itself.
    pub(crate) image: PathBuf,
    modules: Vec<PathBuf>,
}

/// Fetches and unpacks a kernel, if that has not been done.
pub(crate) fn fetch(workspace: &Workspace, kernel: Kernel) -> Result<Unpacked> {
    let folder = workspace.target.join("vm/kernels").join(kernel.name());
    files::create_folder(&folder)?;
    let lock = File::create(folder.join("lock")).context("cannot make the kernel's lock file")?;
    lock.lock().context("cannot lock the kernel's folder")?;
    let stamp = folder.join("stamp");
    if !stamp.exists() {
        let packages = unpack(kernel, &folder)?;
        files::write(&stamp, packages.join("\n").as_bytes())?;
    }
    find(&folder.join("root"))
}

fn unpack(kernel: Kernel, folder: &Path) -> Result<Vec<String>> {
    let (suites, expression) = kernel.package();
    let apt = sources::suites(suites, &folder.join("apt"))?;
    let newest = apt
        .names(expression)?
        .into_iter()
        .max_by_key(|name| version_key(name));
    let image = newest.with_context(|| format!("no package matches {expression} in {suites:?}"))?;
    // From 7.2 on the kernel and its modules are packages of their own.
    let parts = |name: &String| name.starts_with("linux-binary-") || name.starts_with("linux-modules-");
    let needed = apt.dependencies(&image)?.into_iter().filter(parts);
    let packages: Vec<_> = [image.clone()].into_iter().chain(needed).collect();
    say::progress(&format!("vm: unpacking {}", packages.join(" ")));
    let root = folder.join("root");
    files::empty_folder(&root)?;
    let download = folder.join("download");
    for deb in apt.download(&packages, &download)? {
        apt::unpack(&deb, &root)?;
    }
    std::fs::remove_dir_all(&download)?;
    std::fs::remove_dir_all(folder.join("apt"))?;
    Ok(packages)
}

/// The numbers in a package's name, so that 6.1.0-9 comes before 6.1.0-10.
fn version_key(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn find(root: &Path) -> Result<Unpacked> {
    let printed = process::output(Command::new("find").arg(root).args(["-type", "f"]))?;
    let (mut image, mut modules) = (None, Vec::new());
    for path in printed.lines().map(PathBuf::from) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("vmlinuz") {
            image = Some(path);
        } else if is_module(&name) {
            modules.push(path);
        }
    }
    let image = image.with_context(|| format!("{} holds no kernel", root.display()))?;
    Ok(Unpacked { image, modules })
}

impl Unpacked {
    /// The modules `wanted` and all they need, each after what it needs, with their contents.
    ///
    /// A module that is not there is taken to be built in.
    pub(crate) fn modules(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut loaded = Vec::new();
        let mut seen = BTreeSet::new();
        for name in wanted {
            self.add(name, &mut seen, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        loaded: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        let name = name.replace('-', "_");
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        let Some(path) = self.modules.iter().find(|path| module_name(path) == name) else {
            return Ok(());
        };
        let bytes = contents(path)?;
        let Some(needed) = needed(&bytes) else {
            bail!("{} does not say what it needs", path.display())
        };
        for other in needed {
            self.add(&other, seen, loaded)?;
        }
        loaded.push((name, bytes));
        Ok(())
    }
}

fn is_module(name: &str) -> bool {
    name.strip_suffix(".xz")
        .unwrap_or(name)
        .rsplit_once('.')
        .is_some_and(|(_, end)| end == "ko")
}

fn module_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().replace('-', "_")
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|end| end != "xz") {
        return files::read(path);
    }
    let done = Command::new("xz")
        .arg("-dc")
        .arg(path)
        .output()
        .context("cannot start xz")?;
    anyhow::ensure!(done.status.success(), "cannot unpack {}", path.display());
    Ok(done.stdout)
}

/// The `depends=a,b` entry of a module's `.modinfo` section: strings with a NUL after each.
fn needed(module: &[u8]) -> Option<Vec<String>> {
    let entry = module
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))?;
    let names = String::from_utf8_lossy(entry);
    Some(
        names
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_its_numbers() {
        let check = |smaller: &str, larger: &str| {
            assert!(version_key(smaller) < version_key(larger), "{smaller} {larger}");
        };
        check(
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-10-cloud-amd64",
        );
        check(
            "linux-image-6.12.99+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
        );
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let folder = tempfile::tempdir().unwrap();
        let modules = [
            ("b.ko", "depends=a,c-c"),
            ("a.ko", "depends="),
            ("c_c.ko", "depends=a"),
            ("d.ko", "x"),
        ];
        let paths = modules.map(|(name, entry)| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("\u{7f}ELF\0license=GPL\0{entry}\0tail")).unwrap();
            path
        });
        let kernel = Unpacked {
            image: PathBuf::new(),
            modules: paths.to_vec(),
        };
        let names = |wanted: &[&str]| {
            kernel
                .modules(wanted)
                .map(|list| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["b", "built-in"]).unwrap(), ["a", "c_c", "b"]);
        assert!(
            names(&["d"])
                .unwrap_err()
                .to_string()
                .contains("does not say what it needs")
        );
    }
}
