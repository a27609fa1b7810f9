//! The production side of the facade: re-exports, and the few types that std lacks.

pub(crate) mod explore;
pub(crate) mod poll;
mod spin;
mod ticks;
pub(crate) mod watch;

/// A lock for statics. Models do not see it.
pub use parking_lot::Mutex as StaticMutex;
pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use spin::{SpinGuard, SpinLock};
pub(crate) use std::sync::Arc;
pub(crate) use ticks::ticks;

/// Atomics and fences.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        compiler_fence, fence,
    };
}

/// Atomics as the machine has them, for memory that another process sees too. Models do not see them.
pub(crate) mod bare {
    #[allow(unused_imports)] // without workers nobody shares memory
    pub(crate) use std::sync::atomic::AtomicU64;
}

/// Constructors for statics. What they make is never seen by a model.
pub(crate) mod fixed {
    pub(crate) const fn mutex<T>(value: T) -> super::Mutex<T> {
        super::Mutex::new(value)
    }

    pub(crate) const fn atomic_usize(value: usize) -> super::atomic::AtomicUsize {
        super::atomic::AtomicUsize::new(value)
    }
}

/// Threads; [`park`](thread::park) is the one way to block.
pub(crate) mod thread {
    #[allow(unused_imports)] // `ThreadId`: of the feature `offload`
    pub(crate) use std::thread::{
        Builder, JoinHandle, Thread, ThreadId, current, park, park_timeout, yield_now,
    };

    /// A number that differs between threads, mostly: the address of the stack.
    #[inline]
    pub(crate) fn place() -> usize {
        let place = 0u8;
        (&raw const place).addr() >> 16
    }
}

/// The work-stealing deque and the shared injector.
pub(crate) mod deque {
    pub(crate) use crossbeam_deque::{Injector, Steal, Stealer, Worker};
}

/// The clock.
pub(crate) mod clock {
    /// The current instant of the monotonic clock.
    pub(crate) fn now() -> std::time::Instant {
        std::time::Instant::now()
    }

    /// The instant that everything in this process counts from: that of the first call.
    pub(crate) fn origin() -> std::time::Instant {
        static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        *ORIGIN.get_or_init(now)
    }
}

/// Takes a block of `n` consecutive numbers that nothing else in this process gets; the first is
/// at least 1.
pub(crate) fn unique_block(n: u64) -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: only uniqueness matters, and one word has one order.
    NEXT.fetch_add(n, Ordering::Relaxed)
}

/// Whether this code runs inside a model: never, in production.
pub(crate) const fn in_model() -> bool {
    false
}

/// Whether this code runs in a storm: never, in production.
pub(crate) const fn in_storm() -> bool {
    false
}

/// What a loop does that waits for another thread to finish a few instructions.
pub(crate) use std::hint::spin_loop;

/// The number of CPUs this process may use: affinity and cgroup quota counted in.
pub(crate) fn num_cpus() -> usize {
    num_cpus::get()
}

/// A cell that hands out raw pointers inside closures, the shape that loom can watch.
#[repr(transparent)]
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Reads through a shared pointer. The closure must not let it escape.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Writes through an exclusive pointer. The closure must not let it escape.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Declares a thread-local with a constant initial value; read it by `NAME.with(|value| …)` or,
/// where the thread may be ending, `NAME.try_with(…)`.
macro_rules! local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;) => {
        ::std::thread_local! {
            $(#[$meta])* $vis static $name: $ty = const { $init };
        }
    };
}
pub(crate) use local;
