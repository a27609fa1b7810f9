//! Tasks whose ends are awaited together: what `JoinSet` and `JoinMap` are made of.
//!
//! Waiting for one of 10,000 tasks must not look at 10,000 tasks. Each member has an *entry*, a
//! counted object that is the waker of its `JoinHandle`. When the member ends, its completer wakes
//! that waker, which links the entry into the list of the *finished* and wakes whoever waits for the
//! whole. So an end costs its completer one short lock, and the waiter takes entries from the list.
//!
//! ```text
//! Members ─ slots ─► [JoinHandle, JoinHandle, …] ─► task ─ join waker ─► Entry { slot } ─┐
//!    └───────────────────────────────────────────► Finished { list of ended entries, waker } ◄┘
//! ```
//!
//! 1. **insert**: take a slot, make an entry for it, register it as the handle's waker. A task that has
//!    ended by then is woken by `insert` itself; so each entry is linked exactly once, sooner or later.
//! 2. **end**: under the lock link the entry and take the waiter's waker; wake it after the lock.
//! 3. **next**: under the lock take the first entry, or else leave a waker. Then the handle in the
//!    entry's slot is complete, its output is taken and the slot is free.
//!
//! *No end is missed*: 2 and 3 are under one lock, so either 3 finds the entry or 2 finds the waker.
//! *A slot is not mistaken*: it becomes free when its entry comes out of the list, and an entry comes
//! once. Where slots become free otherwise ([`detach_all`](Members::detach_all)), a completer may still
//! be on its way with an entry; so the list it knows is closed and a new one is begun.
//!
//! The list is intrusive: linking allocates nothing, which keeps the lock short enough to spin on.
//!
//! Rejected: polling each handle on every wake (`FuturesUnordered` without its ready list); a channel
//! per set (a second allocation and a second wake per member); moving entries between an *idle* and a
//! *notified* list, as tokio does: the slots are the idle list, and need no lock.

use crate::primitive::atomic::{AtomicBool, Ordering::*};
use crate::primitive::{Arc, SpinLock};
use crate::task::{AbortHandle, Id, JoinError, JoinHandle, budget};
use crate::util::list::{Linked, Links, List};
use crate::util::note::{self, WaitKind};
use std::fmt;
use std::ptr::NonNull;
use std::task::{Context, Poll, Wake, Waker, ready};

/// What a task gave, and which task.
pub type Ended<T> = (Id, Result<T, JoinError>);

/// The members of a set. Dropping it aborts them.
pub struct Members<T> {
    slots: Vec<Option<JoinHandle<T>>>,
    free: Vec<usize>,
    finished: Arc<Finished>,
}

/// The entries of the members that have ended and were not taken.
struct Finished(SpinLock<Queue>);

struct Queue {
    /// Each element owns one count of its `Arc`.
    entries: List<Entry>,
    waiter: Option<Waker>,
    /// Nobody takes from here any more: entries are dropped instead of linked.
    closed: bool,
}

/// A member, as its completer sees it.
struct Entry {
    slot: usize,
    finished: Arc<Finished>,
    /// It was linked, once and for all.
    linked: AtomicBool,
    links: Links<Entry>,
}

// SAFETY: `links` is used only under the lock of `finished` (list rule 2), or by one thread after the
// list was closed; everything else is `Sync`.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

// SAFETY: always the field `links`.
unsafe impl Linked for Entry {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: the caller's; no reference to the whole entry is made.
        unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
    }
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        // Relaxed: it only decides who links; the lock publishes.
        if self.linked.swap(true, Relaxed) {
            return;
        }
        let finished = self.finished.clone();
        let mut queue = finished.0.lock();
        if queue.closed {
            drop(queue);
            return;
        }
        let entry = Arc::into_raw(self).cast_mut();
        // SAFETY: list rule 1: the count given to the list keeps it. Rule 2: under the lock. Rule 3:
        // `linked` let only us through. An `Arc`'s pointer is not null.
        unsafe { queue.entries.push_back(NonNull::new_unchecked(entry)) };
        let waiter = queue.waiter.take();
        drop(queue);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Arc<Entry>> {
        let entry = self.entries.pop_front()?;
        // SAFETY: the count that `wake` gave to the list.
        Some(unsafe { Arc::from_raw(entry.as_ptr()) })
    }
}

impl Finished {
    fn new(waiter: Option<Waker>) -> Arc<Self> {
        Arc::new(Self(SpinLock::new(Queue { entries: List::new(), waiter, closed: false })))
    }

    fn pop(&self) -> Option<Arc<Entry>> {
        self.0.lock().pop()
    }

    /// The first entry, or `waker` is woken when there is one.
    fn poll_pop(&self, waker: &Waker) -> Option<Arc<Entry>> {
        let mut queue = self.0.lock();
        if let Some(entry) = queue.pop() {
            return Some(entry);
        }
        if queue.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(waker)) {
            return None;
        }
        drop(queue);
        // Cloned, and the one before dropped, without the lock: both are a stranger's code.
        let waker = waker.clone();
        let mut queue = self.0.lock();
        if let Some(entry) = queue.pop() {
            return Some(entry);
        }
        let before = queue.waiter.replace(waker);
        drop(queue);
        drop(before);
        None
    }

    /// Refuses all further entries, drops those that are here, and gives back who waits.
    fn close(&self) -> Option<Waker> {
        let mut queue = self.0.lock();
        queue.closed = true;
        let rest = queue.entries.take();
        let waiter = queue.waiter.take();
        drop(queue);
        // Its elements are this thread's: `linked` keeps each from being linked again.
        let mut rest = Queue { entries: rest, waiter: None, closed: true };
        while rest.pop().is_some() {}
        waiter
    }
}

