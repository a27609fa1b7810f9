//! Atomics that are std's outside a model and loom's inside one. In a [storm](super::storm) each operation is
//! a step.
//!
//! # The shadow of a load
//!
//! loom 0.7 remembers one last access for each atomic. When thread B loads a word and then changes
//! it, B's own load hides an earlier load by thread A, and the order "B first" is never tried
//! (loom issues 166 and 392): half of what a compare-exchange loop can meet is skipped. So before
//! each load the atomic touches an object of its own that every load conflicts with, which makes
//! loom try both orders of two loads.
//!
//! That object is a lock which is never free: a failed `try_lock` is a scheduling point and nothing
//! else. (A read-modify-write on a second atomic, tried first, also carries what a release fence
//! before it published, and so hides missing edges.)

use super::{frees_are_steps, in_model, ledger, shadow_loads, storm};
pub use std::sync::atomic::{Ordering, compiler_fence};

/// A fence; the one way in which loom models sequential consistency.
#[track_caller]
pub fn fence(order: Ordering) {
    if in_model() {
        loom::sync::atomic::fence(order);
    } else {
        std::sync::atomic::fence(order);
    }
}

/// A lock that is never free; see the module.
#[derive(Debug)]
struct Shadow(loom::sync::Mutex<()>);

impl Shadow {
    fn new() -> Self {
        let lock = loom::sync::Mutex::new(());
        // Never given back, so that every later attempt fails.
        std::mem::forget(lock.try_lock());
        Self(lock)
    }

    #[track_caller]
    fn touch(&self) {
        assert!(self.0.try_lock().is_err(), "the shadow lock is held for ever");
    }
}

/// A loom atomic and its shadow.
#[derive(Debug)]
struct Watched<A> {
    value: A,
    shadow: Option<Shadow>,
}

impl<A> Watched<A> {
    fn new(value: A) -> Box<Self> {
        Box::new(Self { value, shadow: shadow_loads().then(Shadow::new) })
    }

    /// The atomic, about to be loaded.
    #[track_caller]
    fn for_load(&self) -> &A {
        if let Some(shadow) = &self.shadow {
            shadow.touch();
        }
        &self.value
    }
}

impl<A> Drop for Watched<A> {
    fn drop(&mut self) {
        // A step that every load conflicts with: loom tries the orders in which a load comes after it.
        let shadow = self.shadow.as_ref().filter(|_| frees_are_steps());
        if let Some(shadow) = shadow.filter(|_| !std::thread::panicking()) {
            shadow.touch();
        }
    }
}

/// An atomic made outside or inside a model.
#[derive(Debug)]
enum Either<S, L> {
    Real(S),
    Model(Box<Watched<L>>),
}

/// The methods that every atomic has.
macro_rules! common {
    ($name:ident, $value:ty $(, $generic:ident)?) => {
        impl$(<$generic>)? $name$(<$generic>)? {
            /// Makes the atomic: loom's inside a model.
            #[track_caller]
            pub fn new(value: $value) -> Self {
                Self(if in_model() {
                    Either::Model(Watched::new(loom::sync::atomic::$name::new(value)))
                } else {
                    Either::Real(std::sync::atomic::$name::new(value))
                })
            }

            /// As std's.
            #[track_caller]
            pub fn into_inner(self) -> $value {
                match self.0 {
                    Either::Real(a) => a.into_inner(),
                    // A `Watched` cannot be taken apart: this reads what nobody else can reach.
                    Either::Model(a) => a.value.load(Ordering::Relaxed),
                }
            }

            /// As std's.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                storm::point();
                match &self.0 {
                    Either::Real(a) => a.load(order),
                    Either::Model(a) => a.for_load().load(order),
                }
            }

            /// As std's.
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                // A loom compare-exchange never fails without cause, weak or not.
                if storm::mishap() {
                    return Err(self.load(failure));
                }
                self.compare_exchange(current, new, success, failure)
            }

            /// As std's.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                storm::point();
                match &self.0 {
                    Either::Real(a) => a.store(value, order),
                    Either::Model(a) => a.value.store(value, order),
                }
            }

            forward! {
                swap(value: $value, order: Ordering) -> $value;
                compare_exchange(
                    current: $value, new: $value, success: Ordering, failure: Ordering
                ) -> Result<$value, $value>;
            }

            /// As std's.
            #[track_caller]
            pub fn fetch_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut before = self.load(fetch_order);
                while let Some(next) = f(before) {
                    match self.compare_exchange(before, next, set_order, fetch_order) {
                        Ok(value) => return Ok(value),
                        Err(value) => before = value,
                    }
                }
                Err(before)
            }
        }
    };
}

/// Methods that both sides have under one name: the read-modify-writes.
macro_rules! forward {
    ($($method:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        $(
            /// As std's.
            #[track_caller]
            pub fn $method(&self, $($arg: $ty),*) -> $ret {
                storm::point();
                ledger::change(self, 1);
                match &self.0 {
                    Either::Real(a) => a.$method($($arg),*),
                    Either::Model(a) => a.value.$method($($arg),*),
                }
            }
        )*
    };
}

macro_rules! integer {
    ($name:ident, $value:ty) => {
        /// An atomic integer.
        #[derive(Debug)]
        pub struct $name(Either<std::sync::atomic::$name, loom::sync::atomic::$name>);

        common!($name, $value);

        impl $name {
            forward! {
                fetch_add(value: $value, order: Ordering) -> $value;
                fetch_sub(value: $value, order: Ordering) -> $value;
                fetch_and(value: $value, order: Ordering) -> $value;
                fetch_nand(value: $value, order: Ordering) -> $value;
                fetch_or(value: $value, order: Ordering) -> $value;
                fetch_xor(value: $value, order: Ordering) -> $value;
                fetch_max(value: $value, order: Ordering) -> $value;
                fetch_min(value: $value, order: Ordering) -> $value;
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }
    };
}

integer!(AtomicU8, u8);
integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);

impl AtomicUsize {
    /// A real atomic, for statics.
    pub(super) const fn fixed(value: usize) -> Self {
        Self(Either::Real(std::sync::atomic::AtomicUsize::new(value)))
    }
}

/// An atomic boolean.
#[derive(Debug)]
pub struct AtomicBool(Either<std::sync::atomic::AtomicBool, loom::sync::atomic::AtomicBool>);

common!(AtomicBool, bool);

impl AtomicBool {
    forward! {
        fetch_and(value: bool, order: Ordering) -> bool;
        fetch_nand(value: bool, order: Ordering) -> bool;
        fetch_or(value: bool, order: Ordering) -> bool;
        fetch_xor(value: bool, order: Ordering) -> bool;
    }
}

impl Default for AtomicBool {
    fn default() -> Self {
        Self::new(false)
    }
}

/// An atomic pointer.
#[derive(Debug)]
pub struct AtomicPtr<T>(Either<std::sync::atomic::AtomicPtr<T>, loom::sync::atomic::AtomicPtr<T>>);

common!(AtomicPtr, *mut T, T);

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(std::ptr::null_mut())
    }
}
