//! Locks, signals and channels that wait without blocking the thread.
//!
//! # Which one
//!
//! | to | use |
//! |---|---|
//! | share data across `.await` | [`Mutex`], [`RwLock`] |
//! | limit how many do something at once | [`Semaphore`], [`CapacityLimiter`] |
//! | say that something happened | [`Notify`] |
//! | wait until shared data has changed | [`Condition`] |
//! | ask a tree of work to stop | [`CancellationToken`] |
//! | wait until all have arrived | [`Barrier`] |
//! | raise a flag that can be waited for | [`Event`] |
//! | compute a value once | [`OnceCell`], [`SetOnce`] |
//! | send one value, once | [`oneshot`] |
//! | send values to one receiver | [`mpsc`] |
//! | hand out work to many, and wait until it is done | [`Queue`] |
//! | send values to all receivers | [`broadcast`] |
//! | share the latest value | [`watch`] |
//! | find out why a lock never comes | [`debug`] |
//!
//! Names and behaviour are tokio's (asyncio's and trio's for what tokio does not have), except that the `blocking_*` forms may be called anywhere (they
//! block the thread that calls them). Nothing here needs a runtime: everything works on any
//! executor, on plain threads by the `blocking_*` and `try_*` forms, and inside models.
//!
#![doc = include_str!("README.md")]

mod barrier;
mod blocking;
pub mod broadcast;
mod cancellation;
mod condition;
pub mod debug;
mod error;
mod event;
mod guard;
mod limiter;
pub mod mpsc;
mod mutex;
mod notify;
mod once_cell;
pub mod oneshot;
mod permits;
pub mod queue;
mod rwlock;
mod semaphore;
mod senders;
mod wait;
mod waker_cell;
pub mod watch;

pub use barrier::{Barrier, BarrierWaitResult};
pub use cancellation::{CancellationToken, DropGuard};
pub use condition::Condition;
pub use error::{AcquireError, TryAcquireError, TryLockError};
pub use event::Event;
pub use limiter::{
    AcquireNowaitError, AlreadyBorrowed, Borrower, CapacityLimiter, LimiterStatistics, LimiterToken,
};
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard, OwnedMappedMutexGuard, OwnedMutexGuard};
pub use notify::Notify;
pub use once_cell::{OnceCell, SetError, SetOnce, SetOnceError};
pub use queue::{LifoQueue, PriorityQueue, Queue};
pub use rwlock::{
    OwnedRwLockMappedWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock,
    RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard,
};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::task::budget;
use std::future::{Future, poll_fn};
use std::task::{Poll, ready};

/// Spends one unit of the poll budget: the first step of a wait that may find everything ready.
fn spend_budget() -> impl Future<Output = ()> {
    poll_fn(|cx| {
        ready!(budget::poll_proceed(cx)).made_progress();
        Poll::Ready(())
    })
}

/// The named futures of this module.
pub mod futures {
    pub use super::notify::{Notified, OwnedNotified};
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn ready(future: impl Future, cx: &mut Context<'_>) -> bool {
        pin!(future).poll(cx).is_ready()
    }

    /// A poll that finds `operation` ready every time comes to an end.
    #[track_caller]
    fn gives_way(mut operation: impl FnMut(&mut Context<'_>) -> bool) {
        let mut cx = Context::from_waker(Waker::noop());
        // Far more than fit into a time slice.
        let ended = budget::with_budget(|| (0..10_000_000).any(|_| !operation(&mut cx)));
        assert!(ended, "it goes on for ever");
    }

    #[test]
    fn every_wait_spends_the_budget() {
        let semaphore = Semaphore::new(1);
        gives_way(|cx| ready(semaphore.acquire(), cx));
        let lock = RwLock::new(());
        gives_way(|cx| ready(lock.read(), cx));
        let notify = Notify::new();
        gives_way(|cx| {
            notify.notify_one();
            ready(notify.notified(), cx)
        });
        let (tx, mut rx) = mpsc::channel(2);
        gives_way(|cx| {
            let _ = tx.try_send(());
            ready(rx.recv(), cx)
        });
        gives_way(|cx| {
            let _ = rx.try_recv();
            ready(tx.send(()), cx)
        });
        let (mut tx, rx) = oneshot::channel::<()>();
        drop(rx);
        gives_way(|cx| ready(tx.closed(), cx));
        let (tx, mut rx) = watch::channel(0);
        gives_way(|cx| {
            tx.send_replace(1);
            ready(rx.changed(), cx)
        });
        gives_way(|cx| ready(rx.wait_for(|_| true), cx));
        let (tx, mut rx) = broadcast::channel(2);
        gives_way(|cx| {
            tx.send(()).unwrap();
            ready(rx.recv(), cx)
        });
        let barrier = Barrier::new(1);
        gives_way(|cx| ready(barrier.wait(), cx));
        let cell = OnceCell::from(1);
        gives_way(|cx| ready(cell.get_or_init(|| async { 2 }), cx));
        let event = Event::new();
        event.set();
        gives_way(|cx| ready(event.wait(), cx));
        let queue = Queue::new(1);
        gives_way(|cx| {
            let _ = queue.put_nowait(());
            ready(queue.get(), cx)
        });
        gives_way(|cx| {
            let _ = queue.get_nowait();
            ready(queue.put(()), cx)
        });
        let limiter = CapacityLimiter::new(1);
        gives_way(|cx| ready(limiter.acquire(), cx));
        let token = CancellationToken::new();
        token.cancel();
        gives_way(|cx| ready(token.cancelled(), cx));
    }

    #[test]
    fn a_thread_that_blocks_inside_a_poll_is_not_stopped_by_the_budget() {
        let (tx, mut rx) = mpsc::channel(1);
        budget::with_budget(|| {
            for n in 0..200_000 {
                tx.blocking_send(n).unwrap();
                assert_eq!(rx.blocking_recv(), Some(n));
            }
        });
    }
}
