//! What the bounded and the unbounded channel share: the list, the counts of senders, the close.
//!
//! A channel ends when its [`List`] gets the end mark, and that happens
//!
//! * when the last strong sender is dropped;
//! * when the receiver closes it and no permit is out: at once in the unbounded channel, in the
//!   bounded one by whoever brings back the last permit (see [`Flow`]).
//!
//! A receiver that is dropped drops what is in the channel, and whatever comes later is dropped by its
//! sender, who takes the receiver's place ([`Chan::drain`]).

use super::super::Notify;
use super::super::blocking::block_on;
use super::super::senders::Senders;
use super::super::waker_cell::WakerCell;
use super::error::TryRecvError;
use super::list::{Head, List, Pop, Pushed};
use crate::primitive::{Arc, UnsafeCell};
use crate::task::budget;
use crate::util::note::{self, WaitKind};
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::task::{Context, Poll, ready};

/// How many values may be in the channel.
pub(super) trait Flow {
    /// No sender may enter any more. Answers whether none is inside: then the channel ends now.
    fn close(&self) -> bool;

    /// So many values were taken out, or permits given back unused. Answers whether the channel was
    /// closed and nobody is inside any more: then it ends now.
    fn leave(&self, n: usize) -> bool;

    /// Whether [`close`](Self::close) was called, if that is known here.
    fn is_closed(&self) -> bool;
}

/// What all ends share.
pub(super) struct Chan<T, F: Flow> {
    list: List<T>,
    pub(super) flow: F,
    /// The receiver's.
    rx_waker: WakerCell,
    /// Told when the receiver closes.
    closed: Notify,
    senders: Senders,
    /// The receiver's place, while nobody has it.
    rest: UnsafeCell<Option<Head<T>>>,
}

// SAFETY: values move from one thread to another; the list orders it (list rule 1). `rest` is used by
// whoever is the receiver, and by the drop of the whole.
unsafe impl<T: Send, F: Flow + Sync> Sync for Chan<T, F> {}
// SAFETY: as above.
unsafe impl<T: Send, F: Flow + Send> Send for Chan<T, F> {}

// Values go in and come out whole, and a value whose drop panics is out already.
impl<T, F: Flow> UnwindSafe for Chan<T, F> {}
impl<T, F: Flow> RefUnwindSafe for Chan<T, F> {}

impl<T, F: Flow> Chan<T, F> {
    /// Sends a value for which there is room; gives it back if the channel has ended.
    #[inline]
    pub(super) fn send(&self, value: T) -> Result<(), T> {
        match self.list.push(value)? {
            Pushed::Quiet => {}
            Pushed::Wakes => self.rx_waker.wake(),
            Pushed::Inherits => self.inherit(),
        }
        Ok(())
    }

    /// Does what the receiver, which is gone, has left to the sender of this value.
    #[cold]
    fn inherit(&self) {
        self.drain(self.take_place().expect("whoever gives up has left it"));
    }

    /// Drops all values, for a receiver that is gone, up to the end, or to a value that is not there
    /// yet: from then on its sender has the place.
    fn drain(&self, head: Head<T>) {
        /// Goes on when a value's drop panics.
        struct Place<'a, T, F: Flow>(&'a Chan<T, F>, Option<Head<T>>);

        impl<T, F: Flow> Drop for Place<'_, T, F> {
            fn drop(&mut self) {
                if let Some(head) = self.1.take() {
                    self.0.drain(head);
                }
            }
        }

        let mut place = Place(self, Some(head));
        while let Some(head) = &mut place.1 {
            // SAFETY: this is the receiver, with its head.
            let popped = unsafe { self.list.pop(head) };
            if let Pop::Value(value) = popped {
                self.leave(1);
                drop(value);
                continue;
            }
            let head = place.1.take().expect("it is there");
            let leave = |head| self.leave_place(head);
            if let Pop::End = popped {
                leave(head);
            // SAFETY: as above.
            } else if !unsafe { self.list.give_up(head, leave) } {
                place.1 = self.take_place();
            }
        }
    }

    fn take_place(&self) -> Option<Head<T>> {
        // SAFETY: the caller was told that it is the receiver, or nobody else was, or nobody is left.
        self.rest.with_mut(|rest| unsafe { (*rest).take() })
    }

    fn leave_place(&self, head: Head<T>) {
        // SAFETY: the place is the caller's until this is known: by what tells the next sender, or, for
        // the drop of the channel, by the counts of senders and of the `Arc`.
        self.rest.with_mut(|rest| unsafe { *rest = Some(head) });
    }

    /// Ends the channel: values before this are received, then `None`.
    fn end(&self) {
        if self.list.end() {
            self.rx_waker.wake();
        }
    }

    /// Gives room for `n` values back.
    #[inline]
    pub(super) fn leave(&self, n: usize) {
        if self.flow.leave(n) {
            self.end();
        }
    }

    /// Whether no sender may enter any more.
    pub(super) fn is_closed(&self) -> bool {
        self.flow.is_closed() || self.list.is_ended()
    }
}

