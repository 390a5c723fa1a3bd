//! A file that is what a package of the same layer ships counts less, by the records that real package managers wrote:
//! dpkg, rpm, pip. apk is in no archive that this runs on: its record is written here as
//! apk writes it, with the digests that `openssl` makes of the files. `--full` has a real Alpine (`xtask/src/test/alpine.rs`).
//!
//! Invariant: the same key beside it, which no package ships, keeps its severity.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use layerwatch::model::{Finding, LoweredBy, Place, Severity};
use layerwatch::scan::{FingerprintKey, RuleSet, Scanner};
use layerwatch_tests::{output, run};

use super::ready;

/// Where a package puts its key, below the root.
const SHIPPED: &str = "usr/lib/made/test.pem";
/// The same key, put there by somebody else.
const OWN: &str = "srv/own.pem";

/// A private key in a file of its own.
fn key(folder: &Path) -> Result<PathBuf> {
    let key = folder.join("test.pem");
    run(Command::new("openssl")
        .args(["genpkey", "-algorithm", "ED25519", "-out"])
        .arg(&key))?;
    Ok(key)
}

fn shell(folder: &Path, script: &str) -> Result<String> {
    let done = output(Command::new("sh").args(["-euc", script]).current_dir(folder))?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    anyhow::ensure!(done.status.success(), "{script}: {said}");
    Ok(String::from_utf8(done.stdout)?)
}

/// Path, severity and reasons of what is found in a tree, after the other copy of the key was put into it.
fn judged(tree: &Path, key: &Path, path: &str) -> Result<Vec<(String, Severity, Vec<LoweredBy>)>> {
    for place in [OWN, "srv/changed.pem"] {
        std::fs::create_dir_all(tree.join("srv"))?;
        std::fs::copy(key, tree.join(place))?;
    }
    let scanner = Scanner::new(RuleSet::builtin()?, FingerprintKey::new([3; 32]));
    let mut found = Vec::new();
    scanner.scan_directory(tree, None, &mut |_| (), &mut |finding| found.push(finding))?;
    let judge = |finding: &Finding| match &finding.place {
        Place::File { path, .. } => {
            let path = String::from_utf8_lossy(path).into_owned();
            (path, finding.severity, finding.lowered.clone())
        }
        Place::ImageConfig { .. } => (String::new(), finding.severity, Vec::new()),
    };
    let mut judged: Vec<_> = found.iter().map(judge).collect();
    judged.retain(|(place, _, _)| place == path || place == OWN);
    judged.sort();
    Ok(judged)
}

/// The package's file is lowered by two steps, the other not.
fn check(tree: &Path, key: &Path, path: &str, who: &str) -> Result<()> {
    let own = (OWN.to_owned(), Severity::Critical, Vec::new());
    let shipped = (path.to_owned(), Severity::Medium, vec![LoweredBy::Package]);
    assert_eq!(judged(tree, key, path)?, [own.clone(), shipped], "{who}");
    // The control: with one byte more it is the package's no longer.
    let mut changed = layerwatch::bounded::read(key, 1 << 20)?;
    changed.push(b'\n');
    let place = tree.join(path);
    // Links would change the other copy too.
    std::fs::remove_file(&place)?;
    std::fs::write(&place, changed)?;
    let changed = (path.to_owned(), Severity::Critical, Vec::new());
    assert_eq!(judged(tree, key, path)?, [own, changed], "{who}, changed");
    Ok(())
}

