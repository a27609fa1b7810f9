//! Many jobs, a few at a time.

use super::error::OffloadError;
use super::job::Job;
use super::pool::{ProcessPool, Running};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The results of many jobs: made by [`ProcessPool::map`].
///
/// Jobs are taken from the iterator as others end, so it may be endless. Dropping it ends the jobs that run.
#[must_use = "nothing runs before the first `next`"]
pub struct Map<I: Iterator<Item = Job<R>>, R> {
    pool: ProcessPool,
    jobs: std::iter::Fuse<I>,
    /// Those on their way, in the order of the input, with what they gave.
    running: VecDeque<(usize, State<R>)>,
    begun: usize,
    width: usize,
    ordered: bool,
    chunk: usize,
}

enum State<R> {
    Running(Running<R>),
    Done(Result<R, OffloadError>),
}

impl ProcessPool {
    /// Runs the jobs of an iterator, a few at a time; the results come as they are ready, by
    /// [`next`](Map::next).
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::offload::ProcessPool;
    ///
    /// #[reiver::offload]
    /// fn square(n: u64) -> u64 {
    ///     n * n
    /// }
    ///
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let pool = ProcessPool::builder().workers(2).build();
    /// let mut squares = pool.map((0..100).map(square::job)).ordered();
    /// let mut sum = 0;
    /// while let Some((_, square)) = squares.next().await {
    ///     sum += square.unwrap();
    /// }
    /// assert_eq!(sum, 328_350);
    /// # });
    /// ```
    pub fn map<I, R>(&self, jobs: I) -> Map<I::IntoIter, R>
    where
        I: IntoIterator<Item = Job<R>>,
    {
        let (pool, width) = (self.clone(), self.width());
        let jobs = jobs.into_iter().fuse();
        Map { pool, jobs, running: VecDeque::new(), begun: 0, width, ordered: false, chunk: 1 }
    }
}

impl<I: Iterator<Item = Job<R>>, R> Map<I, R> {
    /// How many jobs are on their way at a time: by default two for each worker, so that none waits for us.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        assert!(jobs > 0, "without a job on its way there is no result");
        self.width = jobs;
        self
    }

    /// Gives each worker up to so many jobs at a time, which pays for jobs that are shorter than the way to a
    /// worker: they go in one message, and it does one after the other. As many more are on their way. Each job still
    /// has its own end: when a worker is lost, or one of its jobs takes longer than a millisecond, those that it has not
    /// begun go to others.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn chunks(mut self, jobs: usize) -> Self {
        assert!(jobs > 0, "a worker without a job does nothing");
        self.chunk = jobs;
        self.width = self.width.max(self.pool.width() * jobs);
        self
    }

    /// Gives the results in the order of the jobs.
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// The next result, with the number of its job; `None` after the last. An error ends its job only.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(usize, Result<R, OffloadError>)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(usize, Result<R, OffloadError>)>> {
        while self.running.len() < self.width {
            let Some(mut job) = self.jobs.next() else { break };
            job.call.options.chunk = self.chunk;
            let mut state = State::Running(self.pool.run(job));
            // Now, and not with all others below: it is submitted by its first poll.
            state.poll(cx);
            self.running.push_back((self.begun, state));
            self.begun += 1;
        }
        if let Some(result) = self.take_done() {
            return Poll::Ready(Some(result));
        }
        self.running.iter_mut().for_each(|(_, state)| state.poll(cx));
        match self.take_done() {
            Some(result) => Poll::Ready(Some(result)),
            None if self.running.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// A result that may be given now.
    fn take_done(&mut self) -> Option<(usize, Result<R, OffloadError>)> {
        let done = |(_, state): &(usize, State<R>)| matches!(state, State::Done(_));
        let at = match self.ordered {
            true => self.running.front().is_some_and(done).then_some(0),
            false => self.running.iter().position(done),
        };
        match self.running.remove(at?)? {
            (number, State::Done(result)) => Some((number, result)),
            (_, State::Running(_)) => None,
        }
    }
}

impl<R> State<R> {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::Running(job) = self {
            if let Poll::Ready(result) = Pin::new(job).poll(cx) {
                *self = Self::Done(result);
            }
        }
    }
}

/// Nothing of it is pinned: what runs is in boxes.
impl<I: Iterator<Item = Job<R>>, R> Unpin for Map<I, R> {}

impl<I: Iterator<Item = Job<R>>, R> fmt::Debug for Map<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("begun", &self.begun).finish_non_exhaustive()
    }
}
