//! A TCP connection.

use super::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::net::addr::{self, ToSocketAddrs};
use crate::net::methods::{
    async_read, async_write, descriptor_traits, poll_read_ready, poll_write_ready,
    readiness_methods, try_read_methods, try_write_methods,
};
use crate::net::socket::{Socket, connect};
use crate::net::{simulated, sys};
use crate::primitive::explore;
use crate::reactor::{Direction, Interest, Ready};
use rustix::net::RecvFlags;
use socket2::{Domain, SockRef, Type};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TCP connection.
///
/// It is read and written through [`AsyncRead`] and [`AsyncWrite`]; see
/// [`AsyncReadExt`](crate::io::AsyncReadExt) and [`AsyncWriteExt`](crate::io::AsyncWriteExt). So is a reference to
/// it, as `&std::net::TcpStream` is: a stream in an `Arc` can be read by one task and written by another. Of each
/// direction one task at a time waits by these traits; any number by [`readable`](Self::readable) and the like.
/// Dropping it closes it.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use reiver::io::{AsyncReadExt, AsyncWriteExt};
/// use reiver::net::TcpStream;
///
/// let mut stream = TcpStream::connect("localhost:7").await?;
/// stream.write_all(b"hello").await?;
/// let mut answer = [0; 5];
/// stream.read_exact(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream(pub(super) Socket<std::net::TcpStream>);

impl TcpStream {
    /// Connects to `addr`; of several addresses, to the first that works.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` and `TimedOut`, among those of the operating system; those of
    /// [`lookup_host`](crate::net::lookup_host). Of several addresses, the error of the last.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the connection up.
    pub async fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        addr::first(addr, |addr| async move {
            if let Some(network) = simulated::network() {
                let stream = simulated::connect(network, addr)?;
                return explore::admit(|| Self::accepted(stream.into()));
            }
            let socket = sys::socket(Domain::for_address(addr), Type::STREAM)?;
            Self::connect_socket(socket, addr).await
        })
        .await
    }

    pub(super) async fn connect_socket(
        socket: socket2::Socket,
        addr: SocketAddr,
    ) -> io::Result<TcpStream> {
        connect(socket, addr.into()).await.map(Self)
    }

    pub(super) fn accepted(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let assumed = Ready::READABLE | Ready::WRITABLE;
        Socket::new(stream, Interest::READABLE, assumed).map(Self)
    }

    /// Registers a stream of std with the current runtime, and makes it nonblocking.
    ///
    /// It may be one that is connecting: wait for [`writable`](Self::writable), then ask
    /// [`take_error`](Self::take_error).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        Socket::adopt(stream).map(Self)
    }

    /// The stream of std; it stays nonblocking.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.0.into_inner())
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        addr::ip(&SockRef::from(self).local_addr()?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of the operating system: `NotConnected`, if the other end is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        addr::ip(&SockRef::from(self).peer_addr()?)
    }

    /// Fetches the error that waits to be reported, and clears it.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.io().take_error()
    }

    /// Reads without taking: the next read gives the same bytes.
    ///
    /// # Errors
    ///
    /// Those of the operating system, and that the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.run(Interest::READABLE, |stream| stream.peek(buf)).await
    }

    /// As [`peek`](Self::peek). The waker of the last call of any polled read is the one that is
    /// woken.
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.0.poll_run(Direction::Read, cx, |stream| {
            // SAFETY: `recv` writes into it, and nothing else.
            let room = unsafe { buf.unfilled_mut() };
            Ok(rustix::net::recv(stream, room, RecvFlags::PEEK)?.1)
        }))?;
        // SAFETY: `recv` has filled so many bytes, from the first on.
        unsafe { buf.assume_init(read) };
        buf.advance(read);
        Poll::Ready(Ok(read))
    }

    readiness_methods!();
    poll_read_ready!(poll_read_ready);
    poll_write_ready!(poll_write_ready);
    try_read_methods!(self => self.0);
    try_write_methods!(self => self.0);

    /// Whether small writes are sent at once, instead of being gathered (Nagle's algorithm).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.io().nodelay()
    }

    /// Sets [`nodelay`](Self::nodelay).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        if simulated::network().is_some() {
            // A simulated connection gathers nothing.
            return Ok(());
        }
        self.0.io().set_nodelay(nodelay)
    }

    /// How long closing waits for what is not sent yet (`SO_LINGER`).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self).linger()
    }

    /// Sets [`linger`](Self::linger).
    ///
    /// With a time other than zero, dropping the stream blocks its thread for up to that long: use
    /// [`set_zero_linger`](Self::set_zero_linger), or call [`shutdown`](tokio::io::AsyncWriteExt::shutdown)
    /// and read to the end.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(linger)
    }

    /// Lets closing reset the connection, and throw away what is not sent.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }

    /// The time to live of the packets sent.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.io().ttl()
    }

    /// Sets the [`ttl`](Self::ttl).
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.io().set_ttl(ttl)
    }

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
        match self.0.io().shutdown(Shutdown::Write) {
            // The peer has reset the connection: the output has ended. An error here would make that
            // of `shutdown`, in a race with whoever closes first, which is no error anywhere else.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        }
    }
}

impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = io::Error;

    fn try_from(stream: std::net::TcpStream) -> io::Result<Self> {
        Self::from_std(stream)
    }
}

async_read!(TcpStream, self => self.0);
async_write!(TcpStream, self => self.0, self.shutdown_output());
async_read!(&TcpStream, self => self.0);
async_write!(&TcpStream, self => self.0, self.shutdown_output());
descriptor_traits!(TcpStream);
