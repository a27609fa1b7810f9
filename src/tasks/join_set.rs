//! A set of tasks whose outputs are awaited in the order in which they end. How an end is found
//! without a look at every member: `members.rs`.

use super::blocking::spawn_blocking;
use super::local_set::{LocalSet, spawn_local_at};
use super::members::{Ended, Members};
use super::spawn::spawn_at;
use crate::primitive::explore;
use crate::runtime::Handle;
use crate::task::{AbortHandle, Given, Id, JoinError, JoinHandle};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{Location, resume_unwind};
use std::task::{Context, Poll, ready};

/// Tasks with outputs of one type, awaited in the order in which they end.
///
/// All ends are awaited together at the cost of one: 10,000 members are not looked at one by one.
/// When the set is dropped its tasks are aborted; [`detach_all`](JoinSet::detach_all) lets them go on.
///
/// # Examples
///
/// ```
/// use reiver::task::JoinSet;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut set = JoinSet::new();
/// for n in 0..10 {
///     set.spawn(async move { n * n });
/// }
/// let mut sum = 0;
/// while let Some(square) = set.join_next().await {
///     sum += square.unwrap();
/// }
/// assert_eq!(sum, 285);
/// # });
/// ```
pub struct JoinSet<T> {
    members: Members<T>,
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self { members: Members::new() }
    }

    /// How many tasks are in the set: those that run, and those that ended and were not joined.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether all tasks were joined.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<T: 'static> JoinSet<T> {
    /// Names a task before it is spawned into this set.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let mut set = reiver::task::JoinSet::new();
    /// set.build_task().name("adder").spawn(async { 2 + 2 }).unwrap();
    /// assert_eq!(set.join_next().await.unwrap().unwrap(), 4);
    /// # });
    /// ```
    pub fn build_task(&mut self) -> Builder<'_, T> {
        Builder { set: self, name: None }
    }

    /// Spawns a task on the current runtime into this set.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let mut set = reiver::task::JoinSet::new();
    /// let stop = set.spawn(std::future::pending::<()>());
    /// stop.abort();
    /// assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.members.insert(spawn_at(task, Given::default(), Location::caller()))
    }

    /// Spawns a task on the runtime of `handle` into this set.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, task: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.members.insert(handle.spawn(task))
    }

    /// Spawns a task that stays on this thread, on the current [`LocalSet`], into this set.
    ///
    /// # Panics
    ///
    /// Outside a `LocalSet`.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::task::{JoinSet, LocalSet};
    /// use std::rc::Rc;
    /// # let runtime = reiver::runtime::Runtime::new().unwrap();
    /// let local = LocalSet::new();
    /// let answer = local.block_on(&runtime, async {
    ///     let mut set = JoinSet::new();
    ///     set.spawn_local(async { Rc::new(42) });
    ///     set.join_next().await.unwrap().unwrap()
    /// });
    /// assert_eq!(*answer, 42);
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.members.insert(spawn_local_at(task, Given::default(), Location::caller()))
    }

    /// Spawns a task on `local_set` into this set.
    #[track_caller]
    pub fn spawn_local_on<F>(&mut self, task: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.members.insert(local_set.spawn_local(task))
    }

    /// Runs a closure on the pool for blocking jobs, as [`spawn_blocking`], into this set.
    ///
    /// # Panics
    ///
    /// As [`spawn_blocking`].
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let mut set = reiver::task::JoinSet::new();
    /// set.spawn_blocking(|| (1..=100).sum::<u32>());
    /// assert_eq!(set.join_next().await.unwrap().unwrap(), 5050);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.members.insert(spawn_blocking(f))
    }

    /// As [`spawn_blocking`](Self::spawn_blocking), on the pool of another runtime.
    #[track_caller]
    pub fn spawn_blocking_on<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.members.insert(handle.spawn_blocking(f))
    }

    /// Waits for a task to end and takes it out of the set; `None` if the set is empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a task that ended stays in the set until a call returns it.
    ///
    /// # Errors
    ///
    /// The `JoinError` of a task that panicked or was cancelled.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next`](Self::join_next), with the id of the task; in an error it is
    /// [`JoinError::id`].
    ///
    /// # Cancel safety
    ///
    /// As `join_next`.
    ///
    /// # Errors
    ///
    /// As `join_next`.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// Takes a task out of the set that has ended already; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// The `JoinError` of a task that panicked or was cancelled.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.ended_now().map(|(_, result)| result)
    }

    /// As [`try_join_next`](Self::try_join_next), with the id of the task.
    ///
    /// # Errors
    ///
    /// The `JoinError` of a task that panicked or was cancelled.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        self.ended_now().map(with_id)
    }

    fn ended_now(&mut self) -> Option<Ended<T>> {
        if explore::refuses() {
            return None;
        }
        self.members.try_next()
    }

    /// Polls for a task that ended: `Ready(None)` if the set is empty, `Pending` if all tasks run. The
    /// waker of the last call is woken when one ends.
    ///
    /// # Errors
    ///
    /// The `JoinError` of a task that panicked or was cancelled.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        let ended = ready!(self.members.poll_next(cx));
        Poll::Ready(ended.map(|(_, result)| result))
    }

    /// As [`poll_join_next`](Self::poll_join_next), with the id of the task.
    ///
    /// # Errors
    ///
    /// As `poll_join_next`.
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Id, T), JoinError>>> {
        let ended = ready!(self.members.poll_next(cx));
        Poll::Ready(ended.map(with_id))
    }

    /// Waits for all tasks and gives their outputs, in the order in which they ended.
    ///
    /// # Panics
    ///
    /// With the panic of a task that panicked, and if one was cancelled. The rest is aborted then.
    ///
    /// # Cancel safety
    ///
    /// None: dropping the future drops the set and with it all outputs.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let set: reiver::task::JoinSet<_> = (0..3).map(|n| async move { n }).collect();
    /// let mut outputs = set.join_all().await;
    /// outputs.sort();
    /// assert_eq!(outputs, [0, 1, 2]);
    /// # });
    /// ```
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result.map_err(JoinError::try_into_panic) {
                Ok(output) => outputs.push(output),
                Err(Ok(panic)) => resume_unwind(panic),
                Err(Err(cancelled)) => panic!("`JoinSet::join_all`: {cancelled}"),
            }
        }
        outputs
    }

    /// Aborts all tasks and waits until they have ended. Their outputs are dropped.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled, all tasks are aborted; those that were not joined yet stay in the set.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let mut set = reiver::task::JoinSet::new();
    /// set.spawn(std::future::pending::<()>());
    /// set.shutdown().await;
    /// assert!(set.is_empty());
    /// # });
    /// ```
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Asks all tasks to end. They stay in the set, to be joined: as cancelled, or with their output
    /// if they were faster.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let mut set = reiver::task::JoinSet::new();
    /// set.spawn(std::future::pending::<()>());
    /// set.abort_all();
    /// assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort_all(&mut self) {
        self.members.abort_all();
    }

    /// Takes all tasks out of the set and lets them go on alone.
    ///
    /// # Examples
    ///
    /// ```
    /// # let runtime = reiver::runtime::Runtime::new().unwrap();
    /// # runtime.block_on(async {
    /// let mut set = reiver::task::JoinSet::new();
    /// set.spawn(async { println!("printed, whether or not the set lives") });
    /// set.detach_all();
    /// assert!(set.is_empty());
    /// # });
    /// ```
    pub fn detach_all(&mut self) {
        self.members.detach_all();
    }
}

