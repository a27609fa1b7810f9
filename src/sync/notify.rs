//! Wakes one waiter, or all: a permit for one, and a count of the calls to all.
//!
//! The word is `calls << 2 | QUEUED | PERMIT`.
//!
//! * `notify_one` with nobody waiting stores the permit, with one CAS. At most one is stored.
//! * `notify_waiters` adds one to `calls`. A [`Notified`] remembers the count of its making and ends
//!   as soon as the count is another one; so it sees calls made before its first poll, and a call
//!   needs no more than the count to have reached everybody: unlinking and waking is only delivery.
//! * `QUEUED` is set exactly while the queue is not empty (it changes under the queue's lock).
//!   `PERMIT` and `QUEUED` are never both set outside that lock.
//! * A waiter's tag is the count that it remembers. Counts only grow, so the waiters of a call
//!   still under way are the first ones in the queue; `notify_one` delivers to them before it
//!   chooses its own waiter, so that no notification is spent on one that another call has ended.
//!
//! The proof that no notification is lost stands in `README.md`, "Notify".

use super::blocking::block_on;
use super::wait::{Grant, Left, Locked, WaitQueue, Waiter};
use crate::primitive::Arc;
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::fixed;
use crate::task::budget;
use crate::util::note::{self, WaitKind};
use crate::util::wake_batch::WakeBatch;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// `notify_one` was called while nobody waited.
const PERMIT: usize = 1;
/// The queue is not empty.
const QUEUED: usize = 2;
/// One call of `notify_waiters`.
const CALL: usize = 4;

/// By `notify_one`: passed on if its receiver is dropped.
const FIRST: Grant = 1;
/// By `notify_last`: passed on likewise.
const LAST: Grant = 2;
/// By `notify_waiters`.
const ALL: Grant = 3;
/// By `notify_present`: passed on to those who wait, if there are any.
const PRESENT: Grant = 4;

/// Tells tasks that something happened.
///
/// `Notify` is a semaphore with one permit at most that starts with none: [`notified`] waits for the
/// permit and takes it, [`notify_one`] gives it. [`notify_waiters`] ends all waits without a permit.
///
/// [`notified`]: Notify::notified
/// [`notify_one`]: Notify::notify_one
/// [`notify_waiters`]: Notify::notify_waiters
///
/// # Examples
///
/// ```
/// use reiver::sync::Notify;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
///
/// let notify = Notify::new();
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut first = pin!(notify.notified());
/// let mut second = pin!(notify.notified());
/// assert!(first.as_mut().poll(&mut cx).is_pending());
/// assert!(second.as_mut().poll(&mut cx).is_pending());
/// notify.notify_one();
/// assert!(first.as_mut().poll(&mut cx).is_ready());
/// assert!(second.as_mut().poll(&mut cx).is_pending());
/// ```
pub struct Notify {
    word: AtomicUsize,
    queue: WaitQueue,
}

/// The number of `notify_waiters` calls in a word.
fn calls(word: usize) -> usize {
    word / CALL
}

impl Notify {
    /// A `Notify` without a permit.
    pub fn new() -> Self {
        Self { word: AtomicUsize::new(0), queue: WaitQueue::new() }
    }

    /// A `Notify` for a `static`.
    pub const fn const_new() -> Self {
        Self { word: fixed::atomic_usize(0), queue: WaitQueue::const_new() }
    }

