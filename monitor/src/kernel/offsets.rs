//! Where the running kernel keeps the fields that the programs read, from its BTF.
//!
//! Invariant: a required field that is missing is an error that names it; an optional one is `Offsets::ABSENT` and is
//! listed, so that `doctor` can say what is not seen. Read once at start; used by `attach`.

use std::path::{Path, PathBuf};

use bytemuck::Zeroable;
use layerwatch_ebpf::Offsets;

use super::btf::{Btf, BtfError};
use crate::bounded::{self, BoundedError};

/// The kernel's own description; modules have theirs beside it.
pub(crate) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// Of those that keep fields of interest.
const MODULES: [&str; 3] = [
    "/sys/kernel/btf/overlay",
    "/sys/kernel/btf/btrfs",
    "/sys/kernel/btf/unix",
];
/// Debian's kernels have 5 to 6 MB.
const LIMIT_BYTES: u64 = 128 << 20;

/// Why the offsets are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OffsetsError {
    /// The description could not be read.
    #[error("read the kernel's type information")]
    Read(#[source] BoundedError),
    /// The description could not be understood.
    #[error("parse {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BtfError,
    },
    /// A field that the programs cannot do without.
    #[error("this kernel has no field {0}")]
    Missing(&'static str),
}

/// The offsets, and the optional fields this kernel lacks.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// For the programs.
    pub(crate) offsets: Offsets,
    /// Optional fields that are absent.
    pub(crate) absent: Vec<&'static str>,
    /// Whether the tracepoint `io_uring_complete` hands over the request; before 5.19 a number of the user's stands there.
    pub(crate) io_uring_names_request: bool,
}

impl Resolved {
    /// Lets the programs look for one field where another lies: a test's way to what cannot be read.
    pub(crate) fn misread(&mut self, field: &str, other: &str) -> Option<()> {
        let other = self.offsets.field(other)?;
        *self.offsets.field_mut(field)? = other;
        Some(())
    }
}

/// Fields that only some kernels have, or only once a file system's module is loaded.
fn is_optional(path: &str) -> bool {
    let last_in_task = matches!(path, "task_struct.loginuid" | "task_struct.thread_info.status");
    let of_one_way = [
        "ovl_",
        "btrfs_",
        "io_kiocb.",
        "backing_file.",
        "mm_struct.",
        "unix_sock.",
        "socket.",
        "sock.",
        "file.private_data",
    ];
    last_in_task
        || of_one_way.iter().any(|start| path.starts_with(start))
        || matches!(path, "dentry.d_u.d_alias" | "inode.i_dentry.first")
        || super::processes::FIELDS.contains(&path)
}

/// Reads the running kernel's description, and those of file systems that are modules and are loaded.
pub(crate) fn read() -> Result<Resolved, OffsetsError> {
    let kernel = bounded::read(Path::new(VMLINUX), LIMIT_BYTES).map_err(OffsetsError::Read)?;
    let mut modules = Vec::new();
    for path in MODULES {
        match bounded::read(Path::new(path), LIMIT_BYTES) {
            Ok(bytes) => modules.push((path, bytes)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(OffsetsError::Read(error)),
        }
    }
    resolve(&kernel, &modules)
}

fn resolve(kernel: &[u8], modules: &[(&str, Vec<u8>)]) -> Result<Resolved, OffsetsError> {
    let parse_error = |path: &str| {
        let path = PathBuf::from(path);
        move |source| OffsetsError::Parse { path, source }
    };
    let kernel = Btf::parse(kernel, None).map_err(parse_error(VMLINUX))?;
    let modules: Vec<Btf<'_>> = modules
        .iter()
        .map(|(path, bytes)| Btf::parse(bytes, Some(&kernel)).map_err(parse_error(path)))
        .collect::<Result<_, _>>()?;
    let mut resolved = Resolved {
        offsets: Offsets::zeroed(),
        absent: Vec::new(),
        io_uring_names_request: kernel.takes_pointer("btf_trace_io_uring_complete", 2)
            && ["io_kiocb.file", "io_kiocb.opcode", "io_kiocb.cqe.res"]
                .iter()
                .all(|path| kernel.offset_of(path).is_some()),
    };
    resolved.offsets.typed_task = u32::from(kernel.has_function("bpf_get_current_task_btf"));
    for path in Offsets::PATHS {
        let mut all = modules.iter().chain([&kernel]);
        let offset = all.find_map(|types| types.offset_of(path));
        if offset.is_none() {
            if !is_optional(path) {
                return Err(OffsetsError::Missing(path));
            }
            resolved.absent.push(path);
        }
        if let Some(field) = resolved.offsets.field_mut(path) {
            *field = offset.unwrap_or(Offsets::ABSENT);
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_every_required_field() {
        // The project runs on kernels with BTF only; without it the test fails, as the agent would.
        let resolved = read().unwrap();
        for path in Offsets::PATHS {
            assert_eq!(
                resolved.offsets.field(path) == Some(Offsets::ABSENT),
                resolved.absent.contains(path),
                "{path}"
            );
        }
        assert!(
            resolved.absent.iter().all(|path| is_optional(path)),
            "{:?}",
            resolved.absent
        );
    }

    #[test]
    fn bytes_that_are_no_description_are_refused() {
        assert!(matches!(resolve(b"", &[]), Err(OffsetsError::Parse { .. })));
    }
}
