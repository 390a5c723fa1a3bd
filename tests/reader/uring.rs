//! Ways through `io_uring`: opened and read without a system call for either.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};

use crate::reads::first;
use crate::ring::{Request, Ring, SETUP_SQPOLL};
use crate::user::become_user;
use crate::{Absent, Place, Way, calls};

const OPENAT: u8 = 18;
const READ: u8 = 22;
const FIXED_FILE: u8 = 1;
const ASYNC: u8 = 1 << 4;
const REGISTER_FILES: usize = 2;
const REGISTER_PERSONALITY: usize = 9;
const LENGTH: u32 = 4096;

pub(crate) const WAYS: [(&str, Way); 7] = [
    ("io_uring-read", |place| {
        become_user()?;
        let file = File::open(&place.file)?;
        read(&mut Ring::new(0)?, file.as_raw_fd(), 0, 0)
    }),
    ("io_uring", |place| {
        become_user()?;
        open_and_read(&mut Ring::new(0)?, place, 0, 0)
    }),
    ("io_uring-worker", |place| {
        become_user()?;
        open_and_read(&mut Ring::new(0)?, place, ASYNC, 0)
    }),
    ("io_uring-sqpoll", |place| {
        become_user()?;
        open_and_read(&mut Ring::new(SETUP_SQPOLL)?, place, 0, 0)
    }),
    ("io_uring-personality", |place| {
        let (mut ring, personality) = lent()?;
        open_and_read(&mut ring, place, 0, personality)
    }),
    ("io_uring-personality-open", |place| {
        let (mut ring, personality) = lent()?;
        let opened = open(&mut ring, place, 0, personality, 0)?;
        read(&mut ring, opened, 0, 0)
    }),
    ("io_uring-fixed", fixed),
];

/// A ring in which root left its rights; this process is the user's from then on.
fn lent() -> Result<(Ring, u16)> {
    let ring = Ring::new(0)?;
    let personality = u16::try_from(ring.register(REGISTER_PERSONALITY, &[], 0)?)?;
    become_user()?;
    Ok((ring, personality))
}

fn open(ring: &mut Ring, place: &Place, flags: u8, personality: u16, slot: u32) -> Result<i32> {
    let path = calls::c_path(&place.file)?;
    ring.complete(Request {
        opcode: OPENAT,
        flags,
        descriptor: libc::AT_FDCWD,
        address: path.as_ptr() as u64,
        personality,
        file_index: slot,
        ..Request::default()
    })
}

fn read(ring: &mut Ring, descriptor: i32, flags: u8, personality: u16) -> Result<Vec<u8>> {
    let mut buffer = vec![0_u8; LENGTH as usize];
    let length = ring.complete(Request {
        opcode: READ,
        flags,
        descriptor,
        address: buffer.as_mut_ptr() as u64,
        length: LENGTH,
        personality,
        ..Request::default()
    })?;
    let length = usize::try_from(length).map_err(|_negative| std::io::Error::from_raw_os_error(-length));
    Ok(first(buffer, length.context("read by the ring")?))
}

fn open_and_read(ring: &mut Ring, place: &Place, flags: u8, personality: u16) -> Result<Vec<u8>> {
    let opened = open(ring, place, flags, personality, 0)?;
    if opened == -libc::EINVAL {
        anyhow::bail!(Absent("this io_uring opens no files".into()));
    }
    ensure!(opened >= 0, "open by the ring: error {}", -opened);
    read(ring, opened, flags, personality)
}

/// Opens into a slot of the ring's own table, so that the process never has a descriptor.
fn fixed(place: &Place) -> Result<Vec<u8>> {
    become_user()?;
    let mut ring = Ring::new(0)?;
    ring.register(REGISTER_FILES, &[-1], 1)?;
    let opened = open(&mut ring, place, 0, 0, 1)?;
    if opened == -libc::EINVAL {
        anyhow::bail!(Absent("opening into a slot came with Linux 5.15".into()));
    }
    if opened > 0 {
        anyhow::bail!(Absent(
            "opening into a slot came with Linux 5.15, this gave a descriptor".into()
        ));
    }
    ensure!(opened == 0, "open into a slot: error {}", -opened);
    read(&mut ring, 0, FIXED_FILE, 0)
}
