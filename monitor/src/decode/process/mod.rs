//! A frame from the ring of processes becomes a `ProcessEvent`.
//!
//! Invariant: as for `decode`: pure and total, any bytes give an event or a named error. Called by the event plane.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use layerwatch_ebpf::{ProcessExec, ProcessHead, WIRE_VERSION, process_flags, process_kinds};

use super::{BootClock, DecodeError, inode, name, time};
use crate::model::text::command_line;
use crate::model::{ProcessChange, ProcessEvent, Program};

const KNOWN_FLAGS: u32 =
    process_flags::PATH_TRUNCATED | process_flags::ARGUMENTS_TRUNCATED | process_flags::ARGUMENTS_UNREADABLE;

/// Reads one frame of the ring of processes.
pub fn decode_process(frame: &[u8], boot: &BootClock) -> Result<ProcessEvent, DecodeError> {
    let length = DecodeError::Length { length: frame.len() };
    if frame.len() == size_of::<ProcessExec>() {
        let record: ProcessExec = bytemuck::try_pod_read_unaligned(frame).map_err(|_why| length)?;
        if record.head.kind != process_kinds::EXEC {
            return Err(DecodeError::Kind(record.head.kind));
        }
        let program = program(&record)?;
        return event(&record.head, ProcessChange::Exec(program), boot);
    }
    let head: ProcessHead = bytemuck::try_pod_read_unaligned(frame).map_err(|_why| length)?;
    let change = match head.kind {
        process_kinds::FORK => ProcessChange::Fork,
        process_kinds::EXIT => ProcessChange::Exit,
        other => return Err(DecodeError::Kind(other)),
    };
    event(&head, change, boot)
}

fn event(head: &ProcessHead, change: ProcessChange, boot: &BootClock) -> Result<ProcessEvent, DecodeError> {
    if head.version != WIRE_VERSION {
        return Err(DecodeError::Version(head.version));
    }
    if head.flags & !KNOWN_FLAGS != 0 {
        return Err(DecodeError::Flags(head.flags & !KNOWN_FLAGS));
    }
    Ok(ProcessEvent {
        change,
        process: ProcessEvent::key(head.tgid, head.start_ns),
        parent: ProcessEvent::key(head.parent_tgid, head.parent_start_ns),
        time: time(head.time_ns, boot)?,
        cgroup: head.cgroup,
        comm: name(&head.comm),
    })
}

fn program(record: &ProcessExec) -> Result<Program, DecodeError> {
    let has = |bit: u32| record.head.flags & bit != 0;
    let arguments = usize::try_from(record.arguments_length).ok();
    let arguments = arguments
        .and_then(|length| record.arguments.get(..length))
        .ok_or(DecodeError::ArgumentsLength(record.arguments_length))?;
    let mut cmdline = command_line(arguments);
    if has(process_flags::ARGUMENTS_TRUNCATED)
        && let Some(text) = &mut cmdline
    {
        text.push('…');
    }
    // A path of nothing is that of a file which the kernel could not be asked about.
    let path = super::joined(&record.path, record.path_length)?;
    let exe = (!path.is_empty()).then(|| {
        let beginning: &[u8] = if has(process_flags::PATH_TRUNCATED) {
            "…".as_bytes()
        } else {
            b""
        };
        OsString::from_vec([beginning, &path].concat()).into()
    });
    Ok(Program {
        exe,
        exe_key: (record.program.ino != 0).then(|| inode(record.program)),
        cmdline,
    })
}
