//! A place for one waker that one side leaves and the other takes, for channels whose words already
//! say whether somebody waits: only then is the cell touched.

use crate::primitive::SpinLock;
use std::task::Waker;

/// A waker, or none. No user code runs under the lock: clones are made before, drops after it.
#[derive(Debug)]
pub(super) struct WakerCell(SpinLock<Option<Waker>>);

impl WakerCell {
    pub(super) fn new() -> Self {
        Self(SpinLock::new(None))
    }

    /// Leaves `waker` here, unless an equal one is here already.
    pub(super) fn set(&self, waker: &Waker) {
        if self.0.lock().as_ref().is_some_and(|old| old.will_wake(waker)) {
            return;
        }
        let mut new = Some(waker.clone());
        std::mem::swap(&mut *self.0.lock(), &mut new);
        drop(new);
    }

    pub(super) fn take(&self) -> Option<Waker> {
        self.0.lock().take()
    }

    /// Wakes the waker that is here, if any.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }
}
