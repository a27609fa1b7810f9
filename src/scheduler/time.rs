//! Timers, as a worker or any other thread sets them, and the paused clock.

use super::idle::{Asleep, Search};
use super::tend::Wheels;
use super::{Shared, Worker, current};
use crate::primitive::atomic::Ordering::*;
use crate::primitive::in_model;
use crate::task::is_last_poll;
use crate::timer::{Entry, Polled};
use crate::util::note;
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
        let when = entry.when();
        match self.with_wheel(|wheel| self.driver.timers.poll(entry, waker, wheel)) {
            Polled::Fired => Poll::Ready(()),
            Polled::Pending | Polled::PendingEarlier => {
                note::timer(when);
                Poll::Pending
            }
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
            // The owner of a wheel is awake when it comes here, and looks after it, unless its poll was stuck.
            if polled == Polled::PendingEarlier && worker.is_none_or(Worker::may_be_lost) {
                match self.explored.get() {
                    Some(engine) => engine.timer_set(),
                    None => self.tenders.find(wheel, self),
                }
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

    /// Keeps a paused clock from jumping until [`release_clock`](Self::release_clock). `false`: the
    /// clock runs, and nothing is owed.
    pub(crate) fn hold_clock(&self) -> bool {
        let paused = self.driver.clock().is_paused();
        if paused {
            self.holding_clock.lock().begin();
        }
        paused
    }

    /// What held the clock is over: of a job, its joiner has been woken.
    pub(crate) fn release_clock(&self) {
        self.holding_clock.lock().now -= 1;
        self.ask_again();
    }

    /// As [`hold_clock`](Self::hold_clock), until it is dropped, whether or not the clock is paused yet: for what no
    /// worker has, and what is no job.
    pub(super) fn hold_clock_here(&self) -> ClockHold<'_> {
        let counts = self.may_be_paused();
        if counts {
            self.holding_clock.lock().begin();
        }
        ClockHold(counts.then_some(self))
    }

    /// A worker has come, whose root is about to be polled without having been woken: whoever is about to move the clock
    /// sees that, or has moved it before. As above, whether or not it is paused yet.
    pub(super) fn has_come(&self) {
        if self.may_be_paused() {
            self.holding_clock.lock().ever += 1;
        }
    }

    /// Whether the clock is paused, or could be in a moment; a model, which is to explore less, asks for the first alone.
    fn may_be_paused(&self) -> bool {
        !in_model() || self.driver.clock().is_paused()
    }

    /// With every worker asleep and the clock paused, nothing happens any more until the clock reaches
    /// the next timer: moves it there. The caller, which was asleep, is then awake and fires what is due.
    ///
    /// Whoever falls asleep asks, so the last one does; where there is a poller, with the turn, or whoever has that
    /// in its stead. `look` looks there, and says whether the caller still has nothing to do.
    ///
    /// One at a time moves it, and is awake before anything fires: whoever asks meanwhile finds it so, instead of
    /// moving the clock on to the timer after those that are being fired.
    ///
    /// A worker that announces its sleep and then finds work counts as asleep in between. But then it, or another
    /// that is awake, goes on to poll that work; so two looks with no poll from before the first to after the second
    /// prove that there is none. The poller is looked at between them: what a poll has made ready, it shows. Who
    /// [comes](Self::has_come) counts as a poll, and comes before the second look or after the move: that is one
    /// section under the lock.
    pub(super) fn jump(
        &self,
        asleep: Asleep,
        mut look: impl FnMut() -> bool,
    ) -> Result<Option<Search>, Asleep> {
        loop {
            let steps = self.steps(&self.holding_clock.lock());
            if !self.all_asleep() || !look() {
                return Err(asleep);
            }
            let holding = self.holding_clock.lock();
            let quiet = holding.now == 0 && !self.has_work() && self.all_asleep();
            let quiet = quiet && !self.doom.is_a_root_woken();
            if self.steps(&holding) != steps {
                // Whoever has been awake may have called us to the poller since, and that call is spent.
                continue;
            }
            if !quiet {
                return Err(asleep);
            }
            return match self.driver.timers.earliest() {
                Some(next) if self.driver.clock().advance_to(next) => Ok(self.idle.wake(asleep)),
                _ => Err(asleep),
            };
        }
    }

    /// Somebody has left, with all that it had on its way, and was perhaps the last that was awake: those who have
    /// asked before ask again.
    pub(super) fn ask_again(&self) {
        if self.driver.clock().is_paused() {
            self.unpark_all();
        }
    }

    fn all_asleep(&self) -> bool {
        let slots = self.slots.iter().enumerate();
        // Relaxed: a slot whose owner has just left has no work either.
        let mut owned = slots.filter(|(_, slot)| slot.owned.load(Relaxed));
        self.idle.all_asleep(owned.clone().map(|(seat, _)| seat))
            // The waker of a root leaves a token and no work. On its own thread not even that, but then it has the
            // turn: nobody else asks before it is awake, and itself it looks.
            && owned.all(|(_, slot)| !slot.parker.has_token())
    }

    /// Counts polls of tasks, wake-ups, without which no worker polls a root but for the first time, workers that have
    /// come, and what has held the clock, as the polls of other roots do.
    fn steps(&self, holding: &Holding) -> u64 {
        let counters = self.slots.iter().map(|slot| &slot.counters);
        let steps = counters.map(|counters| counters.polls.get() + counters.unparks.get());
        holding.ever + steps.sum::<u64>()
    }
}

/// What keeps a paused clock from jumping: how many things now, and were there ever.
#[derive(Default)]
pub(super) struct Holding {
    now: usize,
    ever: u64,
}

impl Holding {
    fn begin(&mut self) {
        self.now += 1;
        self.ever += 1;
    }
}

/// One of them.
#[must_use]
pub(super) struct ClockHold<'a>(Option<&'a Shared>);

impl Drop for ClockHold<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.release_clock();
        }
    }
}

impl Wheels for Shared {
    fn is_empty(&self, wheel: usize) -> bool {
        self.driver.timers.next_deadline(wheel).is_none()
    }

    fn migrate(&self, from: usize, to: usize) {
        // Whoever asks for it tells the owner of `to` in any case.
        let _ = self.driver.timers.migrate(from, to);
    }

    fn tell(&self, wheel: usize) {
        self.unpark(wheel);
    }
}
