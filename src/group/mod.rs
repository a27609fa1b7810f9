//! Structured concurrency: groups of tasks that end before the code that opened them goes on.
//!
//! The public face is [`reiver::task`](crate::task). [`scope`] opens a group and drives it
//! (`driver.rs`); what a group's tasks inherit stands in `ambient.rs`.
//!
//! # Who is inside
//!
//! A group may be cloned and given to its tasks, which spawn siblings. So its members lie under a lock
//! that no user code runs under, and a spawn has two steps:
//!
//! 1. *Reserve*: under the lock look whether the group is open, and count one more.
//! 2. *Enter*: spawn without the lock, then under it put the handle among the members and take the
//!    count back. If the group has begun to drop its tasks meanwhile, the new one is aborted.
//!
//! The driver ends when, under the lock, there is neither a member nor a reservation, and closes the
//! group in the same moment. So no task enters a group that has ended, and none is left out of an end.
//!
//! # How it ends
//!
//! ```text
//!           failure, cancel(), deadline,                    grace is over
//!           request from outside                            
//!  Open ───────────────────────────────► Asked ───────────────────────────► Dropping ──► Closed
//!    │                                     │                                               ▲
//!    └─────────────────────────────────────┴── the body and all tasks have ended ──────────┘
//! ```
//!
//! *Asked*: the token of the group is cancelled, and who looks at it may clean up. *Dropping*: the body
//! is dropped, and all tasks are aborted. Without a grace period one follows the other at once.
//!
//! When the future of `scope` itself is dropped, nobody is left to wait: its tasks are aborted, and end
//! at their next turn.
//!
//! Rejected: a group without a closure around its body, as `JoinSet` is: its tasks would outlive an
//! early `return`. Tasks that borrow from the body: a future can be forgotten, and then its tasks would
//! use what is gone.

mod ambient;
mod driver;
mod error;

pub use ambient::{
    cancel_requested, cancellation_token, cancelled, deadline, timeout_scope, timeout_scope_at,
};
pub use driver::{ScopeBuilder, scope};
pub use error::{ChildFailed, Failure, GroupError, StartError};

use crate::primitive::atomic::{AtomicBool, Ordering::*};
use crate::primitive::{Arc, Mutex};
use crate::sync::{CancellationToken, oneshot};
use crate::task::{AbortHandle, Builder, JoinHandle};
use crate::tasks::members::{Ends, Members};
use ambient::Ambient;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The tasks of a [`scope`]: they end before it does, and the first to fail ends all.
///
/// A clone is the same group. It may be given to its tasks, so that they spawn siblings; once the
/// scope has ended, nothing can be spawned.
///
/// # Examples
///
/// ```
/// use reiver::task::{Group, scope};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let sum = scope(async |group: Group| {
///     let two = group.spawn(async { Ok(1 + 1) });
///     let three = group.spawn(async { Ok("3".parse::<i32>()?) });
///     Ok(two.await? + three.await?)
/// });
/// assert_eq!(sum.await.unwrap(), 5);
/// # });
/// ```
pub struct Group<E = Box<dyn Error + Send + Sync>>(Arc<Core<E>>);

struct Core<E> {
    ambient: Ambient,
    ends: Ends,
    state: Mutex<State<E>>,
}

struct State<E> {
    members: Members<Result<(), E>>,
    /// Tasks that are about to enter.
    reserved: usize,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Tasks are aborted, those that enter too.
    Dropping,
    /// There is no driver any more.
    Closed,
}

impl Group {
    /// Chooses a deadline or a grace period before a scope is opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::task::{Failure, Group};
    /// use std::time::Duration;
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let late = Group::builder().timeout(Duration::from_millis(1)).run(async |group: Group| {
    ///     group.spawn_named("sleeper", std::future::pending::<Result<(), _>>());
    ///     Ok(())
    /// });
    /// let error = late.await.unwrap_err();
    /// assert!(matches!(error.failures(), [Failure::Deadline]));
    /// assert_eq!(error.cancelled()[0].name(), Some("sleeper"));
    /// # });
    /// ```
    pub fn builder() -> ScopeBuilder {
        ScopeBuilder::new()
    }
}

impl<E: Send + 'static> Group<E> {
    fn new(ambient: Ambient) -> Self {
        let members = Members::new();
        let ends = members.ends();
        let state = State { members, reserved: 0, phase: Phase::Open };
        Self(Arc::new(Core { ambient, ends, state: Mutex::new(state) }))
    }

    /// Spawns a task of this group. If it fails or panics, the group is cancelled.
    ///
    /// Its value can be awaited; it may also be left alone.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Child<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(Builder::new(), future)
    }

