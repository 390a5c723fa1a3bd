//! Ways to connect to a socket of the file system; called as `connect WAY SOCKET`, as root, and connects as the user.

use std::mem::offset_of;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::{AddressFamily, SocketType, socket};

use crate::ring::{Request, Ring};
use crate::user::become_user;
use crate::{Absent, calls};

type Way = fn(&Path) -> Result<()>;

pub(crate) const WAYS: [(&str, Way); 4] = [
    ("connect", |path| {
        become_user()?;
        UnixStream::connect(path).map(drop).context("connect")
    }),
    ("connect-32-bit", |path| {
        connect_32(path, |socket, address, length, _| {
            (362, [socket, address, length])
        })
    }),
    ("socketcall-32-bit", |path| {
        connect_32(path, |_, _, _, arguments| (102, [3, arguments, 0]))
    }),
    ("io_uring", by_ring),
];

fn stream() -> Result<std::os::fd::OwnedFd> {
    socket(AddressFamily::UNIX, SocketType::STREAM, None).context("make a socket")
}

/// The address of a path and its length.
fn address(path: &Path) -> Result<(libc::sockaddr_un, u32)> {
    let bytes = path.as_os_str().as_bytes();
    let mut address = libc::sockaddr_un {
        sun_family: u16::try_from(libc::AF_UNIX)?,
        sun_path: [0; 108],
    };
    ensure!(bytes.len() < address.sun_path.len(), "the path is too long");
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = byte.cast_signed();
    }
    let length = offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((address, u32::try_from(length)?))
}

/// `call` gets socket, address, its length and the address of these three as a list, and says what is called.
fn connect_32(path: &Path, call: fn(u32, u32, u32, u32) -> (u32, [u32; 3])) -> Result<()> {
    /// `MAP_32BIT`, which the wrapper does not name.
    const LOW: MapFlags = MapFlags::from_bits_retain(0x40);
    const ROOM: usize = 4096;
    become_user()?;
    let socket = stream()?;
    let number = u32::try_from(calls::number(socket.as_fd())?)?;
    let (address, length) = address(path)?;
    let (kind, access) = (MapFlags::PRIVATE | LOW, ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a fresh mapping with room for both, which stays while the call reads it.
    let connected = unsafe {
        let low = rustix::mm::mmap_anonymous(std::ptr::null_mut(), ROOM, access, kind)?;
        low.cast::<libc::sockaddr_un>().write(address);
        let place = u32::try_from(low as usize).context("the address lies above 4 GiB")?;
        let list = low.cast::<[u32; 3]>().add(64);
        list.write([number, place, length]);
        let (call, arguments) = call(number, place, length, u32::try_from(list as usize)?);
        calls::call_32(call, arguments)
    };
    ensure!(connected.context("connect")? == 0, "connect gave a number");
    Ok(())
}

fn by_ring(path: &Path) -> Result<()> {
    const CONNECT: u8 = 16;
    become_user()?;
    let socket = stream()?;
    let (address, length) = address(path)?;
    let result = Ring::new(0)?.complete(Request {
        opcode: CONNECT,
        descriptor: socket.as_raw_fd(),
        address: &raw const address as u64,
        offset: u64::from(length),
        ..Request::default()
    })?;
    if result == -libc::EINVAL {
        anyhow::bail!(Absent("this io_uring connects nothing".into()));
    }
    ensure!(result == 0, "connect by the ring: error {}", -result);
    Ok(())
}
