//! Locks, signals and channels that wait without blocking the thread.
//!
//! # Which one
//!
//! | to | use |
//! |---|---|
//! | share data across `.await` | [`Mutex`], [`RwLock`] |
//! | limit how many do something at once | [`Semaphore`] |
//! | say that something happened | [`Notify`] |
//! | wait until all have arrived | [`Barrier`] |
//! | raise a flag that can be waited for | [`Event`] |
//! | compute a value once | [`OnceCell`], [`SetOnce`] |
//! | send one value, once | [`oneshot`] |
//! | send values to one receiver | [`mpsc`] |
//! | send values to all receivers | [`broadcast`] |
//! | share the latest value | [`watch`] |
//!
//! Names and behaviour are tokio's, except that the `blocking_*` forms may be called anywhere (they
//! block the thread that calls them). Nothing here needs a runtime: everything works on any
//! executor, on plain threads by the `blocking_*` and `try_*` forms, and inside models.
//!
#![doc = include_str!("README.md")]

mod barrier;
mod blocking;
pub mod broadcast;
mod error;
mod event;
mod guard;
pub mod mpsc;
mod mutex;
mod notify;
mod once_cell;
pub mod oneshot;
mod permits;
mod rwlock;
mod semaphore;
mod wait;
mod waker_cell;
pub mod watch;

pub use barrier::{Barrier, BarrierWaitResult};
pub use error::{AcquireError, TryAcquireError, TryLockError};
pub use event::Event;
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard, OwnedMappedMutexGuard, OwnedMutexGuard};
pub use notify::Notify;
pub use once_cell::{OnceCell, SetError, SetOnce, SetOnceError};
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
