//! Values that are set once: [`OnceCell`] runs an async initialiser, [`SetOnce`] is waited for.
//!
//! # Rules
//!
//! 1. `set` in the state is set after the value was written, by the one who had the right to write it:
//!    in a `OnceCell` the holder of the one permit, in a `SetOnce` whoever took `state` from 0.
//! 2. After that nobody writes the value while the cell is shared.

use super::blocking::block_on;
use super::permits::{Permits, Refused};
use super::{Notify, spend_budget};
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::fixed;
use crate::util::note::WaitKind;
use std::cell::UnsafeCell;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem::MaybeUninit;

/// The value is there.
const SET: usize = 2;
/// Somebody is writing the value.
const WRITING: usize = 1;

/// A value and whether it is there.
struct Slot<T> {
    state: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: rules 1 and 2: written by one, then read by many.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slot<T> {
    fn new(value: Option<T>) -> Self {
        match value {
            Some(value) => Self {
                state: AtomicUsize::new(SET),
                value: UnsafeCell::new(MaybeUninit::new(value)),
            },
            None => {
                Self { state: AtomicUsize::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) }
            }
        }
    }

    const fn const_empty() -> Self {
        Self { state: fixed::atomic_usize(0), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    const fn const_full(value: T) -> Self {
        Self { state: fixed::atomic_usize(SET), value: UnsafeCell::new(MaybeUninit::new(value)) }
    }

    fn is_set(&self) -> bool {
        // Acquire: pairs with the Release in `write`.
        self.state.load(Acquire) & SET != 0
    }

    fn get(&self) -> Option<&T> {
        // SAFETY: rule 1: it is there; rule 2.
        self.is_set().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: rule 1, and nobody else has the cell.
        self.is_set().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// # Safety
    ///
    /// By the one who has the right to (rule 1), once.
    unsafe fn write(&self, value: T) -> &T {
        // SAFETY: the caller's: nobody reads or writes it now.
        let value = unsafe { (*self.value.get()).write(value) };
        // Release: pairs with the Acquire in `is_set`.
        self.state.fetch_or(SET, Release);
        value
    }

    fn take(&mut self) -> Option<T> {
        if !self.is_set() {
            return None;
        }
        // Relaxed: nobody else has the cell.
        self.state.swap(0, Relaxed);
        // SAFETY: rule 1; it counts as not there now.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// A cell that is set once, possibly by an async function.
///
/// # Examples
///
/// ```
/// use reiver::sync::OnceCell;
///
/// static NAME: OnceCell<String> = OnceCell::const_new();
///
/// assert!(NAME.get().is_none());
/// NAME.set("reiver".to_owned()).unwrap();
/// assert_eq!(NAME.get().unwrap(), "reiver");
/// assert!(NAME.set("another".to_owned()).is_err());
/// ```
pub struct OnceCell<T> {
    slot: Slot<T>,
    /// One permit: the right to write. Closed once the value is there.
    permits: Permits,
}

impl<T> OnceCell<T> {
    /// An empty cell.
    pub fn new() -> Self {
        Self::new_with(None)
    }

    /// A cell that is set if there is a value.
    pub fn new_with(value: Option<T>) -> Self {
        let permits = Permits::new(1);
        if value.is_some() {
            permits.close();
        }
        Self { slot: Slot::new(value), permits }
    }

    /// An empty cell for a `static`.
    pub const fn const_new() -> Self {
        Self { slot: Slot::const_empty(), permits: Permits::const_new(1) }
    }

    /// A set cell for a `static`.
    pub const fn const_new_with(value: T) -> Self {
        // Nobody asks for the permit of a cell that is set.
        Self { slot: Slot::const_full(value), permits: Permits::const_new(0) }
    }

    /// Whether it is set.
    pub fn initialized(&self) -> bool {
        self.slot.is_set()
    }

    /// The value, if it is set.
    pub fn get(&self) -> Option<&T> {
        self.slot.get()
    }

    /// The value, if it is set.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.slot.get_mut()
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// The value, if the cell is set or being initialised.
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        if self.initialized() {
            return Err(SetError::AlreadyInitializedError(value));
        }
        match self.permits.take_free(1) {
            Ok(()) => {
                self.finish(value);
                Ok(())
            }
            Err(Refused::NoPermits) => Err(SetError::InitializingError(value)),
            Err(Refused::Closed) => Err(SetError::AlreadyInitializedError(value)),
        }
    }

    /// The value; if it is not set, `init` runs first. Of several callers one runs its function, the
    /// others wait for it; if it is dropped or panics, the next one runs its own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the initialiser; another caller starts its own.
    pub async fn get_or_init<F, Fut>(&self, init: F) -> &T
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        let init = || async { Ok::<T, Infallible>(init().await) };
        match self.get_or_try_init(init).await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_init`](Self::get_or_init) with a function that may fail; then the cell stays
    /// empty.
    ///
    /// # Errors
    ///
    /// What `init` answers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the initialiser; another caller starts its own.
    pub async fn get_or_try_init<E, F, Fut>(&self, init: F) -> Result<&T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        /// The right to write, given back unless it was used.
        struct Right<'a>(&'a Permits);

        impl Drop for Right<'_> {
            fn drop(&mut self) {
                self.0.release(1);
            }
        }

        if let Some(value) = self.get() {
            spend_budget().await;
            return Ok(value);
        }
        if self.permits.acquire(1, WaitKind::Once).await.is_err() {
            return Ok(self.get().expect("closed once the value is there"));
        }
        let right = Right(&self.permits);
        let value = init().await?;
        std::mem::forget(right);
        Ok(self.finish(value))
    }

    /// As [`get_or_init`](Self::get_or_init), for code that is not async: blocks the thread, which runs `init` itself or
    /// waits for whoever does.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::sync::OnceCell;
    ///
    /// static TABLE: OnceCell<Vec<u32>> = OnceCell::const_new();
    ///
    /// assert_eq!(TABLE.blocking_get_or_init(|| (0..3).collect()), &[0, 1, 2]);
    /// assert_eq!(TABLE.blocking_get_or_init(|| unreachable!()), &[0, 1, 2]);
    /// ```
    pub fn blocking_get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        block_on(self.get_or_init(|| async { init() }))
    }

    /// As [`get_or_try_init`](Self::get_or_try_init), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// What `init` answers.
    pub fn blocking_get_or_try_init<E>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        block_on(self.get_or_try_init(|| async { init() }))
    }

    /// Takes the value out; the cell can be set again.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    /// The value, if it is set.
    pub fn into_inner(mut self) -> Option<T> {
        self.slot.take()
    }

    /// By the holder of the permit.
    fn finish(&self, value: T) -> &T {
        // SAFETY: rule 1: the permit is never given back from here on.
        let value = unsafe { self.slot.write(value) };
        self.permits.close();
        value
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        Self::new_with(Some(value))
    }
}

impl<T: Clone> Clone for OnceCell<T> {
    fn clone(&self) -> Self {
        Self::new_with(self.get().cloned())
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).finish()
    }
}

/// Why [`OnceCell::set`] did not; the value comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum SetError<T> {
    /// The cell is set.
    AlreadyInitializedError(T),
    /// Another one is initialising it.
    InitializingError(T),
}

