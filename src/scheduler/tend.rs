//! Who looks after a wheel of timers.
//!
//! The owner of a slot does, while its loop runs: it reads its next deadline after it has announced its
//! sleep. But other threads put timers into the wheels of workers too, and a worker may leave, or block
//! in [`block_in_place`](super::block_in_place). So that no timer lies in a wheel that nobody looks after,
//!
//! 1. who stops tending a wheel says so, and then gives what is in it to a slot that is tended
//!    ([`Tenders::untend`]);
//! 2. who put a timer into a wheel from outside looks afterwards whether it is tended, and else gives it
//!    away in the same manner ([`Tenders::find`]);
//! 3. who finds nobody to give timers to notes that there are orphans, and looks once more; who begins to
//!    tend says so, and then looks whether there is such a note ([`Tenders::tend`]).
//!
//! Each is "write, `fence(SeqCst)`, read" on both sides, so of two that meet one sees the other: the one
//! who leaves and the one who puts (1, 2), and who finds nobody and who begins (3). Who gives timers to a
//! wheel has put them there, and goes on with 2 for that one.
//!
//! Without this, a worker that blocked on a timer of its own waited for ever, as did every timer that
//! another thread put into its wheel meanwhile. The models are in `loom-tests/tests/tend.rs`.

use crate::primitive::atomic::{AtomicBool, Ordering::*, fence};

/// Which wheels are looked after. All orderings here are the fences'.
#[derive(Debug)]
pub struct Tenders {
    /// Close together: written only when somebody comes, leaves or blocks.
    tended: Box<[AtomicBool]>,
    /// Timers may be in a wheel that is not tended, and nobody is giving them away.
    orphans: AtomicBool,
}

/// The wheels, and their owners.
pub trait Wheels {
    /// Whether there is no timer in `wheel`.
    fn is_empty(&self, wheel: usize) -> bool;
    /// Moves all timers of one wheel into another.
    fn migrate(&self, from: usize, to: usize);
    /// Makes the owner of `wheel` look at it.
    fn tell(&self, wheel: usize);
}

impl Tenders {
    /// For `wheels` wheels, of which the first `tended` are looked after.
    pub fn new(wheels: usize, tended: usize) -> Self {
        let tended = |wheel| AtomicBool::new(wheel < tended);
        Self { tended: (0..wheels).map(tended).collect(), orphans: AtomicBool::new(false) }
    }

    /// Whether somebody looks after `wheel`.
    pub fn is_tended(&self, wheel: usize) -> bool {
        // Relaxed: the caller's fence orders it.
        self.tended[wheel].load(Relaxed)
    }

    /// The calling thread looks after `wheel` from here on.
    pub fn tend(&self, wheel: usize, wheels: &impl Wheels) {
        // Relaxed, as everywhere here: the fences order it.
        self.tended[wheel].store(true, Relaxed);
        // Pairs with the second fence in `find`: it finds us, or we find its note.
        fence(SeqCst);
        // AcqRel: pairs with the swap in `find`, so that the timers it is about are seen.
        if !self.orphans.load(Relaxed) || !self.orphans.swap(false, AcqRel) {
            return;
        }
        // We are awake, and need not be told.
        let untended = (0..self.tended.len()).filter(|&other| !self.is_tended(other));
        untended.for_each(|other| wheels.migrate(other, wheel));
    }

    /// The calling thread looks after `wheel` no more.
    pub fn untend(&self, wheel: usize, wheels: &impl Wheels) {
        self.forsake(wheel);
        self.find(wheel, wheels);
    }

    /// Nobody looks after `wheel` from here on. Before its owner can [tend](Self::tend) it again;
    /// [`find`](Self::find) follows.
    pub fn forsake(&self, wheel: usize) {
        self.tended[wheel].store(false, Relaxed);
    }

    /// Makes sure that somebody looks after the timers that are in `wheel`, and has heard of them.
    pub fn find(&self, mut wheel: usize, wheels: &impl Wheels) {
        let mut noted = false;
        loop {
            // For who leaves: pairs with this one of who puts a timer here, who sees that we are gone,
            // or we see the timer. For who puts: also with that in `Idle::sleep`.
            fence(SeqCst);
            if self.is_tended(wheel) {
                return wheels.tell(wheel);
            }
            if wheels.is_empty(wheel) {
                return;
            }
            match (0..self.tended.len()).find(|&other| self.is_tended(other)) {
                Some(to) => {
                    wheels.migrate(wheel, to);
                    wheel = to;
                }
                None if noted => return,
                None => {
                    noted = true;
                    // AcqRel: pairs with the swap in `tend`.
                    self.orphans.swap(true, AcqRel);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[derive(Default)]
    struct Fake {
        timers: [Cell<u32>; 3],
        told: RefCell<Vec<usize>>,
    }

    impl Wheels for Fake {
        fn is_empty(&self, wheel: usize) -> bool {
            self.timers[wheel].get() == 0
        }

        fn migrate(&self, from: usize, to: usize) {
            self.timers[to].set(self.timers[to].get() + self.timers[from].take());
        }

        fn tell(&self, wheel: usize) {
            self.told.borrow_mut().push(wheel);
        }
    }

    #[test]
    fn timers_go_to_who_tends() {
        let (tenders, wheels) = (Tenders::new(3, 2), Fake::default());
        wheels.timers[0].set(2);
        tenders.untend(0, &wheels);
        assert_eq!(wheels.timers.each_ref().map(Cell::get), [0, 2, 0]);
        assert_eq!(wheels.told.take(), [1]);
        // Nobody is left: they wait for the next one, who takes those from outside too.
        tenders.untend(1, &wheels);
        assert_eq!(wheels.told.take(), []);
        wheels.timers[0].set(1);
        tenders.find(0, &wheels);
        tenders.tend(2, &wheels);
        assert_eq!(wheels.timers.each_ref().map(Cell::get), [0, 0, 3]);
        // No note is left, so that the next one has nothing to look for.
        tenders.tend(0, &wheels);
        assert_eq!(wheels.timers.each_ref().map(Cell::get), [0, 0, 3]);
    }
}
