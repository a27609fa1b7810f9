//! What a task hands on to those that it spawns: values of [`InheritedKey`](crate::task::InheritedKey)s.
//!
//! A context is a list, the newest value first, that never changes: a scope puts one more in front. So
//! to inherit it is to count one reference, and only spawns inside of a scope do even that. While
//! something is polled, a pointer to its context lies in the thread-local of `budget.rs`:
//!
//! *Rule.* The pointer is null, or [`within`] has put it there and has not returned, and holds a
//! reference that keeps the list.
//!
//! Rejected: wrapping the futures of tasks that inherit: every spawn would be compiled twice. A map
//! instead of a list: there are few keys, and a map would be copied for each scope.

use super::budget;
use crate::primitive::Arc;
use std::any::Any;

/// A value and those around it.
pub(crate) struct Inherited {
    /// Whose value: the address of the key.
    key: usize,
    value: Box<dyn Any + Send + Sync>,
    outer: Option<Arc<Inherited>>,
}

impl Inherited {
    /// The current context with one more value in front.
    pub(crate) fn with(key: usize, value: Box<dyn Any + Send + Sync>) -> Arc<Self> {
        Arc::new(Self { key, value, outer: capture() })
    }
}

/// The current context, to be kept.
#[inline]
pub(crate) fn capture() -> Option<Arc<Inherited>> {
    let current = budget::context();
    if current.is_null() {
        return None;
    }
    // SAFETY: the rule: it came from an `Arc` that is held by a caller of this code.
    unsafe {
        Arc::increment_strong_count(current);
        Some(Arc::from_raw(current))
    }
}

/// Runs `f` inside of a context, or of none.
#[inline]
pub(crate) fn within<R>(context: Option<&Arc<Inherited>>, f: impl FnOnce() -> R) -> R {
    struct Restore(*const Inherited);

    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            budget::replace_context(self.0);
        }
    }

    let _restore = Restore(budget::replace_context(pointer(context)));
    f()
}

/// What [`within`] puts into the thread-local.
#[inline]
pub(super) fn pointer(context: Option<&Arc<Inherited>>) -> *const Inherited {
    context.map_or(std::ptr::null(), Arc::as_ptr)
}

/// Looks at the value of a key in the current context, if it has one.
pub(crate) fn look<R>(key: usize, f: impl FnOnce(&(dyn Any + Send + Sync)) -> R) -> Option<R> {
    // SAFETY: the rule; the caller of this code that holds the list goes on when `f` has returned.
    let mut at = unsafe { budget::context().as_ref() };
    while let Some(context) = at {
        if context.key == key {
            return Some(f(&*context.value));
        }
        at = context.outer.as_deref();
    }
    None
}
