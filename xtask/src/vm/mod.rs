//! `cargo xtask vm`: a command inside a machine with another kernel.
//!
//! The machine is QEMU without hardware help, because test hosts seldom allow it; a boot takes seconds all the same.
//! It has no network. What is in it: busybox, the agent, the kernel tests, an empty ext4 file system at /data, a tmpfs
//! at /scratch, and at /share a copy of a folder.

mod cpio;
mod disk;
mod initramfs;
pub(crate) mod kernel;
pub(crate) mod programs;
mod qemu;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use self::kernel::Kernel;
use crate::workspace::Workspace;
use crate::{apt, files, say};

/// The emulator rarely kills a guest while it boots, so a boot may be tried again; a command never is.
const BOOTS: usize = 3;

/// Loaded in every machine: disks, and the file systems and devices that containers use.
const MODULES: [&str; 9] = [
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "overlay",
    "fuse",
    "loop",
    "xfs",
    "btrfs",
    "dm_thin_pool",
];

/// What `cargo xtask vm` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The kernel to boot
    #[arg(long)]
    pub(crate) kernel: Kernel,
    /// A folder whose copy stands at /share (ext4, writable; changes are lost without --write-back)
    #[arg(long, value_name = "DIR")]
    pub(crate) share: Option<PathBuf>,
    /// When the command has ended, copy what is at /share over the folder; what it deleted stays
    #[arg(long, requires = "share")]
    pub(crate) write_back: bool,
    /// Added to the kernel's command line
    #[arg(long, default_value = "", value_name = "STRING", allow_hyphen_values = true)]
    pub(crate) cmdline: String,
    /// Size of the memory in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub(crate) memory: u32,
    /// Seconds until the machine is ended
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// A kernel module to load besides overlay and those of the disks, such as btrfs (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) module: Vec<String>,
    /// A program of this host to put under /bin, with its libraries (repeatable); where busybox
    /// has a program of that name, call it by its path
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Vec<PathBuf>,
    /// Leave out the agent and the kernel tests, and do not build them
    #[arg(long)]
    pub(crate) bare: bool,
    /// Let the machine's clock count instructions, one a nanosecond, on one processor: slow, and the same each time
    #[arg(long)]
    pub(crate) count_instructions: bool,
    /// The command and its arguments, run as root
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

impl Options {
    /// An ordinary machine.
    pub(crate) fn new(kernel: Kernel, command: Vec<String>) -> Self {
        Self {
            kernel,
            share: None,
            write_back: false,
            cmdline: String::new(),
            memory: 1024,
            timeout: 120,
            module: Vec::new(),
            program: Vec::new(),
            bare: false,
            count_instructions: false,
            command,
        }
    }
}

/// Boots, runs the command with its output on stdout, and returns the command's exit status.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let ours = if options.bare {
        Vec::new()
    } else {
        programs::build(workspace)?
    };
    let status = boot(workspace, options, &ours, &mut |line| say::output(line))?;
    Ok(ExitCode::from(status))
}

/// Boots with `ours` inside and hands each line of the command's output to `on_line`.
pub(crate) fn boot(
    workspace: &Workspace,
    options: &Options,
    ours: &[(PathBuf, String)],
    on_line: &mut dyn FnMut(&[u8]),
) -> Result<u8> {
    let kernel = prepare(workspace, options.kernel)?;
    let begun = Instant::now();
    let folder = RunFolder::create(workspace)?;
    // Nothing the command prints can be this by chance.
    let marker = format!(
        "layerwatch-vm-{}-{:08x}",
        std::process::id(),
        begun.elapsed().subsec_nanos()
    );
    let initramfs = folder.0.join("initramfs");
    files::write(
        &initramfs,
        &first_file_system(options, ours, &kernel, &marker, &folder.0)?,
    )?;
    let data = folder.0.join("data.ext4");
    disk::empty(&data)?;
    let share = folder.0.join("share.ext4");
    let mut disks = vec![data.as_path()];
    if let Some(source) = &options.share {
        disk::holding(&share, source)?;
        disks.push(&share);
    }
    let machine = qemu::Machine {
        kernel: &kernel.image,
        initramfs: &initramfs,
        disks: &disks,
        cmdline: &options.cmdline,
        memory_mib: options.memory,
        count_instructions: options.count_instructions,
        console: &folder.0.join("console"),
        marker: &marker,
        deadline: Duration::from_secs(options.timeout),
    };
    let status = run_patiently(&machine, on_line)?;
    if let (Some(source), true) = (&options.share, options.write_back) {
        disk::copy_back(&share, source)?;
    }
    let seconds = begun.elapsed().as_secs_f32();
    say::progress(&format!(
        "vm: kernel {}: exit status {status} after {seconds:.1} s",
        options.kernel.name()
    ));
    Ok(status)
}

/// What every machine needs of this host; one at a time, since machines may be started side by side.
fn prepare(workspace: &Workspace, kernel: Kernel) -> Result<kernel::Unpacked> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    apt::install(&[
        "qemu-system-x86",
        "busybox-static",
        "e2fsprogs",
        "xz-utils",
        "binutils",
    ])?;
    kernel::fetch(workspace, kernel)
}

fn run_patiently(machine: &qemu::Machine<'_>, on_line: &mut dyn FnMut(&[u8])) -> Result<u8> {
    let mut messages = String::new();
    for boot in 1..=BOOTS {
        match machine.run(on_line)? {
            qemu::End::Command(status) => return Ok(status),
            qemu::End::Boot(last) => messages = last,
        }
        say::progress(&format!("vm: boot {boot} of {BOOTS} died before the command"));
    }
    bail!("the machine does not boot: {messages}")
}

fn first_file_system(
    options: &Options,
    ours: &[(PathBuf, String)],
    kernel: &kernel::Unpacked,
    marker: &str,
    folder: &Path,
) -> Result<Vec<u8>> {
    let mut programs = ours.to_vec();
    for path in &options.program {
        let name = path
            .file_name()
            .with_context(|| format!("{} has no file name", path.display()))?;
        programs.push((path.clone(), name.to_string_lossy().into_owned()));
    }
    let modules: Vec<_> = MODULES
        .into_iter()
        .chain(options.module.iter().map(String::as_str))
        .collect();
    let modules = kernel.modules(&modules)?;
    let contents = initramfs::Contents {
        programs: &programs,
        modules: &modules,
        command: &options.command,
        marker,
    };
    initramfs::build(&contents, folder)
}

/// The files of one run, removed with it.
struct RunFolder(PathBuf);

impl RunFolder {
    fn create(workspace: &Workspace) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let folder = workspace.target.join("vm").join(format!(
            "run-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        ));
        files::empty_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            say::progress(&format!("vm: cannot remove {}: {error}", self.0.display()));
        }
    }
}
