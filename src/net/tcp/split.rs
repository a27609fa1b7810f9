//! The halves of a TCP stream.

use super::TcpStream;
use crate::net::methods::{async_read, async_write, try_read_methods, try_write_methods};
use crate::net::split::split_halves;
use crate::primitive::Arc;
use crate::reactor::{Interest, Ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

split_halves!(TcpStream, SocketAddr);

macro_rules! peek {
    ($ty:ty) => {
        impl $ty {
            /// As [`TcpStream::peek`]; for one task at a time.
            ///
            /// # Errors
            ///
            /// As [`TcpStream::peek`].
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses nothing.
            pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.peek(buf).await
            }

            /// As [`TcpStream::poll_peek`].
            ///
            /// # Errors
            ///
            /// As [`TcpStream::peek`].
            pub fn poll_peek(
                &mut self,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<usize>> {
                self.0.poll_peek(cx, buf)
            }
        }
    };
}

peek!(ReadHalf<'_>);
peek!(OwnedReadHalf);
