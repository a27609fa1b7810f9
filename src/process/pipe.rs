//! A child's piped input and output.

use crate::io::{AsyncRead, AsyncWrite, ReadBuf};
use crate::reactor::{Direction, Evented, Interest, Ready};
use crate::task::budget;
use rustix::io::{ioctl_fionbio, read, retry_on_intr, write, writev};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::{self, Stdio};
use std::task::{Context, Poll, ready};

/// Our end of a pipe, which does not block.
#[derive(Debug)]
struct Pipe(Evented<OwnedFd>);

impl Pipe {
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    fn new(fd: OwnedFd, interest: Interest, assumed: Ready) -> io::Result<Self> {
        let runtime = super::command::runtime();
        // Each end of a pipe has a mode of its own: the child's end goes on blocking.
        ioctl_fionbio(&fd, true)?;
        Evented::new(&runtime.driver.reactor, fd, runtime.home(), interest, assumed).map(Self)
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let unit = ready!(budget::poll_proceed(cx));
        let filled = ready!(self.0.registration().poll_io(cx, Direction::Read, || {
            // SAFETY: what is written there are initialized bytes, by the kernel.
            let unfilled = unsafe { buf.unfilled_mut() };
            let fd = self.0.get_ref();
            Ok(retry_on_intr(|| read(fd, &mut *unfilled).map(|(filled, _)| filled.len()))?)
        }))?;
        unit.made_progress();
        // SAFETY: `read` has filled so many bytes.
        unsafe { buf.assume_init(filled) };
        buf.advance(filled);
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let unit = ready!(budget::poll_proceed(cx));
        let written =
            ready!(self.0.registration().poll_io(cx, Direction::Write, || {
                Ok(retry_on_intr(|| write(self.0.get_ref()))?)
            }));
        unit.made_progress();
        Poll::Ready(written)
    }

    fn into_fd(self) -> io::Result<OwnedFd> {
        let fd = self.0.into_inner();
        ioctl_fionbio(&fd, false)?;
        Ok(fd)
    }
}

/// The input of a child, which we write.
///
/// Dropping it ends the child's input; `shutdown` only says that nothing is buffered here.
#[derive(Debug)]
pub struct ChildStdin(Pipe);

/// The output of a child, which we read.
#[derive(Debug)]
pub struct ChildStdout(Pipe);

/// The error output of a child, which we read.
#[derive(Debug)]
pub struct ChildStderr(Pipe);

macro_rules! end {
    ($name:ident, $interest:ident, $assumed:ident) => {
        impl $name {
            /// Takes std's end of the pipe, and sets it to non-blocking.
            ///
            /// # Errors
            ///
            /// If there are no descriptors left, or the runtime is shut down.
            ///
            /// # Panics
            ///
            /// Outside a runtime.
            #[track_caller]
            pub fn from_std(inner: process::$name) -> io::Result<Self> {
                Pipe::new(inner.into(), Interest::$interest, Ready::$assumed).map(Self)
            }

            /// Gives the descriptor back, set to blocking.
            ///
            /// # Errors
            ///
            /// If the mode cannot be set.
            pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                self.0.into_fd()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.0.get_ref().as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.0.get_ref().as_raw_fd()
            }
        }

        /// For another child's standard stream.
        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            fn try_from(end: $name) -> io::Result<Stdio> {
                end.into_owned_fd().map(Stdio::from)
            }
        }
    };
}

end!(ChildStdin, WRITABLE, WRITABLE);
end!(ChildStdout, READABLE, EMPTY);
end!(ChildStderr, READABLE, EMPTY);

macro_rules! reads {
    ($($name:ident)*) => { $(
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.0.poll_read(cx, buf)
            }
        }
    )* };
}

reads!(ChildStdout ChildStderr);

impl AsyncWrite for ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, |fd| write(fd, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, |fd| writev(fd, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
