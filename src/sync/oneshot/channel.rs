//! The one word that the two ends of a oneshot channel share, and who owns what in each state.
//!
//! | bit | set by | means |
//! |---|---|---|
//! | `SENT` | sender, with `TX_GONE` | the value is in its cell, and the receiver's |
//! | `TX_GONE` | sender | the sender touches nothing any more |
//! | `CLOSED` | receiver | no value is accepted any more |
//! | `RX_GONE` | receiver, with `CLOSED` | the receiver touches nothing any more |
//! | `RX_WAKER` | receiver, having left its waker | it waits; cleared by the sender |
//! | `TX_WAKER` | sender, having left its waker | it waits; cleared by the receiver |
//!
//! There is no reference count: the end that sets the second of `TX_GONE` and `RX_GONE` frees the
//! channel. So a send and a receive cost one read-modify-write together, plus one for each side that
//! waits.
//!
//! # Rules
//!
//! 1. An end owns its pointer to the channel until it has set its `GONE` bit; after that it touches
//!    nothing, unless the other end's `GONE` bit was already set: then it owns everything.
//! 2. Before `SENT` the value cell is the sender's, after it the receiver's.
//! 3. A waker is left *before* its bit is set and taken *after* the bit is cleared. So an end that
//!    clears the bit and then finds the word unchanged by its next step has the latest waker; what
//!    it took may be newer than the bit it cleared, in which case the bit is set again, the word
//!    has changed, and it takes once more.
//! 4. An end takes the other one's waker *before* it says that it is gone, since after it the other
//!    may free the channel; it wakes afterwards.

use super::super::waker_cell::WakerCell;
use crate::primitive::UnsafeCell;
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::task::Waker;

const SENT: usize = 1;
const TX_GONE: usize = 2;
const CLOSED: usize = 4;
const RX_GONE: usize = 8;
const RX_WAKER: usize = 16;
const TX_WAKER: usize = 32;

/// The word at one moment.
#[derive(Clone, Copy)]
pub(super) struct State(usize);

impl State {
    /// The value is there, and the receiver's.
    pub(super) fn is_sent(self) -> bool {
        self.0 & SENT != 0
    }

    pub(super) fn is_sender_gone(self) -> bool {
        self.0 & TX_GONE != 0
    }

    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }
}

/// One end, and where its waker is.
#[derive(Clone, Copy)]
pub(super) enum End {
    Sender,
    Receiver,
}

/// What [`Shared::leave`] and [`Shared::send`] oblige the caller to.
#[must_use]
pub(super) struct Parted {
    /// To be woken, now that nothing of ours is touched any more.
    pub(super) peer: Option<Waker>,
    /// The other end had gone before: the channel is the caller's, to be [freed](free).
    pub(super) last: bool,
    /// The word before the step.
    pub(super) before: State,
}

/// What both ends point to.
pub(super) struct Shared<T> {
    state: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
    tx_waker: WakerCell,
    rx_waker: WakerCell,
}

// The value goes in and comes out whole.
impl<T> UnwindSafe for Shared<T> {}
impl<T> RefUnwindSafe for Shared<T> {}

