//! A pipe in memory that reads and writes less than it could, when the simulation says so.

use crate::primitive::explore;
use crate::task::budget;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// One end of a [`duplex`] pipe.
pub struct Pipe(DuplexStream);

/// Two ends of a connection in memory, with room for `room` bytes each way: what stands for a
/// connection in a simulation or model, for code that takes any stream. (In simulations on Linux, `TcpListener` and
/// `TcpStream` work too.)
///
/// Like one, it may take and give fewer bytes at a time than there are: the simulation decides. When one
/// end is dropped, the other reads the rest, then the end of the stream, and its writes fail.
///
/// # Examples
///
/// ```ignore
/// // In a crate with the feature `model`:
/// use reiver::io::{AsyncReadExt, AsyncWriteExt};
///
/// #[reiver::sim]
/// async fn a_message_arrives_whole() {
///     let (mut client, mut server) = reiver::sim::duplex(64);
///     reiver::spawn(async move { client.write_all(b"hello").await });
///     let mut text = String::new();
///     server.read_to_string(&mut text).await.unwrap();
///     assert_eq!(text, "hello");
/// }
/// ```
pub fn duplex(room: usize) -> (Pipe, Pipe) {
    let (one, other) = tokio::io::duplex(room);
    (Pipe(one), Pipe(other))
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // As sockets do: here a task may be told to give way.
        let unit = ready!(budget::poll_proceed(cx));
        let room = buf.remaining();
        let mut some = buf.take(explore::short(room));
        let result = Pin::new(&mut self.0).poll_read(cx, &mut some);
        let (got, initialized) = (some.filled().len(), some.initialized().len());
        // SAFETY: `some` is the beginning of the unfilled part, and says how much of it is initialized.
        unsafe { buf.assume_init(initialized) };
        buf.advance(got);
        if result.is_ready() {
            unit.made_progress();
        }
        result
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let unit = ready!(budget::poll_proceed(cx));
        let result = Pin::new(&mut self.0).poll_write(cx, &buf[..explore::short(buf.len())]);
        if result.is_ready() {
            unit.made_progress();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipe")
    }
}
