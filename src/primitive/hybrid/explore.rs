//! Exploration of a user's code, by `#[reiver::model]` or `#[reiver::sim]`: what the runtime asks, at
//! the points where something may go one way or another, and tells whoever explores on this thread.
//!
//! The explorer belongs to an OS thread: a simulation runs on one, and so do all threads of a model.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is left to whoever explores. 0 is always what happens when nothing special does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// 1: a task that could go on is told to give way, as if its budget were used up.
    Preempt,
    /// Where a fair `select!` begins.
    Start,
    /// 1: a `try_…` fails.
    Refuse,
    /// The user's own choice.
    User,
    /// 1: a future is dropped where it waits; see [`Explorer::cancels`].
    Cancel,
    /// How much less is read or written than could be.
    Short,
    /// Which ready task runs; and behind those, whether the clock moves first.
    Task,
    /// How late a timer fires.
    Late,
    /// Which disturbances there are in this run.
    Swarm,
}

/// Whoever explores.
pub trait Explorer {
    /// Decides: a number below `n`.
    fn pick(&self, what: Pick, n: u32) -> u32;
    /// A waker of the task that is polled was cloned: it waits for something from here on.
    fn waker_cloned(&self);
    /// A task panicked, and its handle is gone.
    fn panic_lost(&self);
    /// The execution got to a label.
    fn reached(&self, label: &'static str);
    /// The explored code panicked. Answers whether that is to be printed.
    fn panicked(&self, text: &str) -> bool;
    /// A future may be dropped here, where it waits: whether it is.
    fn cancels(&self) -> bool;
    /// What this is, with its article.
    fn name(&self) -> &'static str;
    /// The number of the network that its sockets are in, if it has one.
    fn network(&self) -> Option<u64> {
        None
    }
}

std::thread_local! {
    /// Whether what [`forbid`] refuses is let through.
    static ADMITTED: Cell<bool> = const { Cell::new(false) };
    /// How many parts are being run that are not interleaved.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static AT_END: RefCell<Vec<Box<dyn FnOnce()>>> = const { RefCell::new(Vec::new()) };
    static CURRENT: RefCell<Option<Arc<dyn Explorer>>> = const { RefCell::new(None) };
}

/// The explorer of this thread.
pub fn current() -> Option<Arc<dyn Explorer>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Runs `f` with this explorer.
pub fn with<R>(explorer: Arc<dyn Explorer>, f: impl FnOnce() -> R) -> R {
    /// Removes it, also when `f` panics.
    struct Leave;

    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.with(|current| current.borrow_mut().take());
            AT_END.with(|list| list.borrow_mut().clear());
        }
    }

    let before = CURRENT.with(|current| current.borrow_mut().replace(explorer));
    let _leave = Leave;
    DEPTH.with(|depth| depth.set(0));
    assert!(before.is_none(), "a model or simulation inside another one: give each its own test");
    let result = f();
    for end in AT_END.with(|list| list.take()) {
        end();
    }
    result
}

/// Has `f` called when this execution has ended.
pub fn at_end(f: impl FnOnce() + 'static) {
    AT_END.with(|list| list.borrow_mut().push(Box::new(f)));
}

/// Whether this thread explores.
pub fn is_on() -> bool {
    CURRENT.try_with(|current| current.borrow().is_some()).unwrap_or(false)
}

/// Whether a task that could go on gives way here.
pub fn preempts() -> bool {
    current().is_some_and(|explorer| explorer.pick(Pick::Preempt, 2) == 1)
}

/// A number below `n`, if this thread explores.
pub fn below(n: u32) -> Option<u32> {
    current().map(|explorer| explorer.pick(Pick::Start, n))
}

/// Whether a `try_…` that could do it fails here.
pub fn refuses() -> bool {
    current().is_some_and(|explorer| explorer.pick(Pick::Refuse, 2) == 1)
}

/// See [`Explorer::waker_cloned`].
pub fn waker_cloned() {
    if let Some(explorer) = current() {
        explorer.waker_cloned();
    }
}

/// See [`Explorer::panic_lost`].
pub fn panic_lost() {
    if let Some(explorer) = current() {
        explorer.panic_lost();
    }
}

/// See [`Explorer::reached`].
pub fn reached(label: &'static str) {
    if let Some(explorer) = current() {
        explorer.reached(label);
    }
}

