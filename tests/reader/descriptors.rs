//! The file was opened by root, and the user gets its descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use crate::reads::whole;
use crate::user::become_user;
use crate::{Place, Way, calls, child};

/// The verb of the program that was given a descriptor.
pub(crate) const EXECUTED: &str = "executed";

pub(crate) const WAYS: [(&str, Way); 6] = [
    ("fork", |place| {
        let file = File::open(&place.file)?;
        child::run(|| {
            become_user()?;
            whole(&file)
        })
    }),
    ("exec", |place| {
        let file = File::open(&place.file)?;
        rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
        become_user()?;
        let number = file.as_raw_fd().to_string();
        Err(Command::new("/proc/self/exe").args([EXECUTED, &number]).exec()).context("execute the reader")
    }),
    ("scm_rights", scm_rights),
    ("pidfd_getfd", |place| {
        let (holder, number) = holder(place)?;
        let id = Pid::from_raw(holder).context("a process id")?;
        let process = rustix::process::pidfd_open(id, PidfdFlags::empty())?;
        let taken = rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty());
        whole(&taken.context("pidfd_getfd")?.into())
    }),
    ("proc-fd", |place| {
        let (holder, number) = holder(place)?;
        whole(&File::open(format!("/proc/{holder}/fd/{number}"))?)
    }),
    ("mmap-inherited", |place| {
        let file = File::open(&place.file)?;
        become_user()?;
        crate::reads::mapped(&file)
    }),
];

/// Reads the descriptor that came over exec.
pub(crate) fn executed(number: &OsStr) -> Result<Vec<u8>> {
    let number: usize = number.to_str().context("a number")?.parse()?;
    whole(&calls::descriptor(number)?.into())
}

/// A process of the user's that holds the file which it opened as root; this process is the user's from then on.
fn holder(place: &Place) -> Result<(i32, i32)> {
    let file = File::open(&place.file)?;
    let number = file.as_raw_fd();
    let holder = child::hold(become_user)?;
    // From here on only the holder has it.
    drop(file);
    become_user()?;
    Ok((holder, number))
}

fn scm_rights(place: &Place) -> Result<Vec<u8>> {
    let (ours, theirs) = UnixStream::pair()?;
    let receiver = child::start(move || {
        become_user()?;
        whole(&receive(&theirs)?.into())
    })?;
    let file = File::open(&place.file)?;
    let descriptors = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    anyhow::ensure!(
        control.push(SendAncillaryMessage::ScmRights(&descriptors)),
        "no room"
    );
    rustix::net::sendmsg(&ours, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).context("send")?;
    receiver.finish()
}

fn receive(socket: &UnixStream) -> Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut data = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut data, &mut control, RecvFlags::empty()).context("receive")?;
    let mut received = control.drain().filter_map(|message| {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            Some(descriptors)
        } else {
            None
        }
    });
    received
        .next()
        .and_then(|mut descriptors| descriptors.next())
        .context("no descriptor came")
}