#[test]
fn what_dpkg_unpacked_is_the_packages() -> Result<()> {
    if !ready("identity by dpkg", &["dpkg", "dpkg-deb", "openssl"])? {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let key = key(scratch.path())?;
    let script = format!(
        "mkdir -p p/DEBIAN p/usr/lib/made t/var/lib/dpkg/info t/var/lib/dpkg/updates; cp test.pem p/{SHIPPED}
        printf 'Package: made\\nVersion: 1\\nArchitecture: all\\nMaintainer: Made <m@example.com>\\nDescription: made\\n' > p/DEBIAN/control
        (cd p; md5sum {SHIPPED} > DEBIAN/md5sums); dpkg-deb --root-owner-group -b p made.deb > /dev/null
        : > t/var/lib/dpkg/status; dpkg --root=t --force-all --log=/dev/null -i made.deb"
    );
    shell(scratch.path(), &script)?;
    check(&scratch.path().join("t"), &key, SHIPPED, "dpkg")
}

#[test]
fn what_rpm_installed_is_the_packages() -> Result<()> {
    if !ready("identity by rpm", &["rpm", "rpmbuild", "openssl"])? {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let key = key(scratch.path())?;
    let spec = format!(
        "Name: made\nVersion: 1\nRelease: 1\nSummary: made\nLicense: MIT\nBuildArch: noarch\n%description\nmade\n\
         %install\nmkdir -p %{{buildroot}}/usr/lib/made\ncp %{{key}} %{{buildroot}}/{SHIPPED}\n%files\n/{SHIPPED}\n"
    );
    std::fs::write(scratch.path().join("made.spec"), spec)?;
    let build = "rpmbuild --quiet -bb --define \"_topdir $PWD/b\" --define \"key $PWD/test.pem\" made.spec; cp b/RPMS/*/*.rpm made.rpm";
    shell(scratch.path(), build)?;
    // Debian's rpm knows this database only; ndb has unit tests.
    for place in ["var/lib/rpm", "usr/lib/sysimage/rpm"] {
        let tree = scratch.path().join(place.replace('/', "-"));
        std::fs::create_dir(&tree)?;
        let script = format!(
            "rpm --root {} --define '_dbpath /{place}' --define '_db_backend sqlite' --nodeps --ignoreos -i ../made.rpm",
            tree.display()
        );
        shell(&tree, &script)?;
        assert!(tree.join(place).join("rpmdb.sqlite").exists(), "{place}");
        check(&tree, &key, SHIPPED, &format!("rpm in {place}"))?;
    }
    Ok(())
}

#[test]
fn what_pip_installed_is_the_packages() -> Result<()> {
    if !ready("identity by pip", &["python3", "openssl"])? {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let key = key(scratch.path())?;
    // A wheel is a zip with a record of its own; whoever installs it writes the one that counts.
    let script = r#"python3 - <<'EOF'
import base64, hashlib, zipfile
key = open("test.pem", "rb").read()
meta = "Metadata-Version: 2.1\nName: made\nVersion: 1\n"
wheel = "Wheel-Version: 1.0\nGenerator: made\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
files = {"made/test.pem": key, "made-1.dist-info/METADATA": meta.encode(), "made-1.dist-info/WHEEL": wheel.encode()}
digest = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
with zipfile.ZipFile("made-1-py3-none-any.whl", "w") as out:
    for name, data in files.items():
        out.writestr(name, data)
    out.writestr("made-1.dist-info/RECORD", record + "made-1.dist-info/RECORD,,\n")
EOF
python3 -m pip install --quiet --no-index --no-deps --disable-pip-version-check --root-user-action=ignore --target t/usr/lib/python3/site-packages made-1-py3-none-any.whl"#;
    shell(scratch.path(), script)?;
    let path = "usr/lib/python3/site-packages/made/test.pem";
    check(&scratch.path().join("t"), &key, path, "pip")
}

#[test]
fn what_apk_recorded_is_the_packages() -> Result<()> {
    if !ready("identity by apk", &["openssl"])? {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let key = key(scratch.path())?;
    for place in ["lib/apk/db", "usr/lib/apk/db"] {
        let tree = scratch.path().join(place.replace('/', "-"));
        let script = format!(
            "mkdir -p t/{place} t/usr/lib/made; cp test.pem t/{SHIPPED}
            sum=$(openssl dgst -sha1 -binary test.pem | base64)
            printf 'C:Q1%s\\nP:made\\nV:1-r0\\nA:x86_64\\nF:usr\\nF:usr/lib\\nF:usr/lib/made\\nR:test.pem\\na:0:0:600\\nZ:Q1%s\\n\\n' \"$sum\" \"$sum\" > t/{place}/installed
            mv t {}",
            tree.display()
        );
        shell(scratch.path(), &script)?;
        check(&tree, &key, SHIPPED, place).context("apk")?;
    }
    Ok(())
}
