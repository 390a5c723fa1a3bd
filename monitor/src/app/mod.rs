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
mod keep;
mod learn;
mod open_files;
mod safe;
mod start;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Config;
use crate::correlate::PlaneSettings;
use crate::enrich::{EnrichRoots, Enricher};
use crate::kernel::{self, GiveBack, Handicap, WatchMaps};
use crate::knowledge::Knowledge;
use crate::plane::EventPlane;
use crate::recording::{Header, Recorder};
use crate::sinks::{Sinks, WebState};
use crate::telemetry::{Condition, Health, Metrics, Notice, Notifier, Readiness};
pub use clock::now;
use events::EventTask;
use housekeeping::Housekeeping;
pub use keep::uninstall;
use safe::Safe;
pub use start::{KEY_FILE, Preflight, Started, scan_cache, start, worker};
pub(crate) use start::{preference, rule_files, survey_options};

/// Frames that may wait for the event plane: at some 600 bytes each, 10 MB. Half of them may be processes.
const FRAMES: usize = 16 * 1024;
/// Signs of pulls that may wait for the knowledge plane.
const SIGNALS: usize = 1024;
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
    /// Another: what the kernel side is to do without.
    pub handicap: Handicap,
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

impl Shared {
    fn web(&self) -> WebState {
        WebState {
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::clone(&self.readiness),
            health: Arc::clone(&self.health),
        }
    }
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
    let shared = shared(config, &mut started)?;
    let (frames_in, frames) = mpsc::channel(FRAMES);
    let (signals_in, signals) = mpsc::channel(SIGNALS);
    let (knowledge_in, knowledge) = watch::channel(Arc::<Knowledge>::default());
    let (canary_in, canary) = watch::channel(None);
    let (stop_in, stop) = watch::channel(false);
    let (give_back_in, give_back) = watch::channel(GiveBack::default());
    let mut tasks = JoinSet::new();

    // The source: kernel ─▶ ring ─▶ queue.
    let ring = started.tracer.take_ring().context("the ring is taken once")?;
    let processes = started.tracer.take_process_ring();
    let processes = processes.context("the ring of processes is taken once")?;
    let pump_stop = stopped(stop.clone());
    tasks.spawn(async move {
        kernel::pump(ring, processes, frames_in, give_back, pump_stop)
            .await
            .context("read the ring")
    });
    if let Some(diagnostics) = started.tracer.take_diagnostics() {
        let stop = stopped(stop.clone());
        tasks.spawn(async move {
            diagnostics
                .pump(stop)
                .await
                .context("read the programs' diagnostics")
        });
    }
    start::report(&started, &shared.metrics);
    shared.readiness.meet(Condition::KernelAttached);

    // The event plane: queue ─▶ decode … decide ─▶ sinks.
    let (plane, boot_id) = plane(config, options)?;
    let (listing, open_files) = open_files::waiting(boot_id);
    let events = EventTask {
        plane,
        open_files,
        frames,
        knowledge,
        signals: signals_in,
        canary: canary_in,
        give_back: give_back_in,
        safe: Safe::default(),
        hold: started
            .choice
            .taken_over
            .then(|| tokio::time::Instant::now() + events::HOLD),
        full_since: None,
        shared: shared.clone(),
    };
    let events = tokio::spawn(events.run());

    // The knowledge plane: stores ─▶ snapshot ─▶ kernel's watches and the event plane.
    let survey = learn::task(config, &started, &shared, signals, knowledge_in, listing)?;
    tasks.spawn(ended(survey.run(stop.clone())));

    // What watches the agent itself.
    if options.detach_open_hook {
        started.tracer.detach_hooks().context("detach the open hook")?;
    }
    tasks.spawn(ended(
        Housekeeping::new(&started, shared.clone(), canary).run(stop.clone()),
    ));
    for web in deliver::web(config).await? {
        tasks.spawn(ended(web.serve(shared.web(), stop.clone())));
    }

    let outcome = until_stopped(options, &shared, &mut tasks).await;
    notify(&shared, &Notice::Stopping);
    stop_in.send_replace(true);
    let drained = way_out(shared, tasks, events).await;
    // Whoever starts an agent by hand and interrupts it wants it gone; a service is only restarted.
    if matches!(outcome, Ok(Ended::Interrupted))
        && let Some(kept) = started.kept.take()
    {
        kept.base.remove().context("remove what was kept in the kernel")?;
    }
    outcome.map(drop).and(drained)
}

fn shared(config: &Config, started: &mut Started) -> Result<Shared> {
    let metrics = Arc::new(Metrics::new().context("register the metrics")?);
    metrics.config_loaded(Some(now()));
    Ok(Shared {
        sinks: Arc::new(deliver::sinks(config, Arc::clone(&metrics))?),
        readiness: Arc::new(Readiness::default()),
        health: Arc::new(Health::new(tokio::time::Instant::now())),
        notifier: Arc::new(Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref())?),
        maps: Arc::new(Mutex::new(
            started
                .tracer
                .take_maps()
                .context("the watch maps are taken once")?,
        )),
        metrics,
    })
}

/// The source has stopped: lets the plane run dry and the sinks deliver, and does not wait for ever.
async fn way_out(shared: Shared, mut tasks: JoinSet<Result<()>>, events: JoinHandle<()>) -> Result<()> {
    let dry = async {
        while tasks.join_next().await.is_some() {}
        events.await.context("the event plane ended badly")
    };
    let drained = tokio::time::timeout(WAY_OUT, dry)
        .await
        .context("the event plane did not run dry in time");
    if let Some(sinks) = Arc::into_inner(shared.sinks) {
        for sink in sinks.shutdown(WAY_OUT).await {
            tracing::warn!(?sink, "records were left undelivered");
        }
    } else {
        tracing::warn!("a part of the agent still holds the sinks: records may be left undelivered");
    }
    drained?
}

/// How the agent came to its end.
enum Ended {
    /// By its service manager, which may start it again.
    Asked,
    /// By a person at a terminal, or by the time limit that one gave.
    Interrupted,
}

/// Waits for a signal, the time limit, or a task that ended by itself.
async fn until_stopped(
    options: &RunOptions,
    shared: &Shared,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<Ended> {
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
            Some(()) = terminate.recv() => return Ok(Ended::Asked),
            Some(()) = interrupt.recv() => return Ok(Ended::Interrupted),
            Some(()) = hangup.recv() => shared.sinks.reopen(),
            () = &mut limit => return Ok(Ended::Interrupted),
            Some(ended) = tasks.join_next() => {
                ended.context("a part of the agent died")??;
                bail!("a part of the agent ended by itself");
            }
        }
    }
}

fn plane(config: &Config, options: &RunOptions) -> Result<(EventPlane, String)> {
    let boot = clock::boot().context("read the boot clock")?;
    let settings = PlaneSettings {
        verbose: config.log_sink.verbose,
        park_seconds: u32::try_from(config.scan.deadline.as_secs()).unwrap_or(u32::MAX),
        ..PlaneSettings::default()
    };
    let mut actors = Enricher::new(EnrichRoots::under(&config.stores.host_root));
    actors.adopt_the_living();
    let boot_id = boot.boot_id.clone();
    let mut plane = EventPlane::new(settings, boot.clone(), Box::new(actors));
    if let Some(path) = &options.record {
        let recorder = Recorder::create(path, Header::new(boot, settings), RECORDING_BYTES)
            .with_context(|| format!("record to {}", path.display()))?;
        plane.record_to(recorder, now());
    }
    Ok((plane, boot_id))
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
