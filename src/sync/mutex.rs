//! The async mutex: one permit and a value.

use super::TryLockError;
use super::blocking::block_on;
use super::guard::{Hold, Lock, OwnedHold, guard_impls};
use super::permits::{Acquire, Permits};
use crate::primitive::Arc;
use crate::util::note::WaitKind;
use pin_project_lite::pin_project;
use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// A mutual-exclusion lock whose guard may be held across `.await`.
///
/// The lock is handed over in the order in which it was asked for. It is not poisoned by a panic.
/// For data that is never held across `.await`, a lock of `std` is cheaper.
///
/// Taking and returning a free lock is one atomic operation each.
///
/// # Examples
///
/// ```
/// use reiver::sync::Mutex;
/// use std::sync::Arc;
///
/// let count = Arc::new(Mutex::new(0));
/// let threads: Vec<_> = (0..2)
///     .map(|_| {
///         let count = count.clone();
///         std::thread::spawn(move || *count.blocking_lock() += 1)
///     })
///     .collect();
/// for thread in threads {
///     thread.join().unwrap();
/// }
/// assert_eq!(*count.try_lock().unwrap(), 2);
/// ```
pub struct Mutex<T: ?Sized> {
    permits: Permits,
    value: UnsafeCell<T>,
}

// SAFETY: guard rule 1: the value is reached by one guard at a time, on any thread.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free lock around `value`.
    pub fn new(value: T) -> Self {
        Self { permits: Permits::new(1), value: UnsafeCell::new(value) }
    }

    /// A free lock for a `static`.
    pub const fn const_new(value: T) -> Self {
        Self { permits: Permits::const_new(1), value: UnsafeCell::new(value) }
    }

    /// Gives it a name, which the reports of [`sync::debug`](crate::sync::debug) show beside its type. It is a reference to a
    /// literal, and takes no time when the lock is used.
    ///
    /// ```
    /// # use reiver::sync::Mutex;
    /// let accounts = Mutex::new(Vec::<u64>::new()).named(&"accounts");
    /// static BALANCE: Mutex<u64> = Mutex::const_new(0).named(&"balance");
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

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, waiting for it in turn.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    #[inline]
    pub fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        Locking { acquire: self.take(), lock: self }
    }

    /// As [`lock`](Self::lock); the guard keeps the lock alive instead of borrowing it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn lock_owned(self: Arc<Self>) -> OwnedMutexGuard<T> {
        let _ = self.take().await;
        OwnedMutexGuard::new(self)
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    ///
    /// If it is taken.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        self.permits.try_acquire(1).map_err(|_| TryLockError(()))?;
        Ok(self.guard())
    }

    /// As [`try_lock`](Self::try_lock), owned.
    ///
    /// # Errors
    ///
    /// If it is taken.
    pub fn try_lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        self.permits.try_acquire(1).map_err(|_| TryLockError(()))?;
        Ok(OwnedMutexGuard::new(self))
    }

    /// As [`lock`](Self::lock), for code that is not async: blocks the thread.
    pub fn blocking_lock(&self) -> MutexGuard<'_, T> {
        block_on(self.lock())
    }

    /// As [`lock_owned`](Self::lock_owned), for code that is not async: blocks the thread.
    pub fn blocking_lock_owned(self: Arc<Self>) -> OwnedMutexGuard<T> {
        block_on(self.lock_owned())
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The permits of a lock are never closed, so there is no error.
    #[inline]
    fn take(&self) -> Acquire<'_> {
        self.permits.acquire(1, WaitKind::Mutex)
    }

    /// For a caller that has just acquired the permit.
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { value: self.pointer(), hold: Hold::new(self, 1), lock: self }
    }

    fn pointer(&self) -> NonNull<T> {
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(self.value.get()) }
    }
}

impl<T: ?Sized> Lock for Mutex<T> {
    fn permits(&self) -> &Permits {
        &self.permits
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("data", &&*guard),
            Err(_) => out.field("data", &format_args!("<locked>")),
        };
        out.finish()
    }
}

pin_project! {
    /// A wait for the lock. An `async fn` costs 20 instructions more for a lock that is free: it is a state
    /// machine beside that of its caller, never inlined.
    #[must_use = "futures do nothing unless polled"]
    struct Locking<'a, T: ?Sized> {
        #[pin]
        acquire: Acquire<'a>,
        lock: &'a Mutex<T>,
    }
}

impl<'a, T: ?Sized> Future for Locking<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let this = self.project();
        let lock = *this.lock;
        this.acquire.poll(cx).map(|_| lock.guard())
    }
}

/// The right to the value of a [`Mutex`]; gives the lock back when dropped.
#[must_use = "dropping it gives the lock back"]
pub struct MutexGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    hold: Hold<'a>,
    lock: &'a Mutex<T>,
}

// SAFETY: as a `&mut T`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Send> Send for MutexGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for MutexGuard<'_, T> {}

