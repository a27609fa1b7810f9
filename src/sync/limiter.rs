//! A limit on how many do something at once, that knows who they are.
//!
//! [`Permits`] decide who may go on; beside them, under a lock, stands who has a token. When the limit
//! is lowered below what is out, the difference is a *debt*. It is paid by tokens that come back, which
//! then do not become permits, and by permits that were on their way to somebody, who then goes back to
//! waiting. A permit becomes a token under the lock, and only without debt: so the limit holds from the
//! moment that `set_total_tokens` returns.

use super::blocking::block_on;
use super::permits::{MAX_PERMITS, Permits, Refused};
use crate::primitive::{Arc, Mutex};
use crate::task::{self, Id};
use crate::util::note::WaitKind;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::ops::Deref;

/// Limits how many do something at once, as trio's `CapacityLimiter`.
///
/// Unlike a [`Semaphore`](super::Semaphore), it knows who has its tokens: a task that asks for a second
/// one is refused instead of waiting for itself, and [`statistics`](Self::statistics) says who holds
/// up the others. And the limit can be changed at any time.
///
/// Tokens are given in the order in which they were asked for.
///
/// # Examples
///
/// ```
/// use reiver::sync::CapacityLimiter;
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let limiter = CapacityLimiter::new(1);
/// let token = limiter.acquire_on_behalf_of("import").await.unwrap();
/// assert_eq!(limiter.statistics().borrowers[0].to_string(), "import");
/// assert!(limiter.acquire_on_behalf_of("import").await.is_err(), "it has one");
/// limiter.set_total_tokens(2);
/// assert_eq!(limiter.available_tokens(), 1);
/// # drop(token);
/// # });
/// ```
pub struct CapacityLimiter {
    permits: Permits,
    state: Mutex<State>,
}

struct State {
    total: usize,
    /// Tokens that are out.
    borrowed: usize,
    /// Tokens that are out beyond the total.
    debt: usize,
    waiting: usize,
    /// Who has a token (`true`) or waits for one.
    borrowers: HashMap<Borrower, bool>,
}

/// Who has a token of a [`CapacityLimiter`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Borrower {
    /// A task.
    Task(Id),
    /// Whoever goes by this name.
    Named(Arc<str>),
}

impl From<Id> for Borrower {
    fn from(id: Id) -> Self {
        Self::Task(id)
    }
}

impl From<&str> for Borrower {
    fn from(name: &str) -> Self {
        Self::Named(name.into())
    }
}

impl From<String> for Borrower {
    fn from(name: String) -> Self {
        Self::Named(name.into())
    }
}

impl fmt::Display for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(id) => write!(f, "task {id}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// A [`CapacityLimiter`] at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LimiterStatistics {
    /// The limit.
    pub total_tokens: usize,
    /// Tokens that are out.
    pub borrowed_tokens: usize,
    /// Who has them, in no order. Those who were no task and gave no name are not among them.
    pub borrowers: Vec<Borrower>,
    /// How many wait for a token.
    pub tasks_waiting: usize,
}

impl CapacityLimiter {
    /// A limiter with so many tokens.
    ///
    /// # Panics
    ///
    /// If `total_tokens` exceeds [`Semaphore::MAX_PERMITS`](super::Semaphore::MAX_PERMITS).
    #[track_caller]
    pub fn new(total_tokens: usize) -> Self {
        let state = State {
            total: total_tokens,
            borrowed: 0,
            debt: 0,
            waiting: 0,
            borrowers: HashMap::new(),
        };
        Self { permits: Permits::new(total_tokens), state: Mutex::new(state) }
    }

