//! What the world sees of one worker: how to wake it, how to steal from it, what it has counted.

use super::gate::{Fences, Gate};
use super::park::Parker;
use crate::primitive::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use crate::primitive::deque::{self, Stealer};
use crate::task::{Header, Id, Runnable};
use crate::util::histogram::Counts;
use crate::util::ring::Ring;
use std::panic::Location;
use std::ptr;
use std::sync::OnceLock;

/// The shared half of a worker. The private half, [`Worker`](super::worker::Worker), lives on the
/// stack of the thread that owns the slot.
#[derive(Debug)]
pub struct Slot {
    pub(super) parker: Parker,
    /// The way into its queue; null until its first owner comes. Most slots never have one.
    stealer: AtomicPtr<Stealer<Runnable>>,
    /// Whether a thread owns this slot now. Workers' slots always have one; guests' come and go.
    pub(super) owned: AtomicBool,
    /// Whether the owner is one of the `N` that should be at work: no `block_on` caller.
    pub(super) counted: AtomicBool,
    /// The owner's thread, as the system calls it.
    pub(super) thread: AtomicU32,
    /// How many thieves sleep that are to leave its queue alone for a moment.
    spared: AtomicU32,
    pub(super) counters: Counters,
    pub(super) current: Current,
    /// Its owner's ring, if there is a flight recorder.
    pub(super) ring: OnceLock<Ring>,
    /// What its owner has measured, if records are kept.
    pub(super) times: OnceLock<Box<Times>>,
    /// What the owner alone touches, and the way to it when the owner is stuck.
    pub(super) gate: Gate<Runnable>,
}

impl Slot {
    /// Without a queue.
    pub(super) fn new(fences: Fences) -> Self {
        Self {
            parker: Parker::new(),
            stealer: AtomicPtr::default(),
            owned: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            thread: AtomicU32::new(0),
            spared: AtomicU32::new(0),
            counters: Counters::default(),
            current: Current::default(),
            ring: OnceLock::new(),
            times: OnceLock::new(),
            gate: Gate::new(fences),
        }
    }

    /// Gives the slot its queue, once. The owner's half is for its owner.
    pub(super) fn equip(&self) -> deque::Worker<Runnable> {
        let deque = deque::Worker::new_fifo();
        let stealer = Box::into_raw(Box::new(deque.stealer()));
        // Release: pairs with the Acquire in `stealer`.
        let before = self.stealer.swap(stealer, Release);
        assert!(before.is_null(), "a slot has one queue");
        deque
    }

    /// The way into its queue, if it has one.
    #[inline]
    pub(super) fn stealer(&self) -> Option<&Stealer<Runnable>> {
        // Acquire: pairs with the Release in `equip`.
        // SAFETY: null, or made by `equip` and there until the drop.
        unsafe { self.stealer.load(Acquire).as_ref() }
    }

    /// Whether there are tasks in its queue.
    pub(super) fn has_queued(&self) -> bool {
        self.stealer().is_some_and(|stealer| !stealer.is_empty())
    }

    /// Whether there are such that a thief should take.
    pub(super) fn has_loot(&self) -> bool {
        self.has_queued() && !self.is_spared()
    }

    /// Has its queue left alone until the result is dropped.
    pub(super) fn spare(&self) -> Spared<'_> {
        // Relaxed: a hint, as every look at it.
        self.spared.fetch_add(1, Relaxed);
        Spared(self)
    }

    /// Whether thieves leave its queue alone: one of them comes back in a moment.
    #[inline]
    pub(super) fn is_spared(&self) -> bool {
        self.spared.load(Relaxed) > 0
    }

    /// How many tasks are in its queue.
    pub(super) fn queued(&self) -> usize {
        self.stealer().map_or(0, Stealer::len)
    }
}

/// A thief's promise to leave one queue alone, and to look at it when this ends.
#[must_use = "it ends when it is dropped"]
pub(super) struct Spared<'a>(&'a Slot);

impl Drop for Spared<'_> {
    fn drop(&mut self) {
        // Relaxed: a hint.
        self.0.spared.fetch_sub(1, Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Relaxed: nobody else is here any more.
        let stealer = self.stealer.swap(ptr::null_mut(), Relaxed);
        if !stealer.is_null() {
            // SAFETY: made by `equip`.
            drop(unsafe { Box::from_raw(stealer) });
        }
    }
}

/// Which task the owner polls, or polled last: two stores a poll. Not a pointer to the task, which may be
/// freed at any time.
#[derive(Debug, Default)]
pub(super) struct Current {
    id: AtomicU64,
    location: AtomicPtr<Location<'static>>,
}

impl Current {
    /// The owner is about to poll this task.
    #[inline]
    pub(super) fn set(&self, task: &Header) {
        // Relaxed: for people; who looks sees whether it is the same poll before and after.
        self.id.store(task.id().number(), Relaxed);
        // Release: pairs with the Acquire in `get`, which must not see the number from before any task.
        self.location.store(ptr::from_ref(task.location()).cast_mut(), Release);
    }

    /// The owner is about to poll a root.
    #[inline]
    pub(super) fn set_root(&self) {
        // Relaxed: as in `set`.
        self.location.store(ptr::null_mut(), Relaxed);
    }

    /// The task, `None` for a root.
    pub(super) fn get(&self) -> Option<(Id, &'static Location<'static>)> {
        // Acquire: pairs with the Release in `set`.
        let location = self.location.load(Acquire);
        // SAFETY: null, or stored by `set`, whose reference is `'static`.
        let location = unsafe { location.as_ref() }?;
        // Relaxed: as in `set`.
        Some((Id::new(self.id.load(Relaxed)), location))
    }
}

/// What a worker has done. Written by its owner alone, on the slot's own cache lines.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) polls: Counter,
    pub(super) parks: Counter,
    pub(super) unparks: Counter,
    pub(super) steals: Counter,
    pub(super) stolen: Counter,
    pub(super) wakes: Counter,
    pub(super) busy_ns: Counter,
}

/// How long tasks were ready before the owner polled them, and how long its polls took.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) ready: Counts,
    pub(super) polls: Counts,
}

impl Default for Times {
    fn default() -> Self {
        Self { ready: Counts::new(), polls: Counts::new() }
    }
}

/// A number that one thread raises and any may read.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds. The owner calls it: a load and a store, no read-modify-write.
    #[inline]
    pub(super) fn add(&self, n: u64) {
        // Relaxed: a number for people; nothing is published by it.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        // Relaxed: as in `add`.
        self.0.load(Relaxed)
    }
}
