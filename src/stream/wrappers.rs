//! Each type of this runtime that gives one value after another, as a [`Stream`]; tokio-stream's names.
//!
//! Dropping a `next()` of these loses nothing, as with the methods behind them.
//!
//! ```
//! # reiver::runtime::Runtime::new().unwrap().block_on(async {
//! use futures_util::StreamExt;
//! use reiver::stream::wrappers::ReceiverStream;
//!
//! let (sender, receiver) = reiver::sync::mpsc::channel(8);
//! for n in 1..=3 {
//!     sender.send(n).await.unwrap();
//! }
//! drop(sender);
//! let squares: Vec<i32> = ReceiverStream::new(receiver).map(|n| n * n).collect().await;
//! assert_eq!(squares, [1, 4, 9]);
//! # });
//! ```

use crate::fs::{DirEntry, ReadDir};
use crate::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::signal::unix::{Signal, SignalKind, signal};
use crate::sync::{broadcast, mpsc, watch};
use crate::task::budget;
use crate::time::{Instant, Interval};
use futures_core::Stream;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What has a method that polls for the next item.
macro_rules! wrappers {
    ($(
        $(#[$doc:meta])*
        $name:ident $([$t:ident])? ($inner:ty) -> $item:ty = |$this:ident, $cx:ident| $poll:expr;
    )*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name $(<$t>)? ($inner);

        impl $(<$t>)? $name $(<$t>)? {
            /// Wraps it.
            pub fn new(inner: $inner) -> Self {
                Self(inner)
            }

            /// Unwraps it.
            pub fn into_inner(self) -> $inner {
                self.0
            }
        }

        impl $(<$t>)? AsRef<$inner> for $name $(<$t>)? {
            fn as_ref(&self) -> &$inner {
                &self.0
            }
        }

        impl $(<$t>)? AsMut<$inner> for $name $(<$t>)? {
            fn as_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }

        impl $(<$t>)? From<$inner> for $name $(<$t>)? {
            fn from(inner: $inner) -> Self {
                Self(inner)
            }
        }

        impl $(<$t>)? Unpin for $name $(<$t>)? {}

        impl $(<$t>)? Stream for $name $(<$t>)? {
            type Item = $item;

            fn poll_next(self: Pin<&mut Self>, $cx: &mut Context<'_>) -> Poll<Option<$item>> {
                let $this = &mut self.get_mut().0;
                $poll
            }
        }
    )* };
}

wrappers! {
    /// The values of a bounded channel, until its senders are gone.
    ReceiverStream[T](mpsc::Receiver<T>) -> T = |inner, cx| inner.poll_recv(cx);
    /// The values of an unbounded channel, until its senders are gone.
    UnboundedReceiverStream[T](mpsc::UnboundedReceiver<T>) -> T = |inner, cx| inner.poll_recv(cx);
    /// The ticks of an interval, without end.
    IntervalStream(Interval) -> Instant = |inner, cx| inner.poll_tick(cx).map(Some);
    /// Signals, until the runtime is shut down.
    SignalStream(Signal) -> () = |inner, cx| inner.poll_recv(cx);
    /// The connections of a listener, without end.
    TcpListenerStream(TcpListener) -> io::Result<TcpStream> =
        |inner, cx| inner.poll_accept(cx).map_ok(|(stream, _)| stream).map(Some);
    /// The connections of a listener, without end.
    UnixListenerStream(UnixListener) -> io::Result<UnixStream> =
        |inner, cx| inner.poll_accept(cx).map_ok(|(stream, _)| stream).map(Some);
    /// The entries of a directory.
    ReadDirStream(ReadDir) -> io::Result<DirEntry> =
        |inner, cx| inner.poll_next_entry(cx).map(Result::transpose);
}

impl<T> ReceiverStream<T> {
    /// Refuses further values; those that were sent still come.
    pub fn close(&mut self) {
        self.0.close();
    }
}

impl<T> UnboundedReceiverStream<T> {
    /// Refuses further values; those that were sent still come.
    pub fn close(&mut self) {
        self.0.close();
    }
}

/// Ctrl-C, as often as it comes.
#[derive(Debug)]
pub struct CtrlCStream(SignalStream);

impl CtrlCStream {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// As [`signal`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::interrupt()).map(|signal| Self(SignalStream(signal)))
    }
}

