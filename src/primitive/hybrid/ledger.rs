//! A count of read-modify-writes: of which word, from where, by which thread. `loom-tests/tests/ledger.rs`
//! asserts with it that on the hot paths there is no word that all workers change.
//!
//! Counted are the operations of atomics that change them, two for a lock (taken, given back), and one for
//! what goes into or out of the injector. Not counted: stores, a worker's own deque, and what stands outside
//! the facade (reference counts).

use std::collections::{BTreeMap, HashMap};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::ThreadId;

/// The changes of one word.
#[derive(Debug)]
pub struct Word {
    /// Where it was changed first.
    pub at: &'static Location<'static>,
    pub by: HashMap<ThreadId, usize>,
}

// Relaxed everywhere: who opens the book wants counts, and the book has its lock.
static OPEN: AtomicBool = AtomicBool::new(false);
static BOOK: super::StaticMutex<BTreeMap<usize, Word>> = super::StaticMutex::new(BTreeMap::new());

/// Counts from now on, from nothing.
pub fn open() {
    BOOK.lock().clear();
    OPEN.store(true, Relaxed);
}

/// Counts no more; gives the words that were changed.
pub fn close() -> Vec<Word> {
    OPEN.store(false, Relaxed);
    std::mem::take(&mut *BOOK.lock()).into_values().collect()
}

/// The running thread has changed this, so many times.
#[track_caller]
pub(super) fn change<T: ?Sized>(word: &T, times: usize) {
    if OPEN.load(Relaxed) {
        let (address, at) = ((&raw const *word).cast::<()>().addr(), Location::caller());
        let mut book = BOOK.lock();
        let word = book.entry(address).or_insert_with(|| Word { at, by: HashMap::new() });
        *word.by.entry(std::thread::current().id()).or_default() += times;
    }
}
