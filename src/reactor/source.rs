//! One registered descriptor: its word, and who waits for it.
//!
//! Who waits leaves a waker under a small lock: one *slot* for each direction (the `poll_*` methods:
//! the last caller is the one that is woken), and a list of any number of [`Waiter`]s (the
//! futures). A dispatcher takes the wakers out under the lock and wakes them after it.
//!
//! README.md has the protocol and the proof sketch. The rules of the unsafe code here and in
//! `readiness.rs`:
//!
//! 1. The state and the links of a [`Waiter`] are touched only under the lock of the one source it
//!    is used with.
//! 2. A waiter that is linked stays in place and alive: it is pinned, and its owner calls
//!    [`Source::cancel`] before it goes.
//!
//! Rejected: a waker that stays in its slot and is woken there (`wake_by_ref`). It saves three
//! uncontended read-modify-writes a message (about 20 of 1500 ns, below what could be measured), but
//! whoever replaces or drops such a waker has to wait for code of the user that runs on another
//! thread, or on this one: a waker that drops the socket would wait for itself. It also keeps the
//! task of the last reader alive for as long as the socket.

use super::ready::Ready;
use super::word::{Arm, Event, ReadyEvent, Snapshot, Watched, Word};
use crate::primitive::{SpinLock, UnsafeCell};
use crate::util::list::{Linked, Links, List};
use crate::util::wake_batch::WakeBatch;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Waker};

/// A direction that has a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Input.
    Read,
    /// Output.
    Write,
}

impl Direction {
    /// The readiness that ends a wait in this direction.
    pub fn mask(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE | Ready::READ_CLOSED,
            Direction::Write => Ready::WRITABLE | Ready::WRITE_CLOSED,
        }
    }
}

/// What a wish to wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wait {
    /// No need to.
    Ready(ReadyEvent),
    /// Nothing will come: the reactor is shut down.
    ShutDown,
    /// The waker is in place. The caller sees to it that the poller watches for what it waits for.
    Pending(Snapshot),
}

/// A slot for one descriptor. It never moves, and has one owner after another.
// One cache line: 64 sources of one worker's connections do not share lines with each other.
#[derive(Debug)]
#[repr(align(64))]
pub struct Source {
    word: Word,
    waiters: SpinLock<Waiters>,
}

const _: () = assert!(cfg!(debug_assertions) || size_of::<Source>() == 64);

#[derive(Debug)]
struct Waiters {
    reader: Option<Waker>,
    writer: Option<Waker>,
    list: List<Waiter>,
}

impl Waiters {
    fn slot(&mut self, direction: Direction) -> &mut Option<Waker> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }
}

/// A place in the list of those who wait.
#[derive(Debug)]
pub struct Waiter {
    links: Links<Waiter>,
    mask: Ready,
    state: UnsafeCell<WaiterState>,
}

#[derive(Debug)]
struct WaiterState {
    waker: Option<Waker>,
    linked: bool,
}

// SAFETY: rule 1 — what is not `Sync` by itself is touched under the source's lock only, and wakers
// may be taken and dropped by any thread.
unsafe impl Send for Waiter {}
// SAFETY: as above; `mask` never changes.
unsafe impl Sync for Waiter {}

// SAFETY: always the field `links`.
unsafe impl Linked for Waiter {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: the caller's; no reference to the whole element is made.
        unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
    }
}

impl Waiter {
    /// One that will wait for `mask`.
    pub fn new(mask: Ready) -> Self {
        let state = UnsafeCell::new(WaiterState { waker: None, linked: false });
        Self { links: Links::new(), mask, state }
    }

    /// What it waits for.
    pub fn mask(&self) -> Ready {
        self.mask
    }

    /// Runs `f` on the state. Call it with the lock of the source held.
    ///
    /// # Safety
    ///
    /// Rule 1, and `f` does not come here again.
    unsafe fn with_state<R>(&self, f: impl FnOnce(&mut WaiterState) -> R) -> R {
        // SAFETY: the caller's: the lock makes this the only reference.
        self.state.with_mut(|state| f(unsafe { &mut *state }))
    }
}

