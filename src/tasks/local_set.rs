//! Tasks that stay on one thread: futures that are not `Send`.
//!
//! A `LocalSet` is a scheduler of its own inside a future. Whoever polls that future (a `block_on`,
//! another executor) runs its tasks, a turn at a time.
//!
//! # Where a task goes
//!
//! A task's `Runnable` lies in one of two queues. What is woken while the set is *current* on its
//! thread, which only a poll or a guard on that thread can bring about, goes to the *local* queue,
//! which needs no lock. Everything else goes to the *remote* queue under a lock, and wakes whoever
//! polled the set last.
//!
//! 1. A turn first, in one lock, takes the remote queue and leaves the poller's waker. So what comes
//!    later finds the waker; it is woken once, by the first to come.
//! 2. It runs at most [`TURN`] tasks, and ends early when [`SLICE`] is over. If tasks are left, it wakes
//!    itself.
//!
//! # Why it is sound to call tasks `Send` that are not
//!
//! *Rule 1.* A `Runnable` is run or dropped by the set's thread only: other threads only put it into
//! the remote queue, and only the set, which is not `Send`, takes it out.
//!
//! *Rule 2.* When the set is gone all its tasks are complete, so no `Runnable` of them will ever exist
//! again. The drop refuses new tasks, ends those that wait, and runs what is in the queues. A
//! `Runnable` may be missing then: a waker on another thread has made it and is about to push it. That
//! thread must not be left alone with it, so the drop parks until it has come. It comes, since between
//! making and pushing there is nothing that blocks.
//!
//! *Rule 3.* The pointer in `task::budget` is null or an owned count of an `Rc<Context>` of this thread;
//! [`Current`] puts one in and takes it out again.
//!
//! # What it cannot do
//!
//! A task that blocks its thread blocks all tasks of its set: they cannot be moved to another thread,
//! nor be rescued by the monitor, since their futures are not `Send`. Work that blocks belongs in
//! `spawn_blocking`.
//!
//! Rejected: one queue for all (each wake of a neighbour would take the lock); comparing thread ids to
//! find out whether the local queue may be used (the pointer answers that too, and costs less).

use crate::primitive::{Arc, Mutex, clock, thread};
use crate::runtime::{Id, Runtime};
use crate::task::{Given, Header, JoinHandle, Registry, Runnable, Schedule, Spawn, Why, budget};
use crate::util::note::{self, WaitKind};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

/// The most tasks that one turn runs: tokio's number. Enough to make the turn's lock cheap, and a prime,
/// so that it falls into step with no period of the tasks.
const TURN: usize = 61;
/// How long a turn goes on: the time that the poll budget gives to a task, since for its executor the
/// whole set is one.
const SLICE: Duration = Duration::from_micros(200);
/// Tasks between two looks at the clock: a look (22 ns) is then less than a tenth of their cost.
const LOOK: usize = 8;

/// Tasks that are not `Send` and run on the thread that polls the set.
///
/// The set is a future that ends when all its tasks have. More often one runs it beside a future of
/// one's own, by [`run_until`](LocalSet::run_until) or [`block_on`](LocalSet::block_on).
///
/// When the set is dropped, its tasks are dropped with it, on its thread.
///
/// A task that blocks the thread blocks the whole set: nothing can take the others elsewhere.
///
/// # Examples
///
/// ```
/// use reiver::task::{LocalSet, spawn_local};
/// use std::rc::Rc;
///
/// let runtime = reiver::runtime::Runtime::new()?;
/// let local = LocalSet::new();
/// let shared = Rc::new(5); // not `Send`
/// let sum = local.block_on(&runtime, async move {
///     let theirs = shared.clone();
///     let task = spawn_local(async move { *theirs + 1 });
///     task.await.unwrap() + *shared
/// });
/// assert_eq!(sum, 11);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LocalSet {
    context: Rc<Context>,
}

/// What belongs to the set's thread.
struct Context {
    queue: RefCell<VecDeque<Runnable>>,
    /// A turn or the drop is at work and will look at `queue`: nobody has to be woken.
    at_work: Cell<bool>,
    shared: Arc<Shared>,
}

/// What other threads reach.
struct Shared {
    remote: Mutex<Remote>,
    registry: Registry,
}

#[derive(Default)]
struct Remote {
    queue: VecDeque<Runnable>,
    /// Who polled the set last.
    poller: Option<Waker>,
}

// Wakers on other threads reach it through the tasks' `Home`s, which are declared `Send` unseen.
const _: fn() = || {
    fn assert<T: Send + Sync>() {}
    assert::<Shared>();
};

/// A task's way to its set.
struct Home(Arc<Shared>);

impl Schedule for Home {
    const KIND: &'static str = "local";

    fn schedule(&self, task: Runnable, _why: Why) {
        with_current(|current| match current.filter(|c| Arc::ptr_eq(&c.shared, &self.0)) {
            Some(context) => context.push(task),
            None => {
                // A count of our own: once pushed, the task may run, end and be freed with `self`.
                let shared = self.0.clone();
                shared.push(task);
            }
        });
    }

