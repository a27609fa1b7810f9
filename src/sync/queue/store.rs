//! In which order a queue gives its items.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// How a [`Queue`](super::Queue) keeps its items. The methods run under the queue's lock and must not use the queue.
pub trait Store<T>: Default {
    /// Takes an item in.
    fn push(&mut self, item: T);
    /// The item whose turn it is.
    fn pop(&mut self) -> Option<T>;
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Oldest first.
pub struct Fifo<T>(VecDeque<T>);

/// Newest first.
pub struct Lifo<T>(Vec<T>);

/// Least first, oldest first among equals.
pub struct Priority<T> {
    heap: BinaryHeap<Ranked<T>>,
    /// Items ever pushed.
    pushed: u64,
}

/// An item and its number. The greatest is the one to give next.
struct Ranked<T>(T, u64);

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.cmp(&self.0).then_with(|| other.1.cmp(&self.1))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Ranked<T> {}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Default for Priority<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Store<T> for Fifo<T> {
    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Store<T> for Lifo<T> {
    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T: Ord> Store<T> for Priority<T> {
    fn push(&mut self, item: T) {
        self.pushed += 1;
        self.heap.push(Ranked(item, self.pushed));
    }

    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Ranked(item, _)| item)
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}