impl Source {
    /// A slot that nobody owns.
    pub fn new() -> Self {
        let waiters = Waiters { reader: None, writer: None, list: List::new() };
        Self { word: Word::new(), waiters: SpinLock::new(waiters) }
    }

    /// The word, for the transitions that concern nobody who waits.
    pub fn word(&self) -> &Word {
        &self.word
    }

    /// Ends the ownership of the slot: its events are stale from here on, and no waker stays.
    pub fn close(&self) {
        self.word.close();
        let left = {
            let mut waiters = self.waiters.lock();
            // Only futures that were leaked can be in the list: it is forgotten as they were.
            let _ = waiters.list.take();
            (waiters.reader.take(), waiters.writer.take())
        };
        // Outside the lock: dropping a waker may run code of the user.
        drop(left);
    }

    /// An event for the owner `generation`. Says whether it is still the owner.
    #[inline]
    pub fn dispatch(&self, generation: u32, ready: Ready) -> bool {
        match self.word.event(generation, ready) {
            Event::Stale => false,
            Event::Quiet => true,
            Event::Wanted => {
                self.wake(generation, ready);
                true
            }
        }
    }

    /// No event will come: everybody who waits is woken, and told so.
    pub fn shut_down(&self) {
        self.word.shut_down();
        self.wake(self.word.load().generation(), Ready::ALL);
    }

    /// Adds to what is watched, for the owner: [`Word::watch`].
    ///
    /// # Errors
    ///
    /// Those of `tell`. Who came meanwhile trusts in a watch that there is not: everybody is woken, and the next wait
    /// tries again.
    pub fn watch<E>(
        &self,
        more: Watched,
        tell: impl FnMut(Watched) -> Result<(), E>,
    ) -> Result<(), E> {
        let told = self.word.watch(more, tell);
        if told.is_err() {
            let now = self.word.load();
            self.wake(now.generation(), Ready::ALL);
        }
        told
    }

    /// Wakes everybody who waits for any of `ready`, if `generation` is still the owner.
    fn wake(&self, generation: u32, ready: Ready) {
        let mut batch = WakeBatch::new();
        let mut most = usize::MAX;
        loop {
            most = self.collect(generation, ready, &mut batch, most);
            if most == 0 {
                return batch.wake();
            }
            batch.make_room();
        }
    }

    /// One lock's worth of [`wake`](Self::wake): takes up to `most` waiters out. Returns how many
    /// are left to take: those who come while the first ones are woken are none of this event's.
    fn collect(&self, generation: u32, ready: Ready, batch: &mut WakeBatch, most: usize) -> usize {
        let mut waiters = self.waiters.lock();
        if self.word.load().generation() != generation {
            // The slot was closed between the event and here; who waits now is the next owner's.
            return 0;
        }
        for direction in [Direction::Read, Direction::Write] {
            if !(direction.mask() & ready).is_empty() {
                if let Some(waker) = waiters.slot(direction).take() {
                    batch.push(waker);
                }
            }
        }
        let mut taken = 0;
        let mut at = waiters.list.front();
        while let Some(node) = at {
            if taken == most {
                return 0;
            }
            if !batch.has_room() {
                return (most - taken).min(length(&waiters.list));
            }
            // SAFETY: rules 1 and 2 — linked, so alive, and the lock is held.
            unsafe {
                at = waiters.list.after(node);
                let waiter = node.as_ref();
                if (waiter.mask & ready).is_empty() {
                    continue;
                }
                waiters.list.remove(node);
                taken += 1;
                if let Some(waker) = waiter.with_state(|state| {
                    state.linked = false;
                    state.waker.take()
                }) {
                    batch.push(waker);
                }
            }
        }
        0
    }

