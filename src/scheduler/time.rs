//! Timers, as a worker or any other thread sets them, and the paused clock.

use super::{Shared, Worker, current};
use crate::primitive::atomic::{Ordering::*, fence};
use crate::task::is_last_poll;
use crate::timer::{Entry, Polled};
use std::pin::Pin;
use std::task::{Poll, Waker};
use std::time::Duration;

impl Shared {
    /// Looks whether `entry` has fired; if not, `waker` will be woken when it does.
    ///
    /// It goes into the wheel of the worker that calls, or else of some worker, who is told if it now
    /// has to wake up earlier.
    ///
    /// # Panics
    ///
    /// If the runtime was shut down, so that nobody would ever fire it, and this is not the last poll
    /// of one of its tasks.
    #[inline]
    pub(crate) fn poll_timer(&self, entry: Pin<&mut Entry>, waker: &Waker) -> Poll<()> {
        match self.with_wheel(|wheel| self.driver.timers.poll(entry, waker, wheel)) {
            Polled::Fired => Poll::Ready(()),
            Polled::Pending | Polled::PendingEarlier => Poll::Pending,
            // A runtime that ends does not wait for its timers before the polls that are on their way
            // have returned (it may end inside one of them). What they return does not matter any
            // more; a panic would be noise. On a thread that blocks in a task it is the way out.
            Polled::ShutDown if self.is_working_here() && is_last_poll() => Poll::Pending,
            Polled::ShutDown => panic!("a timer was polled after its runtime was shut down"),
        }
    }

    /// Whether this thread is a worker of this runtime, and does not block in a task.
    fn is_working_here(&self) -> bool {
        current::worker_of(self, |worker| worker.is_some())
    }

    /// Gives `entry` another tick; one in a wheel keeps its waker.
    pub(crate) fn reset_timer(&self, entry: Pin<&mut Entry>, when: u64) {
        let _ = self.with_wheel(|wheel| self.driver.timers.reset(entry, when, wheel));
    }

    fn with_wheel(&self, f: impl FnOnce(usize) -> Polled) -> Polled {
        current::worker_of(self, |worker| {
            let wheel = worker.map_or_else(|| self.any_seat(), Worker::seat);
            let polled = f(wheel);
            // The owner of a wheel is awake when it comes here.
            if polled == Polled::PendingEarlier && worker.is_none() {
                // Pairs with the fence in `Idle::sleep`: either its owner sees the timer before it
                // sleeps, or we find it asleep.
                fence(SeqCst);
                self.unpark(wheel);
            }
            polled
        })
    }

    /// Moves the paused clock forward and fires what is due then. `false`: it is not paused.
    pub(crate) fn advance_clock(&self, by: Duration) -> bool {
        let moved = self.driver.clock().advance(by);
        self.driver.expire_all(self.slots.len());
        moved
    }

    /// With every worker asleep and the clock paused, nothing happens any more until the clock reaches
    /// the next timer: moves it there. `true`: it did, and some may have fired.
    ///
    /// The last worker to fall asleep does it; should two think that they are the last, they move the
    /// clock to the same tick.
    pub(super) fn auto_advance(&self) -> bool {
        if !self.driver.clock().is_paused() || self.has_work() {
            return false;
        }
        // Relaxed: a slot whose owner has just left has no work either.
        let owned = (0..self.slots.len()).filter(|&seat| self.slots[seat].owned.load(Relaxed));
        if !self.idle.all_asleep(owned) {
            return false;
        }
        let Some(next) = self.driver.timers.earliest() else { return false };
        let moved = self.driver.clock().advance_to(next);
        self.driver.expire_all(self.slots.len());
        moved
    }
}
