//! Linux and Android: the flags are given with the call.

use crate::net::unix::UCred;
use rustix::pipe::PipeFlags;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io;
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

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

pub(in crate::net) fn from_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

pub(in crate::net) fn peer_cred(stream: &UnixStream) -> io::Result<UCred> {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and `cred` has room for `len` bytes, any of which make a `ucred`.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &mut len,
        )
    };
    match result {
        // Process 0 is one that this pid namespace does not know.
        0 => {
            Ok(UCred { pid: Some(cred.pid).filter(|&pid| pid != 0), uid: cred.uid, gid: cred.gid })
        }
        _ => Err(io::Error::last_os_error()),
    }
}
