//! The scan worker as the agent runs it: the real executable, confined, killed, lied for.

#![expect(clippy::unwrap_used, reason = "what a test needs and has not got fails it")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use layerwatch::model::{DevIno, ImageId, LayerId, LayerKey, Place, StoreId};
use layerwatch::scan::{
    Effort, FingerprintKey, ImageRequest, LayerRequest, ScanError, ScanWorker, SkipReason, WorkerOptions,
};

const AGENT: &str = env!("CARGO_BIN_EXE_layerwatch");
const PASSWORD: &str = "kV9-made-up-1";

type Started = Arc<Mutex<Vec<u32>>>;

fn worker(program: &Path) -> (ScanWorker, Started) {
    let started = Started::default();
    let told = Arc::clone(&started);
    let options = WorkerOptions {
        effort: Effort::FOREGROUND,
        rules: Vec::new(),
        program: program.to_owned(),
        key: FingerprintKey::new([9; 32]),
        on_start: Box::new(move |pid| told.lock().unwrap().push(pid)),
    };
    (ScanWorker::new(options).unwrap(), started)
}

fn layer_key() -> LayerKey {
    LayerKey {
        store: StoreId::new("overlay@/var/lib/containers/storage"),
        layer: LayerId::new("0123abcd"),
    }
}

fn request(root: &Path) -> LayerRequest {
    LayerRequest {
        layer: Some(layer_key()),
        root: root.to_owned(),
        root_key: None,
        deadline: Duration::from_secs(30),
    }
}

/// A layer with one secret.
fn layer() -> tempfile::TempDir {
    let layer = tempfile::tempdir().unwrap();
    std::fs::write(
        layer.path().join(".pgpass"),
        format!("db:5432:shop:shopper:{PASSWORD}\n"),
    )
    .unwrap();
    layer
}

/// A program that stands in for the worker and says `answers` after the greeting.
fn impostor(directory: &Path, answers: &str) -> PathBuf {
    let rules = layerwatch::scan::RuleSet::builtin().unwrap();
    let program = directory.join("impostor");
    let script = format!(
        "#!/bin/sh\nread hello\necho '{{\"answer\":\"ready\",\"value\":{{\"rules\":\"{}\"}}}}'\nread request\n{answers}\n",
        rules.digest()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// The fields of `/proc/<pid>/status`.
fn status(pid: u32) -> BTreeMap<String, String> {
    let text = layerwatch::bounded::read_text(Path::new(&format!("/proc/{pid}/status")), 1 << 16).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.to_owned(), v.trim().to_owned()))
        .collect()
}

fn limits(pid: u32) -> BTreeMap<String, String> {
    let text = layerwatch::bounded::read_text(Path::new(&format!("/proc/{pid}/limits")), 1 << 16).unwrap();
    let parse = |line: &str| {
        Some((
            line.get(..26)?.trim().to_owned(),
            line.get(26..47)?.trim().to_owned(),
        ))
    };
    text.lines().skip(1).filter_map(parse).collect()
}

#[tokio::test]
async fn the_worker_holds_nothing_but_its_pipes_and_one_capability() {
    // Left open on purpose, as a careless parent would: neither may reach the worker.
    let stray = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&stray, rustix::io::FdFlags::empty()).unwrap();
    let (mut worker, started) = worker(Path::new(AGENT));
    assert_eq!(worker.pid(), None);
    let pid = worker.start().await.unwrap();
    assert_eq!(
        (worker.pid(), started.lock().unwrap().as_slice()),
        (Some(pid), &[pid][..])
    );

    let mut open: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    let status = status(pid);
    // CAP_DAC_READ_SEARCH is number 2.
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status[set], "0000000000000004", "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    assert_eq!(
        (status["NoNewPrivs"].as_str(), status["Threads"].as_str()),
        ("1", "1")
    );
    let limits = limits(pid);
    for (limit, value) in [
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max address space", "1073741824"),
    ] {
        assert_eq!(limits[limit], value, "{limit}");
    }
    let environment = layerwatch::bounded::read(Path::new(&format!("/proc/{pid}/environ")), 1 << 16).unwrap();
    assert_eq!(environment, b"");
    let command = layerwatch::bounded::read(Path::new(&format!("/proc/{pid}/cmdline")), 1 << 16).unwrap();
    assert_eq!(
        command,
        format!("{AGENT}\0scan-worker\0").as_bytes(),
        "the key is not on the command line"
    );
    worker.stop().await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    drop(stray);
}

