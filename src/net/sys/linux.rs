//! Linux and Android: the flags are given with the call.

use rustix::net::{SocketAddrAny, SocketFlags};
use socket2::{Domain, Socket, Type};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub(in crate::net) fn accept<T: AsFd>(
    listener: &T,
) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::acceptfrom_with(listener, flags)?)
}

pub(in crate::net) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    Socket::new(domain, kind.nonblocking(), None)
}
