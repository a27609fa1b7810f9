//! A debug mode for locks, which finds two faults that no type catches and that look like nothing: the program
//! just stands still.
//!
//! * A *deadlock*: tasks that wait for each other's locks, or a task for its own.
//! * A *futurelock*: a lock was handed to a future that nobody polls any more, such as a branch of a `select!` that
//!   is kept while another one runs. Locks are handed over in turn, so all behind it wait for ever.
//!
//! It is off unless [`watch_locks`] is called, or the environment variable `REIVER_DEBUG_LOCKS` says after how
//! many milliseconds to report. Off, it costs one load for each lock that is taken or given back. On, each of
//! those takes one lock for the whole process: it is for tests and for a program that hangs.
//!
//! ```
//! use reiver::sync::{Mutex, debug::{StuckLock, watch_locks}};
//! use reiver::time::{Duration, sleep};
//! use std::sync::Arc;
//!
//! let (tell, told) = std::sync::mpsc::channel();
//! watch_locks(Duration::from_millis(50), move |stuck| drop(tell.send(stuck.clone())))?;
//! # let runtime = reiver::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! let accounts = [Arc::new(Mutex::new(1)), Arc::new(Mutex::new(2))];
//! for (from, to) in [(0, 1), (1, 0)] {
//!     let (from, to) = (accounts[from].clone(), accounts[to].clone());
//!     reiver::spawn(async move {
//!         let _from = from.lock().await;
//!         sleep(Duration::from_millis(10)).await;
//!         let _to = to.lock().await; // each waits for the other
//!     });
//! }
//! let stuck = told.recv().unwrap();
//! assert!(matches!(stuck, StuckLock::Deadlock { .. }));
//! println!("{stuck}");
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it knows
//!
//! Who takes a lock is the task that is polled then, or the thread if it is in none; a guard that is sent elsewhere
//! still counts as theirs. A task that waits for several things at once may go on by another of them: a deadlock
//! is told when its waits have lasted, not when they begin. Of semaphores and channels it knows who waits
//! and not who holds, so it sees their futurelocks only: a permit is often taken by one task and given to the next,
//! which gives it back, and one who waits for it would seem to wait for itself.
//!
//! Reports name a lock by its type and address, and by a name of its own if it was given one
//! ([`Mutex::named`](super::Mutex::named), and of `RwLock` and `Semaphore`).

// How: a book for the whole process under one lock, written by `permits.rs` (who waits, what was granted, when
// that was seen) and `guard.rs` (who holds), and a thread that reads it now and then. The entries of a wait are
// written under the lock of its queue, so that the book never says "granted" of a wait that it does not know;
// the book's lock is inside of that lock and nothing is inside of it.
//
// Rejected: looking for a cycle at each wait (a `select!` that gives up in time is none); names and holders in the
// locks themselves (24 bytes in each, for everybody); names in the book, by address (a lock that is moved after it was
// named, as into an `Arc`, leaves its name to the next one there). So the name, of one word, moves with the lock.

use super::permits::Permits;
use super::wait::Waiter;
use crate::primitive::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::primitive::{Arc, StaticMutex, clock, fixed, in_model, thread};
use crate::task::{self, Id};
use crate::util::note::WaitKind;
use std::collections::BTreeMap;
use std::panic::Location;
use std::time::{Duration, Instant};
use std::{fmt, io, ptr};

/// The environment variable with the milliseconds after which to report.
const VARIABLE: &str = "REIVER_DEBUG_LOCKS";

/// Whether anybody watches.
static SWITCH: AtomicUsize = fixed::atomic_usize(UNASKED);
const UNASKED: usize = 0;
const OFF: usize = 1;
const ON: usize = 2;

static BOOK: StaticMutex<Book> = StaticMutex::new(Book {
    watch: None,
    has_thread: false,
    locks: BTreeMap::new(),
    waits: BTreeMap::new(),
});

type Listener = Arc<dyn Fn(&StuckLock) + Send + Sync>;

struct Book {
    watch: Option<(Duration, Listener)>,
    has_thread: bool,
    /// By the address of their permits, as long as somebody holds them or waits.
    locks: BTreeMap<usize, Lock>,
    /// By the address of the waiter, which is pinned as long.
    waits: BTreeMap<usize, Wait>,
}

#[derive(Default)]
struct Lock {
    /// The name that it was given.
    name: Option<&'static str>,
    /// Its type; unknown of what is no lock.
    type_name: Option<&'static str>,
    /// What the first that waited was waiting for.
    kind: Option<WaitKind>,
    holders: Vec<LockUser>,
    waiting: usize,
}

struct Wait {
    lock: usize,
    user: LockUser,
    since: Instant,
    granted: Option<Instant>,
    is_reported: bool,
}