impl<T> SetError<T> {
    /// Whether the cell is set.
    pub fn is_already_init_err(&self) -> bool {
        matches!(self, Self::AlreadyInitializedError(_))
    }

    /// Whether another one is initialising it.
    pub fn is_initializing_err(&self) -> bool {
        matches!(self, Self::InitializingError(_))
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyInitializedError(_) => "cell is already initialised",
            Self::InitializingError(_) => "cell is being initialised",
        })
    }
}

impl<T: fmt::Debug> Error for SetError<T> {}

/// A value that is set once and can be waited for.
///
/// # Examples
///
/// ```
/// use reiver::sync::SetOnce;
///
/// let port = SetOnce::new();
/// assert_eq!(port.get(), None);
/// port.set(8080).unwrap();
/// assert_eq!(port.get(), Some(&8080));
/// assert!(port.set(8081).is_err());
/// ```
pub struct SetOnce<T> {
    slot: Slot<T>,
    notify: Notify,
}

impl<T> SetOnce<T> {
    /// An empty cell.
    pub fn new() -> Self {
        Self::new_with(None)
    }

    /// A cell that is set if there is a value.
    pub fn new_with(value: Option<T>) -> Self {
        Self { slot: Slot::new(value), notify: Notify::new() }
    }

    /// An empty cell for a `static`.
    pub const fn const_new() -> Self {
        Self { slot: Slot::const_empty(), notify: Notify::const_new() }
    }

    /// A set cell for a `static`.
    pub const fn const_new_with(value: T) -> Self {
        Self { slot: Slot::const_full(value), notify: Notify::const_new() }
    }

    /// Whether it is set.
    pub fn initialized(&self) -> bool {
        self.slot.is_set()
    }

    /// The value, if it is set.
    pub fn get(&self) -> Option<&T> {
        self.slot.get()
    }

    /// Sets the value and wakes those who wait for it.
    ///
    /// # Errors
    ///
    /// The value, if the cell is set or being set.
    pub fn set(&self, value: T) -> Result<(), SetOnceError<T>> {
        // Relaxed: it only decides who writes.
        if self.slot.state.fetch_or(WRITING, Relaxed) != 0 {
            return Err(SetOnceError(value));
        }
        // SAFETY: rule 1: the first to set the bit.
        unsafe { self.slot.write(value) };
        self.notify.notify_waiters();
        Ok(())
    }

    /// Waits for the value.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn wait(&self) -> &T {
        spend_budget().await;
        loop {
            let notified = self.notify.notified_as(WaitKind::Once);
            // In this order: a set after this look notifies.
            if let Some(value) = self.get() {
                return value;
            }
            notified.await;
        }
    }

    /// As [`wait`](Self::wait), for code that is not async: blocks the thread.
    pub fn blocking_wait(&self) -> &T {
        block_on(self.wait())
    }

    /// The value, if it is set.
    pub fn into_inner(mut self) -> Option<T> {
        self.slot.take()
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for SetOnce<T> {
    fn from(value: T) -> Self {
        Self::new_with(Some(value))
    }
}

impl<T: Clone> Clone for SetOnce<T> {
    fn clone(&self) -> Self {
        Self::new_with(self.get().cloned())
    }
}

impl<T: PartialEq> PartialEq for SetOnce<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for SetOnce<T> {}

impl<T: fmt::Debug> fmt::Debug for SetOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetOnce").field("value", &self.get()).finish()
    }
}

/// A [`SetOnce`] that was set already; the value comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct SetOnceError<T>(pub T);

impl<T> fmt::Display for SetOnceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is set already")
    }
}

impl<T: fmt::Debug> Error for SetOnceError<T> {}
