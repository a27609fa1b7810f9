//! A set of tasks with keys: [`Members`], and for each slot its key.
//!
//! A key that is given to another task stays behind without its key: it is aborted, and when it comes
//! out of the members it is dropped instead of returned.

use super::blocking::spawn_blocking;
use super::members::Members;
use super::spawn::spawn_at;
use crate::runtime::Handle;
use crate::task::{AbortHandle, Given, Id, JoinError, JoinHandle};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::panic::Location;
use std::task::{Context, Poll, ready};

/// Tasks with keys, awaited in the order in which they end. As `tokio_util::task::JoinMap`.
///
/// A key has one task: spawning with a key that is there aborts its task, and that one's output is
/// dropped. When the map is dropped, its tasks are aborted.
///
/// # Examples
///
/// ```
/// use reiver::task::JoinMap;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut map = JoinMap::new();
/// map.spawn("idle", std::future::pending());
/// map.spawn("sum", async { 2 + 2 });
/// let (key, sum) = map.join_next().await.unwrap();
/// assert_eq!((key, sum.unwrap()), ("sum", 4));
/// assert!(map.abort(&"idle"));
/// let (key, idle) = map.join_next().await.unwrap();
/// assert!(key == "idle" && idle.unwrap_err().is_cancelled());
/// assert!(map.is_empty());
/// # });
/// ```
pub struct JoinMap<K, V> {
    members: Members<V>,
    /// The tasks that have a key.
    keys: HashMap<K, AbortHandle>,
    /// The key of each member that has one.
    names: HashMap<Id, K>,
}

impl<K, V> JoinMap<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        Self { members: Members::new(), keys: HashMap::new(), names: HashMap::new() }
    }

    /// How many tasks are in the map: those that run, and those that ended and were not joined.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether all tasks were joined.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.keys.keys()
    }
}

impl<K: Hash + Eq + Clone, V: 'static> JoinMap<K, V> {
    /// Spawns a task on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, key: K, task: F)
    where
        F: Future<Output = V> + Send + 'static,
        V: Send,
    {
        self.insert(key, spawn_at(task, Given::default(), Location::caller()));
    }

    /// Spawns a task on the runtime of `handle`.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, key: K, task: F, handle: &Handle)
    where
        F: Future<Output = V> + Send + 'static,
        V: Send,
    {
        self.insert(key, handle.spawn(task));
    }

    /// Runs a closure on the pool for blocking jobs.
    ///
    /// # Panics
    ///
    /// As [`spawn_blocking`](crate::task::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, key: K, f: F)
    where
        F: FnOnce() -> V + Send + 'static,
        V: Send,
    {
        self.insert(key, spawn_blocking(f));
    }

    fn insert(&mut self, key: K, task: JoinHandle<V>) {
        let id = task.id();
        let abort = self.members.insert(task);
        self.names.insert(id, key.clone());
        if let Some(before) = self.keys.insert(key, abort) {
            self.names.remove(&before.id());
            before.abort();
        }
    }

    /// Waits for a task to end and takes it out of the map; `None` if the map is empty.
    ///
    /// # Errors
    ///
    /// Beside the key stands the `JoinError` of a task that panicked or was cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn join_next(&mut self) -> Option<(K, Result<V, JoinError>)> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// The form of [`join_next`](Self::join_next) for hand-written futures.
    pub fn poll_join_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(K, Result<V, JoinError>)>> {
        while !self.keys.is_empty() {
            let Some((id, result)) = ready!(self.members.poll_next(cx)) else { break };
            if let Some(key) = self.names.remove(&id) {
                self.keys.remove(&key);
                return Poll::Ready(Some((key, result)));
            }
        }
        Poll::Ready(None)
    }

    /// Asks the task with this key to end; it stays in the map, to be joined. `false` if there is none.
    pub fn abort(&mut self, key: &K) -> bool {
        let task = self.keys.get(key);
        task.inspect(|task| task.abort()).is_some()
    }

    /// Asks all tasks to end whose keys match.
    pub fn abort_matching(&mut self, mut matches: impl FnMut(&K) -> bool) {
        let matching = self.keys.iter().filter(|(key, _)| matches(key));
        matching.for_each(|(_, task)| task.abort());
    }

    /// Asks all tasks to end. They stay in the map, to be joined.
    pub fn abort_all(&mut self) {
        self.members.abort_all();
    }

    /// Aborts all tasks and waits until they have ended. Their outputs are dropped.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled, all tasks are aborted; those that were not joined yet stay in the map.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Takes all tasks out of the map and lets them go on alone.
    pub fn detach_all(&mut self) {
        self.members.detach_all();
        self.keys.clear();
        self.names.clear();
    }

    /// Whether there is a task with this key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the task is in the map.
    pub fn contains_task(&self, task: &Id) -> bool {
        self.names.contains_key(task)
    }
}

impl<K, V> Default for JoinMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for JoinMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}
