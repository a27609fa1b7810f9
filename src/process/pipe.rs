//! A child's piped input and output: our ends of pipes, by their roles.

use crate::io::{AsyncRead, AsyncWrite, ReadBuf};
use crate::net::unix::pipe::{Receiver, Sender};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::{self, Stdio};
use std::task::{Context, Poll};

/// The input of a child, which we write.
///
/// Dropping it ends the child's input; `shutdown` only says that nothing is buffered here.
#[derive(Debug)]
pub struct ChildStdin(Sender);

/// The output of a child, which we read.
#[derive(Debug)]
pub struct ChildStdout(Receiver);

/// The error output of a child, which we read.
#[derive(Debug)]
pub struct ChildStderr(Receiver);

macro_rules! end {
    ($name:ident, $end:ident) => {
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
                let fd = OwnedFd::from(inner);
                // Each end of a pipe has a mode of its own: the child's end goes on blocking.
                rustix::io::ioctl_fionbio(&fd, true)?;
                $end::from_owned_fd_unchecked(fd).map(Self)
            }

            /// Gives the descriptor back, set to blocking.
            ///
            /// # Errors
            ///
            /// If the mode cannot be set.
            pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                self.0.into_blocking_fd()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
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

end!(ChildStdin, Sender);
end!(ChildStdout, Receiver);
end!(ChildStderr, Receiver);

macro_rules! reads {
    ($($name:ident)*) => { $(
        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_read(cx, buf)
            }
        }
    )* };
}

reads!(ChildStdout ChildStderr);

impl AsyncWrite for ChildStdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
