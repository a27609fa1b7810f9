//! `block_on`: the calling thread waits for its future on its park token, or works meanwhile.
//!
//! It works on a current-thread runtime, and where [`Builder::block_on_runs_tasks`] says so: it takes a guest slot
//! and runs the ordinary loop with the future as its root. What the future wakes or spawns lands in this thread's own
//! queue, and its own waker needs no system call when the wake comes from a task on this thread.
//!
//! Rejected: that always. A future stays on its thread, and a task that blocks there for something that the future
//! does later never ends: `block_in_place(|| receiver.recv())` in a task, and the `send` in `main`. Nothing that a
//! rescue could do helps, and with tokio, whose threads in `block_on` run no tasks, such programs end.
//!
//! [`Builder::block_on_runs_tasks`]: crate::runtime::Builder::block_on_runs_tasks

use super::worker::{Root, Worker};
use super::{Shared, current};
use crate::blocking::Spec;
use crate::primitive::atomic::{AtomicBool, Ordering::*};
use crate::primitive::{Arc, clock, deque, explore, thread};
use crate::task::{Runnable, budget};
use crate::util::patience::{Patience, Way};
use std::any::Any;
use std::future::Future;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::task::{Context, Poll, Wake, Waker};

/// Wakes a root: sets its flag, and reaches the thread that polls it.
pub(super) struct RootWaker {
    woken: AtomicBool,
    reach: Reach,
}

enum Reach {
    /// The owner of a guest slot.
    Seat(Arc<Shared>, usize),
    /// A thread that only waits.
    Thread(thread::Thread),
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: what the waker did is seen by the poll; pairs with `take`.
        if self.woken.swap(true, AcqRel) {
            return;
        }
        match &self.reach {
            // On its own thread the loop looks at the flag before it sleeps.
            Reach::Seat(shared, seat) => current::worker_of(Arc::as_ptr(shared), |worker| {
                if worker.map(Worker::seat) != Some(*seat) {
                    shared.unpark(*seat);
                }
            }),
            Reach::Thread(thread) => thread.unpark(),
        }
    }
}

impl RootWaker {
    fn new(reach: Reach) -> Arc<Self> {
        Arc::new(Self { woken: AtomicBool::new(true), reach })
    }

    /// Whether there was a wake since the last call.
    fn take(&self) -> bool {
        // Acquire: pairs with the Release in `wake_by_ref`.
        self.is_set() && self.woken.swap(false, AcqRel)
    }

    pub(super) fn is_set(&self) -> bool {
        // Relaxed: set by this thread, or followed by an unpark of it.
        self.woken.load(Relaxed)
    }
}

/// A future as the root of a worker's loop.
struct FutureRoot<'a, F: Future> {
    future: Pin<&'a mut F>,
    flag: Arc<RootWaker>,
    waker: Waker,
    /// Tasks that go first, because the future woke itself while they were queued.
    behind: usize,
    result: Option<Result<F::Output, Stopped>>,
    /// The runtime knows whom to wake when it ends before its time.
    known: bool,
}

/// Why there is no output.
enum Stopped {
    Panic(Box<dyn Any + Send>),
    /// The runtime ended, by this cause.
    Doomed(String),
}

impl Stopped {
    #[track_caller]
    fn panic(self) -> ! {
        match self {
            Self::Panic(payload) => resume_unwind(payload),
            Self::Doomed(cause) => panic!("{cause}"),
        }
    }
}

