//! Policies and registries configurations asked about an image of a registry (`docker://`), served by the test.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use layerwatch::model::{Decision, Engine, Image, ImageId, Provenance, StoreId};
use layerwatch::trust::{TrustInputs, evaluate};
use layerwatch_tests::{Process, free_port, get, run};

use super::{Answer, Bench, report};

/// The reference, the policy, the registries configuration, what is to be said and the state of the verdict. `REG` is
/// the registry's address; `logical.example` is never asked for, since tables lead elsewhere.
type Row = (&'static str, &'static str, &'static str, Answer, Provenance);

const ROWS: &[Row] = &[
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "",
        Answer::Accepted,
        Provenance::Unattested,
    ),
    (
        "REG/ns/app",
        r#"{"default":[ACCEPT],"transports":{"docker":{"REG/ns/app:latest":[REJECT]}}}"#,
        "",
        Answer::Rejected,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT],"transports":{"docker":{"REG/ns/app:latest":[REJECT]}}}"#,
        "",
        Answer::Accepted,
        Provenance::Unattested,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT],"transports":{"docker":{"REG/ns/app":[REJECT],"REG/ns":[ACCEPT]}}}"#,
        "",
        Answer::Rejected,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[REJECT],"transports":{"docker":{"REG/ns":[ACCEPT]}}}"#,
        "",
        Answer::Accepted,
        Provenance::Unattested,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[REJECT],"transports":{"docker":{"REG":[SIGNED]}}}"#,
        "",
        Answer::NeedsSignature,
        Provenance::Unknown,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[REJECT],"transports":{"docker":{"127.0.0.1":[ACCEPT]}}}"#,
        "",
        Answer::Rejected,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[REJECT],"transports":{"docker":{"*.0.0.1":[ACCEPT]}}}"#,
        "",
        Answer::Accepted,
        Provenance::Unattested,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[REJECT],"transports":{"docker":{"*.1":[ACCEPT],"*.0.1":[SIGNED]}}}"#,
        "",
        Answer::NeedsSignature,
        Provenance::Unknown,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[REJECT],"transports":{"docker":{"":[ACCEPT],"docker.io":[REJECT]}}}"#,
        "",
        Answer::Accepted,
        Provenance::Unattested,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT],"default":[ACCEPT]}"#,
        "",
        Answer::InvalidPolicy,
        Provenance::Unknown,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = 'REG'\nblocked = true",
        Answer::Blocked,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = 'REG/ns/ap'\nblocked = true",
        Answer::Accepted,
        Provenance::Unattested,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = '127.0.0.1'\nblocked = true",
        Answer::Blocked,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nprefix = '*.0.0.1'\nblocked = true",
        Answer::Blocked,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nLocation = 'REG'\nBLOCKED = true",
        Answer::Blocked,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = 'REG'\ninsecure = true",
        Answer::Accepted,
        Provenance::WeakPath,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = 'REG'\nblocked = 'true'",
        Answer::InvalidRegistries,
        Provenance::Unknown,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = 'http://REG'",
        Answer::InvalidRegistries,
        Provenance::Unknown,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[registries.block]\nregistries = ['REG']",
        Answer::Blocked,
        Provenance::Violates,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "short-name-mode = 'strict'",
        Answer::InvalidRegistries,
        Provenance::Unknown,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[aliases]\nx = 'x'",
        Answer::InvalidRegistries,
        Provenance::Unknown,
    ),
    (
        "REG/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "unknown = 1\n[[registry]]\nlocation = 'REG'\nunknown = 2",
        Answer::Accepted,
        Provenance::Unattested,
    ),
    (
        "logical.example/ns/app:1",
        r#"{"default":[ACCEPT],"transports":{"docker":{"REG":[REJECT]}}}"#,
        "[[registry]]\nprefix = 'logical.example'\nlocation = 'REG'\ninsecure = true",
        Answer::Accepted,
        Provenance::WeakPath,
    ),
    (
        "logical.example/ns/app:1",
        r#"{"default":[ACCEPT],"transports":{"docker":{"logical.example":[REJECT]}}}"#,
        "[[registry]]\nprefix = 'logical.example'\nlocation = 'REG'\ninsecure = true",
        Answer::Rejected,
        Provenance::Violates,
    ),
    (
        "logical.example/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nprefix = 'logical.example'\nlocation = 'REG'\ninsecure = true\nblocked = true",
        Answer::Accepted,
        Provenance::Violates,
    ),
    (
        "logical.example/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = 'logical.example'\nblocked = true\n[[registry.mirror]]\nlocation = 'REG'\ninsecure = true",
        Answer::Accepted,
        Provenance::WeakPath,
    ),
    (
        "logical.example/ns/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nlocation = 'logical.example'\nblocked = true\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'REG'\ninsecure = true",
        Answer::Blocked,
        Provenance::Violates,
    ),
    (
        "logical.example/app:1",
        r#"{"default":[ACCEPT]}"#,
        "[[registry]]\nprefix = 'logical.example'\nlocation = 'REG/ns'\ninsecure = true\n[[registry]]\nlocation = 'REG'\nblocked = true",
        Answer::Blocked,
        Provenance::Violates,
    ),
];

