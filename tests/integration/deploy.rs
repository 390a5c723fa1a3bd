//! What the repository ships for operations, checked by the programs that will read it.
//!
//! Invariant: a checker that is not installed is a recorded skip, never a pass; each check is also seen to fail, on a
//! file with a mistake in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use layerwatch::config;
use layerwatch_tests::{output, root, run, skip, tool};
use serde_json::Value;

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

fn text(path: &Path) -> String {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::io::read_to_string(file).unwrap()
}

/// A command for an installed program; none, and a recorded skip, without it.
fn checker(test: &str, program: &str) -> Result<Option<Command>> {
    // Python's checkers stand in an environment of their own in the target folder (`cargo xtask test` makes it).
    let venv = std::env::current_exe()?
        .ancestors()
        .nth(3)
        .map(|target| target.join("test/python/bin").join(program));
    match venv.filter(|file| file.is_file()).or_else(|| tool(program)) {
        Some(file) => Ok(Some(Command::new(file))),
        None => skip(test, &format!("{program} is not installed")).map(|()| None),
    }
}

/// What the program says about a file; its name in `arguments` is `FILE`.
fn verdict(mut command: Command, arguments: &[&str], file: &Path) -> Result<(bool, String)> {
    for argument in arguments {
        command.arg(if *argument == "FILE" {
            file.as_os_str()
        } else {
            argument.as_ref()
        });
    }
    let output = output(&mut command)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// The file, a copy, passes; the same file with `right` replaced by `wrong` does not.
fn check(
    test: &str,
    program: &str,
    arguments: &[&str],
    file: &Path,
    (right, wrong): (&str, &str),
) -> Result<()> {
    let good = text(file);
    assert!(
        good.contains(right),
        "{} has no {right:?} to break",
        file.display()
    );
    for (content, passes) in [(good.clone(), true), (good.replacen(right, wrong, 1), false)] {
        let Some(command) = checker(test, program)? else {
            return Ok(());
        };
        fs::write(file, content)?;
        let (passed, said) = verdict(command, arguments, file)?;
        assert_eq!(passed, passes, "{program} on {}: {said}", file.display());
    }
    Ok(())
}

/// A copy of shipped files that a test may break.
fn copy(files: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let copies = files.iter().map(|file| {
        let to = directory.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(deploy(file), &to).unwrap();
        to
    });
    let copies = copies.collect();
    (directory, copies)
}

/// The unit with a program that exists here in the place of ours.
fn unit() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("layerwatch.service");
    let unit = text(&deploy("systemd/layerwatch.service"));
    assert_eq!(unit.matches("=/usr/bin/layerwatch ").count(), 3);
    fs::write(&file, unit.replace("/usr/bin/layerwatch", "/bin/true")).unwrap();
    (directory, file)
}

#[test]
fn systemd_has_nothing_to_say_about_the_unit() -> Result<()> {
    let (_directory, file) = unit();
    let Some(command) = checker("systemd unit", "systemd-analyze")? else {
        return Ok(());
    };
    // The exit status alone is not enough: a misspelt directive is only printed.
    assert_eq!(
        verdict(command, &["verify", "--man=no", "FILE"], &file)?,
        (true, String::new())
    );
    fs::write(&file, text(&file).replace("PrivateTmp", "PrivateTemp"))?;
    let Some(command) = checker("systemd unit", "systemd-analyze")? else {
        return Ok(());
    };
    let (_, said) = verdict(command, &["verify", "--man=no", "FILE"], &file)?;
    assert!(said.contains("PrivateTemp"), "{said}");
    Ok(())
}

#[test]
fn the_unit_is_exposed_by_at_most_2_5() -> Result<()> {
    let (_directory, file) = unit();
    let arguments = ["security", "--offline=true", "--threshold=25", "FILE"];
    let broken = ("CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_SYS_ADMIN ");
    check("systemd exposure", "systemd-analyze", &arguments, &file, broken)
}

#[test]
fn systemd_can_make_the_user() -> Result<()> {
    let (_directory, files) = copy(&["systemd/layerwatch.sysusers"]);
    check(
        "sysusers",
        "systemd-sysusers",
        &["--dry-run", "FILE"],
        &files[0],
        ("u layerwatch -", "u layer:watch -"),
    )
}

#[test]
fn the_rules_pass_promtools_lint() -> Result<()> {
    let (_directory, files) = copy(&["prometheus/layerwatch.rules.yml"]);
    let arguments = ["check", "rules", "--lint=all", "--lint-fatal", "FILE"];
    check(
        "rules",
        "promtool",
        &arguments,
        &files[0],
        ("sum by (job, instance, category)", "sum by (job"),
    )
}

