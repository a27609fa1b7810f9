//! hyper's runtime traits, for servers and clients on reiver (feature `hyper`).
//!
//! ```ignore
//! let (stream, _) = listener.accept().await?;
//! hyper::server::conn::http1::Builder::new()
//!     .timer(HyperTimer::new())
//!     .serve_connection(HyperIo::new(stream), service)
//!     .await?;
//! ```
//!
//! `examples/service.rs` is a whole service. HTTP/2 needs [`HyperExecutor`] too.

use crate::io::{AsyncRead, AsyncWrite, ReadBuf};
use crate::runtime::Handle;
use crate::time::{Instant, Sleep, sleep, sleep_until};
use ::hyper::rt::{self, Executor, ReadBufCursor, Timer};
use pin_project_lite::pin_project;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Spawns hyper's background futures, on the current runtime or [on one](Self::on) that is given.
#[derive(Debug, Clone, Default)]
pub struct HyperExecutor(Option<Handle>);

impl HyperExecutor {
    /// An executor that spawns on the runtime in whose context it is asked.
    pub fn new() -> Self {
        Self(None)
    }

    /// An executor that spawns on that runtime, wherever it is asked.
    pub fn on(handle: Handle) -> Self {
        Self(Some(handle))
    }
}

impl<F> Executor<F> for HyperExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        match &self.0 {
            Some(handle) => drop(handle.spawn(future)),
            None => drop(crate::tasks::spawn(future)),
        }
    }
}

/// Gives hyper reiver's timers: those of the runtime in whose context they are polled, or
/// [of one](Self::on) that is given.
#[derive(Debug, Clone, Default)]
pub struct HyperTimer(Option<Handle>);

impl HyperTimer {
    /// Timers of the current runtime.
    pub fn new() -> Self {
        Self(None)
    }

    /// Timers of that runtime, under any executor.
    pub fn on(handle: Handle) -> Self {
        Self(Some(handle))
    }

    /// In the context of its runtime, whose clock may be a test's.
    fn entered<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.0.as_ref().map(Handle::enter);
        f()
    }

    fn boxed(&self, sleep: Sleep) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(HyperSleep { sleep, home: self.clone() })
    }
}

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.boxed(self.entered(|| sleep(duration)))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.boxed(sleep_until(deadline.into()))
    }

    fn now(&self) -> std::time::Instant {
        self.entered(Instant::now).into_std()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: std::time::Instant) {
        match sleep.as_mut().downcast_mut_pin::<HyperSleep>() {
            Some(sleep) => self.entered(|| sleep.project().sleep.reset(deadline.into())),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

pin_project! {
    struct HyperSleep {
        #[pin]
        sleep: Sleep,
        home: HyperTimer,
    }
}

impl Future for HyperSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.home.entered(|| this.sleep.poll(cx))
    }
}

impl rt::Sleep for HyperSleep {}

pin_project! {
    /// A stream of ours (or of any crate that implements `AsyncRead` and `AsyncWrite`) as hyper's, and
    /// the other way round.
    #[derive(Debug)]
    pub struct HyperIo<T> {
        #[pin]
        inner: T,
    }
}

impl<T> HyperIo<T> {
    /// Wraps a stream.
    pub fn new(inner: T) -> Self {
        Self { inner }
    }

    /// The stream.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The stream.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The stream.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> rt::Read for HyperIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: the memory is only handed on as uninitialised; nothing is read from it here, and
        // what `AsyncRead` implementations write stays written.
        let memory = unsafe { cursor.as_mut() };
        let start = memory.as_ptr();
        let mut buffer = ReadBuf::uninit(memory);
        ready!(self.project().inner.poll_read(cx, &mut buffer))?;
        let filled = buffer.filled();
        assert!(std::ptr::eq(filled.as_ptr(), start.cast()), "a reader has exchanged its buffer");
        let filled = filled.len();
        // SAFETY: `ReadBuf` says that this many bytes are initialised, and it is still the one of this memory.
        unsafe { cursor.advance(filled) };
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite> rt::Write for HyperIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, buffers)
    }
}

impl<T: rt::Read> AsyncRead for HyperIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: hyper's buffer only ever writes to the memory.
        let mut inner = rt::ReadBuf::uninit(unsafe { buffer.unfilled_mut() });
        ready!(self.project().inner.poll_read(cx, inner.unfilled()))?;
        let filled = inner.filled().len();
        // SAFETY: hyper's buffer says that this many bytes are initialised.
        unsafe { buffer.assume_init(filled) };
        buffer.advance(filled);
        Poll::Ready(Ok(()))
    }
}

impl<T: rt::Write> AsyncWrite for HyperIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::hyper::rt::Read;
    use std::mem::MaybeUninit;
    use std::task::Waker;

    /// Puts other memory in the place of the buffer's, which safe code may do.
    struct Exchanges;

    impl AsyncRead for Exchanges {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            /// Where leaks are looked for, it is none.
            static KEPT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
            let memory = Box::leak(Box::new([1; 8]));
            let _ = KEPT.set(memory.as_ptr().expose_provenance());
            *buffer = ReadBuf::new(memory);
            buffer.set_filled(8);
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    #[should_panic(expected = "exchanged its buffer")]
    fn memory_that_nobody_has_written_is_not_read() {
        let mut memory = [MaybeUninit::uninit(); 8];
        let mut buffer = rt::ReadBuf::uninit(&mut memory);
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut HyperIo::new(Exchanges)).poll_read(&mut cx, buffer.unfilled());
    }
}
