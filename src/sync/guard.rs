//! What all lock guards share: a hold on permits, a pointer to the value, and the trait impls.
//!
//! # Rules
//!
//! 1. A guard exists only while its hold does; a hold of all permits of a lock is exclusive, a hold
//!    of one permit is shared with other holds of one permit.
//! 2. The value lives as long as the lock, which the hold borrows or keeps alive, and its address
//!    does not change while there is a guard.

use super::debug;
use super::permits::Permits;
use crate::primitive::Arc;

/// Permits taken from a borrowed lock; given back on drop.
pub(super) struct Hold<'a> {
    permits: &'a Permits,
    n: usize,
}

impl<'a> Hold<'a> {
    /// Takes over `n` permits of `lock` that the caller has acquired.
    pub(super) fn new<L: Lock + ?Sized>(lock: &'a L, n: usize) -> Self {
        debug::held::<L>(lock.permits());
        Self { permits: lock.permits(), n }
    }

    /// Gives back all but one.
    pub(super) fn downgrade(&mut self) {
        let n = std::mem::replace(&mut self.n, 1);
        self.permits.release(n - 1);
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        debug::given_back(self.permits);
        self.permits.release(self.n);
    }
}

/// A lock whose permits can be found.
pub(super) trait Lock {
    fn permits(&self) -> &Permits;
}

/// Permits taken from a shared lock, which it keeps alive; given back on drop.
pub(super) struct OwnedHold<L: Lock + ?Sized> {
    pub(super) lock: Arc<L>,
    n: usize,
}

impl<L: Lock + ?Sized> OwnedHold<L> {
    /// Takes over `n` permits that the caller has acquired.
    pub(super) fn new(lock: Arc<L>, n: usize) -> Self {
        debug::held::<L>(lock.permits());
        Self { lock, n }
    }

    /// Gives back all but one.
    pub(super) fn downgrade(&mut self) {
        let n = std::mem::replace(&mut self.n, 1);
        self.lock.permits().release(n - 1);
    }
}

impl<L: Lock + ?Sized> Drop for OwnedHold<L> {
    #[inline]
    fn drop(&mut self) {
        debug::given_back(self.lock.permits());
        self.lock.permits().release(self.n);
    }
}

/// `Deref`, `Debug`, `Display` for a guard with a field `value: NonNull<_>`; `exclusive` adds
/// `DerefMut`.
macro_rules! guard_impls {
    (exclusive $name:ident [$($params:tt)*] [$($args:tt)*] $target:ident) => {
        guard_impls!(shared $name [$($params)*] [$($args)*] $target);

        impl<$($params)*> std::ops::DerefMut for $name<$($args)*> {
            #[inline]
            fn deref_mut(&mut self) -> &mut $target {
                // SAFETY: guard rules 1 and 2: exclusive, and borrowed exclusively.
                unsafe { self.value.as_mut() }
            }
        }
    };
    (shared $name:ident [$($params:tt)*] [$($args:tt)*] $target:ident) => {
        impl<$($params)*> std::ops::Deref for $name<$($args)*> {
            type Target = $target;

            #[inline]
            fn deref(&self) -> &$target {
                // SAFETY: guard rules 1 and 2: nobody writes while this guard exists.
                unsafe { self.value.as_ref() }
            }
        }

        impl<$($params)*> std::fmt::Debug for $name<$($args)*>
        where
            $target: std::fmt::Debug,
        {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<$($params)*> std::fmt::Display for $name<$($args)*>
        where
            $target: std::fmt::Display,
        {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}
pub(super) use guard_impls;
