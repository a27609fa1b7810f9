//! A wheel, its lock and its published deadline; and why it is never freed.
//!
//! A dropped timer must get at its wheel's lock, even while the runtime goes away on another thread.
//! What keeps the lock alive until then?
//!
//! * An `Arc` of the runtime in every future: a write to one line by all cores.
//! * An `Arc` per wheel in every linked entry: 28 to 31 ns for create, link and cancel instead of 16
//!   to 18, and one more line to fetch after a task has moved.
//! * A count of entries inside the lock: it does not cover the one who has seen `Linked` and has not
//!   locked yet.
//! * *Type-stable* memory, which is what we do: a shard is given back to a list of the process and
//!   serves the next runtime. Whoever comes late locks a wheel that may be another runtime's by now,
//!   sees that its entry is in no wheel, and leaves. This costs nothing on any path, and 256 bytes per
//!   slot of the largest number of slots that ever existed at once, with 8 KiB more for those that ever had a timer.
//!
//! Inside a model a shard is not given back but leaked: loom's objects belong to one execution.

use super::entry::Entry;
use super::wheel::{Due, Wheel};
use crate::primitive::atomic::{AtomicU64, Ordering::Relaxed};
use crate::primitive::{SpinGuard, SpinLock, StaticMutex, explore, in_model};
use crate::util::pad::Pad;
use crate::util::wake_batch::WakeBatch;
use std::ops::{Deref, DerefMut};

/// How many entries one holding of the lock moves to lower levels: 1 to 5 µs, caches cold.
const MOVES: usize = 64;

/// The published deadline of a wheel without entries.
const NEVER: u64 = u64::MAX;

/// The shards of runtimes that are gone. A process-wide write, once per life of a runtime.
static FREE: StaticMutex<Vec<&'static Shard>> = StaticMutex::new(Vec::new());

/// A wheel behind its lock.
#[repr(align(128))]
pub(super) struct Shard {
    wheel: SpinLock<Guarded>,
    /// A tick before which the wheel has nothing to do. On a line of its own: every searching worker
    /// reads it, and the lock's line is written with every timer.
    next: Pad<AtomicU64>,
}

/// What the lock guards.
pub(super) struct Guarded {
    wheel: Wheel,
    /// No entry comes in any more: the runtime is shutting down.
    closed: bool,
}

pub(super) type WheelGuard = SpinGuard<'static, Guarded>;

impl Deref for Guarded {
    type Target = Wheel;

    fn deref(&self) -> &Wheel {
        &self.wheel
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Wheel {
        &mut self.wheel
    }
}

impl Guarded {
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// `count` empty shards, old or new.
pub(super) fn take(count: usize) -> Box<[&'static Shard]> {
    let mut old = if in_model() {
        Vec::new()
    } else {
        let mut free = FREE.lock();
        let rest = free.len().saturating_sub(count);
        free.split_off(rest)
    };
    old.resize_with(count, || match explore::is_on() && in_model() {
        true => for_this_execution(),
        false => Box::leak(Box::new(Shard::new())),
    });
    if !in_model() {
        // New ones too: a storm goes the same way whatever came before it.
        old.iter().for_each(|shard| shard.reopen());
    }
    old.into()
}

/// A shard that goes with the execution of a user's model, which may be one of a million.
fn for_this_execution() -> &'static Shard {
    let shard = Box::into_raw(Box::new(Shard::new()));
    // SAFETY: made by `Box::into_raw`; and whatever could reach it, timers and the tasks that have
    // them, is gone when an execution has ended.
    explore::at_end(move || drop(unsafe { Box::from_raw(shard) }));
    // SAFETY: as above.
    unsafe { &*shard }
}

/// Takes shards back that were shut down.
pub(super) fn give_back(shards: &[&'static Shard]) {
    if !in_model() {
        FREE.lock().extend_from_slice(shards);
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            wheel: SpinLock::new(Guarded { wheel: Wheel::new(), closed: false }),
            next: Pad(AtomicU64::new(NEVER)),
        }
    }

    fn reopen(&'static self) {
        let mut guarded = self.lock();
        guarded.wheel.reset();
        guarded.closed = false;
        self.publish(&guarded);
    }

    #[inline]
    pub(super) fn lock(&'static self) -> WheelGuard {
        self.wheel.lock()
    }

    /// As [`lock`](Self::lock), for who inserts: from here on the wheel has slots, unless it is closed.
    #[inline]
    pub(super) fn lock_to_insert(&'static self) -> WheelGuard {
        let wheel = self.lock();
        if wheel.has_slots() || wheel.is_closed() { wheel } else { self.lock_with_slots(wheel) }
    }

    #[cold]
    fn lock_with_slots(&'static self, wheel: WheelGuard) -> WheelGuard {
        // No memory is asked for under the lock, which spins.
        drop(wheel);
        let slots = Wheel::new_slots();
        let mut wheel = self.lock();
        wheel.give(slots);
        wheel
    }

    /// A tick before which nothing is due, `None` if the wheel is empty. May be too early, if what
    /// was due then has been cancelled.
    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        // Relaxed: a hint about when to look; the lock decides. One who goes to sleep by it orders
        // this load with a fence, as the README's "who sleeps" says.
        let next = self.next.0.load(Relaxed);
        (next != NEVER).then_some(next)
    }

    /// After an insertion at tick `at`: whether the wheel's earliest deadline became earlier.
    #[inline]
    pub(super) fn inserted(&self, _locked: &WheelGuard, at: u64) -> bool {
        // Relaxed: written under the lock only, so that this is the newest value; see `next`.
        let earlier = at < self.next.0.load(Relaxed);
        if earlier {
            self.next.0.store(at, Relaxed);
        }
        earlier
    }

    /// After a removal. The next deadline is not looked for: a worker that wakes for a cancelled one
    /// does it, once.
    #[inline]
    pub(super) fn removed(&self, locked: &WheelGuard) {
        if locked.len() == 0 {
            // Relaxed: see `next`.
            self.next.0.store(NEVER, Relaxed);
        }
    }

    pub(super) fn publish(&self, locked: &WheelGuard) {
        // Relaxed: see `next`.
        self.next.0.store(locked.earliest().unwrap_or(NEVER), Relaxed);
    }

    /// Fires due entries into `batch` in one holding of the lock. Whether more may be due.
    pub(super) fn fire(&'static self, now: u64, batch: &mut WakeBatch) -> (usize, bool) {
        let mut wheel = self.lock();
        let mut moves = MOVES;
        let mut fired = 0;
        let more = loop {
            if !batch.has_room() {
                break true;
            }
            match wheel.pop_due(now, &mut moves) {
                // SAFETY: rules 2 and 4 — just taken out of this wheel, whose lock is held.
                Due::Entry(entry, when) => batch.push(unsafe { Entry::fire(entry, when) }),
                Due::Nothing => break false,
                Due::OutOfMoves => break true,
            }
            fired += 1;
        };
        self.publish(&wheel);
        (fired, more)
    }

    /// Lets no entry in any more and takes out some of those inside. Whether there are more.
    pub(super) fn close(&'static self, batch: &mut WakeBatch) -> bool {
        let mut guarded = self.lock();
        guarded.closed = true;
        while batch.has_room() {
            let Some(entry) = guarded.pop_any() else { break };
            // SAFETY: rules 2 and 4 — just taken out of this wheel, whose lock is held.
            batch.push(unsafe { Entry::orphan(entry) });
        }
        self.publish(&guarded);
        guarded.len() > 0
    }
}
