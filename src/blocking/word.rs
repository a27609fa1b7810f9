//! The word of a pool: how many threads there are, how many rest, who looks for work.
//!
//! ```text
//!  63        49 48        34 33        19 18         4   3      2          1             0
//! ┌────────────┬────────────┬────────────┬────────────┬──────┬─────┬──────────────┬───────────┐
//! │live reserve│live common │idle reserve│idle common │CLOSED│ALIVE│SEARCH runtime│SEARCH user│
//! └────────────┴────────────┴────────────┴────────────┴──────┴─────┴──────────────┴───────────┘
//! ```
//!
//! One word, so that one load tells a submitter whether anybody has to be woken, and so that a
//! thread lies down and gives up its search in one step. The counts, ALIVE and CLOSED change, and
//! the SEARCH bits are set, only under the lock of the thread lists; a SEARCH bit is cleared by its
//! owner without it.
//!
//! Nearly everything here is Relaxed: nothing is published by this word. What the two sides of
//! "push, then look here" and "lie down, then look at the queue" see of each other is decided by
//! the `fence(SeqCst)` that each has between its two steps (`README.md`, "Proof sketch").

use super::{Crew, Lane};
use crate::primitive::atomic::{AtomicU64, Ordering::*};

const SEARCH: [u64; 2] = [1, 1 << 1];
/// A common thread exists, and since the last one never retires, one always will.
const ALIVE: u64 = 1 << 2;
/// Shutdown has begun: threads end when the queues are empty.
const CLOSED: u64 = 1 << 3;
const IDLE: [u32; 2] = [4, 19];
const LIVE: [u32; 2] = [34, 49];
const COUNT: u64 = (1 << 15) - 1;

/// The atomic word.
#[derive(Debug)]
pub struct Word(AtomicU64);

/// The word at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot(u64);

/// How many threads each crew may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits(pub [usize; 2]);

/// What to do for a lane that has work. `Wake` and `Start` carry the SEARCH bit of the lane.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Somebody searches already, or all threads that may serve the lane are busy.
    Nothing,
    /// Take the thread on top of this crew's stack, which is counted as awake from now on.
    Wake(Crew),
    /// Start a thread of this crew, which is counted as live from now on.
    Start(Crew),
}

impl Word {
    /// No threads.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The word now: for a decision that a fence before this or the lock makes safe.
    #[inline]
    pub fn peek(&self) -> Snapshot {
        Snapshot(self.0.load(Relaxed))
    }

    /// Whether shutdown has begun. What was queued before that is then seen in the queues.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        Snapshot(self.0.load(Acquire)).is_closed()
    }

    /// Finds who may serve `lane` and claims it. `grow`: also by a new thread. Under the lock.
    pub fn claim(&self, lane: Lane, limits: Limits, grow: bool) -> Claim {
        // Relaxed: the lock makes the counts exact.
        let now = self.peek();
        let choice = now.choose(lane, limits, grow);
        let change = match choice {
            Claim::Nothing => return Claim::Nothing,
            Claim::Wake(crew) => (1_u64 << IDLE[crew as usize]).wrapping_neg(),
            Claim::Start(crew) => 1 << LIVE[crew as usize],
        };
        // Two steps, since a SEARCH bit may vanish without the lock. Between them the search is ours.
        // Relaxed: the thread that is woken or started meets us at its signal or its start.
        if self.0.fetch_or(SEARCH[lane as usize], Relaxed) & SEARCH[lane as usize] != 0 {
            return Claim::Nothing;
        }
        self.0.fetch_add(change, Relaxed);
        choice
    }

    /// Counts the first common thread, with the search of `lane` if nobody has it. Under the lock.
    pub fn claim_first(&self, lane: Lane) -> Option<Lane> {
        // Relaxed: as in `claim`.
        self.0.fetch_add(1 << LIVE[Crew::Common as usize], Relaxed);
        let before = self.0.fetch_or(SEARCH[lane as usize], Relaxed);
        (before & SEARCH[lane as usize] == 0).then_some(lane)
    }

    /// Gives up a search. The caller then fences and looks at the queue once more.
    pub fn end_search(&self, lane: Lane) {
        // Relaxed: the fence that follows pairs with the submitter's.
        self.0.fetch_and(!SEARCH[lane as usize], Relaxed);
    }

    /// A thread goes on the stack and gives up its search. Under the lock; then fence and look.
    pub fn lie_down(&self, crew: Crew, search: Option<Lane>) {
        // Relaxed: as in `end_search`.
        self.0.fetch_add((1_u64 << IDLE[crew as usize]).wrapping_sub(bit(search)), Relaxed);
    }

    /// `n` threads were taken off the stack. Under the lock.
    pub fn get_up(&self, crew: Crew, n: usize) {
        // Relaxed: counted under the lock.
        self.0.fetch_sub((n as u64) << IDLE[crew as usize], Relaxed);
    }

    /// A thread ends that is on no stack, with the search it may hold. Gives the word after that,
    /// with ALIVE as it was before. Under the lock; then fence, and whoever was the last looks at
    /// the queues.
    pub fn leave(&self, crew: Crew, search: Option<Lane>) -> Snapshot {
        let change = (1 << LIVE[crew as usize]) + bit(search);
        // Relaxed: as in `end_search`.
        let after = Snapshot(self.0.fetch_sub(change, Relaxed) - change);
        if after.live(Crew::Common) == 0 {
            self.0.fetch_and(!ALIVE, Relaxed);
        }
        after
    }

    /// The first common thread has started. Under the lock.
    pub fn set_alive(&self) {
        // Relaxed: says nothing about anything but the thread's existence.
        self.0.fetch_or(ALIVE, Relaxed);
    }

    /// Shutdown begins. Under the lock.
    pub fn close(&self) {
        // Release: what was put back in the queues is seen by who sees CLOSED (`is_closed`).
        self.0.fetch_or(CLOSED, Release);
    }
}

