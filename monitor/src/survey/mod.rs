//! The knowledge plane: catalog ─▶ scan ─▶ exposure ─▶ trust ─▶ snapshot, again whenever a store changes.
//!
//! Invariant: a snapshot is published with new layers before they are scanned, so that reads of them are held and not
//! missed, and again when they are. Nothing here is waited for by the event plane. `task` runs it in the agent; the
//! commands call `Survey` directly.

mod assemble;
mod attempts;
mod exposed;
mod inventory;
mod packed;
mod scans;
mod signs;
mod task;
mod watches;
mod witness;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::catalog::{self, Catalog, Host};
use crate::enrich::{engine_executables, running_engines};
use crate::exposure::{Processes, Surroundings};
use crate::knowledge::{HostFacts, Knowledge};
use crate::model::{DevIno, Finding, ImageId, Layer, StoreId};
use crate::scan::{ImageRequest, LayerRequest, LayerScan, ScanCache, ScanError, ScanWorker};
use crate::trust::TrustInputs;
pub(crate) use assemble::visibility;
use scans::Scans;
pub use task::{Happening, Outputs, SurveyTask};
pub use watches::watch_set;

/// What a survey is asked to look at.
#[derive(Debug, Clone)]
pub struct SurveyOptions {
    /// Where the host's root is mounted.
    pub host: Host,
    /// Storage roots beyond those that are found.
    pub roots: Vec<PathBuf>,
    /// How long the scan of one layer may take.
    pub scan_deadline: Duration,
    /// Facts of the host that do not change.
    pub facts: HostFacts,
}

/// Everything known so far; grows step by step.
#[derive(Debug)]
pub struct Survey {
    options: SurveyOptions,
    catalog: Arc<Catalog>,
    scans: Scans,
    worker: ScanWorker,
    cache: Option<Arc<ScanCache>>,
    /// Layers whose result was kept from an earlier run or another store.
    restored: u64,
    generation: u64,
    /// Who runs processes, and when that was looked at.
    running: Option<Running>,
}

/// The processes are not looked at more often.
const PROCESSES: Duration = Duration::from_secs(15);

/// What the processes of a moment tell.
#[derive(Debug)]
struct Running {
    looked: Instant,
    processes: Processes,
    engines: Vec<DevIno>,
    engine_roots: Vec<PathBuf>,
}

impl Running {
    fn look(host: &Host) -> Self {
        let engines = running_engines(&host.path("/proc"));
        Self {
            looked: Instant::now(),
            processes: Processes::look(host),
            engines: engines.iter().map(|engine| engine.exe).collect(),
            engine_roots: engines.into_iter().map(|engine| engine.root).collect(),
        }
    }
}

/// Something to scan.
#[derive(Debug, Clone)]
pub(crate) enum Pending {
    /// A layer's content.
    Layer(Box<Layer>),
    /// An image's configuration, in this file.
    Image(StoreId, ImageId, PathBuf),
}

impl Survey {
    /// Knows nothing yet.
    pub fn new(options: SurveyOptions, worker: ScanWorker, cache: Option<ScanCache>) -> Self {
        Self {
            options,
            catalog: Arc::default(),
            scans: Scans::default(),
            worker,
            cache: cache.map(Arc::new),
            restored: 0,
            generation: 0,
            running: None,
        }
    }

    /// How many layers were not scanned because their result was kept.
    pub fn restored(&self) -> u64 {
        self.restored
    }

    /// What it was asked to look at.
    pub fn options(&self) -> &SurveyOptions {
        &self.options
    }

    /// The newest catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Reads every store again.
    ///
    /// # Errors
    /// Only if the reading thread died; a store that cannot be read is a problem in the catalog.
    pub async fn refresh(&mut self) -> Result<(), tokio::task::JoinError> {
        let previous = Arc::clone(&self.catalog);
        let (host, roots) = (self.options.host.clone(), self.options.roots.clone());
        let read = tokio::task::spawn_blocking(move || {
            let catalog = catalog::refresh(&previous, &host, &roots);
            (previous, catalog)
        });
        let (previous, catalog) = read.await?;
        self.catalog = Arc::new(catalog);
        self.scans.retain(&previous, &self.catalog);
        Ok(())
    }

    /// The next thing that has not been scanned.
    pub(crate) fn pending(&self) -> Option<Pending> {
        let mut layers = self.catalog.layers.values();
        let layer = layers.find(|layer| layer.is_scannable() && self.scans.wants_layer(&layer.key));
        if let Some(layer) = layer {
            return Some(Pending::Layer(Box::new(layer.clone())));
        }
        self.catalog.images.iter().find_map(|image| {
            let config = image.config.as_ref()?;
            self.scans
                .wants_image(&image.store, &image.id)
                .then(|| Pending::Image(image.store.clone(), image.id.clone(), config.clone()))
        })
    }

