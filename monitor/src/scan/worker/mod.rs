//! Scanning in a child process that holds nothing worth taking over.
//!
//! `child` is what runs in it, `confine` what it gives up first, `protocol` the lines that go between, `accept` what the
//! agent believes of an answer, `target` the talk about what lies outside the stores. Invariant: the worker's answers are input like any other; a worker that lies, hangs,
//! floods or dies costs one request, whose error names the layer, and the next request starts a new one.

mod accept;
mod child;
mod confine;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod protocol;
mod target;

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(super) use child::wire;
pub use child::worker_main;
#[cfg(any(test, fuzzing))]
pub(super) use fuzz::believe as believe_line;
pub(super) use protocol::WireFinding;

use super::error::ScanError;
use super::redact::{FingerprintKey, Secret};
use super::rules::{RuleFile, RuleSet};
use super::summary::{LayerRequest, LayerScan, Progress, ScanSummary};
use super::target::TargetScan;
use crate::model::{Finding, ImageId, LayerKey, StoreId};
use protocol::{Hello, MAX_LINE, Request, Response};

/// The hidden verb under which the agent's own executable is the worker.
const VERB: &str = "scan-worker";
/// How long a worker may take until it is ready.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// How long a worker that closed its output may take to end.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// Findings of one answer, as lines.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// An image's configuration to scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageRequest {
    /// The configuration file in the store.
    pub path: PathBuf,
    /// The image's store.
    pub store: StoreId,
    /// The image.
    pub image: ImageId,
    /// How long it may take.
    pub deadline: Duration,
}

/// Something outside the stores to scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetRequest {
    /// A directory, an OCI layout, an archive or any file.
    pub path: PathBuf,
    /// How long it may take.
    pub deadline: Duration,
}

/// How a worker is started.
pub struct WorkerOptions {
    /// The executable with the hidden verb; `/proc/self/exe` in the agent.
    pub program: PathBuf,
    /// The node's key for fingerprints.
    pub key: FingerprintKey,
    /// The user's rule tables, which come before the built-in ones.
    pub rules: Vec<RuleFile>,
    /// Told the process id of each new worker before it opens any file of a layer.
    pub on_start: Box<dyn FnMut(u32) + Send + Sync>,
}

impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// The scan worker: started when it is needed, kept for the next request, replaced when it fails.
#[derive(Debug)]
pub struct ScanWorker {
    options: WorkerOptions,
    rules: RuleSet,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    pid: u32,
    child: Child,
    stdin: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a request asks about, for errors and for the findings' places.
enum Subject {
    Layer { layer: Option<LayerKey>, name: String },
    Image { store: StoreId, image: ImageId },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer { layer: Some(key), .. } => write!(f, "layer {} of {}", key.layer, key.store),
            Self::Layer { layer: None, name } => f.write_str(name),
            Self::Image { store, image } => write!(f, "image {image} of {store}"),
        }
    }
}

impl ScanWorker {
    /// A worker that is not started yet.
    pub fn new(options: WorkerOptions) -> Result<Self, ScanError> {
        let rules = RuleSet::with(&options.rules)?;
        Ok(Self {
            options,
            rules,
            running: None,
        })
    }

    /// Recognises the key that fingerprints are made with, without giving it away.
    pub fn key_id(&self) -> String {
        self.options.key.fingerprint(b"layerwatch key id").0
    }

    /// The process id while a worker runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Starts the worker if none runs; gives back its process id.
    pub async fn start(&mut self) -> Result<u32, ScanError> {
        let running = match self.running.take() {
            Some(running) => running,
            None => self.spawn().await?,
        };
        let pid = running.pid;
        self.running = Some(running);
        Ok(pid)
    }

    /// Scans the directory of a layer. Dropping the future kills the worker.
    pub async fn scan_layer(&mut self, request: LayerRequest) -> Result<LayerScan, ScanError> {
        let subject = Subject::Layer {
            name: crate::model::text::printable(request.root.as_os_str().as_encoded_bytes()).to_string(),
            layer: request.layer,
        };
        let asked = Request::layer(&request.root, request.root_key, request.deadline);
        let (findings, summary) = self.ask(&asked, &subject, request.deadline).await?;
        Ok(LayerScan { findings, summary })
    }

