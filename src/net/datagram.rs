//! What UDP sockets and Unix datagram sockets share: receiving and sending whole messages.
//!
//! A message that is longer than the buffer loses its rest. All operations go through `socket2`,
//! which receives into memory that need not be initialised.

use super::socket::Socket;
use crate::reactor::{Direction, Interest, StableFd};
use bytes::BufMut;
use socket2::{SockAddr, SockRef};
use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

type Room = [MaybeUninit<u8>];

/// Receives a message; the sender's address is that of the connection.
pub(super) fn recv<T: StableFd>(io: &T, room: &mut Room) -> io::Result<(usize, ())> {
    Ok((SockRef::from(io).recv(room)?, ()))
}

/// An address, as programs know it.
pub(super) trait Address: Sized {
    /// Makes one of what the system says.
    fn of(address: &SockAddr) -> io::Result<Self>;
}

/// Receives a message and its sender's address.
pub(super) fn recv_from<T: StableFd, A: Address>(
    io: &T,
    room: &mut Room,
) -> io::Result<(usize, A)> {
    SockRef::from(io).recv_from(room).and_then(known)
}

/// As [`recv`]; the message stays.
pub(super) fn peek<T: StableFd>(io: &T, room: &mut Room) -> io::Result<(usize, ())> {
    Ok((SockRef::from(io).peek(room)?, ()))
}

/// As [`recv_from`]; the message stays.
pub(super) fn peek_from<T: StableFd, A: Address>(
    io: &T,
    room: &mut Room,
) -> io::Result<(usize, A)> {
    SockRef::from(io).peek_from(room).and_then(known)
}

fn known<A: Address>((len, address): (usize, SockAddr)) -> io::Result<(usize, A)> {
    Ok((len, A::of(&address)?))
}

/// One of the four above: it has initialised as many bytes as it says, from the first on.
type Receive<T, A> = fn(&T, &mut Room) -> io::Result<(usize, A)>;

fn as_room(buf: &mut [u8]) -> &mut Room {
    // SAFETY: the layout is the same, and a `Receive` writes nothing but initialised bytes.
    unsafe { &mut *(std::ptr::from_mut(buf) as *mut Room) }
}

impl<T: StableFd> Socket<T> {
    /// Receives, when there is a message. Cancel safe.
    pub(super) async fn receive<A>(
        &self,
        receive: Receive<T, A>,
        buf: &mut [u8],
    ) -> io::Result<(usize, A)> {
        self.run(Interest::READABLE, |io| receive(io, as_room(buf))).await
    }

    /// Receives now.
    pub(super) fn try_receive<A>(
        &self,
        receive: Receive<T, A>,
        buf: &mut [u8],
    ) -> io::Result<(usize, A)> {
        self.try_io(Interest::READABLE, |io| receive(io, as_room(buf)))
    }

    /// As [`receive`](Self::receive), into spare room.
    pub(super) async fn receive_buf<A, B: BufMut>(
        &self,
        receive: Receive<T, A>,
        buf: &mut B,
    ) -> io::Result<(usize, A)> {
        self.run(Interest::READABLE, |io| into_spare(io, receive, buf)).await
    }

    /// As [`try_receive`](Self::try_receive), into spare room.
    pub(super) fn try_receive_buf<A, B: BufMut>(
        &self,
        receive: Receive<T, A>,
        buf: &mut B,
    ) -> io::Result<(usize, A)> {
        self.try_io(Interest::READABLE, |io| into_spare(io, receive, buf))
    }

