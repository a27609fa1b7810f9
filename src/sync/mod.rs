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
//! | compute a value once | [`OnceCell`] |
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

mod blocking;
mod error;
mod guard;
pub mod mpsc;
mod mutex;
mod notify;
pub mod oneshot;
mod permits;
mod rwlock;
mod semaphore;
mod wait;
mod waker_cell;

pub use error::{AcquireError, TryAcquireError, TryLockError};
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard, OwnedMappedMutexGuard, OwnedMutexGuard};
pub use notify::Notify;
pub use rwlock::{
    OwnedRwLockMappedWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock,
    RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard,
};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The named futures of this module.
pub mod futures {
    pub use super::notify::{Notified, OwnedNotified};
}
