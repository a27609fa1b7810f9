//! Counted permits in one word, with a fair queue behind them: the engine of `Semaphore`, `Mutex`,
//! `RwLock`, `OnceCell` and the bounded channel.
//!
//! The word is `permits << 2 | QUEUED | CLOSED`.
//!
//! * Taking permits that are there, with nobody waiting, is one CAS; giving them back is one
//!   `fetch_add`. Neither touches the queue.
//! * `QUEUED` is set exactly while the queue is not empty (it changes under the queue's lock). It
//!   shuts the fast way in, so nobody overtakes the queue, and sends whoever gives permits back to
//!   the queue to hand them out.
//! * While `QUEUED` is set only a holder of the lock takes permits out of the word. The first waiter
//!   waits until all that it wants is there; what comes in meanwhile stays in the word.
//!
//! The proof that no permit and no waiter is lost stands in `README.md`, "Permits".
//!
//! tokio takes the waiters' mutex on every release and CASes the word besides, which makes its
//! uncontended mutex four times slower than this one.

use super::wait::{Grant, Left, Locked, WaitQueue, Waiter};
use super::{AcquireError, debug};
use crate::primitive::atomic::{AtomicUsize, Ordering::*, fence};
use crate::primitive::{explore, fixed};
use crate::task::budget;
use crate::util::note::{self, WaitKind};
use crate::util::wake_batch::WakeBatch;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// No permit is given out any more.
const CLOSED: usize = 1;
/// The queue is not empty.
const QUEUED: usize = 2;
/// One permit.
const ONE: usize = 4;

/// The most permits there can be at a time. As tokio's.
pub(crate) const MAX_PERMITS: usize = usize::MAX >> 3;

/// The waiter owns the permits that it asked for.
const TAKEN: Grant = 1;
/// The permits were closed.
const SHUT: Grant = 2;

/// The word at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Word(usize);

impl Word {
    pub(crate) fn permits(self) -> usize {
        self.0 / ONE
    }

    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }
}

/// Why permits were not taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Closed,
    NoPermits,
}

/// See the [module](self).
pub(crate) struct Permits {
    word: AtomicUsize,
    queue: WaitQueue,
    /// For the reports of `debug`, and nowhere read but there. Thin, so that a lock pays one word for it.
    name: Option<&'static &'static str>,
}

impl Permits {
    /// # Panics
    ///
    /// If `permits` exceeds [`MAX_PERMITS`].
    #[track_caller]
    pub(crate) fn new(permits: usize) -> Self {
        assert!(permits <= MAX_PERMITS, "a semaphore holds at most {MAX_PERMITS} permits");
        Self { word: AtomicUsize::new(permits * ONE), queue: WaitQueue::new(), name: None }
    }

    /// For statics: never seen by a model.
    #[track_caller]
    pub(crate) const fn const_new(permits: usize) -> Self {
        assert!(permits <= MAX_PERMITS, "too many permits for a semaphore");
        Self { word: fixed::atomic_usize(permits * ONE), queue: WaitQueue::const_new(), name: None }
    }

    /// Gives them a name.
    pub(super) const fn set_name(&mut self, name: &'static &'static str) {
        self.name = Some(name);
    }

