//! The policy engine against the original: the same policies, the same images, asked of skopeo and of Layerwatch.
//!
//! Invariant: every row states what is expected, and both must say it; a word of skopeo's that is not known fails the
//! test. Registries are servers of the test on 127.0.0.1, so nothing is ever fetched from elsewhere.

mod directory;
mod registry;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use layerwatch_tests::{output, skip, tool};
use tempfile::TempDir;

const ACCEPT: &str = r#"{"type":"insecureAcceptAnything"}"#;
const REJECT: &str = r#"{"type":"reject"}"#;
const SIGNED: &str = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/no/such/key"}"#;

/// An image configuration and its digest; the image has no layers, which no policy asks about.
const CONFIG: &str =
    r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
const CONFIG_DIGEST: &str = "dc570f145a7f2862c9ef3c30b8d6ae2feaceb0d364e4b2e08e67ae18815427d9";

/// What an engine does with an image, for what reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Accepted,
    Rejected,
    /// A requirement that the engines parse and never accept; where there is no signature they say that first.
    Unimplemented,
    NeedsSignature,
    InvalidPolicy,
    Blocked,
    InvalidRegistries,
}

impl Answer {
    /// Whether the other is what an engine without a signature at hand says in this case.
    fn is_said_as(self, engine: Self) -> bool {
        let unimplemented = [Self::Rejected, Self::NeedsSignature];
        self == engine || (self == Self::Unimplemented && unimplemented.contains(&engine))
    }
}

/// A directory with the image, policies and whatever a run leaves behind.
struct Bench {
    directory: TempDir,
}

impl Bench {
    /// `None`, with the skip recorded, where a program is missing.
    fn new(test: &str, programs: &[&str]) -> Result<Option<Self>> {
        for program in programs {
            if tool(program).is_none() {
                skip(test, &format!("{program} is not installed"))?;
                return Ok(None);
            }
        }
        let bench = Self {
            directory: tempfile::tempdir()?,
        };
        let image = bench.path("image");
        std::fs::create_dir_all(&image)?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{CONFIG_DIGEST}","size":{}}},"layers":[]}}"#,
            CONFIG.len()
        );
        std::fs::write(image.join("version"), "Directory Transport Version: 1.1\n")?;
        std::fs::write(image.join("manifest.json"), manifest)?;
        std::fs::write(image.join(CONFIG_DIGEST), CONFIG)?;
        Ok(Some(bench))
    }

    fn path(&self, name: &str) -> PathBuf {
        // The policy sees paths without symbolic links.
        let directory = self.directory.path();
        directory
            .canonicalize()
            .unwrap_or(directory.to_owned())
            .join(name)
    }

    /// A policy file with the short forms filled in.
    fn write_policy(&self, policy: &str) -> Result<PathBuf> {
        let path = self.path("host/etc/containers/policy.json");
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(&path, fill(policy))?;
        Ok(path)
    }

    /// What skopeo does when it copies from `source` to a fresh directory.
    fn ask_skopeo(&self, policy: &Path, arguments: &[&str], source: &str) -> Result<Answer> {
        let out = tempfile::tempdir_in(self.directory.path())?;
        let mut command = Command::new("skopeo");
        command
            .env("HOME", self.directory.path())
            .env_remove("XDG_RUNTIME_DIR");
        command.arg("--policy").arg(policy).args(arguments);
        command.args(["copy", "--src-tls-verify=false", source]);
        command.arg(format!("dir:{}", out.path().join("copy").display()));
        let output = output(&mut command)?;
        if output.status.success() {
            return Ok(Answer::Accepted);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        understand(&text).with_context(|| format!("skopeo said something new: {text}"))
    }
}

/// Which answer a message of skopeo's is.
fn understand(text: &str) -> Option<Answer> {
    let words = [
        (
            "Error loading trust policy: invalid policy",
            Answer::InvalidPolicy,
        ),
        ("loading registries configuration", Answer::InvalidRegistries),
        (" is blocked in ", Answer::Blocked),
        (
            "Source image rejected: A signature was required",
            Answer::NeedsSignature,
        ),
        ("Source image rejected: ", Answer::Rejected),
    ];
    words
        .into_iter()
        .find_map(|(part, answer)| text.contains(part).then_some(answer))
}

fn fill(policy: &str) -> String {
    policy
        .replace("ACCEPT", ACCEPT)
        .replace("REJECT", REJECT)
        .replace("SIGNED", SIGNED)
}

/// Fails with all rows that differ, so that one run shows them all.
fn report(differences: &[String], rows: usize) -> Result<()> {
    if !differences.is_empty() {
        bail!(
            "{} of {rows} differ:\n{}",
            differences.len(),
            differences.join("\n")
        );
    }
    Ok(())
}
