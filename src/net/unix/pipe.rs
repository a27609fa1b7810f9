//! Pipes, unnamed and named.
//!
//! ```
//! # reiver::runtime::Runtime::new().unwrap().block_on(async {
//! use reiver::io::{AsyncReadExt, AsyncWriteExt};
//! use reiver::net::unix::pipe;
//!
//! let (mut sender, mut receiver) = pipe::pipe()?;
//! sender.write_all(b"hello").await?;
//! drop(sender);
//! let mut text = String::new();
//! receiver.read_to_string(&mut text).await?;
//! assert_eq!(text, "hello");
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```

use crate::net::methods::{
    async_read, async_write, descriptor_traits, poll_read_ready, poll_write_ready,
    try_read_methods, try_write_methods,
};
use crate::net::socket::Socket;
use crate::net::sys;
use crate::reactor::{Direction, Interest, Ready};
use rustix::fs::OFlags;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A new pipe.
///
/// # Errors
///
/// Those of the operating system: no more descriptors.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (read, write) = sys::pipe()?;
    Ok((Sender::register(write)?, Receiver::register(read)?))
}

/// How to open a named pipe (a FIFO).
///
/// Opening does not wait for the other end: a receiver may be opened before there is a sender, and its reads wait
/// until one has come (on Linux; they read an end when all senders are gone again, until the next one writes). A sender
/// without a receiver is refused (`ENXIO`).
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    read_write: bool,
    unchecked: bool,
}

impl OpenOptions {
    /// The usual way.
    pub fn new() -> OpenOptions {
        Self::default()
    }

    /// Opens it for reading and writing, whichever end it becomes: a sender then needs no receiver,
    /// and a receiver never sees the end. Linux and most others can do it; POSIX does not say so.
    pub fn read_write(&mut self, value: bool) -> &mut Self {
        self.read_write = value;
        self
    }

    /// Does not check that the file is a pipe.
    pub fn unchecked(&mut self, value: bool) -> &mut Self {
        self.unchecked = value;
        self
    }

    /// Opens the end to read from.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no pipe, among those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn open_receiver<P: AsRef<Path>>(&self, path: P) -> io::Result<Receiver> {
        Receiver::register(self.open(path.as_ref(), true, self.read_write)?)
    }

    /// Opens the end to write to.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no pipe; `ENXIO` if nobody reads; among those of the operating system.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn open_sender<P: AsRef<Path>>(&self, path: P) -> io::Result<Sender> {
        Sender::register(self.open(path.as_ref(), self.read_write, true)?)
    }

    fn open(&self, path: &Path, read: bool, write: bool) -> io::Result<OwnedFd> {
        let flags = OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(read).write(write).custom_flags(flags).open(path)?;
        if self.unchecked { Ok(file.into()) } else { must_be_pipe(file) }
    }
}

/// Checks the kind of a file.
fn must_be_pipe(file: File) -> io::Result<OwnedFd> {
    if file.metadata()?.file_type().is_fifo() {
        return Ok(file.into());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is no pipe"))
}

/// Checks that `fd` is an end of a pipe that is not open for `wrong` alone, and makes it nonblocking.
fn checked(fd: OwnedFd, wrong: OFlags, sentence: &str) -> io::Result<OwnedFd> {
    let fd = must_be_pipe(fd.into())?;
    if rustix::fs::fcntl_getfl(&fd)? & OFlags::RWMODE == wrong {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
    }
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// The end of a pipe to write to.
///
/// A write to a pipe that nobody reads any more gives `BrokenPipe`.
pub struct Sender(Socket<OwnedFd>);

/// The end of a pipe to read from.
///
/// The end of input comes when the last sender is closed; for a named pipe it is no final state,
/// since another sender may come.
pub struct Receiver(Socket<OwnedFd>);

impl Sender {
    #[track_caller]
    fn register(fd: OwnedFd) -> io::Result<Sender> {
        Socket::new(fd, Interest::WRITABLE, Ready::WRITABLE).map(Self)
    }

    poll_write_ready!(poll_write_ready);
    try_write_methods!(self => self.0);

    /// Waits for room, or for the end of all readers. Any number of tasks may wait.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn writable(&self) -> io::Result<()> {
        self.0.ready(Interest::WRITABLE).await.map(drop)
    }
}

impl Receiver {
    #[track_caller]
    fn register(fd: OwnedFd) -> io::Result<Receiver> {
        Socket::new(fd, Interest::READABLE, Ready::EMPTY).map(Self)
    }

    poll_read_ready!(poll_read_ready);
    try_read_methods!(self => self.0);

    /// Waits for input, or its end. Any number of tasks may wait.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.ready(Interest::READABLE).await.map(drop)
    }
}

/// What both ends have.
macro_rules! ends {
    ($ty:ident, $interest:expr, $wrong:expr, $sentence:expr) => {
        impl $ty {
            /// Takes this end of a pipe, and makes it nonblocking.
            ///
            /// # Errors
            ///
            /// `InvalidInput` if it is no pipe or the other end; among those of the operating system.
            ///
            /// # Panics
            ///
            /// Outside a runtime.
            #[track_caller]
            pub fn from_owned_fd(fd: OwnedFd) -> io::Result<$ty> {
                Self::register(checked(fd, $wrong, $sentence)?)
            }

            /// As [`from_owned_fd`](Self::from_owned_fd), for a `File`.
            ///
            /// # Errors
            ///
            /// As [`from_owned_fd`](Self::from_owned_fd).
            ///
            /// # Panics
            ///
            /// Outside a runtime.
            #[track_caller]
            pub fn from_file(file: File) -> io::Result<$ty> {
                Self::from_owned_fd(file.into())
            }

            /// As [`from_owned_fd`](Self::from_owned_fd), without a check: it may be any descriptor
            /// that can be waited for and is in nonblocking mode.
            ///
            /// # Errors
            ///
            /// Those of the operating system.
            ///
            /// # Panics
            ///
            /// Outside a runtime.
            #[track_caller]
            pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<$ty> {
                Self::register(fd)
            }

            /// As [`from_owned_fd_unchecked`](Self::from_owned_fd_unchecked), for a `File`.
            ///
            /// # Errors
            ///
            /// Those of the operating system.
            ///
            /// # Panics
            ///
            /// Outside a runtime.
            #[track_caller]
            pub fn from_file_unchecked(file: File) -> io::Result<$ty> {
                Self::register(file.into())
            }

            /// The descriptor, in blocking mode: for a child process, say.
            ///
            /// # Errors
            ///
            /// Those of the operating system.
            pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
                let fd = self.0.into_inner();
                rustix::io::ioctl_fionbio(&fd, false)?;
                Ok(fd)
            }

            /// The descriptor, in nonblocking mode.
            ///
            /// # Errors
            ///
            /// None today; the signature is tokio's.
            pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
                Ok(self.0.into_inner())
            }

            /// Waits for any of `interest`, and says what there is.
            ///
            /// # Errors
            ///
            /// If the runtime is shut down.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses nothing.
            pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
                self.0.ready(interest).await
            }

            /// Runs `f`, an operation on this descriptor that does not block, if it is ready. `f`
            /// returns `WouldBlock` only if the operating system said so.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if it is not ready, and those of `f`.
            pub fn try_io<R>(&self, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
                self.0.try_io($interest, |_| f())
            }
        }

        descriptor_traits!($ty);
    };
}

ends!(Sender, Interest::WRITABLE, OFlags::RDONLY, "the pipe is not open for writing");
ends!(Receiver, Interest::READABLE, OFlags::WRONLY, "the pipe is not open for reading");

async_write!(Sender, self => self.0, Ok(()));
async_read!(Receiver, self => self.0);
