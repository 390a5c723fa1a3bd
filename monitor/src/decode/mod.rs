//! A frame from the ring becomes an `Access`: the only place that gives meaning to the kernel's integers.
//!
//! Invariant: pure and total: any bytes of any length and alignment give an access or a named error, never a panic, and
//! an access holds nothing that the frame does not say. Called by the event plane for each frame.

mod process;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use layerwatch_ebpf::{CredentialRecord, InodeKey, NO_ID, Record, WIRE_VERSION, flags, hooks, kinds};
use serde::{Deserialize, Serialize};

use crate::model::{Access, Credentials, DevIno, KernelDev, Operation, Tgid, Via, WatchMatch};
pub use process::decode_process;

/// How far the kernel's clock and identity are from the world's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootClock {
    /// The wall clock at the moment the kernel counts its nanoseconds from.
    pub boot_time: Timestamp,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// Why a frame was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the size of a record.
    #[error("frame of {length} bytes, a record has {}", size_of::<Record>())]
    Length {
        /// Its size.
        length: usize,
    },
    /// Another version of the contract.
    #[error("wire version {0}, this agent reads {WIRE_VERSION}")]
    Version(u16),
    /// A kind nobody defined.
    #[error("unknown kind {0}")]
    Kind(u16),
    /// A hook nobody defined.
    #[error("unknown hook {0}")]
    Hook(u16),
    /// Flag bits nobody defined.
    #[error("unknown flag bits {0:#x}")]
    Flags(u32),
    /// The path is longer than the record's room for it.
    #[error("path of {0} bytes does not fit the record")]
    PathLength(u32),
    /// The arguments are longer than the record's room for them.
    #[error("arguments of {0} bytes do not fit the record")]
    ArgumentsLength(u32),
    /// The path's last component has no end.
    #[error("path component without end")]
    PathUnterminated,
    /// A success is 0 and a refusal a negative error number; this is neither.
    #[error("result {0} is no error number")]
    ResultCode(i32),
    /// A time no calendar has.
    #[error("time {0} ns after boot is out of range")]
    Time(u64),
}

impl DecodeError {
    /// The name in a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length { .. } => "length",
            Self::Version(_) => "version",
            Self::Kind(_) => "kind",
            Self::Hook(_) => "hook",
            Self::Flags(_) => "flags",
            Self::PathLength(_) => "path-length",
            Self::ArgumentsLength(_) => "arguments-length",
            Self::PathUnterminated => "path-unterminated",
            Self::ResultCode(_) => "result",
            Self::Time(_) => "time",
        }
    }
}

/// All flag bits of version 2.
const KNOWN_FLAGS: u32 = flags::BACKING
    | flags::OUTER_CARRIED
    | flags::PATH_TRUNCATED
    | flags::KERNEL_THREAD
    | flags::COMPAT
    | flags::BY_DIRECTORY
    | flags::GENERATION_DIFFERS
    | flags::INCOMPLETE
    | flags::ENFORCED;

/// The largest error number a kernel function returns (`MAX_ERRNO`, include/linux/err.h).
const MAX_ERROR_NUMBER: i32 = 4095;

