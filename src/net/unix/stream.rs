//! A connection between Unix sockets.

use super::addr::address;
use super::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::{SocketAddr, UCred};
use crate::net::methods::{
    async_read, async_write, descriptor_traits, poll_read_ready, poll_write_ready,
    readiness_methods, try_read_methods, try_write_methods,
};
use crate::net::socket::{Socket, connect};
use crate::net::sys;
use crate::reactor::{Direction, Interest, Ready};
use crate::util::peer::peer;
use socket2::{Domain, SockAddr, SockRef, Type};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection between Unix sockets.
///
/// It is read and written through [`AsyncRead`] and [`AsyncWrite`], and so is a reference to it: one task at a time
/// for each direction. Dropping it closes it. See [`UnixListener`](super::UnixListener) for an example.
pub struct UnixStream(pub(super) Socket<net::UnixStream>);

impl UnixStream {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    ///
    /// `NotFound` and `ConnectionRefused`, among those of the operating system; `WouldBlock` if the
    /// listener's queue is full, which cannot be waited for.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the connection up.
    pub async fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        let address = address(path)?;
        Self::connect_socket(sys::socket(Domain::UNIX, Type::STREAM)?, address).await
    }

    /// Connects to the listener at `address`.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the connection up.
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let socket = sys::socket(Domain::UNIX, Type::STREAM)?;
        Self::connect_socket(socket, address.inner().clone()).await
    }

    pub(super) async fn connect_socket(
        socket: socket2::Socket,
        address: SockAddr,
    ) -> io::Result<UnixStream> {
        connect(socket, address).await.map(Self)
    }

    #[track_caller]
    pub(super) fn accepted(stream: net::UnixStream) -> io::Result<UnixStream> {
        let assumed = Ready::READABLE | Ready::WRITABLE;
        Socket::new(stream, Interest::READABLE, assumed).map(Self)
    }

    /// Two streams connected with each other.
    ///
    /// # Errors
    ///
    /// Those of the operating system: no more descriptors.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = net::UnixStream::pair()?;
        for end in [&a, &b] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        let a = Socket::new(a, Interest::READABLE, Ready::WRITABLE)?;
        let b = Socket::new(b, Interest::READABLE, Ready::WRITABLE)?;
        Ok((Self(a), Self(b)))
    }

    /// Registers a stream of std with the current runtime, and makes it nonblocking.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn from_std(stream: net::UnixStream) -> io::Result<UnixStream> {
        Socket::adopt(stream).map(Self)
    }

    /// The stream of std; it stays nonblocking.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    pub fn into_std(self) -> io::Result<net::UnixStream> {
        Ok(self.0.into_inner())
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        SocketAddr::new(&SockRef::from(self).local_addr()?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        SocketAddr::new(&SockRef::from(self).peer_addr()?)
    }

    /// Who is at the other end.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        Ok(UCred::new(peer(self.0.io())?))
    }

    /// Fetches the error that waits to be reported, and clears it.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.io().take_error()
    }

    readiness_methods!();
    poll_read_ready!(poll_read_ready);
    poll_write_ready!(poll_write_ready);
    try_read_methods!(self => self.0);
    try_write_methods!(self => self.0);

    /// A half to read and a half to write, for two futures in one task. Costs nothing.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// A half to read and a half to write, for two tasks.
    ///
    /// Dropping the writing half ends the output, as `shutdown` does; the connection is closed when
    /// both are dropped.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::into_split(self)
    }

    pub(super) fn shutdown_output(&self) -> io::Result<()> {
        self.0.io().shutdown(Shutdown::Write)
    }
}

impl TryFrom<net::UnixStream> for UnixStream {
    type Error = io::Error;

    fn try_from(stream: net::UnixStream) -> io::Result<Self> {
        Self::from_std(stream)
    }
}

async_read!(UnixStream, self => self.0);
async_write!(UnixStream, self => self.0, self.shutdown_output());
async_read!(&UnixStream, self => self.0);
async_write!(&UnixStream, self => self.0, self.shutdown_output());
descriptor_traits!(UnixStream);
