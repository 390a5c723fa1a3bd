//! auditd with a watch on the store, and everything back as it was afterwards.
//!
//! Invariant: the rule, the limit on waiting records and the switch are set back, and the daemon ends by its own id, also
//! when a start fails half way. What stays until a boot is the kernel's own: a process born after audit was first on is
//! looked at in each system call.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use layerwatch_tests::{Process, run};

use super::contenders::{Peers, contains};
use super::ground::{Ground, Workers};
use super::worker::{Action, Request};

const KEY: &str = "layerwatch-cost";
/// What Debian's rules set: more records may wait for the daemon than the kernel's own 64.
const WAITING: &str = "8192";
const DEADLINE: Duration = Duration::from_mins(1);

/// Audit at work.
#[derive(Debug)]
pub(crate) struct Audit {
    control: Control,
    store: PathBuf,
    before: State,
    watching: bool,
    /// Ended before everything is set back.
    daemon: Option<Process>,
}

/// `auditctl`.
#[derive(Debug)]
struct Control {
    program: PathBuf,
    libraries: PathBuf,
}

/// What is set back.
#[derive(Debug, PartialEq, Eq)]
struct State {
    enabled: String,
    waiting: String,
}

impl Audit {
    /// Starts the daemon, watches the store, and waits until an open is in the log.
    pub(crate) fn start(peers: &Peers<'_>, ground: &Ground, directory: &Path) -> Result<Self> {
        let control = Control::new(peers)?;
        let state = control.call(&["-s"])?;
        let before = state_in(&state).with_context(|| format!("auditctl says {state}"))?;
        ensure!(before.enabled == "0", "audit is in use on this machine");
        let log = directory.join("audit.log");
        configure(directory, &log)?;
        let mut audit = Self {
            control,
            store: ground.store.root.clone(),
            before,
            watching: false,
            daemon: None,
        };
        let mut daemon = peers.program("auditd")?;
        daemon.args(["-n", "-s", "enable", "-c"]).arg(directory);
        let daemon = audit
            .daemon
            .insert(Process::start(&mut daemon, &directory.join("auditd.log"))?);
        daemon.wait_until("auditd has begun", DEADLINE, || {
            contains(&log, "DAEMON_START").then_some(())
        })?;
        audit.control.call(&["-b", WAITING])?;
        audit.rule("-w")?;
        audit.watching = true;
        audit.control.call(&["-e", "1"])?;
        audit.see(ground, &log)?;
        Ok(audit)
    }

    /// Opens a file of the store, by a process that audit has known since its birth, until it is in the log.
    fn see(&mut self, ground: &Ground, log: &Path) -> Result<()> {
        let request = Request {
            action: Action::Open,
            path: ground.store.diff(&ground.store.lower).join("etc/motd"),
            threads: 1,
            chunks: 1,
            size: 1,
        };
        let Workers { mut plain, .. } = ground.workers()?;
        let daemon = self.daemon.as_mut().context("the daemon runs")?;
        daemon.wait_until("auditd logs an open", DEADLINE, || {
            plain.ask(&request).ok()?;
            contains(log, &format!("key=\"{KEY}\"")).then_some(())
        })
    }

    fn rule(&self, verb: &str) -> Result<()> {
        let store = self.store.to_str().context("a temporary path is text")?;
        self.control.call(&[verb, store, "-p", "r", "-k", KEY]).map(drop)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let removed = if self.watching { self.rule("-W") } else { Ok(()) };
        let enabled = self.control.call(&["-e", &self.before.enabled]);
        self.daemon = None;
        let waiting = self.control.call(&["-b", &self.before.waiting]);
        for failed in [removed.err(), enabled.err(), waiting.err()]
            .into_iter()
            .flatten()
        {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "audit is not as it was: {failed:#}").unwrap_or_default();
        }
    }
}

impl Control {
    fn new(peers: &Peers<'_>) -> Result<Self> {
        let command = peers.program("auditctl")?;
        let libraries = command.get_envs().find_map(|(_, value)| value.map(PathBuf::from));
        Ok(Self {
            program: command.get_program().into(),
            libraries: libraries.unwrap_or_default(),
        })
    }

    fn call(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new(&self.program)
            .args(arguments)
            .env("LD_LIBRARY_PATH", &self.libraries))
    }
}

fn configure(directory: &Path, log: &Path) -> Result<()> {
    let plugins = directory.join("plugins");
    std::fs::create_dir_all(&plugins)?;
    let text = format!(
        "log_file = {}\nlog_group = root\nlog_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 50\n\
         max_log_file = 1000\nmax_log_file_action = IGNORE\nspace_left = 75\n\
         space_left_action = IGNORE\nadmin_space_left = 50\nadmin_space_left_action = IGNORE\n\
         disk_full_action = SUSPEND\ndisk_error_action = SUSPEND\n\
         plugin_dir = {}\n",
        log.display(),
        plugins.display()
    );
    let file = directory.join("auditd.conf");
    std::fs::write(&file, text)?;
    // The daemon refuses a configuration that others may write.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640))?;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o750))?;
    Ok(())
}

fn state_in(printed: &str) -> Option<State> {
    let field = |name: &str| {
        let mut lines = printed.lines().filter_map(|line| line.split_once(' '));
        lines.find_map(|(key, value)| (key == name).then(|| value.trim().to_owned()))
    };
    Some(State {
        enabled: field("enabled")?,
        waiting: field("backlog_limit")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_from_auditctl() {
        let check = |printed: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(enabled, waiting)| State {
                enabled: enabled.to_owned(),
                waiting: waiting.to_owned(),
            });
            assert_eq!(state_in(printed), expected, "{printed}");
        };
        check(
            "enabled 0\nfailure 1\nbacklog_limit 64\nbacklog 0\n",
            Some(("0", "64")),
        );
        check("enabled 0\n", None);
        check("", None);
    }
}
