//! A queue in asyncio's sense: many put, many get, and one may wait until all is worked off.
//!
//! Two sets of permits count what can be got and what has room, so both ends wait in turn; the items
//! lie in a store under a lock.
//!
//! * **put**: take a place, store the item, release an item permit. **get**: the reverse. A future that
//!   is dropped gives its permit back, with which nothing has happened yet.
//! * *While the queue is not shut down*, there are at least as many items in the store as item permits
//!   in the world, so who has a permit finds an item.
//! * **shutdown** sets `shut` under the store's lock, then closes both sets of permits. Nothing enters
//!   the store after `shut`, so what a getter finds after its permits were closed is decided by the
//!   store alone: an item, or empty for good. A getter that has a permit from before may find that
//!   another one took the item; it is told that the queue is shut down.
//!
//! Rejected: a channel of its own with blocks and no lock: `join` needs a count that `put` and
//! `task_done` change together with the store, and a priority queue needs the lock anyway.

use super::blocking::block_on;
use super::permits::{MAX_PERMITS, Permits, Refused};
use super::{Notify, spend_budget};
use crate::primitive::Mutex;
use crate::util::note::WaitKind;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::error::Error;
use std::fmt;

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
    items: Permits,
    places: Permits,
    maxsize: usize,
    state: Mutex<State<S>>,
    /// All items were worked off.
    finished: Notify,
    _item: std::marker::PhantomData<fn(T) -> T>,
}

struct State<S> {
    store: S,
    /// Items put for which `task_done` was not called.
    unfinished: usize,
    shut: bool,
}

/// A [`Queue`] that gives the newest item first.
pub type LifoQueue<T> = Queue<T, Lifo<T>>;
/// A [`Queue`] that gives the least item first; of equal ones, the one that was put first.
pub type PriorityQueue<T> = Queue<T, Priority<T>>;

/// How a [`Queue`] keeps its items. The methods run under the queue's lock and must not use the queue.
pub trait Store<T>: Default {
    /// Takes an item in.
    fn push(&mut self, item: T);
    /// The item whose turn it is.
    fn pop(&mut self) -> Option<T>;
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

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
        let places = if maxsize == 0 { MAX_PERMITS } else { maxsize };
        Self {
            items: Permits::new(0),
            places: Permits::new(places),
            maxsize,
            state: Mutex::new(State { store: S::default(), unfinished: 0, shut: false }),
            finished: Notify::new(),
            _item: std::marker::PhantomData,
        }
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
        match self.places.acquire(1, WaitKind::Send).await {
            Ok(()) => self.fill(item),
            Err(_) => Err(QueueShutDown(item)),
        }
    }

    /// Puts an item in if there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// The item, if the queue is full or shut down.
    pub fn put_nowait(&self, item: T) -> Result<(), PutNowaitError<T>> {
        match self.places.try_acquire(1) {
            Ok(()) => self.fill(item).map_err(|QueueShutDown(item)| PutNowaitError::ShutDown(item)),
            Err(Refused::NoPermits) => Err(PutNowaitError::Full(item)),
            Err(Refused::Closed) => Err(PutNowaitError::ShutDown(item)),
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
        // An error means that it is shut down; what is inside then is there for whoever comes.
        let _ = self.items.acquire(1, WaitKind::Receive).await;
        self.take().ok_or(QueueShutDown(()))
    }

    /// Takes an item out if there is one and nobody waits for it.
    ///
    /// # Errors
    ///
    /// If there is no item, now or for good.
    pub fn get_nowait(&self) -> Result<T, GetNowaitError> {
        match self.items.try_acquire(1) {
            Err(Refused::NoPermits) => Err(GetNowaitError::Empty),
            Ok(()) | Err(Refused::Closed) => self.take().ok_or(GetNowaitError::ShutDown),
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
        let mut dropped = S::default();
        let mut over = false;
        {
            let mut state = self.state.lock();
            state.shut = true;
            if immediate {
                std::mem::swap(&mut dropped, &mut state.store);
                state.unfinished = state.unfinished.saturating_sub(dropped.len());
                over = state.unfinished == 0;
            }
        }
        self.places.close();
        self.items.close();
        if over {
            self.finished.notify_waiters();
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

    /// For a caller that has a place.
    fn fill(&self, item: T) -> Result<(), QueueShutDown<T>> {
        /// The place, given back if the item did not come to take it.
        struct Place<'a>(&'a Permits);

        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.release(1);
            }
        }

        let place = Place(&self.places);
        {
            let mut state = self.state.lock();
            if state.shut {
                return Err(QueueShutDown(item));
            }
            state.store.push(item);
            state.unfinished += 1;
        }
        std::mem::forget(place);
        self.items.release(1);
        Ok(())
    }

    /// For a caller that has an item permit, or was told that the queue is shut down.
    fn take(&self) -> Option<T> {
        let item = self.state.lock().store.pop()?;
        self.places.release(1);
        Some(item)
    }
}

impl<T, S: Store<T>> fmt::Debug for Queue<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Queue");
        out.field("len", &self.len()).field("maxsize", &self.maxsize).finish_non_exhaustive()
    }
}

/// Oldest first.
pub struct Fifo<T>(VecDeque<T>);

/// Newest first.
pub struct Lifo<T>(Vec<T>);

/// Least first, oldest first among equals.
pub struct Priority<T> {
    heap: BinaryHeap<Ranked<T>>,
    /// Items ever pushed.
    pushed: u64,
}

/// An item and its number. The greatest is the one to give next.
struct Ranked<T>(T, u64);

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.cmp(&self.0).then_with(|| other.1.cmp(&self.1))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Ranked<T> {}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Default for Priority<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Store<T> for Fifo<T> {
    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Store<T> for Lifo<T> {
    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T: Ord> Store<T> for Priority<T> {
    fn push(&mut self, item: T) {
        self.pushed += 1;
        self.heap.push(Ranked(item, self.pushed));
    }

    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Ranked(item, _)| item)
    }

    fn len(&self) -> usize {
        self.heap.len()
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
