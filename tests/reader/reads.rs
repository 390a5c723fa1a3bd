//! Ways to get at the bytes of a file that was opened in the ordinary way.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _};

use anyhow::{Context as _, Result};
use rustix::io::{IoSliceMut, ReadWriteFlags};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::pipe::SpliceFlags;

use crate::user::become_user;
use crate::{Place, Way, calls};

/// More than any file here holds.
const LENGTH: usize = 4096;

pub(crate) const WAYS: [(&str, Way); 9] = [
    ("read", |place| whole(&opened(place)?)),
    ("pread", |place| {
        let mut buffer = vec![0; LENGTH];
        let length = rustix::io::pread(opened(place)?, &mut buffer, 0)?;
        Ok(first(buffer, length))
    }),
    ("readv", |place| {
        let mut buffer = vec![0; LENGTH];
        let length = rustix::io::readv(opened(place)?, &mut [IoSliceMut::new(&mut buffer)])?;
        Ok(first(buffer, length))
    }),
    ("preadv2", |place| {
        let mut buffer = vec![0; LENGTH];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let length = rustix::io::preadv2(opened(place)?, &mut slices, 0, ReadWriteFlags::empty())?;
        Ok(first(buffer, length))
    }),
    ("mmap", |place| mapped(&opened(place)?)),
    ("sendfile", |place| {
        let (reader, writer) = rustix::pipe::pipe()?;
        rustix::fs::sendfile(writer, opened(place)?, None, LENGTH)?;
        whole(&File::from(reader))
    }),
    ("splice", |place| {
        let (reader, writer) = rustix::pipe::pipe()?;
        rustix::pipe::splice(opened(place)?, None, writer, None, LENGTH, SpliceFlags::empty())?;
        whole(&File::from(reader))
    }),
    ("copy_file_range", |place| {
        let from = opened(place)?;
        let copy = place.spare.join("copy");
        let to = File::create(&copy)?;
        rustix::fs::copy_file_range(&from, None, &to, None, LENGTH)?;
        whole(&File::open(&copy)?)
    }),
    ("aio", aio),
];

fn opened(place: &Place) -> Result<File> {
    become_user()?;
    File::open(&place.file).with_context(|| format!("open {}", place.file.display()))
}

/// The rest of a file, by `read`.
pub(crate) fn whole(file: &File) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut file = file;
    file.read_to_end(&mut content).context("read")?;
    Ok(content)
}

/// The first `length` bytes.
pub(crate) fn first(mut buffer: Vec<u8>, length: usize) -> Vec<u8> {
    buffer.truncate(length);
    buffer
}

/// The content, by a mapping.
pub(crate) fn mapped(file: &File) -> Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len())?;
    // SAFETY: a fresh private mapping of a file that nobody shortens; read within the file's length, then left to the end
    // of the process.
    let bytes = unsafe {
        let start = rustix::mm::mmap(
            std::ptr::null_mut(),
            length,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            file.as_fd(),
            0,
        )?;
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    };
    Ok(bytes.to_vec())
}

/// `struct iocb`, `include/uapi/linux/aio_abi.h`.
#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    key: u32,
    flags_of_write: u32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event: u32,
}

fn aio(place: &Place) -> Result<Vec<u8>> {
    /// `IOCB_CMD_PREAD` is 0, the default.
    const EVENTS: usize = 1;
    let file = opened(place)?;
    let mut buffer = vec![0_u8; LENGTH];
    let request = Iocb {
        descriptor: u32::try_from(file.as_raw_fd())?,
        buffer: buffer.as_mut_ptr() as u64,
        length: LENGTH as u64,
        ..Iocb::default()
    };
    let (mut context, requests, mut event) = (0_u64, [&raw const request], [0_i64; 4]);
    // SAFETY: the request, its buffer and the event outlive the wait for the one event.
    unsafe {
        calls::call(libc::SYS_io_setup, [EVENTS, &raw mut context as usize])?;
        let context = usize::try_from(context)?;
        calls::call(libc::SYS_io_submit, [context, EVENTS, requests.as_ptr() as usize])?;
        let wait = [context, EVENTS, EVENTS, event.as_mut_ptr() as usize, 0];
        calls::call(libc::SYS_io_getevents, wait)?;
    }
    let [_, _, result, _] = event;
    Ok(first(buffer, usize::try_from(result).context("the read failed")?))
}
