//! How the monitor sleeps while all others do, without a tick, and how they rouse it.
//!
//! ```text
//! monitor                                   whoever wakes up
//! D1  dozing := true                        A1  is awake, for all to see
//! D2  heavy fence                           A2  light fence
//! D3  somebody awake: go on                 A3  dozing: take that back, and unpark
//! D4  park
//! ```
//!
//! Dekker's once more: the monitor sees who woke up, or is seen. The frequent side costs a load of a line
//! that nobody writes, beside a wake-up of some microseconds. The model is in `loom-tests/tests/gate.rs`.

use super::gate::Fences;
use super::park::Parker;
use crate::primitive::atomic::{AtomicBool, Ordering::*};
use std::time::Duration;

/// Where the monitor sleeps.
#[derive(Debug)]
pub struct Bed {
    fences: Fences,
    dozing: AtomicBool,
    parker: Parker,
}

impl Bed {
    /// Without an owner yet.
    pub fn new(fences: Fences) -> Self {
        Self { fences, dozing: AtomicBool::new(false), parker: Parker::new() }
    }

    /// The calling thread is the one that sleeps here.
    pub fn adopt(&self) {
        self.parker.adopt();
    }

    /// Somebody who slept, or was away, is awake.
    #[inline]
    pub fn someone_awake(&self) {
        if self.fences == Fences::Off {
            return;
        }
        // A2: pairs with the heavy fence in `doze`.
        self.fences.light();
        // Relaxed: the fence's.
        if self.dozing.load(Relaxed) {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        // AcqRel: of many who wake up one unparks.
        if self.dozing.swap(false, AcqRel) {
            // Nobody polls here.
            let _ = self.parker.unpark();
        }
    }

    /// Sleeps for `time`, or less.
    pub fn sleep(&self, time: Duration) {
        self.parker.block(Some(time));
        self.parker.take_token();
    }

    /// Sleeps until somebody wakes up, unless `is_quiet` finds that somebody has, and for no longer than
    /// `timeout`. It may return early.
    pub fn doze(&self, timeout: Option<Duration>, is_quiet: impl FnOnce() -> bool) {
        // Relaxed: the fence's.
        self.dozing.store(true, Relaxed);
        // D2: pairs with the light fence in `someone_awake`.
        if self.fences.heavy() && is_quiet() {
            self.parker.block(timeout);
            self.parker.take_token();
        }
        self.dozing.store(false, Relaxed);
    }
}