impl<F: Future> Root for FutureRoot<'_, F> {
    fn step(&mut self, worker: &Worker) -> ControlFlow<()> {
        if worker.shared().rescue.are_roots_alone() {
            return ControlFlow::Break(());
        }
        if self.behind > 0 {
            self.behind -= 1;
            return ControlFlow::Continue(());
        }
        if !self.flag.take() {
            return ControlFlow::Continue(());
        }
        if let Some(cause) = worker.shared().doom.cause() {
            self.result = Some(Err(Stopped::Doomed(cause)));
            return ControlFlow::Break(());
        }
        let mut cx = Context::from_waker(&self.waker);
        let future = self.future.as_mut();
        // Caught, to leave the loop in order; thrown again by `block_on`.
        let poll = worker.as_root(|| {
            catch_unwind(AssertUnwindSafe(|| budget::with_budget(|| future.poll(&mut cx))))
        });
        match poll {
            Ok(Poll::Pending) => {
                if !self.known {
                    self.known = true;
                    if !worker.shared().doom.tell(Arc::downgrade(&self.flag)) {
                        self.flag.wake_by_ref();
                    }
                }
                if self.flag.is_set() {
                    self.behind = worker.queued();
                }
                return ControlFlow::Continue(());
            }
            Ok(Poll::Ready(output)) => self.result = Some(Ok(output)),
            Err(panic) => self.result = Some(Err(Stopped::Panic(panic))),
        }
        ControlFlow::Break(())
    }

    fn is_woken(&mut self) -> bool {
        self.behind = 0;
        self.flag.is_set()
    }

    fn is_counted(&self) -> bool {
        false
    }
}

/// The root of a stand-in: runs tasks until told to stop.
struct StandIn(Arc<RootWaker>);

impl Root for StandIn {
    fn step(&mut self, _: &Worker) -> ControlFlow<()> {
        if self.0.take() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn is_woken(&mut self) -> bool {
        self.0.is_set()
    }
}

/// Whether a `block_on` should run tasks while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Yes: the thread has nothing better to do.
    Work,
    /// Only if nobody else does: a poll of somebody else's task would delay this future.
    Wait,
}

impl Shared {
    /// Runs `future` to its end on this thread.
    ///
    /// # Panics
    ///
    /// With the panic of the future; and inside a current-thread runtime's own tasks, where nobody
    /// could make progress while this thread waits.
    #[track_caller]
    pub(crate) fn block_on<F: Future>(self: &Arc<Self>, future: F, share: Share) -> F::Output {
        explore::forbid("`block_on`, which stops its thread: await the future or spawn it");
        if current::worker(|worker| worker.is_some()) {
            return block_in_place(|| self.block_on(future, Share::Wait));
        }
        let _entered = current::enter(self.clone());
        let mut future = pin!(future);
        let works = self.rescue.settings.roots_work && !self.rescue.are_roots_alone();
        if share == Share::Work && works || self.workers == 0 {
            if let Some(output) = self.work_on(future.as_mut()) {
                return output;
            }
        }
        self.wait_for(future)
    }

    /// As a guest. `None`: no slot is free, or a task has blocked a thread like this one.
    #[track_caller]
    fn work_on<F: Future>(self: &Arc<Self>, future: Pin<&mut F>) -> Option<F::Output> {
        let guest = Guest::new(self)?;
        let flag = RootWaker::new(Reach::Seat(self.clone(), guest.seat));
        let waker = Waker::from(flag.clone());
        let mut root = FutureRoot { future, flag, waker, behind: 0, result: None, known: false };
        guest.run(&mut root);
        self.doom.forget(&root.flag);
        // Dropped while this thread had its only slot: who drives a runtime ends it. Asked after the
        // slot was given back, so that one of the two sees the other.
        if self.workers == 0 && self.is_closed() {
            self.join(None);
        }
        match root.result? {
            Ok(output) => Some(output),
            Err(stopped) => stopped.panic(),
        }
    }

    /// On the park token, for a runtime that others drive; where nobody does, as a guest as soon as
    /// a slot is free.
    #[track_caller]
    fn wait_for<F: Future>(self: &Arc<Self>, mut future: Pin<&mut F>) -> F::Output {
        /// A root that the runtime knows.
        struct Known<'a>(&'a Shared, Arc<RootWaker>);

