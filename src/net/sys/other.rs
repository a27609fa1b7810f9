//! Other systems: the flags are set afterwards, as macOS wants it.

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::SocketAddr;

pub(in crate::net) fn accept<T: AsFd>(listener: &T) -> io::Result<(Socket, SockAddr)> {
    let (socket, address) = SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

pub(in crate::net) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The end to read from, then the one to write to.
pub(in crate::net) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok((read, write))
}

/// There are none here.
pub(in crate::net) fn abstract_name(_: &SocketAddr) -> Option<&[u8]> {
    None
}

pub(in crate::net) const HAS_ABSTRACT_NAMES: bool = false;

pub(in crate::net) fn abstract_bytes(_: &SockAddr) -> Option<&[u8]> {
    None
}

pub(in crate::net) fn from_abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