    /// As [`receive`](Self::receive), waiting in the slot.
    pub(super) fn poll_receive<A>(
        &self,
        receive: Receive<T, A>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<A>> {
        let (len, address) = ready!(self.poll_run(Direction::Read, cx, |io| {
            // SAFETY: a `Receive` writes nothing but initialised bytes.
            receive(io, unsafe { buf.unfilled_mut() })
        }))?;
        // SAFETY: the contract of `Receive`.
        unsafe { buf.assume_init(len) };
        buf.advance(len);
        Poll::Ready(Ok(address))
    }
}

fn into_spare<T, A, B: BufMut>(
    io: &T,
    receive: Receive<T, A>,
    buf: &mut B,
) -> io::Result<(usize, A)> {
    // SAFETY: a `Receive` writes nothing but initialised bytes.
    let (len, address) = receive(io, unsafe { buf.chunk_mut().as_uninit_slice_mut() })?;
    // SAFETY: the contract of `Receive`.
    unsafe { buf.advance_mut(len) };
    Ok((len, address))
}

/// The methods of both types: inside an `impl` block. `$address` is the type of addresses, `$inner` is the type
/// of std.
macro_rules! datagram_methods {
    ($inner:ty, $address:ty) => {
        readiness_methods!();
        poll_read_ready!(poll_recv_ready);
        poll_write_ready!(poll_send_ready);

        /// Registers a socket of std with the current runtime, and makes it nonblocking.
        ///
        /// # Errors
        ///
        /// Those of the operating system.
        ///
        /// # Panics
        ///
        /// Outside a runtime.
        #[track_caller]
        pub fn from_std(socket: $inner) -> io::Result<Self> {
            rustix::io::ioctl_fionbio(&socket, true)?;
            Self::from_nonblocking(socket)
        }

        #[track_caller]
        fn from_nonblocking(socket: $inner) -> io::Result<Self> {
            Socket::new(socket, Interest::READABLE, Ready::WRITABLE).map(Self)
        }

        /// The socket of std; it stays nonblocking.
        ///
        /// # Errors
        ///
        /// None today; the signature is tokio's.
        pub fn into_std(self) -> io::Result<$inner> {
            Ok(self.0.into_inner())
        }

        /// The address it is bound to.
        ///
        /// # Errors
        ///
        /// Those of the operating system.
        pub fn local_addr(&self) -> io::Result<$address> {
            datagram::Address::of(&SockRef::from(self).local_addr()?)
        }

        /// The address it is connected to.
        ///
        /// # Errors
        ///
        /// `NotConnected`, among those of the operating system.
        pub fn peer_addr(&self) -> io::Result<$address> {
            datagram::Address::of(&SockRef::from(self).peer_addr()?)
        }

        /// Fetches the error that waits to be reported, and clears it.
        ///
        /// # Errors
        ///
        /// Those of the operating system.
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            SockRef::from(self).take_error()
        }

        /// Sends a message to the address it is connected to.
        ///
        /// # Errors
        ///
        /// Those of the operating system, some of which are about messages sent before, and that the
        /// runtime is shut down.
        ///
        /// # Cancel safety
        ///
        /// When the future is dropped, nothing was sent.
        pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
            self.0.run(Interest::WRITABLE, |io| SockRef::from(io).send(buf)).await
        }

        /// As [`send`](Self::send). The waker of the last call of any polled send is the one that is
        /// woken.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.poll_run(Direction::Write, cx, |io| SockRef::from(io).send(buf))
        }

        /// As [`send`](Self::send), without waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is no room, and as [`send`](Self::send).
        pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
            self.0.try_io(Interest::WRITABLE, |io| SockRef::from(io).send(buf))
        }

        /// Receives a message, of which as much is kept as `buf` holds.
        ///
        /// # Errors
        ///
        /// Those of the operating system, some of which are about messages sent before, and that the
        /// runtime is shut down.
        ///
        /// # Cancel safety
        ///
        /// When the future is dropped, no message was taken.
        pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.receive(datagram::recv, buf).await.map(|(len, ())| len)
        }

        /// As [`recv`](Self::recv). The waker of the last call of any polled receive is the one that
        /// is woken.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_recv(
            &self,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0.poll_receive(datagram::recv, cx, buf)
        }

        /// As [`recv`](Self::recv), without waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is no message, and as [`recv`](Self::recv).
        pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.try_receive(datagram::recv, buf).map(|(len, ())| len)
        }

        /// As [`recv`](Self::recv), into spare room, which need not be initialised.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        ///
        /// # Cancel safety
        ///
        /// When the future is dropped, no message was taken.
        pub async fn recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
            self.0.receive_buf(datagram::recv, buf).await.map(|(len, ())| len)
        }

        /// As [`recv_buf`](Self::recv_buf), without waiting.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        pub fn try_recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
            self.0.try_receive_buf(datagram::recv, buf).map(|(len, ())| len)
        }

        /// As [`recv`](Self::recv), with the address of the sender.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        ///
        /// # Cancel safety
        ///
        /// When the future is dropped, no message was taken.
        pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, $address)> {
            self.0.receive(datagram::recv_from, buf).await
        }

        /// As [`recv_from`](Self::recv_from). The waker of the last call of any polled receive is the
        /// one that is woken.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_recv_from(
            &self,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<$address>> {
            self.0.poll_receive(datagram::recv_from, cx, buf)
        }

        /// As [`recv_from`](Self::recv_from), without waiting.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, $address)> {
            self.0.try_receive(datagram::recv_from, buf)
        }

        /// As [`recv_from`](Self::recv_from), into spare room, which need not be initialised.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        ///
        /// # Cancel safety
        ///
        /// When the future is dropped, no message was taken.
        pub async fn recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, $address)> {
            self.0.receive_buf(datagram::recv_from, buf).await
        }

        /// As [`recv_buf_from`](Self::recv_buf_from), without waiting.
        ///
        /// # Errors
        ///
        /// As [`try_recv`](Self::try_recv).
        pub fn try_recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, $address)> {
            self.0.try_receive_buf(datagram::recv_from, buf)
        }
    };
}

pub(super) use datagram_methods;
