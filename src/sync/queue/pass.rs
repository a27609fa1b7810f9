//! In and out of a queue: at once, or waiting in turn.

use super::{Queue, QueueShutDown, Store};
use crate::primitive::{MutexGuard, explore};
use crate::sync::debug;
use crate::sync::wait::{self, Grant, Line, Waiter};
use crate::task::budget;
use crate::util::note::{self, WaitKind};
use crate::util::wake_batch::WakeBatch;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The waiter has a right.
const RIGHT: Grant = 1;
/// The queue was shut down.
const SHUT: Grant = 2;

/// What is under the lock.
#[derive(Default)]
pub(super) struct State<S> {
    pub(super) store: S,
    /// Items put for which `task_done` was not called.
    pub(super) unfinished: usize,
    pub(super) shut: bool,
    getters: Side,
    putters: Side,
}

/// One end of the queue.
#[derive(Default)]
pub(super) struct Side {
    /// Who waits.
    line: Line,
    /// How many rights are out.
    rights: usize,
}

impl<T, S: Store<T>> Queue<T, S> {
    /// Takes the lock.
    pub(super) fn enter(&self) -> Inside<'_, T, S> {
        Inside { state: Some(self.state.lock()), batch: WakeBatch::new(), queue: self }
    }

    /// Passes without waiting.
    pub(super) fn try_pass<W: Way<T, S>>(&self, way: &mut W) -> Option<W::Output> {
        if explore::refuses() {
            return None;
        }
        self.enter().pass(way)
    }

    /// Passes, waiting in turn.
    pub(super) fn pass<W: Way<T, S>>(&self, way: W) -> Pass<'_, T, S, W> {
        Pass { queue: self, way, waiter: Waiter::new() }
    }
}

impl<S> State<S> {
    /// Whether there is an item for who has no right yet.
    fn has_item<T>(&self) -> bool
    where
        S: Store<T>,
    {
        // After a shutdown each item is for who comes first, so that none stays for one who does not.
        self.store.len() > if self.shut { 0 } else { self.getters.rights }
    }

    /// Whether there is a place to which nobody has a right.
    fn has_place<T>(&self, maxsize: usize) -> bool
    where
        S: Store<T>,
    {
        !self.shut && (maxsize == 0 || self.store.len() + self.putters.rights < maxsize)
    }
}

/// The locked queue. Dropping it settles, gives the lock back, and wakes.
pub(super) struct Inside<'q, T, S: Store<T>> {
    /// `None` between two batches only.
    state: Option<MutexGuard<'q, State<S>>>,
    /// Wakes when it is dropped, after the lock.
    batch: WakeBatch,
    queue: &'q Queue<T, S>,
}

impl<T, S: Store<T>> Deref for Inside<'_, T, S> {
    type Target = State<S>;

    fn deref(&self) -> &State<S> {
        self.state.as_ref().expect("it is locked")
    }
}

impl<T, S: Store<T>> DerefMut for Inside<'_, T, S> {
    fn deref_mut(&mut self) -> &mut State<S> {
        self.state.as_mut().expect("it is locked")
    }
}

impl<T, S: Store<T>> Inside<'_, T, S> {
    /// Passes if it is free, and nobody is in line for it; also if it never will be.
    fn pass<W: Way<T, S>>(&mut self, way: &mut W) -> Option<W::Output> {
        if W::is_free(self, self.queue.maxsize) && W::side(self).line.is_empty() {
            return Some(way.go(self));
        }
        self.shut.then(|| way.refuse())
    }

    /// Lets somebody out of a line for whom there is something. `false`: there is nobody.
    fn settle_one(&mut self) -> bool {
        let maxsize = self.queue.maxsize;
        let Self { state, batch, .. } = self;
        let Some(state) = state.as_deref_mut() else { return false };
        let (grant, side) = if !state.getters.line.is_empty() && (state.has_item() || state.shut) {
            (if state.has_item() { RIGHT } else { SHUT }, &mut state.getters)
        } else if !state.putters.line.is_empty() && (state.has_place(maxsize) || state.shut) {
            (if state.shut { SHUT } else { RIGHT }, &mut state.putters)
        } else {
            return false;
        };
        side.rights += usize::from(grant == RIGHT);
        debug::granted(side.line.front());
        side.line.grant_front(grant, batch)
    }
}

impl<T, S: Store<T>> Drop for Inside<'_, T, S> {
    fn drop(&mut self) {
        while self.settle_one() {
            if !self.batch.has_room() {
                self.state = None;
                self.batch.make_room();
                self.state = Some(self.queue.state.lock());
            }
        }
    }
}

/// What one comes for.
pub(super) trait Way<T, S>: Unpin {
    type Output;
    const KIND: WaitKind;

    fn side(state: &mut State<S>) -> &mut Side;
    /// Whether there is one to which nobody has a right.
    fn is_free(state: &State<S>, maxsize: usize) -> bool;
    /// What is done with the right.
    fn go(&mut self, state: &mut State<S>) -> Self::Output;
    fn refuse(&mut self) -> Self::Output;
}

pub(super) struct Get;

impl<T, S: Store<T>> Way<T, S> for Get {
    type Output = Result<T, QueueShutDown>;
    const KIND: WaitKind = WaitKind::Receive;