/// A registry that holds the image as `ns/app` with the tags `1` and `latest`.
fn serve(bench: &Bench) -> Result<(Process, u16)> {
    let port = free_port()?;
    let configuration = bench.path("registry.yml");
    let storage = bench.path("registry");
    std::fs::write(
        &configuration,
        format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
            storage.display()
        ),
    )?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&configuration);
    let mut server = Process::start(&mut command, &bench.path("registry.log"))?;
    server.wait_until("the registry answers", Duration::from_secs(20), || {
        get(port, "/v2/").ok().filter(|answer| answer.status == 200)
    })?;
    let policy = bench.write_policy(r#"{"default":[ACCEPT]}"#)?;
    for tag in ["1", "latest"] {
        let mut command = Command::new("skopeo");
        command.env("HOME", bench.path("")).arg("--policy").arg(&policy);
        command.args(["copy", "--dest-tls-verify=false"]);
        command.arg(format!("dir:{}", bench.path("image").display()));
        command.arg(format!("docker://127.0.0.1:{port}/ns/app:{tag}"));
        run(&mut command)?;
    }
    Ok((server, port))
}

/// What Layerwatch says of an image with the name on the host below `root`, and the state.
fn ask(root: &Path, name: &str) -> Result<(Answer, Provenance)> {
    let image = Image {
        store: StoreId::new("overlay@/s"),
        id: ImageId::new("0"),
        digest: None,
        digests: Vec::new(),
        names: vec![name.to_owned()],
        names_history: Vec::new(),
        layers: Vec::new(),
        mapped_layers: Vec::new(),
        created: None,
        config: None,
    };
    let verdict = evaluate(
        &TrustInputs::read(root),
        Engine::ContainersStorage,
        &image,
        Some(name),
    );
    let has = |code: &str| verdict.reasons.iter().any(|reason| reason.code == code);
    let answer = match verdict.decision {
        Decision::Accepted => Answer::Accepted,
        Decision::Rejected if has("reg.blocked") => Answer::Blocked,
        Decision::Rejected => Answer::Rejected,
        Decision::InvalidPolicy => Answer::InvalidPolicy,
        Decision::Unknown if has("reg.invalid") => Answer::InvalidRegistries,
        Decision::Unknown => {
            let needs = has("sig.not-evaluated").then_some(Answer::NeedsSignature);
            needs.with_context(|| format!("unknown for another reason: {verdict:?}"))?
        }
    };
    Ok((answer, verdict.provenance))
}

#[test]
fn verdicts_on_names_agree_with_what_skopeo_does() -> Result<()> {
    let test = "verdicts_on_names_agree_with_what_skopeo_does";
    let Some(bench) = Bench::new(test, &["skopeo", "docker-registry"])? else {
        return Ok(());
    };
    let (mut server, port) = serve(&bench)?;
    let address = format!("127.0.0.1:{port}");
    let registries = bench.path("host/etc/containers/registries.conf");
    let mut differences = Vec::new();
    for (name, policy, configuration, expected, state) in ROWS {
        let [name, policy, configuration] =
            [name, policy, configuration].map(|text| text.replace("REG", &address));
        let file = bench.write_policy(&policy)?;
        std::fs::write(&registries, &configuration)?;
        let (ours, provenance) = ask(&bench.path("host"), &name)?;
        let arguments = ["--registries-conf", &registries.display().to_string()];
        let engine = bench.ask_skopeo(&file, &arguments, &format!("docker://{name}"))?;
        if ours != *expected || !ours.is_said_as(engine) || provenance != *state {
            differences.push(format!(
                "expected {expected:?} {state:?}, here {ours:?} {provenance:?}, skopeo {engine:?}: {name} {policy} {configuration:?}"
            ));
        }
    }
    server.stop()?;
    report(&differences, ROWS.len())
}
