//! The ends of attached programs: what holds a program at its hook, and what keeps it there without the agent.
//!
//! Invariant: dropping a link detaches its program, unless it is pinned. Used by `attach`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Lsm, Program};
use aya::{Btf, programs::kprobe::KProbeLink};
use nix::libc;

use super::error::{KernelError, failed};
use super::places::Attachment;

/// One program's hold on its hook.
#[derive(Debug)]
pub(super) enum Link {
    /// A link of the kernel's own, which can be pinned.
    Own(FdLink),
    /// A kprobe on a kernel without such links (before 5.15).
    Perf(#[expect(dead_code, reason = "held for its end alone")] KProbeLink),
    /// Pinned: it stays when this is dropped.
    Pinned(PinnedLink),
}

impl Link {
    /// Loads a program and attaches it.
    pub(super) fn attach(
        program: &mut Program,
        name: &'static str,
        at: Attachment,
        btf: &Btf,
    ) -> Result<Self, KernelError> {
        let link = match at {
            Attachment::Lsm(hook) => {
                let program: &mut Lsm = program.try_into().map_err(failed("find", name))?;
                program.load(hook, btf).map_err(failed("load", name))?;
                let link = program.attach().and_then(|link| program.take_link(link));
                link.map_err(failed("attach", name))?.into()
            }
            Attachment::Fexit(function) => {
                let program: &mut FExit = program.try_into().map_err(failed("find", name))?;
                program.load(function, btf).map_err(failed("load", name))?;
                let link = program.attach().and_then(|link| program.take_link(link));
                link.map_err(failed("attach", name))?.into()
            }
            Attachment::Fentry(function) => {
                let program: &mut FEntry = program.try_into().map_err(failed("find", name))?;
                program.load(function, btf).map_err(failed("load", name))?;
                let link = program.attach().and_then(|link| program.take_link(link));
                link.map_err(failed("attach", name))?.into()
            }
            Attachment::Tracepoint => {
                let program: &mut BtfTracePoint = program.try_into().map_err(failed("find", name))?;
                program.load(name, btf).map_err(failed("load", name))?;
                let link = program.attach().and_then(|link| program.take_link(link));
                link.map_err(failed("attach", name))?.into()
            }
            Attachment::Kprobe(function) => {
                let program: &mut KProbe = program.try_into().map_err(failed("find", name))?;
                program.load().map_err(failed("load", name))?;
                return kprobe(program, name, function);
            }
        };
        Ok(Self::Own(link))
    }

    /// Opens a pinned one.
    pub(super) fn open(path: &Path, name: &'static str) -> Result<Self, KernelError> {
        let link = PinnedLink::from_pin(path).map_err(|source| KernelError::Pin {
            operation: "open",
            what: name,
            source: Box::new(source),
        })?;
        Ok(Self::Pinned(link))
    }

    /// Keeps the program at its hook when the agent ends.
    pub(super) fn pin(self, path: &Path, name: &'static str) -> Result<Self, KernelError> {
        match self {
            Self::Own(link) => {
                let pinned = link.pin(path).map_err(|source| KernelError::Pin {
                    operation: "pin",
                    what: name,
                    source: Box::new(source),
                })?;
                Ok(Self::Pinned(pinned))
            }
            Self::Perf(_) => Err(KernelError::Unfit {
                program: name,
                reason: "this kernel cannot keep a kprobe without the agent",
            }),
            pinned @ Self::Pinned(_) => Ok(pinned),
        }
    }

    /// Lets go of the hook, pinned or not.
    pub(super) fn detach(self, name: &'static str) -> Result<(), KernelError> {
        match self {
            Self::Own(_) | Self::Perf(_) => Ok(()),
            Self::Pinned(link) => match link.unpin() {
                Ok(link) => {
                    drop(link);
                    Ok(())
                }
                Err(source) => Err(KernelError::Pin {
                    operation: "unpin",
                    what: name,
                    source: Box::new(source),
                }),
            },
        }
    }
}

/// A program as such, for its figures.
pub(super) fn hold_program(program: &Program, name: &'static str) -> Result<OwnedFd, KernelError> {
    let held = program.fd().map_err(failed("find", name))?;
    let cloned = held.as_fd().try_clone_to_owned();
    cloned.map_err(|source| KernelError::Pin {
        operation: "hold",
        what: name,
        source: Box::new(source),
    })
}

/// Keeps a program where an agent that takes it over can open it.
pub(super) fn pin_program(program: &mut Program, path: &Path, name: &'static str) -> Result<(), KernelError> {
    program.pin(path).map_err(|source| KernelError::Pin {
        operation: "pin program",
        what: name,
        source: Box::new(source),
    })
}

/// What `bpf(BPF_OBJ_GET)` takes (include/uapi/linux/bpf.h).
#[repr(C)]
struct ObjectByPath {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// Opens a pinned program. The library would open the kernel's types with it, which takes a right over the whole system.
#[expect(unsafe_code, reason = "the library has no call for this system call alone")]
pub(super) fn open_program(path: &Path, name: &'static str) -> Result<OwnedFd, KernelError> {
    const BPF_OBJ_GET: libc::c_long = 7;
    let failed = |source: io::Error| KernelError::Pin {
        operation: "open program",
        what: name,
        source: Box::new(source),
    };
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    let request = ObjectByPath {
        path: path.as_ptr().expose_provenance() as u64,
        descriptor: 0,
        flags: 0,
    };
    // SAFETY: the request and the path in it live until the call returns, and the size is the request's.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET,
            &raw const request,
            size_of::<ObjectByPath>(),
        )
    };
    match i32::try_from(descriptor) {
        // SAFETY: the kernel has just given this descriptor to nobody else.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        Ok(_) | Err(_) => Err(failed(io::Error::last_os_error())),
    }
}

fn kprobe(program: &mut KProbe, name: &'static str, function: &'static str) -> Result<Link, KernelError> {
    let mut attach = || {
        let link = program.attach(function, 0);
        link.and_then(|link| program.take_link(link))
            .map_err(failed("attach", name))
    };
    // The library's conversion detaches what it cannot convert.
    match FdLink::try_from(attach()?) {
        Ok(link) => Ok(Link::Own(link)),
        Err(_no_link) => Ok(Link::Perf(attach()?)),
    }
}
