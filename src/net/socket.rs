//! A descriptor registered with the current runtime, and the operations that all sockets share.
//!
//! Every operation spends one unit of the poll budget, so a task whose socket is always ready still
//! gives way. The unit is taken after the wait and before the system call, and never held over an
//! await: it belongs to one poll.
//!
//! The `poll_*` operations wait in the registration's slot of their direction (the last caller is
//! woken), the async ones in its list (everybody is woken).

use crate::primitive::explore;
use crate::reactor::{Direction, Evented, Interest, Ready, Registration, StableFd};
use crate::runtime::in_runtime;
use crate::task::budget;
use bytes::BufMut;
use rustix::io::retry_on_intr;
use socket2::{SockAddr, SockRef};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// A registered socket or pipe.
pub(crate) struct Socket<T>(Evented<T>);

/// Connections that the system holds for `accept`, unless the caller says how many: enough for a
/// burst of clients between two polls of the accepting task. tokio's number.
pub(super) const BACKLOG: i32 = 1024;

/// Connects `socket`.
pub(super) async fn connect<T>(socket: socket2::Socket, address: SockAddr) -> io::Result<Socket<T>>
where
    T: StableFd + From<socket2::Socket>,
{
    const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();
    match socket.connect(&address) {
        // A local socket, connected at once.
        Ok(()) => return Socket::new(socket.into(), Interest::READABLE, Ready::WRITABLE),
        Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
        Err(error) => return Err(error),
    }
    // Registered after `connect`: a socket that does not connect yet is reported as hung up.
    let both = Interest::READABLE | Interest::WRITABLE;
    let stream = Socket::<T>::new(socket.into(), both, Ready::EMPTY)?;
    stream.ready(Interest::WRITABLE).await?;
    match SockRef::from(stream.io()).take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

impl<T: StableFd> Socket<T> {
    /// Registers `io`, which is in nonblocking mode, with the current runtime.
    ///
    /// # Errors
    ///
    /// As `Reactor::register`; `io` is then closed.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub(crate) fn new(io: T, interest: Interest, assumed: Ready) -> io::Result<Self> {
        in_runtime(|runtime| {
            Evented::new(&runtime.driver.reactor, io, runtime.home(), interest, assumed).map(Self)
        })
    }

    /// Registers `io`, of which nothing is known, for both directions.
    ///
    /// # Errors
    ///
    /// If it cannot be made nonblocking, and as [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub(crate) fn adopt(io: T) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&io, true)?;
        Self::new(io, Interest::READABLE | Interest::WRITABLE, Ready::EMPTY)
    }

    /// The inner value.
    pub(crate) fn io(&self) -> &T {
        self.0.get_ref()
    }

    /// Ends the registration and gives the inner value back.
    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }

    fn registration(&self) -> &Registration {
        self.0.registration()
    }

    /// Waits for any of `interest` and says what there is.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let event = self.registration().readiness(interest).await?;
        poll_fn(budget::poll_proceed).await.made_progress();
        Ok(event.ready())
    }

    /// Waits for `direction` in its slot.
    pub(crate) fn poll_ready(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let unit = ready!(budget::poll_proceed(cx));
        let result = ready!(match direction {
            Direction::Read => self.registration().poll_read_ready(cx),
            Direction::Write => self.registration().poll_write_ready(cx),
        });
        unit.made_progress();
        Poll::Ready(result.map(drop))
    }

    /// Runs `operation` now, if there is readiness for `interest`.
    #[inline]
    pub(crate) fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration().try_io(interest, || operation(self.io()))
    }

    /// Runs `operation` each time there is readiness for `interest`, until it does not block.
    ///
    /// Cancel safe: when the future is dropped, `operation` has given nothing but `WouldBlock`.
    pub(crate) async fn run<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            if !self.registration().is_ready(interest) {
                self.registration().readiness(interest).await?;
            }
            let unit = poll_fn(budget::poll_proceed).await;
            match self.try_io(interest, &mut operation) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    unit.made_progress();
                    return result;
                }
            }
        }
    }

    /// As [`run`](Self::run), waiting in the slot of `direction`.
    pub(crate) fn poll_run<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let unit = ready!(budget::poll_proceed(cx));
        let result = ready!(self.registration().poll_io(cx, direction, || operation(self.io())));
        unit.made_progress();
        Poll::Ready(result)
    }
}

impl<T: StableFd> Socket<T> {
    /// The descriptor.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl<T: StableFd + fmt::Debug> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get_ref().fmt(f)
    }
}

