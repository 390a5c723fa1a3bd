//! Nothing of a secret is anywhere but in the scanned files: not in the cache, logs at trace level, metrics or any
//! output, neither plain nor in base64 nor in hex. The same search finds each of them in the files.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use layerwatch_tests::scene::{Agent, KEY, Scene, cat_as};

use super::{ENGINES, NAME, command, content, ready};

/// Made-up secrets, each with the file that holds it.
fn planted() -> Vec<(&'static str, String, String)> {
    let token = ["gh", "p_Qm3Zt8LwRk1XvB6nHs0YpJc5DfGe2u3ebODB"].concat();
    [
        (
            "root/.pgpass",
            "db:5432:shop:shopper:{}\n",
            "kV9-made-up-1x".to_owned(),
        ),
        ("app/.env", "GITHUB_TOKEN={}\n", token),
        (
            "root/.netrc",
            "machine a.example login shop password {}\n",
            "Tz4-made-up-netrc-7".to_owned(),
        ),
        (
            "root/.git-credentials",
            "https://shop:{}@git.example\n",
            "Wq8madeupgit5Zr".to_owned(),
        ),
        (
            "etc/shadow",
            "shop:{}:19000:0:99999:7:::\n",
            "$6$kT9mPz2w$".to_owned() + &"Ab3dEf6hIj9lMn2p".repeat(5) + "Qr5tUv",
        ),
        (
            "srv/app/settings.yml",
            "url: postgres://shop:{}@db.example/shop\n",
            "Hn5made0up1url8Kd".to_owned(),
        ),
        (
            "srv/app/app.properties",
            "mail.password={}\n",
            "Xp2-made-up-mail-6v".to_owned(),
        ),
        (
            "srv/deploy/secret.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: {64}\n",
            "Lc3-made-up-kube-9s".to_owned(),
        ),
        (
            "root/.docker/config.json",
            "{\"auths\": {\"registry.example\": {\"auth\": \"{login}\"}}}\n",
            "Ye7-made-up-login-4q".to_owned(),
        ),
        (
            "etc/wireguard/wg0.conf",
            "[Interface]\nPrivateKey = {}\n",
            "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(path, text, secret)| {
        let login = STANDARD.encode(format!("shop:{secret}"));
        let text = text
            .replace("{64}", &STANDARD.encode(&secret))
            .replace("{login}", &login)
            .replace("{}", &secret);
        (path, text, secret)
    })
    .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
        .collect()
}

/// The ways in which a secret could stand somewhere: as it is, in hex, in base64 at each alignment.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex = hex(bytes);
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex];
    for shift in 0..3 {
        let shifted = [&b"xx"[..shift.min(2)], bytes].concat();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // What depends on the bytes around it is left out at both ends.
            let inner = encoded.get(4..encoded.len() - 4).unwrap_or_default();
            forms.push(inner.to_owned());
        }
    }
    forms
}

/// Which forms stand in it.
fn traces(text: &[u8], secret: &str) -> Vec<String> {
    let stands =
        |form: &String| !form.is_empty() && text.windows(form.len()).any(|window| window == form.as_bytes());
    forms(secret).into_iter().filter(stands).collect()
}

