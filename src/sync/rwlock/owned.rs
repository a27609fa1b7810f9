//! The guards that keep a [`RwLock`] alive. Rules: `super::super::guard`.

use super::super::guard::{OwnedHold, guard_impls};
use super::RwLock;
use crate::primitive::Arc;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The right to read the value of a shared [`RwLock`], or a part of it; gives the lock back when
/// dropped.
#[must_use = "dropping it gives the lock back"]
pub struct OwnedRwLockReadGuard<T: ?Sized, U: ?Sized = T> {
    value: NonNull<U>,
    hold: OwnedHold<RwLock<T>>,
}

// SAFETY: as a `&U` and an `Arc<RwLock<T>>`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Send for OwnedRwLockReadGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Sync for OwnedRwLockReadGuard<T, U> {}

guard_impls!(shared OwnedRwLockReadGuard [T: ?Sized, U: ?Sized] [T, U] U);

impl<T: ?Sized, U: ?Sized> OwnedRwLockReadGuard<T, U> {
    pub(super) fn new(value: NonNull<U>, hold: OwnedHold<RwLock<T>>) -> Self {
        Self { value, hold }
    }

    /// A guard for a part of the value.
    pub fn map<V: ?Sized>(this: Self, f: impl FnOnce(&U) -> &V) -> OwnedRwLockReadGuard<T, V> {
        let value = NonNull::from(f(&this));
        OwnedRwLockReadGuard::new(value, this.hold)
    }

    /// A guard for a part of the value, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<V: ?Sized>(
        this: Self,
        f: impl FnOnce(&U) -> Option<&V>,
    ) -> Result<OwnedRwLockReadGuard<T, V>, Self> {
        match f(&this).map(NonNull::from) {
            Some(value) => Ok(OwnedRwLockReadGuard::new(value, this.hold)),
            None => Err(this),
        }
    }

    /// The lock that it belongs to.
    pub fn rwlock(this: &Self) -> &Arc<RwLock<T>> {
        &this.hold.lock
    }
}

/// The right to write the value of a shared [`RwLock`]; gives the lock back when dropped.
#[must_use = "dropping it gives the lock back"]
pub struct OwnedRwLockWriteGuard<T: ?Sized> {
    value: NonNull<T>,
    hold: OwnedHold<RwLock<T>>,
}

// SAFETY: as a `&mut T` and an `Arc<RwLock<T>>`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Send + Sync> Send for OwnedRwLockWriteGuard<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for OwnedRwLockWriteGuard<T> {}

guard_impls!(exclusive OwnedRwLockWriteGuard [T: ?Sized] [T] T);

impl<T: ?Sized> OwnedRwLockWriteGuard<T> {
    pub(super) fn new(value: NonNull<T>, hold: OwnedHold<RwLock<T>>) -> Self {
        Self { value, hold }
    }

    /// A guard for a part of the value.
    pub fn map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> &mut U,
    ) -> OwnedRwLockMappedWriteGuard<T, U> {
        let value = NonNull::from(f(&mut this));
        OwnedRwLockMappedWriteGuard { value, hold: this.hold, _value: PhantomData }
    }

    /// A guard for a part of the value, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<OwnedRwLockMappedWriteGuard<T, U>, Self> {
        match f(&mut this).map(NonNull::from) {
            Some(value) => {
                Ok(OwnedRwLockMappedWriteGuard { value, hold: this.hold, _value: PhantomData })
            }
            None => Err(this),
        }
    }

    /// Becomes a read guard, without letting another writer in between.
    pub fn downgrade(mut self) -> OwnedRwLockReadGuard<T> {
        self.hold.downgrade();
        OwnedRwLockReadGuard::new(self.value, self.hold)
    }

    /// Becomes a read guard for a part of the value.
    pub fn downgrade_map<U: ?Sized>(
        this: Self,
        f: impl FnOnce(&T) -> &U,
    ) -> OwnedRwLockReadGuard<T, U> {
        let value = NonNull::from(f(&this));
        let mut hold = this.hold;
        hold.downgrade();
        OwnedRwLockReadGuard::new(value, hold)
    }

    /// Becomes a read guard for a part of the value, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_downgrade_map<U: ?Sized>(
        this: Self,
        f: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<OwnedRwLockReadGuard<T, U>, Self> {
        match f(&this).map(NonNull::from) {
            Some(value) => {
                let mut hold = this.hold;
                hold.downgrade();
                Ok(OwnedRwLockReadGuard::new(value, hold))
            }
            None => Err(this),
        }
    }

    /// The same right without the possibility to downgrade.
    pub fn into_mapped(this: Self) -> OwnedRwLockMappedWriteGuard<T> {
        OwnedRwLockMappedWriteGuard { value: this.value, hold: this.hold, _value: PhantomData }
    }

    /// The lock that it belongs to.
    pub fn rwlock(this: &Self) -> &Arc<RwLock<T>> {
        &this.hold.lock
    }
}

/// The right to write a part of the value of a shared [`RwLock`]; gives the lock back when dropped.
#[must_use = "dropping it gives the lock back"]
pub struct OwnedRwLockMappedWriteGuard<T: ?Sized, U: ?Sized = T> {
    value: NonNull<U>,
    hold: OwnedHold<RwLock<T>>,
    /// A pointer that is written through must not have its lifetimes shortened.
    _value: PhantomData<*mut U>,
}

// SAFETY: as a `&mut U` and an `Arc<RwLock<T>>`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Send + Sync> Send
    for OwnedRwLockMappedWriteGuard<T, U>
{
}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Send + Sync> Sync
    for OwnedRwLockMappedWriteGuard<T, U>
{
}

guard_impls!(exclusive OwnedRwLockMappedWriteGuard [T: ?Sized, U: ?Sized] [T, U] U);

impl<T: ?Sized, U: ?Sized> OwnedRwLockMappedWriteGuard<T, U> {
    /// A guard for a part of the part.
    pub fn map<V: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut U) -> &mut V,
    ) -> OwnedRwLockMappedWriteGuard<T, V> {
        let value = NonNull::from(f(&mut this));
        OwnedRwLockMappedWriteGuard { value, hold: this.hold, _value: PhantomData }
    }

    /// A guard for a part of the part, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<V: ?Sized>(
        mut this: Self,
        f: impl FnOnce(&mut U) -> Option<&mut V>,
    ) -> Result<OwnedRwLockMappedWriteGuard<T, V>, Self> {
        match f(&mut this).map(NonNull::from) {
            Some(value) => {
                Ok(OwnedRwLockMappedWriteGuard { value, hold: this.hold, _value: PhantomData })
            }
            None => Err(this),
        }
    }

    /// The lock that it belongs to.
    pub fn rwlock(this: &Self) -> &Arc<RwLock<T>> {
        &this.hold.lock
    }
}