impl<T> Members<T> {
    /// No members.
    pub fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), finished: Finished::new(None) }
    }

    /// How many members have not been taken.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether all members were taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a task.
    pub fn insert(&mut self, handle: JoinHandle<T>) -> AbortHandle {
        let (abort, ended) = self.insert_quietly(handle);
        if let Some(ended) = ended {
            ended.wake();
        }
        abort
    }

    /// As [`insert`](Self::insert), for a caller that holds a lock: if there is a waker, the task has
    /// ended already, and the caller wakes it without the lock.
    pub fn insert_quietly(&mut self, handle: JoinHandle<T>) -> (AbortHandle, Option<Waker>) {
        let abort = handle.abort_handle();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let waker = Waker::from(Arc::new(Entry {
            slot,
            finished: self.finished.clone(),
            linked: AtomicBool::new(false),
            links: Links::new(),
        }));
        let waits = handle.wake_at_end(&waker);
        self.slots[slot] = Some(handle);
        (abort, (!waits).then_some(waker))
    }

    /// A member that has ended, if there is one.
    pub fn try_next(&mut self) -> Option<Ended<T>> {
        let entry = self.finished.pop()?;
        Some(self.take(&entry))
    }

    /// The next member that ends; `None` without members.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended<T>>> {
        self.poll_next_in_slot(cx).map(|next| next.map(|(_, ended)| ended))
    }

    /// As [`poll_next`](Self::poll_next), with its slot: the how-manieth it is, if no member was taken
    /// before the last was inserted.
    pub fn poll_next_in_slot(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Ended<T>)>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        let unit = ready!(budget::poll_proceed(cx));
        match self.finished.poll_pop(cx.waker()) {
            Some(entry) => {
                unit.made_progress();
                Poll::Ready(Some((entry.slot, self.take(&entry))))
            }
            None => {
                note::wait_at(WaitKind::Tasks, &*self.finished);
                Poll::Pending
            }
        }
    }

    fn take(&mut self, entry: &Entry) -> Ended<T> {
        let mut handle = self.take_handle(entry);
        match handle.take_output() {
            Poll::Ready(result) => (handle.id(), result),
            Poll::Pending => unreachable!("an entry is linked when its task has ended"),
        }
    }

    fn take_handle(&mut self, entry: &Entry) -> JoinHandle<T> {
        self.free.push(entry.slot);
        self.slots[entry.slot].take().expect("an entry comes out of the list once")
    }

    /// Where the ends of these members can be waited for while the members are under a lock.
    pub fn ends(&self) -> Ends {
        Ends(self.finished.clone())
    }

    /// The handle of the member that has ended.
    pub fn redeem(&mut self, end: End) -> JoinHandle<T> {
        self.take_handle(&end.0)
    }

    /// The members, in no order.
    pub fn handles(&self) -> impl Iterator<Item = &JoinHandle<T>> {
        self.slots.iter().flatten()
    }

    /// Asks all members to end. They remain members.
    pub fn abort_all(&self) {
        self.handles().for_each(JoinHandle::abort);
    }

    /// Lets all members go on alone.
    pub fn detach_all(&mut self) {
        drop(self.take_all());
    }

    /// Takes all members that are left, in the order of their slots, as they came in.
    pub fn take_all(&mut self) -> Vec<JoinHandle<T>> {
        // A new list for the slots' next use: a completer may hold an entry of the old one.
        let waiter = self.finished.close();
        self.finished = Finished::new(waiter);
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().flatten().collect()
    }
}

/// Where the ends of members are waited for. See [`Members::ends`].
pub struct Ends(Arc<Finished>);

/// That a member has ended; [`Members::redeem`] tells which.
pub struct End(Arc<Entry>);

impl Ends {
    /// The next end, or the task is woken when there is one. Only the last to ask is woken.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<End> {
        self.0.poll_pop(cx.waker()).map_or(Poll::Pending, |entry| Poll::Ready(End(entry)))
    }

    /// Wakes who waits, without an end.
    pub fn wake(&self) {
        let waiter = self.0.0.lock().waiter.take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Members<T> {
    fn drop(&mut self) {
        self.abort_all();
        self.finished.close();
    }
}

impl<T> fmt::Debug for Members<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(finished: &Arc<Finished>, slot: usize) -> Waker {
        Waker::from(Arc::new(Entry {
            slot,
            finished: finished.clone(),
            linked: AtomicBool::new(false),
            links: Links::new(),
        }))
    }

    #[test]
    fn an_entry_is_linked_once_and_in_order() {
        let finished = Finished::new(None);
        let wakers = [entry(&finished, 0), entry(&finished, 1)];
        wakers[1].wake_by_ref();
        wakers[0].wake_by_ref();
        wakers[1].wake_by_ref();
        let slots = || std::iter::from_fn(|| finished.pop().map(|entry| entry.slot));
        assert_eq!(slots().collect::<Vec<_>>(), [1, 0]);
        wakers.into_iter().for_each(Waker::wake);
        assert_eq!(slots().count(), 0);
    }

    /// Entries and their list hold each other; closing parts them, whether they come before or after.
    #[test]
    fn a_closed_list_is_freed() {
        let finished = Finished::new(None);
        let list = Arc::downgrade(&finished);
        let (before, after) = (entry(&finished, 0), entry(&finished, 1));
        before.wake();
        assert!(finished.close().is_none());
        after.wake();
        drop(finished);
        assert_eq!(list.strong_count(), 0);
    }
}
