//! A counting semaphore: [`permits`](super::permits) with guards.

use super::blocking::block_on;
use super::permits::{Acquire, MAX_PERMITS, Permits, Refused};
use super::{AcquireError, TryAcquireError};
use crate::primitive::Arc;
use crate::util::note::WaitKind;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A counting semaphore: at most so many at a time.
///
/// Permits are given out in the order in which they were asked for, also when a later request wants
/// fewer permits than the first one in the queue. While somebody waits, `try_acquire` fails.
///
/// Taking and returning a permit is one atomic operation each when nobody waits.
///
/// # Examples
///
/// ```
/// use reiver::sync::{Semaphore, TryAcquireError};
///
/// let connections = Semaphore::new(2);
/// let first = connections.try_acquire()?;
/// let second = connections.blocking_acquire().unwrap();
/// assert_eq!(connections.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
/// drop(first);
/// assert_eq!(connections.available_permits(), 1);
/// # drop(second);
/// # Ok::<(), TryAcquireError>(())
/// ```
pub struct Semaphore {
    raw: Permits,
}

impl Semaphore {
    /// The most permits that a semaphore can hold.
    pub const MAX_PERMITS: usize = MAX_PERMITS;

    /// A semaphore with so many permits.
    ///
    /// # Panics
    ///
    /// If `permits` exceeds [`Semaphore::MAX_PERMITS`].
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        Self { raw: Permits::new(permits) }
    }

    /// A semaphore for a `static`.
    ///
    /// # Panics
    ///
    /// If `permits` exceeds [`Semaphore::MAX_PERMITS`].
    #[track_caller]
    pub const fn const_new(permits: usize) -> Self {
        Self { raw: Permits::const_new(permits) }
    }

    /// Gives it a name, which the reports of [`sync::debug`](crate::sync::debug) show beside its type. It is a reference to a
    /// literal, and takes no time when the semaphore is used.
    ///
    /// ```
    /// # use reiver::sync::Semaphore;
    /// static CONNECTIONS: Semaphore = Semaphore::const_new(100).named(&"connections");
    /// ```
    pub const fn named(mut self, name: &'static &'static str) -> Self {
        self.raw.set_name(name);
        self
    }

    /// How many permits there are now.
    pub fn available_permits(&self) -> usize {
        self.raw.word().permits()
    }

    /// Adds permits.
    ///
    /// # Panics
    ///
    /// If there would be more than [`Semaphore::MAX_PERMITS`].
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        self.raw.release(n);
    }

    /// Removes up to `n` available permits for good and answers how many those were.
    pub fn forget_permits(&self, n: usize) -> usize {
        self.raw.forget(n)
    }

    /// Takes one permit, waiting for it in turn.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    #[inline]
    pub fn acquire(&self) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        self.acquire_many(1)
    }

    /// Takes `n` permits at once, waiting for all of them in turn.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    #[inline]
    pub fn acquire_many(
        &self,
        n: u32,
    ) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        let acquire = self.raw.acquire(n as usize, WaitKind::Semaphore);
        Acquiring { acquire, semaphore: self, permits: n }
    }

    /// Takes one permit if it is there and nobody waits.
    ///
    /// # Errors
    ///
    /// If there is no permit, or the semaphore is closed.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if they are there and nobody waits.
    ///
    /// # Errors
    ///
    /// If there are not enough permits, or the semaphore is closed.
    pub fn try_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_take(n)?;
        Ok(SemaphorePermit { semaphore: self, permits: n })
    }

    /// As [`acquire`](Self::acquire); the permit keeps the semaphore alive instead of borrowing it.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned(1).await
    }

    /// As [`acquire_many`](Self::acquire_many), owned.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn acquire_many_owned(
        self: Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.raw.acquire(n as usize, WaitKind::Semaphore).await?;
        Ok(OwnedSemaphorePermit { semaphore: self, permits: n })
    }

    /// As [`try_acquire`](Self::try_acquire), owned.
    ///
    /// # Errors
    ///
    /// If there is no permit, or the semaphore is closed.
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), owned.
    ///
    /// # Errors
    ///
    /// If there are not enough permits, or the semaphore is closed.
    pub fn try_acquire_many_owned(
        self: Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_take(n)?;
        Ok(OwnedSemaphorePermit { semaphore: self, permits: n })
    }

    /// As [`acquire`](Self::acquire), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    pub fn blocking_acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        block_on(self.acquire())
    }

    /// As [`acquire_many`](Self::acquire_many), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    pub fn blocking_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        block_on(self.acquire_many(n))
    }

    /// As [`acquire_owned`](Self::acquire_owned), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    pub fn blocking_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        block_on(self.acquire_owned())
    }

    /// As [`acquire_many_owned`](Self::acquire_many_owned), for code that is not async: blocks the
    /// thread.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed.
    pub fn blocking_acquire_many_owned(
        self: Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        block_on(self.acquire_many_owned(n))
    }

    /// Closes the semaphore: those who wait, and whoever asks from now on, get an error. Permits
    /// that are out stay valid.
    pub fn close(&self) {
        self.raw.close();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.raw.word().is_closed()
    }

    fn try_take(&self, n: u32) -> Result<(), TryAcquireError> {
        self.raw.try_acquire(n as usize).map_err(|refused| match refused {
            Refused::Closed => TryAcquireError::Closed,
            Refused::NoPermits => TryAcquireError::NoPermits,
        })
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.available_permits())
            .field("closed", &self.is_closed())
            .finish()
    }
}

