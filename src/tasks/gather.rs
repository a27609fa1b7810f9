//! Several futures as tasks, awaited together: in their order, in the order of their ends, or until
//! one of them has ended. Built on [`Members`], so that one of 10,000 costs no look at the others.
//!
//! What is spawned here ends here: dropping the future, and an error or panic that ends it early, aborts
//! the rest. [`wait`] alone takes tasks that others spawned, and gives them back.

use super::members::Members;
use super::spawn::spawn_at;
use crate::task::{Given, Id, JoinError, JoinHandle};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs all futures as tasks and gives their outputs in the order of the futures, as asyncio's
/// `gather`.
///
/// If the outputs are `Result`s, this is asyncio's form with `return_exceptions`: all futures run to
/// their ends. [`try_gather`] stops at the first error.
///
/// # Panics
///
/// Outside a runtime. And with the panic of a future; the others are aborted then.
///
/// # Cancel safety
///
/// Nothing is spawned before the first poll. Dropped later, it aborts all tasks.
///
/// # Examples
///
/// ```
/// use reiver::time::{Duration, sleep};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let squares = reiver::task::gather((0..5u64).map(|n| async move {
///     sleep(Duration::from_millis(5 - n)).await;
///     n * n
/// }));
/// assert_eq!(squares.await, [0, 1, 4, 9, 16]);
/// # });
/// ```
#[track_caller]
pub fn gather<I, F, T>(futures: I) -> Gather<Vec<T>>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let all = Spawned::of(futures);
    Gather::new(async move {
        let outputs = all.outputs(|result| Ok::<_, Infallible>(or_panic(result)));
        outputs.await.unwrap_or_else(|never| match never {})
    })
}

/// As [`gather`], with panics as values too.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Cancel safety
///
/// As [`gather`].
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let results = reiver::task::gather_results((0..2).map(|n| async move { 1 / n })).await;
/// assert!(results[0].as_ref().unwrap_err().is_panic());
/// assert_eq!(*results[1].as_ref().unwrap(), 1);
/// # });
/// ```
#[track_caller]
pub fn gather_results<I, F, T>(futures: I) -> Gather<Vec<Result<T, JoinError>>>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let all = Spawned::of(futures);
    Gather::new(async move {
        all.outputs(Ok::<_, Infallible>).await.unwrap_or_else(|never| match never {})
    })
}

/// As [`gather`], up to the first error: then the other tasks are aborted, and it ends when they have.
///
/// # Errors
///
/// The first error.
///
/// # Panics
///
/// As [`gather`].
///
/// # Cancel safety
///
/// As [`gather`].
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let texts = ["1", "two", "3"];
/// let numbers = reiver::task::try_gather(texts.map(|text| async move { text.parse::<i32>() }));
/// assert!(numbers.await.is_err());
/// # });
/// ```
#[track_caller]
pub fn try_gather<I, F, T, E>(futures: I) -> Gather<Result<Vec<T>, E>>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let all = Spawned::of(futures);
    Gather::new(async move { all.outputs(or_panic).await })
}

/// The future of [`gather`] and its kin. It keeps nothing of the iterator.
#[must_use = "nothing is spawned unless it is polled"]
pub struct Gather<T>(Pin<Box<dyn Future<Output = T> + Send>>);

impl<T> Gather<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl<T> Future for Gather<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").finish_non_exhaustive()
    }
}

/// Runs all futures as tasks, to be awaited in the order in which they end, as asyncio's
/// `as_completed`. Each comes with its place among the futures.
///
/// When it is dropped, the tasks that were not awaited are aborted.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut first = reiver::task::as_completed((0..10).map(|n| async move {
///     if n == 7 { n } else { std::future::pending().await }
/// }));
/// assert!(matches!(first.next().await, Some((7, Ok(7)))));
/// # });
/// ```
#[track_caller]
pub fn as_completed<I, F, T>(futures: I) -> AsCompleted<T>
where
    I: IntoIterator<Item = F>,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    AsCompleted { members: Spawned::of(futures).start() }
}

/// Tasks in the order of their ends. Made by [`as_completed`].
pub struct AsCompleted<T> {
    members: Members<T>,
}

impl<T> AsCompleted<T> {
    /// Waits for the next end: which of the futures it was, and its output. `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(usize, Result<T, JoinError>)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The form of [`next`](Self::next) for hand-written futures.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        let next = self.members.poll_next_in_slot(cx);
        next.map(|next| next.map(|(place, (_, result))| (place, result)))
    }

    /// How many have not been awaited.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether all have been awaited.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("len", &self.len()).finish()
    }
}

/// When [`wait`] returns. As asyncio's `return_when`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When any task has ended.
    FirstCompleted,
    /// When any task has panicked or was cancelled; or when all have ended.
    FirstError,
    /// When all tasks have ended.
    All,
}