        impl Drop for Known<'_> {
            fn drop(&mut self) {
                self.0.doom.forget(&self.1);
            }
        }

        let known = Known(self, RootWaker::new(Reach::Thread(thread::current())));
        let flag = &known.1;
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        if !self.doom.tell(Arc::downgrade(flag)) {
            flag.wake_by_ref();
        }
        let patience = Patience::new(self.hooks.spin);
        loop {
            if flag.is_set() {
                // First: a paused clock sees that it is held, or the flag.
                let _held = self.hold_clock_here();
                flag.take();
                if let Some(cause) = self.doom.cause() {
                    panic!("{cause}");
                }
                let poll = budget::with_budget(|| future.as_mut().poll(&mut cx));
                if let Poll::Ready(output) = poll {
                    return output;
                }
            }
            if self.workers == 0 {
                // Registered before the look: a slot given back meanwhile unparks us.
                self.wait_for_slot();
                if let Some(output) = self.work_on(future.as_mut()) {
                    return output;
                }
            }
            let since = clock::now();
            // On a current-thread runtime it may have to drive.
            let way = || if self.workers == 0 { Way::Kept } else { Way::Given };
            let looked_on = patience.look_on(since, way, || flag.is_set());
            // The future may have woken itself, and used up the token: it may park this thread, too.
            if !looked_on && !flag.is_set() {
                thread::park();
            }
            patience.learn(clock::now().duration_since(since), flag.is_set());
        }
    }

    /// Asks for an unpark when a guest slot is given back.
    fn wait_for_slot(&self) {
        let me = thread::current();
        let mut guests = self.guests.lock();
        if guests.waiting.iter().all(|thread| thread.id() != me.id()) {
            guests.waiting.push(me);
        }
    }

    /// Lets this runtime's tasks go on while the calling worker blocks: another thread takes a guest
    /// slot until the result is dropped. `None` if there is no slot or no thread.
    fn stand_in(self: &Arc<Self>) -> Option<Stop> {
        let guest = Guest::new(self).or_else(|| Guest::spare(self))?;
        let flag = RootWaker::new(Reach::Seat(self.clone(), guest.seat));
        flag.take();
        guest.run_elsewhere("stand-in of a task that blocks", StandIn(flag.clone()));
        Some(Stop(flag))
    }
}

/// The guest slots without an owner.
#[derive(Default)]
pub(super) struct Guests {
    /// The lowest is last, and is taken first.
    pub(super) free: Vec<Free>,
    /// Likewise, for stand-ins of stuck workers.
    pub(super) spare: Vec<Free>,
    /// Threads that would drive the runtime if they could; only a current-thread runtime has any.
    pub(super) waiting: Vec<thread::Thread>,
}

/// A guest's slot without an owner, and its deque, if it had an owner before.
pub(super) type Free = (usize, Option<deque::Worker<Runnable>>);

impl Guests {
    /// Takes a slot back. The lowest is taken next: few slots are looked at where few are used.
    fn give_back(&mut self, free: Free, is_spare: bool) {
        let list = if is_spare { &mut self.spare } else { &mut self.free };
        let place = list.partition_point(|(seat, _)| *seat > free.0);
        list.insert(place, free);
    }

    /// The end of the slots that have an owner, of `slots` in all.
    fn end(&self, slots: usize) -> usize {
        // From the highest down, as they stand in the lists.
        let free = self.spare.iter().chain(&self.free).map(|(seat, _)| *seat);
        let at_the_end = free.zip((0..slots).rev()).take_while(|(free, seat)| free == seat);
        slots - at_the_end.count()
    }
}

/// The right to be a worker in a guest slot. Dropping it gives the slot back.
pub(super) struct Guest {
    shared: Arc<Shared>,
    seat: usize,
    /// There until the drop.
    deque: Option<deque::Worker<Runnable>>,
}

impl Guest {
    /// For a thread in `block_on`, or who blocks in place.
    pub(super) fn new(shared: &Arc<Shared>) -> Option<Self> {
        Self::take(shared, |guests| &mut guests.free)
    }

    /// For a stand-in of a stuck worker.
    pub(super) fn spare(shared: &Arc<Shared>) -> Option<Self> {
        Self::take(shared, |guests| &mut guests.spare)
    }

    fn take(
        shared: &Arc<Shared>,
        from: impl FnOnce(&mut Guests) -> &mut Vec<Free>,
    ) -> Option<Self> {
        let mut guests = shared.guests.lock();
        let (seat, deque) = from(&mut guests).pop()?;
        // Relaxed: a hint, written under the lock.
        if shared.in_use.load(Relaxed) <= seat {
            shared.in_use.store(seat + 1, Relaxed);
        }
        drop(guests);
        let deque = deque.unwrap_or_else(|| shared.slots[seat].equip());
        Some(Self { shared: shared.clone(), seat, deque: Some(deque) })
    }

