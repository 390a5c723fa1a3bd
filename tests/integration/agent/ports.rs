//! A Docker whose API is on a TCP port: what the agent says of it is what another user can do there.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use layerwatch_tests::scene::{Agent, DOCKER, Docker, Scene};
use layerwatch_tests::{free_port, output, run, wait_until};
use serde_json::{Value, json};

use super::{ENGINES, ready};

const DEADLINE: Duration = Duration::from_mins(1);
const NOBODY: u32 = 65_534;

/// A key and a certificate that signs itself, under the names that a daemon is given.
fn certificates(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let of = |name: &str| directory.join(name);
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(of("key.pem"))
        .arg("-out")
        .arg(of("cert.pem")))?;
    std::fs::copy(of("cert.pem"), of("ca.pem"))?;
    Ok(())
}

/// Whether another user gets the image at the port.
fn can_save(port: u16, image: &str) -> Result<bool> {
    let mut command = Command::new("docker");
    command
        .args(["--host", &format!("tcp://127.0.0.1:{port}"), "save", image])
        .env("DOCKER_CONFIG", "/nonexistent")
        .uid(NOBODY)
        .gid(NOBODY);
    let saved = output(&mut command)?;
    Ok(saved.status.success() && saved.stdout.len() > 1000)
}

/// The exposures that were told.
fn exposures(agent: &Agent) -> Vec<Value> {
    let states = agent.of_kind("state").unwrap_or_default().into_iter();
    let of_it = states.filter(|one| one["alert"] == "SensitiveLayerExposed");
    of_it.map(|mut one| one["exposed"].take()).collect()
}

fn check(asks: bool) -> Result<()> {
    if !ready("an API on a port", &[&ENGINES[..], &DOCKER[..]].concat())? {
        return Ok(());
    }
    let mut scene = Scene::new()?;
    let name = scene.publish("shop/api:1")?;
    let port = free_port()?;
    let directory = scene.path().join("certificates");
    certificates(&directory)?;
    let docker = Docker::start_on_port(&scene, port, asks.then_some(directory.as_path()))?;
    docker.run(&["pull", "-q", &name])?;
    let agent = Agent::start_on_docker(&scene, &docker, &[])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    let can_save = can_save(port, &name)?;
    ensure!(can_save != asks, "save as another user: {can_save}");
    let told = wait_until("the exposure", DEADLINE, || {
        let told = exposures(&agent);
        (asks || !told.is_empty()).then_some(told)
    });
    let told = told.with_context(|| agent.log())?;
    let address = format!("tcp://127.0.0.1:{port}");
    let of_port = |one: &&Value| one["component"].as_str().is_some_and(|at| at.contains(&address));
    let of_port: Vec<&Value> = told.iter().filter(of_port).collect();
    ensure!(of_port.len() == usize::from(can_save), "{told:#?}");
    for one in of_port {
        assert_eq!(
            (&one["component"], &one["exposed_to"], &one["remedy"]),
            (
                &json!(format!("dockerd at {address}")),
                &json!([{"who": "world"}]),
                &json!(format!(
                    "take {address} from what dockerd serves, or add --tlsverify with certificates"
                ))
            )
        );
    }
    Ok(())
}

#[test]
fn an_api_that_answers_everybody_is_an_exposure() -> Result<()> {
    check(false)
}

#[test]
fn an_api_that_asks_for_certificates_is_none() -> Result<()> {
    check(true)
}