    /// As [`spawn`](Self::spawn), with a name for listings and reports.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn_named<T, F>(&self, name: &str, future: F) -> Child<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(Builder::new().name(name), future)
    }

    /// Spawns a task and waits until it says that it has [`Started`]; then it goes on as any other
    /// task of the group. As trio's `nursery.start`.
    ///
    /// # Errors
    ///
    /// If the task ends before. Its error comes back here and does not cancel the group.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped before the task has started, the task is aborted.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::net::{TcpListener, TcpStream};
    /// use reiver::task::{Group, Started, scope};
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let result = scope(async |group: Group| {
    ///     let address = group.start(async |started: Started<_>| {
    ///         let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///         started.set(listener.local_addr()?);
    ///         listener.accept().await?;
    ///         Ok(())
    ///     });
    ///     // It listens by now.
    ///     TcpStream::connect(address.await?).await?;
    ///     Ok(())
    /// });
    /// result.await.unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn start<V, F, Fut>(&self, f: F) -> impl Future<Output = Result<V, StartError<E>>> + Send
    where
        F: FnOnce(Started<V>) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        V: Send + 'static,
    {
        let (value, valued) = oneshot::channel();
        let (failure, failed) = oneshot::channel();
        let set = Arc::new(AtomicBool::new(false));
        let child = f(Started { value, set: set.clone() });
        let child = self.spawn(async move {
            match child.await {
                // Relaxed: set by this task, if at all before its end.
                Err(error) if !set.load(Relaxed) => failure.send(error),
                result => result,
            }
        });
        let mut unstarted = Unstarted(child.task);
        async move {
            let Ok(value) = valued.await else {
                let error = failed.await.map_or(StartError::NotStarted, StartError::Failed);
                return Err(error);
            };
            unstarted.has_started();
            Ok(value)
        }
    }

    /// Asks all tasks and the body to stop, as a failure does, without one.
    pub fn cancel(&self) {
        self.0.ambient.token.cancel();
    }

    /// The token by which the group is asked to stop. It is a child of that of the scope around it.
    pub fn token(&self) -> &CancellationToken {
        &self.0.ambient.token
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        let state = self.0.state.lock();
        state.members.len() + state.reserved
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[track_caller]
    fn spawn_with<T, F>(&self, builder: Builder<'_>, future: F) -> Child<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
    {
        let (send, value) = oneshot::channel();
        let Some(reservation) = Reservation::new(&self.0) else {
            return Child { value, task: None };
        };
        let child = self.0.ambient.enter(async move {
            // Nobody may want the value.
            future.await.map(|value| drop(send.send(value)))
        });
        match builder.spawn(child) {
            Ok(task) => Child { value, task: Some(reservation.enter(task)) },
            Err(error) => panic!("the task was not spawned: {error}"),
        }
    }
}

impl<E> Clone for Group<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> fmt::Debug for Group<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("Group")
            .field("len", &(state.members.len() + state.reserved))
            .field("cancelled", &self.0.ambient.token.is_cancelled())
            .finish()
    }
}

/// One more in the count of a group, until its task is a member or was not spawned.
struct Reservation<'a, E>(&'a Core<E>);

impl<'a, E> Reservation<'a, E> {
    /// `None` if the group takes no more tasks.
    fn new(core: &'a Core<E>) -> Option<Self> {
        let mut state = core.state.lock();
        if state.phase != Phase::Open {
            return None;
        }
        state.reserved += 1;
        Some(Self(core))
    }

    fn enter(self, task: JoinHandle<Result<(), E>>) -> AbortHandle {
        let core = self.0;
        std::mem::forget(self);
        let mut state = core.state.lock();
        state.reserved -= 1;
        if state.phase == Phase::Closed {
            drop(state);
            task.abort();
            return task.abort_handle();
        }
        let dropping = state.phase == Phase::Dropping;
        let (abort, ended) = state.members.insert_quietly(task);
        drop(state);
        if let Some(ended) = ended {
            ended.wake();
        }
        if dropping {
            abort.abort();
        }
        abort
    }
}

impl<E> Drop for Reservation<'_, E> {
    fn drop(&mut self) {
        self.0.state.lock().reserved -= 1;
        self.0.ends.wake();
    }
}

/// The value of a task of a [`Group`]. Dropping it changes nothing: the task belongs to the group.
///
/// # Cancel safety
///
/// Awaiting `&mut child` and dropping that future loses nothing.
#[must_use = "the value of the task; drop it if it is not wanted"]
pub struct Child<T> {
    value: oneshot::Receiver<T>,
    /// `None` if the group had ended.
    task: Option<AbortHandle>,
}

impl<T> Child<T> {
    /// Cancels this task alone, which is no failure of the group.
    pub fn abort(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(AbortHandle::is_finished)
    }
}

impl<T> Future for Child<T> {
    type Output = Result<T, ChildFailed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let value = ready!(Pin::new(&mut self.value).poll(cx));
        Poll::Ready(value.map_err(|_| ChildFailed(())))
    }
}

impl<T> fmt::Debug for Child<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("finished", &self.is_finished()).finish()
    }
}

/// How a task tells [`Group::start`] that it has started.
#[must_use = "`start` waits until `set` is called"]
pub struct Started<V> {
    value: oneshot::Sender<V>,
    set: Arc<AtomicBool>,
}

impl<V> Started<V> {
    /// Lets `start` return `value`.
    pub fn set(self, value: V) {
        // Relaxed: for this task's own end.
        self.set.store(true, Relaxed);
        // Whoever called `start` may be gone; then the task is being aborted.
        drop(self.value.send(value));
    }
}

impl<V> fmt::Debug for Started<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").finish_non_exhaustive()
    }
}

/// A task that has not started, and is aborted when nobody waits for that any more.
struct Unstarted(Option<AbortHandle>);

impl Unstarted {
    fn has_started(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
