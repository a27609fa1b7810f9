//! Threads and parking.
//!
//! loom's own `unpark` gives its target everything that happened before at once, wherever the target
//! is; std promises that only to the `park` that returns because of it. A thread that reads its flag
//! in time and never parks would be handed an edge that does not exist, and a missing `Acquire` would
//! pass. So the token is kept here as std keeps it, in an atomic with three states, and loom's
//! `park` and `unpark` serve only to block a thread that has said it is blocked:
//!
//! | state | `park` | `unpark` |
//! |---|---|---|
//! | EMPTY | → PARKED, block until NOTIFIED, → EMPTY | → NOTIFIED |
//! | NOTIFIED | → EMPTY, return | stays |
//! | PARKED | (one thread parks on its own token) | → NOTIFIED, and unblock |
//!
//! A model's `park_timeout` never times out (loom has no time), and no `park` returns without cause:
//! a model that cares starts a thread that calls `unpark`.

use super::{explore, in_model, storm};
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::cell::OnceCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
/// One below EMPTY, so that `park` begins with one subtraction.
const PARKED: u32 = u32::MAX;

/// The stack of a model's thread, in words: 128 KiB, where loom's default of 32 KiB overflows under
/// a panic message or a deep future.
const STACK_WORDS: usize = 16 * 1024;

loom::thread_local! {
    /// The parking token of this loom thread.
    static TOKEN: OnceCell<Arc<AtomicU32>> = OnceCell::new();
}

fn token() -> Arc<AtomicU32> {
    TOKEN.with(|token| token.get_or_init(|| Arc::new(AtomicU32::new(EMPTY))).clone())
}

/// Makes threads.
#[derive(Debug, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A thread without a name and with the default stack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the thread.
    pub fn name(self, name: String) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Sets the size of its stack in bytes; in a model it is at least 128 KiB.
    pub fn stack_size(self, size: usize) -> Self {
        Self { stack_size: Some(size), ..self }
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system refuses; never in a model.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match () {
            () if in_model() => self.spawn_model(f),
            () if storm::is_on() => Ok(JoinHandle::of_storm(self.name, f)),
            () => self.spawn_real(f),
        }
    }

    fn spawn_real<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut builder = std::thread::Builder::new();
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(size) = self.stack_size {
            builder = builder.stack_size(size);
        }
        let handle = builder.spawn(f)?;
        let thread = Thread(Kind::Real(handle.thread().clone()));
        Ok(JoinHandle { thread, kind: Join::Real(handle) })
    }

    fn stack_words(&self) -> usize {
        self.stack_size.map_or(STACK_WORDS, |bytes| STACK_WORDS.max(bytes / size_of::<usize>()))
    }

    fn spawn_model<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut builder = loom::thread::Builder::new().stack_size(self.stack_words());
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        let parking = Arc::new(AtomicU32::new(EMPTY));
        let finished = Arc::new(AtomicBool::new(false));
        let inside = (parking.clone(), finished.clone());
        let handle = builder.spawn(move || {
            let (parking, finished) = inside;
            TOKEN.with(|token| token.set(parking)).expect("set once, before anything else runs");
            let value = f();
            // Release: pairs with the Acquire in `JoinHandle::is_finished`.
            finished.store(true, Release);
            value
        })?;
        let thread = Thread(Kind::Model { thread: handle.thread().clone(), token: parking });
        Ok(JoinHandle { thread, kind: Join::Model { handle, finished } })
    }
}

/// Waits for a thread.
#[derive(Debug)]
pub struct JoinHandle<T> {
    thread: Thread,
    kind: Join<T>,
}

#[derive(Debug)]
enum Join<T> {
    Real(std::thread::JoinHandle<T>),
    Model { handle: loom::thread::JoinHandle<T>, finished: Arc<AtomicBool> },
    Storm(storm::JoinHandle<T>),
}

impl<T: Send + 'static> JoinHandle<T> {
    #[track_caller]
    fn of_storm(name: Option<String>, f: impl FnOnce() -> T + Send + 'static) -> Self {
        let handle = storm::spawn(name.unwrap_or_default(), f);
        Self { thread: Thread(Kind::Storm(handle.thread().clone())), kind: Join::Storm(handle) }
    }
}

