//! One timer, inside the future that waits for it.
//!
//! An entry allocates nothing and is 64 bytes. It starts in no wheel: a timer that nobody waits for
//! costs nothing, and `timeout` around a future that is ready at once touches neither clock nor wheel.
//!
//! The waker is in a plain cell. Whoever fires the entry copies the waker out, bit by bit, and leaves
//! the cell as it is; so nobody but the owner ever writes the cell, and the owner may compare its
//! waker with the one inside without the lock. That is the case of a `timeout` polled again and again:
//! one load and a comparison, where an `AtomicWaker` takes two read-modify-writes.
//!
//! `unsafe` here cites the numbered rules of the [module](super).

use super::shard::{Shard, WheelGuard};
use super::state::{Phase, State};
use super::tick;
use super::wheel::Slot;
use crate::primitive::UnsafeCell;
use crate::primitive::atomic::{AtomicPtr, AtomicU64, Ordering::*};
use crate::util::list::{Linked, Links};
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::Waker;

/// A timer.
///
/// Dropping it takes it out of its wheel, whether or not the runtime of that wheel still exists.
pub struct Entry {
    links: Links<Entry>,
    waker: UnsafeCell<MaybeUninit<Waker>>,
    /// The wheel it is in, or was in last.
    shard: AtomicPtr<Shard>,
    state: State,
    /// The tick it is to fire at. The slot it stands in may be an earlier one.
    when: AtomicU64,
    slot: UnsafeCell<Slot>,
}

// SAFETY: rules 2 to 4 say which thread touches which field; the waker is Send and Sync itself.
unsafe impl Send for Entry {}
// SAFETY: as above; without a pinned exclusive reference only atomics can be read.
unsafe impl Sync for Entry {}

// SAFETY: always the field `links`.
unsafe impl Linked for Entry {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: the caller's; no reference to the whole entry is made.
        unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
    }
}

impl Entry {
    /// A timer for tick `when`, or for [`tick::LAST`] if that is earlier; in no wheel yet.
    pub fn new(when: u64) -> Self {
        Self {
            links: Links::new(),
            waker: UnsafeCell::new(MaybeUninit::uninit()),
            shard: AtomicPtr::new(ptr::null_mut()),
            state: State::new(),
            when: AtomicU64::new(when.min(tick::LAST)),
            slot: UnsafeCell::new(0),
        }
    }

    /// The tick it is to fire at.
    #[inline]
    pub fn when(&self) -> u64 {
        // Relaxed: a number that publishes nothing. One that reads an old value fires the entry for
        // that one, and the owner sees in `Fired` that it was too early.
        self.when.load(Relaxed)
    }

    /// Whether its tick has been reached, as far as the wheels have been told.
    pub fn is_fired(&self) -> bool {
        matches!(self.state.get(), Phase::Fired(at) if at >= self.when())
    }

    /// Takes it out of its wheel, if it is in one.
    #[cfg(test)]
    pub(super) fn cancel(self: Pin<&mut Self>) {
        drop(self.unlink());
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.get()
    }

    /// The owner, for an entry in no wheel: its tick is not counted as reached any more.
    pub(super) fn disarm(&self) {
        self.state.unlink();
    }

    /// The owner, for an entry in no wheel whose tick has been reached.
    pub(super) fn fire_unlinked(&self) {
        self.state.fire(self.when());
    }

    /// Only the owner writes this word.
    pub(super) fn set_when(&self, when: u64) {
        // Relaxed: see `when`.
        self.when.store(when.min(tick::LAST), Relaxed);
    }

    /// The slot it stands in.
    ///
    /// # Safety
    ///
    /// Rule 2: it is in a wheel whose lock is held.
    pub(super) unsafe fn slot(&self) -> Slot {
        // SAFETY: the caller's.
        self.slot.with(|slot| unsafe { *slot })
    }

    /// # Safety
    ///
    /// Rule 2: the lock of the wheel that it goes into is held.
    pub(super) unsafe fn set_slot(&self, slot: Slot) {
        // SAFETY: the caller's.
        self.slot.with_mut(|cell| unsafe { *cell = slot });
    }

    /// Puts it into `wheel` with `waker` inside. Gives the tick it was put at.
    ///
    /// # Safety
    ///
    /// Called by the owner, rules 1 and 2: the entry is pinned, not linked, and `wheel` is the locked
    /// wheel of `shard`.
    pub(super) unsafe fn link(
        &self,
        shard: &'static Shard,
        wheel: &mut WheelGuard,
        waker: Waker,
    ) -> u64 {
        // SAFETY: rule 3 — it is not linked, so the cell is ours and has no waker inside.
        self.waker.with_mut(|cell| unsafe {
            (*cell).write(waker);
        });
        self.set_shard(shard);
        self.state.link();
        // SAFETY: the caller's.
        unsafe { wheel.insert(NonNull::from(self), self.when()) }
    }

    /// Moves it, already taken out of its wheel, to `wheel`. Gives the tick it was put at.
    ///
    /// # Safety
    ///
    /// Rule 5: the entry is linked, and its old wheel and `wheel`, of `shard`, are both locked.
    pub(super) unsafe fn relocate(&self, shard: &'static Shard, wheel: &mut WheelGuard) -> u64 {
        self.set_shard(shard);
        // SAFETY: the caller's.
        unsafe { wheel.insert(NonNull::from(self), self.when()) }
    }