fn bit(search: Option<Lane>) -> u64 {
    search.map_or(0, |lane| SEARCH[lane as usize])
}

impl Snapshot {
    fn field(self, shift: u32) -> usize {
        ((self.0 >> shift) & COUNT) as usize
    }

    /// Threads of a crew on the stack.
    pub fn idle(self, crew: Crew) -> usize {
        self.field(IDLE[crew as usize])
    }

    /// Threads of a crew, those being started included.
    pub fn live(self, crew: Crew) -> usize {
        self.field(LIVE[crew as usize])
    }

    /// All threads.
    pub fn threads(self) -> usize {
        self.live(Crew::Common) + self.live(Crew::Reserve)
    }

    /// Whether a common thread exists for good.
    pub fn is_alive(self) -> bool {
        self.0 & ALIVE != 0
    }

    /// Whether shutdown has begun.
    pub fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Whether a thread looks for work in `lane`, or is on its way to.
    pub fn is_searched(self, lane: Lane) -> bool {
        self.0 & SEARCH[lane as usize] != 0
    }

    /// Whether no thread will ever look at `lane`, as things are: its queue is to be cancelled.
    pub fn is_deserted(self, lane: Lane) -> bool {
        // In a shutdown every thread looks at both.
        self.threads() == 0
            || (!self.is_closed() && lane.crews().iter().all(|&crew| self.live(crew) == 0))
    }

    /// Whether queued work in `lane` is a reason to wake or start a thread.
    #[inline]
    pub fn wants(self, lane: Lane, limits: Limits, grow: bool) -> bool {
        self.choose(lane, limits, grow) != Claim::Nothing
    }

    /// Who should serve `lane`. A runtime job rather gets a reserve thread than a common one, awake
    /// or new: it is of no use to anybody else, and once started it stays when the user lane has
    /// taken all other threads that the system gives.
    #[inline]
    fn choose(self, lane: Lane, limits: Limits, grow: bool) -> Claim {
        // Nobody is left, and nobody starts again.
        let over = self.is_closed() && self.threads() == 0;
        if over || self.is_searched(lane) {
            return Claim::Nothing;
        }
        let crews = lane.crews();
        if let Some(&crew) = crews.iter().find(|&&crew| self.idle(crew) > 0) {
            return Claim::Wake(crew);
        }
        match crews.iter().find(|&&crew| self.live(crew) < limits.0[crew as usize]) {
            Some(&crew) if grow => Claim::Start(crew),
            _ => Claim::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits([2, 1]);

    #[test]
    fn one_search_per_lane() {
        let word = Word::new();
        assert_eq!(word.claim(Lane::User, LIMITS, true), Claim::Start(Crew::Common));
        assert_eq!(word.claim(Lane::User, LIMITS, true), Claim::Nothing);
        assert_eq!(word.claim(Lane::Runtime, LIMITS, true), Claim::Start(Crew::Reserve));
        word.end_search(Lane::User);
        assert_eq!(word.claim(Lane::User, LIMITS, false), Claim::Nothing);
        assert_eq!(word.claim(Lane::User, LIMITS, true), Claim::Start(Crew::Common));
        word.end_search(Lane::User);
        assert_eq!(word.claim(Lane::User, LIMITS, true), Claim::Nothing, "at the limit");
        assert_eq!(word.peek().threads(), 3);
    }

    #[test]
    fn sleepers_first_and_reserve_threads_for_the_runtime_only() {
        let word = Word::new();
        let _ = word.claim(Lane::User, LIMITS, true);
        let _ = word.claim(Lane::Runtime, LIMITS, true);
        word.lie_down(Crew::Common, Some(Lane::User));
        word.lie_down(Crew::Reserve, Some(Lane::Runtime));
        assert_eq!(word.claim(Lane::Runtime, LIMITS, true), Claim::Wake(Crew::Reserve));
        assert_eq!(word.claim(Lane::User, LIMITS, true), Claim::Wake(Crew::Common));
        word.end_search(Lane::User);
        word.end_search(Lane::Runtime);
        word.lie_down(Crew::Reserve, None);
        assert_eq!(word.claim(Lane::User, LIMITS, true), Claim::Start(Crew::Common));
        let now = word.peek();
        assert_eq!((now.idle(Crew::Common), now.idle(Crew::Reserve)), (0, 1));
        word.get_up(Crew::Reserve, 1);
        assert_eq!(word.peek().idle(Crew::Reserve), 0);
        assert_eq!(word.claim(Lane::Runtime, LIMITS, true), Claim::Nothing, "all busy");
    }

    #[test]
    fn the_last_common_thread_takes_alive_along() {
        let word = Word::new();
        let _ = word.claim(Lane::User, LIMITS, true);
        word.set_alive();
        let _ = word.claim(Lane::Runtime, LIMITS, true);
        assert_eq!(word.leave(Crew::Common, Some(Lane::User)).threads(), 1);
        assert!(!word.peek().is_alive() && !word.peek().is_searched(Lane::User));
        word.close();
        assert!(word.peek().wants(Lane::User, LIMITS, true), "one is left to drain the queues");
        assert_eq!(word.leave(Crew::Reserve, Some(Lane::Runtime)).threads(), 0);
        assert!(!word.peek().wants(Lane::User, LIMITS, true));
    }
}