    /// Waits for a notification.
    ///
    /// The future takes part in [`notify_waiters`](Self::notify_waiters) from this call on, in
    /// [`notify_one`](Self::notify_one) from its first poll or [`enable`](Notified::enable) on.
    /// Waiters are notified in the order of their first polls.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue: a notification by `notify_one`
    /// that it had got goes to the next.
    pub fn notified(&self) -> Notified<'_> {
        self.notified_as(WaitKind::Notify)
    }

    /// As [`notified`](Self::notified), for a primitive that is built on it. Listings call the wait `kind`.
    pub(crate) fn notified_as(&self, kind: WaitKind) -> Notified<'_> {
        Notified { notify: self, listen: Listen::new(self, kind) }
    }

    /// As [`notified`](Self::notified), for code that is not async: blocks the thread.
    pub fn blocking_notified(&self) {
        block_on(self.notified());
    }

    /// As [`notified`](Self::notified); the future keeps the `Notify` alive instead of borrowing it.
    pub fn notified_owned(self: Arc<Self>) -> OwnedNotified {
        let listen = Listen::new(&self, WaitKind::Notify);
        OwnedNotified { notify: self, listen }
    }

    /// Notifies the task that has waited longest, or the next one to wait if nobody does.
    pub fn notify_one(&self) {
        self.notify(FIRST);
    }

    /// Notifies the task that has waited shortest, or the next one to wait if nobody does.
    pub fn notify_last(&self) {
        self.notify(LAST);
    }

    /// Notifies all that wait now, and nobody else.
    pub fn notify_waiters(&self) {
        // AcqRel: pairs with the Acquire in `Listen::new`, `poll_listen` and `enqueue`.
        let before = self.word.fetch_add(CALL, AcqRel);
        if before & QUEUED == 0 {
            return;
        }
        let mut batch = WakeBatch::new();
        let mut queue = self.queue.lock();
        while !self.deliver(&mut queue, &mut batch) {
            drop(queue);
            batch.make_room();
            queue = self.queue.lock();
        }
        self.unlock(queue);
        batch.wake();
    }

    /// Notifies up to `n` that wait now, those who have waited longest. Nothing is stored if there
    /// are fewer.
    pub(super) fn notify_present(&self, mut n: usize) {
        // Acquire: as in `deliver`. Who must be seen here has queued up
        // before something that happened before this call.
        if n == 0 || self.word.load(Acquire) & QUEUED == 0 {
            return;
        }
        let mut batch = WakeBatch::new();
        let mut queue = self.queue.lock();
        while n > 0 {
            if !self.deliver(&mut queue, &mut batch) || !batch.has_room() {
                drop(queue);
                batch.make_room();
                queue = self.queue.lock();
            } else if queue.grant_front(PRESENT, &mut batch) {
                n -= 1;
            } else {
                break;
            }
        }
        self.unlock(queue);
        batch.wake();
    }

    #[inline]
    fn notify(&self, grant: Grant) {
        // Relaxed: the CAS decides and synchronises.
        let mut word = self.word.load(Relaxed);
        while word & QUEUED == 0 {
            // Release: pairs with the Acquire of whoever takes the permit.
            match self.word.compare_exchange_weak(word, word | PERMIT, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.notify_queued(grant);
    }

    #[cold]
    fn notify_queued(&self, grant: Grant) {
        let mut batch = WakeBatch::new();
        let mut queue = self.queue.lock();
        loop {
            let delivered = self.deliver(&mut queue, &mut batch);
            if delivered && batch.has_room() {
                break;
            }
            drop(queue);
            batch.make_room();
            queue = self.queue.lock();
        }
        let given = match grant {
            LAST => queue.grant_back(LAST, &mut batch),
            _ => queue.grant_front(FIRST, &mut batch),
        };
        if !given {
            // They all left meanwhile. Release: as in `notify`.
            self.word.fetch_or(PERMIT, Release);
        }
        self.unlock(queue);
        batch.wake();
    }

    /// Ends the waits that a `notify_waiters` has reached; `false` if the batch has no room for all.
    fn deliver(&self, queue: &mut Locked<'_>, batch: &mut WakeBatch) -> bool {
        // Acquire: pairs with the AcqRel in `notify_waiters`; the grants pass it on. A call that
        // this misses saw QUEUED and delivers itself, after us.
        let now = calls(self.word.load(Acquire));
        while queue.front_tag().is_some_and(|tag| tag != now) {
            if !batch.has_room() {
                return false;
            }
            queue.grant_front(ALL, batch);
        }
        true
    }

    /// Gives the lock back, after waiters may have left.
    fn unlock(&self, queue: Locked<'_>) {
        if queue.is_empty() {
            // Relaxed: nothing is published by it.
            self.word.fetch_and(!QUEUED, Relaxed);
        }
        drop(queue);
    }

    /// Takes the permit if it is there.
    fn take_permit(&self, mut word: usize) -> bool {
        while word & PERMIT != 0 {
            // Acquire: pairs with the Release in `notify`.
            match self.word.compare_exchange_weak(word, word & !PERMIT, Acquire, Acquire) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// One step of a wait: ready, or queued. Without a context it is queued without a waker.
    fn poll_listen(&self, listen: Pin<&Listen>, cx: Option<&mut Context<'_>>) -> Poll<()> {
        let this = listen.get_ref();
        if this.done.get() {
            return Poll::Ready(());
        }
        let ready = if this.waiter.is_waiting() {
            match cx {
                Some(cx) => self.queue.poll(&this.waiter, cx).is_some(),
                None => this.waiter.take_grant().is_some(),
            }
        } else {
            // Acquire: pairs with the AcqRel in `notify_waiters`.
            let word = self.word.load(Acquire);
            calls(word) != this.calls || self.take_permit(word) || self.enqueue(listen, cx)
        };
        if !ready {
            return Poll::Pending;
        }
        this.done.set(true);
        Poll::Ready(())
    }

    /// Queues up, unless a notification has come meanwhile: `true` then.
    #[cold]
    fn enqueue(&self, listen: Pin<&Listen>, cx: Option<&mut Context<'_>>) -> bool {
        let waker = cx.map(|cx| cx.waker().clone());
        let this = listen.get_ref();
        let mut queue = self.queue.lock();
        // First say that somebody waits, then look (one operation): a notification before it is
        // seen here, one after it sees QUEUED. Acquire: pairs with `notify` and `notify_waiters`.
        let word = self.word.fetch_or(QUEUED, Acquire);
        let notified = if calls(word) != this.calls {
            true
        } else if word & PERMIT != 0 {
            self.word.fetch_and(!PERMIT, Acquire);
            true
        } else {
            // SAFETY: a projection to a field that is never moved out of the pinned future.
            let waiter = unsafe { listen.map_unchecked(|listen| &listen.waiter) };
            // SAFETY: wait rule 1: both futures, which are pinned, leave in their drop.
            unsafe { queue.push(waiter, this.calls, waker) };
            return false;
        };
        self.unlock(queue);
        notified
    }

    /// The end of a wait that may have been given up.
    fn stop_listening(&self, listen: &Listen) {
        if !listen.waiter.is_waiting() {
            return;
        }
        match self.queue.leave(&listen.waiter) {
            Left::Granted(ALL) => {}
            Left::Granted(PRESENT) => self.notify_present(1),
            Left::Granted(grant) => self.notify(grant),
            Left::Unlinked(queue) => self.unlock(queue),
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: for a person.
        let word = self.word.load(Relaxed);
        f.debug_struct("Notify")
            .field("permit", &(word & PERMIT != 0))
            .field("waited_for", &(word & QUEUED != 0))
            .finish()
    }
}

/// What both futures are made of.
#[derive(Debug)]
struct Listen {
    /// `notify_waiters` calls made before this.
    calls: usize,
    done: Cell<bool>,
    kind: WaitKind,
    waiter: Waiter,
}

// SAFETY: `done` is used by `poll` and `drop` of the future only, which have it exclusively.
unsafe impl Sync for Listen {}

impl Listen {
    fn new(notify: &Notify, kind: WaitKind) -> Self {
        // Acquire: pairs with the AcqRel in `notify_waiters`: who counts a call sees what was done
        // before it.
        let calls = calls(notify.word.load(Acquire));
        Self { calls, done: Cell::new(false), kind, waiter: Waiter::new() }
    }
}

macro_rules! notified {
    ($(#[$doc:meta])* $name:ident $(<$lifetime:lifetime>)? : $holder:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "futures do nothing unless polled"]
        pub struct $name$(<$lifetime>)? {
            notify: $holder,
            listen: Listen,
        }

        impl$(<$lifetime>)? $name$(<$lifetime>)? {
            /// Queues up without waiting, so that a `notify_one` from now on can reach this future.
            /// Answers whether it is notified already.
            pub fn enable(self: Pin<&mut Self>) -> bool {
                self.into_ref().poll_parts(None).is_ready()
            }

            fn poll_parts(self: Pin<&Self>, cx: Option<&mut Context<'_>>) -> Poll<()> {
                // SAFETY: a projection to a field that is never moved out of the pinned future.
                let listen = unsafe { self.map_unchecked(|this| &this.listen) };
                self.get_ref().notify.poll_listen(listen, cx)
            }
        }

        impl$(<$lifetime>)? Future for $name$(<$lifetime>)? {
            type Output = ();

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                let unit = ready!(budget::poll_proceed(cx));
                if self.as_ref().poll_parts(Some(cx)).is_pending() {
                    note::wait_at(self.listen.kind, &*self.notify);
                    return Poll::Pending;
                }
                unit.made_progress();
                Poll::Ready(())
            }
        }

        impl$(<$lifetime>)? Drop for $name$(<$lifetime>)? {
            fn drop(&mut self) {
                self.notify.stop_listening(&self.listen);
            }
        }
    };
}

notified! {
    /// Waits for a notification; made by [`Notify::notified`].
    Notified<'a>: &'a Notify
}
notified! {
    /// Waits for a notification; made by [`Notify::notified_owned`].
    OwnedNotified: Arc<Notify>
}
