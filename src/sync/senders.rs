//! How many senders a channel has: the last one to go ends it.

use crate::primitive::atomic::{AtomicUsize, Ordering::*};

/// The counts of one channel's senders.
#[derive(Debug)]
pub(super) struct Senders {
    strong: AtomicUsize,
    /// Of senders that do not keep the channel from ending: a number for people.
    weak: AtomicUsize,
}

impl Senders {
    /// Of a new channel, which has one.
    pub(super) fn one() -> Self {
        Self { strong: AtomicUsize::new(1), weak: AtomicUsize::new(0) }
    }

    /// One more, made from one that exists.
    pub(super) fn enter(&self) {
        // Relaxed: the count is not zero and stays so.
        self.strong.fetch_add(1, Relaxed);
    }

    /// One less. Gives whether it was the last, which sees all that the others did before they left.
    #[must_use = "the last one ends the channel"]
    pub(super) fn leave(&self) -> bool {
        // AcqRel: the end that follows comes after what all others sent.
        self.strong.fetch_sub(1, AcqRel) == 1
    }

    /// One more, made from a weak one: if there is one still.
    #[must_use = "if not, there is no sender"]
    pub(super) fn re_enter(&self) -> bool {
        let more = |n: usize| (n > 0).then_some(n + 1);
        // Acquire: as the clone of a sender that exists.
        self.strong.fetch_update(Acquire, Relaxed, more).is_ok()
    }

    /// For the receiver's end and for who frees the channel: sees what those before did, and is seen. The `Arc`
    /// orders the same; models see only this.
    pub(super) fn meet(&self) {
        // AcqRel: pairs with the one in `leave`, and with itself.
        self.strong.fetch_add(0, AcqRel);
    }

    pub(super) fn enter_weak(&self) {
        // Relaxed: as said.
        self.weak.fetch_add(1, Relaxed);
    }

    pub(super) fn leave_weak(&self) {
        // Relaxed: as said.
        self.weak.fetch_sub(1, Relaxed);
    }

    pub(super) fn count(&self) -> usize {
        // Acquire: who finds none sees what they did.
        self.strong.load(Acquire)
    }

    pub(super) fn weak_count(&self) -> usize {
        // Relaxed: as said.
        self.weak.load(Relaxed)
    }
}
