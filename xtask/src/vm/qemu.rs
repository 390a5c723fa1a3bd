//! Running a machine under QEMU without hardware help, and reading how its command ended.
//!
//! The machine's second serial port is this program's input: lines go on as they come, until the marker line with the
//! exit status. A machine that dies before its command begins is told apart, since the emulator is at fault then and
//! another boot may do. One that ends later without the marker, or outlives the deadline, is an error that shows the kernel's
//! last messages. QEMU is ended by its own process handle on every way out.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::files;

/// How many of the kernel's last messages an error shows.
const SHOWN_MESSAGES: usize = 40;

/// A machine about to be started.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    /// The kernel.
    pub(crate) kernel: &'a Path,
    /// Its first file system.
    pub(crate) initramfs: &'a Path,
    /// Disks, in the order in which the machine sees them.
    pub(crate) disks: &'a [&'a Path],
    /// Added to the kernel's command line.
    pub(crate) cmdline: &'a str,
    /// Size of its memory in MiB.
    pub(crate) memory_mib: u32,
    /// Whether its clock counts instructions.
    pub(crate) count_instructions: bool,
    /// Takes the kernel's messages.
    pub(crate) console: &'a Path,
    /// What the last line of output begins with.
    pub(crate) marker: &'a str,
    /// How long it may run.
    pub(crate) deadline: Duration,
}

impl Machine<'_> {
    /// Runs the machine, hands each line of output to `on_line`, and returns how it ended.
    pub(crate) fn run(&self, on_line: &mut dyn FnMut(&[u8])) -> Result<End> {
        let mut qemu = Qemu(self.command().spawn().context("cannot start QEMU")?);
        let output = qemu.0.stdout.take().context("QEMU has no output")?;
        let (sender, receiver) = sync_channel(256);
        let reader = std::thread::spawn(move || read_lines(output, &sender));
        let ended = self.follow(&receiver, on_line);
        drop(qemu);
        drop(receiver);
        ensure!(reader.join().is_ok(), "the thread that reads QEMU's output broke");
        ended.map_err(|error| anyhow!("{error:#}; {}", self.last_messages()))
    }

    fn follow(&self, lines: &Receiver<Vec<u8>>, on_line: &mut dyn FnMut(&[u8])) -> Result<End> {
        let end = Instant::now() + self.deadline;
        let mut booted = false;
        // The last marker is written after a line end of its own, so one empty line too many comes before it.
        let mut held: Option<Vec<u8>> = None;
        loop {
            let received = lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let said = received.as_ref().ok().and_then(|line| said(line, self.marker));
            let last = matches!(said, Some(Said::Status(_)));
            held.take()
                .iter()
                .filter(|line| !last || *line != b"\n")
                .for_each(|line| on_line(line));
            match (said, received) {
                (Some(Said::Status(status)), _) => return Ok(End::Command(status)),
                (Some(Said::Booted), _) => booted = true,
                (None, Ok(line)) => held = Some(line),
                (None, Err(RecvTimeoutError::Timeout)) => {
                    bail!("the machine was not done after {} s", self.deadline.as_secs())
                }
                (None, Err(RecvTimeoutError::Disconnected)) if !booted => {
                    return Ok(End::Boot(self.last_messages()));
                }
                (None, Err(RecvTimeoutError::Disconnected)) => {
                    bail!("the machine ended before its command did")
                }
            }
        }
    }

    fn command(&self) -> Command {
        // setpriv has the kernel end QEMU if this program is killed; it then becomes QEMU, with the same pid.
        let mut command = Command::new("setpriv");
        // QEMU 7.2 leaves wrong flags behind cmpxchg16b, and the kernel dies of it one time in two: not offered.
        command
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args(self.processor())
            .args(["-m", &self.memory_mib.to_string()])
            .args([
                "-display",
                "none",
                "-monitor",
                "none",
                "-nic",
                "none",
                "-no-reboot",
            ])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .args([
                "-append",
                &format!("console=ttyS0 quiet panic=-1 {}", self.cmdline),
            ])
            .args([
                "-serial",
                &format!("file:{}", self.console.display()),
                "-serial",
                "stdio",
            ]);
        for disk in self.disks {
            command.args([
                "-drive",
                &format!("file={},format=raw,if=virtio,cache=unsafe", disk.display()),
            ]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn processor(&self) -> Vec<&'static str> {
        if self.count_instructions {
            // Time does not pass while the machine has nothing to do, but jumps to the next timer. A string instruction
            // counts once for each byte it copies: the kernel must not use it where it has a choice.
            let one = [
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
                "-smp",
                "1",
            ];
            [&one[..], &["-cpu", "max,-cx16,-erms,-fsrm"]].concat()
        } else {
            // With a thread for each processor, one may still run an int3 that the kernel has replaced by then, as it does
            // each time a program is attached to a function, and the kernel dies of it. One thread for both is no
            // slower for tests that wait for one another, and leaves the other processor of this machine to a second one.
            vec!["-accel", "tcg,thread=single", "-smp", "2", "-cpu", "max,-cx16"]
        }
    }

    fn last_messages(&self) -> String {
        let text = files::read(self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let first = lines.len().saturating_sub(SHOWN_MESSAGES);
        let what = if text.contains("Kernel panic") {
            "the kernel panicked; "
        } else {
            ""
        };
        let shown = lines.get(first..).unwrap_or_default().join("\n");
        format!("{what}the kernel's last messages:\n{shown}\n")
    }
}

/// How a machine ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The command ended with this exit status.
    Command(u8),
    /// The machine died before it started the command; the kernel's last messages.
    Boot(String),
}

/// What the machine's init says, as opposed to the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// The command begins.
    Booted,
    /// The command, or what came before it, ended with this status.
    Status(u8),
}

fn said(line: &[u8], marker: &str) -> Option<Said> {
    let word = std::str::from_utf8(line)
        .ok()?
        .trim_end()
        .strip_prefix(marker)?
        .strip_prefix(' ')?;
    if word == "booted" {
        Some(Said::Booted)
    } else {
        word.parse().ok().map(Said::Status)
    }
}

fn read_lines(output: ChildStdout, sender: &SyncSender<Vec<u8>>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        // A line that cannot be read or handed on means that the other side is gone.
        if !output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) || sender.send(line).is_err() {
            return;
        }
    }
}

/// A running QEMU, ended when it goes out of scope.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        self.0
            .kill()
            .and_then(|()| self.0.wait().map(drop))
            .unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_lines_are_told_from_the_commands() {
        let check = |line: &[u8], expected| assert_eq!(said(line, "mark"), expected);
        check(b"mark 0\n", Some(Said::Status(0)));
        check(b"mark 137\r\n", Some(Said::Status(137)));
        check(b"mark booted\n", Some(Said::Booted));
        check(b"mark\n", None);
        check(b"mark 256\n", None);
        check(b" mark 1\n", None);
        check(b"mark 1 2\n", None);
        check(b"\xff\n", None);
    }
}