    /// Takes a token for the current task, waiting for it in turn. Outside of tasks it is nobody's.
    ///
    /// # Errors
    ///
    /// If the task has a token, or waits for one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn acquire(&self) -> Result<LimiterToken<&Self>, AlreadyBorrowed> {
        LimiterToken::acquire(self, task::try_id().map(Borrower::from)).await
    }

    /// Takes a token for `borrower`, waiting for it in turn.
    ///
    /// # Errors
    ///
    /// If the borrower has a token, or waits for one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn acquire_on_behalf_of(
        &self,
        borrower: impl Into<Borrower>,
    ) -> Result<LimiterToken<&Self>, AlreadyBorrowed> {
        LimiterToken::acquire(self, Some(borrower.into())).await
    }

    /// As [`acquire`](Self::acquire); the token keeps the limiter alive instead of borrowing it.
    ///
    /// # Errors
    ///
    /// If the task has a token, or waits for one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the queue.
    pub async fn acquire_owned(
        self: Arc<Self>,
    ) -> Result<LimiterToken<Arc<Self>>, AlreadyBorrowed> {
        LimiterToken::acquire(self, task::try_id().map(Borrower::from)).await
    }

    /// As [`acquire`](Self::acquire), for code that is not async: blocks the thread. A blocking job is a task, too.
    ///
    /// # Errors
    ///
    /// If the task has a token, or waits for one.
    pub fn blocking_acquire(&self) -> Result<LimiterToken<&Self>, AlreadyBorrowed> {
        block_on(self.acquire())
    }

    /// As [`acquire_on_behalf_of`](Self::acquire_on_behalf_of), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the borrower has a token, or waits for one.
    pub fn blocking_acquire_on_behalf_of(
        &self,
        borrower: impl Into<Borrower>,
    ) -> Result<LimiterToken<&Self>, AlreadyBorrowed> {
        block_on(self.acquire_on_behalf_of(borrower))
    }

    /// As [`acquire_owned`](Self::acquire_owned), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the task has a token, or waits for one.
    pub fn blocking_acquire_owned(
        self: Arc<Self>,
    ) -> Result<LimiterToken<Arc<Self>>, AlreadyBorrowed> {
        block_on(self.acquire_owned())
    }

    /// Takes a token for the current task, if there is one and nobody waits.
    ///
    /// # Errors
    ///
    /// If there is no token, or the task has one.
    pub fn acquire_nowait(&self) -> Result<LimiterToken<&Self>, AcquireNowaitError> {
        let claim = Claim::new(self, task::try_id().map(Borrower::from))
            .map_err(AcquireNowaitError::AlreadyBorrowed)?;
        match self.permits.try_acquire(1) {
            Ok(()) => claim.fulfil().map_err(|_| AcquireNowaitError::WouldBlock),
            Err(Refused::NoPermits | Refused::Closed) => Err(AcquireNowaitError::WouldBlock),
        }
    }

    /// The limit.
    pub fn total_tokens(&self) -> usize {
        self.state.lock().total
    }

    /// Changes the limit. If more tokens are out than that, none is given until enough have come back.
    ///
    /// # Panics
    ///
    /// If `total` exceeds [`Semaphore::MAX_PERMITS`](super::Semaphore::MAX_PERMITS).
    #[track_caller]
    pub fn set_total_tokens(&self, total: usize) {
        assert!(total <= MAX_PERMITS, "a limiter has at most {MAX_PERMITS} tokens");
        let mut state = self.state.lock();
        let less = state.total.saturating_sub(total);
        state.debt += less - self.permits.forget(less);
        let more = total.saturating_sub(state.total);
        let paid = more.min(state.debt);
        state.debt -= paid;
        state.total = total;
        drop(state);
        self.permits.release(more - paid);
    }

    /// How many tokens are out.
    pub fn borrowed_tokens(&self) -> usize {
        self.state.lock().borrowed
    }

    /// How many tokens could be given now.
    pub fn available_tokens(&self) -> usize {
        let state = self.state.lock();
        state.total.saturating_sub(state.borrowed)
    }

    /// Who has the tokens, and how many wait.
    pub fn statistics(&self) -> LimiterStatistics {
        let state = self.state.lock();
        let holding = state.borrowers.iter().filter(|(_, holds)| **holds);
        LimiterStatistics {
            total_tokens: state.total,
            borrowed_tokens: state.borrowed,
            borrowers: holding.map(|(borrower, _)| borrower.clone()).collect(),
            tasks_waiting: state.waiting,
        }
    }

    fn give_back(&self, borrower: Option<&Borrower>) {
        let mut state = self.state.lock();
        state.borrowed -= 1;
        let entry = borrower.and_then(|borrower| state.borrowers.remove_entry(borrower));
        let owed = state.debt > 0;
        state.debt -= usize::from(owed);
        drop(state);
        drop(entry);
        if !owed {
            self.permits.release(1);
        }
    }
}