impl<T, F: Flow> Drop for Chan<T, F> {
    fn drop(&mut self) {
        self.senders.meet();
        if let Some(head) = self.take_place() {
            // SAFETY: nobody uses the list any more.
            unsafe { self.list.dispose(head) };
        }
    }
}

/// A strong sender.
pub(super) struct Tx<T, F: Flow> {
    chan: Arc<Chan<T, F>>,
}

/// A sender that does not keep the channel from ending.
pub(super) struct WeakTx<T, F: Flow> {
    chan: Arc<Chan<T, F>>,
}

/// The receiver.
pub(super) struct Rx<T, F: Flow> {
    chan: Arc<Chan<T, F>>,
    head: ManuallyDrop<Head<T>>,
}

// SAFETY: the head gives access to values of type `T`, by `&mut` only.
unsafe impl<T: Send, F: Flow + Send + Sync> Send for Rx<T, F> {}
// SAFETY: as above; by `&` it reads states only.
unsafe impl<T: Send, F: Flow + Send + Sync> Sync for Rx<T, F> {}
// The head is moved on before a value is given out.
impl<T, F: Flow> UnwindSafe for Rx<T, F> {}
impl<T, F: Flow> RefUnwindSafe for Rx<T, F> {}

pub(super) fn channel<T, F: Flow>(flow: F) -> (Tx<T, F>, Rx<T, F>) {
    let (list, head) = List::new();
    let chan = Arc::new(Chan {
        list,
        flow,
        rx_waker: WakerCell::new(),
        closed: Notify::new(),
        senders: Senders::one(),
        rest: UnsafeCell::new(None),
    });
    (Tx { chan: chan.clone() }, Rx { chan, head: ManuallyDrop::new(head) })
}

impl<T, F: Flow> Tx<T, F> {
    pub(super) fn chan(&self) -> &Chan<T, F> {
        &self.chan
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chan, &other.chan)
    }

    /// Waits until the receiver is closed or dropped.
    pub(super) async fn closed(&self) {
        let notified = self.chan.closed.notified_as(WaitKind::Closed);
        // In this order: a close that is not seen here notifies.
        if !self.chan.is_closed() {
            notified.await;
        }
    }

    pub(super) fn downgrade(&self) -> WeakTx<T, F> {
        self.chan.senders.enter_weak();
        WeakTx { chan: self.chan.clone() }
    }

    pub(super) fn strong_count(&self) -> usize {
        self.chan.senders.count()
    }

    pub(super) fn weak_count(&self) -> usize {
        self.chan.senders.weak_count()
    }
}

impl<T, F: Flow> Clone for Tx<T, F> {
    fn clone(&self) -> Self {
        self.chan.senders.enter();
        Self { chan: self.chan.clone() }
    }
}

impl<T, F: Flow> Drop for Tx<T, F> {
    fn drop(&mut self) {
        if self.chan.senders.leave() {
            self.chan.end();
        }
    }
}

impl<T, F: Flow> WeakTx<T, F> {
    /// A strong sender, if there is one still.
    pub(super) fn upgrade(&self) -> Option<Tx<T, F>> {
        self.chan.senders.re_enter().then(|| Tx { chan: self.chan.clone() })
    }

    pub(super) fn strong_count(&self) -> usize {
        self.chan.senders.count()
    }

    pub(super) fn weak_count(&self) -> usize {
        self.chan.senders.weak_count()
    }
}

impl<T, F: Flow> Clone for WeakTx<T, F> {
    fn clone(&self) -> Self {
        self.chan.senders.enter_weak();
        Self { chan: self.chan.clone() }
    }
}

