//! The gate: how the private half of a slot is taken from an owner that is stuck inside a poll.
//!
//! What only the owner touches, here the `next` slot, needs no synchronisation as long as nobody else
//! touches it. A rescuer wants it only while the owner is inside user code. So the owner says when it is, by
//! plain stores, and looks when it comes back whether somebody was there: Dekker's protocol, lopsided. The
//! owner passes a hundred million times before a rescuer comes, so the rescuer pays for both: its heavy
//! fence is `membarrier`, which makes every running thread of the process pass one, and the owner's is
//! nothing but an order to the compiler.
//!
//! ```text
//! owner, after a poll                       rescuer, of the poll that it saw
//! E1  word := inside                        R1  claim: OWNED → CLAIMING, or give up
//! E2  light fence                           R2  heavy fence
//! E3  claim is OWNED:     go on             R3  word is not that poll's: claim := OWNED, give up
//!     it is CLAIMING:     word := polling,  R4  take what is private
//!                         wait, E1          R5  claim := SEIZED
//!     it is SEIZED, AWAY: the slot is lost
//! ```
//!
//! Both fences are SeqCst fences where there is no `membarrier`, and in models. README.md, "Rescue", has the
//! proof; `loom-tests/tests/gate.rs` the models. An owner in `block_in_place` gives its slot away itself.
//!
//! Rejected: an atomic swap for `next` (two read-modify-writes a poll, 17 ns, more than the whole deque); a
//! lock that is free except in rescues (one, 6 ns); a SeqCst fence on both sides everywhere (5 ns).

use crate::primitive::UnsafeCell;
use crate::primitive::atomic::{AtomicU32, AtomicU64, Ordering::*, compiler_fence, fence};
use crate::primitive::{in_model, thread, watch};

/// The owner has the private half.
const OWNED: u32 = 0;
/// A rescuer is at R2 to R4.
const CLAIMING: u32 = 1;
/// A rescuer has taken it, until the owner [regains](Gate::regain) it.
const SEIZED: u32 = 2;
/// The owner has left it, and comes back by itself.
const AWAY: u32 = 3;

/// The lowest bit of the word: the owner is in user code. The others count its polls.
const POLLING: u64 = 1;

/// The state of one slot, and what is private in it.
///
/// Rule 1: methods that say so are called by the slot's owner, one thread at a time. Rule 2: `next` is touched
/// by the owner after E3 found OWNED and before it stores POLLING, and by the rescuer at R4.
#[derive(Debug)]
pub struct Gate<T> {
    word: AtomicU64,
    claim: AtomicU32,
    fences: Fences,
    next: UnsafeCell<Option<T>>,
}

// SAFETY: rule 2 gives `next` to one thread at a time; the rest is atomic or never changes.
unsafe impl<T: Send> Sync for Gate<T> {}

/// Which fences the two sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fences {
    /// None: nobody ever seizes this slot.
    Off,
    /// The compiler's for the owner, `membarrier` for the rescuer.
    Lopsided,
    /// SeqCst fences for both.
    Full,
}

impl Fences {
    /// The best that this process has. In a model always [`Full`](Self::Full).
    pub fn best() -> Self {
        if !in_model() && watch::has_barrier() { Self::Lopsided } else { Self::Full }
    }

    /// The frequent side: between its store and its load.
    #[inline]
    pub fn light(self) {
        match self {
            Self::Full => fence(SeqCst),
            Self::Lopsided | Self::Off => compiler_fence(SeqCst),
        }
    }

    /// The rare side. `false`: the system refuses, and nothing may be concluded.
    #[must_use]
    pub fn heavy(self) -> bool {
        match self {
            Self::Off => false,
            Self::Lopsided => watch::barrier(),
            Self::Full => {
                fence(SeqCst);
                true
            }
        }
    }
}

/// What the owner of a slot is doing, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The runtime's own business.
    Inside,
    /// It polls. The number is that poll's.
    Polling(u64),
    /// It polls, and others have its work.
    Seized(u64),
    /// It blocks by its own leave, and others have its work.
    Away,
}

