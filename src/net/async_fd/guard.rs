//! What a wait for an [`AsyncFd`] gives: the readiness, and the means to take it back.

use super::AsyncFd;
use crate::reactor::{Ready, ReadyEvent};
use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

/// A descriptor was ready. Says what for, and runs operations on it.
#[must_use = "run an operation by `try_io`, or say that it was used up by `clear_ready`"]
pub struct AsyncFdReadyGuard<'a, T: AsRawFd> {
    pub(super) async_fd: &'a AsyncFd<T>,
    pub(super) event: Option<ReadyEvent>,
}

/// As [`AsyncFdReadyGuard`], with the inner value by `&mut`.
#[must_use = "run an operation by `try_io`, or say that it was used up by `clear_ready`"]
pub struct AsyncFdReadyMutGuard<'a, T: AsRawFd> {
    pub(super) async_fd: &'a mut AsyncFd<T>,
    pub(super) event: Option<ReadyEvent>,
}

/// What both guards have.
macro_rules! guard_methods {
    ($guard:ident) => {
        impl<T: AsRawFd> $guard<'_, T> {
            /// Says that the descriptor is not ready any more: an operation gave `WouldBlock`.
            ///
            /// Call it only then; otherwise the next wait may never end. Ignored if there has been
            /// an event since this guard was made. The end of a direction stays known.
            pub fn clear_ready(&mut self) {
                if let Some(event) = self.event.take() {
                    self.async_fd.registration.clear_ready(event);
                }
            }

            /// As [`clear_ready`](Self::clear_ready), for the kinds in `ready` alone.
            pub fn clear_ready_matching(&mut self, ready: Ready) {
                if let Some(event) = self.event {
                    self.async_fd.registration.clear_ready(event.only(ready));
                    self.event = Some(event.only(Ready::ALL - ready));
                }
            }

            /// Says that the descriptor may be ready still. It does nothing.
            pub fn retain_ready(&mut self) {}

            /// What the descriptor was ready for, of what was waited for, and is not cleared.
            pub fn ready(&self) -> Ready {
                self.event.map_or(Ready::EMPTY, |event| event.ready())
            }

            fn settle<R>(&mut self, result: io::Result<R>) -> Result<io::Result<R>, TryIoError> {
                match result {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if let Some(event) = self.event.take() {
                            self.async_fd.registration.would_block(event);
                        }
                        Err(TryIoError(()))
                    }
                    result => Ok(result),
                }
            }
        }

        impl<T: AsRawFd + fmt::Debug> fmt::Debug for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($guard))
                    .field("async_fd", &self.async_fd)
                    .field("ready", &self.ready())
                    .finish()
            }
        }
    };
}

guard_methods!(AsyncFdReadyGuard);
guard_methods!(AsyncFdReadyMutGuard);

impl<'a, T: AsRawFd> AsyncFdReadyGuard<'a, T> {
    /// Runs `f`; if it gives `WouldBlock`, the readiness is forgotten, unless there has been an event
    /// since this guard was made.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] for `WouldBlock`; other errors of `f` are inside.
    pub fn try_io<R>(
        &mut self,
        f: impl FnOnce(&'a AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = f(self.async_fd);
        self.settle(result)
    }

    /// The `AsyncFd`.
    pub fn get_ref(&self) -> &'a AsyncFd<T> {
        self.async_fd
    }

    /// The inner value.
    pub fn get_inner(&self) -> &'a T {
        &self.async_fd.inner
    }
}

impl<T: AsRawFd> AsyncFdReadyMutGuard<'_, T> {
    /// Runs `f`; if it gives `WouldBlock`, the readiness is forgotten, unless there has been an event
    /// since this guard was made.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] for `WouldBlock`; other errors of `f` are inside.
    pub fn try_io<R>(
        &mut self,
        f: impl FnOnce(&mut AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = f(self.async_fd);
        self.settle(result)
    }

    /// The `AsyncFd`.
    pub fn get_ref(&self) -> &AsyncFd<T> {
        self.async_fd
    }

    /// The `AsyncFd`.
    pub fn get_mut(&mut self) -> &mut AsyncFd<T> {
        self.async_fd
    }

    /// The inner value.
    pub fn get_inner(&self) -> &T {
        &self.async_fd.inner
    }

    /// The inner value; its descriptor must stay the same.
    pub fn get_inner_mut(&mut self) -> &mut T {
        &mut self.async_fd.inner
    }
}

/// The operation would block: wait again.
#[derive(Debug)]
pub struct TryIoError(());

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would block")
    }
}

impl Error for TryIoError {}
