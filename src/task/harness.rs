//! Runs a task: polls it, completes it, cancels it. The one place that catches panics of user code,
//! and the one that touches a cell's stage.

use super::cell::{Cell, Header, Meta, Reason};
use super::error::JoinError;
use super::state::{Complete, Pend, Start};
use super::{Schedule, TaskInfo, Why, budget, panics, waker};
use crate::primitive::explore;
use crate::util::note::{self, Note};
use crate::util::spans::{self, Place};
use std::any::Any;
use std::future::Future;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// Polls once, or drops the future if the task was aborted.
///
/// # Safety
///
/// The caller holds the `Runnable` of this live cell of exactly these types, and gives it up.
pub(super) unsafe fn run<F: Future, S: Schedule, M: Meta>(header: NonNull<Header>) {
    // SAFETY: the caller's.
    let (head, cell) = unsafe { (header.as_ref(), Cell::<F, S, M>::of(header)) };
    let output = match explore::atomically(|| head.state.start()) {
        // SAFETY: rule 2: `start` gave this thread RUNNING, and the future is there until COMPLETE.
        Start::Poll => match unsafe { poll(header, cell) } {
            Poll::Ready(output) => {
                ended(cell, note::read());
                output
            }
            Poll::Pending => {
                let note = note::read();
                ended(cell, note);
                // From here on another thread may run and free the task, unless `Again` says that
                // its `Runnable` is ours.
                return explore::atomically(|| {
                    if head.state.pend(note.code) == Pend::Again {
                        // SAFETY: `Again` gives this thread the `Runnable`.
                        unsafe { (head.vtable.schedule)(header, Why::Again) }
                    }
                });
            }
        },
        Start::Cancel => {
            // SAFETY: rule 2, as above.
            Err(unsafe { drop_future(header, cell) }.unwrap_or(Reason::Cancelled))
        }
    };
    if let Err(Reason::Panic(payload)) = &output {
        let policy = cell.meta().given().and_then(|given| given.on_panic);
        let message = panics::message(&***payload).unwrap_or_default();
        // SAFETY: the executor's reference keeps it until `complete`.
        cell.scheduler().panicked(&unsafe { TaskInfo::of(header) }, message, policy);
    }
    if let Some(span) = cell.meta().span().and_then(Place::get) {
        // It is a subscriber's code.
        drop_caught(|| span.close());
    }
    // SAFETY: rule 2: RUNNING is still ours, and both ways here have dropped the future.
    unsafe {
        cell.store_output(output);
        complete(header, cell);
    }
}

/// A poll has ended, for those who keep records.
fn ended<F: Future, S: Schedule, M: Meta>(cell: &Cell<F, S, M>, note: Note) {
    if let Some(record) = cell.meta().record() {
        cell.scheduler().polled(record.ends(note));
    }
}

/// Polls the future; when it ends, drops it and gives its output.
///
/// # Safety
///
/// Rule 2: this thread has RUNNING, and the future is there.
unsafe fn poll<F: Future, S: Schedule, M: Meta>(
    header: NonNull<Header>,
    cell: &Cell<F, S, M>,
) -> Poll<Result<F::Output, Reason>> {
    note::clear();
    if let Some(record) = cell.meta().record() {
        cell.scheduler().waited(record.begins());
    }
    let mut result = Poll::Pending;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the header lives while this function runs: the executor's reference is given
        // back only in `complete`.
        let waker = unsafe { waker::borrowed(header) };
        budget::with_task(header, cell.meta().context(), || {
            let poll = || {
                // SAFETY: the caller's.
                unsafe { cell.poll_future(&mut Context::from_waker(&waker)) }
            };
            result = spans::within(cell.meta().span().and_then(Place::get), poll);
            if result.is_ready() && needs_drop::<F>() {
                budget::lift();
                // SAFETY: the caller's; nobody drops it again: it has given its output.
                unsafe { cell.drop_future() };
            }
        })
    }));
    match caught {
        Ok(()) => result.map(Ok),
        // SAFETY: the caller's; RUNNING is still ours.
        Err(payload) => Poll::Ready(Err(unsafe { panicked(header, cell, result, payload) })),
    }
}

/// A poll has panicked, or the drop of a future that gave its output. Drops what is left of the two, and gives the
/// panic: one in the future's drop takes the place of what was before, as a panic in its last line would.
///
/// # Safety
///
/// Rule 2: this thread has RUNNING, and the future is there unless it gave its output.
#[cold]
unsafe fn panicked<F: Future, S: Schedule, M: Meta>(
    header: NonNull<Header>,
    cell: &Cell<F, S, M>,
    result: Poll<F::Output>,
    payload: Box<dyn Any + Send>,
) -> Reason {
    let reason = Reason::Panic(Box::new(payload));
    let Poll::Ready(output) = result else {
        // SAFETY: the caller's.
        let Some(later) = (unsafe { drop_future(header, cell) }) else { return reason };
        drop_caught(|| in_task(header, cell, || drop(reason)));
        return later;
    };
    drop_caught(|| in_task(header, cell, || drop(output)));
    reason
}

