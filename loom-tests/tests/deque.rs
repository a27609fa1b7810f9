//! The deque's double against crossbeam: one thread cannot tell them apart.
//!
//! The doubles in `src/primitive/hybrid/deque.rs` stand in for crossbeam in every model; here both
//! run outside a model, driven by the same operations from a fixed seed.

use reiver_model::internals::primitive::deque::{Injector, Steal, Worker};
use std::collections::VecDeque;

/// xorshift64: enough for choosing operations.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn a_worker_and_its_thieves_agree_with_crossbeam() {
    let mut stolen = 0;
    for seed in 1..=200 {
        let mut choices = Choices(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        // For each side: two workers, stealing from each other.
        let real = [Worker::<u32>::new_fifo(), Worker::new_fifo()];
        let double = [Worker::<u32>::new_double(), Worker::new_double()];
        for next in 0..400 {
            let which = choices.below(2);
            let other = choices.below(2); // sometimes itself
            let limit = 1 + choices.below(6);
            let act = choices.below(8);
            let [from_real, from_double] = [&real, &double].map(|side| match act {
                0..=3 => {
                    side[which].push(next);
                    None
                }
                4 => side[which].pop().map(Steal::Success),
                5 => Some(side[which].stealer().steal()),
                _ => {
                    let stealer = side[which].stealer();
                    Some(stealer.steal_batch_with_limit_and_pop(&side[other], limit))
                }
            });
            assert_eq!(from_real, from_double, "seed {seed}, operation {next}");
            stolen += usize::from(act > 5 && from_real.is_some_and(|item| item.is_success()));
            for (real, double) in real.iter().zip(&double) {
                let seen = |w: &Worker<u32>| {
                    (w.len(), w.is_empty(), w.stealer().len(), w.stealer().is_empty())
                };
                assert_eq!(seen(real), seen(double), "seed {seed}, operation {next}");
            }
        }
        for (real, double) in real.iter().zip(&double) {
            while let Some(item) = real.pop() {
                assert_eq!(double.pop(), Some(item));
            }
            assert_eq!(double.pop(), None);
        }
    }
    assert!(stolen > 5000, "{stolen} batches are too few to mean anything");
}

/// What is true of either injector: first in, first out, nothing lost, no batch above its limit.
/// How many a batch takes is crossbeam's affair (it depends on its blocks).
fn drive_injector(make: fn() -> (Injector<u32>, Worker<u32>)) {
    let mut batches = 0;
    for seed in 1..=100 {
        let mut choices = Choices(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let (injector, worker) = make();
        let mut expected = VecDeque::new();
        for next in 0..600 {
            match choices.below(8) {
                0..=5 => {
                    injector.push(next);
                    expected.push_back(next);
                }
                6 => {
                    let front = expected.pop_front().map_or(Steal::Empty, Steal::Success);
                    assert_eq!(injector.steal(), front);
                }
                _ => {
                    let limit = 1 + choices.below(8);
                    let front = expected.pop_front().map_or(Steal::Empty, Steal::Success);
                    assert_eq!(injector.steal_batch_with_limit_and_pop(&worker, limit), front);
                    assert!(worker.len() < limit, "{} and one, of {limit}", worker.len());
                    batches += usize::from(!worker.is_empty());
                    while let Some(item) = worker.pop() {
                        assert_eq!(Some(item), expected.pop_front());
                    }
                }
            }
            assert_eq!(injector.len(), expected.len());
            assert_eq!(injector.is_empty(), expected.is_empty());
        }
    }
    assert!(batches > 1000, "{batches} batches are too few to mean anything");
}

#[test]
fn crossbeams_injector_does_what_the_models_assume() {
    drive_injector(|| (Injector::new(), Worker::new_fifo()));
}

#[test]
fn the_injectors_double_does_it_too() {
    drive_injector(|| (Injector::new_double(), Worker::new_double()));
}
