//! Streams of the `futures-io` family as streams of this one, and back.
//!
//! One wrapper serves both ways, since the two families are different traits. A seek is one call
//! there and two calls here, so the wrapper remembers the position between them.

use futures_io as theirs;
use pin_project_lite::pin_project;
use std::io::{IoSlice, IoSliceMut, Result, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io as ours;

pin_project! {
    /// Gives a stream the I/O traits of the other family.
    ///
    /// Around a type with the traits of `futures-io`, it has those of [`io`](crate::io); around a
    /// type with the traits of [`io`](crate::io), it has those of `futures-io`. Their `close` is our
    /// `shutdown`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is buffered: each operation is as cancel safe as that of the inner stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// # let mut main = std::pin::pin!(async {
    /// use reiver::io::{AsyncReadExt, compat::Compat};
    ///
    /// // `Cursor` has the traits of both families; this one goes there and comes back.
    /// let there = Compat::new(std::io::Cursor::new("text"));
    /// let mut back = Compat::new(there);
    /// let mut text = String::new();
    /// back.read_to_string(&mut text).await?;
    /// assert_eq!(text, "text");
    /// # reiver::io::Result::Ok(())
    /// # });
    /// # assert!(std::future::Future::poll(main.as_mut(), &mut cx).is_ready());
    /// ```
    #[derive(Debug)]
    pub struct Compat<T> {
        #[pin]
        inner: T,
        // A seek that was asked for and is not complete.
        seek: Option<SeekFrom>,
    }
}

impl<T> Compat<T> {
    /// Wraps a stream of either family.
    pub fn new(inner: T) -> Self {
        Self { inner, seek: None }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream inside.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Unwraps the stream.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: theirs::AsyncRead> ours::AsyncRead for Compat<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ours::ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        // Their trait reads into initialized memory only.
        let n = ready!(self.project().inner.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<T: ours::AsyncRead> theirs::AsyncRead for Compat<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        let mut buf = ours::ReadBuf::new(buf);
        ready!(self.project().inner.poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<Result<usize>> {
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => theirs::AsyncRead::poll_read(self, cx, buf),
            None => theirs::AsyncRead::poll_read(self, cx, &mut []),
        }
    }
}

impl<T: theirs::AsyncBufRead> ours::AsyncBufRead for Compat<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<&[u8]>> {
        self.project().inner.poll_fill_buf(cx)
    }

    fn consume(self: Pin<&mut Self>, amt: usize) {
        self.project().inner.consume(amt);
    }
}

impl<T: ours::AsyncBufRead> theirs::AsyncBufRead for Compat<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<&[u8]>> {
        self.project().inner.poll_fill_buf(cx)
    }

    fn consume(self: Pin<&mut Self>, amt: usize) {
        self.project().inner.consume(amt);
    }
}

impl<T: theirs::AsyncWrite> ours::AsyncWrite for Compat<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_close(cx)
    }
}

impl<T: ours::AsyncWrite> theirs::AsyncWrite for Compat<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

impl<T: theirs::AsyncSeek> ours::AsyncSeek for Compat<T> {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> Result<()> {
        *self.project().seek = Some(to);
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        let this = self.project();
        // Without a seek under way the answer is where the stream stands. A relative seek is asked
        // for again only as long as it is pending, so it moves once.
        let to = this.seek.unwrap_or(SeekFrom::Current(0));
        let result = ready!(this.inner.poll_seek(cx, to));
        *this.seek = None;
        Poll::Ready(result)
    }
}

impl<T: ours::AsyncSeek> theirs::AsyncSeek for Compat<T> {
    fn poll_seek(self: Pin<&mut Self>, cx: &mut Context<'_>, to: SeekFrom) -> Poll<Result<u64>> {
        let mut this = self.project();
        if *this.seek != Some(to) {
            // Another seek may be under way, and a second one before its end is an error.
            ready!(this.inner.as_mut().poll_complete(cx))?;
            this.inner.as_mut().start_seek(to)?;
            *this.seek = Some(to);
        }
        let result = ready!(this.inner.poll_complete(cx));
        *this.seek = None;
        Poll::Ready(result)
    }
}