/// # Safety
///
/// Rule 2: this thread has RUNNING and has stored the output. It gives up the executor's reference.
unsafe fn complete<F: Future, S: Schedule, M: Meta>(header: NonNull<Header>, cell: &Cell<F, S, M>) {
    // SAFETY: the executor's reference keeps it.
    let head = unsafe { header.as_ref() };
    // Unlisted before the joiner can know: who has joined a task does not find it listed. Nobody
    // schedules it meanwhile, since RUNNING is set.
    explore::atomically(|| cell.scheduler().release(head));
    match explore::atomically(|| head.state.complete()) {
        Complete::Nothing => {}
        Complete::DropOutput => {
            // SAFETY: rule 2: there is no `JoinHandle`, so the output is the completer's.
            unsafe { discard(header, cell) };
        }
        Complete::WakeJoiner => head.join_waker.with(|waker| {
            // SAFETY: rule 3: between WakeJoiner and the release below the slot is only read.
            let waker = unsafe { &*waker };
            if let Some(waker) = waker {
                // A foreign executor's waker may panic; the worker lives on.
                drop_caught(|| waker.wake_by_ref());
            }
        }),
    }
    // SAFETY: the executor's reference, given back once, here.
    unsafe { release(header) }
}

/// Drops the future, as in a poll of its task. Gives the panic, if there was one.
///
/// # Safety
///
/// Rule 2: this thread has RUNNING, and the future is there. Afterwards it is gone.
unsafe fn drop_future<F: Future, S: Schedule, M: Meta>(
    header: NonNull<Header>,
    cell: &Cell<F, S, M>,
) -> Option<Reason> {
    if !needs_drop::<F>() {
        return None;
    }
    // SAFETY: the caller's.
    drop_caught(|| in_task(header, cell, || unsafe { cell.drop_future() }))
}

/// Runs what belongs to the task and is no poll: without a budget.
fn in_task<F: Future, S: Schedule, M: Meta>(
    header: NonNull<Header>,
    cell: &Cell<F, S, M>,
    f: impl FnOnce(),
) {
    budget::with_task(header, cell.meta().context(), || budget::without_budget(f));
}

/// Runs user code that must not unwind into ours. Gives the panic, if there was one.
fn drop_caught(f: impl FnOnce()) -> Option<Reason> {
    catch_unwind(AssertUnwindSafe(f)).err().map(|payload| Reason::Panic(Box::new(payload)))
}

/// Moves the output into the `Poll<Result<F::Output, JoinError>>` behind `into`.
///
/// # Safety
///
/// A live cell of exactly these types; rule 2: COMPLETE is set and the output is the caller's.
pub(super) unsafe fn read_output<F: Future, S: Schedule, M: Meta>(
    header: NonNull<Header>,
    into: *mut (),
) {
    let into = into.cast::<Poll<Result<F::Output, JoinError>>>();
    // SAFETY: the caller's.
    unsafe {
        let output = Cell::<F, S, M>::of(header).take_output();
        *into = Poll::Ready(output.map_err(|r| JoinError::new(header.as_ref().id, r)));
    }
}

/// Drops the output that nobody wants.
///
/// # Safety
///
/// As [`read_output`].
pub(super) unsafe fn drop_output<F: Future, S: Schedule, M: Meta>(header: NonNull<Header>) {
    // SAFETY: the caller's.
    unsafe { discard(header, Cell::<F, S, M>::of(header)) };
}

/// Drops the output that nobody looks at; if it is a panic, somebody should hear of it.
///
/// # Safety
///
/// Rule 2: COMPLETE is set and the output is the caller's. The caller's reference keeps the cell.
unsafe fn discard<F: Future, S: Schedule, M: Meta>(header: NonNull<Header>, cell: &Cell<F, S, M>) {
    // SAFETY: the caller's.
    match unsafe { cell.take_output() } {
        // Most outputs are nothing to drop.
        Ok(output) if needs_drop::<F::Output>() => {
            drop_caught(|| in_task(header, cell, || drop(output)));
        }
        Ok(_) => {}
        // SAFETY: the caller's.
        Err(reason) => unsafe { discard_reason(header, cell, reason) },
    }
}

/// # Safety
///
/// As [`discard`].
#[cold]
unsafe fn discard_reason<F: Future, S: Schedule, M: Meta>(
    header: NonNull<Header>,
    cell: &Cell<F, S, M>,
    reason: Reason,
) {
    if let Reason::Panic(payload) = &reason {
        explore::panic_lost();
        // SAFETY: the caller's.
        drop_caught(|| panics::report(&unsafe { TaskInfo::of(header) }, &***payload));
    }
    drop_caught(|| in_task(header, cell, || drop(reason)));
}

/// Gives one reference back and frees the cell with the last.
///
/// # Safety
///
/// The caller owns the reference and does not use the cell through it any more.
pub(super) unsafe fn release(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the cell; `true` says that it was the last, so nobody else can
    // reach it.
    unsafe {
        if header.as_ref().state.release() {
            free(header);
        }
    }
}

/// # Safety
///
/// The last reference to this cell was given back.
#[inline(never)]
unsafe fn free(header: NonNull<Header>) {
    // What it inherited is a user's, and may be dropped with it.
    // SAFETY: the caller's.
    drop_caught(|| unsafe { (header.as_ref().vtable.dealloc)(header) });
}
