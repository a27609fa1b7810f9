//! Storms: whole runtimes at scale, in orders that a seed chooses.
//!
//! loom tries everything, and so it can try only little: two workers and two tasks. A storm runs eight
//! workers, their pool, monitor and timers, with the constants of production, once, in an order that is drawn
//! from a seed; and then again with the next seed, 100,000 times.
//!
//! The threads of a storm are coroutines on one OS thread. Objects are the real ones (they are made outside a
//! model), and each of their operations is first a [`point`], at which the scheduler may go on with another
//! thread. Who has to wait (for a lock, a token, a thread, an event) waits in the scheduler and never in
//! the kernel, so the scheduler knows when nobody can go on: then the clock, which is virtual, jumps to the
//! next deadline, and if there is none, that is a deadlock, and is reported as who waits for what, and where.
//! A run depends on its seed alone, so the seed replays it.
//!
//! What is drawn, and how: [`world`].
//!
//! # Limits
//!
//! 1. Memory is sequentially consistent: a missing fence or ordering is loom's to find.
//! 2. What blocks in the kernel stops the storm: no sockets, no files, no `std::thread::sleep`.
//! 3. std's thread-locals are one for all threads; [`local!`](super::local)'s are one for each.
//! 4. A thread that unwinds is not interrupted, since std counts panics by OS threads.
//!
//! Rejected: the `shuttle` crate (a third facade, with its own atomics, locks and thread-locals, and no
//! time); OS threads that hand a baton round (two system calls for each change of threads, of which a run has
//! a thousand, and on a busy machine a wait for a time slice).

mod world;

use super::super::real;
use generator::{Generator, Gn};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use world::Outcome;
use world::{Wait, World};

/// The stack of a thread, in words: 512 KiB, of which what is not used costs nothing.
const STACK_WORDS: usize = 64 * 1024;

/// Statics are shared by all storms of a process, and a lock that another OS thread holds would be waited
/// for in vain.
static TURN: real::StaticMutex<()> = real::StaticMutex::new(());

std::thread_local! {
    /// Whether a thread of a storm runs on this OS thread now.
    static ON: Cell<bool> = const { Cell::new(false) };
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// A thread, to be resumed.
type Coroutine = Generator<'static, (), ()>;

/// Whether this code runs in a storm.
#[inline]
pub fn is_on() -> bool {
    ON.with(Cell::get)
}

fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| f(world.borrow_mut().as_mut().expect("there is a storm")))
}

/// Runs `body`, and the threads that it starts, to their end, in the order that `seed` says.
///
/// # Errors
///
/// What went wrong: a panic of `body`, a deadlock, a thread that never ends. The threads are left as they
/// are, on their stacks.
pub fn run(seed: u64, body: impl FnOnce() + Send + 'static) -> Result<Outcome, String> {
    assert!(!is_on() && !super::in_model(), "a storm is started by an ordinary thread");
    let _turn = TURN.lock();
    WORLD.with(|world| *world.borrow_mut() = Some(World::new(seed)));
    let main = spawn("main".to_owned(), body);
    let ended = weather();
    let mut world = WORLD.with(|world| world.borrow_mut().take()).expect("there is a storm");
    // What hangs in the middle cannot be dropped: that would unwind it.
    world.threads.iter_mut().for_each(|thread| std::mem::forget(thread.coroutine.take()));
    ended?;
    match main.take() {
        Ok(()) => Ok(world.outcome()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            Err(format!("main panicked: {text}"))
        }
    }
}

/// Resumes one thread after another until all have ended.
fn weather() -> Result<(), String> {
    while let Some(number) = with(World::next)? {
        let coroutine = with(|world| world.threads[number].coroutine.take());
        let mut coroutine = coroutine.expect("whoever is ready is suspended");
        ON.with(|on| on.set(true));
        coroutine.resume();
        ON.with(|on| on.set(false));
        if !coroutine.is_done() {
            with(|world| world.threads[number].coroutine = Some(coroutine));
        }
    }
    Ok(())
}

/// Ends the running thread's turn.
fn suspend() {
    #[allow(deprecated)] // what replaces it would have to be handed down to every atomic
    generator::yield_with(());
}

/// Lets the scheduler go on with another thread, if this is a storm. Comes before each operation that other
/// threads can see.
#[inline]
#[track_caller]
pub fn point() {
    let at = Location::caller();
    if is_on() && !std::thread::panicking() && with(|world| world.point(at)) {
        suspend();
    }
}

/// Goes on with another thread, if there is one: this one spins.
#[track_caller]
pub fn yield_now() {
    let at = Location::caller();
    with(|world| world.gives_way(at));
    suspend();
}

/// Whether a thing of which it is said that it may happen for no reason (a spurious wake-up, a `Retry`)
/// happens.
pub fn mishap() -> bool {
    is_on() && with(World::mishap)
}

/// A number below `n`, drawn from the seed: for what the body of a storm leaves open.
pub fn choose(n: u64) -> u64 {
    with(|world| world.below(n))
}

