//! The table: every way to read, what it is done to, and what each tier must see of it.
//!
//! `docs/coverage.md` is made of these rows and of what the machines saw. A row's `act` is a way of the reader
//! (`tests/reader`), which the test holds against the reader's own list.

use super::ground::Target;
use crate::fixture::USER;

/// What a tier must see of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// One record for each process that has the file, with the reader's uid and the file's key.
    Seen,
    /// Nothing, and why that is as it should be, or cannot be helped.
    Unseen(&'static str),
}

/// How many records a way takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// One for each process that has the file.
    OneEach,
    /// The same, and chance decides at which moment.
    AnyMoment,
    /// More, since the way itself opens the file more than once.
    Several,
}

/// One way to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// What the page calls it.
    pub(super) way: &'static str,
    /// What the reader calls it.
    pub(super) act: &'static str,
    /// What is read.
    pub(super) target: Target,
    /// Whom it counts for.
    pub(super) subject: u32,
    /// Whether the reader gets the content.
    pub(super) delivers: bool,
    /// Whether root opens the file first, which is a record of its own.
    pub(super) root_opens: bool,
    /// How many records it takes, and at which moments.
    pub(super) records: Records,
    /// On the tiers A, B, C and D.
    pub(super) expected: [Expected; 4],
}

const fn row(way: &'static str, act: &'static str) -> Row {
    Row {
        way,
        act,
        target: Target::Secret,
        subject: USER,
        delivers: true,
        root_opens: false,
        records: Records::OneEach,
        expected: [Expected::Seen; 4],
    }
}

impl Row {
    const fn of(self, target: Target) -> Self {
        Self { target, ..self }
    }

    const fn root_opens(self) -> Self {
        Self {
            root_opens: true,
            ..self
        }
    }

    const fn records(self, records: Records) -> Self {
        Self { records, ..self }
    }

    const fn delivers_nothing(self) -> Self {
        Self {
            delivers: false,
            ..self
        }
    }

    const fn unseen(self, why: &'static str) -> Self {
        Self {
            expected: [Expected::Unseen(why); 4],
            ..self
        }
    }

    const fn unseen_on_d(self, why: &'static str) -> Self {
        let [a, b, c, _] = self.expected;
        Self {
            expected: [a, b, c, Expected::Unseen(why)],
            ..self
        }
    }
}

const NO_DESCRIPTOR: &str = "The process gets no descriptor of the file, which is what this tier looks at.";

/// All ways, in the page's order.
pub(super) const ROWS: &[Row] = &[
    row("read", "read"),
    row("pread", "pread"),
    row("readv", "readv"),
    row("preadv2", "preadv2"),
    row("mmap", "mmap"),
    row("sendfile", "sendfile"),
    row("splice", "splice"),
    row("copy_file_range", "copy_file_range"),
    row("aio", "aio"),
    row("io_uring read", "io_uring-read"),
    row("io_uring open and read", "io_uring"),
    row("io_uring open and read by a worker thread", "io_uring-worker"),
    row("io_uring open and read by a polling thread", "io_uring-sqpoll"),
    row(
        "io_uring open and read with root's personality",
        "io_uring-personality",
    ),
    row(
        "io_uring open with root's personality",
        "io_uring-personality-open",
    ),
    row("io_uring open into a fixed slot", "io_uring-fixed"),
    row("open", "open"),
    row("open for reading and writing", "open-read-write"),
    row("openat", "openat"),
    row("openat2, RESOLVE_NO_SYMLINKS", "openat2-no-symlinks"),
    row("openat2, RESOLVE_BENEATH", "openat2-beneath"),
    row("openat2, RESOLVE_IN_ROOT", "openat2-in-root"),
    row("openat2, RESOLVE_NO_XDEV and NO_MAGICLINKS", "openat2-no-xdev"),
    row("32-bit open", "open-32-bit"),
    row("32-bit openat", "openat-32-bit"),
    row("open_by_handle_at", "open_by_handle_at"),
    row("O_PATH alone", "o_path")
        .delivers_nothing()
        .unseen("No content can be read from an `O_PATH` descriptor."),
    row("O_PATH, opened again through /proc/self/fd", "o_path-reopened"),
    row("execve of a layer's file", "execve")
        .of(Target::Program)
        .unseen_on_d(NO_DESCRIPTOR),
    row("symbolic link", "symlink"),
    row("symbolic link to a directory, and `..`", "symlinked-directory"),
    row("chain of `..`", "dot-dot"),
    row("hard link", "hard-link"),
    row("relative to the working directory", "chdir"),
    row("rename between check and use", "rename"),
    row("30 directories deep", "steps").of(Target::Deep),
    row("200 directories deep", "steps").of(Target::Deeper),
    row("path of more than 4096 bytes", "steps").of(Target::Long),
    row("name with a newline", "read").of(Target::Newline),
    row("name that is not UTF-8", "read").of(Target::NotText),
    row("bind mount", "bind"),
    row("bind mount in a private mount namespace", "mount-namespace"),
    row(
        "bind mount in a user namespace, by the user",
        "user-mount-namespace",
    ),
    row("chroot into the layer", "chroot"),
    row("/proc/PID/root of a process in the layer", "proc-root"),
    row("detached mount (open_tree)", "detached-mount"),
    row("id-mapped mount", "idmapped-mount"),
    row("overlay mount by root", "overlay"),
    row("overlay mount on an overlay mount", "overlay-on-overlay"),
    row(
        "overlay mount in a user namespace, by the user",
        "overlay-by-user",
    ),
    row("fuse-overlayfs, by the user", "fuse-overlayfs").records(Records::Several),
    row("seteuid before the open", "seteuid"),
    row("setfsuid before the open", "setfsuid"),
    row("setresuid after root's open", "open-then-setresuid").root_opens(),
    row("mapping after root's open", "mmap-inherited").root_opens(),
    row("root of a user namespace", "user-namespace-root"),
    row("root's descriptor, over fork", "fork").root_opens(),
    row("root's descriptor, over exec", "exec").root_opens(),
    row("root's descriptor, over a socket (SCM_RIGHTS)", "scm_rights").root_opens(),
    row("root's descriptor, by pidfd_getfd", "pidfd_getfd").root_opens(),
    row("root's descriptor, through /proc/PID/fd", "proc-fd").root_opens(),
    row("same inode number on another file system", "read")
        .of(Target::Elsewhere)
        .unseen("It is another file: no alert is right."),
    row("content of a layer before its scan has ended", "read").of(Target::Unscanned),
    row("temporary blob of a running pull", "read").of(Target::Ingested),
    row("compressed layer blob", "read").of(Target::Blob),
    row("200 threads of noise and one read", "noise").records(Records::AnyMoment),
];
