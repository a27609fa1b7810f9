//! A hierarchical timing wheel: which entry is due when. Arithmetic and lists; no lock, no clock.
//!
//! Level `l` has 64 slots of `64^l` ticks. An entry for tick `at` stands at the level of the highest
//! six-bit digit in which `at` differs from `elapsed`, in the slot of that digit. So all entries of a
//! lower level are due before all of a higher one, and within a level the slots are in order: the
//! next slot is found with two bit scans, and nothing rotates.
//!
//! When time reaches a slot, the slot is *drained*: a slot of level 0 holds what is due, any other one
//! holds what now belongs to lower levels. Draining stops and goes on as the caller likes, since half a
//! million idle timeouts in one slot would keep the lock for tens of milliseconds.
//!
//! Eight levels are all 48 bits of a tick, so that no entry is ever beyond the last slot; six would
//! save 2 of the 8 KiB and cost an overflow list with its own rules. A wheel without cascades, as
//! Linux has, would fire a one-second timer up to 60 ms late.
//!
//! `unsafe` here rests on rules 1 and 2 of the [module](super).

use super::entry::Entry;
use super::tick;
use crate::primitive::in_storm;
use crate::util::list::List;
use std::ptr::NonNull;

const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = 8;

/// How many entries of the next slot are looked at for the exact deadline. With more, the beginning of
/// the slot stands in for it, and the thread that sleeps until then wakes once for nothing.
const LOOK: usize = 16;

/// The place of an entry: `level * 64 + digit`.
pub(super) type Slot = u16;

/// What [`Wheel::pop_due`] found.
#[must_use]
pub(super) enum Due {
    /// This entry, in no wheel any more, and the tick it was to fire at when we looked.
    Entry(NonNull<Entry>, u64),
    /// Nothing, and the wheel is up to date.
    Nothing,
    /// Not known yet: the moves are used up. Call again.
    OutOfMoves,
}

/// A set of entries ordered by deadline.
pub(super) struct Wheel {
    /// The tick up to which everything has been taken out. Never ahead of the clock.
    elapsed: u64,
    len: usize,
    /// The slot that is being drained: it is not empty, and everything in it comes first.
    draining: Option<Slot>,
    /// Which levels have an entry.
    levels: u8,
    /// Which slots of a level have one.
    occupied: [u64; LEVELS],
    /// None before [`give`](Wheel::give).
    slots: Slots,
}