pin_project! {
    /// A wait for permits; not an `async fn`, for the reason that `mutex::Locking` has.
    #[must_use = "futures do nothing unless polled"]
    struct Acquiring<'a> {
        #[pin]
        acquire: Acquire<'a>,
        semaphore: &'a Semaphore,
        permits: u32,
    }
}

impl<'a> Future for Acquiring<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (semaphore, permits) = (*this.semaphore, *this.permits);
        this.acquire.poll(cx).map_ok(|()| SemaphorePermit { semaphore, permits })
    }
}

/// Permits of a [`Semaphore`], given back when dropped.
#[must_use = "dropping it gives the permits back"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: u32,
}

impl<'a> SemaphorePermit<'a> {
    /// Never gives the permits back.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Adds the permits of `other` to this.
    ///
    /// # Panics
    ///
    /// If `other` belongs to another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        let same = std::ptr::eq(self.semaphore, other.semaphore);
        assert!(same, "merging permits from different semaphore instances");
        self.permits += std::mem::take(&mut other.permits);
    }

    /// Splits `n` permits off; `None` if there are not so many.
    pub fn split(&mut self, n: usize) -> Option<Self> {
        let n = u32::try_from(n).ok()?;
        self.permits = self.permits.checked_sub(n)?;
        Some(Self { semaphore: self.semaphore, permits: n })
    }

    /// How many permits this holds.
    pub fn num_permits(&self) -> usize {
        self.permits as usize
    }

    /// The semaphore that they belong to.
    pub fn semaphore(&self) -> &'a Semaphore {
        self.semaphore
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.raw.release(self.permits as usize);
        }
    }
}

/// Permits of a shared [`Semaphore`], given back when dropped.
#[must_use = "dropping it gives the permits back"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: u32,
}

impl OwnedSemaphorePermit {
    /// Never gives the permits back.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Adds the permits of `other` to this.
    ///
    /// # Panics
    ///
    /// If `other` belongs to another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        let same = Arc::ptr_eq(&self.semaphore, &other.semaphore);
        assert!(same, "merging permits from different semaphore instances");
        self.permits += std::mem::take(&mut other.permits);
    }

    /// Splits `n` permits off; `None` if there are not so many.
    pub fn split(&mut self, n: usize) -> Option<Self> {
        let n = u32::try_from(n).ok()?;
        self.permits = self.permits.checked_sub(n)?;
        Some(Self { semaphore: self.semaphore.clone(), permits: n })
    }

    /// How many permits this holds.
    pub fn num_permits(&self) -> usize {
        self.permits as usize
    }

    /// The semaphore that they belong to.
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.raw.release(self.permits as usize);
        }
    }
}
