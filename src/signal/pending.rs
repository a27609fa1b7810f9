//! The signals that have come and are not delivered: one bit each, set by handlers.

use crate::primitive::atomic::{AtomicU64, Ordering::*};
use std::ffi::c_int;

/// A signal's number, in a range that every system's fit into (Linux has up to 127 on MIPS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(u8);

impl Number {
    /// `None` if no system has such a signal.
    pub fn new(number: c_int) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..128).contains(number)).map(Self)
    }

    fn word(self) -> usize {
        usize::from(self.0 / 64)
    }

    fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// Some signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Set([u64; 2]);

impl Set {
    /// Whether `number` is one of them.
    pub fn contains(self, number: Number) -> bool {
        self.0[number.word()] & number.bit() != 0
    }

    /// Adds `number`.
    pub fn insert(&mut self, number: Number) {
        self.0[number.word()] |= number.bit();
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == [0; 2]
    }
}

/// What a handler owes after it left its signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Raised {
    /// A byte in the pipe: somebody must come and take the signal.
    OwesByte,
    /// Nothing: the signal was there already, and whoever put it there owes the byte.
    Coalesced,
}

/// The signals that have come and are not delivered.
#[derive(Debug)]
pub struct Pending([AtomicU64; 2]);

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}

impl Pending {
    /// None.
    pub fn new() -> Self {
        Self([AtomicU64::new(0), AtomicU64::new(0)])
    }

    /// A signal has come. Async-signal-safe: one read-modify-write.
    pub fn raise(&self, number: Number) -> Raised {
        // Release: what the process did before it raised the signal happens before the listener's
        // return; pairs with the Acquire in `take`. A coalesced signal is in the same release sequence.
        let before = self.0[number.word()].fetch_or(number.bit(), Release);
        if before & number.bit() == 0 { Raised::OwesByte } else { Raised::Coalesced }
    }

    /// Takes what has come. The caller has emptied the pipe before, and owes the delivery.
    #[must_use = "the signals are lost unless they are delivered"]
    pub fn take(&self) -> Set {
        // Acquire: pairs with the Release in `raise`.
        Set([self.0[0].swap(0, Acquire), self.0[1].swap(0, Acquire)])
    }
}
