//! The values, each in the place that its number has in a ring.
//!
//! Every place has a spinning lock of its own, held for a few instructions, and says the number of the
//! value that was put there last. So receivers meet each other and a sender only where they want the same
//! place, and a receiver sees by the number alone that it came too late. Numbers are given under the lock
//! of `receivers`, which senders and coming and going receivers take. A receiver that has nothing to take
//! sees that in `next`, without a lock.
//!
//! No code of a user runs under a lock, neither `clone` nor `drop`:
//!
//! * *A receiver that clones takes the value with it* (a [`Loan`]), and puts it back afterwards. That are two
//!   locks of one line, and two moves of the value, which is meant to be small. Others that want it
//!   meanwhile wait; so `clone` is called by one thread at a time, and `T` need not be `Sync`, which tokio's
//!   programs need not be. They look on for a moment, then wait in `returned` as for anything else: first the
//!   `Notified`, then [`Ring::is_lent`], which leaves a note that somebody waits.
//! * *A sender waits for nobody.* It puts the next value into the place of one that is lent. Whoever has that
//!   finds another number there, and keeps what it has until its clone is made.
//! * *Who has come* is counted before the clone, by `left`. The last one gets the value itself. A `clone` that
//!   panics has come: the value is put back for the others.
//!
//! Rejected: one lock for all (four receivers on two cores wait for its line), each value in an `Arc` and
//! with a lock of its own for the clones (five read-modify-writes a receive where these are two), a lock
//! that is held over the clone (a sender would wait for it, and a clone that sends for ever).

use super::super::Notify;
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::{SpinLock, in_model, spin_loop};
use std::mem;

/// In `next`: all senders are dropped.
const CLOSED: usize = 1;
/// In `next`: one value.
const ONE: usize = 2;

/// How often a receiver looks whether a value that is lent has come back, before it waits as a task does:
/// pauses of 1, 2, 4, … steps, about a microsecond in all. Most clones take some nanoseconds.
const LOOKS: u32 = 6;

pub(super) struct Ring<T> {
    /// `values sent << 1 | CLOSED`: counted under the lock of `receivers`, read without it.
    next: AtomicUsize,
    /// How many there are. A new number is given under this lock.
    receivers: SpinLock<usize>,
    places: Box<[SpinLock<Place<T>>]>,
    /// Told when a value comes back that somebody waits for.
    pub(super) returned: Notify,
}

struct Place<T> {
    /// Of the value that was put here last.
    number: usize,
    /// How many receivers have yet to come for it.
    left: usize,
    value: Value<T>,
}

enum Value<T> {
    /// All have come for it, or none was put here so far.
    Gone,
    Here(T),
    /// A receiver has it and makes a clone.
    Lent {
        awaited: bool,
    },
}

/// What a receiver gets.
pub(super) enum Taken<'a, T> {
    /// The value itself; all others have come for it before.
    Last(T),
    Loan(Loan<'a, T>),
}

/// Why a receiver gets nothing now.
pub(super) enum Nothing {
    Empty,
    Closed,
    /// So many were overwritten.
    Missed(usize),
    /// Another receiver has it.
    Lent,
}

/// What stood where a value was put: to be dropped without a lock, after the receivers are told. Then those learn
/// of it that wait for it to come back.
#[must_use]
pub(super) struct Old<'a, T>(&'a Ring<T>, Value<T>);

impl<T> Drop for Old<'_, T> {
    fn drop(&mut self) {
        if let Value::Lent { awaited: true } = self.1 {
            self.0.returned.notify_waiters();
        }
    }
}

impl<T> Ring<T> {
    /// A ring of `capacity` places, a power of two.
    pub(super) fn new(capacity: usize) -> Self {
        let place = |_| SpinLock::new(Place { number: 0, left: 0, value: Value::Gone });
        Self {
            next: AtomicUsize::new(0),
            receivers: SpinLock::new(0),
            places: (0..capacity).map(place).collect(),
            returned: Notify::new(),
        }
    }

    fn place(&self, number: usize) -> &SpinLock<Place<T>> {
        &self.places[number & (self.places.len() - 1)]
    }

    /// How many values were sent, and whether all senders are dropped.
    #[inline]
    pub(super) fn sent(&self) -> (usize, bool) {
        // Acquire: pairs with the Release in `put` and in `close`: values come before the end.
        let next = self.next.load(Acquire);
        (next / ONE, next & CLOSED != 0)
    }

    /// All senders are dropped.
    pub(super) fn close(&self) {
        // Release: pairs with the Acquire in `sent`.
        self.next.fetch_or(CLOSED, Release);
    }

    /// Puts a value into the ring. Answers how many are to take it, and what was there before. Without
    /// receivers it gives the value back.
    pub(super) fn put(&self, value: T) -> Result<(usize, Old<'_, T>), T> {
        let receivers = self.receivers.lock();
        let left = *receivers;
        if left == 0 {
            drop(receivers);
            return Err(value);
        }
        // Relaxed: written under this lock. Without CLOSED, as there is a sender.
        let next = self.next.load(Relaxed);
        let number = next / ONE;
        let old = {
            let mut place = self.place(number).lock();
            mem::replace(&mut *place, Place { number, left, value: Value::Here(value) })
        };
        // Release: pairs with the Acquire in `sent`: who sees the number finds the value.
        self.next.store(next + ONE, Release);
        Ok((left, Old(self, old.value)))
    }

