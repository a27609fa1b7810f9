//! The memory of a task: one allocation with a header that everybody knows and a body that only its
//! virtual table knows. `README.md`, "The fields", numbers the rules cited here.

use super::context::Inherited;
use super::harness;
use super::id::Id;
use super::record::Record;
use super::state::State;
use super::{Runnable, Schedule, UnhandledPanic, Why};
use crate::primitive::{Arc, UnsafeCell};
use crate::util::kept;
use crate::util::list::{Linked, Links};
use crate::util::spans::Place;
use std::any::Any;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

/// The part of a task that does not depend on its types: 64 bytes.
///
/// No alignment to cache lines: a 128-byte aligned allocation costs 36 ns where this one costs 6.6,
/// and neighbours in one 128-byte pair showed no false sharing.
#[repr(C)]
pub struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static VTable,
    pub(super) id: Id,
    pub(super) location: &'static Location<'static>,
    /// In the registry's list (rule 4).
    pub(super) links: Links<Header>,
    /// Who waits for the output (rule 3).
    pub(super) join_waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: what changes in a header is atomic, or is touched by one thread at a time by rules 1, 3, 4.
unsafe impl Send for Header {}
// SAFETY: as above.
unsafe impl Sync for Header {}

// SAFETY: always the field `links`.
unsafe impl Linked for Header {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: the caller's; no reference to the whole header is made.
        unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
    }
}

/// What depends on the types of a task.
pub(super) struct VTable {
    /// Runs a `Runnable` once: polls, or drops the future if the task is cancelled.
    pub(super) run: unsafe fn(NonNull<Header>),
    /// Hands a `Runnable` to the scheduler.
    pub(super) schedule: unsafe fn(NonNull<Header>, Why),
    /// Moves the output into the `Poll<Result<T, JoinError>>` behind the pointer.
    pub(super) read_output: unsafe fn(NonNull<Header>, *mut ()),
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    pub(super) dealloc: unsafe fn(NonNull<Header>),
    /// What is kept for people, which lives as long as the cell.
    pub(super) about: unsafe fn(NonNull<Header>) -> About,
}

/// What a cell keeps for people.
pub(super) struct About {
    pub(super) name: Option<NonNull<str>>,
    pub(super) record: Option<NonNull<Record>>,
    pub(super) span: Option<NonNull<Place>>,
}

/// Why there is no output.
pub(super) enum Reason {
    Cancelled,
    /// The payload, in a box of its own: so the output of a task that has none is two words, and not three, of
    /// every cell.
    Panic(Box<Box<dyn Any + Send>>),
}

/// What a task was given besides its future; costs nothing where there is nothing.
pub trait Meta: Send + Sync + 'static {
    /// What the user gave.
    fn given(&self) -> Option<&Given>;
    /// What it inherits.
    fn context(&self) -> Option<&Arc<Inherited>>;
    /// Its record, where somebody wants one.
    fn record(&self) -> Option<&Record>;
    /// The place of its span, if there may be one.
    fn span(&self) -> Option<&Place>;
}

/// What a user gives a task.
#[derive(Debug, Default)]
pub struct Given {
    /// A name.
    pub name: Option<Box<str>>,
    /// What happens if it panics, if not the runtime's default.
    pub on_panic: Option<UnhandledPanic>,
    /// Whether a record of it is kept.
    pub recorded: bool,
}

impl Given {
    /// Whether it was given nothing.
    pub(super) fn is_nothing(&self) -> bool {
        self.name.is_none() && self.on_panic.is_none() && !self.recorded
    }
}

impl From<Option<Box<str>>> for Given {
    fn from(name: Option<Box<str>>) -> Self {
        Self { name, ..Self::default() }
    }
}

/// For a task with anything of that.
pub struct Extras {
    pub(super) given: Given,
    pub(super) context: Option<Arc<Inherited>>,
    /// In a box: most named tasks have none.
    pub(super) record: Option<Box<Record>>,
    pub(super) span: Place,
}

impl Extras {
    pub(super) fn new(given: Given, context: Option<Arc<Inherited>>) -> Self {
        let record = given.recorded.then(Box::<Record>::default);
        Self { given, context, record, span: Place::default() }
    }
}

impl Meta for () {
    fn given(&self) -> Option<&Given> {
        None
    }

    fn context(&self) -> Option<&Arc<Inherited>> {
        None
    }

    fn record(&self) -> Option<&Record> {
        None
    }

    fn span(&self) -> Option<&Place> {
        None
    }
}

impl Meta for Extras {
    fn given(&self) -> Option<&Given> {
        Some(&self.given)
    }

    fn context(&self) -> Option<&Arc<Inherited>> {
        self.context.as_ref()
    }

    fn record(&self) -> Option<&Record> {
        self.record.as_deref()
    }

    fn span(&self) -> Option<&Place> {
        Some(&self.span)
    }
}

/// A whole task. `repr(C)`: a pointer to it is a pointer to its header.
#[repr(C)]
pub(super) struct Cell<F: Future, S: Schedule, M: Meta> {
    header: Header,
    scheduler: S,
    stage: UnsafeCell<Stage<F>>,
    meta: M,
}

/// The future until it ends, its output from then on. Which of the two, the state word says: the
/// thread with RUNNING knows it, and after COMPLETE it is the output (rule 2).
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, Reason>>,
}

