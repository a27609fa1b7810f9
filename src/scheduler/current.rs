//! Who is running here: the one thread-local of the scheduler.
//!
//! A thread is inside a runtime when it *entered* it (a guard, a worker, a blocking job, `block_on`),
//! and it is a worker while a worker's loop runs on it. Spawns and wakes ask here which queue is near.

use super::Shared;
use super::worker::Worker;
use crate::primitive::{Arc, Stays, local, watch};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

local! {
    static CURRENT: Current = Current {
        worker: Cell::new(None),
        loops: Stack::new(),
        entered: Stack::new(),
        entries: Cell::new(0),
        thread: Cell::new(0),
    };
}

struct Current {
    /// The worker whose loop runs on this thread. `WorkerGuard` keeps rule 1: it points to a live
    /// value on this thread's stack.
    worker: Cell<Option<NonNull<Worker>>>,
    /// The runtimes whose workers' loops are on this thread's stack, of which one at most is `worker`:
    /// the others wait in `block_in_place`. Only compared.
    loops: Stack<*const Shared>,
    /// The runtimes entered, the current one last, each with the number of its guard.
    entered: Stack<(usize, Arc<Shared>)>,
    entries: Cell<usize>,
    /// What the system calls this thread, or 0: asking costs a system call.
    thread: Cell<u32>,
}

/// What this thread is in. Empty, it has no memory; so the thread-local needs no destructor, and is still there
/// for those of others, in which a runtime may be dropped.
struct Stack<T>(RefCell<ManuallyDrop<Vec<T>>>);

impl<T> Stack<T> {
    const fn new() -> Self {
        Self(RefCell::new(ManuallyDrop::new(Vec::new())))
    }

    fn push(&self, entry: T) {
        self.0.borrow_mut().push(entry);
    }

    /// Takes out the last entry that fits.
    fn remove(&self, fits: impl FnMut(&T) -> bool) -> Option<T> {
        let mut entries = self.0.borrow_mut();
        let at = entries.iter().rposition(fits)?;
        let entry = entries.remove(at);
        if entries.is_empty() {
            drop(std::mem::take(&mut **entries));
        }
        Some(entry)
    }

    fn is_any(&self, fits: impl FnMut(&T) -> bool) -> bool {
        self.0.borrow().iter().any(fits)
    }

    fn last<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.borrow().last().map(look)
    }
}

/// What the system calls this thread.
pub(super) fn thread_number() -> u32 {
    CURRENT.with(|current| {
        if current.thread.get() == 0 {
            current.thread.set(watch::thread_number());
        }
        current.thread.get()
    })
}

/// Runs `f` with the worker that runs on this thread, whichever runtime it belongs to.
#[inline]
pub(crate) fn worker<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
    // In a model the thread-local may be gone: destructors of others may wake tasks.
    let worker = CURRENT.try_with(|current| current.worker.get()).ok().flatten();
    // SAFETY: rule 1; the guard cannot be dropped by `f`, since it is borrowed by the loop below us.
    f(worker.map(|worker| unsafe { worker.as_ref() }))
}

/// Runs `f` with the worker that runs on this thread, if it belongs to the runtime at `shared`.
#[inline]
pub(super) fn worker_of<R>(shared: *const Shared, f: impl FnOnce(Option<&Worker>) -> R) -> R {
    worker(|worker| f(worker.filter(|worker| std::ptr::eq(worker.shared(), shared))))
}

/// Sets this thread's worker until the guard is dropped. `None`: what runs under the guard may block,
/// so nothing must be put where only this thread finds it.
pub(super) fn set_worker(worker: Option<&Worker>) -> WorkerGuard<'_> {
    let before = CURRENT.with(|current| {
        worker.iter().for_each(|worker| current.loops.push(&raw const *worker.shared()));
        current.worker.replace(worker.map(NonNull::from))
    });
    WorkerGuard { before, is_loop: worker.is_some(), _worker: PhantomData }
}

/// Whether a worker of the runtime at `shared` is under the caller on this thread's stack, also one that
/// waits in `block_in_place`.
pub(crate) fn is_under_worker_of(shared: *const Shared) -> bool {
    CURRENT.try_with(|current| current.loops.is_any(|&other| other == shared)).unwrap_or(false)
}

/// Puts the worker back that was there before.
pub(super) struct WorkerGuard<'a> {
    before: Option<NonNull<Worker>>,
    /// It put an entry into `loops`.
    is_loop: bool,
    _worker: PhantomData<&'a Worker>,
}

impl Drop for WorkerGuard<'_> {
    fn drop(&mut self) {
        CURRENT.with(|current| {
            current.worker.set(self.before);
            if self.is_loop {
                current.loops.remove(|_| true);
            }
        });
    }
}

/// Makes `shared` the current runtime of this thread until the guard is dropped.
pub(crate) fn enter(shared: Arc<Shared>) -> Entered {
    CURRENT.with(|current| {
        let number = current.entries.get();
        current.entries.set(number + 1);
        current.entered.push((number, shared));
        Entered { number, _not_send: PhantomData }
    })
}

/// Leaves the runtime when dropped, on the thread that entered. Guards may go in any order.
#[derive(Debug)]
pub(crate) struct Entered {
    number: usize,
    /// Not `Send`, but `Sync`.
    _not_send: PhantomData<Stays>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Taken out first and dropped after the borrow: the last handle may free a runtime.
        let number = self.number;
        let _entry =
            CURRENT.try_with(|current| current.entered.remove(|(other, _)| *other == number));
    }
}

/// The runtime that this thread is in.
pub(crate) fn runtime() -> Option<Arc<Shared>> {
    CURRENT.try_with(|current| current.entered.last(|(_, shared)| shared.clone())).ok().flatten()
}

/// Runs `f` with the runtime that this thread is in. On a worker of that runtime this touches no
/// reference count.
#[inline]
pub(crate) fn with_runtime<R>(f: impl FnOnce(Option<&Arc<Shared>>) -> R) -> R {
    let innermost =
        CURRENT.try_with(|current| current.entered.last(|(_, shared)| Arc::as_ptr(shared)));
    let Some(innermost) = innermost.ok().flatten() else { return f(None) };
    worker_of(innermost, |worker| match worker {
        Some(worker) => f(Some(worker.runtime())),
        None => f(runtime().as_ref()),
    })
}