#[test]
fn the_rules_do_what_their_tests_say() -> Result<()> {
    // (what is in the rule, what would be wrong instead): each must be noticed.
    let mutations = [
        (
            "[10m]) > 0\n            or\n              (",
            "[10m]) > 9\n            or\n              (",
        ),
        ("offset 10m", "offset 1s"),
        ("severity=~\"high|critical\"", "severity=~\".*\""),
        ("== 0\n        for: 5m", "== 0\n        for: 50m"),
        ("min by (job, instance)", "max by (job, instance)"),
        ("> 900", "> 90000"),
        ("outcome=\"ring-full\"", "outcome=\"ringfull\""),
        (",hook!=\"process\"", ""),
        ("{hook!=\"process\"}", ""),
        ("{reason!=\"process-table-full\"}[10m]", "[10m]"),
        (
            "{reason!=\"process-table-full\"}[10m]",
            "{reason!=\"process-table-full\"}[1s]",
        ),
        (
            "(layerwatch_unwatched_inodes) > 0",
            "(layerwatch_unwatched_inodes) > 5",
        ),
        ("{hook=\"process\"} == 0", "{hook=\"process\"} == 2"),
        (
            "{hook=\"process\",outcome=\"ring-full\"}[10m]",
            "{hook=\"process\",outcome=\"ring-full\"}[1s]",
        ),
        (
            "{reason=\"process-table-full\"}[10m]",
            "{reason=\"process-table-full\"}[1s]",
        ),
        (
            "layerwatch_sink_dropped_total[10m]",
            "layerwatch_sink_lost_total[10m]",
        ),
        (
            "layerwatch_alertmanager_failed_total[5m]",
            "layerwatch_alertmanager_failed_total[1s]",
        ),
    ];
    let (_directory, files) = copy(&[
        "prometheus/layerwatch.rules.yml",
        "prometheus/tests/layerwatch.test.yml",
    ]);
    let rules = text(&files[0]);
    let passes = |rules: &str| -> Result<Option<bool>> {
        fs::write(&files[0], rules)?;
        let Some(command) = checker("rule tests", "promtool")? else {
            return Ok(None);
        };
        Ok(Some(verdict(command, &["test", "rules", "FILE"], &files[1])?.0))
    };
    if passes(&rules)?.is_none() {
        return Ok(());
    }
    assert_eq!(passes(&rules)?, Some(true));
    for (right, wrong) in mutations {
        assert!(rules.contains(right), "no {right:?} in the rules");
        assert_eq!(
            passes(&rules.replacen(right, wrong, 1))?,
            Some(false),
            "nobody notices {wrong:?}"
        );
    }
    Ok(())
}

#[test]
fn every_metric_in_a_rule_exists() {
    let reference = text(&root().join("docs/metrics.md"));
    let rules = text(&deploy("prometheus/layerwatch.rules.yml"));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: Vec<&str> = rules
        .split(|c| !is_name(c))
        .filter(|word| word.starts_with("layerwatch_"))
        .collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(
            reference.contains(&format!("| `{name}` |")),
            "{name} is not in docs/metrics.md"
        );
    }
}

#[test]
fn prometheus_takes_the_scrape_configuration() -> Result<()> {
    let (_directory, files) = copy(&["prometheus/scrape.yml", "prometheus/layerwatch.rules.yml"]);
    check(
        "scrape",
        "promtool",
        &["check", "config", "FILE"],
        &files[0],
        ("scrape_interval", "scrape_intervall"),
    )
}

#[test]
fn alertmanager_takes_its_configuration() -> Result<()> {
    let (_directory, files) = copy(&["alertmanager/alertmanager.yml"]);
    check(
        "alertmanager",
        "amtool",
        &["check-config", "FILE"],
        &files[0],
        ("receiver: security", "receiver: nobody"),
    )
}

#[test]
fn each_alert_reaches_the_right_people() -> Result<()> {
    let file = deploy("alertmanager/alertmanager.yml");
    for (alert, receiver, right) in [
        ("SensitiveLayerRead", "security", true),
        ("ForeignContainerRead", "security", true),
        ("ForeignStoreRead", "security", true),
        ("CacheApiAccess", "security", true),
        ("RawDeviceRead", "security", true),
        ("SensitiveLayerExposed", "security", true),
        ("LayerwatchSensitiveRead", "security", true),
        ("MonitorBlind", "operations", true),
        ("LayerwatchDown", "operations", true),
        ("LayerwatchDown", "security", false),
    ] {
        let Some(command) = checker("routes", "amtool")? else {
            return Ok(());
        };
        let name = format!("alertname={alert}");
        let verify = format!("--verify.receivers={receiver}");
        let config = format!("--config.file={}", file.display());
        let arguments = ["config", "routes", "test", &config, &verify, &name];
        let (passed, said) = verdict(command, &arguments, &file)?;
        assert_eq!(passed, right, "{alert} to {receiver}: {said}");
    }
    Ok(())
}

