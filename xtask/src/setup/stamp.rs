//! The record of a finished setup: `key=value` lines beside the toolchain.
//!
//! It counts only while the tools it names still start and still have the versions it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Toolchain;
use crate::{files, process};

/// The recorded toolchain, if it is complete and still works.
pub(super) fn read(prefix: &Path) -> Result<Option<Toolchain>> {
    let path = prefix.join("stamp");
    if !path.exists() {
        return Ok(None);
    }
    let recorded = parse(&files::read_text(&path)?);
    Ok(recorded.filter(|toolchain| versions(toolchain).is_ok_and(|now| now == toolchain.versions)))
}

/// Records a toolchain.
pub(super) fn write(prefix: &Path, toolchain: &Toolchain) -> Result<()> {
    files::write(&prefix.join("stamp"), render(toolchain).as_bytes())
}

/// What the compiler and the linker say of themselves.
pub(super) fn versions(toolchain: &Toolchain) -> Result<String> {
    let mut rustc = Command::new(&toolchain.rustc);
    if let Some(libraries) = &toolchain.libraries {
        rustc.env("LD_LIBRARY_PATH", libraries);
    }
    let rustc = process::output(rustc.arg("--version"))?;
    let linker = process::output(Command::new(&toolchain.linker).arg("--version"))?;
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    Ok(format!("{}, {}", first(&rustc), first(&linker)))
}

/// The toolchain with its versions filled in, which proves that its tools start.
pub(super) fn proved(mut toolchain: Toolchain) -> Result<Toolchain> {
    toolchain.versions = versions(&toolchain).context("the toolchain was fetched but does not start")?;
    Ok(toolchain)
}

fn render(toolchain: &Toolchain) -> String {
    let libraries = toolchain.libraries.as_deref().unwrap_or(Path::new(""));
    format!(
        "way={}\nrustc={}\ncargo={}\nlibraries={}\nbuild_core={}\nlinker={}\nversions={}\n",
        toolchain.way,
        toolchain.rustc.display(),
        toolchain.cargo.display(),
        libraries.display(),
        toolchain.build_core,
        toolchain.linker.display(),
        toolchain.versions,
    )
}

fn parse(text: &str) -> Option<Toolchain> {
    let fields: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let field = |name| fields.get(name).copied();
    Some(Toolchain {
        way: field("way")?.to_owned(),
        rustc: field("rustc")?.into(),
        cargo: field("cargo")?.into(),
        libraries: field("libraries")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        build_core: field("build_core")?.parse().ok()?,
        linker: field("linker")?.into(),
        versions: field("versions")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_cut_one_does_not_count() {
        let toolchain = Toolchain {
            way: "a way".into(),
            rustc: "/p/rustc".into(),
            cargo: "/p/cargo".into(),
            libraries: None,
            build_core: true,
            linker: "/p/linker".into(),
            versions: "rustc 1, linker = 2".into(),
        };
        let text = render(&toolchain);
        assert_eq!(parse(&text), Some(toolchain.clone()));
        let with_libraries = Toolchain {
            libraries: Some("/p/lib".into()),
            ..toolchain
        };
        assert_eq!(parse(&render(&with_libraries)), Some(with_libraries));
        assert_eq!(parse(text.split_once("build_core").unwrap().0), None);
    }

    #[test]
    fn a_record_whose_tools_are_gone_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "way=w\nrustc=/nonexistent/rustc\ncargo=c\nlibraries=\nbuild_core=false\nlinker=l\nversions=v\n";
        std::fs::write(folder.path().join("stamp"), text).unwrap();
        assert!(parse(text).is_some());
        assert_eq!(read(folder.path()).unwrap(), None);
    }
}