#[track_caller]
fn wait(wait: Wait) {
    let at = Location::caller();
    with(|world| world.wait(wait, at));
    suspend();
}

/// Takes a lock by `attempt`. It is known by its address to [`Unlock`].
#[track_caller]
pub fn lock<G>(address: usize, attempt: impl Fn() -> Option<G>) -> G {
    point();
    loop {
        if let Some(guard) = attempt() {
            return guard;
        }
        wait(Wait::Lock(address));
    }
}

/// Dropped after a lock was given back: lets those try again who wait for it.
#[derive(Debug)]
pub struct Unlock(pub usize);

impl Drop for Unlock {
    #[inline]
    fn drop(&mut self) {
        if is_on() {
            with(|world| world.wake(|wait| *wait == Wait::Lock(self.0)));
        }
    }
}

/// The virtual time.
pub fn now() -> Instant {
    real::clock::origin() + with(World::read_clock)
}

/// Blocks until the token is there, or for `timeout`.
#[track_caller]
pub fn park(timeout: Option<Duration>) {
    point();
    if mishap() || with(World::take_token) {
        return;
    }
    let until = with(|world| timeout.and_then(|timeout| world.now.checked_add(timeout)));
    wait(Wait::Token { until });
    with(World::take_token);
}

/// A thread of a storm.
#[derive(Clone, Debug)]
pub struct Thread {
    name: Arc<str>,
    storm: u64,
    number: usize,
}

impl Thread {
    /// The running thread.
    pub fn current() -> Self {
        with(|world| {
            let name = world.threads[world.current].name.clone();
            Self { name, storm: world.storm, number: world.current }
        })
    }

    /// Leaves a token.
    #[track_caller]
    pub fn unpark(&self) {
        point();
        // One of a storm that failed, and has not cleaned up, is gone.
        if WORLD.with(|world| world.borrow().as_ref().map(|world| world.storm)) == Some(self.storm)
        {
            with(|world| world.unpark(self.number));
        }
    }

    /// The thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells it from all others of the process.
    pub fn id(&self) -> (u64, usize) {
        (self.storm, self.number)
    }
}

/// Waits for a thread.
#[derive(Debug)]
pub struct JoinHandle<T> {
    thread: Thread,
    result: Arc<real::StaticMutex<Option<std::thread::Result<T>>>>,
}

impl<T> JoinHandle<T> {
    /// Waits for the thread and gives its result.
    #[track_caller]
    pub fn join(self) -> std::thread::Result<T> {
        point();
        let number = self.thread.number;
        while !with(|world| world.is_done(number)) {
            wait(Wait::End(number));
        }
        self.take()
    }

    fn take(&self) -> std::thread::Result<T> {
        self.result.lock().take().expect("it has ended, and is asked once")
    }

    /// Whether the thread has ended.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        point();
        with(|world| world.is_done(self.thread.number))
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }
}

/// Starts a thread.
#[track_caller]
pub fn spawn<T: Send + 'static>(
    name: String,
    f: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    point();
    let at = Location::caller();
    let result = Arc::new(real::StaticMutex::new(None));
    let theirs = result.clone();
    let coroutine = Gn::<()>::new_opt(STACK_WORDS, move || {
        let value = catch_unwind(AssertUnwindSafe(f));
        *theirs.lock() = Some(value);
        drop(theirs);
        // With the world's borrow given back: their drops may be seen by others.
        drop(with(|world| world.threads[world.current].locals.take()));
        with(World::ends);
    });
    let name: Arc<str> = name.into();
    let (storm, number) = with(|world| world.add(name.clone(), coroutine, at));
    JoinHandle { thread: Thread { name, storm, number }, result }
}

/// The running thread's value of a thread-local, made if it is not there; `None` if the thread is ending.
pub fn local<T: 'static>(key: usize, init: fn() -> T) -> Option<Rc<T>> {
    let find = |world: &mut World| {
        let locals = world.threads[world.current].locals.as_ref()?;
        Some(locals.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone()))
    };
    let value: Rc<dyn Any> = match with(find)? {
        Some(value) => value,
        None => {
            let value: Rc<dyn Any> = Rc::new(init());
            let locals = |world: &mut World| {
                world.threads[world.current].locals.as_mut()?.push((key, value.clone()));
                Some(())
            };
            with(locals)?;
            value
        }
    };
    Some(value.downcast().expect("one key, one type"))
}

/// What the system would say of a thread: that it is blocked, or could run, and its CPU time.
pub fn sample(number: u32) -> real::watch::Sample {
    with(|world| world.sample(number as usize - 1))
}

/// What the system calls the running thread; not 0.
pub fn thread_number() -> u32 {
    with(|world| world.current as u32 + 1)
}

/// See [`unique_block`](super::unique_block).
pub fn unique_block(n: u64) -> u64 {
    with(|world| {
        world.unique += n;
        world.unique - n
    })
}
