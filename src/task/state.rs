//! The state word of a task: where it is in its life, and how many references keep its cell.
//!
//! Every transition of a task is one read-modify-write here, and no ordering of this word occurs
//! anywhere else. See `README.md`, "The word", for the table of states and for who may do what.
//!
//! ```text
//!  63  56 55   40 39          8 7 6  5       4        3      2        1        0
//! ┌──────┬───────┬─────────────┬───┬──────┬──────────┬────┬────────┬───────┬────────┐
//! │ wait │ home  │ references  │   │CANCEL│JOIN_WAKER│JOIN│COMPLETE│RUNNING│NOTIFIED│
//! └──────┴───────┴─────────────┴───┴──────┴──────────┴────┴────────┴───────┴────────┘
//! ```
//!
//! *wait* is for people: what the last poll left of its [note](crate::util::note). It goes in with the step
//! that ends the poll, so it costs no memory and no step of its own.

use crate::primitive::atomic::{AtomicU64, Ordering::*};
use crate::primitive::in_model;

/// A `Runnable` exists, or, while RUNNING, will exist as soon as the poll ends.
const NOTIFIED: u64 = 1;
/// One thread has the right to the future: it polls, drops or completes it.
const RUNNING: u64 = 1 << 1;
/// The output is stored (or was dropped); nobody polls this task again.
const COMPLETE: u64 = 1 << 2;
/// A `JoinHandle` exists: it owns the output once COMPLETE is set.
const JOIN: u64 = 1 << 3;
/// The join waker is stored and the completer will wake it. Only the `JoinHandle` changes this bit.
const JOIN_WAKER: u64 = 1 << 4;
/// The future is to be dropped instead of polled.
const CANCEL: u64 = 1 << 5;
/// One reference.
const REF: u64 = 1 << 8;
const REF_MASK: u64 = ((1 << 32) - 1) << 8;
const HOME_SHIFT: u32 = 40;
const WAIT_SHIFT: u32 = 56;

/// A new task: its `Runnable` exists, and the executor and the `JoinHandle` hold a reference each.
const INITIAL: u64 = NOTIFIED | JOIN | (2 * REF);

/// The atomic word.
#[derive(Debug)]
pub struct State(AtomicU64);

/// What a wake or an abort asks of its caller.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Wake {
    /// The caller now holds the `Runnable` and must schedule it.
    Submit,
    /// Somebody else will poll, or nobody ever will again.
    Nothing,
}

/// What the holder of a `Runnable` does with the future, which is now its own.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// Poll it.
    Poll,
    /// Drop it and complete as cancelled.
    Cancel,
}

/// What follows a poll that returned `Pending`.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Pend {
    /// Nothing: a waker will bring the task back.
    Idle,
    /// The task was woken meanwhile: the caller holds its `Runnable` and must schedule it.
    Again,
}

/// What the completer owes.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Complete {
    /// Nobody will read the output: drop it.
    DropOutput,
    /// The join waker is stored: wake it.
    WakeJoiner,
    /// The `JoinHandle` will find the output when it looks.
    Nothing,
}

/// What a `JoinHandle` being dropped owns.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Detach {
    /// The output: drop it.
    Output,
    /// The join-waker slot: empty it.
    Waker,
}

/// Whether the join-waker slot is the `JoinHandle`'s.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum JoinSlot {
    /// It may write the slot (after taking) or wait (after publishing).
    Pending,
    /// The task completed: the output is the handle's, and the slot is no longer.
    Complete,
}

impl State {
    /// The home of a task that is in no list: its registry was closed before it came.
    pub const UNLISTED: u16 = u16::MAX;

    /// The state of a new task that belongs to the registry shard `home`.
    pub fn new(home: u16) -> Self {
        Self(AtomicU64::new(INITIAL | (u64::from(home) << HOME_SHIFT)))
    }

    /// The registry shard that holds the task.
    #[inline]
    pub fn home(&self) -> u16 {
        // Relaxed: these bits change only while the task is its spawner's alone.
        (self.0.load(Relaxed) >> HOME_SHIFT) as u16
    }

    /// Notes that the registry refused the task.
    pub fn set_unlisted(&self) {
        // Relaxed: the task is new, and its spawner's alone.
        self.0.fetch_or(u64::from(Self::UNLISTED) << HOME_SHIFT, Relaxed);
    }

    /// Wakes.
    #[inline]
    pub fn wake(&self) -> Wake {
        self.notify(NOTIFIED)
    }

    /// Asks for the future to be dropped.
    pub fn abort(&self) -> Wake {
        self.notify(NOTIFIED | CANCEL)
    }

