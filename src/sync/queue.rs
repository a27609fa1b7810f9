//! A queue in asyncio's sense: many put, many get, and one may wait until all is worked off.
//!
//! Items, counts and two lines, of getters and of putters, lie under one lock, so that an item costs two
//! times that lock and nothing else that is shared.
//!
//! * What a waiter is granted is a *right*: to an item, or to a place. The state counts the rights that are out.
//!   An item without a right to it is *free*, a place likewise.
//! * Whoever finds something free, and nobody in line, takes it at once. Otherwise it goes in line.
//! * `Inside` (`pass.rs`) is the lock. When it is given back, by whatever way, it settles: while something is free and
//!   somebody is in line for it, the first gets a right. So with the lock free either the line is empty or
//!   nothing is free.
//! * A future that is dropped gives up its right, or leaves the line: both under the lock, so what it had is
//!   free, and the next in line gets it.
//! * **shutdown** sets `shut` and ends both lines. Nothing enters after it. What is inside is for whoever comes first:
//!   a right to an item may find nothing from then on, and its owner is told.
//!
//! Rejected: a channel of its own with blocks and no lock: `join` needs a count that `put` and
//! `task_done` change together with the store, and a priority queue needs the lock anyway. Permits for items
//! and for places beside the lock, as it was: eight read-modify-writes an item instead of four.

mod pass;
mod store;

pub use store::{Fifo, Lifo, Priority, Store};

use super::blocking::block_on;
use super::permits::MAX_PERMITS;
use super::{Notify, spend_budget};
use crate::primitive::Mutex;
use crate::util::note::WaitKind;
use pass::{Get, Put, State};
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A queue between many that put and many that get, as asyncio's `Queue`.
///
/// Share it by an `Arc`. Getters and putters are served in the order in which they came. With a
/// `maxsize` of 0 there is no bound. [`lifo`](Queue::lifo) and [`priority`](Queue::priority) make
/// queues that give their items in another order.
///
/// For one receiver a channel of [`mpsc`](super::mpsc) is faster, and ends by itself.
///
/// # Examples
///
/// ```
/// use reiver::sync::Queue;
/// use std::sync::Arc;
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let queue = Arc::new(Queue::new(10));
/// let workers: Vec<_> = (0..3)
///     .map(|_| {
///         let queue = queue.clone();
///         reiver::spawn(async move {
///             let mut sum = 0;
///             while let Ok(n) = queue.get().await {
///                 sum += n;
///                 queue.task_done();
///             }
///             sum
///         })
///     })
///     .collect();
/// for n in 1..=100 {
///     queue.put(n).await.unwrap();
/// }
/// queue.join().await;
/// queue.shutdown(false);
/// let mut sum = 0;
/// for worker in workers {
///     sum += worker.await.unwrap();
/// }
/// assert_eq!(sum, 5050);
/// # });
/// ```
pub struct Queue<T, S = Fifo<T>> {
    maxsize: usize,
    state: Mutex<State<S>>,
    /// All items were worked off.
    finished: Notify,
    _item: PhantomData<fn(T) -> T>,
}

// A store that panics leaves its queue as it is: the counts are those of the rights, and its own of the items.
impl<T, S> UnwindSafe for Queue<T, S> {}
impl<T, S> RefUnwindSafe for Queue<T, S> {}

/// A [`Queue`] that gives the newest item first.
pub type LifoQueue<T> = Queue<T, Lifo<T>>;
/// A [`Queue`] that gives the least item first; of equal ones, the one that was put first.
pub type PriorityQueue<T> = Queue<T, Priority<T>>;

impl<T> Queue<T> {
    /// A queue that gives the oldest item first and holds up to `maxsize` of them; with 0, any number.
    #[track_caller]
    pub fn new(maxsize: usize) -> Self {
        Self::with_store(maxsize)
    }
}

impl<T> LifoQueue<T> {
    /// A queue that gives the newest item first.
    #[track_caller]
    pub fn lifo(maxsize: usize) -> Self {
        Self::with_store(maxsize)
    }
}

impl<T: Ord> PriorityQueue<T> {
    /// A queue that gives the least item first, as asyncio's `PriorityQueue`. Items are compared under
    /// the queue's lock: their `Ord` must not use the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::sync::Queue;
    /// let queue = Queue::priority(0);
    /// for item in [(2, "later"), (1, "soon"), (3, "last")] {
    ///     queue.put_nowait(item).unwrap();
    /// }
    /// assert_eq!(queue.get_nowait(), Ok((1, "soon")));
    /// ```
    #[track_caller]
    pub fn priority(maxsize: usize) -> Self {
        Self::with_store(maxsize)
    }
}

impl<T, S: Store<T>> Queue<T, S> {
    /// A queue with a store of the user's kind.
    ///
    /// # Panics
    ///
    /// If `maxsize` exceeds [`Semaphore::MAX_PERMITS`](super::Semaphore::MAX_PERMITS).
    #[track_caller]
    pub fn with_store(maxsize: usize) -> Self {
        assert!(maxsize <= MAX_PERMITS, "a queue has at most {MAX_PERMITS} places");
        let (state, finished) = (Mutex::new(State::default()), Notify::new());
        Self { maxsize, state, finished, _item: PhantomData }
    }