    /// Runs the loop until `root` has ended.
    pub(super) fn run(mut self, root: &mut dyn Root) {
        let shared = &self.shared;
        let worker =
            Worker::new(shared.clone(), self.seat, self.deque.take().expect("put back below"));
        worker.run(root);
        self.deque = Some(worker.into_deque());
    }

    /// Runs the loop on a thread of the pool.
    pub(super) fn run_elsewhere(self, name: &str, root: impl Root + Send + 'static) {
        let shared = self.shared.clone();
        let part = Part(Some((self, root)));
        // Refused or cancelled, the closure is dropped, and the part goes to another thread.
        let spec = Spec { mandatory: true, name: Some(name.into()), ..Spec::runtime() };
        drop(shared.pool.spawn(spec, move || part.play()));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.shared.guests.lock();
        let is_spare = self.seat >= self.shared.first_spare();
        let deque = self.deque.take().expect("`run` puts it back, or aborts");
        guests.give_back((self.seat, Some(deque)), is_spare);
        // Relaxed: as in `take`.
        self.shared.in_use.store(guests.end(self.shared.slots.len()), Relaxed);
        // All of them: one may have got what it waited for in another way, and be gone.
        let waiting = std::mem::take(&mut guests.waiting);
        drop(guests);
        waiting.iter().for_each(thread::Thread::unpark);
    }
}

/// What a stand-in has to do.
///
/// It is done in a shutdown too: a closure in `block_in_place` may wait for a task that only the stand-in
/// would end, and the shutdown for the closure. So the job is mandatory, and a pool that has no thread any
/// more makes the part go to one of its own.
struct Part<R: Root + Send + 'static>(Option<(Guest, R)>);

impl<R: Root + Send + 'static> Part<R> {
    fn play(mut self) {
        let (guest, mut root) = self.0.take().expect("it is played once");
        guest.run(&mut root);
    }
}

impl<R: Root + Send + 'static> Drop for Part<R> {
    fn drop(&mut self) {
        let Some((guest, mut root)) = self.0.take() else { return };
        let thread = thread::Builder::new().name("reiver-stand-in".into());
        // Without a thread the slot is given back, and nobody stands in.
        drop(thread.spawn(move || {
            let _entered = current::enter(guest.shared.clone());
            guest.run(&mut root);
        }));
    }
}

/// Ends a stand-in when dropped.
struct Stop(Arc<RootWaker>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// While it lives, the work and the wheel of a worker that blocks are looked after by others.
struct Left<'a> {
    shared: &'a Shared,
    worker: NonNull<Worker>,
    seat: usize,
}

impl<'a> Left<'a> {
    /// `None`: they are already, since its poll was stuck.
    fn new(shared: &'a Shared, worker: NonNull<Worker>) -> Option<Self> {
        // SAFETY: `block_in_place` runs inside this worker's loop, on its thread.
        let this = unsafe { worker.as_ref() };
        let seat = this.seat();
        this.leave().then(|| {
            shared.tenders.untend(seat, shared);
            Self { shared, worker, seat }
        })
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.shared.tenders.tend(self.seat, self.shared);
        // SAFETY: as in `new`.
        unsafe { self.worker.as_ref() }.come_back();
    }
}

/// Runs `f`, which may block, while others do this worker's work.
///
/// # Panics
///
/// Inside a current-thread runtime: there are no others.
#[track_caller]
pub(crate) fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    let runtime = current::worker(|worker| {
        worker.map(|worker| (worker.runtime().clone(), NonNull::from(worker)))
    });
    let Some((runtime, worker)) = runtime else { return f() };
    // Not in the closure, which does not know who called.
    assert!(
        runtime.workers > 0,
        "cannot block inside a current-thread runtime: it has no other thread to go on with; \
         await instead, or use `spawn_blocking`, or a multi-thread runtime",
    );
    let left = Left::new(&runtime, worker);
    let _stop = left.as_ref().and_then(|_| runtime.stand_in());
    // What `f` wakes or spawns must not be put where only this thread would find it.
    let _outside = current::set_worker(None);
    budget::without_budget(f)
}
