//! Who listens to which signal, and what has come for each.
//!
//! One table under one lock. A signal is rare, and a look at a thousand listeners takes a microsecond;
//! a table for each signal would be 127 locks that are nearly never used. Since a listener looks and
//! leaves its waker in one critical section, and a delivery marks and takes the waker in one, neither
//! can miss the other. Wakers are cloned, dropped and called with the lock free.

use super::pending::{Number, Set};
use crate::primitive::Mutex;
use crate::util::note::{self, WaitKind};
use crate::util::wake_batch::WakeBatch;
use std::task::{Context, Poll, Waker};

/// All listeners.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    number: Number,
    /// The relay that sees to it that this listener's runtime looks at the pipe.
    relay: u64,
    /// The signal has come since the last look.
    raised: bool,
    /// The relay has ended.
    ended: bool,
    waker: Option<Waker>,
}

/// A listener's place in the table; good until it is given to [`Listeners::remove`].
#[derive(Debug)]
pub struct Key(usize);

impl Listeners {
    /// From now on `number` is kept for this listener.
    pub fn add(&self, number: Number, relay: u64) -> Key {
        let entry = Some(Entry { number, relay, raised: false, ended: false, waker: None });
        let mut table = self.0.lock();
        match table.free.pop() {
            Some(at) => {
                table.entries[at] = entry;
                Key(at)
            }
            None => {
                table.entries.push(entry);
                Key(table.entries.len() - 1)
            }
        }
    }

    /// Ends a listener.
    pub fn remove(&self, key: &mut Key) {
        let entry = {
            let mut table = self.0.lock();
            table.free.push(key.0);
            table.entries[key.0].take()
        };
        drop(entry);
    }

    /// What has come: `Some` for the signal, `None` when no more will come. Else leaves the waker.
    pub fn poll(&self, key: &mut Key, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let mut new = None;
        loop {
            let mut table = self.0.lock();
            let entry = table.entries[key.0].as_mut().expect("a key is good until it is removed");
            if std::mem::take(&mut entry.raised) {
                return Poll::Ready(Some(()));
            }
            if entry.ended {
                return Poll::Ready(None);
            }
            if entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return pending();
            }
            if new.is_some() {
                let old = std::mem::replace(&mut entry.waker, new);
                drop(table);
                drop(old);
                return pending();
            }
            drop(table);
            new = Some(cx.waker().clone());
        }
    }

    /// Delivers `signals` to all who listen to one of them.
    pub fn deliver(&self, signals: Set) {
        if !signals.is_empty() {
            self.mark(|entry| {
                let listens = signals.contains(entry.number);
                entry.raised |= listens;
                listens
            });
        }
    }

    /// No more will come by `relay`.
    pub fn end(&self, relay: u64) {
        self.mark(|entry| {
            let theirs = entry.relay == relay;
            entry.ended |= theirs;
            theirs
        });
    }

    /// Shows every entry to `mark`, and wakes those that it says.
    ///
    /// The lock is given back after each batch. A listener that is added meanwhile may be marked too:
    /// it came while the signal was being delivered.
    fn mark(&self, mut mark: impl FnMut(&mut Entry) -> bool) {
        let mut batch = WakeBatch::new();
        let mut at = 0;
        loop {
            let mut table = self.0.lock();
            while batch.has_room() && at < table.entries.len() {
                if let Some(entry) = &mut table.entries[at] {
                    if mark(entry) {
                        entry.waker.take().into_iter().for_each(|waker| batch.push(waker));
                    }
                }
                at += 1;
            }
            let done = at >= table.entries.len();
            drop(table);
            if done {
                return batch.wake();
            }
            batch.make_room();
        }
    }
}

fn pending<R>() -> Poll<R> {
    note::wait(WaitKind::Signal, 0);
    Poll::Pending
}
