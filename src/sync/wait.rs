//! The one wait queue: who waits, in which order, and how a wait ends.
//!
//! A [`Waiter`] lives inside the future that waits and is linked, first in first out, into the
//! [`Line`] of the primitive that it waits for. A wait ends by a *grant*: a number with which
//! the primitive says what the waiter now owns. What grants mean, when they are given and what
//! happens to one whose future is dropped is the primitive's affair: [`permits`](super::permits)
//! and [`notify`](super::notify), on which all else in `sync` is built but [`queue`](super::queue).
//!
//! # Rules
//!
//! 1. A waiter is pinned from [`Line::push`] until its owner has seen its grant or has unlinked it
//!    ([`WaitQueue::leave`], [`Line::remove`]); the owner does one of the two before it drops the
//!    waiter or lets go of the line.
//! 2. Line, links, waker and tag of a linked waiter are used under one lock only.
//! 3. A grant unlinks the waiter, takes its waker and stores the number, in this order, the store
//!    being the last access: from then on the waiter may be gone. So an owner that sees a grant
//!    (Acquire) owns the whole waiter without the lock.
//! 4. Wakers are cloned before the lock is taken, and woken and dropped after it is given back.
//!
//! Rejected: a node allocated per wait (event-listener without its stack slots) costs an allocation
//! for each contended lock; wakers in a slab cannot be left in constant time without a second index.
//! A lock that only spins makes contended locks 7 % faster, and lets a thread of real-time priority spin for ever
//! against a holder that it keeps from its CPU.

use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::{Mutex, MutexGuard, UnsafeCell, fixed};
use crate::util::list::{Linked, Links, List};
use crate::util::wake_batch::WakeBatch;
use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Waker};

/// What a waiter was given; never 0, the meaning is the primitive's.
pub(crate) type Grant = usize;

/// The value of [`Waiter::grant`] until there is one.
const NOTHING: Grant = 0;

/// One wait, inside the future of its owner.
pub(crate) struct Waiter {
    /// Written once per wait, under the lock, as the last access of the granting thread (rule 3).
    grant: AtomicUsize,
    entry: UnsafeCell<Entry>,
    /// The owner's own note: pushed, and the end of the wait not yet seen.
    waiting: Cell<bool>,
    links: Links<Waiter>,
}

struct Entry {
    waker: Option<Waker>,
    /// A number for the primitive: permits wanted, or the call it waits for.
    tag: usize,
}

// SAFETY: `links` and `entry` are used under the lock of the line (rule 2), or by the owner alone
// when it is not linked (rules 1, 3); `waiting` by the owner alone, through `&mut` or a pinned
// future; `grant` is atomic.
unsafe impl Send for Waiter {}
// SAFETY: no method that uses `waiting` or `entry` can be reached through a shared future: the
// futures that contain a waiter give access in `poll` and `drop` only.
unsafe impl Sync for Waiter {}

// SAFETY: always the field `links`.
unsafe impl Linked for Waiter {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: the caller's: `element` is alive. No reference to the whole element is made.
        unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
    }
}

impl Waiter {
    pub(crate) fn new() -> Self {
        Self {
            grant: AtomicUsize::new(NOTHING),
            entry: UnsafeCell::new(Entry { waker: None, tag: 0 }),
            waiting: Cell::new(false),
            links: Links::new(),
        }
    }

    /// Whether the owner has pushed it and not yet seen the end of the wait.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// The owner looks for a grant. Having seen one, it owns the waiter again (rule 3).
    pub(crate) fn take_grant(&self) -> Option<Grant> {
        // Acquire: pairs with the Release in `Line::grant`.
        let grant = self.grant.load(Acquire);
        if grant == NOTHING {
            return None;
        }
        self.waiting.set(false);
        Some(grant)
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("waiting", &self.waiting.get()).finish()
    }
}

/// Waiters in their order. It lies under the lock of rule 2, alone or beside what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Line(List<Waiter>);

