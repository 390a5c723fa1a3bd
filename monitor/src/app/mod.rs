//! The wiring of the agent, in the order in which an event travels.
//!
//! Invariant: everything that needs privileges is done before the runtime starts; on the way out the source is stopped
//! first, the rest runs dry, and the wait is bounded. A task that ends by itself ends the agent, loudly.
//! Called by `layerwatch run` and `layerwatch record`.

mod books;
mod clock;
mod deliver;
mod events;
mod housekeeping;
mod start;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::catalog::{self, Catalog, StoreWatch};
use crate::config::Config;
use crate::correlate::PlaneSettings;
use crate::enrich::{EnrichRoots, Enricher};
use crate::kernel::{self, RingLosses, WatchMaps};
use crate::knowledge::Knowledge;
use crate::plane::EventPlane;
use crate::recording::{Header, Recorder};
use crate::sinks::{Sinks, WebState};
use crate::survey::{self, Happening, Outputs, Survey, SurveyTask};
use crate::telemetry::happenings::{KnowledgeBuilt, KnowledgeFailed};
use crate::telemetry::{Condition, Health, Metrics, Notice, Notifier, Readiness};
pub use clock::now;
use events::EventTask;
use housekeeping::Housekeeping;
pub use start::{Preflight, Started, start, worker};

/// Frames that may wait for the event plane: at 568 bytes each, 9 MB.
const FRAMES: usize = 16 * 1024;
/// Signs of pulls that may wait for the knowledge plane.
const SIGNALS: usize = 1024;
/// An index is read when it was quiet for this long: a pull writes it many times.
const QUIET: Duration = Duration::from_millis(100);
/// How long the way out may take, systemd's `TimeoutStopSec` less some.
const WAY_OUT: Duration = Duration::from_secs(10);
/// The largest recording.
const RECORDING_BYTES: u64 = 1 << 30;

/// What `layerwatch run` was asked for beyond the configuration.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Record all that comes in to this new file.
    pub record: Option<PathBuf>,
    /// Stop by itself after this long.
    pub stop_after: Option<Duration>,
    /// A test switch: detach the open hook after the self-check.
    pub detach_open_hook: bool,
}

/// The parts that several tasks share.
#[derive(Debug, Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    health: Arc<Health>,
    sinks: Arc<Sinks>,
    notifier: Arc<Notifier>,
    maps: Arc<Mutex<WatchMaps>>,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// When it cannot start, or when a part of it ended by itself.
pub fn run(config: &Config, options: &RunOptions, started: Started) -> Result<()> {
    // One thread: the plane is one task, and capabilities belong to threads. Blocking reads get threads of their own,
    // which start with what this one kept.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(travel(config, options, started))
}

async fn travel(config: &Config, options: &RunOptions, mut started: Started) -> Result<()> {
    let metrics = Arc::new(Metrics::new().context("register the metrics")?);
    let sinks = Arc::new(deliver::sinks(config, Arc::clone(&metrics))?);
    let shared = Shared {
        readiness: Arc::new(Readiness::default()),
        health: Arc::new(Health::new(tokio::time::Instant::now())),
        notifier: Arc::new(Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref())?),
        maps: Arc::new(Mutex::new(
            started
                .tracer
                .take_maps()
                .context("the watch maps are taken once")?,
        )),
        sinks,
        metrics,
    };
    let (frames_in, frames) = mpsc::channel(FRAMES);
    let (signals_in, signals) = mpsc::channel(SIGNALS);
    let (knowledge_in, knowledge) = watch::channel(Arc::<Knowledge>::default());
    let (canary_in, canary) = watch::channel(None);
    let (stop_in, stop) = watch::channel(false);
    let losses = Arc::new(RingLosses::default());
    let mut tasks = JoinSet::new();

    // The source.
    let ring = started.tracer.take_ring().context("the ring is taken once")?;
    let (pump_losses, pump_stop) = (Arc::clone(&losses), stopped(stop.clone()));
    tasks.spawn(async move {
        kernel::pump(ring, frames_in, pump_losses, pump_stop)
            .await
            .context("read the ring")
    });
    start::report(&started, &shared.metrics);
    shared.readiness.meet(Condition::KernelAttached);

    // The event plane and what it hands on.
    let plane = plane(config, options, &started)?;
    let events = EventTask {
        plane,
        frames,
        knowledge,
        signals: signals_in,
        canary: canary_in,
        shared: shared.clone(),
    };
    let events = tokio::spawn(events.run());

    // The knowledge plane.
    let survey = survey(config, &started, &shared, signals, knowledge_in)?;
    tasks.spawn(ended(survey.run(stop.clone())));

    // What watches the agent itself.
    if options.detach_open_hook {
        started
            .tracer
            .detach_open_hook()
            .context("detach the open hook")?;
    }
    let housekeeping = Housekeeping::new(&started, shared.clone(), losses, canary);
    tasks.spawn(ended(housekeeping.run(stop.clone())));
    for web in deliver::web(config).await? {
        let state = WebState {
            metrics: Arc::clone(&shared.metrics),
            readiness: Arc::clone(&shared.readiness),
            health: Arc::clone(&shared.health),
        };
        tasks.spawn(ended(web.serve(state, stop.clone())));
    }

    let outcome = until_stopped(options, &shared, &mut tasks).await;
    notify(&shared, &Notice::Stopping);
    stop_in.send_replace(true);
    let way_out = async {
        while tasks.join_next().await.is_some() {}
        events.await.context("the event plane ended badly")
    };
    let drained = tokio::time::timeout(WAY_OUT, way_out)
        .await
        .context("the event plane did not run dry in time");
    if let Some(sinks) = Arc::into_inner(shared.sinks) {
        for sink in sinks.shutdown(WAY_OUT).await {
            tracing::warn!(?sink, "records were left undelivered");
        }
    }
    outcome.and(drained?)
}