    /// One receiver more; answers the number of the first value that it is to take.
    pub(super) fn join(&self) -> usize {
        let mut receivers = self.receivers.lock();
        *receivers += 1;
        // Under the lock: all values from this number on are put for one more.
        self.sent().0
    }

    /// One receiver less. Answers the number of the first value that was not put for it, and whether it
    /// was the last one.
    pub(super) fn leave(&self) -> (usize, bool) {
        let mut receivers = self.receivers.lock();
        *receivers -= 1;
        (self.sent().0, *receivers == 0)
    }

    pub(super) fn receivers(&self) -> usize {
        *self.receivers.lock()
    }

    /// Value `number`, for a receiver that has not come for it yet and from now on has.
    #[inline]
    pub(super) fn take(&self, number: usize) -> Result<Taken<'_, T>, Nothing> {
        let (next, closed) = self.sent();
        if next == number {
            return Err(if closed { Nothing::Closed } else { Nothing::Empty });
        }
        let mut place = self.place(number).lock();
        if place.number != number {
            return Err(Nothing::Missed(self.missed(number, place.number)));
        }
        match mem::replace(&mut place.value, Value::Gone) {
            Value::Here(value) => {
                place.left -= 1;
                if place.left == 0 {
                    return Ok(Taken::Last(value));
                }
                place.value = Value::Lent { awaited: false };
                Ok(Taken::Loan(Loan { ring: self, number, value: Some(value) }))
            }
            lent @ Value::Lent { .. } => {
                place.value = lent;
                Err(Nothing::Lent)
            }
            Value::Gone => unreachable!("it is there until the last one has come"),
        }
    }

    /// How many are lost of those from `number` on, in whose place value `instead` was found.
    #[cold]
    fn missed(&self, number: usize, instead: usize) -> usize {
        // `instead` may be one that is not counted in `next` yet.
        let next = self.sent().0.max(instead + 1);
        next - self.places.len() - number
    }

    /// Looks on until a value that is lent has come back, for a moment.
    #[cold]
    pub(super) fn look_on(&self, number: usize) -> Result<Taken<'_, T>, Nothing> {
        let looks = if in_model() { 0 } else { LOOKS };
        for look in 0..looks {
            (0..1 << look).for_each(|_| spin_loop());
            let taken = self.take(number);
            if !matches!(taken, Err(Nothing::Lent)) {
                return taken;
            }
        }
        Err(Nothing::Lent)
    }

    /// Whether value `number` is lent; then `returned` is told when it is not any more.
    pub(super) fn is_lent(&self, number: usize) -> bool {
        let mut place = self.place(number).lock();
        if place.number != number {
            return false;
        }
        let Value::Lent { awaited } = &mut place.value else { return false };
        *awaited = true;
        true
    }

    /// A receiver that goes will not come for value `number`. Answers the value if it was the last one;
    /// if that is lent, whoever has it drops it.
    pub(super) fn forgo(&self, number: usize) -> Option<T> {
        let mut place = self.place(number).lock();
        if place.number != number {
            return None;
        }
        place.left -= 1;
        match mem::replace(&mut place.value, Value::Gone) {
            Value::Here(value) if place.left == 0 => Some(value),
            value => {
                place.value = value;
                None
            }
        }
    }

    /// The number of the oldest value that is still there, if it was sent.
    pub(super) fn oldest(&self) -> usize {
        self.sent().0.saturating_sub(self.places.len())
    }

    /// How many values somebody has yet to take. Receivers take in order, so those are the last
    /// ones: a binary search.
    pub(super) fn len(&self) -> usize {
        // Nobody sends meanwhile.
        let _receivers = self.receivers.lock();
        let next = self.sent().0;
        let (mut taken, mut left) = (self.oldest(), next);
        while taken < left {
            let middle = taken + (left - taken) / 2;
            if self.place(middle).lock().left > 0 {
                left = middle;
            } else {
                taken = middle + 1;
            }
        }
        next - left
    }
}

/// A value that a receiver has taken out of its place, to be cloned. It goes back when this is dropped.
pub(super) struct Loan<'a, T> {
    ring: &'a Ring<T>,
    number: usize,
    value: Option<T>,
}

impl<T: Clone> Loan<'_, T> {
    #[inline]
    pub(super) fn copy(self) -> T {
        self.value.clone().expect("it is here until this is dropped")
    }
}

impl<T> Drop for Loan<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let mut place = self.ring.place(self.number).lock();
        if place.number != self.number {
            // Overwritten. Those who waited for it are told by the sender; the value goes after the lock.
            drop(place);
            return;
        }
        // The others may have gone meanwhile: the value goes then too, after the lock.
        let back = if place.left > 0 { self.value.take() } else { None };
        let back = back.map_or(Value::Gone, Value::Here);
        let lent = mem::replace(&mut place.value, back);
        drop(place);
        if let Value::Lent { awaited: true } = lent {
            self.ring.returned.notify_waiters();
        }
    }
}
