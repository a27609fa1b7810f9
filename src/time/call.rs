//! Plain functions, called soon or at a time: asyncio's `call_soon`, `call_later` and `call_at`.
//!
//! A call is a task, so it is listed, named by where it was ordered, and dropped with its runtime. Who
//! calls or cancels is decided by one swap of a word: what was cancelled in time does not run, whatever
//! the task is about to do.

use super::{Instant, sleep_until};
use crate::primitive::Arc;
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::runtime::Handle;
use crate::task::{AbortHandle, Given, Why};
use std::fmt;
use std::panic::Location;
use std::time::Duration;

const ORDERED: usize = 0;
const CALLED: usize = 1;
const CANCELLED: usize = 2;

/// A call that was ordered, which can be cancelled. Dropping it changes nothing.
///
/// # Examples
///
/// ```
/// use reiver::runtime::Handle;
/// use reiver::sync::mpsc;
/// use std::time::Duration;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let handle = Handle::current();
/// let (tx, mut rx) = mpsc::unbounded_channel();
/// let said = tx.clone();
/// handle.call_soon(move || said.send("soon").unwrap());
/// let never = handle.call_later(Duration::from_secs(60), move || tx.send("later").unwrap());
/// assert!(never.cancel());
/// assert_eq!(rx.recv().await, Some("soon"));
/// assert_eq!(rx.recv().await, None);
/// # });
/// ```
#[derive(Clone)]
pub struct CallHandle {
    state: Arc<AtomicUsize>,
    task: AbortHandle,
    when: Option<Instant>,
}

impl Handle {
    /// Calls `f` on a worker, soon. On a current-thread runtime calls are made in the order of asking, as
    /// asyncio makes them; on others they may be made at the same time.
    ///
    /// `f` must return soon, as a poll must.
    #[track_caller]
    pub fn call_soon(&self, f: impl FnOnce() + Send + 'static) -> CallHandle {
        self.call(None, f, Location::caller())
    }

    /// Calls `f` on a worker after `delay`. As [`call_soon`](Self::call_soon).
    #[track_caller]
    pub fn call_later(&self, delay: Duration, f: impl FnOnce() + Send + 'static) -> CallHandle {
        let _entered = self.enter();
        // By the clock of the runtime that will call.
        self.call(Some(Instant::after(delay)), f, Location::caller())
    }

    /// Calls `f` on a worker at `when`, or soon if that is past. As [`call_soon`](Self::call_soon).
    #[track_caller]
    pub fn call_at(&self, when: Instant, f: impl FnOnce() + Send + 'static) -> CallHandle {
        self.call(Some(when), f, Location::caller())
    }

    fn call(
        &self,
        when: Option<Instant>,
        f: impl FnOnce() + Send + 'static,
        location: &'static Location<'static>,
    ) -> CallHandle {
        let state = Arc::new(AtomicUsize::new(ORDERED));
        let ours = state.clone();
        let call = async move {
            if let Some(when) = when {
                sleep_until(when).await;
            }
            // Relaxed: it only decides who comes first.
            if ours.swap(CALLED, Relaxed) == ORDERED {
                f();
            }
        };
        // SAFETY: the future is `Send`, and so is its output.
        let task = unsafe { self.shared().spawn_as(call, Given::default(), location, Why::Again) };
        CallHandle { state, task: task.abort_handle(), when }
    }
}

impl CallHandle {
    /// Takes the order back. `false` if the call was made already, or is being made now.
    pub fn cancel(&self) -> bool {
        // Relaxed: as in `call`.
        let before = self.state.compare_exchange(ORDERED, CANCELLED, Relaxed, Relaxed);
        self.task.abort();
        before != Err(CALLED)
    }

    /// Whether the order was taken back.
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: nothing is published by it.
        self.state.load(Relaxed) == CANCELLED
    }

    /// Whether the call was made, or will never be.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// When the call is to be made; `None` means soon.
    pub fn when(&self) -> Option<Instant> {
        self.when
    }
}

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHandle")
            .field("when", &self.when)
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}