    fn release(&self, task: &Header) {
        // SAFETY: every task with this scheduler came to this registry, and is released once.
        unsafe { self.0.registry.remove(task) }
    }
}

impl Shared {
    /// Takes a task from wherever.
    fn push(&self, task: Runnable) {
        let mut remote = self.remote.lock();
        remote.queue.push_back(task);
        let poller = remote.poller.take();
        drop(remote);
        if let Some(poller) = poller {
            poller.wake();
        }
    }

    fn wake_poller(&self) {
        let poller = self.remote.lock().poller.take();
        if let Some(poller) = poller {
            poller.wake();
        }
    }
}

impl Context {
    /// Takes a task on the set's thread.
    fn push(&self, task: Runnable) {
        self.queue.borrow_mut().push_back(task);
        if !self.at_work.get() {
            self.shared.wake_poller();
        }
    }

    fn pop(&self) -> Option<Runnable> {
        self.queue.borrow_mut().pop_front()
    }

    /// Moves the remote queue to the end of the local one; the next to come there wakes `waker`.
    fn receive(&self, waker: &Waker) {
        let mut remote = self.shared.remote.lock();
        let mut before = None;
        if !remote.poller.as_ref().is_some_and(|poller| poller.will_wake(waker)) {
            // Cloned, and the one before dropped, without the lock: both are a stranger's code.
            drop(remote);
            let waker = waker.clone();
            remote = self.shared.remote.lock();
            before = remote.poller.replace(waker);
        }
        self.queue.borrow_mut().append(&mut remote.queue);
        drop(remote);
        drop(before);
    }

    fn spawn<F: Future + 'static>(
        &self,
        future: F,
        given: Given,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        let spawn = Spawn {
            scheduler: Home(self.shared.clone()),
            registry: &self.shared.registry,
            home: 0,
            given,
            location,
        };
        // SAFETY: the future is `'static`, and rule 1 keeps it on this thread. A `JoinHandle` leaves
        // the thread only with an output that is `Send`.
        let (runnable, handle) = unsafe { spawn.create(future) };
        if let Some(runnable) = runnable {
            self.push(runnable);
        }
        handle
    }

    /// Called by a poll that runs no turn: what it queued is left to another poller, if there is one.
    fn leave(&self) {
        if !self.queue.borrow().is_empty() {
            self.shared.wake_poller();
        }
    }

    /// One turn. Says whether tasks are left.
    fn turn(&self, waker: &Waker) -> bool {
        self.receive(waker);
        let began = clock::now();
        for ran in 1..=TURN {
            let Some(task) = self.pop() else { return false };
            task.run();
            if ran % LOOK == 0 && clock::now().duration_since(began) >= SLICE {
                break;
            }
        }
        !self.queue.borrow().is_empty()
    }
}

/// Makes a context the current one and says that it is at work, until dropped.
struct AtWork<'a> {
    context: &'a Context,
    before: bool,
    _current: Current,
}

impl<'a> AtWork<'a> {
    fn new(context: &'a Rc<Context>) -> Self {
        let _current = Current::new(context.clone());
        Self { context, before: context.at_work.replace(true), _current }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.context.at_work.set(self.before);
    }
}

/// Makes a context the current one of its thread, until dropped.
struct Current {
    /// What was current before: owned, as `Rc::into_raw` gives it, or null.
    before: *const Context,
}

impl Current {
    fn new(context: Rc<Context>) -> Self {
        Self { before: budget::replace_local_set(Rc::into_raw(context).cast()).cast() }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        let context = budget::replace_local_set(self.before.cast()).cast::<Context>();
        if !context.is_null() {
            // SAFETY: rule 3: what was stored is an owned count, taken out here.
            drop(unsafe { Rc::from_raw(context) });
        }
    }
}

/// Runs `f` with the context that is current on this thread.
fn with_current<R>(f: impl FnOnce(Option<&Context>) -> R) -> R {
    let context = budget::local_set().cast::<Context>();
    if context.is_null() {
        return f(None);
    }
    // SAFETY: rule 3. A count of our own, in case `f` lets go of the guard.
    let context = unsafe {
        Rc::increment_strong_count(context);
        Rc::from_raw(context)
    };
    f(Some(&context))
}

impl LocalSet {
    /// A set without tasks.
    pub fn new() -> Self {
        let shared =
            Arc::new(Shared { remote: Mutex::new(Remote::default()), registry: Registry::new(1) });
        let queue = RefCell::new(VecDeque::new());
        Self { context: Rc::new(Context { queue, at_work: Cell::new(false), shared }) }
    }

    /// The set's number; no runtime nor other set has it while this lives.
    pub fn id(&self) -> Id {
        Id::of(Arc::as_ptr(&self.context.shared))
    }

    /// Makes this the set that [`spawn_local`] spawns on, on this thread, while the guard lives.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::task::{LocalSet, spawn_local};
    /// let local = LocalSet::new();
    /// let guard = local.enter();
    /// let task = spawn_local(async { 7 });
    /// drop(guard);
    /// # let runtime = reiver::runtime::Runtime::new().unwrap();
    /// assert_eq!(local.block_on(&runtime, task).unwrap(), 7);
    /// ```
    pub fn enter(&self) -> LocalEnterGuard {
        LocalEnterGuard { _current: Current::new(self.context.clone()) }
    }