impl View {
    /// Whether that poll goes on.
    pub fn is_of(self, poll: u64) -> bool {
        matches!(self, Self::Polling(now) | Self::Seized(now) if now == poll)
    }
}

/// Whether the slot is still the owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Back {
    /// Nobody came.
    Kept,
    /// It was seized; [`Gate::regain`] follows.
    Lost,
}

impl<T> Gate<T> {
    /// Of an owner that is inside the runtime.
    pub fn new(fences: Fences) -> Self {
        Self {
            word: AtomicU64::new(0),
            claim: AtomicU32::new(OWNED),
            fences,
            next: UnsafeCell::new(None),
        }
    }

    /// The owner begins a poll.
    ///
    /// # Safety
    ///
    /// Rule 1, and it is inside.
    #[inline]
    pub unsafe fn begin_poll(&self) {
        if !self.is_watched() {
            return;
        }
        // Relaxed: the owner's own word.
        let word = self.word.load(Relaxed);
        // The next poll's number, and POLLING. Release: pairs with the Acquire at R3, which sees what is
        // private as it is left here.
        self.word.store(word + 2 + POLLING, Release);
    }

    /// The owner's poll has returned.
    ///
    /// # Safety
    ///
    /// Rule 1, after [`begin_poll`](Self::begin_poll).
    #[inline]
    pub unsafe fn end_poll(&self) -> Back {
        if !self.is_watched() || self.enter() { Back::Kept } else { Back::Lost }
    }

    /// E1 to E3. `false`: the slot is lost, and the word says inside.
    #[inline]
    fn enter(&self) -> bool {
        // Relaxed: the owner's own word; the fence orders the store.
        let polling = self.word.load(Relaxed);
        self.word.store(polling - POLLING, Relaxed);
        self.fences.light();
        // Acquire: pairs with the Release at R3 and R5: what the rescuer did is seen.
        self.claim.load(Acquire) == OWNED || self.enter_claimed(polling)
    }

    #[cold]
    fn enter_claimed(&self, polling: u64) -> bool {
        loop {
            // Acquire: as in `enter`.
            match self.claim.load(Acquire) {
                OWNED => return true,
                CLAIMING => {
                    // Back out of the rescuer's way. Release: as in `begin_poll`.
                    self.word.store(polling, Release);
                    // It has some microseconds to go, if it is on a CPU.
                    thread::yield_now();
                    self.word.store(polling - POLLING, Relaxed);
                    self.fences.light();
                }
                _ => return false,
            }
        }
    }

    /// The owner, inside: what is private.
    ///
    /// # Safety
    ///
    /// Rule 1, and it is inside, in a slot that it has not lost. `f` does not come here again.
    #[inline]
    pub unsafe fn with_next<R>(&self, f: impl FnOnce(&mut Option<T>) -> R) -> R {
        // SAFETY: rule 2, by the caller's word.
        self.next.with_mut(|next| f(unsafe { &mut *next }))
    }

    /// The owner, in user code that has called the runtime: what is private; `None` if it is lost.
    ///
    /// # Safety
    ///
    /// Rule 1, in a poll. `f` runs no user code and does not come here again.
    #[inline]
    pub unsafe fn visit<R>(&self, f: impl FnOnce(&mut Option<T>) -> R) -> Option<R> {
        // SAFETY: rule 2, by `enter`.
        let access = |next: *mut Option<T>| f(unsafe { &mut *next });
        if !self.is_watched() {
            return Some(self.next.with_mut(access));
        }
        let result = if self.enter() { Some(self.next.with_mut(access)) } else { None };
        // Relaxed: the owner's own word.
        let inside = self.word.load(Relaxed);
        // Release: as in `begin_poll`.
        self.word.store(inside + POLLING, Release);
        result
    }

    /// The owner, which found the slot lost at the end of a poll, has it again.
    ///
    /// # Safety
    ///
    /// Rule 1, after [`Back::Lost`].
    pub unsafe fn regain(&self) {
        // Release: pairs with the Acquire at R1: the next rescuer sees that the owner is inside.
        self.claim.swap(OWNED, AcqRel);
    }

