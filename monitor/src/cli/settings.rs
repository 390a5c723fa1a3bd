//! `layerwatch check-config` and `layerwatch config show`.

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use super::context::Context;
use super::exit::Done;
use super::output::{Item, Output, OutputArguments, note};
use super::tone::Entry;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Every key with its value and where that comes from; secrets are files, and only their names are shown
    Show(OutputArguments),
}

/// One key.
#[derive(Debug, Serialize)]
struct SettingRow {
    key: &'static str,
    value: toml::Value,
    origin: String,
}

impl Item for SettingRow {
    const KIND: &'static str = "setting";
    const LIST: &'static str = "settings";
    const COLUMNS: &'static [&'static str] = &["KEY", "VALUE", "FROM"];

    fn rows(&self) -> Vec<Vec<Entry>> {
        vec![vec![
            Entry::plain(self.key),
            Entry::outside(self.value.to_string()),
            Entry::outside(&self.origin),
        ]]
    }
}

/// Says whether the configuration is valid; an error names line, column and the nearest right key.
pub(super) fn check(context: &Context) -> Result<Done> {
    let config = context.config(&[])?;
    for ignored in &config.settings.ignored {
        note(&format!(
            "layerwatch: warning: the variable {} is no key of the configuration",
            ignored.name
        ));
    }
    note("layerwatch: the configuration is valid");
    Ok(Done::Clean)
}

/// Shows every key.
pub(super) fn show(context: &Context, output: OutputArguments) -> Result<Done> {
    let config = context.config(&[])?;
    let rows: Vec<SettingRow> = config
        .settings
        .all
        .iter()
        .map(|setting| SettingRow {
            key: setting.key,
            value: setting.value.clone(),
            origin: setting.origin.to_string(),
        })
        .collect();
    Output::new(output).list(&rows, &[])?;
    Ok(Done::Clean)
}
