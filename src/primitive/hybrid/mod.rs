//! The model side of the facade: what `real` offers, watched by loom inside a model.
//!
//! Every object decides where it is *made*: inside a model it is a loom object, outside one it is
//! the real object. So one test binary runs models, ordinary tests, and code with statics. All loom
//! threads of a model are coroutines on one OS thread, and a thread-local flag says that this OS
//! thread is running a model.
//!
//! # Rules of the model side
//!
//! 1. No double is stronger than what it stands for. What std, crossbeam or the kernel do not
//!    promise, the double does not do: the deque peeks without a fence ([`deque`]), `unpark` hands
//!    over what happened before only to the `park` that consumes it ([`thread`]).
//! 2. A real lock met contended inside a model panics: its holder is another coroutine of the same
//!    OS thread, and waiting for it would hang.
//! 3. A method that loom cannot offer is missing here, so that using it fails to compile:
//!    `get_mut` of atomics, `const` constructors.
//! 4. Each `load` first makes itself known to loom's search by a step that carries no memory effect
//!    ([`atomic`]); a model may switch that off by [`set_shadow_loads`].
//!
//! 5. In a [storm] the objects are the real ones, each operation of theirs is a step of the storm, and what
//!    blocks does so in its scheduler.
//!
//! Rejected: a cfg that turns everything into loom (objects in statics and ordinary tests panic, and
//! RUSTFLAGS in the environment turn it off silently); a `Mutex` and `Condvar` for parking (loom's
//! condvar shares its token with `park`, and the mutex orders more than std promises).

pub mod atomic;
mod cell;
pub mod clock;
pub mod deque;
pub mod explore;
pub mod ledger;
mod local;
mod lock;
pub mod poll;
pub mod storm;
pub mod thread;
pub(crate) mod watch;

pub use super::real::StaticMutex;
#[allow(unused_imports)] // without workers nobody shares memory
pub(crate) use super::real::bare;
pub(crate) use super::real::ticks;
pub use cell::UnsafeCell;
pub(crate) use local::local;
pub use local::{AccessError, Local};
pub use lock::{Mutex, MutexGuard, SpinGuard, SpinLock};
pub use std::sync::Arc;
pub(crate) use storm::is_on as in_storm;
// The real one: what the reactor does with events is modelled on its sources, without a poller.

use std::cell::Cell;

std::thread_local! {
    /// Whether this OS thread runs a model now.
    static IN_MODEL: Cell<bool> = const { Cell::new(false) };
    /// Whether atomics made from now on announce their loads (rule 4).
    static SHADOW_LOADS: Cell<bool> = const { Cell::new(true) };
    /// Whether the end of an atomic is a step of the model.
    static FREES_ARE_STEPS: Cell<bool> = const { Cell::new(false) };
}

/// Constructors for statics. What they make is never seen by a model.
pub mod fixed {
    /// A real lock.
    pub const fn mutex<T>(value: T) -> super::Mutex<T> {
        super::Mutex::fixed(value)
    }

    /// A real atomic.
    pub const fn atomic_usize(value: usize) -> super::atomic::AtomicUsize {
        super::atomic::AtomicUsize::fixed(value)
    }
}

/// Takes a block of `n` consecutive numbers that nothing else in this process, or this storm, gets; the
/// first is at least 1.
pub(crate) fn unique_block(n: u64) -> u64 {
    if storm::is_on() { storm::unique_block(n) } else { super::real::unique_block(n) }
}

/// Whether this code runs inside a model.
pub fn in_model() -> bool {
    IN_MODEL.with(Cell::get)
}

/// The number of CPUs this process may use; 2 in a model or a storm.
pub fn num_cpus() -> usize {
    if in_model() || storm::is_on() { 2 } else { num_cpus::get() }
}

/// What a loop does that waits for another thread to finish a few instructions; in a model that
/// thread must get its turn.
pub fn spin_loop() {
    match in_model() || storm::is_on() {
        true => thread::yield_now(),
        false => std::hint::spin_loop(),
    }
}

/// Runs `check`, which calls loom, with every object made in it a loom object.
pub fn run_model<R>(check: impl FnOnce() -> R) -> R {
    /// Clears the flag, also when the model fails.
    struct Leave;

    impl Drop for Leave {
        fn drop(&mut self) {
            IN_MODEL.with(|flag| flag.set(false));
        }
    }

    assert!(!IN_MODEL.with(|flag| flag.replace(true)), "a model inside a model");
    let _leave = Leave;
    check()
}

/// Called first in each execution of a model: puts back what loom does not reset.
pub fn begin_execution() {
    clock::reset();
}

/// Whether atomics made from now on announce their loads to loom (rule 4). On unless switched off:
/// without it loom skips executions of "load, then compare-exchange"; with it models grow 2 to 15
/// times.
pub fn set_shadow_loads(on: bool) {
    SHADOW_LOADS.with(|flag| flag.set(on));
}

/// Whether the drop of an atomic is a step that its loads conflict with, so that loom tries to load it
/// later: with an allocator that poisons, that shows the use of freed memory. Needs the announced loads.
pub fn set_frees_are_steps(on: bool) {
    FREES_ARE_STEPS.with(|flag| flag.set(on));
}

fn frees_are_steps() -> bool {
    FREES_ARE_STEPS.with(Cell::get)
}

fn shadow_loads() -> bool {
    SHADOW_LOADS.with(Cell::get)
}