guard_impls!(exclusive MutexGuard ['a, T: ?Sized] ['a, T] T);

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// A guard for a part of the value.
    pub fn map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> &mut U,
    ) -> MappedMutexGuard<'a, U> {
        let value = NonNull::from(f(&mut this));
        MappedMutexGuard { value, hold: this.hold, _value: PhantomData }
    }

    /// A guard for a part of the value, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedMutexGuard<'a, U>, Self> {
        match f(&mut this).map(NonNull::from) {
            Some(value) => Ok(MappedMutexGuard { value, hold: this.hold, _value: PhantomData }),
            None => Err(this),
        }
    }

    /// The lock that it belongs to.
    pub fn mutex(this: &Self) -> &'a Mutex<T> {
        this.lock
    }
}

/// The right to a part of the value of a [`Mutex`]; gives the lock back when dropped.
#[must_use = "dropping it gives the lock back"]
pub struct MappedMutexGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    hold: Hold<'a>,
    _value: PhantomData<&'a mut T>,
}

// SAFETY: as a `&mut T`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Send> Send for MappedMutexGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for MappedMutexGuard<'_, T> {}

guard_impls!(exclusive MappedMutexGuard ['a, T: ?Sized] ['a, T] T);

impl<'a, T: ?Sized> MappedMutexGuard<'a, T> {
    /// A guard for a part of the part.
    pub fn map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> &mut U,
    ) -> MappedMutexGuard<'a, U> {
        let value = NonNull::from(f(&mut this));
        MappedMutexGuard { value, hold: this.hold, _value: PhantomData }
    }

    /// A guard for a part of the part, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedMutexGuard<'a, U>, Self> {
        match f(&mut this).map(NonNull::from) {
            Some(value) => Ok(MappedMutexGuard { value, hold: this.hold, _value: PhantomData }),
            None => Err(this),
        }
    }
}

/// The right to the value of a shared [`Mutex`], which it keeps alive; gives the lock back when
/// dropped.
#[must_use = "dropping it gives the lock back"]
pub struct OwnedMutexGuard<T: ?Sized> {
    value: NonNull<T>,
    hold: OwnedHold<Mutex<T>>,
}

// SAFETY: as a `&mut T` and an `Arc<Mutex<T>>`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Send> Send for OwnedMutexGuard<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for OwnedMutexGuard<T> {}

guard_impls!(exclusive OwnedMutexGuard [T: ?Sized] [T] T);

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// For a caller that has just acquired the permit.
    fn new(lock: Arc<Mutex<T>>) -> Self {
        Self { value: lock.pointer(), hold: OwnedHold::new(lock, 1) }
    }

    /// A guard for a part of the value.
    pub fn map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> &mut U,
    ) -> OwnedMappedMutexGuard<T, U> {
        let value = NonNull::from(f(&mut this));
        OwnedMappedMutexGuard { value, hold: this.hold, _value: PhantomData }
    }

    /// A guard for a part of the value, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<OwnedMappedMutexGuard<T, U>, Self> {
        match f(&mut this).map(NonNull::from) {
            Some(value) => {
                Ok(OwnedMappedMutexGuard { value, hold: this.hold, _value: PhantomData })
            }
            None => Err(this),
        }
    }

    /// The lock that it belongs to.
    pub fn mutex(this: &Self) -> &Arc<Mutex<T>> {
        &this.hold.lock
    }
}

/// The right to a part of the value of a shared [`Mutex`], which it keeps alive.
#[must_use = "dropping it gives the lock back"]
pub struct OwnedMappedMutexGuard<T: ?Sized, U: ?Sized = T> {
    value: NonNull<U>,
    hold: OwnedHold<Mutex<T>>,
    /// A pointer that is written through must not have its lifetimes shortened.
    _value: PhantomData<*mut U>,
}

// SAFETY: as a `&mut U` and an `Arc<Mutex<T>>`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Send, U: ?Sized + Send> Send for OwnedMappedMutexGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Send + Sync> Sync for OwnedMappedMutexGuard<T, U> {}

guard_impls!(exclusive OwnedMappedMutexGuard [T: ?Sized, U: ?Sized] [T, U] U);

impl<T: ?Sized, U: ?Sized> OwnedMappedMutexGuard<T, U> {
    /// A guard for a part of the part.
    pub fn map<S: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut U) -> &mut S,
    ) -> OwnedMappedMutexGuard<T, S> {
        let value = NonNull::from(f(&mut this));
        OwnedMappedMutexGuard { value, hold: this.hold, _value: PhantomData }
    }

    /// A guard for a part of the part, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<S: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut U) -> Option<&mut S>,
    ) -> Result<OwnedMappedMutexGuard<T, S>, Self> {
        match f(&mut this).map(NonNull::from) {
            Some(value) => {
                Ok(OwnedMappedMutexGuard { value, hold: this.hold, _value: PhantomData })
            }
            None => Err(this),
        }
    }
}