    fn set_shard(&self, shard: &'static Shard) {
        // Release: pairs with the Acquire in `lock`, which goes on to use the shard.
        self.shard.store(ptr::from_ref(shard).cast_mut(), Release);
    }

    /// Fires it for tick `at`; the caller wakes the waker after unlocking. The entry may be gone on
    /// return.
    ///
    /// `at` is what the caller has found to be reached. Asking for `when` again could give a later
    /// tick, set in between, and the timer would be early (a model found this).
    ///
    /// # Safety
    ///
    /// Rules 2 and 4: the lock of the wheel it was just taken out of is held, its phase is `Linked`.
    pub(super) unsafe fn fire(entry: NonNull<Self>, at: u64) -> Waker {
        // SAFETY: rule 1 — alive until the store in `fire`; rule 3 — a linked entry has a waker.
        unsafe {
            let entry = entry.as_ref();
            let waker = entry.take_waker();
            entry.state.fire(at);
            waker
        }
    }

    /// As [`fire`](Self::fire), for a wheel that goes away: the entry is idle again.
    ///
    /// # Safety
    ///
    /// As for [`fire`](Self::fire).
    pub(super) unsafe fn orphan(entry: NonNull<Self>) -> Waker {
        // SAFETY: as in `fire`.
        unsafe {
            let entry = entry.as_ref();
            let waker = entry.take_waker();
            entry.state.unlink();
            waker
        }
    }

    /// Whether the waker inside wakes what `waker` wakes. For the owner, after it has seen `Linked`.
    pub(super) fn will_wake(&self, waker: &Waker) -> bool {
        // SAFETY: rule 3 — a waker was written, only the owner writes, and it is not writing now. If
        // it was taken out meanwhile, these are the bits of a waker about to be woken, and equal
        // bits still mean the same task: were that gone and another in its place, that other one
        // would have seen the phase that the firing left.
        self.waker
            .with(|cell| unsafe { ManuallyDrop::new(ptr::read((*cell).as_ptr())).will_wake(waker) })
    }

    /// Puts another waker inside; the old one comes back, to be dropped without the lock. Gives
    /// `waker` back as the error if the entry is linked no more.
    pub(super) fn replace_waker(self: Pin<&mut Self>, waker: Waker) -> Result<Waker, Waker> {
        let this = self.into_ref();
        let Some(_guard) = this.lock() else { return Err(waker) };
        // SAFETY: rule 3 — linked, and its wheel is locked.
        unsafe {
            let old = this.take_waker();
            this.waker.with_mut(|cell| {
                (*cell).write(waker);
            });
            Ok(old)
        }
    }

    /// Takes it out of its wheel, if it is in one, with its waker. It is idle after.
    pub(super) fn unlink(self: Pin<&mut Self>) -> Option<Waker> {
        let this = self.into_ref();
        let waker = match this.lock() {
            None => None,
            Some((shard, mut wheel)) => {
                // SAFETY: rule 2 — it is in this wheel, which is locked; rule 3 for the waker.
                let waker = unsafe {
                    wheel.remove(NonNull::from(&*this));
                    this.take_waker()
                };
                shard.removed(&wheel);
                Some(waker)
            }
        };
        // Its own: in no wheel now.
        this.state.unlink();
        waker
    }

    /// Locks the wheel that it is in; `None` if it is in none.
    fn lock(&self) -> Option<(&'static Shard, WheelGuard)> {
        // Without the lock where that is certain, as after firing.
        if self.state.get() != Phase::Linked {
            return None;
        }
        loop {
            // Acquire: pairs with the Release in `set_shard`.
            let at = self.shard.load(Acquire);
            // SAFETY: rule 6 — it was linked, so this is a shard, and shards are never freed.
            let shard = unsafe { &*at };
            let wheel = shard.lock();
            // It may have been fired, or moved to another wheel, while we waited for the lock.
            if self.state.get() != Phase::Linked {
                return None;
            }
            // Relaxed: it changes only under the lock that we hold, if it is still equal.
            if self.shard.load(Relaxed) == at {
                return Some((shard, wheel));
            }
        }
    }

    /// # Safety
    ///
    /// Rule 3: the entry is linked, its wheel is locked, and the waker is not taken a second time.
    unsafe fn take_waker(&self) -> Waker {
        // SAFETY: the caller's. The bits stay in the cell; see `will_wake`.
        self.waker.with(|cell| unsafe { ptr::read((*cell).as_ptr()) })
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        // Not pinned, never linked: then `Idle` too.
        if self.state.get() == Phase::Linked {
            // SAFETY: it was pinned when it was linked, and it is not moved from here on.
            drop(unsafe { Pin::new_unchecked(&mut *self) }.unlink());
        }
        // Nothing; but a model then fails if anybody else touches the cell from here on.
        self.waker.with_mut(|_| ());
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("when", &self.when()).field("phase", &self.phase()).finish()
    }
}
