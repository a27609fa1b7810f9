//! Drives the body of a scope and the end of its tasks.

use super::ambient::Ambient;
use super::{Failure, Group, GroupError, Phase};
use crate::sync::CancellationToken;
use crate::task::{AbortHandle, JoinHandle, TaskInfo, budget};
use crate::time::{Instant, Sleep, sleep, sleep_until};
use crate::util::note::{self, WaitKind};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

/// Runs `body`, which may spawn tasks into the [`Group`] that it gets, and waits until they all have
/// ended.
///
/// When the body or a task fails, the others are asked to stop ([`cancelled`](super::cancelled)) and
/// then dropped; see [`ScopeBuilder::grace`]. What failed meanwhile is returned with the first failure.
/// A scope inside another is asked with it.
///
/// # Errors
///
/// All failures, the first one first.
///
/// # Panics
///
/// Outside a runtime. And with the panic of the body, whose tasks are aborted then.
///
/// # Cancel safety
///
/// Dropping the future drops the body and aborts all tasks, which end at their next turn on a worker:
/// nobody is there to wait for them.
///
/// # Examples
///
/// ```
/// use reiver::task::{Group, scope};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let result = scope(async |group: Group| {
///     group.spawn(std::future::pending::<Result<(), _>>());
///     group.spawn(async { Ok("x".parse::<i32>()?) });
///     Ok(())
/// });
/// let error = result.await.unwrap_err();
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// assert_eq!(error.cancelled().len(), 1);
/// # });
/// ```
pub async fn scope<F, Fut, T, E>(body: F) -> Result<T, GroupError<E>>
where
    F: FnOnce(Group<E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: Send + 'static,
{
    ScopeBuilder::new().run(body).await
}

/// What a [`scope`] is opened with. Made by [`Group::builder`].
#[derive(Debug, Clone, Copy)]
#[must_use = "call `run`"]
pub struct ScopeBuilder {
    limit: Option<Limit>,
    grace: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    After(Duration),
    At(Instant),
}

impl ScopeBuilder {
    pub(super) fn new() -> Self {
        Self { limit: None, grace: None }
    }

    /// When the scope is over. A scope inside another is over no later than that.
    pub fn deadline(self, deadline: Instant) -> Self {
        Self { limit: Some(Limit::At(deadline)), ..self }
    }

    /// How long the scope may take from the first poll on.
    pub fn timeout(self, limit: Duration) -> Self {
        Self { limit: Some(Limit::After(limit)), ..self }
    }

    /// How long the body and the tasks may go on after they were asked to stop, to clean up. By default
    /// as long as in the scope around this one, and outside of scopes not at all.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace: Some(grace), ..self }
    }

    /// Runs the scope. See [`scope`].
    ///
    /// # Errors
    ///
    /// As [`scope`].
    ///
    /// # Cancel safety
    ///
    /// As [`scope`].
    pub async fn run<F, Fut, T, E>(self, body: F) -> Result<T, GroupError<E>>
    where
        F: FnOnce(Group<E>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Send + 'static,
    {
        let deadline = match self.limit {
            Some(Limit::At(deadline)) => Some(deadline),
            Some(Limit::After(limit)) => Instant::now().checked_add(limit),
            None => None,
        };
        let group = Group::new(Ambient::inner(deadline, self.grace));
        let ambient = group.0.ambient.clone();
        let mut driver = Driver::new(group.clone());
        let mut body = pin!(Some(ambient.enter(async { body(group).await })));
        let mut timer = pin!(ambient.deadline.map(sleep_until));
        let mut asked = pin!(asked(&ambient.token));
        poll_fn(|cx| driver.poll(cx, body.as_mut(), timer.as_mut(), asked.as_mut())).await;
        driver.result()
    }
}

async fn asked(token: &CancellationToken) {
    token.cancelled().await;
}

/// How many tasks that have ended one poll takes.
const MOST: usize = 64;

struct Driver<E: Send + 'static, T> {
    group: Group<E>,
    value: Option<T>,
    failures: Vec<Failure<E>>,
    cancelled: Vec<TaskInfo>,
    /// The token was cancelled; the timer is that of the grace period.
    asked: bool,
    dropping: bool,
}

