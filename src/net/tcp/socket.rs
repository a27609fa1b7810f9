//! A TCP socket before it connects or listens.

use super::{TcpListener, TcpStream};
use crate::net::{addr, sys};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;
use std::{fmt, io};

/// A TCP socket that is neither connected nor listening yet: the place for its options.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::net::TcpSocket;
///
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(64)?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct TcpSocket(Socket);

/// An option of the socket: its getter and its setter.
macro_rules! options {
    ($($(#[$meta:meta])* $get:ident, $set:ident: $ty:ty = $inner_get:ident, $inner_set:ident;)*) => { $(
        $(#[$meta])*
        ///
        /// # Errors
        ///
        /// Those of the operating system.
        pub fn $get(&self) -> io::Result<$ty> {
            self.0.$inner_get()
        }

        #[doc = concat!("Sets [`", stringify!($get), "`](Self::", stringify!($get), ").")]
        ///
        /// # Errors
        ///
        /// Those of the operating system.
        pub fn $set(&self, value: $ty) -> io::Result<()> {
            self.0.$inner_set(value)
        }
    )* };
}

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    ///
    /// Those of the operating system: no more descriptors.
    pub fn new_v4() -> io::Result<TcpSocket> {
        sys::socket(Domain::IPV4, Type::STREAM).map(Self)
    }

    /// A socket for IPv6.
    ///
    /// # Errors
    ///
    /// Those of the operating system: no more descriptors.
    pub fn new_v6() -> io::Result<TcpSocket> {
        sys::socket(Domain::IPV6, Type::STREAM).map(Self)
    }

    options! {
        /// Whether the system checks a silent connection now and then (`SO_KEEPALIVE`).
        keepalive, set_keepalive: bool = keepalive, set_keepalive;
        /// Whether an address may be bound that was in use until recently (`SO_REUSEADDR`).
        reuseaddr, set_reuseaddr: bool = reuse_address, set_reuse_address;
        /// Whether small writes are sent at once (`TCP_NODELAY`).
        nodelay, set_nodelay: bool = tcp_nodelay, set_tcp_nodelay;
        /// The type-of-service field of IPv4 packets.
        tos_v4, set_tos_v4: u32 = tos_v4, set_tos_v4;
        /// How long closing waits for what is not sent yet (`SO_LINGER`).
        linger, set_linger: Option<Duration> = linger, set_linger;
    }

    /// Lets closing reset the connection, and throw away what is not sent.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.0.set_linger(Some(Duration::ZERO))
    }

    /// The size of the system's send buffer.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        self.0.send_buffer_size().map(|size| size as u32)
    }

    /// Asks for a [`send_buffer_size`](Self::send_buffer_size); the system may choose another.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        self.0.set_send_buffer_size(size as usize)
    }

    /// The size of the system's receive buffer.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        self.0.recv_buffer_size().map(|size| size as u32)
    }

    /// Asks for a [`recv_buffer_size`](Self::recv_buffer_size); the system may choose another.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        self.0.set_recv_buffer_size(size as usize)
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        addr::ip(&self.0.local_addr()?)
    }

    /// Fetches the error that waits to be reported, and clears it.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// Gives it an address of its own.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, among those of the operating system.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.0.bind(&addr.into())
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` and `TimedOut`, among those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the connection up.
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_socket(self.0, addr).await
    }

    /// Accepts connections, of which the system holds up to `backlog`.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.0.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        TcpListener::from_nonblocking(self.0.into())
    }

    /// Takes a socket of std that is not connected yet, made by another crate: it is made
    /// nonblocking.
    ///
    /// # Panics
    ///
    /// If the system cannot make it nonblocking, which means that it is none.
    #[track_caller]
    pub fn from_std_stream(stream: std::net::TcpStream) -> TcpSocket {
        let socket = Socket::from(stream);
        rustix::io::ioctl_fionbio(&socket, true).expect("a socket can be made nonblocking");
        Self(socket)
    }
}

#[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
mod reuse_port;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "socket/linux.rs"]
mod linux;

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl FromRawFd for TcpSocket {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller's: `fd` is open, and nobody else's.
        Self(unsafe { Socket::from_raw_fd(fd) })
    }
}

impl IntoRawFd for TcpSocket {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

impl From<TcpSocket> for OwnedFd {
    fn from(socket: TcpSocket) -> OwnedFd {
        socket.0.into()
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
