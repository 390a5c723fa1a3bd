//! Ordinary packages, unpacked as a layer: test suites, sources, servers and documentation, which are full of keys that are
//! no secrets. At most [`MOST`] findings of a tree may be high or worse, and each must be in the reviewed list. One tree is
//! as dpkg leaves it; one has Alpine's layout and record with files of Debian's packages, since Alpine's own have few keys
//! in them; one is Alpine's own ([`alpine`]).
//!
//! A part of `--full`, since it downloads some hundred megabytes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::outcome::Outcome;
use super::{Context, alpine};
use crate::apt::{self, Apt};
use crate::{build, files, process, say};

const MOST: usize = 5;
/// Findings that were looked at, with the reason why they stand as they are.
const REVIEWED: &str = "tests/fixtures/accuracy/ordinary.toml";
const DEBIAN: [&str; 22] = [
    "apache2-bin",
    "dovecot-core",
    "golang-1.19-src",
    "libnet-ssleay-perl",
    "libpython3.11-stdlib",
    "libpython3.11-testsuite",
    "libruby3.1",
    "nginx-common",
    "nodejs-doc",
    "openssl",
    "openvpn",
    "php8.2-cli",
    "php8.2-common",
    "postgresql-15",
    "python3-botocore",
    "python3-jwt",
    "python3-pycryptodome",
    "python3-tornado",
    "python3-twisted",
    "redis-server",
    "ruby3.1",
    "ssl-cert",
];

/// What is often in an image on Alpine, and what has keys in it.
const ALPINE: [&str; 8] = [
    "busybox-static",
    "ca-certificates",
    "libpython3.11-stdlib",
    "libpython3.11-testsuite",
    "musl",
    "openssl",
    "python3-certifi",
    "python3-twisted",
];
/// Writes apk's record of a tree.
const APK_RECORD: &str = include_str!("apk-record.py");

/// Unpacks them, scans, compares.
pub(super) fn run(context: &Context<'_>) -> Result<Outcome> {
    let folder = context.workspace.target.join("test/ordinary");
    let reviewed = reviewed(&files::read_text(&context.workspace.root.join(REVIEWED))?)?;
    let agent = build::agent(context.workspace, &build::Options { release: true })?;
    let mut outcome = Outcome::default();
    for (name, packages, record) in [
        ("debian", &DEBIAN[..], dpkg_record as Record),
        ("alpine", &ALPINE[..], apk_record as Record),
    ] {
        let folder = folder.join(name);
        unpack(&folder, packages, record)?;
        outcome.add(judge(&agent, name, &folder, &reviewed, &[])?);
    }
    let folder = folder.join("alpine-itself");
    let (layer, rule) = (folder.join("layer"), folder.join("rule.toml"));
    let whole = folder.join("unpacked");
    if !whole.exists() {
        alpine::unpack(&folder, &layer)?;
        files::write(&whole, b"")?;
    }
    files::write(&rule, alpine::RULE.as_bytes())?;
    let rule = [
        "--rules",
        rule.to_str().context("the target folder's name is no text")?,
    ];
    outcome.add(judge(&agent, "alpine itself", &folder, &reviewed, &rule)?);
    Ok(outcome)
}

/// Scans one tree and compares.
fn judge(
    agent: &Path,
    name: &str,
    folder: &Path,
    reviewed: &[(String, String)],
    more: &[&str],
) -> Result<Outcome> {
    let mut scan = Command::new(agent);
    scan.arg("--set")
        .arg(format!("state_directory={}", folder.join("state").display()))
        .args(["scan", "--quiet", "-o", "json"])
        .args(more)
        .arg(folder.join("layer"));
    let json = process::output(&mut scan)?;
    // Without a finding that a package's record lowered nothing would have been shown.
    ensure!(json.contains("\"package\""), "{name}: no finding is a package's");
    let worst = worst(&json)?;
    say::progress(&format!(
        "ordinary packages: {name}: {} are high or worse",
        worst.len()
    ));
    let mut outcome = Outcome::passed(1);
    if worst.len() > MOST {
        outcome = Outcome::failed(1);
    }
    for finding in worst.iter().filter(|finding| !reviewed.contains(finding)) {
        say::progress(&format!(
            "ordinary packages: {name}: not reviewed: {} in {}",
            finding.0, finding.1
        ));
        outcome = Outcome::failed(1);
    }
    Ok(outcome)
}