impl Stream for CtrlCStream {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

/// A receiver whose wait borrows it: it is in the future for as long as that waits.
enum Place<R, T> {
    Here(R),
    Waits(Pin<Box<dyn Future<Output = (T, R)> + Send>>),
    /// While it is moved.
    Nowhere,
}

impl<R, T> Place<R, T> {
    /// What comes next: at once, or by a wait. Only a wait costs an allocation.
    fn poll<F>(
        &mut self,
        cx: &mut Context<'_>,
        now: impl FnOnce(&mut R) -> Option<T>,
        wait: impl FnOnce(R) -> F,
    ) -> Poll<T>
    where
        F: Future<Output = (T, R)> + Send + 'static,
    {
        if let Self::Here(receiver) = self {
            let unit = ready!(budget::poll_proceed(cx));
            if let Some(next) = now(receiver) {
                unit.made_progress();
                return Poll::Ready(next);
            }
        }
        *self = match std::mem::replace(self, Self::Nowhere) {
            Self::Here(receiver) => Self::Waits(Box::pin(wait(receiver))),
            place => place,
        };
        let Self::Waits(waiting) = self else {
            panic!("a stream was polled after its receiver had panicked");
        };
        let (next, receiver) = ready!(waiting.as_mut().poll(cx));
        *self = Self::Here(receiver);
        Poll::Ready(next)
    }
}

/// Why a value of a [`BroadcastStream`] did not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BroadcastStreamRecvError {
    /// So many values were missed; the next is the oldest that there is.
    Lagged(u64),
}

impl fmt::Display for BroadcastStreamRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Lagged(missed) = self;
        write!(f, "{missed} values were missed")
    }
}

impl std::error::Error for BroadcastStreamRecvError {}

/// The values of a broadcast channel, until its senders are gone.
pub struct BroadcastStream<T>(
    Place<broadcast::Receiver<T>, Result<T, broadcast::error::RecvError>>,
);

impl<T: Clone + Send + 'static> BroadcastStream<T> {
    /// Wraps it.
    pub fn new(receiver: broadcast::Receiver<T>) -> Self {
        Self(Place::Here(receiver))
    }
}

impl<T: Clone + Send + 'static> Stream for BroadcastStream<T> {
    type Item = Result<T, BroadcastStreamRecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        use broadcast::error::{RecvError, TryRecvError};
        let now = |receiver: &mut broadcast::Receiver<T>| match receiver.try_take()? {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => None,
        };
        let wait =
            |mut receiver: broadcast::Receiver<T>| async { (receiver.recv().await, receiver) };
        Poll::Ready(match ready!(self.0.poll(cx, now, wait)) {
            Ok(value) => Some(Ok(value)),
            Err(RecvError::Lagged(missed)) => Some(Err(BroadcastStreamRecvError::Lagged(missed))),
            Err(RecvError::Closed) => None,
        })
    }
}

/// The values of a watch channel, the newest each time, until its senders are gone.
pub struct WatchStream<T>(Place<watch::Receiver<T>, Option<T>>);

impl<T: Clone + Send + Sync + 'static> WatchStream<T> {
    /// Begins with the present value.
    pub fn new(mut receiver: watch::Receiver<T>) -> Self {
        receiver.mark_changed();
        Self(Place::Here(receiver))
    }

    /// Begins with the next value.
    pub fn from_changes(mut receiver: watch::Receiver<T>) -> Self {
        receiver.mark_unchanged();
        Self(Place::Here(receiver))
    }
}

impl<T: Clone + Send + Sync + 'static> Stream for WatchStream<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let now = |receiver: &mut watch::Receiver<T>| {
            let changed = receiver.has_changed().ok()?;
            changed.then(|| Some(receiver.borrow_and_update().clone()))
        };
        let wait = |mut receiver: watch::Receiver<T>| async {
            let changed = receiver.changed().await;
            (changed.ok().map(|()| receiver.borrow_and_update().clone()), receiver)
        };
        self.0.poll(cx, now, wait)
    }
}

macro_rules! the_rest {
    ($($name:ident($receiver:ty): $($bound:path),*;)*) => { $(
        impl<T> Unpin for $name<T> {}

        impl<T: $($bound +)* 'static> From<$receiver> for $name<T> {
            fn from(receiver: $receiver) -> Self {
                Self::new(receiver)
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )* };
}

the_rest! {
    BroadcastStream(broadcast::Receiver<T>): Clone, Send, Sync;
    WatchStream(watch::Receiver<T>): Clone, Send, Sync;
}
