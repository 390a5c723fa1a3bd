//! `layerwatch man` and `layerwatch completion`: pages and scripts made from the command line's own definition.
//!
//! Invariant: nothing here says what a verb does; the help texts are the one source. The unit and the packages install
//! what these verbs write.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use super::exit::Done;

/// System administration commands, man-pages(7).
const SECTION: &str = "8";
const NAME: &str = "layerwatch";

/// What `layerwatch man` takes.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Write a page for each verb into this directory [default: the main page to stdout]
    directory: Option<PathBuf>,
}

/// What `layerwatch completion` takes.
#[derive(Debug, Args)]
pub(super) struct CompletionArguments {
    /// The shell
    shell: Shell,
}

/// Writes the manual.
pub(super) fn man(arguments: &ManArguments) -> Result<Done> {
    let command = Arguments::command();
    let Some(directory) = &arguments.directory else {
        let page = clap_mangen::Man::new(command).section(SECTION);
        let mut text = Vec::new();
        page.render(&mut text).context("make the manual page")?;
        return print(&text);
    };
    std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let mut command = command;
    command.build();
    write_pages(&command, directory)?;
    Ok(Done::Clean)
}

fn write_pages(command: &clap::Command, directory: &std::path::Path) -> Result<()> {
    let page = clap_mangen::Man::new(command.clone()).section(SECTION);
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).context("make a manual page")?;
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    for verb in verbs.filter(|verb| verb.get_name() != "help") {
        write_pages(verb, directory)?;
    }
    Ok(())
}

/// Writes a completion script.
pub(super) fn completion(arguments: &CompletionArguments) -> Result<Done> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), NAME, &mut script);
    print(&script)
}

fn print(text: &[u8]) -> Result<Done> {
    std::io::stdout().write_all(text).context("write to stdout")?;
    Ok(Done::Clean)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_verb_has_a_page_that_the_main_page_names() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("man8");
        let arguments = ManArguments {
            directory: Some(pages.clone()),
        };
        man(&arguments).unwrap();
        let read = |name: &str| {
            String::from_utf8(crate::bounded::read(&pages.join(name), 1 << 20).unwrap()).unwrap()
        };
        let main = read("layerwatch.8");
        let mut command = Arguments::command();
        command.build();
        let verbs: BTreeSet<String> = command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
            .map(|verb| verb.get_name().to_owned())
            .collect();
        assert!(
            verbs.contains("run") && !verbs.contains("scan-worker"),
            "{verbs:?}"
        );
        for verb in verbs {
            let escaped = format!("layerwatch\\-{}(8)", verb.replace('-', "\\-"));
            assert!(main.contains(&escaped), "{escaped}");
            assert!(read(&format!("layerwatch-{verb}.8")).starts_with(".ie"), "{verb}");
        }
    }
}