/// Waits for tasks without taking them over, as asyncio's `wait`: those that ended leave `tasks` and
/// are returned in the order of their ends, the others stay there and go on.
///
/// # Panics
///
/// If the output of one of `tasks` was taken already.
///
/// # Cancel safety
///
/// Dropping the future puts all tasks back into `tasks`, those that have ended first. With
/// [`When::FirstError`] those that have ended, whose outputs had to be looked at, are lost.
///
/// # Examples
///
/// ```
/// use reiver::task::{When, wait};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut tasks = vec![
///     reiver::spawn(std::future::pending()),
///     reiver::spawn(async { "done" }),
/// ];
/// let done = wait(&mut tasks, When::FirstCompleted).await;
/// assert_eq!(*done[0].1.as_ref().unwrap(), "done");
/// assert_eq!(tasks.len(), 1);
/// # });
/// ```
pub async fn wait<T>(
    tasks: &mut Vec<JoinHandle<T>>,
    when: When,
) -> Vec<(Id, Result<T, JoinError>)> {
    if when == When::FirstError {
        return wait_until(tasks, Result::is_err).await;
    }
    let mut lent = Lent::new(tasks);
    let ends = lent.members.ends();
    while !lent.members.is_empty() {
        let end = poll_fn(|cx| ends.poll(cx)).await;
        lent.ended.push(lent.members.redeem(end));
        if when == When::FirstCompleted {
            break;
        }
    }
    std::mem::take(&mut lent.ended).into_iter().map(taken).collect()
}

/// As [`wait`], until a result is what is waited for, or all tasks have ended.
///
/// # Cancel safety
///
/// As [`wait`] with [`When::FirstError`].
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut tasks: Vec<_> = (1..=3).map(|n| reiver::spawn(async move { 10 / n })).collect();
/// let done = reiver::task::wait_until(&mut tasks, |result| matches!(result, Ok(5))).await;
/// assert_eq!(*done.last().unwrap().1.as_ref().unwrap(), 5);
/// # });
/// ```
pub async fn wait_until<T>(
    tasks: &mut Vec<JoinHandle<T>>,
    mut enough: impl FnMut(&Result<T, JoinError>) -> bool,
) -> Vec<(Id, Result<T, JoinError>)> {
    let mut lent = Lent::new(tasks);
    let mut ended = Vec::new();
    while let Some(next) = poll_fn(|cx| lent.members.poll_next(cx)).await {
        let stop = enough(&next.1);
        ended.push(next);
        if stop {
            break;
        }
    }
    ended
}

/// Tasks that are being waited for; what is left of them goes back where it came from.
struct Lent<'a, T> {
    tasks: &'a mut Vec<JoinHandle<T>>,
    members: Members<T>,
    /// Their outputs have not been taken.
    ended: Vec<JoinHandle<T>>,
}

impl<'a, T> Lent<'a, T> {
    fn new(tasks: &'a mut Vec<JoinHandle<T>>) -> Self {
        // Before any is taken.
        tasks.iter().for_each(JoinHandle::assert_has_output);
        let mut members = Members::new();
        tasks.drain(..).for_each(|task| drop(members.insert(task)));
        Self { tasks, members, ended: Vec::new() }
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.tasks.append(&mut self.ended);
        self.tasks.append(&mut self.members.take_all());
    }
}

/// The output of a task that has ended.
fn taken<T>(mut task: JoinHandle<T>) -> (Id, Result<T, JoinError>) {
    match task.take_output() {
        Poll::Ready(result) => (task.id(), result),
        Poll::Pending => unreachable!("it has ended, and its output is taken here only"),
    }
}

/// Futures that are spawned when they are first awaited, or at once.
struct Spawned<F> {
    futures: Vec<F>,
    location: &'static Location<'static>,
}

impl<F> Spawned<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[track_caller]
    fn of(futures: impl IntoIterator<Item = F>) -> Self {
        Self { futures: futures.into_iter().collect(), location: Location::caller() }
    }

    #[track_caller]
    fn start(self) -> Members<F::Output> {
        let mut members = Members::new();
        for future in self.futures {
            members.insert(spawn_at(future, Given::default(), self.location));
        }
        members
    }

    /// Runs all; `judge` turns each result into an output, or into the error that ends it.
    async fn outputs<T, E>(
        self,
        mut judge: impl FnMut(Result<F::Output, JoinError>) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut outputs: Vec<Option<T>> = self.futures.iter().map(|_| None).collect();
        let mut members = self.start();
        while let Some((place, (_, result))) = poll_fn(|cx| members.poll_next_in_slot(cx)).await {
            match judge(result) {
                Ok(output) => outputs[place] = Some(output),
                Err(error) => {
                    members.abort_all();
                    while poll_fn(|cx| members.poll_next(cx)).await.is_some() {}
                    return Err(error);
                }
            }
        }
        Ok(outputs.into_iter().map(|output| output.expect("each task ends once")).collect())
    }
}

/// The output of a task of ours; its panic is ours.
fn or_panic<T>(result: Result<T, JoinError>) -> T {
    match result.map_err(JoinError::try_into_panic) {
        Ok(output) => output,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(cancelled)) => panic!("{cancelled}: its runtime shut down"),
    }
}