    #[inline]
    fn notify(&self, bits: u64) -> Wake {
        // Release: what the waker did before is seen by the poll (pairs with `start`, `pend`). Who
        // gets `Submit` touches nothing that a poll touches; the next `start` acquires what the last
        // `pend` released, since this step between them is a read-modify-write.
        let before = self.0.fetch_or(bits, Release);
        if before & (NOTIFIED | RUNNING | COMPLETE) == 0 { Wake::Submit } else { Wake::Nothing }
    }

    /// Turns a `Runnable` into the right to the future.
    #[inline]
    pub fn start(&self) -> Start {
        // Clears NOTIFIED and sets RUNNING in one addition: the bits are neighbours, NOTIFIED is
        // set (there is a `Runnable`) and RUNNING is not.
        // Acquire: pairs with the Release of every wake until now, and of the last `pend`.
        let before = self.0.fetch_add(RUNNING - NOTIFIED, AcqRel);
        debug_assert_eq!(before & (NOTIFIED | RUNNING | COMPLETE), NOTIFIED);
        if before & CANCEL == 0 { Start::Poll } else { Start::Cancel }
    }

    /// Gives the future back after a poll that returned `Pending`, and keeps what it waits for.
    #[inline]
    pub fn pend(&self, wait: u8) -> Pend {
        // What changes in the field. Models explore every access, and learn nothing from this one.
        let change = if in_model() {
            0
        } else {
            // Relaxed: who has RUNNING, and nobody else, changes these bits.
            let old = self.0.load(Relaxed) >> WAIT_SHIFT;
            old.wrapping_sub(u64::from(wait)) << WAIT_SHIFT
        };
        // Release: the future as this poll leaves it is seen by the next `start`.
        // Acquire: pairs with the Release of a wake during the poll, which this thread answers.
        let before = self.0.fetch_sub(RUNNING.wrapping_add(change), AcqRel);
        debug_assert_eq!(before & (RUNNING | COMPLETE), RUNNING);
        if before & NOTIFIED == 0 { Pend::Idle } else { Pend::Again }
    }

    /// Publishes the stored output. The right to the future ends.
    #[inline]
    pub fn complete(&self) -> Complete {
        // Release: the output is seen by the `JoinHandle` (pairs with its Acquire in
        // `is_complete`, `publish_join_waker`, `take_join_waker`, `detach`).
        // Acquire: pairs with `publish_join_waker`, so that the waker is seen here.
        let before = self.0.fetch_xor(RUNNING | COMPLETE, AcqRel);
        debug_assert_eq!(before & (RUNNING | COMPLETE), RUNNING);
        if before & JOIN == 0 {
            Complete::DropOutput
        } else if before & JOIN_WAKER != 0 {
            Complete::WakeJoiner
        } else {
            Complete::Nothing
        }
    }

    /// Whether the output is stored.
    #[inline]
    pub fn is_complete(&self) -> bool {
        // Acquire: pairs with the Release in `complete`.
        self.0.load(Acquire) & COMPLETE != 0
    }

