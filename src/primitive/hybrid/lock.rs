//! Locks: parking_lot's outside a model, loom's inside one.
//!
//! The value always stands in a parking_lot mutex. Inside a model a loom lock is taken before it, so
//! the inner one is never contended there, and that also allows unsized values.

use super::{in_model, ledger, storm};
use std::ops::{Deref, DerefMut};

/// What a coroutine says instead of waiting for another one of the same OS thread.
const CONTENDED: &str = "a lock made outside the model is contended inside it: \
    make the object that holds it inside the model";

/// A mutual-exclusion lock, in parking_lot's shape.
#[derive(Debug)]
pub struct Mutex<T: ?Sized> {
    model: Option<Box<loom::sync::Mutex<()>>>,
    value: parking_lot::Mutex<T>,
}

/// The right to the value; gives the lock back when dropped.
#[derive(Debug)]
pub struct MutexGuard<'a, T: ?Sized> {
    // In this order: the inner lock is free before the loom lock lets another thread in.
    value: parking_lot::MutexGuard<'a, T>,
    _model: Option<loom::sync::MutexGuard<'a, ()>>,
    // Last: who waits in a storm finds the lock free.
    _storm: storm::Unlock,
}

impl<T> Mutex<T> {
    /// Makes the lock: loom's inside a model.
    pub fn new(value: T) -> Self {
        Self {
            model: in_model().then(|| Box::new(loom::sync::Mutex::new(()))),
            value: parking_lot::Mutex::new(value),
        }
    }

    /// A real lock, for statics.
    pub(super) const fn fixed(value: T) -> Self {
        Self { model: None, value: parking_lot::Mutex::new(value) }
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match &self.model {
            Some(model) => {
                let model = model.lock().expect("loom locks are not poisoned");
                self.guard(self.uncontended(), Some(model))
            }
            None if in_model() => self.guard(self.uncontended(), None),
            None if storm::is_on() => {
                let value = storm::lock(self.address(), || self.value.try_lock());
                self.guard(value, None)
            }
            None => self.guard(self.value.lock(), None),
        }
    }

    /// Takes the lock if it is free now.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match &self.model {
            Some(model) => {
                let model = model.try_lock().ok()?;
                Some(self.guard(self.uncontended(), Some(model)))
            }
            None => {
                storm::point();
                Some(self.guard(self.value.try_lock()?, None))
            }
        }
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn address(&self) -> usize {
        (&raw const self.value).cast::<()>().addr()
    }

    #[track_caller]
    fn guard<'a>(
        &self,
        value: parking_lot::MutexGuard<'a, T>,
        model: Option<loom::sync::MutexGuard<'a, ()>>,
    ) -> MutexGuard<'a, T> {
        ledger::change(&self.value, 2);
        MutexGuard { value, _model: model, _storm: storm::Unlock(self.address()) }
    }

    #[track_caller]
    fn uncontended(&self) -> parking_lot::MutexGuard<'_, T> {
        self.value.try_lock().expect(CONTENDED)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// The spinning lock. A model cannot spin for ever, so it is the other lock there.
#[derive(Debug, Default)]
pub struct SpinLock<T>(Mutex<T>);

/// The right to the value of a [`SpinLock`].
pub type SpinGuard<'a, T> = MutexGuard<'a, T>;

impl<T> SpinLock<T> {
    /// Makes the lock: loom's inside a model.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes the lock.
    #[track_caller]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        self.0.lock()
    }
}