impl fmt::Debug for CapacityLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("CapacityLimiter")
            .field("total", &state.total)
            .field("borrowed", &state.borrowed)
            .field("waiting", &state.waiting)
            .finish()
    }
}

/// A borrower that waits for its token; it is forgotten when this is dropped.
struct Claim<L: Deref<Target = CapacityLimiter>> {
    /// `None` once it has a token.
    limiter: Option<L>,
    borrower: Option<Borrower>,
}

impl<L: Deref<Target = CapacityLimiter>> Claim<L> {
    fn new(limiter: L, borrower: Option<Borrower>) -> Result<Self, AlreadyBorrowed> {
        let mut state = limiter.state.lock();
        if let Some(borrower) = &borrower {
            if state.borrowers.contains_key(borrower) {
                return Err(AlreadyBorrowed(borrower.clone()));
            }
            state.borrowers.insert(borrower.clone(), false);
        }
        state.waiting += 1;
        drop(state);
        Ok(Self { limiter: Some(limiter), borrower })
    }

    /// Makes a token of the permit that was acquired for it. The claim comes back if the permit paid a
    /// debt.
    fn fulfil(mut self) -> Result<LimiterToken<L>, Self> {
        let limiter = self.limiter.take().expect("taken here only");
        let mut state = limiter.state.lock();
        if state.debt > 0 {
            state.debt -= 1;
            drop(state);
            self.limiter = Some(limiter);
            return Err(self);
        }
        let borrower = self.borrower.take();
        state.waiting -= 1;
        state.borrowed += 1;
        if let Some(holds) = borrower.as_ref().and_then(|b| state.borrowers.get_mut(b)) {
            *holds = true;
        }
        drop(state);
        Ok(LimiterToken { limiter, borrower })
    }
}

impl<L: Deref<Target = CapacityLimiter>> Drop for Claim<L> {
    fn drop(&mut self) {
        if let Some(limiter) = &self.limiter {
            let mut state = limiter.state.lock();
            state.waiting -= 1;
            let entry = self.borrower.as_ref().and_then(|b| state.borrowers.remove_entry(b));
            drop(state);
            drop(entry);
        }
    }
}

/// A token of a [`CapacityLimiter`], given back when dropped.
#[must_use = "dropping it gives the token back"]
pub struct LimiterToken<L: Deref<Target = CapacityLimiter>> {
    limiter: L,
    borrower: Option<Borrower>,
}

impl<L: Deref<Target = CapacityLimiter>> LimiterToken<L> {
    async fn acquire(limiter: L, borrower: Option<Borrower>) -> Result<Self, AlreadyBorrowed> {
        let mut claim = Claim::new(limiter, borrower)?;
        loop {
            let limiter = claim.limiter.as_ref().expect("it has no token yet");
            // The permits of a limiter are never closed.
            let acquired = limiter.permits.acquire(1, WaitKind::Limiter).await;
            debug_assert!(acquired.is_ok());
            match claim.fulfil() {
                Ok(token) => return Ok(token),
                Err(again) => claim = again,
            }
        }
    }

    /// Whose it is; `None` if it was taken outside of tasks and for nobody.
    pub fn borrower(&self) -> Option<&Borrower> {
        self.borrower.as_ref()
    }
}

impl<L: Deref<Target = CapacityLimiter>> Drop for LimiterToken<L> {
    fn drop(&mut self) {
        self.limiter.give_back(self.borrower.as_ref());
    }
}

impl<L: Deref<Target = CapacityLimiter>> fmt::Debug for LimiterToken<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterToken").field("borrower", &self.borrower).finish()
    }
}

/// The borrower has a token of this limiter, or waits for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlreadyBorrowed(pub Borrower);

impl fmt::Display for AlreadyBorrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has a token of this limiter already", self.0)
    }
}

impl Error for AlreadyBorrowed {}

/// Why [`CapacityLimiter::acquire_nowait`] gave no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcquireNowaitError {
    /// There is none, or others wait.
    WouldBlock,
    /// The task has one.
    AlreadyBorrowed(AlreadyBorrowed),
}

impl fmt::Display for AcquireNowaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("no token is free"),
            Self::AlreadyBorrowed(error) => error.fmt(f),
        }
    }
}

impl Error for AcquireNowaitError {}