impl<T, F: Flow> Drop for WeakTx<T, F> {
    fn drop(&mut self) {
        self.chan.senders.leave_weak();
    }
}

impl<T, F: Flow> Rx<T, F> {
    pub(super) fn chan(&self) -> &Chan<T, F> {
        &self.chan
    }

    /// Takes the next value out, if it is there.
    #[inline]
    fn pop(&mut self) -> Pop<T> {
        // SAFETY: this is the receiver, with its head.
        let popped = unsafe { self.chan.list.pop(&mut self.head) };
        if matches!(popped, Pop::Value(_)) {
            self.chan.leave(1);
        }
        popped
    }

    /// Leaves a waker to be woken by the next value or the end. `false`: one of them is there.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        self.chan.rx_waker.set(cx.waker());
        // SAFETY: as above; the waker is in place.
        unsafe { self.chan.list.wait(&mut self.head) }
    }

    fn pending<R>(&self) -> Poll<R> {
        note::wait_at(WaitKind::Receive, &*self.chan);
        Poll::Pending
    }

    /// One step without the budget.
    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match self.pop() {
                Pop::Value(value) => return Poll::Ready(Some(value)),
                Pop::End => return Poll::Ready(None),
                Pop::Empty if self.wait(cx) => return self.pending(),
                Pop::Empty => {}
            }
        }
    }

    #[inline]
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let unit = ready!(budget::poll_proceed(cx));
        let value = ready!(self.poll_pop(cx));
        unit.made_progress();
        Poll::Ready(value)
    }

    pub(super) fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        let unit = ready!(budget::poll_proceed(cx));
        loop {
            let (n, ended) = self.pop_many(buffer, limit);
            if n == 0 && !ended && self.wait(cx) {
                return self.pending();
            }
            if n > 0 || ended {
                unit.made_progress();
                return Poll::Ready(n);
            }
        }
    }

    /// Takes up to `limit` values out and gives their room back at once.
    fn pop_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> (usize, bool) {
        let mut n = 0;
        let mut ended = false;
        while n < limit {
            // SAFETY: as in `pop`.
            match unsafe { self.chan.list.pop(&mut self.head) } {
                Pop::Value(value) => buffer.push(value),
                Pop::Empty => break,
                Pop::End => {
                    ended = true;
                    break;
                }
            }
            n += 1;
        }
        if n > 0 {
            self.chan.leave(n);
        }
        (n, ended)
    }

    pub(super) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.pop() {
            Pop::Value(value) => return Ok(value),
            Pop::End => return Err(TryRecvError::Disconnected),
            Pop::Empty => {}
        }
        if !self.chan.list.is_reserved(&self.head) {
            return Err(TryRecvError::Empty);
        }
        // A sender is between its two steps, and the value of one that has finished may stand behind
        // it; saying "empty" would deny a send that has happened. It is a matter of instructions.
        block_on(poll_fn(|cx| self.poll_pop(cx))).ok_or(TryRecvError::Disconnected)
    }

    /// Lets no more senders in.
    pub(super) fn close(&mut self) {
        if self.chan.flow.close() {
            self.chan.end();
        }
        self.chan.closed.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.chan.is_closed()
    }

    pub(super) fn is_empty(&self) -> bool {
        // SAFETY: this is the receiver, with its head.
        unsafe { self.chan.list.is_empty(&self.head) }
    }

    pub(super) fn len(&self) -> usize {
        self.chan.list.len(&self.head)
    }

    pub(super) fn strong_count(&self) -> usize {
        self.chan.senders.count()
    }

    pub(super) fn weak_count(&self) -> usize {
        self.chan.senders.weak_count()
    }
}

impl<T, F: Flow> Drop for Rx<T, F> {
    fn drop(&mut self) {
        /// What comes after the close, also when a waker that it wakes panics.
        struct Rest<'a, T, F: Flow>(&'a mut Rx<T, F>);

        impl<T, F: Flow> Drop for Rest<'_, T, F> {
            fn drop(&mut self) {
                let Rx { chan, head, .. } = self.0;
                // The task that waited need not live as long as the senders.
                drop(chan.rx_waker.take());
                // SAFETY: taken once: the receiver is being dropped.
                chan.drain(unsafe { ManuallyDrop::take(head) });
                chan.senders.meet();
            }
        }

        Rest(self).0.close();
    }
}
