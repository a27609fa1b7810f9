//! Accepting TCP connections.

use super::TcpStream;
use crate::net::addr::{self, ToSocketAddrs};
use crate::net::methods::descriptor_traits;
use crate::net::socket::{BACKLOG, Socket};
use crate::net::{simulated, sys};
use crate::primitive::explore;
use crate::reactor::{Direction, Interest, Ready};
use socket2::{Domain, SockAddr, SockRef, Type};
use std::fmt;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

/// A socket that accepts TCP connections.
///
/// # Errors of `accept`
///
/// An error concerns one attempt; the listener goes on. `ECONNABORTED` means that a client has left
/// before it was accepted. `EMFILE` and `ENFILE` mean that this process, or the system, has no more
/// descriptors: the connection stays in the queue, and `accept` fails again at once until one is
/// closed, so wait a little before the next attempt.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::io::{AsyncReadExt, AsyncWriteExt};
/// use reiver::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let server = reiver::spawn(async move {
///     let (mut stream, _peer) = listener.accept().await?;
///     stream.write_all(b"hello").await
/// });
/// let mut text = String::new();
/// TcpStream::connect(address).await?.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// server.await??;
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct TcpListener(Socket<std::net::TcpListener>);

impl TcpListener {
    /// Listens at `addr`; of several addresses, at the first that works.
    ///
    /// Port 0 is a free port, see [`local_addr`](Self::local_addr). `SO_REUSEADDR` is set, and up to
    /// 1024 connections wait for `accept`; [`TcpSocket`](super::TcpSocket) lets choose.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, among those of the operating system, and those of [`lookup_host`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// [`lookup_host`]: crate::net::lookup_host
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        addr::first(addr, |addr| ready(Self::bind_to(addr))).await
    }

    fn bind_to(addr: SocketAddr) -> io::Result<TcpListener> {
        if let Some(network) = simulated::network() {
            let listener = simulated::listen(network, addr)?;
            return explore::admit(|| Self::from_nonblocking(listener.into()));
        }
        let socket = sys::socket(Domain::for_address(addr), Type::STREAM)?;
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Self::from_nonblocking(socket.into())
    }

    #[track_caller]
    pub(super) fn from_nonblocking(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        Socket::new(listener, Interest::READABLE, Ready::EMPTY).map(Self)
    }

    /// Takes the next connection.
    ///
    /// Any number of tasks may wait.
    ///
    /// # Errors
    ///
    /// See [the type](TcpListener#errors-of-accept); and if the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, no connection was taken.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.run(Interest::READABLE, sys::accept).await.and_then(welcome)
    }

    /// Takes the next connection. The waker of the last call is the one that is woken.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        Poll::Ready(ready!(self.0.poll_run(Direction::Read, cx, sys::accept)).and_then(welcome))
    }

    /// Registers a listener of std with the current runtime, and makes it nonblocking.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        Self::from_nonblocking(listener)
    }

    /// The listener of std; it stays nonblocking.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        Ok(self.0.into_inner())
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        addr::ip(&SockRef::from(self).local_addr()?)
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
}

/// Registers an accepted connection. Its first read is tried at once: a client that connects often
/// has written already.
fn welcome((socket, address): (socket2::Socket, SockAddr)) -> io::Result<(TcpStream, SocketAddr)> {
    let address = addr::ip(&address)?;
    let stream = match simulated::network() {
        Some(_) => explore::admit(|| TcpStream::accepted(socket.into())),
        None => TcpStream::accepted(socket.into()),
    };
    Ok((stream?, address))
}

impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::from_std(listener)
    }
}

descriptor_traits!(TcpListener);
