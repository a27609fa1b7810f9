//! A future that finds its runtime wherever it is polled.

use super::Handle;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// A future that is polled in a runtime's context. Made by [`Handle::wrap`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Within<F> {
        handle: Handle,
        #[pin]
        future: F,
    }
}

impl Handle {
    /// A future in which this is the current runtime, whoever polls it: another executor, another runtime, a thread
    /// of one's own. Its timers, sockets and spawned tasks are this runtime's.
    ///
    /// # Cancel safety
    ///
    /// That of the future. It is dropped where the wrapped one is, without the context.
    ///
    /// Source: `RuntimeExt::wrap` of tokio-util.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::time::{Duration, sleep, timeout};
    ///
    /// let runtime = reiver::runtime::Runtime::new()?;
    /// let nap = runtime.handle().wrap(sleep(Duration::from_millis(1)));
    /// let limited = runtime.handle().wrap(timeout(Duration::from_secs(9), async { 7 }));
    /// // This executor knows nothing of timers.
    /// futures_util::future::FutureExt::now_or_never(async { assert_eq!(limited.await, Ok(7)) }).unwrap();
    /// # use std::pin::pin; use std::task::*; use std::future::Future;
    /// # struct Unpark(std::thread::Thread);
    /// # impl Wake for Unpark { fn wake(self: std::sync::Arc<Self>) { self.0.unpark() } }
    /// # let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// # let mut nap = pin!(nap);
    /// # while nap.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() { std::thread::park() }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wrap<F: Future>(&self, future: F) -> Within<F> {
        Within { handle: self.clone(), future }
    }
}

impl<F> Within<F> {
    /// The runtime.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The future.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future, pinned as it is.
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut F> {
        self.project().future
    }

    /// The future, without its runtime.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.handle.enter();
        this.future.poll(cx)
    }
}

impl<F: fmt::Debug> fmt::Debug for Within<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("future", &self.future).finish_non_exhaustive()
    }
}