/// A task or a thread that holds a lock or waits for it.
#[derive(Debug, Clone)]
pub struct LockUser {
    thread: thread::Thread,
    id: Option<Id>,
    name: Option<String>,
    location: Option<&'static Location<'static>>,
}

/// A lock that does not go on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StuckLock {
    /// Each waits for a lock that the next one holds, and the last for one of the first's.
    #[non_exhaustive]
    Deadlock {
        /// Who waits, and for which lock.
        cycle: Vec<(LockUser, LockName)>,
    },
    /// A lock was granted to a future that was not polled since, while others wait for it.
    #[non_exhaustive]
    Futurelock {
        /// The lock, semaphore or channel.
        lock: LockName,
        /// Whose future that is.
        owner: LockUser,
        /// How long ago that was.
        since: Duration,
        /// Who waits.
        waiting: Vec<LockUser>,
    },
}

/// Which lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockName {
    name: Option<&'static str>,
    type_name: Option<&'static str>,
    kind: Option<WaitKind>,
    address: usize,
}

impl LockName {
    /// The name that it was given, by [`Mutex::named`](super::Mutex::named) and the like.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// Its type, if it is a lock and was held since the watch began.
    pub fn type_name(&self) -> Option<&'static str> {
        self.type_name
    }

    /// Its address, which tells it from others of its type.
    pub fn address(&self) -> usize {
        self.address
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Some(WaitKind::Mutex) => "Mutex",
            Some(WaitKind::RwLock) => "RwLock",
            Some(WaitKind::Semaphore) => "Semaphore",
            Some(WaitKind::Limiter) => "CapacityLimiter",
            Some(WaitKind::Once) => "OnceCell",
            Some(WaitKind::Send) => "channel",
            _ => "lock",
        };
        let ty = self.type_name.unwrap_or(kind);
        f.write_str(short(ty))?;
        if let Some(name) = self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, " at {:#x}", self.address)
    }
}

/// A type without the path to it: "reiver::sync::mutex::Mutex<i32>", in the crate's own build or in a
/// renamed one, as "Mutex<i32>".
fn short(name: &str) -> &str {
    let begin = name.find('<').unwrap_or(name.len());
    &name[name[..begin].rfind("::").map_or(0, |at| at + 2)..]
}

impl LockUser {
    fn current() -> Self {
        let task = task::current();
        let (id, location) = task.as_ref().map(|t| (t.id(), t.location())).unzip();
        let name = match &task {
            Some(task) => task.name().map(str::to_owned),
            None => thread::current().name().map(str::to_owned),
        };
        Self { thread: thread::current(), id, name, location }
    }

    /// The task; `None` for a thread in none.
    pub fn id(&self) -> Option<Id> {
        self.id
    }

    /// The task's name, or the thread's.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the task was spawned.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    fn is(&self, other: &Self) -> bool {
        self.id == other.id && (self.id.is_some() || self.thread.id() == other.thread.id())
    }
}