impl<E: Send + 'static, T> Driver<E, T> {
    fn new(group: Group<E>) -> Self {
        Self {
            group,
            value: None,
            failures: Vec::new(),
            cancelled: Vec::new(),
            asked: false,
            dropping: false,
        }
    }

    /// Ready when the body and all tasks have ended, and the group is closed.
    fn poll<B: Future<Output = Result<T, E>>>(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Pin<&mut Option<B>>,
        timer: Pin<&mut Option<Sleep>>,
        asked: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<()> {
        let had_budget = budget::has_remaining();
        if let Some(Poll::Ready(result)) = body.as_mut().as_pin_mut().map(|body| body.poll(cx)) {
            body.set(None);
            match result {
                Ok(value) => self.value = Some(value),
                Err(error) => self.fail(Failure::Error(error)),
            }
        }
        self.take_ended(cx);
        budget::for_limit(had_budget, || self.look_at_limits(cx, body.as_mut(), timer, asked));
        if self.close(body.is_none()) {
            return Poll::Ready(());
        }
        if body.is_none() {
            note::wait_at(WaitKind::Tasks, &*self.group.0);
        }
        Poll::Pending
    }

    /// Asks body and tasks to stop when it is time, and drops them when their grace is over.
    fn look_at_limits<B>(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Pin<&mut Option<B>>,
        mut timer: Pin<&mut Option<Sleep>>,
        asked: Pin<&mut impl Future<Output = ()>>,
    ) {
        if !self.asked {
            if timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready()) {
                self.fail(Failure::Deadline);
            }
            if asked.poll(cx).is_ready() {
                self.asked = true;
                timer.set(Some(sleep(self.group.0.ambient.grace)));
            }
        }
        if self.asked && !self.dropping && !self.is_over(body.is_none()) {
            let none = self.group.0.ambient.grace.is_zero();
            if none || timer.as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready()) {
                self.dropping = true;
                body.set(None);
                self.drop_tasks();
                self.take_ended(cx);
            }
        }
    }

    /// Looks after the tasks that have ended, and leaves the waker for the next.
    fn take_ended(&mut self, cx: &mut Context<'_>) {
        for taken in 0.. {
            if taken == MOST {
                // Tasks end as fast as they are taken; the scope's limits are to be looked at, too.
                return cx.waker().wake_by_ref();
            }
            let Poll::Ready(end) = self.group.0.ends.poll(cx) else { return };
            let mut task = self.group.0.state.lock().members.redeem(end);
            match output(&mut task) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(Failure::Error(error)),
                Err(error) if error.is_panic() => self.fail(Failure::Panic(error)),
                Err(_) => self.cancelled.push(task.info()),
            }
        }
    }

    fn fail(&mut self, failure: Failure<E>) {
        self.failures.push(failure);
        self.group.cancel();
    }

    fn drop_tasks(&self) {
        let tasks: Vec<AbortHandle> = {
            let mut state = self.group.0.state.lock();
            state.phase = Phase::Dropping;
            state.members.handles().map(JoinHandle::abort_handle).collect()
        };
        // Without the lock: an abort may wake an executor of the user's.
        tasks.iter().for_each(AbortHandle::abort);
    }

    fn is_over(&self, body_ended: bool) -> bool {
        let state = self.group.0.state.lock();
        body_ended && state.members.is_empty() && state.reserved == 0
    }

    /// Closes the group if nobody is inside.
    fn close(&self, body_ended: bool) -> bool {
        let mut state = self.group.0.state.lock();
        let over = body_ended && state.members.is_empty() && state.reserved == 0;
        if over {
            state.phase = Phase::Closed;
        }
        over
    }

    fn result(mut self) -> Result<T, GroupError<E>> {
        let failures = std::mem::take(&mut self.failures);
        match self.value.take() {
            Some(value) if failures.is_empty() => Ok(value),
            _ => Err(GroupError { failures, cancelled: std::mem::take(&mut self.cancelled) }),
        }
    }
}

/// The output of a task that has ended.
fn output<T>(task: &mut JoinHandle<T>) -> Result<T, crate::task::JoinError> {
    match task.take_output() {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it has ended, and its output is taken here only"),
    }
}

impl<E: Send + 'static, T> Drop for Driver<E, T> {
    fn drop(&mut self) {
        let members = {
            let mut state = self.group.0.state.lock();
            state.phase = Phase::Closed;
            std::mem::take(&mut state.members)
        };
        // Aborts what is left, which is nothing if the scope has come to its end.
        drop(members);
        self.group.cancel();
    }
}