impl<F: Future, S: Schedule, M: Meta> Cell<F, S, M> {
    const VTABLE: VTable = VTable {
        run: harness::run::<F, S, M>,
        schedule: schedule::<F, S, M>,
        read_output: harness::read_output::<F, S, M>,
        drop_output: harness::drop_output::<F, S, M>,
        dealloc: dealloc::<F, S, M>,
        about: about::<F, S, M>,
    };

    pub(super) fn allocate(
        future: F,
        scheduler: S,
        meta: M,
        home: u16,
        location: &'static Location<'static>,
    ) -> NonNull<Header> {
        let cell = Self {
            header: Header {
                state: State::new(home),
                vtable: &Self::VTABLE,
                id: Id::NONE,
                location,
                links: Links::new(),
                join_waker: UnsafeCell::new(None),
            },
            scheduler,
            stage: UnsafeCell::new(Stage { future: ManuallyDrop::new(future) }),
            meta,
        };
        let place = kept::allocate::<Self>();
        // SAFETY: it is memory for a cell, and nobody else's.
        unsafe { place.write(cell) };
        place.cast()
    }

    /// # Safety
    ///
    /// `header` is the header of a live cell of exactly these types.
    pub(super) unsafe fn of<'a>(header: NonNull<Header>) -> &'a Self {
        // SAFETY: the caller's; `repr(C)` puts the header first, and all fields that change are in
        // `UnsafeCell`s or atomics.
        unsafe { header.cast::<Self>().as_ref() }
    }

    pub(super) fn meta(&self) -> &M {
        &self.meta
    }

    pub(super) fn scheduler(&self) -> &S {
        &self.scheduler
    }

    /// # Safety
    ///
    /// Rule 2: this thread has RUNNING and the future has not been dropped.
    pub(super) unsafe fn poll_future(&self, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.stage.with_mut(|stage| {
            // SAFETY: rule 2 makes the access exclusive and says that the future is there. It is
            // pinned: the cell never moves, and `drop_future` drops it in place.
            unsafe { Pin::new_unchecked(&mut *(*stage).future).poll(cx) }
        })
    }

    /// # Safety
    ///
    /// As [`poll_future`](Self::poll_future); afterwards the future is gone, also if this panics.
    pub(super) unsafe fn drop_future(&self) {
        self.stage.with_mut(|stage| {
            // SAFETY: rule 2.
            unsafe { ManuallyDrop::drop(&mut (*stage).future) }
        });
    }

    /// # Safety
    ///
    /// Rule 2: this thread has RUNNING, and the future has been dropped.
    pub(super) unsafe fn store_output(&self, output: Result<F::Output, Reason>) {
        self.stage.with_mut(|stage| {
            // SAFETY: rule 2; what is overwritten was dropped.
            unsafe { std::ptr::write(&raw mut (*stage).output, ManuallyDrop::new(output)) }
        });
    }

    /// # Safety
    ///
    /// Rule 2: COMPLETE is set, the caller owns the output, and it has not been taken.
    pub(super) unsafe fn take_output(&self) -> Result<F::Output, Reason> {
        self.stage.with_mut(|stage| {
            // SAFETY: rule 2.
            unsafe { ManuallyDrop::take(&mut (*stage).output) }
        })
    }
}

/// # Safety
///
/// The caller holds the `Runnable` of this live cell of exactly these types; it goes to the scheduler.
unsafe fn schedule<F: Future, S: Schedule, M: Meta>(header: NonNull<Header>, why: Why) {
    // SAFETY: the caller's. The cell outlives the call: the executor's reference is given back only
    // after a poll, and a scheduler that lets another thread poll before `schedule` returns must
    // not touch itself through the cell any more (`Schedule`, rule for implementors).
    unsafe {
        let cell = Cell::<F, S, M>::of(header);
        if let Some(record) = cell.meta.record() {
            record.woken();
        }
        cell.scheduler.schedule(Runnable::from_raw(header), why)
    }
}

/// # Safety
///
/// The last reference to this cell of exactly these types was given back.
unsafe fn dealloc<F: Future, S: Schedule, M: Meta>(header: NonNull<Header>) {
    /// Gives the memory back, also if what is dropped before it panics.
    struct Memory<T>(NonNull<T>, u16);

    impl<T> Drop for Memory<T> {
        fn drop(&mut self) {
            // SAFETY: `allocate` made it for this type; what was in it has been dropped.
            unsafe { kept::free(self.0, self.1) };
        }
    }

    // SAFETY: the caller's: nobody else has it.
    let cell = unsafe { Cell::<F, S, M>::of(header) };
    let memory = Memory(header.cast::<Cell<F, S, M>>(), cell.header.state.home());
    // No code, but in a model it fails if anybody's use of the cell did not happen before this.
    cell.stage.with_mut(|_| ());
    cell.header.join_waker.with_mut(|_| ());
    // SAFETY: as above. The stage is a union and drops nothing: the future and the output have been
    // dropped by their owners (rule 2).
    unsafe { memory.0.drop_in_place() };
}

/// # Safety
///
/// The cell is live and of exactly these types.
unsafe fn about<F: Future, S: Schedule, M: Meta>(header: NonNull<Header>) -> About {
    // SAFETY: the caller's.
    let meta = unsafe { Cell::<F, S, M>::of(header) }.meta();
    let name = meta.given().and_then(|given| given.name.as_deref());
    About {
        name: name.map(NonNull::from),
        record: meta.record().map(NonNull::from),
        span: meta.span().map(NonNull::from),
    }
}
