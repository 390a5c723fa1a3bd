//! Debian's package tools: what is installed, what could be, installing only what is missing, unpacking privately.
//!
//! No package version and no archive address is written here: both come from the machine's own configuration.

pub(crate) mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{files, process, say};

/// Which package lists apt works on.
#[derive(Debug, Default, Clone)]
pub(crate) struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// The machine's own lists.
    pub(crate) fn system() -> Self {
        Self::default()
    }

    /// Lists of its own, given as apt configuration items.
    pub(crate) fn with_options(options: Vec<String>) -> Self {
        Self { options }
    }

    /// Whether this machine has Debian's package tools at all.
    pub(crate) fn exists() -> bool {
        ["apt-get", "apt-cache", "dpkg"]
            .iter()
            .all(|tool| process::find(tool).is_some())
    }

    /// The version apt would take of a package, if any.
    pub(crate) fn candidate(&self, package: &str) -> Result<Option<String>> {
        let printed = process::output(self.command("apt-cache").args(["policy", package]))?;
        Ok(candidate_in(&printed))
    }

    /// The names of the packages that `package` needs.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let printed = process::output(self.command("apt-cache").args(["depends", package]))?;
        Ok(dependencies_in(&printed))
    }

    /// The names of all packages that match a regular expression.
    pub(crate) fn names(&self, expression: &str) -> Result<Vec<String>> {
        let printed =
            process::output(
                self.command("apt-cache")
                    .args(["search", "--names-only", expression]),
            )?;
        Ok(printed
            .lines()
            .filter_map(|line| line.split(' ').next())
            .map(str::to_owned)
            .collect())
    }

    /// Fetches packages into `folder` without installing them and returns the files.
    pub(crate) fn download(&self, packages: &[String], folder: &Path) -> Result<Vec<PathBuf>> {
        files::empty_folder(folder)?;
        let mut command = self.command("apt-get");
        // The sandbox user could not write to a private folder.
        command
            .args(["-o", "APT::Sandbox::User=root", "download"])
            .args(packages)
            .current_dir(folder);
        process::run_quietly(&mut command)?;
        let debs = files_in(folder)?;
        ensure!(
            debs.len() == packages.len(),
            "apt fetched {} of {} packages",
            debs.len(),
            packages.len()
        );
        Ok(debs)
    }

    /// Fetches packages, and those they need that are not installed, into `folder` and returns the files.
    pub(crate) fn download_with_dependencies(
        &self,
        packages: &[&str],
        folder: &Path,
    ) -> Result<Vec<PathBuf>> {
        files::empty_folder(folder)?;
        files::create_folder(&folder.join("partial"))?;
        let mut command = self.command("apt-get");
        command
            .args(["-o", "APT::Sandbox::User=root"])
            // Nothing of the system is changed: neither its lock nor its rights are needed.
            .args(["-o", "Debug::NoLocking=1", "-o"])
            .arg(format!("Dir::Cache::archives={}", folder.display()))
            .args([
                "--yes",
                "--no-install-recommends",
                "--download-only",
                "--reinstall",
                "install",
            ])
            .args(packages);
        process::run_quietly(&mut command)?;
        std::fs::remove_dir_all(folder.join("partial")).context("cannot remove apt's folder")?;
        files_in(folder)
    }

    /// Reads the package lists anew.
    pub(crate) fn update(&self) -> Result<()> {
        process::run_quietly(self.command("apt-get").arg("update"))
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.env("LC_ALL", "C");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Unpacks a package into a folder, running none of its scripts.
pub(crate) fn unpack(deb: &Path, folder: &Path) -> Result<()> {
    process::run_quietly(Command::new("dpkg").arg("-x").arg(deb).arg(folder))
}

/// Whether a package is installed.
pub(crate) fn installed(package: &str) -> bool {
    process::output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev}", package]))
        .is_ok_and(|status| status.starts_with("ii"))
}

/// Installs those of the packages that are missing; reads the lists anew only if one is not known.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<_> = packages
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    say::progress(&format!("setup: installing {}", missing.join(" ")));
    if !known(&missing)? {
        update_system()?;
    }
    // A list can be older than the archive, which then no longer has the version: read it and try once more.
    install_now(&missing).or_else(|_| update_system().and_then(|()| install_now(&missing)))
}

/// Reads the machine's package lists anew.
pub(crate) fn update_system() -> Result<()> {
    process::run_quietly(process::elevated("apt-get")?.arg("update"))
}

fn install_now(packages: &[&str]) -> Result<()> {
    let mut command = process::elevated("env")?;
    command
        .args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "--yes",
            "--no-install-recommends",
        ])
        .args(packages);
    process::run_quietly(&mut command)
}

fn known(packages: &[&str]) -> Result<bool> {
    for package in packages {
        if Apt::system().candidate(package)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn candidate_in(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn dependencies_in(printed: &str) -> Vec<String> {
    let names = printed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    names
        .filter(|name| !name.starts_with('<'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidate_is_the_version_apt_would_take() {
        let check = |policy: &str, expected: Option<&str>| {
            assert_eq!(candidate_in(policy).as_deref(), expected, "{policy}");
        };
        check("", None);
        check("x:\n  Installed: (none)\n  Candidate: (none)\n", None);
        check(
            "x:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n  Version table:\n",
            Some("1:22.1.8-1~deb12u1"),
        );
    }

    #[test]
    fn dependencies_leave_out_virtual_packages_and_other_relations() {
        let printed = "a\n  Depends: libc6\n  Depends: <libc-dev>\n    libc6-dev\n  Conflicts: b\n |Depends: c\n  Depends: libllvm22\n";
        assert_eq!(dependencies_in(printed), ["libc6", "libllvm22"]);
    }
}