impl<T> JoinHandle<T> {
    /// Waits for the thread and gives its result.
    ///
    /// # Errors
    ///
    /// The panic of the thread; in a model a panic ends the model.
    #[track_caller]
    pub fn join(self) -> std::thread::Result<T> {
        match self.kind {
            Join::Real(handle) => handle.join(),
            Join::Model { handle, .. } => handle.join(),
            Join::Storm(handle) => handle.join(),
        }
    }

    /// Whether the thread's closure has returned.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        match &self.kind {
            Join::Real(handle) => handle.is_finished(),
            // Acquire: pairs with the Release in `spawn_model`.
            Join::Model { finished, .. } => finished.load(Acquire),
            Join::Storm(handle) => handle.is_finished(),
        }
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }
}

/// A thread that can be unparked.
#[derive(Clone, Debug)]
pub struct Thread(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real(std::thread::Thread),
    Model { thread: loom::thread::Thread, token: Arc<AtomicU32> },
    Storm(storm::Thread),
}

/// What tells one thread from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId(Id);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Id {
    Real(std::thread::ThreadId),
    Model(loom::thread::ThreadId),
    Storm(u64, usize),
}

impl Thread {
    /// Makes the thread's token available: its next or present `park` returns.
    #[track_caller]
    pub fn unpark(&self) {
        match &self.0 {
            Kind::Real(thread) => thread.unpark(),
            Kind::Storm(thread) => thread.unpark(),
            Kind::Model { thread, token } => {
                // Release: pairs with the Acquires in `park`.
                if token.swap(NOTIFIED, Release) == PARKED {
                    thread.unpark();
                }
            }
        }
    }

    /// The thread's name.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Real(thread) => thread.name(),
            Kind::Model { thread, .. } => thread.name(),
            Kind::Storm(thread) => Some(thread.name()),
        }
    }

    /// The thread's identity.
    pub fn id(&self) -> ThreadId {
        ThreadId(match &self.0 {
            Kind::Real(thread) => Id::Real(thread.id()),
            Kind::Model { thread, .. } => Id::Model(thread.id()),
            Kind::Storm(thread) => {
                let (storm, number) = thread.id();
                Id::Storm(storm, number)
            }
        })
    }
}

/// The running thread.
pub fn current() -> Thread {
    Thread(match () {
        () if in_model() => Kind::Model { thread: loom::thread::current(), token: token() },
        () if storm::is_on() => Kind::Storm(storm::Thread::current()),
        () => Kind::Real(std::thread::current()),
    })
}

/// A number that differs between threads, mostly.
pub fn place() -> usize {
    match storm::is_on() {
        true => storm::thread_number() as usize,
        false => super::super::real::thread::place(),
    }
}

/// Blocks until the token is available and takes it.
#[track_caller]
pub fn park() {
    if storm::is_on() {
        return storm::park(None);
    }
    if !in_model() {
        return std::thread::park();
    }
    let token = token();
    // Acquire: pairs with the Release in `unpark`.
    if explore::atomically(|| token.fetch_sub(1, Acquire)) == NOTIFIED {
        return;
    }
    loop {
        loom::thread::park();
        // Acquire: pairs with the Release in `unpark`.
        let taken = || token.compare_exchange(NOTIFIED, EMPTY, Acquire, Relaxed).is_ok();
        if explore::atomically(taken) {
            return;
        }
    }
}

/// Blocks until the token is available, or for a while; in a model it is [`park`].
#[track_caller]
pub fn park_timeout(timeout: Duration) {
    match () {
        () if in_model() => park(),
        () if storm::is_on() => storm::park(Some(timeout)),
        () => std::thread::park_timeout(timeout),
    }
}

/// Lets others run; every spinning loop calls it.
#[track_caller]
pub fn yield_now() {
    match () {
        () if in_model() => loom::thread::yield_now(),
        () if storm::is_on() => storm::yield_now(),
        () => std::thread::yield_now(),
    }
}