    /// The owner is about to block inside a poll, and has left nothing private. `false`: it is lost already.
    ///
    /// # Safety
    ///
    /// Rule 1, in a poll.
    pub unsafe fn leave(&self) -> bool {
        loop {
            // AcqRel: pairs with R1, as `regain` does.
            match self.claim.compare_exchange(OWNED, AWAY, AcqRel, Acquire) {
                Ok(_) => return true,
                Err(CLAIMING) => thread::yield_now(),
                Err(_) => return false,
            }
        }
    }

    /// The owner that has left goes on with its poll.
    ///
    /// # Safety
    ///
    /// Rule 1, after [`leave`](Self::leave) gave `true`.
    pub unsafe fn come_back(&self) {
        if self.is_watched() {
            // Relaxed: the owner's own word.
            let word = self.word.load(Relaxed);
            // Counts as another poll: it has not been stuck since that one began. Release: `begin_poll`.
            self.word.store(word + 2, Release);
        }
        // AcqRel: as in `regain`.
        self.claim.swap(OWNED, AcqRel);
    }

    /// The owner, after a step that a rescuer looks for: whether one may be there. What it does then, it
    /// does as if it had no slot.
    #[inline]
    pub fn may_be_lost(&self) -> bool {
        // Pairs with R2: the rescuer sees that step, or we see the rescuer.
        self.fences.light();
        // Relaxed: the fence's.
        self.claim.load(Relaxed) != OWNED
    }

    /// Whether anybody may look at this slot. The few stores that this is about cost less than to ask, so
    /// that only models ask, where each is a step.
    #[inline]
    pub fn is_watched(&self) -> bool {
        !in_model() || self.fences != Fences::Off
    }

    /// What the owner seems to be doing. Any thread may ask.
    pub fn view(&self) -> View {
        // Acquire: pairs with the Release in `begin_poll`: what was noted of the poll is seen. For all else
        // `seize` decides.
        let word = self.word.load(Acquire);
        match self.claim.load(Relaxed) {
            AWAY => View::Away,
            // It may be inside for a moment, to find out.
            SEIZED => View::Seized(word | POLLING),
            _ if word & POLLING == 0 => View::Inside,
            _ => View::Polling(word),
        }
    }