/// A descriptor that carries bytes without boundaries.
///
/// # Safety
///
/// `read_into` has initialised as many bytes as it says, from the first on.
pub(crate) unsafe trait Bytes: StableFd {
    /// Whether a read of fewer bytes than asked for proves that there are no more now, where the
    /// poller tells of the end.
    const SHORT_READ_DRAINS: bool;

    /// Reads into memory that need not be initialised.
    fn read_into(&self, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize>;

    /// Writes.
    fn write_from(&self, buf: &[u8]) -> io::Result<usize>;
}

// SAFETY: `recv` fills from the first byte on and says how far.
unsafe impl Bytes for std::net::TcpStream {
    const SHORT_READ_DRAINS: bool = true;

    #[inline]
    fn read_into(&self, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        receive(self.as_fd(), buf)
    }

    #[inline]
    fn write_from(&self, buf: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(buf)
    }
}

// SAFETY: as above.
unsafe impl Bytes for std::os::unix::net::UnixStream {
    // A read ends at a message that carries descriptors, and at a change of credentials.
    const SHORT_READ_DRAINS: bool = false;

    #[inline]
    fn read_into(&self, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        receive(self.as_fd(), buf)
    }

    #[inline]
    fn write_from(&self, buf: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(buf)
    }
}

// Pipes, and whatever a caller says is one: a terminal, say, which a signal interrupts.
// SAFETY: `read` fills from the first byte on and says how far.
unsafe impl Bytes for OwnedFd {
    // A pipe in packet mode gives one packet at a time.
    const SHORT_READ_DRAINS: bool = false;

    #[inline]
    fn read_into(&self, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::io::read(self, &mut *buf).map(|(read, _)| read.len()))?)
    }

    #[inline]
    fn write_from(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| rustix::io::write(self, buf))?)
    }
}

#[inline]
fn receive(fd: BorrowedFd<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    Ok(rustix::net::recv(fd, buf, rustix::net::RecvFlags::empty())?.1)
}

/// What a short read is compared with.
fn wanted<T: Bytes>(room: usize) -> usize {
    if T::SHORT_READ_DRAINS { room } else { 0 }
}

impl<T: Bytes> Socket<T> {
    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unit = ready!(budget::poll_proceed(cx));
        let room = explore::short(buf.remaining());
        let wanted = wanted::<T>(room);
        let read = ready!(self.registration().poll_transfer(cx, Direction::Read, wanted, || {
            // SAFETY: `read_into` writes into it, and nothing else.
            self.io().read_into(unsafe { &mut buf.unfilled_mut()[..room] })
        }));
        unit.made_progress();
        let read = read?;
        // SAFETY: the contract of `read_into`.
        unsafe { buf.assume_init(read) };
        buf.advance(read);
        Poll::Ready(Ok(()))
    }

    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let buf = &buf[..explore::short(buf.len())];
        self.poll_output(cx, buf.len(), |io| io.write_from(buf))
    }

    #[inline]
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total = bufs.iter().map(|buf| buf.len()).sum();
        // More slices than the system takes at a time make a short write that proves nothing.
        let total = if bufs.len() <= IOV_MAX { total } else { 0 };
        self.poll_output(cx, total, |io| write_vectored(io, bufs))
    }

    #[inline]
    fn poll_output(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        operation: impl Fn(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let unit = ready!(budget::poll_proceed(cx));
        let written =
            ready!(
                self.registration()
                    .poll_transfer(cx, Direction::Write, wanted, || operation(self.io()))
            );
        unit.made_progress();
        Poll::Ready(written)
    }

    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_io(Interest::READABLE, |io| Ok(rustix::io::read(io, buf)?))
    }

    pub(crate) fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.try_io(Interest::READABLE, |io| {
            let most = bufs.len().min(IOV_MAX);
            Ok(rustix::io::readv(io, &mut bufs[..most])?)
        })
    }

    pub(crate) fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        self.try_io(Interest::READABLE, |io| {
            // SAFETY: `read_into` writes into it, and nothing else.
            let read = io.read_into(unsafe { buf.chunk_mut().as_uninit_slice_mut() })?;
            // SAFETY: the contract of `read_into`.
            unsafe { buf.advance_mut(read) };
            Ok(read)
        })
    }

    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, |io| io.write_from(buf))
    }

    pub(crate) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, |io| write_vectored(io, bufs))
    }
}

/// The number of slices that every system takes in one call.
const IOV_MAX: usize = 1024;

fn write_vectored<T: Bytes>(io: &T, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::io::writev(io, &bufs[..bufs.len().min(IOV_MAX)])?)
}