impl fmt::Display for LockUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "task {id}")?,
            None => f.write_str("a thread outside of tasks")?,
        }
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match self.location {
            Some(location) => write!(f, " (spawned at {location})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for StuckLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock { cycle } => {
                f.write_str("deadlock: ")?;
                for (at, (user, lock)) in cycle.iter().enumerate() {
                    let end = if at > 0 { "; " } else { "" };
                    let holder = &cycle[(at + 1) % cycle.len()].0;
                    write!(f, "{end}{user} waits for {lock}, held by {holder}")?;
                }
                Ok(())
            }
            Self::Futurelock { lock, owner, since, waiting } => {
                write!(f, "futurelock: {lock} was granted to a future of {owner}, ")?;
                write!(f, "which has not been polled in the {since:?} since; for it wait ")?;
                for (at, user) in waiting.iter().enumerate() {
                    write!(f, "{}{user}", if at > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// Watches all locks of this process from now on. `listener` is told, on a thread of its own, once of each wait
/// that takes longer than `patience` and has no end in sight. A second call replaces both.
///
/// # Errors
///
/// If the thread cannot be started.
pub fn watch_locks<F>(patience: Duration, listener: F) -> io::Result<()>
where
    F: Fn(&StuckLock) + Send + Sync + 'static,
{
    let watch = (patience.max(Duration::from_millis(1)), Arc::new(listener) as Listener);
    let (before, has_thread) = {
        let mut book = BOOK.lock();
        (book.watch.replace(watch), std::mem::replace(&mut book.has_thread, true))
    };
    drop(before);
    if !has_thread {
        let builder = thread::Builder::new().name("reiver-locks".to_owned());
        if let Err(error) = builder.spawn(look_now_and_then) {
            BOOK.lock().has_thread = false;
            return Err(error);
        }
    }
    // Relaxed: the book has a lock.
    SWITCH.store(ON, Relaxed);
    Ok(())
}

/// Notes who has which lock from here on, for [`waited_for`]. Nobody is told of anything by that.
#[allow(dead_code)] // explorations ask
pub(crate) fn note_all() {
    // Relaxed: the book has a lock.
    SWITCH.store(ON, Relaxed);
}

/// The type and name of the lock that a task waits for, and the tasks that have it.
#[allow(dead_code)] // explorations ask
pub(crate) fn waited_for(task: Id) -> Option<(String, Vec<Id>)> {
    let book = BOOK.lock();
    let is_theirs = |wait: &&Wait| wait.user.id == Some(task) && wait.granted.is_none();
    let lock = book.locks.get(&book.waits.values().find(is_theirs)?.lock)?;
    let ty = short(lock.type_name?);
    let name = lock.name.map_or_else(|| ty.to_owned(), |name| format!("{ty} {name:?}"));
    Some((name, lock.holders.iter().filter_map(|holder| holder.id).collect()))
}

/// Whether somebody watches.
#[inline]
fn is_on() -> bool {
    // Relaxed: a switch. Who sees it late leaves out what would have been read late.
    SWITCH.load(Relaxed) != OFF && is_on_or_unasked()
}

#[cold]
#[inline(never)]
fn is_on_or_unasked() -> bool {
    if in_model() {
        return false;
    }
    if SWITCH.load(Relaxed) == UNASKED {
        let patience = std::env::var(VARIABLE).ok().and_then(|text| text.trim().parse().ok());
        let tell = |stuck: &StuckLock| eprintln!("reiver: {stuck}");
        match patience.map(|patience| watch_locks(Duration::from_millis(patience), tell)) {
            None => drop(SWITCH.compare_exchange(UNASKED, OFF, Relaxed, Relaxed)),
            Some(Ok(())) => {}
            Some(Err(error)) => {
                SWITCH.store(OFF, Relaxed);
                eprintln!("reiver: {VARIABLE} has no effect: {error}");
            }
        }
    }
    SWITCH.load(Relaxed) == ON
}

fn key<T>(of: *const T) -> usize {
    of.addr()
}

// What callers inline is the look at the switch, and nothing that needs room on their stacks.

/// The lock `L` with these permits is held from here on.
#[inline]
pub(super) fn held<L: ?Sized>(lock: &Permits) {
    if is_on() {
        note_held(lock, std::any::type_name::<L>());
    }
}

#[cold]
#[inline(never)]
fn note_held(permits: &Permits, type_name: &'static str) {
    let user = LockUser::current();
    let mut book = BOOK.lock();
    let lock = book.locks.entry(key(permits)).or_default();
    (lock.name, lock.type_name) = (permits.name(), Some(type_name));
    lock.holders.push(user);
}

/// A hold has ended.
#[inline]
pub(super) fn given_back(lock: &Permits) {
    if is_on() {
        note_given_back(key(lock));
    }
}

#[cold]
#[inline(never)]
fn note_given_back(lock: usize) {
    let user = LockUser::current();
    BOOK.lock().remove_holder(lock, &user);
}

/// A future waits for a lock, or for something else that is known by an address. Under the lock of its line.
#[inline]
pub(super) fn waits<L>(lock: &L, name: Option<&'static str>, waiter: &Waiter, kind: WaitKind) {
    if is_on() {
        note_wait(key(ptr::from_ref(lock)), name, key(ptr::from_ref(waiter)), kind);
    }
}

#[cold]
#[inline(never)]
fn note_wait(key: usize, name: Option<&'static str>, waiter: usize, kind: WaitKind) {
    let (user, since) = (LockUser::current(), clock::now());
    let mut book = BOOK.lock();
    let lock = book.locks.entry(key).or_default();
    (lock.name, lock.kind) = (name, lock.kind.or(Some(kind)));
    lock.waiting += 1;
    book.waits.insert(waiter, Wait { lock: key, user, since, granted: None, is_reported: false });
}

/// A wait was granted, and its future has not looked. Under the lock of its line.
#[inline]
pub(super) fn granted(waiter: Option<*const Waiter>) {
    if is_on() {
        note_granted(waiter.map_or(0, key));
    }
}

#[cold]
#[inline(never)]
fn note_granted(waiter: usize) {
    if let Some(wait) = BOOK.lock().waits.get_mut(&waiter) {
        wait.granted = Some(clock::now());
    }
}

/// The future has looked, or is gone.
#[inline]
pub(super) fn ended(waiter: &Waiter) {
    if is_on() {
        note_end(key(ptr::from_ref(waiter)));
    }
}

#[cold]
#[inline(never)]
fn note_end(waiter: usize) {
    let mut book = BOOK.lock();
    let Some(wait) = book.waits.remove(&waiter) else { return };
    if let Some(lock) = book.locks.get_mut(&wait.lock) {
        lock.waiting -= 1;
    }
    book.tidy(wait.lock);
}

fn look_now_and_then() {
    loop {
        let (stuck, listener, patience) = {
            let mut book = BOOK.lock();
            let Some((patience, listener)) = book.watch.clone() else { return };
            (book.stuck(clock::now(), patience), listener, patience)
        };
        stuck.iter().for_each(|stuck| listener(stuck));
        thread::park_timeout(patience / 4);
    }
}

impl Book {
    fn remove_holder(&mut self, key: usize, user: &LockUser) {
        let Some(lock) = self.locks.get_mut(&key) else { return };
        // A guard may have been sent to somebody else.
        let at = lock.holders.iter().position(|holder| holder.is(user)).unwrap_or(0);
        if at < lock.holders.len() {
            lock.holders.swap_remove(at);
        }
        self.tidy(key);
    }

    /// Forgets a lock of which there is nothing to say.
    fn tidy(&mut self, key: usize) {
        if self.locks.get(&key).is_some_and(|lock| lock.holders.is_empty() && lock.waiting == 0) {
            self.locks.remove(&key);
        }
    }

    fn name(&self, lock: usize) -> LockName {
        let known = self.locks.get(&lock);
        LockName {
            name: known.and_then(|lock| lock.name),
            type_name: known.and_then(|lock| lock.type_name),
            kind: known.and_then(|lock| lock.kind),
            address: lock,
        }
    }

    /// What is stuck and was not reported.
    fn stuck(&mut self, now: Instant, patience: Duration) -> Vec<StuckLock> {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= patience;
        let fresh = self.waits.iter().filter(|(_, wait)| !wait.is_reported);
        let fresh: Vec<usize> = fresh.map(|(&waiter, _)| waiter).collect();
        let mut found = Vec::new();
        for waiter in fresh {
            // It may have been reported as a part of another one's cycle.
            let Some(wait) = self.waits.get(&waiter).filter(|wait| !wait.is_reported) else {
                continue;
            };
            let (stuck, parts) = match wait.granted {
                Some(at) if is_old(at) => match self.futurelock(wait, at, now) {
                    Some(stuck) => (stuck, vec![waiter]),
                    None => continue,
                },
                None if is_old(wait.since) => match self.cycle(waiter, &is_old) {
                    Some(parts) => (self.deadlock(&parts), parts),
                    None => continue,
                },
                _ => continue,
            };
            for part in parts {
                if let Some(wait) = self.waits.get_mut(&part) {
                    wait.is_reported = true;
                }
            }
            found.push(stuck);
        }
        found
    }

    fn futurelock(&self, wait: &Wait, at: Instant, now: Instant) -> Option<StuckLock> {
        let others = self.waits.values().filter(|w| w.lock == wait.lock && w.granted.is_none());
        let waiting: Vec<_> = others.map(|other| other.user.clone()).collect();
        let (lock, owner) = (self.name(wait.lock), wait.user.clone());
        let since = now.saturating_duration_since(at);
        (!waiting.is_empty()).then_some(StuckLock::Futurelock { lock, owner, since, waiting })
    }

    fn deadlock(&self, parts: &[usize]) -> StuckLock {
        let parts = parts.iter().filter_map(|part| self.waits.get(part));
        let cycle = parts.map(|wait| (wait.user.clone(), self.name(wait.lock))).collect();
        StuckLock::Deadlock { cycle }
    }

    /// Waits that begin with `first`, each for a lock that whoever waits next holds, the last for one that who
    /// waits first holds.
    fn cycle(&self, first: usize, is_old: &impl Fn(Instant) -> bool) -> Option<Vec<usize>> {
        let mut seen = vec![first];
        let mut path = vec![first];
        // Depth first: each wait is entered once.
        while let Some(last) = path.last() {
            let holders =
                self.locks.get(&self.waits[last].lock).map_or(&[][..], |lock| &lock.holders);
            if holders.iter().any(|holder| holder.is(&self.waits[&first].user)) {
                return Some(path);
            }
            let next = self.waits.iter().find(|(waiter, wait)| {
                let is_holders = holders.iter().any(|holder| holder.is(&wait.user));
                is_holders && wait.granted.is_none() && is_old(wait.since) && !seen.contains(waiter)
            });
            match next {
                Some((&waiter, _)) => {
                    seen.push(waiter);
                    path.push(waiter);
                }
                None => _ = path.pop(),
            }
        }
        None
    }
}
