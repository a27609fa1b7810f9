//! Whether a thread that has nothing to do looks on for a moment before it blocks.
//!
//! Blocking and being woken costs two system calls and, where the core has gone idle, an interrupt and
//! 5 to 50 µs. Where one thread after the other waits for an answer that comes sooner than that (a
//! thread that talks to a task, one blocking job at a time), looking on is faster and cheaper. Everywhere
//! else it burns a core for nothing. So a thread looks on only after its last waits were short, for no
//! longer than a wake-up takes, and each time that this was in vain it waits for more such waits before
//! it tries again: on one core, where it keeps the one who would answer from running, it tries once in
//! 4096 waits.
//!
//! Where the CPU is shared with the one who would answer, looking on keeps that one from running, and a call preempts the
//! caller for each single piece of work. So who knows that others may be about to bring several *gives way* between
//! two looks (`sched_yield`): they bring them without a system call. It is not free: the kernel takes it for a time slice
//! used up, so that later calls preempt nobody for a while. Where one piece comes at a time that costs more than it saves
//! (4.5 to 6.2 µs a round trip on one core), which is why it is asked for, and not learned.
//!
//! Source: Karlin, Li, Manasse, Owicki, "Empirical studies of competitive spinning for a shared-memory
//! multiprocessor" (1991); that it learns is taken from glibc's adaptive mutex and of KVM's halt polling.
//!
//! Private to its thread, and no part of any protocol: who looks on blocks as it would have done.

use crate::primitive::{clock, in_model, in_storm, spin_loop, thread};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a thread looks on at most, unless the builder says otherwise: about what waking an idle core takes
/// where that is slow.
pub(crate) const SPIN: Duration = Duration::from_micros(50);
/// A wait of so many times that would have been shorter if both sides had looked on.
const SHORT: u32 = 2;
/// Short waits in a row before a thread looks on, at first and at most.
const FEW: u32 = 4;
const MANY: u32 = 4096;
/// Looks between two readings of the clock.
const LOOKS: u32 = 16;

/// Whether a thread that looks on keeps its CPU meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It does.
    Kept,
    /// It gives it to others between two looks.
    Given,
}

/// What one thread has learned from its last waits.
#[derive(Debug)]
pub(crate) struct Patience {
    spin: Duration,
    /// So many short waits more.
    doubt: Cell<u32>,
    /// What the doubt becomes after the next time in vain.
    penalty: Cell<u32>,
}

impl Patience {
    /// Of a thread that looks on for `spin` at most: never, if that is zero.
    pub(crate) fn new(spin: Duration) -> Self {
        // Virtual time does not pass while somebody looks on.
        let spin = if in_model() || in_storm() { Duration::ZERO } else { spin };
        Self { spin, doubt: Cell::new(FEW), penalty: Cell::new(FEW) }
    }

    /// Looks on, if that is promising, until `is_called`. Gives whether it was.
    pub(crate) fn look_on(
        &self,
        since: Instant,
        way: impl FnOnce() -> Way,
        is_called: impl Fn() -> bool,
    ) -> bool {
        if self.doubt.get() > 0 || self.spin.is_zero() {
            return false;
        }
        let way = way();
        let is_over = || clock::now().duration_since(since) >= self.spin;
        loop {
            if way == Way::Given {
                thread::yield_now();
            }
            for _ in 0..LOOKS {
                if is_called() {
                    match way == Way::Given && is_over() {
                        true => self.was_in_vain(),
                        false => self.penalty.set((self.penalty.get() / 2).max(FEW)),
                    }
                    return true;
                }
                spin_loop();
            }
            if is_over() {
                self.was_in_vain();
                return false;
            }
        }
    }

    /// It was not called, or others had the CPU for longer than a wake-up takes.
    fn was_in_vain(&self) {
        self.doubt.set(self.penalty.get());
        self.penalty.set((4 * self.penalty.get()).min(MANY));
    }

    /// Learns from a wait of that length. `called`: by what `look_on` waits for.
    pub(crate) fn learn(&self, wait: Duration, called: bool) {
        let doubt = self.doubt.get();
        self.doubt.set(match called && wait <= self.spin.saturating_mul(SHORT) {
            true => doubt.saturating_sub(1),
            false => doubt.max(FEW),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// How many short waits it takes until the thread looks on.
    fn waits(patience: &Patience) -> u32 {
        for n in 0.. {
            let asked = Cell::new(false);
            if patience.look_on(clock::now(), || Way::Kept, || !asked.replace(true)) {
                return n;
            }
            assert!(!asked.get());
            patience.learn(Duration::ZERO, true);
        }
        unreachable!()
    }

    #[test]
    fn a_thread_looks_on_after_a_few_short_waits() {
        let patience = Patience::new(LONG);
        assert_eq!(waits(&patience), FEW);
        patience.learn(SHORT * LONG, true);
        assert_eq!(waits(&patience), 0, "still");
        patience.learn(SHORT * LONG + Duration::from_nanos(1), true);
        Patience::new(Duration::MAX).learn(Duration::MAX, true);
        assert_eq!(waits(&patience), FEW, "that one was long");
        patience.learn(Duration::ZERO, false);
        assert_eq!(waits(&patience), FEW, "it was something else that came soon");
    }

    #[test]
    fn each_time_in_vain_makes_it_look_on_less_often() {
        let patience = Patience::new(Duration::from_nanos(1));
        let mut before = 0;
        for n in [FEW, 4 * FEW, 16 * FEW, 64 * FEW, 256 * FEW, MANY, MANY] {
            patience.doubt.set(0);
            assert!(!patience.look_on(clock::now(), || Way::Kept, || false));
            assert_eq!(waits(&patience), n.max(FEW));
            // What `waits` did at its end was a success.
            patience.penalty.set((4 * n).min(MANY));
            assert!(n >= before);
            before = n;
        }
        assert_eq!(waits(&patience), 0);
        assert_eq!(patience.penalty.get(), MANY / 2, "and each success more often");
    }

    #[test]
    fn to_be_called_late_is_in_vain_for_who_gave_way() {
        for (way, doubt) in [(Way::Kept, 0), (Way::Given, FEW)] {
            let patience = Patience::new(Duration::from_nanos(1));
            patience.doubt.set(0);
            let since = clock::now() - Duration::from_millis(3);
            assert!(patience.look_on(since, || way, || true));
            assert_eq!(patience.doubt.get(), doubt);
        }
    }

    #[test]
    fn zero_is_never() {
        let patience = Patience::new(Duration::ZERO);
        for _ in 0..MANY {
            assert!(!patience.look_on(clock::now(), || Way::Kept, || panic!("it looks on")));
            patience.learn(Duration::ZERO, true);
        }
    }
}
