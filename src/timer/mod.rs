#![doc = include_str!("README.md")]
//!
//! # Files
//!
//! [`tick`]: the unit, rounding, coalescing. [`clock`]: a runtime's time. [`state`]: the state word.
//! [`entry`]: one timer. [`wheel`]: the order of entries. [`shard`]: a wheel, its lock, its deadline.
//! Here: the wheels of one runtime.

pub mod clock;
mod entry;
mod shard;
mod state;
pub mod tick;
mod wheel;

pub use clock::Clock;
pub use entry::Entry;

use crate::util::wake_batch::WakeBatch;
use shard::Shard;
use state::Phase;
use std::fmt;
use std::pin::Pin;
use std::task::Waker;

/// How often one call of [`Timers::expire`] takes the lock: at most 1024 wakers, or 2048 entries moved
/// (about 100 µs), before the worker looks at its other work.
const HOLDINGS: usize = 32;

/// How many entries [`Timers::migrate`] moves while it holds both locks.
const MIGRATED: usize = 32;

/// What became of a timer, and what the caller owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Polled {
    /// Its tick has been reached.
    Fired,
    /// Its waker will be woken.
    Pending,
    /// As `Pending`, and the wheel has an earlier deadline now than before. A caller who is not the
    /// driver of that wheel unparks the driver if it sleeps.
    PendingEarlier,
    /// The timers are shut down: it will never be woken.
    ShutDown,
}

/// The wheels of a runtime, one per slot, and their clock.
pub struct Timers {
    shards: Box<[&'static Shard]>,
    clock: Clock,
}

impl Timers {
    /// `wheels` empty wheels.
    pub fn new(wheels: usize, clock: Clock) -> Self {
        Self { shards: shard::take(wheels), clock }
    }

    /// The clock that these timers go by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Looks whether `entry` has fired; if not, `waker` will be woken when it does.
    ///
    /// An entry in no wheel goes into wheel `wheel`: that of the calling worker, whose driver is
    /// awake. One that is in a wheel stays there, whichever runtime it belongs to.
    #[inline]
    pub fn poll(&self, mut entry: Pin<&mut Entry>, waker: &Waker, wheel: usize) -> Polled {
        loop {
            match entry.phase() {
                Phase::Fired(at) if at >= entry.when() => return Polled::Fired,
                // Reset to later while it fired, or never linked.
                Phase::Fired(_) | Phase::Idle => {
                    // Cloned here and dropped here, both without the lock.
                    let (polled, _unused) = self.link(entry, waker.clone(), wheel);
                    return polled;
                }
                Phase::Linked if entry.will_wake(waker) => return Polled::Pending,
                Phase::Linked => {
                    if entry.as_mut().replace_waker(waker.clone()).is_ok() {
                        return Polled::Pending;
                    }
                }
            }
        }
    }

    /// Gives `entry` another tick.
    ///
    /// If it is in a wheel, its waker stays: the task is woken at the new tick also if it does not
    /// poll the entry again. To a later tick this is one store, and the entry moves when its slot
    /// comes up. To an earlier one it moves into wheel `wheel` now. An entry in no wheel waits for
    /// the next [`poll`](Self::poll).
    pub fn reset(&self, mut entry: Pin<&mut Entry>, when: u64, wheel: usize) -> Polled {
        let later = when >= entry.when();
        if later && entry.phase() == Phase::Linked {
            entry.set_when(when);
            return Polled::Pending;
        }
        let waker = entry.as_mut().unlink();
        entry.set_when(when);
        let Some(waker) = waker else { return Polled::Pending };
        let (polled, unused) = self.link(entry, waker, wheel);
        if let Some(waker) = unused {
            waker.wake();
        }
        polled
    }

