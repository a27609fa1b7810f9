//! The state word of a timer: one word, every transition a method, no ordering of it anywhere else.
//!
//! ```text
//!            link (owner, under the lock)
//!   ┌──────┐ ───────────────────────────► ┌────────┐   fire (anyone, under the lock)   ┌───────────┐
//!   │ Idle │                              │ Linked │ ────────────────────────────────► │ Fired(at) │
//!   └──────┘ ◄─────────────────────────── └────────┘                                   └───────────┘
//!       ▲     unlink (owner, or shutdown, under the lock)                                    │
//!       └───────────────────────────────── unlink (owner, no lock) ──────────────────────────┘
//! ```
//!
//! Only the owner, the one with the `Pin<&mut Entry>`, leads into `Linked`; whoever leads out of it,
//! under the lock of the wheel, touches the entry with that store for the last time.

use crate::primitive::atomic::{AtomicU64, Ordering::*};

const IDLE: u64 = 0;
const LINKED: u64 = 1;
/// `tick << 2 | FIRED`: a tick has 48 bits.
const FIRED: u64 = 2;
const TICK: u32 = 2;

/// What the word said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In no wheel, no waker inside. All of the entry is the owner's.
    Idle,
    /// In the wheel that `shard` names. Links, slot and waker belong to the lock of that wheel.
    Linked,
    /// As `Idle`, and this tick, for which the entry was linked, has been reached.
    Fired(u64),
}

/// The word.
pub(super) struct State(AtomicU64);

impl State {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(IDLE))
    }

    /// Where the entry is now. `Linked` may be out of date, the others are final until the owner acts.
    #[inline]
    pub(super) fn get(&self) -> Phase {
        // Acquire: pairs with the Release in `fire` and `unlink`. The owner that sees them may free
        // the entry without taking the lock.
        match self.0.load(Acquire) {
            IDLE => Phase::Idle,
            LINKED => Phase::Linked,
            fired => Phase::Fired(fired >> TICK),
        }
    }

    /// The owner, under the lock: the entry is now in a wheel.
    #[inline]
    pub(super) fn link(&self) {
        // Relaxed: what others need of the entry, the lock hands to them.
        self.0.store(LINKED, Relaxed);
    }

    /// Under the lock, the entry taken out of its wheel and its waker out of it: the last touch.
    #[inline]
    pub(super) fn fire(&self, at: u64) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(at << TICK | FIRED, Release);
    }

    /// As [`fire`](Self::fire), without a tick. The owner needs no lock for an entry in no wheel.
    #[inline]
    pub(super) fn unlink(&self) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(IDLE, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::tick;

    #[test]
    fn every_phase_is_read_back() {
        let state = State::new();
        assert_eq!(state.get(), Phase::Idle);
        state.link();
        assert_eq!(state.get(), Phase::Linked);
        for at in [0, 1, 2, tick::LAST] {
            state.fire(at);
            assert_eq!(state.get(), Phase::Fired(at));
        }
        state.unlink();
        assert_eq!(state.get(), Phase::Idle);
    }
}
