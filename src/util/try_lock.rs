//! A lock that is only ever tried: who does not get it does something else.
//!
//! A mutex would do, but for the models: loom makes a `try_lock` wait for a lock that is taken while
//! the attempt is on its way, and whoever waits for the holder of a turn that sleeps waits for ever.

use crate::primitive::UnsafeCell;
use crate::primitive::atomic::{AtomicBool, Ordering::*};

/// A value that one thread at a time may use. Rule 1: whoever changed `taken` from `false` to `true`
/// has the value to itself until it stores `false`.
#[derive(Debug)]
pub(crate) struct TryLock<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: rule 1: one thread at a time has access, so what can be sent can be shared this way.
unsafe impl<T: Send> Sync for TryLock<T> {}

impl<T> TryLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Takes the lock if it is free now.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<TryGuard<'_, T>> {
        // Relaxed: a taken lock is left alone, and its cache line with whoever has it.
        // Acquire: pairs with the Release in the guard's drop.
        if self.taken.load(Relaxed) || self.taken.swap(true, Acquire) {
            return None;
        }
        Some(TryGuard { lock: self })
    }

    /// Whether somebody has the lock now. Unlike an attempt, it keeps nobody from taking it.
    pub(crate) fn is_taken(&self) -> bool {
        // Relaxed: a hint, or behind a fence of the caller's.
        self.taken.load(Relaxed)
    }
}

/// The right to the value; gives the lock back when dropped.
#[must_use = "the lock is given back when this is dropped"]
pub(crate) struct TryGuard<'a, T> {
    lock: &'a TryLock<T>,
}

impl<T> TryGuard<'_, T> {
    /// Runs `f` with the value.
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: rule 1; the guard is borrowed exclusively, so this is the only reference.
        self.lock.value.with_mut(|value| f(unsafe { &mut *value }))
    }
}

impl<T> Drop for TryGuard<'_, T> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `try_lock`. A swap, for the models: loom lets a plain
        // store and another thread's swap happen in an order that no machine has.
        self.lock.taken.swap(false, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let lock = TryLock::new(1);
        let mut guard = lock.try_lock().expect("free");
        assert!(lock.is_taken() && lock.try_lock().is_none());
        guard.with(|value| *value += 1);
        drop(guard);
        assert_eq!(lock.try_lock().expect("free again").with(|value| *value), 2);
    }
}