/// The slots of a wheel: 8 KiB.
pub(super) type Slots = Box<[List<Entry>]>;

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            elapsed: 0,
            len: 0,
            draining: None,
            levels: 0,
            occupied: [0; LEVELS],
            slots: Slots::default(),
        }
    }

    /// Slots for a wheel. A wheel has none of its own: most, those of guests and stand-ins, never have an entry.
    pub(super) fn new_slots() -> Slots {
        (0..LEVELS * SLOTS).map(|_| List::new()).collect()
    }

    /// Whether it has slots. Without them nothing is inserted.
    #[inline]
    pub(super) fn has_slots(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Gives it slots, if it has none.
    pub(super) fn give(&mut self, slots: Slots) {
        if !self.has_slots() {
            self.slots = slots;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// Begins a new life at tick 0, with the slots that it has.
    ///
    /// # Panics
    ///
    /// If the wheel is not empty.
    pub(super) fn reset(&mut self) {
        assert_eq!(self.len, 0, "a wheel with timers cannot start again");
        self.elapsed = 0;
        if in_storm() {
            // It goes the same way whatever came before it.
            self.slots = Slots::default();
        }
    }

    /// Adds an entry for tick `at`, or for the present where that has passed. Gives the tick.
    ///
    /// # Panics
    ///
    /// If it has no slots.
    ///
    /// # Safety
    ///
    /// Rules 1 and 2: `entry` is alive, in no wheel, and ours while the lock of this wheel is held.
    pub(super) unsafe fn insert(&mut self, entry: NonNull<Entry>, at: u64) -> u64 {
        let at = at.clamp(self.elapsed, tick::LAST);
        let slot = place(self.elapsed, at);
        let (level, digit) = split(slot);
        // SAFETY: the caller's.
        unsafe {
            entry.as_ref().set_slot(slot);
            self.slots[usize::from(slot)].push_back(entry);
        }
        self.occupied[level] |= 1 << digit;
        self.levels |= 1 << level;
        self.len += 1;
        at
    }

    /// Takes an entry out.
    ///
    /// # Safety
    ///
    /// Rule 2: `entry` is in this wheel, whose lock is held.
    pub(super) unsafe fn remove(&mut self, entry: NonNull<Entry>) {
        // SAFETY: the caller's; the entry is in the list of its slot.
        let slot = unsafe {
            let slot = entry.as_ref().slot();
            self.slots[usize::from(slot)].remove(entry);
            slot
        };
        self.len -= 1;
        if self.slots[usize::from(slot)].is_empty() {
            let (level, digit) = split(slot);
            self.occupied[level] &= !(1 << digit);
            if self.occupied[level] == 0 {
                self.levels &= !(1 << level);
            }
            if self.draining == Some(slot) {
                self.draining = None;
            }
        }
    }

    /// Takes out any one entry, in about the order of deadlines.
    pub(super) fn pop_any(&mut self) -> Option<NonNull<Entry>> {
        let slot = self.draining.or_else(|| self.next_slot())?;
        let entry = self.slots[usize::from(slot)].front()?;
        // SAFETY: it was the first entry of this slot.
        unsafe { self.remove(entry) };
        Some(entry)
    }

    /// Takes out an entry that is due at tick `now`, the earliest first. On its way it moves entries
    /// to lower levels and counts `moves` down.
    pub(super) fn pop_due(&mut self, now: u64, moves: &mut usize) -> Due {
        // Another thread may have read its clock later than the caller, and been here first.
        let now = now.max(self.elapsed).min(tick::LAST);
        loop {
            let Some(slot) = self.draining.or_else(|| self.next_slot()) else {
                self.elapsed = now;
                return Due::Nothing;
            };
            if self.draining.is_none() {
                let begin = self.begin(slot);
                if begin > now {
                    self.elapsed = now;
                    return Due::Nothing;
                }
                // As far as nothing is left behind: the fewer digits differ, the fewer the moves.
                let end = begin + (width(slot) - 1);
                self.elapsed = self.elapsed.max(self.first_in(slot).min(end).min(now));
                self.draining = Some(slot);
            }
            let Some(entry) = self.slots[usize::from(slot)].front() else {
                unreachable!("an occupied slot has an entry");
            };
            // SAFETY: it was in this wheel, hence alive (rule 1).
            let when = unsafe { entry.as_ref() }.when();
            let due = usize::from(slot) < SLOTS && when <= self.elapsed;
            if !due && *moves == 0 {
                return Due::OutOfMoves;
            }
            // SAFETY: it is the first entry of this slot.
            unsafe { self.remove(entry) };
            if due {
                return Due::Entry(entry, when);
            }
            *moves -= 1;
            // SAFETY: it is in no wheel since the line above. It does not come back into `slot`: from
            // a higher level it differs from `elapsed` in a lower digit or lies beyond the slot, and
            // on level 0 it was reset to a tick after `elapsed`, which is the slot's.
            unsafe { self.insert(entry, when) };
        }
    }

    /// A tick before which nothing is due; `None` if the wheel is empty. Exact for a level 0 slot and
    /// for slots of a few entries.
    pub(super) fn earliest(&self) -> Option<u64> {
        if self.draining.is_some() {
            return Some(self.elapsed);
        }
        let slot = self.next_slot()?;
        // Not past the slot, even if all in it were reset to later: the slot after it has its own.
        let after = self.begin(slot) + width(slot);
        Some(self.first_in(slot).min(after).max(self.elapsed))
    }

    /// The slot that comes first.
    fn next_slot(&self) -> Option<Slot> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let digit = self.occupied[level as usize].trailing_zeros();
        Some((level << DIGIT | digit) as Slot)
    }

    /// The first tick of a slot.
    fn begin(&self, slot: Slot) -> u64 {
        let (level, digit) = split(slot);
        let shift = DIGIT * level as u32;
        let above = shift + DIGIT;
        (self.elapsed >> above << above) | (digit as u64) << shift
    }

    /// The earliest deadline in a slot, or the beginning of the slot if there are many.
    fn first_in(&self, slot: Slot) -> u64 {
        let begin = self.begin(slot);
        let list = &self.slots[usize::from(slot)];
        let mut at = list.front();
        let mut first = u64::MAX;
        for _ in 0..LOOK {
            let Some(entry) = at else { return first.max(begin) };
            // SAFETY: what is in the list is alive (rule 1) and the lock is held (rule 2).
            unsafe {
                first = first.min(entry.as_ref().when());
                at = list.after(entry);
            }
            if first <= begin {
                break;
            }
        }
        if at.is_none() { first.max(begin) } else { begin }
    }
}

/// The slot of tick `at` when everything before `elapsed` has passed.
fn place(elapsed: u64, at: u64) -> Slot {
    debug_assert!(elapsed <= at && at <= tick::LAST);
    // The lowest digit counts as differing, so that `at == elapsed` is on level 0.
    let level = ((elapsed ^ at) | (SLOTS as u64 - 1)).ilog2() / DIGIT;
    let digit = (at >> (DIGIT * level)) as usize % SLOTS;
    (level as usize * SLOTS + digit) as Slot
}

fn split(slot: Slot) -> (usize, usize) {
    (usize::from(slot) / SLOTS, usize::from(slot) % SLOTS)
}

/// How many ticks a slot covers.
fn width(slot: Slot) -> u64 {
    1 << (DIGIT * split(slot).0 as u32)
}
