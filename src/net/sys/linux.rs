//! Linux and Android: the flags are given with the call.

use rustix::pipe::PipeFlags;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io;
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

pub(in crate::net) fn accept<T: AsFd>(listener: &T) -> io::Result<(Socket, SockAddr)> {
    SockRef::from(listener).accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
}

pub(in crate::net) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    Socket::new(domain, kind.nonblocking(), None)
}

/// The end to read from, then the one to write to.
pub(in crate::net) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?)
}

pub(in crate::net) fn abstract_name(address: &SocketAddr) -> Option<&[u8]> {
    address.as_abstract_name()
}

pub(in crate::net) const HAS_ABSTRACT_NAMES: bool = true;

pub(in crate::net) fn abstract_bytes(address: &SockAddr) -> Option<&[u8]> {
    address.as_abstract_namespace()
}

pub(in crate::net) fn from_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}
