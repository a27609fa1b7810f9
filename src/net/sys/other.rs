//! Other systems: the flags are set afterwards, as macOS wants it.

use rustix::net::SocketAddrAny;
use socket2::{Domain, Socket, Type};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub(in crate::net) fn accept<T: AsFd>(
    listener: &T,
) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (fd, address) = rustix::net::acceptfrom(listener)?;
    let socket = Socket::from(fd);
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    Ok((OwnedFd::from(socket), address))
}

pub(in crate::net) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
