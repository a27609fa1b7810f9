//! Any descriptor in the reactor: what programs find as [`reiver::io::unix`](crate::io::unix).

mod guard;

pub use guard::{AsyncFdReadyGuard, AsyncFdReadyMutGuard, TryIoError};

use crate::reactor::{Interest, Ready, ReadyEvent, Registration};
use crate::runtime::in_runtime;
use crate::task::budget;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

/// Waits for a descriptor that some other library owns: a device, an eventfd, a raw socket.
///
/// The descriptor must be in nonblocking mode, and of a kind that can be waited for: not a regular
/// file. It is registered once. Readiness is remembered until an operation finds it used up and says
/// so: run operations by [`async_io`](Self::async_io), [`try_io`](Self::try_io) or the `try_io` of a
/// guard, which do that. Any number of tasks may wait by the `async` methods; the `poll_*` methods
/// keep one waker a direction, that of the last call.
///
/// `T` gives the same open descriptor as long as it is in here, also when it is changed through
/// [`get_mut`](Self::get_mut). Otherwise waits may never end, and dropping the `AsyncFd` may end the
/// registration of whoever has that number by then.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::io::{Interest, unix::AsyncFd};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// let (receiver, mut sender) = UnixStream::pair()?;
/// receiver.set_nonblocking(true)?;
/// let receiver = AsyncFd::new(receiver)?;
/// sender.write_all(b"hello")?;
/// let mut buf = [0; 16];
/// let len = receiver.async_io(Interest::READABLE, |mut fd| fd.read(&mut buf)).await?;
/// assert_eq!(&buf[..len], b"hello");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct AsyncFd<T: AsRawFd> {
    // In this order: the registration ends before the descriptor is closed.
    registration: Registration,
    inner: T,
}

impl<T: AsRawFd> AsyncFd<T> {
    /// Registers the descriptor of `inner` for both directions.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if this descriptor is registered, `PermissionDenied` if it cannot be waited
    /// for; among those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        Self::try_new(inner).map_err(io::Error::from)
    }

    /// As [`new`](Self::new), watched for `interest` from the start. The other direction is watched
    /// from the first wait for it on.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        Self::try_with_interest(inner, interest).map_err(io::Error::from)
    }

    /// As [`new`](Self::new); the error gives `inner` back.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn try_new(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_with_interest(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// As [`with_interest`](Self::with_interest); the error gives `inner` back.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn try_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        match register(inner.as_raw_fd(), interest) {
            Ok(registration) => Ok(Self { registration, inner }),
            Err(cause) => Err(AsyncFdRegisterError { inner, cause }),
        }
    }

    /// As [`try_new`](Self::try_new), under the name for those who promise what it does not ask for.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Safety
    ///
    /// tokio's: the descriptor stays open and the same while it is in here. Here nothing becomes unsound
    /// without it.
    #[track_caller]
    pub unsafe fn register(inner: T) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_new(inner)
    }

    /// As [`try_with_interest`](Self::try_with_interest); see [`register`](Self::register).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Safety
    ///
    /// As [`register`](Self::register).
    #[track_caller]
    pub unsafe fn register_with_interest(
        inner: T,
        interest: Interest,
    ) -> Result<Self, AsyncFdRegisterError<T>> {
        Self::try_with_interest(inner, interest)
    }

    /// The inner value.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The inner value; its descriptor must stay the same.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Ends the registration and gives the inner value back.
    pub fn into_inner(self) -> T {
        let Self { registration, inner } = self;
        drop(registration);
        inner
    }

    /// Waits for any of `interest`.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        let event = wait(&self.registration, interest).await?;
        Ok(AsyncFdReadyGuard { async_fd: self, event: Some(event) })
    }

    /// As [`ready`](Self::ready), with a guard that allows to change the inner value.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        let event = wait(&self.registration, interest).await?;
        Ok(AsyncFdReadyMutGuard { async_fd: self, event: Some(event) })
    }

    /// Runs `f` now, if there is readiness for `interest`.
    ///
    /// `f` returns `WouldBlock` only if the operating system said so: the readiness is then
    /// forgotten.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no readiness, and those of `f`.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.try_io(interest, || f(&self.inner))
    }

    /// As [`try_io`](Self::try_io), with the inner value by `&mut`.
    ///
    /// # Errors
    ///
    /// As [`try_io`](Self::try_io).
    pub fn try_io_mut<R>(
        &mut self,
        interest: Interest,
        f: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let Self { registration, inner } = self;
        registration.try_io(interest, || f(inner))
    }

    /// Runs `f` as [`try_io`](Self::try_io) does, each time there is readiness, until it gives
    /// something else than `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Those of `f`, and that the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, `f` has given nothing but `WouldBlock`.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            wait(&self.registration, interest).await?;
            match self.try_io(interest, &mut f) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// As [`async_io`](Self::async_io), with the inner value by `&mut`.
    ///
    /// # Errors
    ///
    /// As [`async_io`](Self::async_io).
    ///
    /// # Cancel safety
    ///
    /// As [`async_io`](Self::async_io).
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        mut f: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            wait(&self.registration, interest).await?;
            match self.try_io_mut(interest, &mut f) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

