//! A bound on the user lane: how many jobs may be queued, and who waits for room.
//!
//! A counter and a list of wakers, in the order in which their owners came. Room is not handed over: a job that is
//! taken wakes one waiter, which tries like everybody else. If a newcomer was faster it waits again, where it stood
//! before. So a freed place is never idle while somebody wants it.
//!
//! A waiter that was woken and ends, with a place or dropped, passes the wake on if there is room: it may have taken
//! another place than the one that it was woken for. Without room it wakes nobody: who has the place wakes the next
//! when he gives it back.
//!
//! Rejected: a semaphore of `sync`, which lies above this layer, and whose fair hand-over makes the
//! queue run empty while woken tasks find their way to a worker.

use crate::primitive::Mutex;
use crate::primitive::atomic::{AtomicUsize, Ordering::*, fence};
use crate::util::note::{self, WaitKind};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The places of a bounded queue.
#[derive(Debug)]
pub struct Room {
    places: usize,
    used: AtomicUsize,
    /// How many wakers are in the list: what a thread looks at that frees a place.
    waiting: AtomicUsize,
    list: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// By their keys, in order.
    queue: VecDeque<(u64, Waker)>,
    next_key: u64,
}

impl Room {
    /// A queue of `places` places.
    pub fn new(places: usize) -> Self {
        Self {
            places,
            used: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            list: Mutex::new(Waiters::default()),
        }
    }

    /// Takes a place if one is free.
    pub fn try_take(&self) -> bool {
        // Relaxed: a count; who is refused and then waits has a fence in between (`Wait::poll`).
        self.used
            .fetch_update(Relaxed, Relaxed, |used| (used < self.places).then_some(used + 1))
            .is_ok()
    }

    /// Takes a place, free or not.
    pub fn take(&self) {
        // Relaxed: a count.
        self.used.fetch_add(1, Relaxed);
    }

    /// Gives a place back, and wakes one waiter if that makes room.
    pub fn give_back(&self) {
        // Relaxed: a count.
        let before = self.used.fetch_sub(1, Relaxed);
        // Pairs with the fence in `Wait::poll`: either we see the waiter or it sees the place.
        fence(SeqCst);
        if before <= self.places && self.waiting.load(Relaxed) > 0 {
            self.wake_one();
        }
    }

    fn wake_one(&self) {
        let waiter = {
            let mut list = self.list.lock();
            let waiter = list.queue.pop_front();
            // Relaxed: a hint for `give_back`, exact under the lock.
            self.waiting.store(list.queue.len(), Relaxed);
            waiter
        };
        if let Some((_, waker)) = waiter {
            waker.wake();
        }
    }

    /// Waits for a place.
    pub fn wait(&self) -> Wait<'_> {
        Wait { room: self, key: None }
    }

    /// Puts the waiter `key` in the list, or its new waker, in its old place.
    fn enlist(&self, key: Option<u64>, waker: &Waker) -> u64 {
        // Cloned, and the old one dropped, outside the lock: both are foreign code.
        let waker = waker.clone();
        let mut list = self.list.lock();
        let key = key.unwrap_or_else(|| {
            list.next_key += 1;
            list.next_key - 1
        });
        match list.queue.binary_search_by_key(&key, |entry| entry.0) {
            Ok(at) => {
                let old = std::mem::replace(&mut list.queue[at].1, waker);
                drop(list);
                drop(old);
                return key;
            }
            Err(at) => list.queue.insert(at, (key, waker)),
        }
        // Relaxed: the fence in `Wait::poll` follows.
        self.waiting.store(list.queue.len(), Relaxed);
        key
    }

    /// Takes the waiter `key` off the list. If it is not there, it was woken, and the place that it
    /// was woken for may still be free: somebody else is woken for it.
    fn delist(&self, key: u64) {
        let mut list = self.list.lock();
        let Ok(at) = list.queue.binary_search_by_key(&key, |entry| entry.0) else {
            drop(list);
            // Relaxed: who took us off the list had given the place back before, and the lock was his then.
            if self.used.load(Relaxed) < self.places {
                self.wake_one();
            }
            return;
        };
        let entry = list.queue.remove(at);
        self.waiting.store(list.queue.len(), Relaxed);
        drop(list);
        drop(entry);
    }
}

/// A future that ends with a place taken.
///
/// # Cancel safety
///
/// Dropping it leaves the queue as if it had never waited.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a> {
    room: &'a Room,
    /// Its entry in the list, which may have been woken and removed.
    key: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let room = self.room;
        if !room.try_take() {
            self.key = Some(room.enlist(self.key, cx.waker()));
            // Pairs with the fence in `give_back`.
            fence(SeqCst);
            if !room.try_take() {
                note::wait_at(WaitKind::Room, room);
                return Poll::Pending;
            }
        }
        if let Some(key) = self.key.take() {
            room.delist(key);
        }
        Poll::Ready(())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.room.delist(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// The first takes a place that came before it was listed, and is woken for another before it is off the list.
    #[test]
    fn a_wake_for_one_that_has_a_place_is_passed_on() {
        let room = Room::new(2);
        room.take();
        room.take();
        let counts = [0, 1].map(|_| Arc::<Count>::default());
        let wakers = counts.each_ref().map(|count| Waker::from(count.clone()));
        let woken = || counts.each_ref().map(|count| count.0.load(SeqCst));
        room.give_back();
        let first = room.enlist(None, &wakers[0]);
        assert!(room.try_take());
        room.enlist(None, &wakers[1]);
        room.give_back();
        assert_eq!(woken(), [1, 0]);
        room.delist(first);
        assert_eq!(woken(), [1, 1]);
    }
}
