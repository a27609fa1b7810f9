//! Who sleeps and who searches: the word that decides whether new work wakes anybody.
//!
//! One word for each group of up to 56 seats (a seat is a slot's number): a count of searchers and a
//! bit for each sleeper. `README.md`, "Sleeping and waking", has the protocol and its proof; this
//! file has the word and the protocol's fences, and no ordering of either occurs anywhere else.
//!
//! Taken from Go's spinning threads and rayon's counters: at most one wake-up is under way at a time
//! in a group, and whoever is woken passes the search on when there is more work.

use crate::primitive::atomic::{AtomicU64, Ordering::*, fence};
use crate::util::pad::Pad;

/// Seats in one word.
const GROUP: usize = 56;
/// One searcher; the count has the top eight bits.
const SEARCHER: u64 = 1 << GROUP;
const SLEEPERS: u64 = SEARCHER - 1;

/// The words of all groups.
#[derive(Debug)]
pub struct Idle {
    groups: Box<[Pad<AtomicU64>]>,
}

/// The right, and the duty, to look for work in other places: while one exists, new work wakes
/// nobody. It ends in [`Idle::end_search`] or [`Idle::sleep`].
#[must_use = "while it exists nobody else is woken"]
#[derive(Debug)]
pub struct Search {
    group: usize,
}

/// A published sleeper. It ends in [`Idle::wake`].
#[must_use = "its bit stays set"]
#[derive(Debug)]
pub struct Asleep {
    seat: usize,
}

impl Idle {
    /// For seats `0..seats`, all awake.
    pub fn new(seats: usize) -> Self {
        Self { groups: (0..seats.div_ceil(GROUP)).map(|_| Pad(AtomicU64::new(0))).collect() }
    }

    /// Whether waking somebody is possible and useful: a sleeper, and nobody searching. A hint for
    /// work that its pusher will come back to; nothing is lost if it is old.
    #[inline]
    pub fn wants_work(&self) -> bool {
        // Relaxed: a hint.
        self.groups.iter().any(|word| {
            let word = word.load(Relaxed);
            word < SEARCHER && word & SLEEPERS != 0
        })
    }

    /// Whether somebody sleeps, whoever searches.
    pub fn is_anyone_asleep(&self) -> bool {
        // Relaxed: a hint.
        self.groups.iter().any(|word| word.load(Relaxed) & SLEEPERS != 0)
    }