    /// Takes the private half of an owner that is still in poll `poll`, in `note`, and what is there after.
    /// `None`: it is not, or somebody else was first.
    ///
    /// `note` runs before the owner can come back; it must neither wait nor run user code.
    pub fn seize(&self, poll: u64, note: impl FnOnce()) -> Option<Option<T>> {
        // R1. Acquire: pairs with the Release of who had it before, R3, `regain` and `come_back`.
        self.claim.compare_exchange(OWNED, CLAIMING, Acquire, Relaxed).ok()?;
        // R2, R3. Acquire: pairs with the Release in `begin_poll` and `visit`.
        if !self.fences.heavy() || self.word.load(Acquire) != poll {
            // Release: pairs with the Acquire at E3 and R1; nothing was touched.
            self.claim.swap(OWNED, Release);
            return None;
        }
        note();
        // SAFETY: rule 2: this is R4.
        let next = self.next.with_mut(|next| unsafe { (*next).take() });
        // R5. Release: pairs with the Acquire at E3.
        self.claim.swap(SEIZED, Release);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A poll in which `f` runs. Rule 1: these tests have one thread.
    fn poll<T>(gate: &Gate<T>, f: impl FnOnce()) -> Back {
        // SAFETY: rule 1: these tests have one thread.
        unsafe {
            gate.begin_poll();
            f();
            gate.end_poll()
        }
    }

    #[test]
    fn what_a_poll_left_is_seized_once_and_regained() {
        for fences in [Fences::Full, Fences::best()] {
            let gate = Gate::new(fences);
            assert_eq!(gate.view(), View::Inside);
            // SAFETY: rule 1.
            unsafe { gate.with_next(|next| *next = Some(7)) };
            let back = poll(&gate, || {
                let View::Polling(number) = gate.view() else { panic!("{:?}", gate.view()) };
                assert_eq!(gate.seize(number + 2, || panic!("another poll")), None);
                assert!(!gate.may_be_lost());
                // SAFETY: rule 1.
                assert_eq!(unsafe { gate.visit(|next| next.replace(8)) }, Some(Some(7)));
                assert_eq!(gate.seize(number, || {}), Some(Some(8)));
                assert!(gate.may_be_lost());
                assert_eq!(gate.view(), View::Seized(number));
                assert_eq!(gate.seize(number, || panic!("twice")), None);
                // SAFETY: rule 1.
                assert_eq!(unsafe { gate.visit(|_| ()) }, None);
                // SAFETY: rule 1.
                assert!(!unsafe { gate.leave() });
            });
            assert_eq!(back, Back::Lost);
            // SAFETY: rule 1.
            unsafe { gate.regain() };
            assert_eq!(gate.view(), View::Inside);
            assert_eq!(poll(&gate, || {}), Back::Kept);
        }
    }

    #[test]
    fn who_is_away_is_not_seized() {
        let gate = Gate::<u32>::new(Fences::Full);
        let back = poll(&gate, || {
            let View::Polling(number) = gate.view() else { panic!("{:?}", gate.view()) };
            // SAFETY: rule 1.
            assert!(unsafe { gate.leave() });
            assert_eq!(gate.view(), View::Away);
            assert_eq!(gate.seize(number, || panic!("it is away")), None);
            // SAFETY: rule 1.
            unsafe { gate.come_back() };
            assert_eq!(gate.view(), View::Polling(number + 2));
        });
        assert_eq!(back, Back::Kept);
    }

    #[test]
    fn a_gate_without_fences_is_never_seized() {
        let gate = Gate::<u32>::new(Fences::Off);
        let back = poll(&gate, || {
            let View::Polling(number) = gate.view() else { panic!("{:?}", gate.view()) };
            assert_eq!(gate.seize(number, || panic!("no fences")), None);
            // SAFETY: rule 1.
            assert_eq!(unsafe { gate.visit(|next| next.replace(1)) }, Some(None));
        });
        assert_eq!(back, Back::Kept);
    }

    /// An owner at full speed against rescuers who never stop: what each takes adds up.
    #[test]
    fn nothing_is_lost_or_doubled_under_constant_seizures() {
        use std::sync::atomic::{AtomicBool, AtomicU64};
        const POLLS: u64 = 200_000;
        for fences in [Fences::Full, Fences::best()] {
            let gate = Gate::new(fences);
            let (taken, done) = (AtomicU64::new(0), AtomicBool::new(false));
            let (mut kept, mut added) = (0, 0);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !done.load(Relaxed) {
                            if let View::Polling(poll) = gate.view() {
                                if let Some(Some(n)) = gate.seize(poll, || {}) {
                                    taken.fetch_add(n, Relaxed);
                                }
                            }
                            std::hint::spin_loop();
                        }
                    });
                }
                for n in 1..=POLLS {
                    // SAFETY: rule 1: this thread is the owner.
                    unsafe {
                        let before = gate.with_next(|next| next.replace(n));
                        assert_eq!(before, None);
                        gate.begin_poll();
                        // A number put there by the poll itself, if it is still the owner's.
                        let visit = gate.visit(|next| *next = next.map(|n| n + 1));
                        if let Back::Lost = gate.end_poll() {
                            gate.regain();
                        } else {
                            assert!(visit.is_some());
                        }
                        added += u64::from(visit.is_some());
                        kept += gate.with_next(Option::take).unwrap_or(0);
                    }
                }
                done.store(true, Relaxed);
            });
            let all = POLLS * (POLLS + 1) / 2 + added;
            assert_eq!(kept + taken.into_inner(), all, "{fences:?}");
        }
    }
}