    /// Puts an entry that is in no wheel into one. The waker comes back if it did not go in.
    fn link(&self, entry: Pin<&mut Entry>, waker: Waker, wheel: usize) -> (Polled, Option<Waker>) {
        let entry = entry.into_ref();
        let shard = self.shards[wheel];
        let mut wheel = shard.lock_to_insert();
        if wheel.is_closed() {
            drop(wheel);
            entry.disarm();
            return (Polled::ShutDown, Some(waker));
        }
        if entry.when() <= wheel.elapsed() {
            drop(wheel);
            entry.fire_unlinked();
            return (Polled::Fired, Some(waker));
        }
        // SAFETY: rules 1 and 2 — pinned until it is dropped, in no wheel, and this one is locked.
        let at = unsafe { entry.link(shard, &mut wheel, waker) };
        let polled =
            if shard.inserted(&wheel, at) { Polled::PendingEarlier } else { Polled::Pending };
        (polled, None)
    }

    /// A tick before which wheel `wheel` has nothing to do; `None` if it is empty.
    ///
    /// It may be too early, never too late. Who sleeps until then reads it after announcing the
    /// sleep and a `fence(SeqCst)`.
    #[inline]
    pub fn next_deadline(&self, wheel: usize) -> Option<u64> {
        self.shards[wheel].next()
    }

    /// The earliest of all [`next_deadline`](Self::next_deadline)s: where an idle runtime moves its
    /// paused clock. Nothing may be due there yet; then expire, and ask again.
    pub fn earliest(&self) -> Option<u64> {
        self.shards.iter().filter_map(|shard| shard.next()).min()
    }

    /// Fires what is due at tick `now` in wheel `wheel`, and wakes it. Any thread may call this for
    /// any wheel. Gives how many fired.
    ///
    /// The work of a call is bounded. If some is left, `next_deadline` is still not after `now`.
    pub fn expire(&self, wheel: usize, now: u64) -> usize {
        let shard = self.shards[wheel];
        if shard.next().is_none_or(|next| next > now) {
            return 0;
        }
        let mut batch = WakeBatch::new();
        let mut total = 0;
        for _ in 0..HOLDINGS {
            let (fired, more) = shard.fire(now, &mut batch);
            total += fired;
            if !more {
                break;
            }
            batch.make_room();
        }
        batch.wake();
        total
    }

    /// Moves all entries of wheel `from` into wheel `to`: the driver of `from` has left or is stuck.
    /// Whether `to` has an earlier deadline now than before; then its driver is unparked, unless it
    /// is the caller.
    #[must_use]
    pub fn migrate(&self, from: usize, to: usize) -> bool {
        if from == to {
            return false;
        }
        let (source, target) = (self.shards[from], self.shards[to]);
        // Not with the other's lock held.
        drop(target.lock_to_insert());
        let mut earlier = false;
        loop {
            // The lower one first, so that two migrations cannot wait for each other.
            let (mut old, mut new);
            if from < to {
                old = source.lock();
                new = target.lock();
            } else {
                new = target.lock();
                old = source.lock();
            }
            // Shutdown has emptied `to` already, and will empty `from`.
            if new.is_closed() {
                return earlier;
            }
            for _ in 0..MIGRATED {
                let Some(entry) = old.pop_any() else { break };
                // SAFETY: rule 1 — it was in a wheel, hence alive; rule 5 — both locks are held.
                let at = unsafe { entry.as_ref().relocate(target, &mut new) };
                earlier |= target.inserted(&new, at);
            }
            source.publish(&old);
            if old.len() == 0 {
                return earlier;
            }
        }
    }

    /// How many entries are in the wheels. Takes every lock.
    #[allow(clippy::len_without_is_empty)] // a number for people
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Takes all entries out of the wheels and lets none in any more.
    ///
    /// Their wakers are woken once: a future that has outlived its runtime and is polled in another
    /// one goes into a wheel of that.
    pub fn shutdown(&self) {
        let mut batch = WakeBatch::new();
        for shard in &self.shards {
            while shard.close(&mut batch) {
                batch.make_room();
            }
        }
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        // The last one is closed when all others are empty.
        if !self.shards.last().is_some_and(|shard| shard.lock().is_closed()) {
            self.shutdown();
        }
        shard::give_back(&self.shards);
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("wheels", &self.shards.len())
            .field("len", &self.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