#[tokio::test]
async fn a_layer_is_scanned_and_an_answer_is_redacted() {
    let layer = layer();
    let unreadable = layer.path().join(".netrc");
    std::fs::write(&unreadable, "machine a login b password Zq81-made-up").unwrap();
    std::fs::set_permissions(&unreadable, std::fs::Permissions::from_mode(0o000)).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", layer.path().join("link")).unwrap();
    let (mut worker, _) = worker(Path::new(AGENT));
    let scan = worker.scan_layer(request(layer.path())).await.unwrap();
    let mut rules: Vec<_> = scan.findings.iter().map(|f| f.rule.as_str()).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["netrc", "pgpass"]);
    assert_eq!(
        (scan.summary.files, &scan.summary.skipped),
        (2, &BTreeMap::from([(SkipReason::Symlink, 1)]))
    );
    let Place::File { layer: of, key, .. } = &scan.findings[0].place else {
        panic!("a file was scanned");
    };
    assert_eq!(of.as_ref(), Some(&layer_key()));
    let keys = [".pgpass", ".netrc"].map(|name| DevIno::of(&layer.path().join(name).metadata().unwrap()));
    assert!(keys.contains(key));
    assert!(!format!("{scan:?}").contains(PASSWORD));
}

#[tokio::test]
async fn one_worker_answers_request_after_request() {
    let layer = layer();
    let (mut worker, started) = worker(Path::new(AGENT));
    let config = layer.path().join("config.json");
    let text = format!(
        r#"{{"config":{{"Env":["PATH=/bin","DB_PASSWORD={PASSWORD}"],"Cmd":null}},"history":[
        {{"created_by":"ADD file"}},{{"created_by":"RUN |1 API_TOKEN=x8Jq2-made-up /bin/sh -c make"}},
        {{"created_by":"ENV DB_PASSWORD={PASSWORD}"}}]}}"#
    );
    std::fs::write(&config, text).unwrap();
    let image = ImageRequest {
        path: config.clone(),
        store: StoreId::new("s"),
        image: ImageId::new("i"),
        deadline: Duration::from_secs(30),
    };
    let findings = worker.scan_image_config(image.clone()).await.unwrap();
    let places: Vec<_> = findings.iter().map(|f| &f.place).collect();
    let place = |field: &str, name: &str| Place::ImageConfig {
        store: StoreId::new("s"),
        image: ImageId::new("i"),
        field: field.to_owned(),
        name: name.to_owned(),
    };
    assert_eq!(places, [&place("Env", "DB_PASSWORD"), &place("history", "2 RUN")]);
    assert!(
        findings
            .iter()
            .all(|f| !serde_json::to_string(f).unwrap().contains("made-up"))
    );

    std::fs::write(&config, "{\"config\": [").unwrap();
    let error = worker.scan_image_config(image).await.unwrap_err();
    assert!(
        matches!(&error, ScanError::Refused { subject, .. } if subject == "image i of s"),
        "{error}"
    );
    let missing = worker
        .scan_layer(request(Path::new("/no/such/layer")))
        .await
        .unwrap_err();
    assert!(
        matches!(&missing, ScanError::Refused { reason, .. } if reason.contains("No such file")),
        "{missing}"
    );
    let other = LayerRequest {
        root_key: Some(DevIno::of(&config.metadata().unwrap())),
        ..request(layer.path())
    };
    assert!(
        worker
            .scan_layer(other)
            .await
            .unwrap_err()
            .to_string()
            .contains("is not the directory it was")
    );
    assert_eq!(
        started.lock().unwrap().len(),
        1,
        "the same worker answered all of it"
    );
}