    /// The name that they were given.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.name.copied()
    }

    pub(crate) fn word(&self) -> Word {
        // Acquire: who sees permits back or the end sees what happened before.
        Word(self.word.load(Acquire))
    }

    /// Takes `n` permits if they are there and nobody waits.
    #[inline]
    pub(crate) fn try_acquire(&self, n: usize) -> Result<(), Refused> {
        if explore::refuses() {
            return Err(Refused::NoPermits);
        }
        self.take_free(n)
    }

    /// As [`try_acquire`](Self::try_acquire), for those who do not hear a `try_…` of a user's.
    #[inline]
    pub(crate) fn take_free(&self, n: usize) -> Result<(), Refused> {
        self.take(n, QUEUED)
    }

    /// Takes `n` permits, unless the word has one of the bits `stop` and `n` is not 0. Without
    /// `QUEUED` in `stop` only for the holder of the lock.
    #[inline]
    fn take(&self, n: usize, stop: usize) -> Result<(), Refused> {
        // Relaxed: the CAS decides and synchronises.
        let mut word = Word(self.word.load(Relaxed));
        loop {
            if word.is_closed() {
                // Acquire: pairs with the AcqRel in `close`: a refused `OnceCell` reads its value.
                fence(Acquire);
                return Err(Refused::Closed);
            }
            if word.permits() < n || (word.0 & stop != 0 && n > 0) {
                return Err(Refused::NoPermits);
            }
            // Acquire: pairs with the Release in `release`. One operation decides on the permits
            // and on CLOSED: nobody takes a permit after the end.
            match self.word.compare_exchange_weak(word.0, word.0 - n * ONE, Acquire, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = Word(now),
            }
        }
    }

    /// Takes `n` permits, waiting for them in turn. Listings call the wait `kind`.
    #[inline]
    pub(crate) fn acquire(&self, n: usize, kind: WaitKind) -> Acquire<'_> {
        Acquire { permits: self, wanted: n, kind, waiter: Waiter::new() }
    }

    /// Adds `n` permits and hands them to whom they suffice for. Answers what the word became, if
    /// nobody waited.
    ///
    /// # Panics
    ///
    /// If there would be more than [`MAX_PERMITS`].
    #[inline]
    #[track_caller]
    pub(crate) fn release(&self, n: usize) -> Word {
        if n > MAX_PERMITS {
            too_many();
        }
        // Release: pairs with the Acquire of whoever takes these permits.
        let before = Word(self.word.fetch_add(n * ONE, Release));
        if before.is_queued() || before.permits() + n > MAX_PERMITS {
            self.after_release(before, n);
        }
        Word(before.0 + n * ONE)
    }

    /// What is left to do for a release that found somebody waiting, or too many permits.
    #[cold]
    #[track_caller]
    fn after_release(&self, before: Word, n: usize) {
        if before.permits() + n > MAX_PERMITS {
            // Somebody may have taken some meanwhile.
            self.forget(n);
            too_many();
        }
        self.hand_out(self.queue.lock());
    }

    /// Takes up to `n` permits out for good; answers how many.
    pub(crate) fn forget(&self, n: usize) -> usize {
        // The lock: while QUEUED is set only its holder takes permits.
        let _queue = self.queue.lock();
        let mut word = Word(self.word.load(Relaxed));
        loop {
            let taken = word.permits().min(n);
            match self.word.compare_exchange_weak(word.0, word.0 - taken * ONE, Acquire, Relaxed) {
                Ok(_) => return taken,
                Err(now) => word = Word(now),
            }
        }
    }

    /// Refuses everybody from now on, those who wait included. Answers what the word was before.
    pub(crate) fn close(&self) -> Word {
        // AcqRel: who sees the end sees what the closer did; the closer sees which permits are back.
        let before = Word(self.word.fetch_or(CLOSED, AcqRel));
        let mut batch = WakeBatch::new();
        let mut queue = self.queue.lock();
        loop {
            if batch.has_room() {
                if queue.grant_front(SHUT, &mut batch) {
                    continue;
                }
                // Relaxed: nothing is published by it.
                self.word.fetch_and(!QUEUED, Relaxed);
                break;
            }
            drop(queue);
            batch.make_room();
            queue = self.queue.lock();
        }
        drop(queue);
        batch.wake();
        before
    }

    /// Gives permits in the word to the waiters that they suffice for, in turn.
    #[cold]
    fn hand_out<'q>(&'q self, mut queue: Locked<'q>) {
        let mut batch = WakeBatch::new();
        loop {
            let Some(wanted) = queue.front_tag() else {
                // Relaxed: permits that are left were published by their release.
                self.word.fetch_and(!QUEUED, Relaxed);
                break;
            };
            if !batch.has_room() {
                drop(queue);
                batch.make_room();
                queue = self.queue.lock();
                continue;
            }
            // A release that this misses saw QUEUED and comes here after us; a close that it meets
            // comes for the queue. The Acquire in it is passed on to the waiter by the grant.
            if self.take(wanted, 0).is_err() {
                break;
            }
            debug::granted(queue.front());
            queue.grant_front(TAKEN, &mut batch);
        }
        drop(queue);
        batch.wake();
    }

    /// The slow way in: queues up, unless what is wanted has come meanwhile.
    #[cold]
    fn enqueue(
        &self,
        waiter: Pin<&Waiter>,
        n: usize,
        kind: WaitKind,
        waker: Waker,
    ) -> Poll<Result<(), Refused>> {
        let mut queue = self.queue.lock();
        // First say that somebody waits, then look (one operation): a release before it is seen
        // here, one after it sees QUEUED. Acquire: as in `try_acquire`.
        let word = Word(self.word.fetch_or(QUEUED, Acquire));
        let refused = if word.is_closed() { Err(Refused::Closed) } else { Err(Refused::NoPermits) };
        let outcome = if queue.is_empty() { self.take(n, 0) } else { refused };
        if outcome == Err(Refused::NoPermits) {
            // SAFETY: wait rule 1: `Acquire`, which is pinned, leaves in its drop.
            unsafe { queue.push(waiter, n, Some(waker)) };
            debug::waits(self, self.name(), &waiter, kind);
            return Poll::Pending;
        }
        if queue.is_empty() {
            self.word.fetch_and(!QUEUED, Relaxed);
        }
        drop(queue);
        Poll::Ready(outcome)
    }
}