impl<T> Shared<T> {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicUsize::new(0),
            value: UnsafeCell::new(MaybeUninit::uninit()),
            tx_waker: WakerCell::new(),
            rx_waker: WakerCell::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        // Acquire: pairs with the AcqRel in `part` and in `close`.
        State(self.state.load(Acquire))
    }

    fn waker(&self, end: End) -> (usize, &WakerCell) {
        match end {
            End::Sender => (TX_WAKER, &self.tx_waker),
            End::Receiver => (RX_WAKER, &self.rx_waker),
        }
    }

    /// Takes the waker of `end`, if it waits.
    fn take_waker(&self, end: End) -> Option<Waker> {
        let (bit, cell) = self.waker(end);
        // AcqRel: pairs with the AcqRel in `register`.
        if self.state.fetch_and(!bit, AcqRel) & bit == 0 {
            return None;
        }
        cell.take()
    }

    /// Leaves `waker` to be woken when the other end acts. Answers the word at that moment: the
    /// caller looks at it, and waits only if the other end has not acted.
    pub(super) fn register(&self, end: End, waker: &Waker) -> State {
        let (bit, cell) = self.waker(end);
        cell.set(waker);
        // AcqRel: Release pairs with `take_waker`; Acquire with `part` and `close`, whose step this
        // one sees or is seen by.
        State(self.state.fetch_or(bit, AcqRel))
    }

    /// Sets `bits`, unless one of `unless` is set, having taken the waker of `peer` first (rule 4).
    fn part(&self, bits: usize, unless: usize, peer: End) -> Result<(State, Option<Waker>), State> {
        let mut taken = None;
        // Acquire: pairs with this very step of the other end.
        let mut state = self.state.load(Acquire);
        loop {
            if state & unless != 0 {
                // The waker taken, if any, is that of an end which has acted: it needs no wake.
                return Err(State(state));
            }
            if state & self.waker(peer).0 != 0 {
                // Rule 3. One taken in an earlier round is older, if there is another.
                taken = self.take_waker(peer).or(taken);
                state = self.state.load(Acquire);
                continue;
            }
            // AcqRel: Release publishes the value, and what this end did, to the other one; Acquire
            // for the same of the other end, if it has gone.
            match self.state.compare_exchange_weak(state, state | bits, AcqRel, Acquire) {
                Ok(_) => return Ok((State(state), taken)),
                Err(now) => state = now,
            }
        }
    }

    /// The sender, having stored the value, hands it over and goes; an error if the receiver
    /// accepts none.
    ///
    /// # Safety
    ///
    /// By the sender. After `Ok` it is gone (rule 1).
    pub(super) unsafe fn send(&self, value: T) -> Result<Option<Waker>, T> {
        // SAFETY: rule 2: not sent, so the cell is the sender's, and empty.
        self.value.with_mut(|cell| unsafe { (*cell).write(value) });
        match self.part(SENT | TX_GONE, CLOSED, End::Receiver) {
            Ok((_, waker)) => Ok(waker),
            // SAFETY: rule 2: not sent; it was stored above.
            Err(_) => Err(self.value.with(|cell| unsafe { cell.read().assume_init() })),
        }
    }

    /// Takes the value.
    ///
    /// # Safety
    ///
    /// By the receiver, once, after it has seen `SENT`.
    pub(super) unsafe fn take(&self) -> T {
        // SAFETY: rule 2: it is there, and the receiver's.
        self.value.with(|cell| unsafe { cell.read().assume_init() })
    }

    /// `end` goes.
    ///
    /// # Safety
    ///
    /// By that end; it is gone then, unless the answer says `last` (rule 1).
    pub(super) unsafe fn leave(&self, end: End) -> Parted {
        let (bits, gone, peer) = match end {
            End::Sender => (TX_GONE, RX_GONE, End::Receiver),
            End::Receiver => (RX_GONE | CLOSED, TX_GONE, End::Sender),
        };
        match self.part(bits, 0, peer) {
            Ok((before, waker)) => Parted { peer: waker, last: before.0 & gone != 0, before },
            Err(_) => unreachable!("nothing forbids to go"),
        }
    }

    /// The receiver accepts nothing any more. Answers the word before and the sender's waker.
    pub(super) fn close(&self) -> (State, Option<Waker>) {
        // AcqRel: pairs with the sender's steps.
        let before = State(self.state.fetch_or(CLOSED, AcqRel));
        let waker = if before.is_sender_gone() { None } else { self.take_waker(End::Sender) };
        (before, waker)
    }
}

/// Frees the channel, and the wakers that are still in it. The value is the caller's affair.
///
/// # Safety
///
/// The caller is the last end (rule 1).
pub(super) unsafe fn free<T>(shared: NonNull<Shared<T>>) {
    // SAFETY: the caller's: nobody else has the pointer; it came from a box.
    drop(unsafe { Box::from_raw(shared.as_ptr()) });
}