    /// Scans one thing; a failure is remembered, so that it is tried again a few times and not for ever.
    pub(crate) async fn scan(&mut self, pending: &Pending) -> Result<(), ScanError> {
        match pending {
            Pending::Layer(layer) if layer.is_file() => {
                let deadline = self.options.scan_deadline;
                let result = packed::scan(&mut self.worker, layer, deadline).await;
                self.scans.layer_done(&layer.key, result)
            }
            Pending::Layer(layer) => {
                if let Some(scan) = self.restore(layer).await {
                    self.restored += 1;
                    return self.scans.layer_done(&layer.key, Ok(scan));
                }
                let request = LayerRequest {
                    layer: Some(layer.key.clone()),
                    root: layer.content.clone(),
                    root_key: layer.content_key,
                    deadline: self.options.scan_deadline,
                };
                let result = self.worker.scan_layer(request).await;
                if let Ok(scan) = &result {
                    self.keep(layer, scan).await;
                }
                self.scans.layer_done(&layer.key, result)
            }
            Pending::Image(store, image, path) => {
                let request = ImageRequest {
                    store: store.clone(),
                    image: image.clone(),
                    path: path.clone(),
                    deadline: self.options.scan_deadline,
                };
                let result = self.worker.scan_image_config(request).await;
                self.scans.image_done(store, image, result)
            }
        }
    }

    /// What is kept of the layer. Reading may block, so it happens on a thread of its own; a cache that fails is none.
    async fn restore(&self, layer: &Layer) -> Option<LayerScan> {
        let cache = Arc::clone(self.cache.as_ref()?);
        let (store, layer) = (self.catalog.store(&layer.key.store)?.clone(), layer.clone());
        let read = tokio::task::spawn_blocking(move || cache.layer(&store, &layer)).await;
        match read {
            Ok(Ok(scan)) => scan,
            Ok(Err(error)) => {
                tracing::debug!(error = %crate::telemetry::happenings::chain(&error), "a kept result is not used");
                None
            }
            Err(_) => None,
        }
    }

    async fn keep(&self, layer: &Layer, scan: &LayerScan) {
        let Some((cache, store)) = self.cache.as_ref().zip(self.catalog.store(&layer.key.store)) else {
            return;
        };
        let (cache, store) = (Arc::clone(cache), store.clone());
        let (layer, scan) = (layer.clone(), scan.clone());
        let kept = tokio::task::spawn_blocking(move || cache.keep(&store, &layer, &scan)).await;
        if let Ok(Err(error)) = kept {
            tracing::debug!(error = %crate::telemetry::happenings::chain(&error), "a result is not kept");
        }
    }

    /// Scans one layer alone: what a question about one path needs.
    pub async fn scan_layer(&mut self, layer: &Layer) -> Result<(), ScanError> {
        self.scan(&Pending::Layer(Box::new(layer.clone()))).await
    }

    /// Reads and scans everything once: what the commands do. `progress` hears of each thing before it is scanned.
    ///
    /// # Errors
    /// As [`Survey::refresh`]; the scans that failed are given back.
    pub async fn once(
        &mut self,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<ScanError>, tokio::task::JoinError> {
        self.refresh().await?;
        let mut failed = Vec::new();
        let mut done = 0;
        while let Some(pending) = self.pending() {
            progress(done);
            done += 1;
            if let Err(error) = self.scan(&pending).await {
                failed.push(error);
            }
        }
        Ok(failed)
    }

    /// How many things there are to scan still.
    pub fn pending_count(&self) -> usize {
        let layers = self.catalog.layers.values();
        layers
            .filter(|layer| layer.is_scannable() && self.scans.wants_layer(&layer.key))
            .count()
    }

    /// What the scans of image configurations found.
    pub fn image_findings(&self) -> &BTreeMap<(StoreId, ImageId), Vec<Finding>> {
        self.scans.images()
    }

    /// Judges exposure, visibility and trust anew and makes the next snapshot.
    ///
    /// # Errors
    /// Only if the judging thread died.
    pub async fn snapshot(&mut self, now: Timestamp) -> Result<Arc<Knowledge>, tokio::task::JoinError> {
        self.generation += 1;
        let input = assemble::Input {
            generation: self.generation,
            built: now,
            facts: self.options.facts,
            catalog: Arc::clone(&self.catalog),
            layers: self.scans.layers(),
            configs: self.scans.images().clone(),
        };
        let host = self.options.host.clone();
        let kept = self.running.take();
        let kept = kept.filter(|running| running.looked.elapsed() < PROCESSES);
        let (knowledge, running) = tokio::task::spawn_blocking(move || {
            let running = kept.unwrap_or_else(|| Running::look(&host));
            let surroundings =
                Surroundings::look(&host, &input.catalog, &running.processes, &running.engine_roots);
            let trust = TrustInputs::read(host.root());
            let mut engines = engine_executables(host.root());
            engines.extend(&running.engines);
            engines.sort_unstable();
            engines.dedup();
            let parts = assemble::parts(&input, &surroundings, &trust, engines);
            (Arc::new(Knowledge::from(parts)), running)
        })
        .await?;
        self.running = Some(running);
        Ok(knowledge)
    }

    /// The scan worker's process id while one runs, so that the kernel programs can leave it out.
    pub fn worker_pid(&self) -> Option<u32> {
        self.worker.pid()
    }
}
