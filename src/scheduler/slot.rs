//! What the world sees of one worker: how to wake it, how to steal from it, what it has counted.

use super::park::Parker;
use crate::primitive::atomic::{AtomicBool, AtomicU64, Ordering::*};
use crate::primitive::deque::Stealer;
use crate::task::Runnable;

/// The shared half of a worker. The private half, [`Worker`](super::worker::Worker), lives on the
/// stack of the thread that owns the slot.
#[derive(Debug)]
pub struct Slot {
    pub(super) parker: Parker,
    pub(super) stealer: Stealer<Runnable>,
    /// Whether a thread owns this slot now. Workers' slots always have one; guests' come and go.
    pub(super) owned: AtomicBool,
    pub(super) counters: Counters,
}

impl Slot {
    pub(super) fn new(stealer: Stealer<Runnable>) -> Self {
        Self {
            parker: Parker::new(),
            stealer,
            owned: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }
}

/// What a worker has done. Written by its owner alone, on the slot's own cache lines.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) polls: Counter,
    pub(super) parks: Counter,
    pub(super) steals: Counter,
    pub(super) stolen: Counter,
    pub(super) wakes: Counter,
    pub(super) busy_ns: Counter,
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
