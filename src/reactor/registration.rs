//! A descriptor's stay in the reactor, and the ways to wait for it.

use super::readiness::Readiness;
use super::slab::{SLOTS, Slot};
use super::source::{Direction, Source, Wait};
use super::word::{ReadyEvent, Snapshot, Watched};
use super::{Interest, Ready, shut_down_error};
use crate::primitive::poll::{SHORT_TRANSFER_DRAINS, Watch};
use crate::util::note::{self, WaitKind};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::task::{Context, Poll, ready};

/// A registered descriptor. Dropping it ends the registration, also after the runtime is gone.
///
/// Wakers: [`poll_read_ready`](Self::poll_read_ready), [`poll_write_ready`](Self::poll_write_ready)
/// and [`poll_io`](Self::poll_io) keep one a direction, that of the last call; any number of tasks
/// may use [`readiness`](Self::readiness), and [`try_io`](Self::try_io) after it.
#[derive(Debug)]
pub(crate) struct Registration {
    slot: Slot,
    generation: u32,
    /// Open as long as this registration: the contract of `Reactor::register`.
    fd: RawFd,
    /// Whether the poller knows `fd` by us.
    added: bool,
}

impl Registration {
    /// # Safety
    ///
    /// `fd` stays open, and the same file, until the registration is dropped.
    pub(super) unsafe fn open(
        slot: Slot,
        fd: BorrowedFd<'_>,
        interest: Interest,
        assumed: Ready,
    ) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let watched = Watched::of(interest.mask());
        let generation = slot.source().word().open(assumed, watched).generation();
        let mut this = Self { slot, generation, fd: fd.as_raw_fd(), added: false };
        // SAFETY: the caller keeps `fd` open until our drop, which deletes it.
        unsafe { this.slot.poller().add(fd, this.key(), watch(watched)) }.map_err(explain)?;
        this.added = true;
        Ok(this)
    }

    pub(super) fn source(&self) -> &Source {
        self.slot.source()
    }

    fn key(&self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot.number())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the contract of `open`.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    /// Waits for input. The waker of the last call is the one that is woken.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.poll_slot(Direction::Read, None, cx)
    }

    /// Waits for room for output. The waker of the last call is the one that is woken.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.poll_slot(Direction::Write, None, cx)
    }

    /// Runs `operation` when `direction` is ready, until it gives something else than `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Those of `operation`, and that the runtime is shut down.
    #[inline]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let mut seen = ready!(self.poll_slot(direction, None, cx))?;
        loop {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    seen = ready!(self.poll_slot(direction, Some(seen), cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// As [`poll_io`](Self::poll_io), for an operation that moves bytes: one that moved some, but
    /// fewer than `wanted`, would block next, which is noted without asking. With `wanted` 0 nothing
    /// is concluded.
    #[inline]
    pub(crate) fn poll_transfer(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        mut operation: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut seen = ready!(self.poll_slot(direction, None, cx))?;
        loop {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    seen = ready!(self.poll_slot(direction, Some(seen), cx))?;
                }
                Ok(moved) if 0 < moved && moved < wanted => {
                    self.drained(seen);
                    return Poll::Ready(Ok(moved));
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Runs `operation` now, if there is readiness for `interest`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; else those of `operation`. When that is `WouldBlock`, the
    /// readiness is cleared: `operation` must have asked the descriptor.
    pub(crate) fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let seen = self.source().word().load().event(interest.mask());
        if seen.ready().is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation();
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.source().word().clear(seen);
        }
        result
    }

    /// Whether there is readiness for `interest`, and the runtime is not shut down: no reason to wait.
    #[inline]
    pub(crate) fn is_ready(&self, interest: Interest) -> bool {
        let settled = self.source().word().load().settled(interest.mask());
        matches!(settled, Some(Wait::Ready(_)))
    }

    /// Waits for `interest`. Any number of tasks may wait.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: readiness stays until an operation finds it used up.
    pub(crate) fn readiness(&self, interest: Interest) -> Readiness<'_> {
        Readiness::new(self, interest)
    }

    /// Says that what was `seen` is used up. Ignored if there has been an event since. The end of a
    /// direction stays known; only an operation's `WouldBlock` disproves it.
    pub(crate) fn clear_ready(&self, seen: ReadyEvent) {
        self.source().word().clear(seen.without_closed());
    }

    /// Says that an operation after `seen` gave `WouldBlock`: nothing of it holds, not even the end of
    /// a direction. Ignored if there has been an event since.
    pub(crate) fn would_block(&self, seen: ReadyEvent) {
        self.source().word().clear(seen);
    }

    /// Says that an operation after `seen` moved some bytes, but fewer than asked for: the next one
    /// would block, where that can be known, and is not tried.
    ///
    /// For stream sockets and pipes.
    #[inline]
    pub(crate) fn drained(&self, seen: ReadyEvent) {
        if SHORT_TRANSFER_DRAINS {
            self.source().word().drained(seen);
        }
    }

    #[inline]
    fn poll_slot(
        &self,
        direction: Direction,
        seen: Option<ReadyEvent>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<ReadyEvent>> {
        match self.source().poll_slot(direction, seen, cx) {
            Wait::Ready(event) => Poll::Ready(Ok(event)),
            wait => self.settle(wait, direction.mask()),
        }
    }

    /// What a wait for `mask` comes to for the caller. Before it answers `Pending` it sees to it
    /// that the poller reports what is waited for.
    pub(super) fn settle(&self, wait: Wait, mask: Ready) -> Poll<io::Result<ReadyEvent>> {
        match wait {
            Wait::Ready(event) => Poll::Ready(Ok(event)),
            Wait::ShutDown => Poll::Ready(Err(shut_down_error())),
            Wait::Pending(now) => match self.watch(now, Watched::of(mask)) {
                Ok(()) => {
                    let input = mask.is_readable() || mask.is_priority();
                    let kind = if input { WaitKind::Read } else { WaitKind::Write };
                    note::wait(kind, self.fd().as_raw_fd() as u64);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    /// Lets the poller watch for `wanted` too.
    ///
    /// Output is watched from the first wait for it on: watching it from the start would make every
    /// new connection an event that nobody waits for. The poller reports what is ready when the
    /// watch begins, so it does not matter that the waker was left before.
    #[inline]
    fn watch(&self, now: Snapshot, wanted: Watched) -> io::Result<()> {
        if now.watched().contains(wanted) { Ok(()) } else { self.watch_more(wanted) }
    }

    #[cold]
    fn watch_more(&self, wanted: Watched) -> io::Result<()> {
        let tell = |all| self.slot.poller().modify(self.fd(), self.key(), watch(all));
        self.source().watch(wanted, tell)
    }
}

// What a panic interrupts leaves a registration as it was: readiness is only ever a hint.
impl UnwindSafe for Registration {}
impl RefUnwindSafe for Registration {}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.added {
            // An error would mean that the descriptor was closed early; its events are stale anyway.
            let _ = self.slot.poller().delete(self.fd());
        }
        // Then the slot's own drop hands the slot on.
        self.source().close();
    }
}

fn watch(watched: Watched) -> Watch {
    Watch { read: watched.read(), write: watched.write() }
}

/// Gives the poller's refusals a sentence.
fn explain(error: io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            "this descriptor is registered with the runtime already (a duplicate of it, or the \
             socket it was taken from, is still in use)"
        }
        io::ErrorKind::PermissionDenied => {
            "this kind of file cannot be waited for: it is always ready (a regular file, say)"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}

/// The slot and the generation in a key.
pub(super) fn split_key(key: u64) -> (usize, usize, u32) {
    let number = key as u32 as usize;
    (number / SLOTS, number % SLOTS, (key >> 32) as u32)
}

/// A type with one descriptor.
///
/// # Safety
///
/// `as_fd` gives the same descriptor each time, and it is open until the value is dropped or
/// exclusively borrowed.
pub(crate) unsafe trait StableFd: AsFd {}

macro_rules! stable {
    ($($ty:ty),*) => { $(
        // SAFETY: it owns one descriptor and gives it away only with itself.
        unsafe impl StableFd for $ty {}
    )* };
}

stable!(
    OwnedFd,
    std::net::TcpListener,
    std::net::TcpStream,
    std::net::UdpSocket,
    std::os::unix::net::UnixDatagram,
    std::os::unix::net::UnixListener,
    std::os::unix::net::UnixStream
);

/// A registered descriptor and its owner: unregistered, then closed.
///
/// There is no way to the inner value by `&mut`, which could be replaced.
#[derive(Debug)]
pub(crate) struct Evented<T> {
    // In this order: fields are dropped from the first to the last.
    registration: Registration,
    io: T,
}

impl<T: StableFd> Evented<T> {
    /// Registers `io`; see [`Reactor::register`](super::Reactor::register).
    ///
    /// # Errors
    ///
    /// As [`Reactor::register`](super::Reactor::register). `io` is then dropped.
    pub(crate) fn new(
        reactor: &super::Reactor,
        io: T,
        home: usize,
        interest: Interest,
        assumed: Ready,
    ) -> io::Result<Self> {
        // SAFETY: `io` keeps its descriptor open, and is dropped or given away after the registration.
        let registration = unsafe { reactor.register(io.as_fd(), home, interest, assumed)? };
        Ok(Self { registration, io })
    }

    /// The inner value.
    pub(crate) fn get_ref(&self) -> &T {
        &self.io
    }

    /// The registration.
    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Ends the registration and gives the inner value back.
    pub(crate) fn into_inner(self) -> T {
        let Self { registration, io } = self;
        drop(registration);
        io
    }
}