    /// Waits in the slot of `direction`, in the place of whoever waited there before.
    ///
    /// `seen`, if given, proved to be nothing and is cleared, unless there has been an event since.
    #[inline]
    pub fn poll_slot(
        &self,
        direction: Direction,
        seen: Option<ReadyEvent>,
        cx: &mut Context<'_>,
    ) -> Wait {
        let now = self.word.load();
        match now.settled(direction.mask()) {
            Some(wait) if seen.is_none() => wait,
            _ => self.wait_in_slot(now, direction, seen, cx),
        }
    }

    fn wait_in_slot(
        &self,
        now: Snapshot,
        direction: Direction,
        seen: Option<ReadyEvent>,
        cx: &mut Context<'_>,
    ) -> Wait {
        if seen.is_none() && self.is_waiting(now, direction, cx.waker()) {
            return Wait::Pending(now);
        }
        // Cloned before the lock and dropped after it: both may run code of the user.
        let waker = cx.waker().clone();
        let (wait, _unused) = {
            let mut waiters = self.waiters.lock();
            match self.word.arm(direction.mask(), seen) {
                Arm::Armed(now) => (Wait::Pending(now), waiters.slot(direction).replace(waker)),
                Arm::Ready(event) => (Wait::Ready(event), Some(waker)),
                Arm::ShutDown => (Wait::ShutDown, Some(waker)),
            }
        };
        wait
    }

    /// Whether a wait of the same task is in place already: polling it again then costs no clone.
    fn is_waiting(&self, now: Snapshot, direction: Direction, waker: &Waker) -> bool {
        // Without the want, the slot is empty or about to be emptied.
        !(now.wanted() & direction.mask()).is_empty()
            && self.waiters.lock().slot(direction).as_ref().is_some_and(|w| w.will_wake(waker))
    }

    /// Waits in the list.
    pub fn poll_waiter(&self, waiter: Pin<&Waiter>, cx: &mut Context<'_>) -> Wait {
        let now = self.word.load();
        if let Some(wait) = now.settled(waiter.mask) {
            return wait;
        }
        let waker = cx.waker().clone();
        let (wait, _unused) = {
            let mut waiters = self.waiters.lock();
            // SAFETY: rule 1 — the lock is held, and the closure does not come here again.
            unsafe {
                waiter.with_state(|state| {
                    if state.linked {
                        return (Wait::Pending(now), state.waker.replace(waker));
                    }
                    match self.word.arm(waiter.mask, None) {
                        Arm::Armed(now) => {
                            state.linked = true;
                            // SAFETY: list rules 1 to 3 by rules 1 and 2; it is in no list.
                            waiters.list.push_back(NonNull::from(&*waiter));
                            (Wait::Pending(now), state.waker.replace(waker))
                        }
                        Arm::Ready(event) => (Wait::Ready(event), Some(waker)),
                        Arm::ShutDown => (Wait::ShutDown, Some(waker)),
                    }
                })
            }
        };
        wait
    }

    /// Ends a wait in the list, whatever its state. Nothing is lost by it: an event wakes all who
    /// wait for it, and stays in the word.
    pub fn cancel(&self, waiter: Pin<&Waiter>) {
        let _waker = {
            let mut waiters = self.waiters.lock();
            // SAFETY: rule 1 — the lock is held, and the closure does not come here again.
            unsafe {
                waiter.with_state(|state| {
                    if std::mem::replace(&mut state.linked, false) {
                        // SAFETY: `linked` says that it is in this source's list.
                        waiters.list.remove(NonNull::from(&*waiter));
                    }
                    state.waker.take()
                })
            }
        };
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

impl Snapshot {
    /// The end of a wait for `mask`, if it is there.
    #[inline]
    pub(super) fn settled(self, mask: Ready) -> Option<Wait> {
        let event = self.event(mask);
        if self.is_shut_down() {
            Some(Wait::ShutDown)
        } else if !event.ready().is_empty() {
            Some(Wait::Ready(event))
        } else {
            None
        }
    }
}

/// The number of elements; walked only when a batch has overflowed.
fn length(list: &List<Waiter>) -> usize {
    // SAFETY: list rule 2 — the caller holds the lock, having the list.
    std::iter::successors(list.front(), |&node| unsafe { list.after(node) }).count()
}