#[cold]
#[track_caller]
fn too_many() -> ! {
    panic!("a semaphore holds at most {MAX_PERMITS} permits")
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        f.debug_struct("Permits")
            .field("permits", &word.permits())
            .field("queued", &word.is_queued())
            .field("closed", &word.is_closed())
            .finish()
    }
}

/// Waits for permits. Dropped before its end it leaves the queue; dropped with permits that were
/// granted and not yet seen it passes them on.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Acquire<'a> {
    permits: &'a Permits,
    wanted: usize,
    kind: WaitKind,
    waiter: Waiter,
}

impl Acquire<'_> {
    /// A poll that found no permits, or one of a future that waits already.
    #[cold]
    fn poll_queue(self: Pin<&Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let this = self.get_ref();
        let polled = if !this.waiter.is_waiting() {
            // SAFETY: a projection to a field that is never moved out of the pinned future.
            let waiter = unsafe { self.map_unchecked(|this| &this.waiter) };
            this.permits.enqueue(waiter, this.wanted, this.kind, cx.waker().clone())
        } else if let Some(grant) = this.permits.queue.poll(&this.waiter, cx) {
            debug::ended(&this.waiter);
            Poll::Ready(if grant == TAKEN { Ok(()) } else { Err(Refused::Closed) })
        } else {
            Poll::Pending
        };
        if polled.is_pending() {
            note::wait_named(this.kind, this.permits, this.permits.name);
        }
        polled
    }

    /// The end of a wait that is given up.
    #[cold]
    fn leave(&self) {
        debug::ended(&self.waiter);
        match self.permits.queue.leave(&self.waiter) {
            Left::Granted(TAKEN) => drop(self.permits.release(self.wanted)),
            Left::Granted(_) => {}
            // Those behind may be satisfied with less than this one wanted.
            Left::Unlinked(queue) => self.permits.hand_out(queue),
        }
    }
}

impl Future for Acquire<'_> {
    /// The error means closed.
    type Output = Result<(), AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let unit = ready!(budget::poll_proceed(cx));
        let mut result = Err(Refused::NoPermits);
        if !self.waiter.is_waiting() {
            result = self.permits.take_free(self.wanted);
        }
        if result == Err(Refused::NoPermits) {
            result = ready!(self.as_ref().poll_queue(cx));
        }
        unit.made_progress();
        Poll::Ready(result.map_err(|_| AcquireError(())))
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.waiter.is_waiting() {
            self.leave();
        }
    }
}
