//! A Unix socket before it connects or listens.

use super::addr::address;
use super::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use crate::net::sys;
use socket2::{Domain, Socket, Type};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::{fmt, io};

/// A Unix socket that is neither connected nor listening yet.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::net::UnixSocket;
///
/// let path = std::env::temp_dir().join(format!("reiver-doc-socket-{}", std::process::id()));
/// let socket = UnixSocket::new_stream()?;
/// socket.bind(&path)?;
/// let listener = socket.listen(16)?;
/// # drop(listener);
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct UnixSocket(Socket);

impl UnixSocket {
    /// A socket for messages.
    ///
    /// # Errors
    ///
    /// Those of the operating system: no more descriptors.
    pub fn new_datagram() -> io::Result<UnixSocket> {
        sys::socket(Domain::UNIX, Type::DGRAM).map(Self)
    }

    /// A socket for streams.
    ///
    /// # Errors
    ///
    /// Those of the operating system: no more descriptors.
    pub fn new_stream() -> io::Result<UnixSocket> {
        sys::socket(Domain::UNIX, Type::STREAM).map(Self)
    }

    /// Gives it a path; a path that begins with a zero byte is a name outside the file system.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file at `path`, among those of the operating system.
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.0.bind(&address(path)?)
    }

    pub(super) fn bind_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.0.bind(address.inner())
    }

    /// Accepts connections, of which the system holds up to `backlog`.
    ///
    /// # Errors
    ///
    /// Those of the operating system: that it is a socket for messages, for example.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<UnixListener> {
        self.0.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        UnixListener::from_nonblocking(self.0.into())
    }

    /// Connects to the listener at `path`.
    ///
    /// # Errors
    ///
    /// As [`UnixStream::connect`]; and `InvalidInput` if it is a socket for messages.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn connect(self, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        self.must_be(Type::STREAM)?;
        let address = address(path)?;
        UnixStream::connect_socket(self.0, address).await
    }

    /// Makes a socket for messages of it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is a socket for streams, among those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn datagram(self) -> io::Result<UnixDatagram> {
        self.must_be(Type::DGRAM)?;
        UnixDatagram::from_std(self.0.into())
    }

    fn must_be(&self, kind: Type) -> io::Result<()> {
        if self.0.r#type()? == kind {
            return Ok(());
        }
        let text =
            "a socket for streams cannot be used for messages, nor one for messages for streams";
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for UnixSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
