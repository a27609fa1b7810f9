//! Messages between Unix sockets.

use super::SocketAddr;
use super::addr::address;
use crate::net::datagram::{self, datagram_methods};
use crate::net::methods::{
    descriptor_traits, poll_read_ready, poll_write_ready, readiness_methods,
};
use crate::net::socket::Socket;
use crate::net::sys;
use crate::reactor::{Direction, Interest, Ready};
use crate::time::sleep;
use bytes::BufMut;
use socket2::{Domain, SockAddr, SockRef, Type};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};
use tokio::io::ReadBuf;

/// A Unix socket for messages, which arrive whole and in order.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::net::UnixDatagram;
///
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"hello").await?;
/// let mut buf = [0; 16];
/// let len = b.recv(&mut buf).await?;
/// assert_eq!(&buf[..len], b"hello");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct UnixDatagram(Socket<net::UnixDatagram>);

/// Between two tries to send to a socket that has no room: the first, and the longest. Readiness says nothing of
/// another socket; a try that fails even makes one's own ready, so waiting for that would use a whole CPU.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(32));

impl datagram::Address for SocketAddr {
    fn of(address: &SockAddr) -> io::Result<Self> {
        Self::new(address)
    }
}

impl UnixDatagram {
    /// A socket at `path`; a path that begins with a zero byte is a name outside the file system.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file at `path`, among those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        let socket = sys::socket(Domain::UNIX, Type::DGRAM)?;
        socket.bind(&address(path)?)?;
        Self::from_nonblocking(socket.into())
    }

    /// A socket without an address: it can send, and receive only when it is connected.
    ///
    /// # Errors
    ///
    /// Those of the operating system: no more descriptors.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        Self::from_nonblocking(sys::socket(Domain::UNIX, Type::DGRAM)?.into())
    }

    /// Two sockets connected with each other.
    ///
    /// # Errors
    ///
    /// Those of the operating system: no more descriptors.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = net::UnixDatagram::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    /// Sets the address that [`send`](Self::send) sends to.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        SockRef::from(self).connect(&address(path)?)
    }

    datagram_methods!(net::UnixDatagram, SocketAddr);

    /// Sends a message to the socket at `target`. While that has no room it is tried again and again, at most 32 ms
    /// later than there could be some: the system tells only a socket that is [connected](Self::connect).
    ///
    /// # Errors
    ///
    /// Those of the operating system, and that the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, nothing was sent.
    pub async fn send_to<P: AsRef<Path>>(&self, buf: &[u8], target: P) -> io::Result<usize> {
        let target = address(target)?;
        let mut pauses = PAUSES.0;
        let send = |io: &net::UnixDatagram| SockRef::from(io).send_to(buf, &target);
        self.0.ready(Interest::WRITABLE).await?;
        loop {
            match send(self.0.io()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pauses).await,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                sent => return sent,
            }
            pauses = PAUSES.1.min(2 * pauses);
        }
    }

    /// As [`send_to`](Self::send_to). The waker of the last call of any polled send is the one that
    /// is woken. While the socket at `target` has no room it may be woken at once, and in vain.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to<P: AsRef<Path>>(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: P,
    ) -> Poll<io::Result<usize>> {
        let target = address(target)?;
        self.0.poll_run(Direction::Write, cx, |io| SockRef::from(io).send_to(buf, &target))
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room, and as [`send_to`](Self::send_to).
    pub fn try_send_to<P: AsRef<Path>>(&self, buf: &[u8], target: P) -> io::Result<usize> {
        let target = address(target)?;
        self.0.try_io(Interest::WRITABLE, |io| SockRef::from(io).send_to(buf, &target))
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.io().shutdown(how)
    }
}

impl TryFrom<net::UnixDatagram> for UnixDatagram {
    type Error = io::Error;

    fn try_from(socket: net::UnixDatagram) -> io::Result<Self> {
        Self::from_std(socket)
    }
}

descriptor_traits!(UnixDatagram);