/// The waits for one direction.
macro_rules! waits {
    ($interest:expr, $poll:ident, $name:ident, $name_mut:ident, $poll_name:ident, $poll_name_mut:ident) => {
        impl<T: AsRawFd> AsyncFd<T> {
            /// As [`ready`](Self::ready), for this direction.
            ///
            /// # Errors
            ///
            /// If the runtime is shut down.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses nothing.
            pub async fn $name(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
                self.ready($interest).await
            }

            /// As [`ready_mut`](Self::ready_mut), for this direction.
            ///
            /// # Errors
            ///
            /// If the runtime is shut down.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses nothing.
            pub async fn $name_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
                self.ready_mut($interest).await
            }

            /// Waits for this direction. The waker of the last call is the one that is woken.
            ///
            /// # Errors
            ///
            /// If the runtime is shut down.
            pub fn $poll_name<'a>(
                &'a self,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<AsyncFdReadyGuard<'a, T>>> {
                let unit = ready!(budget::poll_proceed(cx));
                let event = ready!(self.registration.$poll(cx));
                unit.made_progress();
                Poll::Ready(
                    event.map(|event| AsyncFdReadyGuard { async_fd: self, event: Some(event) }),
                )
            }

            /// As the method of this name without `_mut`, with a guard that allows to change the
            /// inner value.
            ///
            /// # Errors
            ///
            /// If the runtime is shut down.
            pub fn $poll_name_mut<'a>(
                &'a mut self,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<AsyncFdReadyMutGuard<'a, T>>> {
                let unit = ready!(budget::poll_proceed(cx));
                let event = ready!(self.registration.$poll(cx));
                unit.made_progress();
                Poll::Ready(
                    event.map(|event| AsyncFdReadyMutGuard { async_fd: self, event: Some(event) }),
                )
            }
        }
    };
}

waits!(
    Interest::READABLE,
    poll_read_ready,
    readable,
    readable_mut,
    poll_read_ready,
    poll_read_ready_mut
);
waits!(
    Interest::WRITABLE,
    poll_write_ready,
    writable,
    writable_mut,
    poll_write_ready,
    poll_write_ready_mut
);

#[track_caller]
fn register(fd: RawFd, interest: Interest) -> io::Result<Registration> {
    if fd < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    in_runtime(|runtime| {
        let reactor = &runtime.driver.reactor;
        // SAFETY: `AsyncFd` keeps the owner of `fd`, and asks for the same descriptor all the time.
        // Safe code can break that, as it can with any `RawFd`; the reactor then asks the system
        // about a number that is closed or another file's, which gives an error or one event too
        // many, and no access to memory.
        unsafe {
            let fd = BorrowedFd::borrow_raw(fd);
            reactor.register(fd, runtime.home(), interest, Ready::EMPTY)
        }
    })
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl<T: AsRawFd + AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("inner", &self.inner).finish()
    }
}

/// The descriptor could not be registered. Has the value that owns it.
pub struct AsyncFdRegisterError<T> {
    inner: T,
    cause: io::Error,
}

impl<T> AsyncFdRegisterError<T> {
    /// The value, and why.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.inner, self.cause)
    }
}

impl<T> fmt::Display for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T> fmt::Debug for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T> Error for AsyncFdRegisterError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T> From<AsyncFdRegisterError<T>> for io::Error {
    fn from(error: AsyncFdRegisterError<T>) -> Self {
        error.cause
    }
}

/// Not a method: a future that borrows the whole is `Send` only where others may look at what is inside.
async fn wait(registration: &Registration, interest: Interest) -> io::Result<ReadyEvent> {
    let event = registration.readiness(interest).await?;
    poll_fn(budget::poll_proceed).await.made_progress();
    Ok(event)
}