    /// Spawns a task on this set. It runs when the set is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// # let runtime = reiver::runtime::Runtime::new().unwrap();
    /// let local = reiver::task::LocalSet::new();
    /// let task = local.spawn_local(async { 7 });
    /// runtime.block_on(local);
    /// assert!(task.is_finished());
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_at(future, Given::default(), Location::caller())
    }

    pub(super) fn spawn_at<F: Future + 'static>(
        &self,
        future: F,
        given: Given,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        self.context.spawn(future, given, location)
    }

    /// Runs `future` to its end on this thread, and the tasks of the set beside it.
    ///
    /// Tasks that have not ended then stay in the set, and go on with its next poll.
    ///
    /// # Panics
    ///
    /// As [`Runtime::block_on`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let runtime = reiver::runtime::Runtime::new().unwrap();
    /// let local = reiver::task::LocalSet::new();
    /// assert_eq!(local.block_on(&runtime, async { 1 + 1 }), 2);
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, rt: &Runtime, future: F) -> F::Output {
        rt.block_on(self.run_until(future))
    }

    /// Runs `future` to its end, and the tasks of the set beside it.
    ///
    /// Tasks that have not ended then stay in the set, and go on with its next poll.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops `future`; the tasks stay in the set. Two of these may run beside each other,
    /// but only the one that was polled last is woken for the tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::task::{LocalSet, spawn_local};
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let local = LocalSet::new();
    /// let answer = local.run_until(async { spawn_local(async { 42 }).await.unwrap() }).await;
    /// assert_eq!(answer, 42);
    /// # });
    /// ```
    pub async fn run_until<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let _at_work = AtWork::new(&self.context);
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                self.context.leave();
                return Poll::Ready(output);
            }
            if self.context.turn(cx.waker()) {
                cx.waker().wake_by_ref();
            }
            self.pending()
        })
        .await
    }
}

impl LocalSet {
    fn pending<R>(&self) -> Poll<R> {
        note::wait_at(WaitKind::LocalSet, &*self.context);
        Poll::Pending
    }
}

/// Runs the tasks, and ends when all have ended.
impl Future for LocalSet {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let context = &self.context;
        let _at_work = AtWork::new(context);
        if context.turn(cx.waker()) {
            cx.waker().wake_by_ref();
            self.pending()
        } else if context.shared.registry.is_empty() {
            Poll::Ready(())
        } else {
            self.pending()
        }
    }
}

impl Drop for LocalSet {
    fn drop(&mut self) {
        let context = &self.context;
        let _at_work = AtWork::new(context);
        let shared = &context.shared;
        shared.registry.close();
        // Run, and not only dropped: they are cancelled, which drops their futures here.
        shared.registry.abort_all(Runnable::run);
        let me = thread::current();
        let waker = Waker::from(Arc::new(Unpark(me.clone())));
        let mut parked = false;
        loop {
            context.receive(&waker);
            while let Some(task) = context.pop() {
                drop(task);
            }
            if shared.registry.is_empty() {
                break;
            }
            // Rule 2: a `Runnable` is on its way here.
            thread::park();
            parked = true;
        }
        let poller = shared.remote.lock().poller.take();
        drop(poller);
        if parked {
            // One of the tokens taken may have been for somebody else on this thread.
            me.unpark();
        }
    }
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Default for LocalSet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSet").field("tasks", &self.context.shared.registry.len()).finish()
    }
}

/// Leaves the [`LocalSet`] when dropped. Guards should be dropped in the reverse order of their making.
#[must_use = "the set is left when the guard is dropped"]
pub struct LocalEnterGuard {
    _current: Current,
}

impl fmt::Debug for LocalEnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEnterGuard").finish()
    }
}

/// Spawns a task that stays on this thread, on the current [`LocalSet`].
///
/// # Panics
///
/// Outside a `LocalSet`: in a task of [`spawn`](crate::spawn), for example, which may be polled by any
/// thread.
///
/// # Examples
///
/// ```
/// use reiver::task::{LocalSet, spawn_local};
/// # let runtime = reiver::runtime::Runtime::new().unwrap();
/// let local = LocalSet::new();
/// let name = local.block_on(&runtime, async {
///     let name = std::rc::Rc::new("not `Send`");
///     spawn_local(async move { name.len() }).await.unwrap()
/// });
/// assert_eq!(name, 10);
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_local_at(future, Given::default(), Location::caller())
}

#[track_caller]
pub(super) fn spawn_local_at<F: Future + 'static>(
    future: F,
    given: Given,
    location: &'static Location<'static>,
) -> JoinHandle<F::Output> {
    match with_current(|current| current.map(|context| context.spawn(future, given, location))) {
        Some(handle) => handle,
        None => panic!(
            "`spawn_local` called from outside of a `task::LocalSet` or `runtime::LocalRuntime`"
        ),
    }
}