fn with_id<T>((id, result): Ended<T>) -> Result<(Id, T), JoinError> {
    result.map(|output| (id, output))
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

/// Spawns each future on the current runtime.
///
/// # Panics
///
/// Outside a runtime.
impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn from_iter<I: IntoIterator<Item = F>>(tasks: I) -> Self {
        let mut set = Self::new();
        set.extend(tasks);
        set
    }
}

/// Spawns each future on the current runtime.
///
/// # Panics
///
/// Outside a runtime.
impl<T, F> Extend<F> for JoinSet<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn extend<I: IntoIterator<Item = F>>(&mut self, tasks: I) {
        tasks.into_iter().for_each(|task| drop(self.spawn(task)));
    }
}

/// Chooses what a task of a [`JoinSet`] is known by before it is spawned.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut set = reiver::task::JoinSet::new();
/// set.build_task().name("idler").spawn(std::future::pending::<()>()).unwrap();
/// let tasks = reiver::runtime::Handle::current().dump();
/// assert!(tasks.iter().any(|task| task.name() == Some("idler")));
/// # });
/// ```
#[derive(Debug)]
#[must_use = "call one of its `spawn` methods"]
pub struct Builder<'a, T> {
    set: &'a mut JoinSet<T>,
    name: Option<&'a str>,
}

impl<'a, T: 'static> Builder<'a, T> {
    /// A name for listings and reports. Names need not be unique.
    pub fn name(self, name: &'a str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Spawns on the current runtime.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's. So it is for the other methods.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let given = Given::from(self.name.map(Box::from));
        Ok(self.insert(spawn_at(future, given, Location::caller())))
    }

    /// Spawns on the runtime of `handle`.
    ///
    /// # Errors
    ///
    /// None today.
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, handle: &Handle) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let task = super::Builder::named(self.name).spawn_on(future, handle)?;
        Ok(self.insert(task))
    }

    /// Spawns on the current [`LocalSet`].
    ///
    /// # Errors
    ///
    /// None today.
    ///
    /// # Panics
    ///
    /// Outside a `LocalSet`.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + 'static,
    {
        let given = Given::from(self.name.map(Box::from));
        Ok(self.insert(spawn_local_at(future, given, Location::caller())))
    }

    /// Spawns on `local_set`.
    ///
    /// # Errors
    ///
    /// None today.
    #[track_caller]
    pub fn spawn_local_on<F>(self, future: F, local_set: &LocalSet) -> io::Result<AbortHandle>
    where
        F: Future<Output = T> + 'static,
    {
        let given = Given::from(self.name.map(Box::from));
        Ok(self.insert(local_set.spawn_at(future, given, Location::caller())))
    }

    /// Runs a closure on the pool for blocking jobs.
    ///
    /// # Errors
    ///
    /// None today.
    ///
    /// # Panics
    ///
    /// As [`spawn_blocking`].
    #[track_caller]
    pub fn spawn_blocking<F>(self, f: F) -> io::Result<AbortHandle>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        let task = super::Builder::named(self.name).spawn_blocking(f)?;
        Ok(self.insert(task))
    }

    fn insert(self, task: JoinHandle<T>) -> AbortHandle {
        self.set.members.insert(task)
    }
}