/// The bases by the nodes that they are for, and where stores lie there.
const NODES: [(&str, &str); 2] = [
    ("kubernetes/base", "/var/lib/containers"),
    ("kubernetes/containerd", "/var/lib/containerd"),
];

/// The built manifests as one YAML text.
fn manifests(base: &Path) -> Result<Option<String>> {
    let Some(mut kubectl) = checker("kubernetes", "kubectl")? else {
        return Ok(None);
    };
    Ok(Some(run(kubectl.arg("kustomize").arg(base))?))
}

#[test]
fn the_manifests_fit_the_strict_schema() -> Result<()> {
    for (nodes, _) in NODES {
        let Some(manifests) = manifests(&deploy(nodes))? else {
            return Ok(());
        };
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("manifests.yaml");
        fs::write(&file, manifests)?;
        let arguments = ["--strict", "-k", "1.33", "FILE"];
        check(
            "kubernetes schema",
            "kubernetes-validate",
            &arguments,
            &file,
            ("hostPID:", "hostPid:"),
        )?;
    }
    Ok(())
}

#[test]
fn the_pods_ask_for_four_capabilities_and_no_more() -> Result<()> {
    NODES
        .iter()
        .try_for_each(|(nodes, stores)| check_pods(nodes, stores))
}

/// The pods for a kind of nodes, whose stores lie here below the host's root.
fn check_pods(nodes: &str, stores: &str) -> Result<()> {
    let Some(manifests) = manifests(&deploy(nodes))? else {
        return Ok(());
    };
    let set = daemon_set(&manifests);
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let added = serde_json::json!(["BPF", "PERFMON", "DAC_READ_SEARCH", "SYS_PTRACE"]);
    assert_eq!(security["capabilities"]["add"], added);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod.get("hostNetwork"), None);
    let own = ["state", "tmp", "run", "bpf"];
    for mount in container["volumeMounts"].as_array().unwrap() {
        let is_own = own.iter().any(|name| mount["name"] == *name);
        assert_eq!(mount.get("readOnly").is_none(), is_own, "{mount}");
    }
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    let mounts: Vec<_> = mounts.filter(|mount| mount["name"] == "stores").collect();
    let expected = serde_json::json!([{
        "name": "stores",
        "mountPath": format!("/host{stores}"),
        "readOnly": true,
        "mountPropagation": "HostToContainer",
    }]);
    assert_eq!(serde_json::json!(mounts), expected, "{nodes}");
    let volumes = pod["volumes"].as_array().unwrap().iter();
    let volumes: Vec<_> = volumes.filter(|volume| volume["name"] == "stores").collect();
    let expected = serde_json::json!([{"name": "stores", "hostPath": {"path": stores, "type": "Directory"}}]);
    assert_eq!(serde_json::json!(volumes), expected, "{nodes}");
    Ok(())
}

#[test]
fn the_pods_configuration_is_what_their_manifest_expects() -> Result<()> {
    let variables = [("LAYERWATCH_NODE_NAME".to_owned(), "node-1".to_owned())].into();
    let file = deploy("kubernetes/base/config.toml");
    let config = config::load(Some(&file), &variables, &config::FlagOverrides::default())?;
    assert_eq!(config.node_name, "node-1");
    assert_eq!(config.web.listen, ["0.0.0.0:9880".parse()?]);
    assert_eq!(config.state_directory, Path::new("/var/lib/layerwatch"));
    let Some(manifests) = manifests(&deploy("kubernetes/base"))? else {
        return Ok(());
    };
    let set = daemon_set(&manifests);
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], 9880);
    let paths: Vec<&str> = container["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|mount| mount["mountPath"].as_str())
        .collect();
    let stores = config.stores.host_root.join("var/lib/containers");
    for path in [
        stores.as_path(),
        &config.state_directory,
        Path::new("/etc/layerwatch"),
        config.pins.as_deref().and_then(Path::parent).unwrap(),
    ] {
        assert!(
            paths.iter().any(|mounted| Path::new(mounted) == path),
            "{} is not mounted",
            path.display()
        );
    }
    Ok(())
}

/// The one `DaemonSet` among the manifests.
fn daemon_set(manifests: &str) -> Value {
    let text = manifests
        .split("\n---\n")
        .find(|text| text.contains("kind: DaemonSet"))
        .unwrap();
    serde_norway::from_str(text).unwrap()
}