/// Leaves in a tree what its package manager writes down of a package, or of all with the last one.
type Record = fn(layer: &Path, package: Option<(&str, &Path)>) -> Result<()>;

/// The files, and beside them what each package says of them.
fn unpack(folder: &Path, packages: &[&str], record: Record) -> Result<()> {
    let (whole, layer) = (folder.join("unpacked"), folder.join("layer"));
    if whole.exists() {
        return Ok(());
    }
    files::empty_folder(&layer)?;
    let apt = Apt::system();
    for package in packages {
        if apt.candidate(package)?.is_none() {
            say::progress(&format!("ordinary packages: this release has no {package}"));
            continue;
        }
        let download = folder.join("download").join(package);
        for deb in apt.download(&[(*package).to_owned()], &download)? {
            apt::unpack(&deb, &layer)?;
            record(&layer, Some((package, &deb)))?;
        }
    }
    record(&layer, None)?;
    files::write(&whole, b"")
}

/// As dpkg does, for each package.
fn dpkg_record(layer: &Path, package: Option<(&str, &Path)>) -> Result<()> {
    let Some((package, deb)) = package else {
        return Ok(());
    };
    let records = layer.join("var/lib/dpkg/info");
    let record = process::output(Command::new("dpkg-deb").arg("-I").arg(deb).arg("md5sums"))?;
    files::create_folder(&records)?;
    files::write(&records.join(format!("{package}.md5sums")), record.as_bytes())
}

/// As apk does, for all at once.
fn apk_record(layer: &Path, package: Option<(&str, &Path)>) -> Result<()> {
    match package {
        Some(_) => Ok(()),
        None => process::run_quietly(Command::new("python3").args(["-c", APK_RECORD]).arg(layer)),
    }
}

/// Rule and path of the findings that are high or worse.
fn worst(json: &str) -> Result<Vec<(String, String)>> {
    let listing: serde_json::Value = serde_json::from_str(json).context("the scan printed no JSON")?;
    let findings = listing.get("findings").and_then(serde_json::Value::as_array);
    let text = |finding: &serde_json::Value, key: &str| {
        let text = finding.get(key).and_then(serde_json::Value::as_str);
        text.map(str::to_owned)
            .with_context(|| format!("a finding without {key}"))
    };
    let mut worst = Vec::new();
    for finding in findings.context("the scan printed no findings")? {
        if matches!(text(finding, "severity")?.as_str(), "high" | "critical") {
            worst.push((text(finding, "rule")?, text(finding, "path")?));
        }
    }
    Ok(worst)
}

fn reviewed(text: &str) -> Result<Vec<(String, String)>> {
    let table: toml::Table = text.parse().context("read the reviewed findings")?;
    let entries = table.get("finding").and_then(toml::Value::as_array);
    let mut reviewed = Vec::new();
    for entry in entries.into_iter().flatten() {
        let text = |key: &str| {
            let text = entry.get(key).and_then(toml::Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        ensure!(text("reason").is_some(), "a reviewed finding has a reason");
        reviewed.push(
            text("rule")
                .zip(text("path"))
                .context("a reviewed finding has rule and path")?,
        );
    }
    Ok(reviewed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_high_or_worse_counts_and_a_review_has_a_reason() {
        let json = r#"{"findings": [
            {"rule": "a", "severity": "high", "path": "x"}, {"rule": "b", "severity": "medium", "path": "y"},
            {"rule": "c", "severity": "critical", "path": "z"}]}"#;
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(worst(json).unwrap(), [pair("a", "x"), pair("c", "z")]);
        assert!(worst("{}").is_err() && worst("no").is_err());
        let good = "[[finding]]\nrule = \"a\"\npath = \"x\"\nreason = \"r\"\n";
        assert_eq!(reviewed(good).unwrap(), [pair("a", "x")]);
        assert!(reviewed(&good.replace("\"r\"", "\"\"")).is_err());
        assert_eq!(reviewed("").unwrap(), []);
    }
}