    /// Scans an image's configuration. Dropping the future kills the worker.
    pub async fn scan_image_config(&mut self, request: ImageRequest) -> Result<Vec<Finding>, ScanError> {
        let asked = Request::image(&request.path, request.deadline);
        let subject = Subject::Image {
            store: request.store,
            image: request.image,
        };
        Ok(self.ask(&asked, &subject, request.deadline).await?.0)
    }

    /// Scans a target into `scan`, which has what was found so far if this fails or is dropped; dropping kills the
    /// worker. `progress` hears of each step.
    pub async fn scan_target(
        &mut self,
        request: TargetRequest,
        scan: &mut TargetScan,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), ScanError> {
        let subject = Subject::Layer {
            name: crate::model::text::printable(request.path.as_os_str().as_encoded_bytes()).to_string(),
            layer: None,
        };
        let asked = Request::target(&request.path, request.deadline);
        let deadline = request.deadline;
        self.start().await?;
        let Some(mut running) = self.running.take() else {
            return Err(protocol_error(&subject, "it is not running"));
        };
        let talk = running.converse_about_target(&self.rules, &asked, &subject, scan, progress);
        let answer = tokio::time::timeout(deadline, talk).await;
        self.conclude(running, answer, &subject, deadline)
    }

    /// Keeps a worker that answered as it should; any other is ended by being dropped.
    fn conclude<T>(
        &mut self,
        running: Running,
        answer: Result<Result<T, ScanError>, tokio::time::error::Elapsed>,
        subject: &Subject,
        deadline: Duration,
    ) -> Result<T, ScanError> {
        let answer = answer.unwrap_or_else(|_| {
            Err(ScanError::Deadline {
                subject: subject.to_string(),
                seconds: deadline.as_secs(),
            })
        });
        if matches!(answer, Ok(_) | Err(ScanError::Refused { .. })) {
            self.running = Some(running);
        }
        answer
    }

    /// Ends the worker: it sees the end of its input and exits.
    pub async fn stop(&mut self) {
        if let Some(Running { mut child, stdin, .. }) = self.running.take() {
            drop(stdin);
            // One that does not end is killed when `child` is dropped.
            drop(tokio::time::timeout(END_DEADLINE, child.wait()).await);
        }
    }

    async fn ask(
        &mut self,
        request: &Request,
        subject: &Subject,
        deadline: Duration,
    ) -> Result<(Vec<Finding>, ScanSummary), ScanError> {
        self.start().await?;
        // Out of `self` while the answer is under way: whatever interrupts it leaves no half-read worker behind.
        let Some(mut running) = self.running.take() else {
            return Err(protocol_error(subject, "it is not running"));
        };
        let answer = tokio::time::timeout(deadline, running.converse(&self.rules, request, subject)).await;
        self.conclude(running, answer, subject, deadline)
    }

    async fn spawn(&mut self) -> Result<Running, ScanError> {
        let mut child = Command::new(&self.options.program)
            .arg(VERB)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(ScanError::Start)?;
        let gone = || ScanError::Start(std::io::ErrorKind::BrokenPipe.into());
        let pid = child.id().ok_or_else(gone)?;
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        (self.options.on_start)(pid);
        let mut running = Running {
            pid,
            child,
            stdin,
            answers,
        };
        let subject = Subject::Layer {
            layer: None,
            name: "nothing yet".to_owned(),
        };
        let hello = Hello::line(&self.options.key, &self.options.rules);
        let greeting = running.greet(&hello, self.rules.digest(), &subject);
        match tokio::time::timeout(START_DEADLINE, greeting).await {
            Ok(greeted) => greeted?,
            Err(_) => return Err(ScanError::Start(std::io::ErrorKind::TimedOut.into())),
        }
        Ok(running)
    }
}

