//! Accepting connections at a Unix socket.

use super::{SocketAddr, UnixSocket, UnixStream};
use crate::net::methods::descriptor_traits;
use crate::net::socket::{BACKLOG, Socket};
use crate::net::sys;
use crate::reactor::{Direction, Interest, Ready};
use socket2::{SockAddr, SockRef};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net;
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

/// A Unix socket that accepts connections.
///
/// The file at its path stays when it is dropped, and hinders the next `bind`: remove it. A path that
/// begins with a zero byte is a name outside the file system, on Linux.
///
/// Errors of `accept` concern one attempt, as for [`TcpListener`](crate::net::TcpListener).
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::io::{AsyncReadExt, AsyncWriteExt};
/// use reiver::net::{UnixListener, UnixStream};
///
/// let path = std::env::temp_dir().join(format!("reiver-doc-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let mut client = UnixStream::connect(&path).await?;
/// let (mut server, _address) = listener.accept().await?;
/// client.write_all(b"hello").await?;
/// let mut buf = [0; 5];
/// server.read_exact(&mut buf).await?;
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct UnixListener(Socket<net::UnixListener>);

impl UnixListener {
    /// Listens at `path`.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file at `path`, among those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        socket.listen(BACKLOG as u32)
    }

    /// Listens at `address`.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        let socket = UnixSocket::new_stream()?;
        socket.bind_addr(address)?;
        socket.listen(BACKLOG as u32)
    }

    #[track_caller]
    pub(super) fn from_nonblocking(listener: net::UnixListener) -> io::Result<UnixListener> {
        Socket::new(listener, Interest::READABLE, Ready::EMPTY).map(Self)
    }

    /// Takes the next connection. Any number of tasks may wait.
    ///
    /// # Errors
    ///
    /// Those of the operating system; and if the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, no connection was taken.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.0.run(Interest::READABLE, sys::accept).await.and_then(welcome)
    }

    /// Takes the next connection. The waker of the last call is the one that is woken.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
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
    pub fn from_std(listener: net::UnixListener) -> io::Result<UnixListener> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        Self::from_nonblocking(listener)
    }

    /// The listener of std; it stays nonblocking.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    pub fn into_std(self) -> io::Result<net::UnixListener> {
        Ok(self.0.into_inner())
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        SocketAddr::new(&SockRef::from(self).local_addr()?)
    }

    /// Fetches the error that waits to be reported, and clears it.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.io().take_error()
    }
}

fn welcome((socket, address): (socket2::Socket, SockAddr)) -> io::Result<(UnixStream, SocketAddr)> {
    Ok((UnixStream::accepted(socket.into())?, SocketAddr::new(&address)?))
}

impl TryFrom<net::UnixListener> for UnixListener {
    type Error = io::Error;

    fn try_from(listener: net::UnixListener) -> io::Result<Self> {
        Self::from_std(listener)
    }
}

descriptor_traits!(UnixListener);
