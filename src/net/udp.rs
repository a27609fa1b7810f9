//! UDP.

use super::addr::{self, ToSocketAddrs};
use super::datagram::{self, datagram_methods};
use super::methods::{descriptor_traits, poll_read_ready, poll_write_ready, readiness_methods};
use super::socket::Socket;
use super::sys;
use crate::reactor::{Direction, Interest, Ready};
use bytes::BufMut;
use socket2::{Domain, SockAddr, SockRef, Type};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};
use std::{fmt, future, io};
use tokio::io::ReadBuf;

/// A UDP socket.
///
/// All methods take `&self`: share it in an `Arc` between tasks that send and receive.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.send_to(b"hello", server.local_addr()?).await?;
/// let mut buf = [0; 1500];
/// let (len, sender) = server.recv_from(&mut buf).await?;
/// assert_eq!((&buf[..len], sender), (&b"hello"[..], client.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct UdpSocket(Socket<std::net::UdpSocket>);

impl datagram::Address for SocketAddr {
    fn of(address: &SockAddr) -> io::Result<Self> {
        addr::ip(address)
    }
}

impl UdpSocket {
    /// A socket bound to `addr`; of several addresses, to the first that works.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, among those of the operating system, and those of
    /// [`lookup_host`](crate::net::lookup_host).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        addr::first(addr, |addr| future::ready(Self::bind_to(addr))).await
    }

    fn bind_to(addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = sys::socket(Domain::for_address(addr), Type::DGRAM)?;
        socket.bind(&addr.into())?;
        Self::from_nonblocking(socket.into())
    }

    /// Sets the address that [`send`](Self::send) sends to and [`recv`](Self::recv) receives from.
    ///
    /// # Errors
    ///
    /// Those of the operating system, and of [`lookup_host`](crate::net::lookup_host).
    pub async fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        addr::first(addr, |addr| future::ready(self.0.io().connect(addr))).await
    }

    datagram_methods!(std::net::UdpSocket, SocketAddr);

    /// Sends a message to `addr`; of several addresses, to the first.
    ///
    /// # Errors
    ///
    /// Those of the operating system, some of which are about messages sent before; those of
    /// [`lookup_host`](crate::net::lookup_host); and that the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, nothing was sent.
    pub async fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let target = addr::one_of(addr).await?;
        self.0.run(Interest::WRITABLE, |socket| socket.send_to(buf, target)).await
    }

    /// As [`send_to`](Self::send_to). The waker of the last call of any polled send is the one that
    /// is woken.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_run(Direction::Write, cx, |socket| socket.send_to(buf, target))
    }

    /// As [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.0.try_io(Interest::WRITABLE, |socket| socket.send_to(buf, target))
    }

    /// Receives a message without taking it: the next receive gives it again.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.receive(datagram::peek, buf).await.map(|(len, ())| len)
    }

    /// As [`peek`](Self::peek). The waker of the last call of any polled receive is the one that is
    /// woken.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_receive(datagram::peek, cx, buf)
    }

    /// As [`peek`](Self::peek), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_receive(datagram::peek, buf).map(|(len, ())| len)
    }

    /// As [`peek`](Self::peek), with the address of the sender.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.receive(datagram::peek_from, buf).await
    }

    /// As [`peek_from`](Self::peek_from). The waker of the last call of any polled receive is the
    /// one that is woken.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        self.0.poll_receive(datagram::peek_from, cx, buf)
    }

    /// As [`peek_from`](Self::peek_from), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_receive(datagram::peek_from, buf)
    }

    /// The sender of the next message, which stays.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        self.peek_from(&mut []).await.map(|(_, sender)| sender)
    }

    /// As [`peek_sender`](Self::peek_sender). The waker of the last call of any polled receive is
    /// the one that is woken.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        self.poll_peek_from(cx, &mut ReadBuf::new(&mut []))
    }

    /// As [`peek_sender`](Self::peek_sender), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        self.try_peek_from(&mut []).map(|(_, sender)| sender)
    }
}

/// An option of the socket: its getter and its setter.
macro_rules! options {
    ($($(#[$meta:meta])* $get:ident, $set:ident: $ty:ty = $inner_get:ident, $inner_set:ident;)*) => {
        impl UdpSocket { $(
            $(#[$meta])*
            ///
            /// # Errors
            ///
            /// Those of the operating system.
            pub fn $get(&self) -> io::Result<$ty> {
                SockRef::from(self).$inner_get()
            }

            #[doc = concat!("Sets [`", stringify!($get), "`](Self::", stringify!($get), ").")]
            ///
            /// # Errors
            ///
            /// Those of the operating system.
            pub fn $set(&self, value: $ty) -> io::Result<()> {
                SockRef::from(self).$inner_set(value)
            }
        )* }
    };
}

options! {
    /// Whether messages may go to broadcast addresses.
    broadcast, set_broadcast: bool = broadcast, set_broadcast;
    /// Whether this machine receives its own IPv4 multicast messages.
    multicast_loop_v4, set_multicast_loop_v4: bool = multicast_loop_v4, set_multicast_loop_v4;
    /// The time to live of IPv4 multicast messages; 1, the default, is the local network.
    multicast_ttl_v4, set_multicast_ttl_v4: u32 = multicast_ttl_v4, set_multicast_ttl_v4;
    /// Whether this machine receives its own IPv6 multicast messages.
    multicast_loop_v6, set_multicast_loop_v6: bool = multicast_loop_v6, set_multicast_loop_v6;
    /// The time to live of the packets sent.
    ttl, set_ttl: u32 = ttl_v4, set_ttl_v4;
    /// The type-of-service field of IPv4 packets.
    tos_v4, set_tos_v4: u32 = tos_v4, set_tos_v4;
}

impl UdpSocket {
    /// Joins an IPv4 multicast group; `interface` is a local address, or 0.0.0.0.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn join_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.0.io().join_multicast_v4(&multiaddr, &interface)
    }

    /// Joins an IPv6 multicast group; `interface` is an index, or 0.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.io().join_multicast_v6(multiaddr, interface)
    }

    /// Leaves an IPv4 multicast group.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn leave_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.0.io().leave_multicast_v4(&multiaddr, &interface)
    }

    /// Leaves an IPv6 multicast group.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.io().leave_multicast_v6(multiaddr, interface)
    }
}

impl TryFrom<std::net::UdpSocket> for UdpSocket {
    type Error = io::Error;

    fn try_from(socket: std::net::UdpSocket) -> io::Result<Self> {
        Self::from_std(socket)
    }
}

descriptor_traits!(UdpSocket);