impl Running {
    /// Hands over the key; the worker says that it is confined and has the same rules.
    async fn greet(&mut self, hello: &Secret, digest: &str, subject: &Subject) -> Result<(), ScanError> {
        self.stdin
            .write_all(hello.bytes())
            .await
            .map_err(ScanError::Start)?;
        match self.answer(subject).await?.0 {
            Response::Ready { rules } if rules == digest => Ok(()),
            Response::Failed { reason } => Err(refused(subject, &reason)),
            Response::Ready { .. }
            | Response::Progress(_)
            | Response::Found(_)
            | Response::Shape(_)
            | Response::Layer { .. }
            | Response::Shadow(_)
            | Response::Done(_) => Err(protocol_error(subject, "another greeting than expected")),
        }
    }

    async fn converse(
        &mut self,
        rules: &RuleSet,
        request: &Request,
        subject: &Subject,
    ) -> Result<(Vec<Finding>, ScanSummary), ScanError> {
        if self.stdin.write_all(&protocol::line(request)).await.is_err() {
            return Err(self.ended(subject).await);
        }
        let mut findings = Vec::new();
        let mut bytes = 0;
        loop {
            let (response, length) = self.answer(subject).await?;
            match response {
                Response::Progress(_) => {}
                Response::Found(wire) => {
                    bytes += length;
                    if findings.len() >= super::engine::MAX_LAYER_FINDINGS || bytes > MAX_ANSWER_BYTES {
                        return Err(protocol_error(subject, "more findings than it may report"));
                    }
                    findings.push(believe(rules, *wire, subject)?);
                }
                Response::Done(summary) => {
                    let summary = accept::summary(summary).map_err(|what| protocol_error(subject, what))?;
                    return Ok((findings, summary));
                }
                Response::Failed { reason } => return Err(refused(subject, &reason)),
                Response::Ready { .. }
                | Response::Shape(_)
                | Response::Layer { .. }
                | Response::Shadow(_) => {
                    return Err(protocol_error(subject, "an answer to another question"));
                }
            }
        }
    }

    /// The next line, parsed, with its length.
    async fn answer(&mut self, subject: &Subject) -> Result<(Response, usize), ScanError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.answers).take(MAX_LINE);
        if limited.read_until(b'\n', &mut line).await.is_err() || line.is_empty() {
            return Err(self.ended(subject).await);
        }
        if line.last() != Some(&b'\n') {
            return Err(protocol_error(subject, "a line that is cut or too long"));
        }
        // What is wrong with the line could quote it.
        match serde_json::from_slice(&line) {
            Ok(response) => Ok((response, line.len())),
            Err(_) => Err(protocol_error(subject, "a line that is no answer")),
        }
    }

    async fn ended(&mut self, subject: &Subject) -> ScanError {
        let status = match tokio::time::timeout(END_DEADLINE, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(_)) | Err(_) => "it closed its pipe".to_owned(),
        };
        ScanError::Ended {
            subject: subject.to_string(),
            status,
        }
    }
}

/// A finding that was kept, believed as much as a worker's.
pub(super) fn believe_file(rules: &RuleSet, wire: WireFinding, layer: &LayerKey) -> Option<Finding> {
    accept::file_finding(rules, wire, Some(layer)).ok()
}

/// A summary that was kept.
pub(super) fn believe_summary(summary: ScanSummary) -> Option<ScanSummary> {
    accept::summary(summary).ok()
}

fn believe(rules: &RuleSet, wire: WireFinding, subject: &Subject) -> Result<Finding, ScanError> {
    let accepted = match subject {
        Subject::Layer { layer, .. } => accept::file_finding(rules, wire, layer.as_ref()),
        Subject::Image { store, image } => accept::config_finding(rules, wire, store, image),
    };
    accepted.map_err(|what| protocol_error(subject, what))
}

fn protocol_error(subject: &Subject, what: &'static str) -> ScanError {
    ScanError::Protocol {
        subject: subject.to_string(),
        what,
    }
}

fn refused(subject: &Subject, reason: &str) -> ScanError {
    let reason: String = reason.chars().take(300).collect();
    ScanError::Refused {
        subject: subject.to_string(),
        reason: crate::model::text::printable(reason.as_bytes()).to_string(),
    }
}