    /// Takes a sleeper out and makes it a searcher; the caller must unpark that seat. `None`: there
    /// is none, or a searcher is already there.
    ///
    /// It may miss who falls asleep meanwhile: for work that its pusher comes back to.
    #[must_use = "the seat must be unparked"]
    pub fn claim(&self) -> Option<usize> {
        for (group, word) in self.groups.iter().enumerate() {
            // Relaxed: a hint, or behind the fence of `claim_for_pushed`.
            let mut seen = word.load(Relaxed);
            loop {
                if seen >= SEARCHER {
                    return None;
                }
                if seen == 0 {
                    break;
                }
                // The lowest: a small, warm set of workers does the work while there is little.
                let bit = seen & seen.wrapping_neg();
                // AcqRel: pairs with the AcqRel of `sleep` (what the sleeper did is seen) and of
                // `wake` (the sleeper sees what was done here).
                match word.compare_exchange_weak(seen, seen - bit + SEARCHER, AcqRel, Relaxed) {
                    Ok(_) => return Some(group * GROUP + bit.trailing_zeros() as usize),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// As [`claim`](Self::claim), for work that was pushed before the call and that nobody else will
    /// come back to. `None`: everybody is awake, or a searcher is there who will find it.
    #[must_use = "the seat must be unparked"]
    pub fn claim_for_pushed(&self) -> Option<usize> {
        // Pairs with the fences in `sleep` and `end_search`: we see who sleeps or stops searching, or
        // they see what we pushed.
        fence(SeqCst);
        self.claim()
    }

    /// Begins a search of one's own accord, unless half of `workers` search already.
    pub fn search(&self, seat: usize, workers: usize) -> Option<Search> {
        let group = seat / GROUP;
        // Relaxed: a throttle.
        let searching = self.groups[group].load(Relaxed) >> GROUP;
        if 2 * searching as usize >= workers.clamp(2, 2 * 255) {
            return None;
        }
        // AcqRel: as in `claim`.
        self.groups[group].fetch_add(SEARCHER, AcqRel);
        Some(Search { group })
    }

    /// Ends a search with work in hand. The last searcher looks after those who pushed meanwhile and
    /// left it to the searchers: if `has_work` says that there is more, `Some` seat must be unparked.
    #[must_use = "the seat must be unparked"]
    pub fn end_search(&self, search: Search, has_work: impl FnOnce() -> bool) -> Option<usize> {
        // AcqRel: pairs with `claim` of a pusher that left its work to us.
        let before = self.groups[search.group].fetch_sub(SEARCHER, AcqRel);
        if before >> GROUP != 1 {
            return None;
        }
        // Pairs with the fence in `claim_for_pushed`.
        fence(SeqCst);
        if has_work() { self.claim() } else { None }
    }

    /// Publishes that `seat` sleeps, and ends its search, in one step. Then looks once more: with
    /// `has_work` there is no sleep, and the seat searches again.
    pub fn sleep(
        &self,
        seat: usize,
        search: Option<Search>,
        has_work: impl FnOnce() -> bool,
    ) -> Result<Asleep, Search> {
        let bit = 1u64 << (seat % GROUP);
        let step = if search.is_some() { bit.wrapping_sub(SEARCHER) } else { bit };
        // AcqRel: pairs with `claim`.
        let before = self.groups[seat / GROUP].fetch_add(step, AcqRel);
        debug_assert_eq!(before & bit, 0, "a seat sleeps once");
        let asleep = Asleep { seat };
        // Pairs with the fence in `claim_for_pushed`: the pusher sees us asleep, or we see its push.
        // And with the one of who puts a timer into a sleeper's wheel (`time.rs`).
        fence(SeqCst);
        if has_work() { Err(self.rejoin(asleep)) } else { Ok(asleep) }
    }

    /// Whether `seat` is published as sleeping: for thieves, who need not look there.
    pub fn is_asleep(&self, seat: usize) -> bool {
        // Relaxed: a hint.
        self.groups[seat / GROUP].load(Relaxed) & (1 << (seat % GROUP)) != 0
    }

    /// Whether all of `seats` sleep and nobody searches: for the paused clock.
    pub fn all_asleep(&self, seats: impl Iterator<Item = usize>) -> bool {
        // Acquire: pairs with `sleep`: what the sleepers queued before is seen.
        let words: Vec<u64> = self.groups.iter().map(|word| word.load(Acquire)).collect();
        words.iter().all(|word| *word < SEARCHER)
            && seats.into_iter().all(|s| words[s / GROUP] & (1 << (s % GROUP)) != 0)
    }

    /// Ends the sleep with work in sight: the seat searches from here on, claimed or not.
    fn rejoin(&self, asleep: Asleep) -> Search {
        let group = asleep.seat / GROUP;
        self.wake(asleep).unwrap_or_else(|| {
            // AcqRel: as in `search`.
            self.groups[group].fetch_add(SEARCHER, AcqRel);
            Search { group }
        })
    }

    /// Ends the sleep. `Some`: somebody claimed this seat, which therefore searches now.
    pub fn wake(&self, asleep: Asleep) -> Option<Search> {
        let group = asleep.seat / GROUP;
        let bit = 1 << (asleep.seat % GROUP);
        // AcqRel: pairs with `claim`.
        let before = self.groups[group].fetch_and(!bit, AcqRel);
        (before & bit == 0).then_some(Search { group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wake_at_a_time_and_the_lowest_seat_first() {
        let idle = Idle::new(3);
        assert!(!idle.wants_work());
        assert_eq!(idle.claim(), None);
        let two = idle.sleep(2, None, || false).unwrap();
        let one = idle.sleep(1, None, || false).unwrap();
        assert!(idle.wants_work() && idle.is_asleep(1) && !idle.is_asleep(0));
        assert_eq!(idle.claim(), Some(1));
        assert_eq!(idle.claim(), None, "somebody searches");
        let search = idle.wake(one).expect("claimed");
        assert_eq!(idle.end_search(search, || true), Some(2), "the last one passes it on");
        let search = idle.wake(two).expect("claimed");
        let asleep = idle.sleep(2, Some(search), || false).unwrap();
        assert!(idle.wants_work());
        assert!(idle.wake(asleep).is_none(), "nobody claimed it");
    }

    #[test]
    fn work_in_sight_makes_a_searcher_of_a_sleeper() {
        let idle = Idle::new(2);
        let search = idle.sleep(0, None, || true).unwrap_err();
        assert!(!idle.is_asleep(0) && idle.claim_for_pushed().is_none(), "it searches");
        // Claimed between its announcement and its look: one searcher, not two.
        let other = idle.sleep(0, Some(search), || idle.claim_for_pushed() == Some(0)).unwrap_err();
        assert_eq!(idle.end_search(other, || false), None);
        let asleep = idle.sleep(1, None, || false).unwrap();
        assert_eq!(idle.claim(), Some(1), "nobody searches any more");
        assert!(idle.wake(asleep).is_some());
    }

    #[test]
    fn half_may_search() {
        let idle = Idle::new(4);
        let first = idle.search(0, 4).expect("none searches");
        let second = idle.search(1, 4).expect("one of four searches");
        assert!(idle.search(2, 4).is_none());
        let asleep = idle.sleep(3, None, || false).unwrap();
        assert_eq!(idle.end_search(first, || panic!("another one searches")), None);
        assert_eq!(idle.end_search(second, || true), Some(3));
        let third = idle.wake(asleep).expect("claimed");
        assert!(idle.search(0, 1).is_none());
        assert_eq!(idle.end_search(third, || false), None);
        assert!(idle.search(0, 1).is_some());
    }

    #[test]
    fn seats_beyond_one_word() {
        let idle = Idle::new(100);
        let far = idle.sleep(99, None, || false).unwrap();
        assert!(idle.all_asleep([99].into_iter()));
        assert!(!idle.all_asleep([98, 99].into_iter()));
        assert_eq!(idle.claim(), Some(99));
        let search = idle.wake(far).expect("claimed");
        assert!(!idle.all_asleep(std::iter::empty()), "somebody searches");
        // Each group has its own searcher.
        let near = idle.sleep(3, None, || false).unwrap();
        assert_eq!(idle.claim(), Some(3));
        assert!(idle.wake(near).is_some());
        assert_eq!(idle.end_search(search, || false), None);
    }
}