    fn side(state: &mut State<S>) -> &mut Side {
        &mut state.getters
    }

    fn is_free(state: &State<S>, _: usize) -> bool {
        state.has_item()
    }

    fn go(&mut self, state: &mut State<S>) -> Self::Output {
        state.store.pop().ok_or(QueueShutDown(()))
    }

    fn refuse(&mut self) -> Self::Output {
        Err(QueueShutDown(()))
    }
}

pub(super) struct Put<T>(Option<T>);

impl<T> Unpin for Put<T> {}

impl<T> Put<T> {
    pub(super) fn new(item: T) -> Self {
        Self(Some(item))
    }

    /// The item, which was not put.
    pub(super) fn item(&mut self) -> T {
        self.0.take().expect("an item is put once")
    }
}

impl<T, S: Store<T>> Way<T, S> for Put<T> {
    type Output = Result<(), QueueShutDown<T>>;
    const KIND: WaitKind = WaitKind::Send;

    fn side(state: &mut State<S>) -> &mut Side {
        &mut state.putters
    }

    fn is_free(state: &State<S>, maxsize: usize) -> bool {
        state.has_place(maxsize)
    }

    fn go(&mut self, state: &mut State<S>) -> Self::Output {
        // A right may be older than the shutdown.
        if state.shut {
            return Err(QueueShutDown(self.item()));
        }
        /// A store that panics may keep the item all the same.
        struct Counted<'a, T, S: Store<T>>(&'a mut State<S>, usize, PhantomData<T>);

        impl<T, S: Store<T>> Drop for Counted<'_, T, S> {
            fn drop(&mut self) {
                let Self(state, before, _) = self;
                state.unfinished += state.store.len().saturating_sub(*before);
            }
        }

        let before = state.store.len();
        Counted(state, before, PhantomData).0.store.push(self.item());
        Ok(())
    }

    fn refuse(&mut self) -> Self::Output {
        Err(QueueShutDown(self.item()))
    }
}

/// Waits in turn for what its way wants.
pub(super) struct Pass<'q, T, S: Store<T>, W: Way<T, S>> {
    queue: &'q Queue<T, S>,
    way: W,
    waiter: Waiter,
}

impl<T, S: Store<T>, W: Way<T, S>> Pass<'_, T, S, W> {
    /// Goes in line. What has become free meanwhile it gets a right to, and is woken, when the queue settles.
    #[cold]
    fn line_up(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        // SAFETY: the waiter is not moved out of it, and the rest does not care.
        let this = unsafe { self.get_unchecked_mut() };
        // Before the lock: wait rule 4.
        let waker = cx.waker().clone();
        let mut inside = this.queue.enter();
        let line = &mut W::side(&mut inside).line;
        // SAFETY: `this` is pinned.
        let waiter = unsafe { Pin::new_unchecked(&this.waiter) };
        // SAFETY: wait rule 1: `Pass` leaves in its drop. Wait rule 2: the queue's lock.
        unsafe { line.push(waiter, 0, Some(waker)) };
        debug::waits(line, None, &this.waiter, W::KIND);
    }

    /// A poll of one that is in line, or was.
    #[cold]
    fn poll_line(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        // SAFETY: as in `line_up`.
        let this = unsafe { self.get_unchecked_mut() };
        let lock = || this.queue.state.lock();
        let Some(grant) = wait::poll(&this.waiter, cx, lock) else { return Poll::Pending };
        debug::ended(&this.waiter);
        if grant == SHUT {
            return Poll::Ready(this.way.refuse());
        }
        let mut inside = this.queue.enter();
        W::side(&mut inside).rights -= 1;
        Poll::Ready(this.way.go(&mut inside))
    }

    /// The end of a wait that is given up.
    #[cold]
    fn leave(&self) {
        debug::ended(&self.waiter);
        // Dropped after the lock: wait rule 4.
        let _waker;
        let mut inside = self.queue.enter();
        match self.waiter.take_grant() {
            Some(RIGHT) => W::side(&mut inside).rights -= 1,
            Some(_) => {}
            // SAFETY: the lock is held; without a grant it is linked, in this line.
            None => _waker = unsafe { W::side(&mut inside).line.remove(&self.waiter) },
        }
    }
}

impl<T, S: Store<T>, W: Way<T, S>> Future for Pass<'_, T, S, W> {
    type Output = W::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        let unit = ready!(budget::poll_proceed(cx));
        let polled = if self.waiter.is_waiting() {
            self.as_mut().poll_line(cx)
        } else {
            // SAFETY: as in `line_up`.
            let this = unsafe { self.as_mut().get_unchecked_mut() };
            let passed = this.queue.enter().pass(&mut this.way);
            match passed {
                Some(output) => Poll::Ready(output),
                None => {
                    self.as_mut().line_up(cx);
                    Poll::Pending
                }
            }
        };
        match polled {
            Poll::Ready(_) => unit.made_progress(),
            Poll::Pending => note::wait_at(W::KIND, self.queue),
        }
        polled
    }
}

impl<T, S: Store<T>, W: Way<T, S>> Drop for Pass<'_, T, S, W> {
    #[inline]
    fn drop(&mut self) {
        if self.waiter.is_waiting() {
            self.leave();
        }
    }
}
