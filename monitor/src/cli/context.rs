//! What every verb starts from: the configuration, the host's catalog, a survey that can scan.
//!
//! Invariant: nothing here needs privileges by itself; what cannot be read is said on stderr. Used by the verbs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::output::note;
use crate::app;
use crate::catalog::{self, Catalog, Host, Problem};
use crate::config::{self, Config, FlagOverrides};
use crate::exposure::{Processes, Surroundings};
use crate::knowledge::HostFacts;
use crate::scan::Effort;
use crate::survey::Survey;

/// The arguments that all verbs share.
#[derive(Debug, Clone)]
pub(super) struct Context {
    file: Option<PathBuf>,
    settings: Vec<String>,
}

impl Context {
    pub(super) fn new(file: Option<PathBuf>, settings: Vec<String>) -> Self {
        Self { file, settings }
    }

    /// The same with one more setting, which counts as a flag.
    pub(super) fn with(&self, key: &str, value: &str) -> Self {
        let mut settings = self.settings.clone();
        settings.push(format!("{key}={value}"));
        Self {
            file: self.file.clone(),
            settings,
        }
    }

    /// The configuration from flags, environment and file; `more` are flags of the verb itself.
    pub(super) fn config(&self, more: &[(&str, &str)]) -> Result<Config> {
        let mut flags = FlagOverrides::default();
        for setting in &self.settings {
            let (key, value) = setting
                .split_once('=')
                .with_context(|| format!("--set {setting}: KEY=VALUE expected"))?;
            flags.set(key, value);
        }
        for (key, value) in more {
            flags.set(key, value);
        }
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(config::load(self.file.as_deref(), &environment, &flags)?)
    }

    /// Every store of the host as it is on the disk; problems are told on stderr.
    pub(super) fn catalog(&self) -> Result<(Host, Catalog)> {
        let config = self.config(&[])?;
        let host = Host::new(&config.stores.host_root);
        let catalog = catalog::read(&host, &config.stores.roots);
        tell(&catalog.problems);
        if catalog.stores.is_empty() {
            note("layerwatch: no container store was found; name one with --set stores.roots=DIRECTORY");
        }
        Ok((host, catalog))
    }

    /// A survey that has read and scanned nothing yet.
    pub(super) fn survey(&self) -> Result<Survey> {
        let config = self.config(&[])?;
        let worker = app::worker(&config, Effort::FOREGROUND, |_| {})?;
        Ok(Survey::new(
            app::survey_options(&config, HostFacts::default()),
            worker,
            app::scan_cache(&config),
        ))
    }
}

/// What decides who can read, as it is now.
pub(super) fn surroundings(host: &Host, catalog: &Catalog) -> Surroundings {
    let engines = crate::enrich::running_engines(&host.path("/proc"));
    let roots: Vec<PathBuf> = engines.into_iter().map(|engine| engine.root).collect();
    Surroundings::look(host, catalog, &Processes::look(host), &roots)
}

/// Problems as warnings.
pub(super) fn tell(problems: &[Problem]) {
    for problem in problems {
        note(&format!("layerwatch: warning: {problem}"));
    }
}

/// Runs a verb's asynchronous part on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(work)
}