impl Line {
    pub(crate) const fn new() -> Self {
        Self(List::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the first waiter.
    pub(crate) fn front_tag(&self) -> Option<usize> {
        let front = self.0.front()?;
        // SAFETY: rules 1 and 2: it is linked, so it is alive, and the caller holds the lock.
        Some(unsafe { front.as_ref().entry.with(|entry| (*entry).tag) })
    }

    /// The first waiter, to be compared.
    pub(crate) fn front(&self) -> Option<*const Waiter> {
        self.0.front().map(|front| front.as_ptr().cast_const())
    }

    /// Links `waiter` in at the end.
    ///
    /// # Safety
    ///
    /// Rules 1 and 2 from here on; the waiter is not [waiting](Waiter::is_waiting).
    pub(crate) unsafe fn push(&mut self, waiter: Pin<&Waiter>, tag: usize, waker: Option<Waker>) {
        let waiter = waiter.get_ref();
        // Relaxed: nobody else knows the waiter yet; the lock publishes it.
        waiter.grant.store(NOTHING, Relaxed);
        waiter.waiting.set(true);
        // SAFETY: not linked, so its owner, who calls, has it alone. The entry holds no waker: a
        // grant or a leave took the last one.
        waiter.entry.with_mut(|entry| unsafe { *entry = Entry { waker, tag } });
        // SAFETY: list rule 1 by rule 1; list rule 2 by the lock; it is in no list.
        unsafe { self.0.push_back(NonNull::from(waiter)) };
    }

    /// Unlinks a waiter whose owner gives up. Its waker is to be dropped after the lock (rule 4).
    ///
    /// # Safety
    ///
    /// Rule 2; it is linked here: it waits, and has no grant.
    pub(crate) unsafe fn remove(&mut self, waiter: &Waiter) -> Option<Waker> {
        // SAFETY: the caller's.
        unsafe { self.0.remove(NonNull::from(waiter)) };
        waiter.waiting.set(false);
        // SAFETY: rule 2.
        waiter.entry.with_mut(|entry| unsafe { (*entry).waker.take() })
    }

    /// Ends the wait of the first waiter; its waker, if any, goes into `batch`, which has room.
    /// `false` if there is none.
    pub(crate) fn grant_front(&mut self, grant: Grant, batch: &mut WakeBatch) -> bool {
        let front = self.0.front();
        self.grant(front, grant, batch)
    }

    /// The same for the last waiter.
    pub(crate) fn grant_back(&mut self, grant: Grant, batch: &mut WakeBatch) -> bool {
        let back = self.0.back();
        self.grant(back, grant, batch)
    }

    fn grant(
        &mut self,
        waiter: Option<NonNull<Waiter>>,
        grant: Grant,
        batch: &mut WakeBatch,
    ) -> bool {
        debug_assert!(grant != NOTHING);
        let Some(waiter) = waiter else { return false };
        // SAFETY: rules 1 and 2: it is linked here, so it is alive, and the caller holds the lock.
        unsafe {
            self.0.remove(waiter);
            if let Some(waker) = waiter.as_ref().entry.with_mut(|entry| (*entry).waker.take()) {
                batch.push(waker);
            }
            // Release: pairs with the Acquire in `Waiter::take_grant`. The last access (rule 3).
            waiter.as_ref().grant.store(grant, Release);
        }
        true
    }
}

/// The owner polls again: the grant, if there is one; otherwise the waiter is left with the waker of `cx`. `lock`
/// takes the lock of its line.
pub(crate) fn poll<G>(
    waiter: &Waiter,
    cx: &mut Context<'_>,
    lock: impl Fn() -> G,
) -> Option<Grant> {
    if let Some(grant) = waiter.take_grant() {
        return Some(grant);
    }
    {
        let _line = lock();
        if let Some(grant) = waiter.take_grant() {
            return Some(grant);
        }
        // SAFETY: rule 2; linked, since there is no grant and the owner has not left.
        let same = waiter.entry.with(|entry| unsafe {
            (*entry).waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        });
        if same {
            return None;
        }
    }
    // Rule 4: clone outside the lock, look again inside it.
    let mut waker = Some(cx.waker().clone());
    let line = lock();
    if let Some(grant) = waiter.take_grant() {
        drop(line);
        return Some(grant);
    }
    // SAFETY: rule 2, as above.
    waiter.entry.with_mut(|entry| unsafe { std::mem::swap(&mut (*entry).waker, &mut waker) });
    drop(line);
    None
}

/// The waiters of a primitive that has no more than them under its lock.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    line: Mutex<Line>,
}

// No user code runs under the lock, so no panic leaves the line between two steps.
impl UnwindSafe for WaitQueue {}
impl RefUnwindSafe for WaitQueue {}

/// How [`WaitQueue::leave`] found the waiter.
#[must_use]
pub(crate) enum Left<'q> {
    /// The wait had ended: what was granted now has to be passed on.
    Granted(Grant),
    /// It was still linked and is no more. The queue is still locked.
    Unlinked(Locked<'q>),
}

impl WaitQueue {
    pub(crate) fn new() -> Self {
        Self { line: Mutex::new(Line::new()) }
    }

    /// For statics: never seen by a model.
    pub(crate) const fn const_new() -> Self {
        Self { line: fixed::mutex(Line::new()) }
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked { line: self.line.lock(), discarded: None }
    }

    /// As the free [`poll`].
    pub(crate) fn poll(&self, waiter: &Waiter, cx: &mut Context<'_>) -> Option<Grant> {
        poll(waiter, cx, || self.line.lock())
    }

    /// The owner gives up its wait.
    pub(crate) fn leave(&self, waiter: &Waiter) -> Left<'_> {
        if let Some(grant) = waiter.take_grant() {
            return Left::Granted(grant);
        }
        let mut queue = self.lock();
        if let Some(grant) = waiter.take_grant() {
            return Left::Granted(grant);
        }
        // SAFETY: it has no grant and had not left, so it is linked, in this queue (rule 1).
        queue.discarded = unsafe { queue.line.remove(waiter) };
        Left::Unlinked(queue)
    }
}

/// A locked queue.
pub(crate) struct Locked<'q> {
    line: MutexGuard<'q, Line>,
    /// Dropped after the lock (fields drop in this order): rule 4.
    discarded: Option<Waker>,
}

impl Deref for Locked<'_> {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Line {
        &mut self.line
    }
}
