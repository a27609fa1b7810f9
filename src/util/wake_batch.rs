//! Wakers gathered under a lock, woken after it.

use std::any::Any;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;
use std::thread;

/// How many wakers a batch holds: as tokio's and async-io's; half a kilobyte of stack.
const CAPACITY: usize = 32;

/// Up to 32 wakers on the stack. [`wake`](WakeBatch::wake) them with no lock held; those still
/// inside when the batch is dropped are woken then, so none is lost to an unwinding.
pub(crate) struct WakeBatch {
    wakers: [MaybeUninit<Waker>; CAPACITY],
    len: usize,
    /// The first panic in `make_room`.
    panic: Option<Box<dyn Any + Send>>,
}

impl WakeBatch {
    pub(crate) const fn new() -> Self {
        Self { wakers: [const { MaybeUninit::uninit() }; CAPACITY], len: 0, panic: None }
    }

    /// Whether another waker fits. When not: unlock, [make room](Self::make_room), lock again.
    pub(crate) fn has_room(&self) -> bool {
        self.len < CAPACITY
    }

    /// Adds a waker.
    ///
    /// # Panics
    ///
    /// If the batch is full.
    pub(crate) fn push(&mut self, waker: Waker) {
        self.wakers[self.len].write(waker);
        self.len += 1;
    }

    /// As [`wake`](Self::wake), by who has more to hand out: the panic of a waker comes out of the last `wake`, or
    /// of the drop.
    #[cold]
    pub(crate) fn make_room(&mut self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.wake_all())) {
            self.panic.get_or_insert(panic);
        }
    }

    /// Wakes them in the order of their adding and empties the batch.
    pub(crate) fn wake(&mut self) {
        self.wake_all();
        if let Some(panic) = self.panic.take() {
            if !thread::panicking() {
                resume_unwind(panic);
            }
        }
    }

    fn wake_all(&mut self) {
        /// What is left when a waker panics: woken by the guard's own drop.
        struct Rest<'a>(&'a mut WakeBatch, usize);

        impl Rest<'_> {
            fn run(&mut self) {
                while self.1 < self.0.len {
                    let index = self.1;
                    self.1 += 1;
                    // SAFETY: slots below `len` are initialised, and `self.1` has moved past this
                    // one, so it is read once.
                    unsafe { self.0.wakers[index].assume_init_read() }.wake();
                }
                self.0.len = 0;
            }
        }

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                self.run();
            }
        }

        Rest(self, 0).run();
    }
}

impl Drop for WakeBatch {
    #[inline]
    fn drop(&mut self) {
        // Mostly all is done.
        if self.len > 0 || self.panic.is_some() {
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::task::Wake;

    struct Log(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Log {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
            assert!(self.0 != 1, "the second waker panics");
        }
    }

    #[test]
    fn a_panic_waits_until_all_is_handed_out() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let waker = |n| Waker::from(Arc::new(Log(n, log.clone())));
        let mut batch = WakeBatch::new();
        batch.push(waker(1));
        batch.make_room();
        assert!(batch.has_room() && batch.len == 0);
        batch.push(waker(2));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(batch)));
        assert!(result.is_err());
        assert_eq!(*log.lock().unwrap_or_else(|e| e.into_inner()), [1, 2]);
    }

    #[test]
    fn wakes_in_order_and_loses_none_to_a_panic() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut batch = WakeBatch::new();
        for n in 0..4 {
            batch.push(Waker::from(Arc::new(Log(n, log.clone()))));
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batch.wake()));
        assert!(result.is_err());
        assert_eq!(batch.len, 0);
        // The mutex was poisoned by no one: the assertion comes after the push.
        assert_eq!(*log.lock().unwrap_or_else(|e| e.into_inner()), [0, 1, 2, 3]);
    }
}
