//! Noticing that a child has ended, and reaping it.

use super::known::Known;
use super::pidfd;
use crate::primitive::Arc;
use crate::reactor::{Direction, Evented, Interest, Ready, ShutDown};
use crate::scheduler::Shared;
use crate::signal::unix::{Signal, SignalKind, signal};
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::task::{Context, Poll, ready};

/// What tells that a child may have ended.
#[derive(Debug)]
pub(super) enum Exit {
    /// Readable when this child has ended.
    Pidfd(Evented<OwnedFd>),
    /// Comes when some child has ended.
    Signal(Signal),
}

impl Exit {
    /// By pidfd if possible, else by signal. `runtime` is the current one.
    ///
    /// # Errors
    ///
    /// If neither is possible: no descriptors are left, or the runtime is shut down.
    pub(super) fn new(runtime: &Arc<Shared>, pid: u32) -> io::Result<Self> {
        let pidfd = pidfd::open(pid).and_then(|pidfd| {
            let reactor = &runtime.driver.reactor;
            Evented::new(reactor, pidfd, runtime.home(), Interest::READABLE, Ready::EMPTY)
        });
        match pidfd {
            Ok(pidfd) => Ok(Self::Pidfd(pidfd)),
            Err(_) => Self::by_signal(),
        }
    }

    /// By signal.
    ///
    /// # Errors
    ///
    /// As [`signal`].
    pub(super) fn by_signal() -> io::Result<Self> {
        signal(SignalKind::child()).map(Self::Signal)
    }

    /// Waits for the end of the child without reaping it, as far as a descriptor tells it: else for ever. The waker of
    /// the last call, or of [`poll`](Self::poll), is the one that is woken. Also ready when the runtime is shut down.
    #[allow(dead_code)] // only `offload` asks
    pub(super) fn poll_told(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Pidfd(pidfd) => pidfd.registration().poll_read_ready(cx).map(drop),
            Self::Signal(_) => Poll::Pending,
        }
    }

    /// Waits for the end of `child` and reaps it. The waker of the last call is the one that is woken.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down, or somebody else has reaped the child.
    pub(super) fn poll(
        &mut self,
        child: &mut Known,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<ExitStatus>> {
        match self {
            Self::Pidfd(pidfd) => pidfd.registration().poll_io(cx, Direction::Read, || {
                child.try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            }),
            // The listener was made after the child was started: an end before that is found by the
            // first look.
            Self::Signal(signal) => loop {
                if let Some(status) = child.try_wait()? {
                    return Poll::Ready(Ok(status));
                }
                if ready!(signal.poll_raised(cx)).is_none() {
                    let text = "the runtime that waited for this child is shut down";
                    return Poll::Ready(Err(io::Error::other(ShutDown(text))));
                }
            },
        }
    }
}