    /// Puts an item in, waiting in turn while the queue is full.
    ///
    /// # Errors
    ///
    /// The item, if the queue is shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the item, which then was not put.
    pub async fn put(&self, item: T) -> Result<(), QueueShutDown<T>> {
        self.pass(Put::new(item)).await
    }

    /// Puts an item in if there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// The item, if the queue is full or shut down.
    pub fn put_nowait(&self, item: T) -> Result<(), PutNowaitError<T>> {
        let mut put = Put::new(item);
        match self.try_pass(&mut put) {
            Some(put) => put.map_err(|QueueShutDown(item)| PutNowaitError::ShutDown(item)),
            None => Err(PutNowaitError::Full(put.item())),
        }
    }

    /// As [`put`](Self::put), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// The item, if the queue is shut down.
    pub fn blocking_put(&self, item: T) -> Result<(), QueueShutDown<T>> {
        block_on(self.put(item))
    }

    /// Takes an item out, waiting for one in turn.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no item.
    pub async fn get(&self) -> Result<T, QueueShutDown> {
        self.pass(Get).await
    }

    /// Takes an item out if there is one and nobody waits for it.
    ///
    /// # Errors
    ///
    /// If there is no item, now or for good.
    pub fn get_nowait(&self) -> Result<T, GetNowaitError> {
        match self.try_pass(&mut Get) {
            Some(got) => got.map_err(|_| GetNowaitError::ShutDown),
            None => Err(GetNowaitError::Empty),
        }
    }

    /// As [`get`](Self::get), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the queue is shut down and empty.
    pub fn blocking_get(&self) -> Result<T, QueueShutDown> {
        block_on(self.get())
    }

    /// Says that an item that was got is worked off. [`join`](Self::join) waits until this was called
    /// for every item.
    ///
    /// # Panics
    ///
    /// If it was called for every item that was put already.
    #[track_caller]
    pub fn task_done(&self) {
        let mut state = self.state.lock();
        let Some(left) = state.unfinished.checked_sub(1) else {
            drop(state);
            panic!("`task_done` was called more often than items were put");
        };
        state.unfinished = left;
        drop(state);
        if left == 0 {
            self.finished.notify_waiters();
        }
    }

    /// Waits until every item that was put has been got and [worked off](Self::task_done).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn join(&self) {
        spend_budget().await;
        let finished = self.finished.notified_as(WaitKind::Event);
        // In this order: an end after this look notifies.
        if self.state.lock().unfinished > 0 {
            finished.await;
        }
    }

    /// As [`join`](Self::join), for code that is not async: blocks the thread.
    pub fn blocking_join(&self) {
        block_on(self.join());
    }

    /// Lets nothing more in; those who wait to put get their items back. What is inside can still be
    /// got, after which getters are told; or, if `immediate`, it is dropped at once and counts as
    /// worked off.
    pub fn shutdown(&self, immediate: bool) {
        /// Tells those who wait in `join`, also when a waker panics.
        struct Told<'a>(&'a Notify, bool);

        impl Drop for Told<'_> {
            fn drop(&mut self) {
                if self.1 {
                    self.0.notify_waiters();
                }
            }
        }

        // Dropped after the lock, from the last to the first.
        let mut dropped = S::default();
        let mut told = Told(&self.finished, false);
        let mut inside = self.enter();
        inside.shut = true;
        if immediate {
            std::mem::swap(&mut dropped, &mut inside.store);
            inside.unfinished = inside.unfinished.saturating_sub(dropped.len());
            told.1 = inside.unfinished == 0;
        }
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    pub fn is_shutdown(&self) -> bool {
        self.state.lock().shut
    }

    /// How many items are inside.
    pub fn len(&self) -> usize {
        self.state.lock().store.len()
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        self.maxsize > 0 && self.len() >= self.maxsize
    }

    /// How many items have room; 0 means any number.
    pub fn maxsize(&self) -> usize {
        self.maxsize
    }
}

impl<T, S: Store<T>> fmt::Debug for Queue<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Queue");
        out.field("len", &self.len()).field("maxsize", &self.maxsize).finish_non_exhaustive()
    }
}

/// The queue was shut down; what could not be put comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueShutDown<T = ()>(pub T);

impl<T> fmt::Debug for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueShutDown(..)")
    }
}

impl<T> fmt::Display for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is shut down")
    }
}

impl<T> Error for QueueShutDown<T> {}

/// Why [`Queue::put_nowait`] put nothing; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutNowaitError<T> {
    /// There is no room now.
    Full(T),
    /// The queue was shut down.
    ShutDown(T),
}

impl<T> fmt::Debug for PutNowaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::ShutDown(_) => "ShutDown(..)",
        })
    }
}

impl<T> fmt::Display for PutNowaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::ShutDown(_) => "the queue is shut down",
        })
    }
}

impl<T> Error for PutNowaitError<T> {}

/// Why [`Queue::get_nowait`] got nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GetNowaitError {
    /// There is no item now.
    Empty,
    /// The queue was shut down and is empty.
    ShutDown,
}

impl fmt::Display for GetNowaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the queue is empty",
            Self::ShutDown => "the queue is shut down",
        })
    }
}

impl Error for GetNowaitError {}