    /// Whether the task was asked to end, so that it will not be polled again.
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: a hint; whoever needs it has synchronised with the `abort` in another way.
        self.0.load(Relaxed) & CANCEL != 0
    }

    /// Whether the task waits to be polled or is being polled: for listings only.
    pub fn phase(&self) -> Phase {
        // Relaxed: a snapshot that is old when it is read.
        let word = self.0.load(Relaxed);
        if word & COMPLETE != 0 {
            Phase::Complete
        } else if word & RUNNING != 0 {
            Phase::Running
        } else if word & NOTIFIED != 0 {
            Phase::Ready
        } else {
            Phase::Waiting
        }
    }

    /// What the last poll that returned `Pending` left of its note.
    pub fn wait(&self) -> u8 {
        // Relaxed: as in `phase`.
        (self.0.load(Relaxed) >> WAIT_SHIFT) as u8
    }

    /// For the `JoinHandle`: whether it has a waker in the slot now.
    #[inline]
    pub fn has_join_waker(&self) -> bool {
        // Relaxed: only the handle, which asks, changes this bit.
        self.0.load(Relaxed) & JOIN_WAKER != 0
    }

    /// For the `JoinHandle`: hands the waker that it stored to the completer.
    #[inline]
    pub fn publish_join_waker(&self) -> JoinSlot {
        // Release: pairs with the Acquire in `complete`. Who is told `Complete` looks again, with Acquire.
        JoinSlot::of(self.0.fetch_or(JOIN_WAKER, Release))
    }

    /// For the `JoinHandle`: takes the slot back, to store another waker.
    pub fn take_join_waker(&self) -> JoinSlot {
        // Relaxed: while the task is not complete nobody else has read the slot. `Complete`: as above.
        JoinSlot::of(self.0.fetch_and(!JOIN_WAKER, Relaxed))
    }

    /// For the `JoinHandle`: the common end, before anything else happened to the task. Gives the
    /// handle's reference back too. `false`: nothing was done, call [`detach`](Self::detach).
    #[inline]
    pub fn detach_new(&self) -> bool {
        // Relaxed: no bit of the home changes; the exchange decides.
        let home = self.0.load(Relaxed) & (u64::MAX << HOME_SHIFT);
        let new = INITIAL | home;
        // Release: the handle's last use of the cell happens before it is freed (`release`).
        self.0.compare_exchange(new, new - JOIN - REF, Release, Relaxed).is_ok()
    }

    /// For the `JoinHandle`: gives up the interest in the output. Its reference stays.
    pub fn detach(&self) -> Detach {
        // Acquire: pairs with the Release in `complete`: the output is this thread's to drop.
        // Release: pairs with the Acquire in `complete`: the slot was emptied before... by us, later;
        // the completer does not look at it, since JOIN_WAKER goes in the same step.
        let before = self.0.fetch_and(!(JOIN | JOIN_WAKER), AcqRel);
        if before & COMPLETE != 0 { Detach::Output } else { Detach::Waker }
    }

    /// Adds a reference.
    #[inline]
    pub fn retain(&self) {
        // Relaxed: the caller has a reference, so the cell lives; nothing is published.
        let before = self.0.fetch_add(REF, Relaxed);
        if before & REF_MASK > REF_MASK / 2 {
            // Only forgetting wakers in a loop comes here; going on would free a live task.
            std::process::abort();
        }
    }

    /// Gives a reference back. `true`: it was the last, the caller frees the cell.
    #[inline]
    #[must_use]
    pub fn release(&self) -> bool {
        // Release: this thread's use of the cell happens before it is freed; Acquire: the last
        // thread sees the use by all others.
        self.0.fetch_sub(REF, AcqRel) & REF_MASK == REF
    }
}

impl JoinSlot {
    fn of(before: u64) -> Self {
        if before & COMPLETE == 0 { Self::Pending } else { Self::Complete }
    }
}

/// Where a task is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// A thread polls it.
    Running,
    /// It was woken and waits for a worker.
    Ready,
    /// It waits for something to wake it.
    Waiting,
    /// It has ended.
    Complete,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_without_surprises() {
        let state = State::new(3);
        assert_eq!(state.home(), 3);
        assert_eq!(state.phase(), Phase::Ready);
        assert_eq!(state.start(), Start::Poll);
        assert_eq!(state.phase(), Phase::Running);
        assert_eq!(state.pend(0x8f), Pend::Idle);
        assert_eq!(state.phase(), Phase::Waiting);
        assert_eq!(state.wait(), 0x8f);
        assert_eq!(state.wake(), Wake::Submit);
        assert_eq!(state.wake(), Wake::Nothing);
        assert_eq!(state.start(), Start::Poll);
        assert_eq!(state.wake(), Wake::Nothing);
        assert_eq!(state.pend(0x70), Pend::Again);
        assert_eq!((state.wait(), state.home()), (0x70, 3));
        assert_eq!(state.start(), Start::Poll);
        assert_eq!(state.publish_join_waker(), JoinSlot::Pending);
        assert_eq!(state.complete(), Complete::WakeJoiner);
        assert_eq!(state.wake(), Wake::Nothing);
        assert_eq!(state.abort(), Wake::Nothing);
        assert_eq!(state.detach(), Detach::Output);
        assert_eq!(state.home(), 3);
        assert!(!state.release());
        assert!(state.release());
    }

    #[test]
    fn abort_of_an_idle_task_submits_it() {
        let state = State::new(0);
        assert_eq!(state.start(), Start::Poll);
        assert_eq!(state.pend(0), Pend::Idle);
        assert_eq!(state.abort(), Wake::Submit);
        assert_eq!(state.start(), Start::Cancel);
        assert_eq!(state.complete(), Complete::Nothing);
    }

    #[test]
    fn a_handle_dropped_at_once_costs_one_step() {
        let state = State::new(9);
        assert!(state.detach_new());
        assert_eq!(state.start(), Start::Poll);
        assert_eq!(state.complete(), Complete::DropOutput);
        assert!(state.release());

        let state = State::new(9);
        assert_eq!(state.start(), Start::Poll);
        assert!(!state.detach_new());
        assert_eq!(state.detach(), Detach::Waker);
        assert_eq!(state.complete(), Complete::DropOutput);
    }
}
