//! Wakers gathered under a lock, woken after it.

use std::mem::MaybeUninit;
use std::task::Waker;

/// How many wakers a batch holds: as tokio's and async-io's; half a kilobyte of stack.
const CAPACITY: usize = 32;

/// Up to 32 wakers on the stack. [`wake`](WakeBatch::wake) them with no lock held; those still
/// inside when the batch is dropped are woken then, so none is lost to an unwinding.
pub(crate) struct WakeBatch {
    wakers: [MaybeUninit<Waker>; CAPACITY],
    len: usize,
}

impl WakeBatch {
    pub(crate) const fn new() -> Self {
        Self { wakers: [const { MaybeUninit::uninit() }; CAPACITY], len: 0 }
    }

    /// Whether another waker fits. When not: unlock, wake, lock again.
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

    /// Wakes them in the order of their adding and empties the batch.
    pub(crate) fn wake(&mut self) {
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
    fn drop(&mut self) {
        self.wake();
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