/// Refuses what belongs to the real world.
///
/// # Panics
///
/// Inside an exploration, with `what`: what there is, and what to do instead.
#[track_caller]
pub fn forbid(what: &str) {
    if let Some(explorer) = current().filter(|_| !ADMITTED.get()) {
        panic!("{what} cannot be part of {}", explorer.name());
    }
}

/// Runs `f`, for which the real world is what is explored.
pub fn admit<R>(f: impl FnOnce() -> R) -> R {
    let before = ADMITTED.replace(true);
    let result = f();
    ADMITTED.set(before);
    result
}

/// The network of the exploration on this thread.
pub fn network() -> Option<u64> {
    current().and_then(|explorer| explorer.network())
}

/// How many of `most` bytes are moved: all, one, or half.
pub fn short(most: usize) -> usize {
    if most < 2 {
        return most;
    }
    match current().map_or(0, |explorer| explorer.pick(Pick::Short, 3)) {
        0 => most,
        1 => 1,
        _ => most.div_ceil(2),
    }
}

/// Runs `f` on an OS thread of its own, also inside a model.
///
/// # Panics
///
/// If the system gives no thread, or `f` panics.
pub fn aside<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(f).join().expect("it does not panic")
}

/// Explores `execute` by loom, with every object that it makes a loom object.
pub fn run_model(preemptions: usize, steps: usize, execute: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    if std::env::var_os("LOOM_MAX_BRANCHES").is_none() {
        builder.max_branches = steps;
    }
    super::run_model(|| {
        builder.check(move || {
            super::begin_execution();
            execute();
        });
    });
}

/// Runs `f`, whose atomics do not announce their loads: those of the runtime itself, whose protocols have
/// models of their own. They are half of what there would be to explore.
pub fn unannounced<R>(f: impl FnOnce() -> R) -> R {
    let before = super::shadow_loads();
    super::set_shadow_loads(before && !is_on());
    let result = f();
    super::set_shadow_loads(before);
    result
}

/// Runs `f` as one step of a user's model: others come before it or after it, not in between. For what the
/// runtime does between two things that a user can see, and that has models of its own: a wake-up, the
/// end of a poll. It makes the models of users a fifth as long.
pub fn atomically<R>(f: impl FnOnce() -> R) -> R {
    /// Leaves, also when `f` panics.
    struct Leave;

    impl Drop for Leave {
        fn drop(&mut self) {
            let depth = DEPTH.with(|depth| depth.replace(depth.get() - 1));
            if depth == 1 {
                loom::explore();
            }
        }
    }

    if !super::in_model() || !is_on() {
        return f();
    }
    stop_exploring();
    let _leave = Leave;
    f()
}

/// What follows in this execution is not interleaved any more.
pub fn stop_exploring() {
    let depth = DEPTH.with(|depth| depth.replace(depth.get() + 1));
    if depth == 0 {
        loom::stop_exploring();
    }
}

/// What does not move for so long is blocked.
pub const STILL: Duration = Duration::from_millis(LOOK.as_millis() as u64 * STILL_LOOKS as u64);
/// The same in looks of a watch.
pub const STILL_LOOKS: u32 = 50;
/// How often a watch looks.
const LOOK: Duration = Duration::from_millis(100);

/// Since when a watch runs, and how long what it watches stands still.
#[derive(Debug)]
pub struct Since {
    start: Instant,
    last: u64,
    looks: u32,
}

impl Since {
    /// How long the watch runs.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether `count`, which is asked for at each look, has been what it is for [`STILL`]. In looks
    /// rather than by the clock: a process that had no CPU did not look either.
    pub fn stands_still(&mut self, count: u64) -> bool {
        self.looks = if self.last == count { self.looks + 1 } else { 0 };
        self.last = count;
        self.looks >= STILL_LOOKS
    }
}

/// Calls `look` every tenth of a second, on an OS thread of its own, until the process ends.
pub fn watch(mut look: impl FnMut(&mut Since) + Send + 'static) {
    let mut since = Since { start: Instant::now(), last: 0, looks: 0 };
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK);
            look(&mut since);
        }
    });
}

/// Room for a `T` that only explored runtimes have.
pub struct Explored<T>(Option<T>);

impl<T> Explored<T> {
    /// None: an ordinary runtime.
    pub const NONE: Self = Self(None);

    /// An explored runtime.
    pub const fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// What is there.
    pub const fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}