/// Reads one frame.
pub fn decode(frame: &[u8], boot: &BootClock) -> Result<Access, DecodeError> {
    let record: Record = bytemuck::try_pod_read_unaligned(frame)
        .map_err(|_why| DecodeError::Length { length: frame.len() })?;
    check(&record)?;
    let has = |bit: u32| record.flags & bit != 0;
    let id_of = |id: u32| (id != NO_ID).then_some(id);
    Ok(Access {
        id: format!(
            "{}-{}-{}",
            boot.boot_id.get(..8).unwrap_or(&boot.boot_id),
            record.cpu,
            record.sequence
        ),
        time: time(record.time_ns, boot)?,
        operation: operation(record.kind)?,
        via: if has(flags::BACKING) {
            Via::Overlay
        } else {
            Via::Direct
        },
        matched: if has(flags::BY_DIRECTORY) {
            WatchMatch::Directory
        } else {
            WatchMatch::File
        },
        watch: inode(record.watch),
        file: inode(record.file),
        generation: record.generation,
        mode: record.mode,
        open_flags: record.open_flags,
        number_reused: has(flags::GENERATION_DIFFERS),
        incomplete: has(flags::INCOMPLETE),
        result: record.result,
        path: joined(&record.path, record.path_length.into())?,
        path_truncated: has(flags::PATH_TRUNCATED),
        tgid: Tgid(record.tgid),
        tid: record.tid,
        process_start_ns: record.process_start_ns,
        parent: Tgid(record.parent_tgid),
        comm: name(&record.comm),
        kernel_thread: has(flags::KERNEL_THREAD),
        loginuid: record.loginuid,
        mount_namespace: record.mount_namespace,
        cgroup: record.cgroup,
        real: credentials(&record.real),
        effective: credentials(&record.effective),
        root_device: KernelDev(record.root_dev),
        outer_device: (record.outer_dev != 0).then_some(KernelDev(record.outer_dev)),
        outer_fsuid: id_of(record.outer_fsuid).filter(|_| has(flags::OUTER_CARRIED)),
        mounter_uid: id_of(record.mounter_uid),
    })
}

fn check(record: &Record) -> Result<(), DecodeError> {
    if record.version != WIRE_VERSION {
        return Err(DecodeError::Version(record.version));
    }
    if record.hook > hooks::CONNECT {
        return Err(DecodeError::Hook(record.hook));
    }
    if record.flags & !KNOWN_FLAGS != 0 {
        return Err(DecodeError::Flags(record.flags & !KNOWN_FLAGS));
    }
    if !(-MAX_ERROR_NUMBER..=0).contains(&record.result) {
        return Err(DecodeError::ResultCode(record.result));
    }
    Ok(())
}

fn operation(kind: u16) -> Result<Operation, DecodeError> {
    Ok(match kind {
        kinds::OPEN_FINDING | kinds::OPEN_CONTENT => Operation::Open,
        kinds::INDEX_RENAME => Operation::Rename,
        kinds::INDEX_WRITE => Operation::Create,
        kinds::CANARY => Operation::Canary,
        kinds::MAP_FINDING => Operation::Map,
        kinds::READ_FINDING => Operation::Read,
        kinds::RECEIVE_FINDING => Operation::Receive,
        kinds::HOLD_FINDING => Operation::Hold,
        kinds::OPEN_DEVICE => Operation::OpenDevice,
        kinds::CONNECT => Operation::Connect,
        other => return Err(DecodeError::Kind(other)),
    })
}

fn time(since_boot_ns: u64, boot: &BootClock) -> Result<Timestamp, DecodeError> {
    let since_boot = i64::try_from(since_boot_ns).map(SignedDuration::from_nanos).ok();
    since_boot
        .and_then(|since| boot.boot_time.checked_add(since).ok())
        .ok_or(DecodeError::Time(since_boot_ns))
}

/// A thread's name without its padding.
fn name(comm: &[u8]) -> Vec<u8> {
    comm.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// The path of components that stand leaf first, each ended by a zero byte.
fn joined(bytes: &[u8], used: u32) -> Result<Vec<u8>, DecodeError> {
    let length = usize::try_from(used).ok();
    let used = length
        .and_then(|length| bytes.get(..length))
        .ok_or(DecodeError::PathLength(used))?;
    if used.is_empty() {
        return Ok(Vec::new());
    }
    let components = used.strip_suffix(&[0]).ok_or(DecodeError::PathUnterminated)?;
    let mut path = Vec::with_capacity(used.len());
    for component in components.rsplit(|byte| *byte == 0) {
        path.push(b'/');
        path.extend_from_slice(component);
    }
    Ok(path)
}

fn inode(key: InodeKey) -> DevIno {
    DevIno {
        dev: KernelDev(key.dev),
        ino: key.ino,
    }
}

fn credentials(record: &CredentialRecord) -> Credentials {
    Credentials {
        uid: record.uid,
        gid: record.gid,
        euid: record.euid,
        egid: record.egid,
        fsuid: record.fsuid,
        fsgid: record.fsgid,
        user_namespace: record.user_namespace,
        user_namespace_level: record.user_namespace_level,
        user_namespace_owner: record.user_namespace_owner,
    }
}
