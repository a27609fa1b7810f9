//! The facade: the only module that names the crates and std types that threads meet through.
//!
//! Everything above uses `crate::primitive`, so that one switch decides what a lock, an atomic, a
//! queue or the poller is:
//!
//! * [`real`]: bare re-exports of std, parking_lot, crossbeam-deque and polling. No wrapper, no cost.
//! * `hybrid`: compiled when the cargo feature `model` is on in a build with debug assertions. Each
//!   object is the real one outside a model and a loom object inside one, decided where the object
//!   is made. One test binary therefore runs models and ordinary tests; and *storms*, in which the real
//!   objects of a whole runtime are used in an order drawn from a seed.
//!
//! # Rules
//!
//! 1. The shape is parking_lot's: `lock()` gives a guard, nothing is poisoned.
//! 2. Only what is used is exported. A new name here is a reviewed change.
//! 3. `const_new` and statics are always the real thing; models do not see them.
//! 4. Threads block in one way only: `thread::park`. loom shares its token with `Condvar`, so there
//!    is no `Condvar` here.
//! 5. A store followed by a load of another word is written with `fence(SeqCst)`: loom treats SeqCst
//!    accesses as AcqRel and models only the fence.
//! 6. [`in_model`] shrinks constants. It is `false` at compile time in production.

#[cfg(not(all(feature = "model", debug_assertions)))]
mod real;
#[cfg(not(all(feature = "model", debug_assertions)))]
pub(crate) use real::*;

#[cfg(all(feature = "model", debug_assertions))]
mod hybrid;
#[cfg(all(feature = "model", debug_assertions))]
#[allow(dead_code, unused_imports, unused_macros)] // the hybrid side takes from it what it can
mod real;
// `pub` and not `pub(crate)`: models reach the facade through `internals` in `lib.rs`.
#[cfg(all(feature = "model", debug_assertions))]
pub use hybrid::*;

/// Marks what stays on its thread, and may be looked at from others: a `PhantomData` of it is `Sync` and not `Send`.
pub(crate) type Stays = std::sync::MutexGuard<'static, ()>;