#[tokio::test]
async fn a_killed_worker_costs_one_request_that_names_the_layer() {
    let layer = layer();
    let (mut worker, started) = worker(Path::new(AGENT));
    let pid = worker.start().await.unwrap();
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    let error = worker.scan_layer(request(layer.path())).await.unwrap_err();
    let ScanError::Ended { subject, status } = &error else {
        panic!("{error}");
    };
    assert_eq!(subject, "layer 0123abcd of overlay@/var/lib/containers/storage");
    assert!(status.contains("signal: 9"), "{status}");
    assert_eq!(worker.pid(), None);
    let scan = worker.scan_layer(request(layer.path())).await.unwrap();
    assert_eq!((scan.findings.len(), started.lock().unwrap().len()), (1, 2));
}

#[tokio::test]
async fn a_worker_that_hangs_is_ended_at_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let program = impostor(directory.path(), "while :; do read line; done");
    let (mut worker, started) = worker(&program);
    let begun = Instant::now();
    let hurried = LayerRequest {
        deadline: Duration::from_millis(200),
        ..request(directory.path())
    };
    let error = worker.scan_layer(hurried).await.unwrap_err();
    assert!(matches!(error, ScanError::Deadline { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let pid = started.lock().unwrap()[0];
    let gone = async {
        // Ended, or a zombie until the runtime has reaped it.
        while Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_lies_or_floods_is_not_believed() {
    let finding = |rule: &str, path: &str| {
        format!(
            r#"{{"answer":"found","value":{{"rule":"{rule}","place":{{"file":{{"path":"{path}","line":1,"key":{{"dev":1,"ino":2}},"generation":3}}}},"fingerprint":"0123456789abcdef01234567","excerpt":"x"}}}}"#
        )
    };
    let done =
        r#"{"answer":"done","value":{"files":1,"bytes":1,"skipped":{},"problems":[],"problems_total":0}}"#;
    let good = finding("pgpass", "root/.pgpass");
    let say = |lines: &[&str]| format!("echo '{}'\n", lines.join("'\necho '"));
    for (name, answers, what) in [
        ("the control", say(&[&good, done]), None),
        (
            "unknown rule",
            say(&[&finding("nope", "a"), done]),
            Some("a rule that the table has not"),
        ),
        (
            "path upwards",
            say(&[&finding("pgpass", "../a"), done]),
            Some("a path outside the layer"),
        ),
        ("no JSON", say(&["hello"]), Some("a line that is no answer")),
        (
            "unknown key",
            say(&[r#"{"answer":"obey","value":{}}"#]),
            Some("a line that is no answer"),
        ),
        (
            "deep nesting",
            format!("head -c 200000 /dev/zero | tr '\\0' '['; {}", say(&[""])),
            Some("a line that is no answer"),
        ),
        (
            "endless line",
            "exec cat /dev/zero".to_owned(),
            Some("a line that is cut or too long"),
        ),
        (
            "cut line",
            "printf '{\"answer\":'".to_owned(),
            Some("a line that is cut or too long"),
        ),
        (
            "endless findings",
            format!("while :; do echo '{good}'; done"),
            Some("more findings than it may report"),
        ),
        ("ends", "exit 3".to_owned(), Some("exit status: 3")),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (mut worker, _) = worker(&impostor(directory.path(), &answers));
        let answer = worker.scan_layer(request(directory.path())).await;
        match what {
            None => assert_eq!(answer.unwrap().findings.len(), 1, "{name}"),
            Some(what) => {
                let error = answer.unwrap_err().to_string();
                assert!(
                    error.contains(what) && error.contains("layer 0123abcd"),
                    "{name}: {error}"
                );
                assert_eq!(worker.pid(), None, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_worker_of_another_program_is_refused_at_the_start() {
    for program in ["/bin/true", "/no/such/program"] {
        let (mut worker, _) = worker(Path::new(program));
        assert!(worker.start().await.is_err(), "{program}");
        assert_eq!(worker.pid(), None);
    }
}
