//! Exploration of a user's code: there is none in production, and each of these folds to nothing.
//! What they do in a model build stands in `hybrid/explore.rs`.

use std::marker::PhantomData;

pub(crate) const fn is_on() -> bool {
    false
}

pub(crate) const fn preempts() -> bool {
    false
}

pub(crate) const fn below(_n: u32) -> Option<u32> {
    None
}

pub(crate) const fn refuses() -> bool {
    false
}

pub(crate) const fn waker_cloned() {}

pub(crate) const fn panic_lost() {}

pub(crate) const fn reached(_label: &'static str) {}

#[inline(always)]
pub(crate) fn atomically<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[inline(always)]
pub(crate) fn unannounced<R>(f: impl FnOnce() -> R) -> R {
    f()
}

pub(crate) fn at_end(_f: impl FnOnce() + 'static) {}

pub(crate) const fn forbid(_what: &str) {}

#[inline(always)]
pub(crate) fn admit<R>(f: impl FnOnce() -> R) -> R {
    f()
}

pub(crate) const fn network() -> Option<u64> {
    None
}

#[inline(always)]
pub(crate) const fn short(most: usize) -> usize {
    most
}

/// Room for a `T` that only explored runtimes have.
pub(crate) struct Explored<T>(PhantomData<fn() -> T>);

impl<T> Explored<T> {
    pub(crate) const NONE: Self = Self(PhantomData);

    #[inline(always)]
    pub(crate) const fn get(&self) -> Option<&T> {
        None
    }
}
