//! The guards that borrow a [`RwLock`](super::RwLock). Rules: `super::super::guard`.

use super::super::guard::{Hold, guard_impls};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The right to read the value of a [`RwLock`](super::RwLock), or a part of it; gives the lock back
/// when dropped.
#[must_use = "dropping it gives the lock back"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    hold: Hold<'a>,
    _value: PhantomData<&'a T>,
}

// SAFETY: as a `&T`, which guard rules 1 and 2 make it.
unsafe impl<T: ?Sized + Sync> Send for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

guard_impls!(shared RwLockReadGuard ['a, T: ?Sized] ['a, T] T);

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    pub(super) fn new(value: NonNull<T>, hold: Hold<'a>) -> Self {
        Self { value, hold, _value: PhantomData }
    }

    /// A guard for a part of the value.
    pub fn map<U: ?Sized>(this: Self, f: impl FnOnce(&T) -> &U) -> RwLockReadGuard<'a, U> {
        let value = NonNull::from(f(&this));
        RwLockReadGuard::new(value, this.hold)
    }

    /// A guard for a part of the value, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_map<U: ?Sized>(
        this: Self,
        f: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<RwLockReadGuard<'a, U>, Self> {
        match f(&this).map(NonNull::from) {
            Some(value) => Ok(RwLockReadGuard::new(value, this.hold)),
            None => Err(this),
        }
    }
}

macro_rules! write_guard {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[must_use = "dropping it gives the lock back"]
        pub struct $name<'a, T: ?Sized> {
            value: NonNull<T>,
            hold: Hold<'a>,
            _value: PhantomData<&'a mut T>,
        }

        // SAFETY: as a `&mut T`, which guard rules 1 and 2 make it; a downgrade shares it.
        unsafe impl<T: ?Sized + Send + Sync> Send for $name<'_, T> {}
        // SAFETY: as above.
        unsafe impl<T: ?Sized + Send + Sync> Sync for $name<'_, T> {}

        guard_impls!(exclusive $name ['a, T: ?Sized] ['a, T] T);

        impl<'a, T: ?Sized> $name<'a, T> {
            pub(super) fn new(value: NonNull<T>, hold: Hold<'a>) -> Self {
                Self { value, hold, _value: PhantomData }
            }

            /// A guard for a part of the value.
            pub fn map<U: ?Sized>(
                mut this: Self,
                f: impl FnOnce(&mut T) -> &mut U,
            ) -> RwLockMappedWriteGuard<'a, U> {
                let value = NonNull::from(f(&mut this));
                RwLockMappedWriteGuard::new(value, this.hold)
            }

            /// A guard for a part of the value, if there is such a part.
            ///
            /// # Errors
            ///
            /// The guard itself, if `f` answers `None`.
            pub fn try_map<U: ?Sized>(
                mut this: Self,
                f: impl FnOnce(&mut T) -> Option<&mut U>,
            ) -> Result<RwLockMappedWriteGuard<'a, U>, Self> {
                match f(&mut this).map(NonNull::from) {
                    Some(value) => Ok(RwLockMappedWriteGuard::new(value, this.hold)),
                    None => Err(this),
                }
            }
        }
    };
}

write_guard! {
    /// The right to write the value of a [`RwLock`](super::RwLock); gives the lock back when dropped.
    RwLockWriteGuard
}
write_guard! {
    /// The right to write a part of the value of a [`RwLock`](super::RwLock). It cannot be
    /// downgraded: readers of the part would sit beside readers of the whole.
    RwLockMappedWriteGuard
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Becomes a read guard, without letting another writer in between.
    pub fn downgrade(mut self) -> RwLockReadGuard<'a, T> {
        self.hold.downgrade();
        RwLockReadGuard::new(self.value, self.hold)
    }

    /// Becomes a read guard for a part of the value.
    pub fn downgrade_map<U: ?Sized>(
        this: Self,
        f: impl FnOnce(&T) -> &U,
    ) -> RwLockReadGuard<'a, U> {
        // `f` first: it must see the value before other readers could have changed it inside.
        let value = NonNull::from(f(&this));
        let mut hold = this.hold;
        hold.downgrade();
        RwLockReadGuard::new(value, hold)
    }

    /// Becomes a read guard for a part of the value, if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard itself, if `f` answers `None`.
    pub fn try_downgrade_map<U: ?Sized>(
        this: Self,
        f: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<RwLockReadGuard<'a, U>, Self> {
        match f(&this).map(NonNull::from) {
            Some(value) => {
                let mut hold = this.hold;
                hold.downgrade();
                Ok(RwLockReadGuard::new(value, hold))
            }
            None => Err(this),
        }
    }

    /// The same right without the possibility to downgrade.
    pub fn into_mapped(this: Self) -> RwLockMappedWriteGuard<'a, T> {
        RwLockMappedWriteGuard::new(this.value, this.hold)
    }
}
