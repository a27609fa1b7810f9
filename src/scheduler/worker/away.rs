//! A worker that runs no tasks: it sleeps, or blocks in a poll, or goes.

use super::{Root, Worker};
use crate::primitive::{clock, spin_loop};
use crate::scheduler::idle::{Asleep, Search};
use crate::scheduler::pace::next_nap;
use crate::scheduler::park::Blocking;
use crate::util::patience::Way;
use crate::util::ring::Event;
use std::time::Duration;

impl Worker {
    /// Sleeps, inside the hooks of the runtime.
    pub(super) fn rest(&self, root: &mut dyn Root) {
        let hooks = &self.shared().hooks;
        if let Some(park) = &hooks.park {
            park();
        }
        if hooks.park.is_some() && root.is_woken() {
            // By the hook, perhaps each time: then nobody else looks at the poller and the timers.
            self.maintain();
        } else {
            self.sleep(root);
        }
        if let Some(unpark) = &hooks.unpark {
            unpark();
        }
    }

    /// With nothing to do anywhere: sleeps until there is. See `README.md`, "Sleeping and waking".
    fn sleep(&self, root: &mut dyn Root) {
        let shared = self.shared();
        let rest = self.spare.take();
        let spared = rest.map(|rest| shared.slots[rest.victim].spare());
        // The own deque too, whoever spares it: the hook before the sleep may have brought something.
        let look = || !self.deque.is_empty() || shared.has_loot();
        let asleep = match shared.idle.sleep(self.seat, self.search.take(), look) {
            Ok(asleep) => asleep,
            Err(search) => {
                self.search.set(Some(search));
                // What was seen may be in the middle of being taken.
                spin_loop();
                return;
            }
        };
        let since = clock::now();
        let busy = since.duration_since(self.looked.get());
        self.slot().counters.busy_ns.add(busy.as_nanos() as u64);
        self.slot().counters.parks.add(1);
        self.record(Event::Park, 0);
        let parker = &self.slot().parker;
        let way = || if shared.pool.has_several() { Way::Given } else { Way::Kept };
        let looked_on = self.patience.look_on(since, way, || parker.has_token());
        let search = if looked_on {
            shared.idle.wake(asleep)
        } else {
            self.block(asleep, root, rest.map(|rest| rest.time))
        };
        drop(spared);
        let called = parker.has_token();
        // Only now, awake: without a token a sleeper looks as if nobody had called it (`time.rs`).
        parker.take_token();
        self.awake(search, rest.is_some());
        // A thief that is called now and then is no reason to burn a core.
        let from_outside = called && (!shared.injector.is_empty() || root.is_woken());
        self.patience.learn(self.looked.get().duration_since(since), from_outside);
    }

    /// Blocks until something happens, for `most` at most, in the poller if nobody else does, and is awake then.
    fn block(
        &self,
        mut asleep: Asleep,
        root: &mut dyn Root,
        most: Option<Duration>,
    ) -> Option<Search> {
        let shared = self.shared();
        // Both after the fence in `Idle::sleep`: who leaves the turn for good either sees us asleep, or
        // we get it; who puts a timer into this wheel from outside either sees us asleep, or we see
        // its timer.
        let mut turn = self.try_turn();
        let next = shared.driver.until_next(self.seat).map(|next| next.max(self.nap.get()));
        let mut timeout = next.into_iter().chain(most).min();
        if shared.driver.clock().is_paused() {
            if turn.is_none() && shared.driver.reactor.is_open() {
                // Who has the turn may be about to tell of what is ready. It is called to move the clock itself.
                shared.driver.notify();
            } else {
                // What is ready now comes before what is due later.
                let look = || {
                    turn.iter_mut().for_each(|turn| turn.run(Some(Duration::ZERO)));
                    !root.is_woken()
                };
                asleep = match shared.jump(asleep, look) {
                    Err(asleep) => asleep,
                    Ok(search) => {
                        drop(turn);
                        shared.driver.expire_all(shared.slots.len());
                        return search;
                    }
                };
            }
            if root.is_woken() {
                return shared.idle.wake(asleep);
            }
            if !self.deque.is_empty() {
                timeout = Some(Duration::ZERO);
            }
        }
        match &mut turn {
            Some(turn) => {
                self.record(Event::Wait, 0);
                self.slot().parker.block_in_poller(|blocking| match blocking {
                    Blocking::Yes => turn.run(timeout),
                    Blocking::No => turn.run(Some(Duration::ZERO)),
                });
            }
            None => self.slot().parker.block(timeout),
        }
        // Before the turn is given back: a root that the poller has woken leaves no other trace (`time.rs`).
        shared.idle.wake(asleep)
    }

    /// After a sleep, or a rest from stealing.
    fn awake(&self, search: Option<Search>, is_rest: bool) {
        self.search.set(search);
        self.slot().counters.unparks.add(1);
        self.shared().rescue.rounds.bed.someone_awake();
        self.looked.set(clock::now());
        self.ticks.set(self.interval.get());
        self.record(Event::Unpark, 0);
        let fired = self.expire();
        if !is_rest {
            // How long that was says nothing about the timers.
            self.nap.set(next_nap(self.nap.get(), fired));
        }
        self.share();
    }

    /// Leaves nothing behind that only this thread would find, and nobody waiting for it to take the
    /// turn again: before it goes, or blocks.
    pub(in crate::scheduler) fn hand_over(&self) {
        let mut any = false;
        while let Some(task) = self.take_from_next().or_else(|| self.deque.pop()) {
            self.shared().injector.push(task);
            any = true;
        }
        if let Some(search) = self.search.take() {
            self.end_search(search);
        }
        // A sleeper that finds no work takes the turn. If somebody searches, that one will.
        if any || self.turned.take() && self.shared().driver.is_deserted() {
            self.shared().notify_pushed();
        }
    }

    /// Leaves the slot before this thread blocks inside a poll, with what [`hand_over`](Self::hand_over)
    /// does. `false`: it is lost already, and others do its work.
    pub(in crate::scheduler) fn leave(&self) -> bool {
        self.hand_over();
        // SAFETY: gate rule 1: the owner's thread; in a poll, by the source.
        !self.is_polling() || unsafe { self.slot().gate.leave() }
    }

    /// Ends [`leave`](Self::leave).
    pub(in crate::scheduler) fn come_back(&self) {
        if self.is_polling() {
            // SAFETY: gate rule 1: the owner's thread, in a poll, which has left.
            unsafe { self.slot().gate.come_back() };
            self.shared().rescue.rounds.bed.someone_awake();
        }
    }

    /// Whether somebody may have taken this slot's timers: one that was put there meanwhile is looked for
    /// by nobody.
    pub(in crate::scheduler) fn may_be_lost(&self) -> bool {
        self.slot().gate.may_be_lost()
    }
}
