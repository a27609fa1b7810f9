//! The channel with a bound: permits count the free places.

use super::super::blocking::block_on;
use super::super::permits::{MAX_PERMITS, Permits, Refused, Word};
use super::chan::{self, Chan, Flow, Rx, Tx, WeakTx};
use super::common_methods;
use super::error::{SendError, TryRecvError, TrySendError};
use super::permit::{OwnedPermit, Permit, PermitIterator};
use crate::util::note::WaitKind;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// One permit for each free place. A sender takes one, the receiver gives it back.
pub(super) struct Bounded {
    permits: Permits,
    places: usize,
}

impl Bounded {
    /// Closed, and all places free: nobody is inside, and nobody can enter.
    fn is_over(&self, word: Word) -> bool {
        word.is_closed() && word.permits() == self.places
    }
}

impl Flow for Bounded {
    fn close(&self) -> bool {
        self.permits.close().permits() == self.places
    }

    #[inline]
    fn leave(&self, n: usize) -> bool {
        let word = self.permits.release(n);
        self.is_over(word)
    }

    fn is_closed(&self) -> bool {
        self.permits.word().is_closed()
    }
}

/// A channel from many senders to one receiver that holds up to `places` values.
///
/// # Panics
///
/// If `places` is 0 or exceeds [`Semaphore::MAX_PERMITS`](crate::sync::Semaphore::MAX_PERMITS).
///
/// # Examples
///
/// ```
/// use reiver::sync::mpsc::{self, error::TrySendError};
///
/// let (tx, mut rx) = mpsc::channel(1);
/// let place = tx.try_reserve().unwrap();
/// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
/// place.send(1);
/// assert_eq!(rx.blocking_recv(), Some(1));
/// assert_eq!(tx.capacity(), 1);
/// ```
#[track_caller]
pub fn channel<T>(places: usize) -> (Sender<T>, Receiver<T>) {
    assert!(places > 0, "mpsc bounded channel requires buffer > 0");
    assert!(places <= MAX_PERMITS, "a channel has at most {MAX_PERMITS} places");
    let (tx, rx) = chan::channel(Bounded { permits: Permits::new(places), places });
    (Sender { tx }, Receiver { rx })
}

/// Sends values to the receiver; may be cloned.
pub struct Sender<T> {
    tx: Tx<T, Bounded>,
}

/// A sender that does not keep the channel from ending.
pub struct WeakSender<T> {
    tx: WeakTx<T, Bounded>,
}

/// Receives values in the order in which they were sent.
pub struct Receiver<T> {
    rx: Rx<T, Bounded>,
}

