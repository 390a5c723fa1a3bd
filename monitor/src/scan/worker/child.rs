//! The worker process: gives up its rights, then answers requests until its input ends.
//!
//! Invariant: it writes nothing but answers; what it cannot do is an answer too. A panic ends the request, and its
//! message, which may hold content, is dropped: only the place in the source is told. Entered by `main`'s hidden verb.

use std::io::{BufRead, BufReader, Read, StdinLock, StdoutLock, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use super::protocol::{self, Hello, MAX_HELLO, MAX_LINE, Request, Response, WireFinding, WirePlace};
use super::{confine, effort};
use crate::model::{DevIno, Finding, ImageId, Place, StoreId, text};
use crate::scan::archive::{self, Told};
use crate::scan::engine::Scanner;
use crate::scan::pace;
use crate::scan::rules::RuleSet;
use crate::scan::summary::{Progress, ScanSummary};

/// Where the last panic happened.
static PANICKED_AT: Mutex<String> = Mutex::new(String::new());

/// Why the worker ends before its input does.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("confine the scan worker")]
    Confine(#[from] confine::ConfineError),
    #[error("leave processor and disk to others")]
    Idle(#[source] rustix::io::Errno),
    #[error("talk to the agent")]
    Pipe(#[from] std::io::Error),
    #[error("the agent's first line is no greeting")]
    Greeting(#[source] serde_json::Error),
    #[error("the agent's key is no key")]
    Key,
    #[error("load the scan rules")]
    Rules(#[from] crate::scan::rules::RuleError),
}

/// Runs the worker to its end. Nothing may have been opened and no thread started before.
pub fn worker_main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        *PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
    let mut output = std::io::stdout().lock();
    match serve(&mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = chain(&error);
            // The agent may be gone; the exit status says the same.
            drop(send(&mut output, &Response::Failed { reason }));
            ExitCode::FAILURE
        }
    }
}

fn serve(output: &mut StdoutLock<'_>) -> Result<(), WorkerError> {
    confine::confine()?;
    let mut input = BufReader::new(std::io::stdin().lock());
    let hello = zeroize::Zeroizing::new(next_line(&mut input, MAX_HELLO)?.ok_or(WorkerError::Key)?);
    let hello: Hello = serde_json::from_slice(&hello).map_err(WorkerError::Greeting)?;
    if hello.effort.idle {
        effort::be_idle().map_err(WorkerError::Idle)?;
    }
    pace::set(hello.effort.bytes_per_second);
    let scanner = Scanner::new(RuleSet::with(&hello.rules)?, hello.key().ok_or(WorkerError::Key)?);
    drop(hello);
    let rules = scanner.rules().digest().to_owned();
    send(output, &Response::Ready { rules })?;
    while let Some(line) = next_line(&mut input, MAX_LINE)? {
        let answer = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                confine::allow_cpu(request.cpu_seconds())?;
                answer(&scanner, request, output)
            }
            Err(_) => Response::Failed {
                reason: "the request is not understood".to_owned(),
            },
        };
        send(output, &answer)?;
    }
    Ok(())
}

/// Answers one request; findings and progress go out on the way.
fn answer(scanner: &Scanner, request: Request, output: &mut StdoutLock<'_>) -> Response {
    let done = catch_unwind(AssertUnwindSafe(|| match request {
        Request::Layer { root, root_key, .. } => scan_layer(scanner, &root, root_key, output),
        Request::Image { path, .. } => scan_image(scanner, &path, output),
        Request::Target { path, .. } => scan_target(scanner, &path, output),
    }));
    let reason = match done {
        Ok(Ok(summary)) => return Response::Done(summary),
        Ok(Err(error)) => chain(&error),
        Err(_panic) => {
            let place = PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner);
            format!("panicked at {place}")
        }
    };
    Response::Failed { reason }
}

fn scan_layer(
    scanner: &Scanner,
    root: &str,
    root_key: Option<DevIno>,
    output: &mut StdoutLock<'_>,
) -> Result<ScanSummary, crate::scan::ScanError> {
    let output = std::cell::RefCell::new(output);
    let mut progress = |progress: Progress| tell(&mut output.borrow_mut(), &Response::Progress(progress));
    let mut found = |finding: Finding| {
        tell(
            &mut output.borrow_mut(),
            &Response::Found(Box::new(wire(finding, None, None))),
        );
    };
    let root = protocol::unescaped(root);
    scanner.scan_expected_directory(&root, root_key, None, &mut progress, &mut found)
}

fn scan_image(
    scanner: &Scanner,
    path: &str,
    output: &mut StdoutLock<'_>,
) -> Result<ScanSummary, crate::scan::ScanError> {
    // The agent knows which image it asked about.
    let nobody = (StoreId::new(""), ImageId::new(""));
    for finding in scanner.scan_image_config(&protocol::unescaped(path), &nobody.0, &nobody.1)? {
        tell(output, &Response::Found(Box::new(wire(finding, None, None))));
    }
    Ok(ScanSummary::default())
}

fn scan_target(
    scanner: &Scanner,
    path: &str,
    output: &mut StdoutLock<'_>,
) -> Result<ScanSummary, crate::scan::ScanError> {
    archive::scan_target(scanner, &protocol::unescaped(path), &mut |told| {
        let response = match told {
            Told::Shape(shape) => Response::Shape(shape),
            Told::Progress(progress) => Response::Progress(progress),
            Told::Found {
                finding,
                layer,
                image,
            } => Response::Found(Box::new(wire(*finding, layer, image))),
            Told::Layer { layer, diff_id } => Response::Layer { layer, diff_id },
            Told::Shadow(shadow) => Response::Shadow(shadow),
        };
        tell(output, &response);
    })
}

/// Sends what is not the last word; without an agent there is nobody to scan for.
#[expect(
    clippy::exit,
    reason = "the scan's callbacks cannot stop it, and nothing has to be cleaned up"
)]
fn tell(output: &mut StdoutLock<'_>, response: &Response) {
    if send(output, response).is_err() {
        std::process::exit(1);
    }
}

pub(in crate::scan) fn wire(finding: Finding, layer: Option<u32>, image: Option<u32>) -> WireFinding {
    let place = match finding.place {
        Place::File {
            path,
            member,
            line,
            key,
            generation,
            ..
        } => WirePlace::File {
            path: text::printable(&path).to_string(),
            member: member.map(|member| text::printable(&member).to_string()),
            line,
            key,
            generation,
            layer,
        },
        Place::ImageConfig { field, name, .. } => WirePlace::Config { field, name, image },
    };
    WireFinding {
        rule: finding.rule,
        place,
        known: finding
            .lowered
            .into_iter()
            .filter(|reason| reason.is_of_content())
            .collect(),
        fingerprint: finding.fingerprint,
        excerpt: finding.excerpt,
    }
}

fn send(output: &mut StdoutLock<'_>, response: &Response) -> std::io::Result<()> {
    output.write_all(&protocol::line(response))?;
    output.flush()
}

/// The next line of the agent, of at most `limit` bytes; nothing at the end.
fn next_line(input: &mut BufReader<StdinLock<'_>>, limit: u64) -> Result<Option<Vec<u8>>, WorkerError> {
    let mut line = Vec::new();
    input.take(limit).read_until(b'\n', &mut line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(WorkerError::Pipe(std::io::ErrorKind::InvalidData.into())),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
