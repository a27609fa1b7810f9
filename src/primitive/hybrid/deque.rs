//! The deque and the injector: crossbeam's outside a model, a double inside one.
//!
//! The double is weaker than crossbeam, so that a protocol proved on it holds on crossbeam:
//!
//! * Emptiness and length are one `Relaxed` load and nothing else. crossbeam has a SeqCst fence or
//!   SeqCst loads there, which hid every missing fence of the sleep protocol.
//! * A queue that looks empty is not locked, so a look that finds nothing publishes nothing and
//!   learns nothing.
//! * A thief that meets anybody else at the queue gets `Retry`.
//! * What is pushed is seen by who takes it, and that is all.
//!
//! `loom-tests/tests/deque.rs` drives the double and crossbeam with the same single-threaded
//! operations: they differ in nothing that one thread can see.

use super::atomic::{AtomicUsize, Ordering::Relaxed};
use super::{Mutex, MutexGuard, in_model, ledger, storm};
use crossbeam_deque as real;
pub use crossbeam_deque::Steal;
use std::collections::VecDeque;
use std::sync::Arc;

/// A queue under a lock, with a length that may be read stale.
#[derive(Debug)]
struct Double<T> {
    items: Mutex<VecDeque<T>>,
    /// Written under the lock, read without it. Relaxed: it publishes nothing; a taker gets the
    /// items' edges from the lock.
    len: AtomicUsize,
}

impl<T> Double<T> {
    fn new() -> Self {
        Self { items: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0) }
    }

    fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    fn extend(&self, items: impl IntoIterator<Item = T>) {
        let mut queue = self.items.lock();
        queue.extend(items);
        self.len.store(queue.len(), Relaxed);
    }

    /// The owner's take: it waits for a thief instead of failing.
    fn pop(&self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        self.take(self.items.lock(), |_| 1).pop_front()
    }

    /// A thief's take of as many as `share` says, given how many there are. `Ok` is not empty.
    fn steal(&self, share: impl FnOnce(usize) -> usize) -> Result<VecDeque<T>, Steal<T>> {
        if self.len() == 0 {
            return Err(Steal::Empty);
        }
        let taken = self.take(self.items.try_lock().ok_or(Steal::Retry)?, share);
        if taken.is_empty() { Err(Steal::Empty) } else { Ok(taken) }
    }

    fn take(
        &self,
        mut queue: MutexGuard<'_, VecDeque<T>>,
        share: impl FnOnce(usize) -> usize,
    ) -> VecDeque<T> {
        if queue.is_empty() {
            return VecDeque::new();
        }
        let share = share(queue.len());
        let rest = queue.split_off(share);
        let taken = std::mem::replace(&mut *queue, rest);
        self.len.store(queue.len(), Relaxed);
        taken
    }

    /// One to return and the others to `dest`.
    fn steal_into(&self, dest: &Worker<T>, share: impl FnOnce(usize) -> usize) -> Steal<T> {
        let mut taken = match self.steal(share) {
            Ok(taken) => taken,
            Err(nothing) => return nothing,
        };
        let first = taken.pop_front().expect("`steal` gives at least one");
        if !taken.is_empty() {
            match &dest.0 {
                WorkerKind::Real(dest) => taken.into_iter().for_each(|item| dest.push(item)),
                WorkerKind::Double(dest) => dest.extend(taken),
            }
        }
        Steal::Success(first)
    }
}

/// A real queue, about to be used.
#[track_caller]
fn step<Q>(queue: &Q) -> &Q {
    storm::point();
    queue
}

/// A steal from a real queue, which may have to be tried again for no reason that is known.
#[track_caller]
fn attempt<T>(steal: impl FnOnce() -> Steal<T>) -> Steal<T> {
    storm::point();
    if storm::mishap() { Steal::Retry } else { steal() }
}

/// What was taken out of a real injector.
#[track_caller]
fn taken<T>(injector: &real::Injector<T>, steal: Steal<T>) -> Steal<T> {
    if steal.is_success() {
        ledger::change(injector, 1);
    }
    steal
}

/// The owner's half of a first-in first-out deque.
#[derive(Debug)]
pub struct Worker<T>(WorkerKind<T>);

#[derive(Debug)]
enum WorkerKind<T> {
    Real(real::Worker<T>),
    Double(Arc<Double<T>>),
}

impl<T> Worker<T> {
    /// Makes the deque: the double inside a model.
    pub fn new_fifo() -> Self {
        if in_model() {
            Self::new_double()
        } else {
            Self(WorkerKind::Real(real::Worker::new_fifo()))
        }
    }

    /// The double, also outside a model.
    pub fn new_double() -> Self {
        Self(WorkerKind::Double(Arc::new(Double::new())))
    }

    /// A thief's half.
    pub fn stealer(&self) -> Stealer<T> {
        Stealer(match &self.0 {
            WorkerKind::Real(worker) => StealerKind::Real(worker.stealer()),
            WorkerKind::Double(queue) => StealerKind::Double(queue.clone()),
        })
    }

    /// Adds at the back.
    #[track_caller]
    pub fn push(&self, item: T) {
        match &self.0 {
            WorkerKind::Real(worker) => step(worker).push(item),
            WorkerKind::Double(queue) => queue.extend([item]),
        }
    }

    /// Takes from the front.
    #[track_caller]
    pub fn pop(&self) -> Option<T> {
        match &self.0 {
            WorkerKind::Real(worker) => step(worker).pop(),
            WorkerKind::Double(queue) => queue.pop(),
        }
    }