impl<T> Sender<T> {
    /// Sends a value, waiting in turn while the channel is full.
    ///
    /// # Errors
    ///
    /// The value, if the receiver is closed or dropped. `Ok` does not mean that it will be received.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the value, which then was not sent. To keep it, [`reserve`] first.
    ///
    /// [`reserve`]: Self::reserve
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.reserve().await {
            Ok(permit) => {
                permit.send(value);
                Ok(())
            }
            Err(SendError(())) => Err(SendError(value)),
        }
    }

    /// Sends a value if there is a free place and nobody waits for one.
    ///
    /// # Errors
    ///
    /// The value, if there is no place, or the receiver is closed or dropped.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self.try_reserve() {
            Ok(permit) => {
                permit.send(value);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(TrySendError::Full(value)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(value)),
        }
    }

    /// As [`send`](Self::send), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// The value, if the receiver is closed or dropped.
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        block_on(self.send(value))
    }

    /// Waits in turn for a place and reserves it.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
        self.enter(1).await?;
        Ok(Permit::new(self.tx.chan()))
    }

    /// Waits in turn for `n` places at once and reserves them.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or dropped, or there never are so many places.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn reserve_many(&self, n: usize) -> Result<PermitIterator<'_, T>, SendError<()>> {
        if n > self.max_capacity() {
            return Err(SendError(()));
        }
        self.enter(n).await?;
        Ok(PermitIterator::new(self.tx.chan(), n))
    }

    /// As [`reserve`](Self::reserve), taking the sender along instead of borrowing it.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the sender and loses its place in the queue.
    pub async fn reserve_owned(self) -> Result<OwnedPermit<T>, SendError<()>> {
        self.enter(1).await?;
        Ok(OwnedPermit::new(self))
    }

    /// As [`reserve`](Self::reserve), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or dropped.
    pub fn blocking_reserve(&self) -> Result<Permit<'_, T>, SendError<()>> {
        block_on(self.reserve())
    }

    /// As [`reserve_many`](Self::reserve_many), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or dropped, or there never are so many places.
    pub fn blocking_reserve_many(&self, n: usize) -> Result<PermitIterator<'_, T>, SendError<()>> {
        block_on(self.reserve_many(n))
    }

    /// As [`reserve_owned`](Self::reserve_owned), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the receiver is closed or dropped.
    pub fn blocking_reserve_owned(self) -> Result<OwnedPermit<T>, SendError<()>> {
        block_on(self.reserve_owned())
    }

    /// Reserves a place if there is one and nobody waits.
    ///
    /// # Errors
    ///
    /// If there is no place, or the receiver is closed or dropped.
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        self.try_enter(1)?;
        Ok(Permit::new(self.tx.chan()))
    }

    /// Reserves `n` places if there are so many and nobody waits.
    ///
    /// # Errors
    ///
    /// If there are not enough places, or the receiver is closed or dropped.
    pub fn try_reserve_many(&self, n: usize) -> Result<PermitIterator<'_, T>, TrySendError<()>> {
        if n > self.max_capacity() {
            return Err(TrySendError::Full(()));
        }
        self.try_enter(n)?;
        Ok(PermitIterator::new(self.tx.chan(), n))
    }

    /// As [`try_reserve`](Self::try_reserve), taking the sender along instead of borrowing it.
    ///
    /// # Errors
    ///
    /// The sender, if there is no place, or the receiver is closed or dropped.
    pub fn try_reserve_owned(self) -> Result<OwnedPermit<T>, TrySendError<Self>> {
        match self.try_enter(1) {
            Ok(()) => Ok(OwnedPermit::new(self)),
            Err(TrySendError::Full(())) => Err(TrySendError::Full(self)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(self)),
        }
    }

    /// How many places are free.
    pub fn capacity(&self) -> usize {
        self.flow().permits.word().permits()
    }

    /// How many places there are.
    pub fn max_capacity(&self) -> usize {
        self.flow().places
    }

    pub(super) fn chan(&self) -> &Chan<T, Bounded> {
        self.tx.chan()
    }

    fn flow(&self) -> &Bounded {
        &self.tx.chan().flow
    }

    async fn enter(&self, n: usize) -> Result<(), SendError<()>> {
        /// A wait that is given up may give back permits that it was granted; if the receiver has
        /// closed meanwhile, they may be the last.
        struct EndIfOver<'a, T>(&'a Chan<T, Bounded>);

        impl<T> Drop for EndIfOver<'_, T> {
            fn drop(&mut self) {
                // Nothing to give back: the wait, dropped before this, did.
                if self.0.flow.is_over(self.0.flow.permits.word()) {
                    self.0.leave(0);
                }
            }
        }

        let _after = EndIfOver(self.tx.chan());
        self.flow().permits.acquire(n, WaitKind::Send).await.map_err(|_| SendError(()))
    }

    fn try_enter(&self, n: usize) -> Result<(), TrySendError<()>> {
        self.flow().permits.try_acquire(n).map_err(|refused| match refused {
            Refused::Closed => TrySendError::Closed(()),
            Refused::NoPermits => TrySendError::Full(()),
        })
    }
}

impl<T> Receiver<T> {
    /// How many places are free.
    pub fn capacity(&self) -> usize {
        self.rx.chan().flow.permits.word().permits()
    }

    /// How many places there are.
    pub fn max_capacity(&self) -> usize {
        self.rx.chan().flow.places
    }
}

common_methods!(Receiver, WeakSender, Sender);