fn clean(what: &str, text: &[u8], secrets: &[String]) {
    assert!(!text.is_empty(), "{what} has something in it");
    for secret in secrets {
        assert_eq!(traces(text, secret), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn the_search_finds_what_stands_there_in_each_form() {
    let secret = "kV9-made-up-1x";
    let hex = hex(secret.as_bytes());
    for text in [
        format!("password={secret}\n"),
        hex.clone(),
        hex.to_uppercase(),
        STANDARD_NO_PAD.encode(format!("password={secret}\n")),
        STANDARD_NO_PAD.encode(format!("assword={secret}\n")),
        STANDARD_NO_PAD.encode(format!("ssword={secret}\n")),
    ] {
        assert!(!traces(text.as_bytes(), secret).is_empty(), "{text}");
    }
    assert!(traces(b"password=****", secret).is_empty());
}

#[test]
fn no_secret_leaves_the_scanner() -> Result<()> {
    if !ready("no secret leaves", &ENGINES)? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let tree = scene.tree()?;
    let mut secrets = Vec::new();
    for (path, content, secret) in planted() {
        let file = tree.join(path);
        std::fs::create_dir_all(file.parent().context("a folder")?)?;
        std::fs::write(&file, &content)?;
        assert!(
            !traces(content.as_bytes(), &secret).is_empty(),
            "the control: {path}"
        );
        secrets.push(secret);
    }
    let key = std::io::read_to_string(std::fs::File::open(tree.join(KEY))?)?;
    secrets.push(key.lines().nth(1).context("the key's body")?.to_owned());
    scene.store.build(&tree, NAME, true)?;
    secrets.push(image_with_variable(&scene)?);
    let state = scene.path().join("state");
    std::fs::create_dir(&state)?;
    scene
        .store
        .run("podman", &["save", "-q", "-o", &archive(&scene), NAME])?;
    for format in ["table", "json", "jsonl", "sarif"] {
        for target in ["--all", &archive(&scene), tree.to_str().context("text")?] {
            let baseline = scene.path().join("baseline");
            let mut command = command(
                &scene,
                &["scan", target, "-o", format, "--write-baseline", "--baseline"],
            )?;
            let shown = layerwatch_tests::output(
                command
                    .arg(&baseline)
                    .env("LAYERWATCH_LOG_LEVEL", "trace")
                    .env("RUST_LOG", "trace"),
            )?;
            assert_found(target, format, &String::from_utf8_lossy(&shown.stdout));
            clean(
                &format!("{target} as {format}"),
                &[shown.stdout, shown.stderr].concat(),
                &secrets,
            );
            clean("the baseline", &content(&baseline)?, &secrets);
        }
    }
    let mut agent = Agent::start(&scene, "agent", &["--set", "log.level=trace", "--verbose"])?;
    agent.wait_for_metric("layerwatch_findings{severity=\"critical\"}", 1.0)?;
    scene.store.misconfigure()?;
    agent.wait_for_metric("layerwatch_exposed_findings{severity=\"critical\"}", 1.0)?;
    cat_as(65534, &scene.store.find(KEY)?.remove(0))?;
    agent.wait_for("alert", 1)?;
    let records = serde_json::to_vec(&agent.lines()?)?;
    clean("the alerts and other records", &records, &secrets);
    clean("the metrics", agent.metrics()?.body.as_bytes(), &secrets);
    agent.stop()?;
    clean("the agent's log", agent.log().as_bytes(), &secrets);
    for directory in [&state, &scene.path().join("agent/state")] {
        clean_files(directory, &secrets)?;
    }
    Ok(())
}

/// One more image, whose configuration has a secret; it is given back.
fn image_with_variable(scene: &Scene) -> Result<String> {
    let secret = "Gw6-made-up-variable-2t".to_owned();
    let container = scene.store.run("buildah", &["from", "--pull-never", NAME])?;
    let variable = format!("DB_PASSWORD={secret}");
    scene
        .store
        .run("buildah", &["config", "--env", &variable, &container])?;
    scene
        .store
        .run("buildah", &["commit", "-q", &container, "localhost/shop/env:1"])?;
    scene.store.run("buildah", &["rm", &container])?;
    Ok(secret)
}

/// The control: what is planted is found, by each rule that is for it; the table cuts names.
fn assert_found(target: &str, format: &str, shown: &str) {
    let in_files = [
        "pgpass",
        "github-token",
        "netrc",
        "git-credentials",
        "shadow-hash",
        "database-url",
        "password-assignment",
        "kubernetes-secret-data",
        "docker-config-auth",
        "wireguard-private-key",
    ];
    let in_images = if target == "--all" {
        &["image-config-secret"][..]
    } else {
        &[]
    };
    for rule in in_files.iter().chain(in_images).filter(|_| format != "table") {
        assert!(shown.contains(rule), "the control: {target} {format}: {rule}");
    }
}

fn archive(scene: &Scene) -> String {
    scene.path().join("image.tar").display().to_string()
}

/// Each file of a state directory; the cache is one of them.
fn clean_files(directory: &Path, secrets: &[String]) -> Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        names.push(entry.file_name().into_string().unwrap_or_default());
        if entry.file_type()?.is_file() && entry.metadata()?.len() > 0 {
            clean(
                &entry.path().display().to_string(),
                &content(entry.path())?,
                secrets,
            );
        }
    }
    assert!(names.iter().any(|name| name == "scans.redb"), "{names:?}");
    Ok(())
}
