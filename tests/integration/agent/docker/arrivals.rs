//! How an image came to a real Docker: the record says what its client was told to do.

use std::process::Command;

use anyhow::{Context, Result};
use layerwatch_tests::run;
use layerwatch_tests::scene::{Agent, Docker, NEWER_DOCKER, Scene};
use serde_json::json;

use super::super::{image_of, ready};
use super::docker_ready;
use super::pulls::{asked_by, inspected};

/// What is done first, what brings the image with BuildKit or without, and what that is.
struct Way<'a> {
    before: &'a [&'a str],
    command: &'a [&'a str],
    buildkit: bool,
    arrival: &'a str,
    is_on_containerd: bool,
}

const WAY: Way<'_> = Way {
    before: &[],
    command: &[],
    buildkit: false,
    arrival: "built",
    is_on_containerd: true,
};

fn context(scene: &Scene) -> Result<String> {
    let context = scene.path().join("context");
    std::fs::create_dir_all(&context)?;
    for (name, text) in [
        ("motd", "hello\n"),
        ("Dockerfile", "FROM scratch\nCOPY motd /one\nCOPY motd /two\n"),
    ] {
        std::fs::write(context.join(name), text)?;
    }
    Ok(context.to_str().context("text")?.to_owned())
}

/// A file system to import.
fn archive(context: &str) -> Result<String> {
    let archive = format!("{context}.tar");
    run(Command::new("tar").args(["-C", context, "-cf", &archive, "motd"]))?;
    Ok(archive)
}

fn check(scene: &Scene, docker: &Docker, is_on_containerd: bool) -> Result<()> {
    let agent = Agent::start_on_docker(scene, docker, &[])?;
    let context = context(scene)?;
    let archive = archive(&context)?;
    let ways = [
        Way {
            command: &["build", "-q", "-t", "own/built:1", &context],
            buildkit: true,
            ..WAY
        },
        Way {
            command: &["import", &archive, "own/imported:1"],
            arrival: "imported",
            ..WAY
        },
        Way {
            command: &["build", "-q", "--label", "a=b", "-t", "own/classic:1", &context],
            is_on_containerd: false,
            ..WAY
        },
        Way {
            before: &[
                "create",
                "--network",
                "none",
                "--name",
                "box",
                "own/built:1",
                "/x",
            ],
            command: &["commit", "box", "own/committed:1"],
            is_on_containerd: false,
            ..WAY
        },
    ];
    let ways = ways
        .iter()
        .filter(|way| way.is_on_containerd || !is_on_containerd);
    for (count, way) in (1..).zip(ways) {
        if !way.before.is_empty() {
            docker.run(way.before)?;
        }
        let buildkit = if way.buildkit { "1" } else { "0" };
        docker.run_with(&[("DOCKER_BUILDKIT", buildkit)], way.command)?;
        let mut records = agent.wait_for("pull", count)?;
        assert_eq!(records.len(), count, "{records:#?}");
        let record = records.remove(count - 1);
        assert_eq!(
            json!([record["arrival"], asked_by(&record)]),
            json!([way.arrival, [0, "docker", way.command[0]]]),
            "{:?}: {record:#}",
            way.command
        );
        if way.buildkit && !is_on_containerd {
            assert_eq!(image_of(&record), inspected(docker, "own/built:1")?);
            assert_eq!(
                json!([record["new_layers"], record["trust"]["provenance"]]),
                json!([2, "local"])
            );
        }
    }
    assert_eq!(
        agent.metric("layerwatch_knowledge_errors_total{reason=\"catalog\"}"),
        Some(0.0),
        "{}",
        agent.log()
    );
    Ok(())
}

#[test]
fn how_an_image_came_to_docker_is_told() -> Result<()> {
    if docker_ready("docker arrivals")? {
        let scene = Scene::new()?;
        let docker = Docker::start(&scene, "overlay2")?;
        check(&scene, &docker, false)?;
        if ready("docker arrivals: newer", &[NEWER_DOCKER])? {
            let scene = Scene::new()?;
            let docker = Docker::start_on_containerd(&scene)?;
            check(&scene, &docker, true)?;
        }
    }
    Ok(())
}
