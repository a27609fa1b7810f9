//! The async reader-writer lock: as many permits as there may be readers; a writer takes them all.
//!
//! Since permits are handed out in turn, a writer that waits is not overtaken by readers that come
//! later, and readers that wait behind it enter together once it is done.

mod guards;
mod owned;

pub use guards::{RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard};
pub use owned::{OwnedRwLockMappedWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use super::TryLockError;
use super::blocking::block_on;
use super::guard::{Hold, Lock, OwnedHold};
use super::permits::{Acquire, Permits};
use crate::primitive::Arc;
use crate::util::note::WaitKind;
use std::cell::UnsafeCell;
use std::fmt;
use std::ptr::NonNull;

/// The most readers at a time. As tokio's.
const MAX_READERS: u32 = u32::MAX >> 3;
const NO_READERS: &str = "a RwLock needs at least 1 reader: nobody could ever take one without";

/// A lock that many may read or one may write, with guards that may be held across `.await`.
///
/// The lock is handed over in the order in which it was asked for: readers that come after a waiting
/// writer wait for it. So a task that holds a read guard and asks for another one may wait for a
/// writer that waits for the first. The lock is not poisoned by a panic.
///
/// Taking and returning a free lock is one atomic operation each.
///
/// # Examples
///
/// ```
/// use reiver::sync::RwLock;
///
/// let names = RwLock::new(vec!["a"]);
/// {
///     let one = names.blocking_read();
///     let other = names.try_read().unwrap();
///     assert_eq!(one.len() + other.len(), 2);
///     assert!(names.try_write().is_err());
/// }
/// names.blocking_write().push("b");
/// assert_eq!(names.into_inner(), ["a", "b"]);
/// ```
pub struct RwLock<T: ?Sized> {
    permits: Permits,
    readers: u32,
    value: UnsafeCell<T>,
}

// SAFETY: guard rule 1: the value is reached by one writer at a time or by several readers.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// A free lock around `value`.
    pub fn new(value: T) -> Self {
        Self::with_max_readers(value, MAX_READERS)
    }

    /// A free lock that at most `readers` read at a time.
    ///
    /// # Panics
    ///
    /// If `readers` is 0 or exceeds `u32::MAX >> 3`.
    #[track_caller]
    pub fn with_max_readers(value: T, readers: u32) -> Self {
        assert!(readers > 0, "{NO_READERS}");
        assert!(readers <= MAX_READERS, "a RwLock has at most {MAX_READERS} readers");
        let permits = Permits::new(readers as usize);
        Self { permits, readers, value: UnsafeCell::new(value) }
    }

    /// A free lock for a `static`.
    pub const fn const_new(value: T) -> Self {
        Self::const_with_max_readers(value, MAX_READERS)
    }

    /// A free lock for a `static`, that at most `readers` read at a time.
    ///
    /// # Panics
    ///
    /// As [`with_max_readers`](Self::with_max_readers).
    #[track_caller]
    pub const fn const_with_max_readers(value: T, readers: u32) -> Self {
        assert!(readers > 0, "{}", NO_READERS);
        assert!(readers <= MAX_READERS, "too many readers for a RwLock");
        let permits = Permits::const_new(readers as usize);
        Self { permits, readers, value: UnsafeCell::new(value) }
    }

    /// Gives it a name, which the reports of [`sync::debug`](crate::sync::debug) show beside its type. It is a reference to a
    /// literal, and takes no time when the lock is used.
    ///
    /// ```
    /// # use reiver::sync::RwLock;
    /// let names = RwLock::new(vec!["a"]).named(&"names");
    /// ```
    pub const fn named(mut self, name: &'static &'static str) -> Self {
        self.permits.set_name(name);
        self
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, waiting for it in turn.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        let _ = self.take(1).await;
        self.read_guard()
    }

    /// Takes the lock for writing, waiting for it in turn.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        let _ = self.take(self.all()).await;
        self.write_guard()
    }

    /// As [`read`](Self::read); the guard keeps the lock alive instead of borrowing it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn read_owned(self: Arc<Self>) -> OwnedRwLockReadGuard<T> {
        let _ = self.take(1).await;
        OwnedRwLockReadGuard::new(self.pointer(), OwnedHold::new(self, 1))
    }

    /// As [`write`](Self::write); the guard keeps the lock alive instead of borrowing it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn write_owned(self: Arc<Self>) -> OwnedRwLockWriteGuard<T> {
        let all = self.all();
        let _ = self.take(all).await;
        OwnedRwLockWriteGuard::new(self.pointer(), OwnedHold::new(self, all))
    }

    /// Takes the lock for reading if nobody writes or waits.
    ///
    /// # Errors
    ///
    /// If it cannot be had now.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        self.try_take(1)?;
        Ok(self.read_guard())
    }

    /// Takes the lock for writing if it is free.
    ///
    /// # Errors
    ///
    /// If it cannot be had now.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        self.try_take(self.all())?;
        Ok(self.write_guard())
    }

    /// As [`try_read`](Self::try_read), owned.
    ///
    /// # Errors
    ///
    /// If it cannot be had now.
    pub fn try_read_owned(self: Arc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        self.try_take(1)?;
        Ok(OwnedRwLockReadGuard::new(self.pointer(), OwnedHold::new(self, 1)))
    }

    /// As [`try_write`](Self::try_write), owned.
    ///
    /// # Errors
    ///
    /// If it cannot be had now.
    pub fn try_write_owned(self: Arc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        let all = self.all();
        self.try_take(all)?;
        Ok(OwnedRwLockWriteGuard::new(self.pointer(), OwnedHold::new(self, all)))
    }

    /// As [`read`](Self::read), for code that is not async: blocks the thread.
    pub fn blocking_read(&self) -> RwLockReadGuard<'_, T> {
        self.blocking_take(1);
        self.read_guard()
    }

    /// As [`write`](Self::write), for code that is not async: blocks the thread.
    pub fn blocking_write(&self) -> RwLockWriteGuard<'_, T> {
        self.blocking_take(self.all());
        self.write_guard()
    }

    /// As [`read_owned`](Self::read_owned), for code that is not async: blocks the thread.
    pub fn blocking_read_owned(self: Arc<Self>) -> OwnedRwLockReadGuard<T> {
        self.blocking_take(1);
        OwnedRwLockReadGuard::new(self.pointer(), OwnedHold::new(self, 1))
    }

    /// As [`write_owned`](Self::write_owned), for code that is not async: blocks the thread.
    pub fn blocking_write_owned(self: Arc<Self>) -> OwnedRwLockWriteGuard<T> {
        let all = self.all();
        self.blocking_take(all);
        OwnedRwLockWriteGuard::new(self.pointer(), OwnedHold::new(self, all))
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn all(&self) -> usize {
        self.readers as usize
    }

    /// The permits of a lock are never closed, so there is no error.
    fn take(&self, n: usize) -> Acquire<'_> {
        self.permits.acquire(n, WaitKind::RwLock)
    }

    fn blocking_take(&self, n: usize) {
        // What is free needs no poll.
        if self.permits.take_free(n).is_err() {
            let _ = block_on(self.take(n));
        }
    }

    fn try_take(&self, n: usize) -> Result<(), TryLockError> {
        self.permits.try_acquire(n).map_err(|_| TryLockError(()))
    }

    /// For a caller that has just acquired one permit.
    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard::new(self.pointer(), Hold::new(self, 1))
    }

    /// For a caller that has just acquired all permits.
    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard::new(self.pointer(), Hold::new(self, self.all()))
    }

    fn pointer(&self) -> NonNull<T> {
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(self.value.get()) }
    }
}

impl<T: ?Sized> Lock for RwLock<T> {
    fn permits(&self) -> &Permits {
        &self.permits
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(_) => out.field("data", &format_args!("<locked>")),
        };
        out.finish()
    }
}
