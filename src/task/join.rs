//! Handles to a task from outside: its output, and its end.

use super::cell::Header;
use super::harness::release;
use super::state::{Detach, JoinSlot, Wake};
use super::{Id, JoinError, TaskInfo, Why, budget};
use crate::primitive::explore;
use crate::util::note::{self, WaitKind};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker, ready};

/// A counted reference to a task's cell.
struct TaskRef(NonNull<Header>);

// SAFETY: the header is shared between threads by design; what is behind the vtable is reached by
// the state word's rules only.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    fn header(&self) -> &Header {
        // SAFETY: the reference keeps the cell.
        unsafe { self.0.as_ref() }
    }

    fn info(&self) -> TaskInfo {
        // SAFETY: the reference keeps the cell.
        unsafe { TaskInfo::of(self.0) }
    }

    fn abort(&self) {
        if self.header().state.abort() == Wake::Submit {
            // SAFETY: `Submit` gives us the `Runnable`.
            unsafe { (self.header().vtable.schedule)(self.0, Why::Woken) }
        }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.header().state.retain();
        Self(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: this value's own reference.
        unsafe { release(self.0) }
    }
}

/// The right to a task's output. Dropping it detaches the task, which goes on.
///
/// It is a future: awaiting it gives what the task's future gave, or a [`JoinError`] if the task
/// panicked or was cancelled.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` and dropping that future loses nothing: the output waits in the task.
///
/// # Panics
///
/// When polled again after it gave the output.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let handle = reiver::spawn(async { 6 * 7 });
/// assert_eq!(handle.await.unwrap(), 42);
/// # });
/// ```
pub struct JoinHandle<T> {
    /// Given back in `drop`, where the common case joins it with another step.
    task: ManuallyDrop<TaskRef>,
    /// The output was given out.
    taken: bool,
    _output: PhantomData<T>,
}

// SAFETY: the handle moves a `T` from the worker's thread to its own; it never shares one.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: through a shared reference only the state word and the id are reached.
unsafe impl<T: Send> Sync for JoinHandle<T> {}
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}
impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// # Safety
    ///
    /// The caller gives up one reference and the task's JOIN bit, and `T` is the task's output type.
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Self { task: ManuallyDrop::new(TaskRef(header)), taken: false, _output: PhantomData }
    }

    /// Asks for the task to be cancelled: its future is dropped at its next turn on a worker, unless
    /// it ends before. A poll that is running is not interrupted, nor is a blocking job that has
    /// begun.
    ///
    /// Await the handle to see the end; it gives a [`JoinError`] that [`is_cancelled`], or the output
    /// if the task was faster.
    ///
    /// [`is_cancelled`]: JoinError::is_cancelled
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.header().state.is_complete()
    }

    /// A handle that can only abort.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { task: TaskRef::clone(&self.task) }
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.task.header().id
    }

    /// What the task is, for reports.
    pub(crate) fn info(&self) -> TaskInfo {
        self.task.info()
    }

    /// Has `waker` woken when the task ends, once. `false`: it has ended already.
    pub(crate) fn wake_at_end(&self, waker: &Waker) -> bool {
        self.register(waker) == JoinSlot::Pending
    }

    /// # Panics
    ///
    /// If the output was taken: there is nothing to wait for.
    #[track_caller]
    pub(crate) fn assert_has_output(&self) {
        assert!(!self.taken, "`JoinHandle` polled after it gave the output");
    }

    /// Takes the output without waiting; `Pending` if it is not there, or no longer.
    pub(crate) fn take_output(&mut self) -> Poll<Result<T, JoinError>> {
        let mut output = Poll::Pending;
        if !self.taken && self.is_finished() {
            self.taken = true;
            let task = self.task.0;
            // SAFETY: COMPLETE was seen with Acquire, so the output is the handle's (rule 2), and `taken` makes
            // this the only read. `T` is the task's output type (`from_raw`).
            unsafe { (task.as_ref().vtable.read_output)(task, (&raw mut output).cast()) };
        }
        output
    }

    /// Stores `waker` so that the completer wakes it. `Complete`: the output is there instead.
    fn register(&self, waker: &Waker) -> JoinSlot {
        explore::atomically(|| self.register_step(waker))
    }

    #[inline]
    fn register_step(&self, waker: &Waker) -> JoinSlot {
        let header = self.task.header();
        if header.state.has_join_waker() {
            // SAFETY: rule 3: while JOIN_WAKER is set the slot is only read, by us and the completer.
            let same = header
                .join_waker
                .with(|slot| unsafe { &*slot }.as_ref().is_some_and(|w| w.will_wake(waker)));
            if same {
                return JoinSlot::Pending;
            }
            if header.state.take_join_waker() == JoinSlot::Complete {
                return JoinSlot::Complete;
            }
        }
        // SAFETY: rule 3: JOIN_WAKER is clear and the task was not complete when it became so, so
        // the slot is the handle's.
        header.join_waker.with_mut(|slot| unsafe { *slot = Some(waker.clone()) });
        header.state.publish_join_waker()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.assert_has_output();
        let unit = ready!(budget::poll_proceed(cx));
        if !self.is_finished() && self.register(cx.waker()) == JoinSlot::Pending {
            note::wait(WaitKind::Join, self.id().number());
            return Poll::Pending;
        }
        unit.made_progress();
        self.take_output()
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if !self.taken {
            let header = self.task.header();
            if header.state.detach_new() {
                return;
            }
            match header.state.detach() {
                // SAFETY: rule 2: COMPLETE was set before JOIN went, so the output is ours.
                Detach::Output => unsafe { (header.vtable.drop_output)(self.task.0) },
                // SAFETY: rule 3: JOIN_WAKER went before COMPLETE came, so the slot is ours.
                Detach::Waker => drop(header.join_waker.with_mut(|slot| unsafe { (*slot).take() })),
            }
        }
        // SAFETY: dropped once, here; `detach_new` gave the reference back itself.
        unsafe { ManuallyDrop::drop(&mut self.task) }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish()
    }
}

/// The right to end a task, without its output. Dropping it changes nothing.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let handle = reiver::spawn(std::future::pending::<()>());
/// let stop = handle.abort_handle();
/// stop.abort();
/// assert!(handle.await.unwrap_err().is_cancelled());
/// assert!(stop.is_finished());
/// # });
/// ```
#[derive(Clone)]
pub struct AbortHandle {
    task: TaskRef,
}

impl AbortHandle {
    /// # Safety
    ///
    /// The task is alive.
    pub(super) unsafe fn of(task: NonNull<Header>) -> Self {
        // SAFETY: the caller's; the new reference is this handle's.
        unsafe { task.as_ref() }.state.retain();
        Self { task: TaskRef(task) }
    }

    pub(super) fn header(&self) -> &Header {
        self.task.header()
    }

    /// As [`JoinHandle::abort`].
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.header().state.is_complete()
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.task.header().id
    }

    /// That of the task that is polled here.
    pub(crate) fn of_current() -> Option<Self> {
        // SAFETY: it is being polled, so it is alive.
        budget::current().map(|task| unsafe { Self::of(task) })
    }

    /// Whether the task was asked to end.
    pub(crate) fn was_aborted(&self) -> bool {
        self.task.header().state.is_cancelled()
    }
}

impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("id", &self.id()).finish()
    }
}