    /// Whether it looks empty.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            WorkerKind::Real(worker) => step(worker).is_empty(),
            WorkerKind::Double(queue) => queue.len() == 0,
        }
    }

    /// How many there seem to be.
    #[track_caller]
    pub fn len(&self) -> usize {
        match &self.0 {
            WorkerKind::Real(worker) => step(worker).len(),
            WorkerKind::Double(queue) => queue.len(),
        }
    }
}

/// A thief's half of a deque.
#[derive(Debug)]
pub struct Stealer<T>(StealerKind<T>);

#[derive(Debug)]
enum StealerKind<T> {
    Real(real::Stealer<T>),
    Double(Arc<Double<T>>),
}

impl<T> Stealer<T> {
    /// Takes one from the front.
    #[track_caller]
    pub fn steal(&self) -> Steal<T> {
        match &self.0 {
            StealerKind::Real(stealer) => attempt(|| stealer.steal()),
            StealerKind::Double(queue) => first(queue.steal(|_| 1)),
        }
    }

    /// Takes about half, at most `limit`: the first is returned, the others go to `dest`.
    #[track_caller]
    pub fn steal_batch_with_limit_and_pop(&self, dest: &Worker<T>, limit: usize) -> Steal<T> {
        assert!(limit > 0, "a batch of nothing");
        match (&self.0, &dest.0) {
            (StealerKind::Real(stealer), WorkerKind::Real(dest)) => {
                attempt(|| stealer.steal_batch_with_limit_and_pop(dest, limit))
            }
            (StealerKind::Real(_), WorkerKind::Double(_)) => {
                panic!("a deque made outside the model is stolen from inside it")
            }
            (StealerKind::Double(from), WorkerKind::Double(to)) if Arc::ptr_eq(from, to) => {
                to.pop().map_or(Steal::Empty, Steal::Success)
            }
            (StealerKind::Double(queue), _) => {
                queue.steal_into(dest, |len| 1 + ((len - 1) / 2).min(limit - 1))
            }
        }
    }

    /// Whether it looks empty.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            StealerKind::Real(stealer) => step(stealer).is_empty(),
            StealerKind::Double(queue) => queue.len() == 0,
        }
    }

    /// How many there seem to be.
    #[track_caller]
    pub fn len(&self) -> usize {
        match &self.0 {
            StealerKind::Real(stealer) => step(stealer).len(),
            StealerKind::Double(queue) => queue.len(),
        }
    }
}

impl<T> Clone for Stealer<T> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            StealerKind::Real(stealer) => StealerKind::Real(stealer.clone()),
            StealerKind::Double(queue) => StealerKind::Double(queue.clone()),
        })
    }
}

/// The queue that everybody pushes to and steals from.
#[derive(Debug)]
pub struct Injector<T>(InjectorKind<T>);

#[derive(Debug)]
enum InjectorKind<T> {
    Real(Box<real::Injector<T>>),
    Double(Double<T>),
}

impl<T> Injector<T> {
    /// Makes the queue: the double inside a model.
    pub fn new() -> Self {
        if in_model() {
            Self::new_double()
        } else {
            Self(InjectorKind::Real(Box::new(real::Injector::new())))
        }
    }

    /// The double, also outside a model.
    pub fn new_double() -> Self {
        Self(InjectorKind::Double(Double::new()))
    }

    /// Adds at the back.
    #[track_caller]
    pub fn push(&self, item: T) {
        match &self.0 {
            InjectorKind::Real(injector) => {
                ledger::change(&**injector, 1);
                step(injector).push(item);
            }
            InjectorKind::Double(queue) => queue.extend([item]),
        }
    }

    /// Takes one from the front.
    #[track_caller]
    pub fn steal(&self) -> Steal<T> {
        match &self.0 {
            InjectorKind::Real(injector) => taken(injector, attempt(|| injector.steal())),
            InjectorKind::Double(queue) => first(queue.steal(|_| 1)),
        }
    }

    /// Takes some, at most `limit`: the first is returned, the others go to `dest`.
    #[track_caller]
    pub fn steal_batch_with_limit_and_pop(&self, dest: &Worker<T>, limit: usize) -> Steal<T> {
        assert!(limit > 0, "a batch of nothing");
        match (&self.0, &dest.0) {
            (InjectorKind::Real(injector), WorkerKind::Real(dest)) => {
                taken(injector, attempt(|| injector.steal_batch_with_limit_and_pop(dest, limit)))
            }
            (InjectorKind::Real(_), WorkerKind::Double(_)) => {
                panic!("an injector made outside the model is stolen from inside it")
            }
            // crossbeam takes half of what is in the front block, or all of it if more blocks
            // follow; how many is nothing to rely on.
            (InjectorKind::Double(queue), _) => {
                queue.steal_into(dest, |len| len.div_ceil(2).min(limit))
            }
        }
    }

    /// Whether it looks empty.
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            InjectorKind::Real(injector) => step(injector).is_empty(),
            InjectorKind::Double(queue) => queue.len() == 0,
        }
    }

    /// How many there seem to be.
    #[track_caller]
    pub fn len(&self) -> usize {
        match &self.0 {
            InjectorKind::Real(injector) => step(injector).len(),
            InjectorKind::Double(queue) => queue.len(),
        }
    }
}

impl<T> Default for Injector<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn first<T>(taken: Result<VecDeque<T>, Steal<T>>) -> Steal<T> {
    match taken {
        Ok(mut taken) => Steal::Success(taken.pop_front().expect("`steal` gives at least one")),
        Err(nothing) => nothing,
    }
}