/// Waits for a signal, the time limit, or a task that ended by itself.
async fn until_stopped(options: &RunOptions, shared: &Shared, tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    let listen = |kind: SignalKind| -> Result<Signal> { signal(kind).context("listen for signals") };
    let (mut terminate, mut interrupt, mut hangup) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
        listen(SignalKind::hangup())?,
    );
    let limit = options.stop_after.unwrap_or(Duration::MAX);
    let limit = tokio::time::sleep(limit);
    tokio::pin!(limit);
    loop {
        tokio::select! {
            Some(()) = terminate.recv() => return Ok(()),
            Some(()) = interrupt.recv() => return Ok(()),
            Some(()) = hangup.recv() => shared.sinks.reopen(),
            () = &mut limit => return Ok(()),
            Some(ended) = tasks.join_next() => {
                ended.context("a part of the agent died")??;
                bail!("a part of the agent ended by itself");
            }
        }
    }
}

fn plane(config: &Config, options: &RunOptions, started: &Started) -> Result<EventPlane> {
    let boot = clock::boot().context("read the boot clock")?;
    let settings = PlaneSettings {
        verbose: config.log_sink.verbose,
        park_seconds: u32::try_from(config.scan.deadline.as_secs()).unwrap_or(u32::MAX),
        ..PlaneSettings::default()
    };
    let actors = Box::new(Enricher::new(EnrichRoots::under(&config.stores.host_root)));
    let mut plane = EventPlane::new(settings, boot.clone(), actors);
    if let Some(path) = &options.record {
        let recorder = Recorder::create(path, Header::new(boot, settings), RECORDING_BYTES)
            .with_context(|| format!("record to {}", path.display()))?;
        plane.record_to(recorder, now());
    }
    tracing::debug!(tier = %started.choice.tier, "event plane ready");
    Ok(plane)
}

fn survey(
    config: &Config,
    started: &Started,
    shared: &Shared,
    signals: mpsc::Receiver<crate::pulls::PullSignal>,
    knowledge: watch::Sender<Arc<Knowledge>>,
) -> Result<SurveyTask> {
    let options = start::survey_options(config, started.facts);
    let targets = catalog::targets(&options.host, &Catalog::default(), &options.roots);
    let watch = StoreWatch::start(options.host.clone(), targets, QUIET).context("watch the stores")?;
    let own = Arc::clone(&shared.maps);
    let worker = worker(config, move |pid| leave_out(&own, pid))?;
    let (maps, canary) = (Arc::clone(&shared.maps), started.canary.key());
    let (pulled, happened) = (shared.clone(), shared.clone());
    let outputs = Outputs {
        knowledge,
        arm: Box::new(move |knowledge| arm(&maps, &survey::watch_set(knowledge, canary))),
        pulled: Box::new(move |pull| {
            pulled
                .sinks
                .emit(&crate::model::Record::new(crate::model::RecordKind::Pull(pull)));
        }),
        happened: Box::new(move |happening| report(&happened, &happening)),
        clock: now,
    };
    Ok(SurveyTask::new(
        Survey::new(options, worker),
        watch,
        signals,
        outputs,
    ))
}

/// Tells the kernel programs what to watch; what does not fit is said.
fn arm(maps: &Mutex<WatchMaps>, wanted: &kernel::WatchSet) {
    let Ok(mut maps) = maps.lock() else { return };
    match maps.apply(wanted) {
        Ok(0) => {}
        Ok(left_out) => tracing::error!(
            left_out,
            "the kernel's watch maps are full: these inodes are not watched"
        ),
        Err(error) => tracing::error!(
            error = crate::telemetry::happenings::chain(&error),
            "the watch set was not applied"
        ),
    }
}

/// Tells the kernel programs to leave out the scan worker: a child of this process, whose id is not used again before it
/// was waited for.
fn leave_out(maps: &Mutex<WatchMaps>, pid: u32) {
    let Ok(mut maps) = maps.lock() else { return };
    if let Err(error) = maps.ignore_process(pid, 0) {
        tracing::warn!(
            error = crate::telemetry::happenings::chain(&error),
            "the scan worker's own reads will be reported"
        );
    }
}

fn report(shared: &Shared, happening: &Happening<'_>) {
    match happening {
        Happening::Built {
            inventory,
            generation,
            time,
            took,
        } => {
            KnowledgeBuilt {
                time: *time,
                took: *took,
                generation: *generation,
                inventory,
            }
            .report(&shared.metrics);
            if !shared.readiness.missing().is_empty() {
                shared.readiness.meet(Condition::KnowledgeBuilt);
                notify(shared, &Notice::Ready);
            }
        }
        Happening::Failed { part, error } => {
            KnowledgeFailed {
                part: *part,
                error: *error,
            }
            .report(&shared.metrics);
        }
        Happening::Unwatched { detail } => {
            tracing::warn!(detail, "changes of a store may be noticed late");
            shared
                .metrics
                .knowledge_failed(crate::telemetry::KnowledgePart::Catalog);
        }
    }
}

fn notify(shared: &Shared, notice: &Notice) {
    if let Err(error) = shared.notifier.send(notice) {
        tracing::warn!(
            error = crate::telemetry::happenings::chain(&error),
            "the service manager was not told"
        );
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone means stop as well.
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("nobody is left to say stop");
    }
}

async fn ended(task: impl Future<Output = ()>) -> Result<()> {
    task.await;
    Ok(())
}
