//! The scheduler: workers with queues of their own, thieves, sleepers, and the word that wakes them.
#![doc = include_str!("README.md")]

mod block_on;
mod current;
mod doom;
mod doze;
mod explored;
mod flight;
mod gate;
mod hooks;
mod idle;
mod jobs;
mod monitor;
mod outside;
mod pace;
mod park;
mod processes;
mod rescue;
mod rounds;
mod shutdown;
mod slot;
mod stuck;
mod tend;
mod time;
mod trigger;
mod worker;

pub(crate) use block_on::{Share, block_in_place};
pub(crate) use current::{Entered, enter, is_under_worker_of, runtime, with_runtime, worker};
#[allow(unused_imports)] // only model builds explore
pub(crate) use explored::Engine;
#[allow(unused_imports)]
pub(crate) use flight::Flight;
// Some of these names are for the models only.
pub use crate::primitive::watch::Frame;
#[allow(unused_imports)]
pub use doze::Bed;
#[allow(unused_imports)]
pub use gate::{Back, Fences, Gate, View};
pub(crate) use hooks::Hooks;
#[allow(unused_imports)]
pub use idle::{Asleep, Idle, Search};
pub use monitor::{Activity, SlowPoll, Subject};
pub(crate) use outside::outside;
#[allow(unused_imports)]
pub use park::{Blocking, Parker, Unpark};
#[allow(unused_imports)] // only worker processes have them
pub(crate) use processes::{Counts, ProcessPools, Processes};
pub use processes::{OffloadJob, OffloadMetrics};
#[allow(unused_imports)]
pub use rescue::{Balance, Rescue};
pub(crate) use rescue::{Listener, Settings};
pub(crate) use shutdown::Threads;
pub use tend::{Tenders, Wheels};
pub(crate) use trigger::{Trigger, Writer};
pub(crate) use worker::Worker;

use crate::blocking::{Pool, Running, Seen, Spec, WeakPool};
use crate::driver::Driver;
use crate::primitive::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use crate::primitive::deque::{self, Injector};
use crate::primitive::explore::Explored;
use crate::primitive::{Arc, Mutex, explore, in_model, thread};
use crate::task::{
    Given, Header, Id, JoinHandle, Registry, Runnable, Schedule, Spawn, TaskInfo, UnhandledPanic,
    Why,
};
use crate::util::histogram::Histogram;
use crate::util::pad::Pad;
use block_on::{Free, Guests};
use doom::Doom;
use flight::Recorder;
use rescue::Rescuer;
use slot::{Slot, Times};
use std::collections::HashSet;
use std::future::Future;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Weak;
use std::{fmt, io};

/// Slots for threads that become workers for a while: stand-ins for workers in `block_in_place`, and `block_on`
/// callers that run tasks. When none is free, stand-ins take those for stuck workers, and the callers just wait.
const GUESTS: usize = 24;
/// In a model, where every slot is more to explore.
const GUESTS_OF_A_MODEL: usize = 1;

/// How many guests a runtime with workers may have at once.
fn guests() -> usize {
    if in_model() { GUESTS_OF_A_MODEL } else { GUESTS }
}

/// What all threads of one runtime share.
pub struct Shared {
    /// Tasks that came from other threads. Who takes one looks for the next sleeper.
    injector: Injector<Runnable>,
    idle: Idle,
    /// Those of the permanent workers first, then the guests', then those for stand-ins of stuck workers.
    slots: Box<[Pad<Slot>]>,
    /// Slots from here on have no owner, nor had one lately.
    in_use: Pad<AtomicUsize>,
    /// How many permanent workers there are: none in a current-thread runtime.
    workers: usize,
    /// How many seats have lists of their own, of tasks and of sockets; the others share these.
    homes: usize,
    /// The deques of guest slots without an owner, and who waits for one.
    guests: Mutex<Guests>,
    pub(crate) driver: Driver,
    pub(crate) pool: Pool,
    /// Pools of users' own, until they are dropped.
    pools: Mutex<Vec<WeakPool>>,
    pub(crate) processes: ProcessPools,
    tenders: Tenders,
    pub(crate) rescue: Rescuer,
    pub(crate) hooks: Hooks,
    registry: Registry,
    /// The runtime shuts down: no task is accepted, and workers end when the last is gone.
    closed: AtomicBool,
    /// What must end before a paused clock may jump: blocking jobs, polls of roots, rescues.
    holding_clock: Mutex<time::Holding>,
    doom: Doom,
    /// Whether a record is kept of each task.
    recorded: bool,
    recorder: Option<Recorder>,
    pub(crate) threads: Threads,
    /// Who runs the tasks of this runtime instead of workers. Only model builds have such runtimes.
    explored: Explored<Box<dyn Engine>>,
}

// Panics of users are caught where their code is called, and none is called between two steps of ours.
impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

/// The worker halves of the permanent slots, for the threads that will own them.
pub(crate) struct Seats(Vec<deque::Worker<Runnable>>);

impl Shared {
    /// A scheduler with slots for `workers` permanent workers; their threads are started by
    /// [`start`](Self::start). `pool` makes the pool for blocking jobs, whose threads may enter the
    /// runtime through the weak reference.
    pub(crate) fn new(
        workers: usize,
        settings: Settings,
        pool: impl FnOnce(Weak<Self>) -> Pool,
    ) -> (Arc<Self>, Seats) {
        Self::with_engine(workers, settings, pool, Explored::NONE)
    }

    fn with_engine(
        workers: usize,
        mut settings: Settings,
        pool: impl FnOnce(Weak<Self>) -> Pool,
        explored: Explored<Box<dyn Engine>>,
    ) -> (Arc<Self>, Seats) {
        let recorded = settings.records;
        let writer = settings.traces.take();
        let recorder = Some(settings.recorder).filter(|&events| events > 0);
        let recorder = recorder.map(|events| Recorder::new(events, writer));
        let hooks = std::mem::take(&mut settings.hooks);
        let rescue = Rescuer::new(settings, workers);
        // A current-thread runtime has one slot: whoever calls `block_on` is its only worker.
        let guests = if workers == 0 { 1 } else { guests() };
        let seats = workers + guests + rescue.spares(workers);
        // Guests have some too: the lowest seats are taken first.
        let homes = seats.min(2 * workers.max(1));
        // Tasks spawned by threads that are no workers have one list, those of an engine several.
        let outside = if explored.get().is_some() { explored::HOMES } else { 1 };
        let slots: Box<[_]> = (0..seats).map(|_| Pad(Slot::new(rescue.fences))).collect();
        let deques = slots[..workers].iter().map(|slot| slot.equip()).collect();
        // The queue of a guest is made when one comes; in a model, where that is more to explore, now.
        let unowned = |seat: usize| (seat, in_model().then(|| slots[seat].equip()));
        let mut spare: Vec<Free> = (workers..seats).rev().map(unowned).collect();
        let free = spare.split_off(seats - workers - guests);
        let shared = Arc::new_cyclic(|weak| Self {
            injector: Injector::new(),
            idle: Idle::new(seats),
            slots,
            in_use: Pad(AtomicUsize::new(workers)),
            workers,
            homes,
            guests: Mutex::new(Guests { free, spare, waiting: Vec::new() }),
            driver: Driver::new(seats, homes, Self::turn_wanted(weak.clone())),
            pool: pool(weak.clone()),
            pools: Mutex::new(Vec::new()),
            processes: ProcessPools::default(),
            // The permanent workers' threads are about to come.
            tenders: Tenders::new(seats, workers),
            rescue,
            hooks,
            registry: Registry::new(homes + outside),
            closed: AtomicBool::new(false),
            holding_clock: Mutex::new(time::Holding::default()),
            doom: Doom::new(),
            recorded,
            recorder,
            threads: Threads::default(),
            explored,
        });
        (shared, Seats(deques))
    }

    /// Spawns a task from wherever the caller is.
    ///
    /// # Safety
    ///
    /// As [`Spawn::create`]: any thread may poll and drop the future and have its output.
    pub(crate) unsafe fn spawn<F: Future>(
        self: &Arc<Self>,
        future: F,
        given: Given,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        // SAFETY: the caller's.
        unsafe { self.spawn_as(future, given, location, Why::Woken) }
    }

    /// As [`spawn`](Self::spawn); with [`Why::Again`] the task goes behind all that its worker has, so
    /// that tasks spawned so by one worker begin in their order unless they are stolen.
    ///
    /// # Safety
    ///
    /// As `spawn`.
    pub(crate) unsafe fn spawn_as<F: Future>(
        self: &Arc<Self>,
        future: F,
        mut given: Given,
        location: &'static Location<'static>,
        why: Why,
    ) -> JoinHandle<F::Output> {
        given.recorded = self.recorded;
        current::worker_of(Arc::as_ptr(self), |worker| {
            let home = worker.map_or_else(|| self.outside_home(), Worker::home);
            let spawn = Spawn {
                scheduler: Home(Arc::as_ptr(self)),
                registry: &self.registry,
                home: home as u16,
                given,
                location,
            };
            // SAFETY: the caller's. The pointer in `Home` follows the rule of its type.
            let (runnable, handle) =
                explore::unannounced(|| explore::atomically(|| unsafe { spawn.create(future) }));
            match (runnable, worker) {
                (Some(runnable), Some(worker)) => worker.schedule_new(runnable, why),
                (Some(runnable), None) => self.inject(runnable),
                (None, _) => {}
            }
            handle
        })
    }

    /// Runs a user's closure on the runtime's pool.
    ///
    /// # Panics
    ///
    /// If the pool has no thread yet and the system refuses to start one.
    #[track_caller]
    pub(crate) fn spawn_blocking<F, R>(
        self: &Arc<Self>,
        f: F,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_in(&self.pool, f, name, location)
    }

    /// Runs a user's closure on `pool`, which is the runtime's or one of its [`pools`](Self::pools).
    ///
    /// # Panics
    ///
    /// If the pool has no thread yet and the system refuses to start one.
    #[track_caller]
    pub(crate) fn spawn_blocking_in<F, R>(
        self: &Arc<Self>,
        pool: &Pool,
        f: F,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        if self.is_explored() {
            return self.spawn_explored(f, name, location);
        }
        match pool.spawn(self.blocking_spec(name, location), f) {
            Ok(handle) => handle,
            Err(refused) => panic!("{refused}"),
        }
    }

    /// Another pool, which ends with this runtime.
    pub(crate) fn add_pool(&self, pool: &Pool) {
        let mut pools = self.pools.lock();
        pools.retain(WeakPool::is_alive);
        pools.push(pool.downgrade());
    }

    /// The pools of users' own, those included that were dropped and have jobs that run.
    pub(crate) fn pools(&self) -> Vec<Seen> {
        self.pools.lock().iter().filter_map(WeakPool::upgrade).collect()
    }

    /// The blocking jobs of all pools that have not ended.
    pub(crate) fn blocking_jobs(&self) -> Vec<Running> {
        let mut jobs = self.pool.jobs();
        self.pools().iter().for_each(|pool| jobs.extend(pool.jobs()));
        jobs.sort_by_key(|job| std::cmp::Reverse(job.age()));
        jobs
    }

    /// Runs a job of the runtime's own on the pool's lane for those. It holds a paused clock.
    ///
    /// # Errors
    ///
    /// If the pool has no thread yet and the system refuses to start one.
    pub(crate) fn spawn_own<F, R>(&self, spec: Spec, f: F) -> io::Result<JoinHandle<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let announced = self.hold_clock();
        self.pool.spawn(Spec { announced, home: self.home(), ..spec }, f).map_err(|refused| {
            if announced {
                self.release_clock();
            }
            refused.into()
        })
    }

    /// What a user's closure is spawned with. From here on it holds a paused clock.
    pub(crate) fn blocking_spec(
        &self,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> Spec {
        let announced = self.hold_clock();
        Spec { announced, name, location, home: self.home(), ..Spec::user() }
    }

    /// Takes a task from a thread that is no worker of this runtime.
    fn inject(&self, task: Runnable) {
        if let Some(engine) = self.explored.get() {
            return engine.ready(task);
        }
        self.injector.push(task);
        self.notify_pushed();
    }

    /// Wakes a sleeper for what was put into the injector, unless somebody is there to find it.
    fn notify_pushed(&self) {
        if let Some(seat) = self.idle.claim_for_pushed() {
            self.unpark(seat);
        }
    }

    /// What is done when there is a poller to wait in: a sleeper that finds no work takes the turn.
    fn turn_wanted(this: Weak<Self>) -> impl Fn() + Send + Sync {
        move || this.upgrade().iter().for_each(|shared| shared.notify_pushed())
    }

    /// Wakes a sleeper, unless somebody is already looking for work. Says whether it did. Only a hint:
    /// the caller comes back to the work that it is for.
    fn notify(&self) -> bool {
        match self.idle.claim() {
            Some(seat) => {
                self.unpark(seat);
                true
            }
            None => false,
        }
    }

    /// Makes the owner of `seat` look around.
    pub(crate) fn unpark(&self, seat: usize) {
        if self.slots[seat].parker.unpark() == Unpark::Poller {
            self.driver.notify();
        }
    }

    /// Makes everybody look around.
    fn unpark_all(&self) {
        // Exact under the lock. Who takes a slot after this looks around before it sleeps.
        let in_use = {
            let _guests = self.guests.lock();
            self.slots_in_use().len()
        };
        (0..in_use).for_each(|seat| self.unpark(seat));
        self.rescue.rounds.bed.someone_awake();
    }

    /// Whether anybody could take a task from anywhere.
    pub(crate) fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.slots_in_use().iter().any(|slot| slot.has_queued())
    }

    /// Whether there is work that a thief should look for.
    fn has_loot(&self) -> bool {
        !self.injector.is_empty() || self.slots_in_use().iter().any(|slot| slot.has_loot())
    }

    /// The slots that may have an owner. It may miss one whose owner has just come: what is in its deque
    /// is that owner's to look after.
    fn slots_in_use(&self) -> &[Pad<Slot>] {
        // Relaxed: a hint.
        &self.slots[..self.in_use.load(Relaxed)]
    }

    /// The first of the slots for stand-ins of stuck workers.
    pub(crate) fn first_spare(&self) -> usize {
        self.workers + if self.workers == 0 { 1 } else { guests() }
    }

    /// Live tasks.
    pub(crate) fn dump(&self) -> Vec<TaskInfo> {
        let mut tasks = self.registry.dump();
        let jobs: HashSet<Id> = self.blocking_jobs().iter().map(|job| job.task().id()).collect();
        for task in &mut tasks {
            task.complete(|tick| self.driver.clock().until(tick), |id| jobs.contains(&id));
        }
        tasks
    }

    /// The name of a live task.
    fn name_of(&self, id: Id) -> Option<String> {
        let task = self.registry.dump().into_iter().find(|task| task.id() == id)?;
        task.name().map(str::to_owned)
    }

    pub(crate) fn live_tasks(&self) -> usize {
        self.registry.len()
    }

    pub(crate) fn spawned_tasks(&self) -> u64 {
        self.registry.spawned()
    }

    /// Permanent workers; 0 for a current-thread runtime.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Tasks in the injector.
    pub(crate) fn injected(&self) -> usize {
        self.injector.len()
    }

    /// What the worker in `seat` has counted.
    pub(crate) fn counters(&self, seat: usize) -> WorkerCounters {
        let slot = &self.slots[seat];
        let c = &slot.counters;
        WorkerCounters {
            polls: c.polls.get(),
            parks: c.parks.get(),
            unparks: c.unparks.get(),
            steals: c.steals.get(),
            stolen: c.stolen.get(),
            wakes: c.wakes.get(),
            busy_ns: c.busy_ns.get(),
            queued: slot.queued(),
        }
    }

    /// How long tasks were ready, and how long their polls took, where records are kept.
    pub(crate) fn times(&self) -> (Histogram, Histogram) {
        let (mut ready, mut polls) = (Histogram::default(), Histogram::default());
        for times in self.slots.iter().filter_map(|slot| slot.times.get()) {
            ready.add(&times.ready);
            polls.add(&times.polls);
        }
        (ready, polls)
    }

    /// Where a thread that is no worker puts what a slot must keep for it, such as a timer. Spread by
    /// the address of the stack, so that many threads do not meet at one lock.
    pub(crate) fn any_seat(&self) -> usize {
        thread::place() % self.workers.max(1)
    }

    /// With whose things those of the calling thread belong: its own if it is a worker of this runtime.
    pub(crate) fn home(&self) -> usize {
        current::worker_of(self, |worker| worker.map_or_else(|| self.any_seat(), Worker::home))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// A reading of a worker's counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkerCounters {
    pub(crate) polls: u64,
    pub(crate) parks: u64,
    pub(crate) unparks: u64,
    pub(crate) steals: u64,
    pub(crate) stolen: u64,
    pub(crate) wakes: u64,
    pub(crate) busy_ns: u64,
    pub(crate) queued: usize,
}

/// A task's way back to its scheduler: a plain pointer, since a reference count that all cores write
/// would be the most contended word of the machine.
///
/// It is followed only by `schedule`, which holds the `Runnable` of a task that is listed, and by
/// `release`, which is called before a task is unlisted. `Shared` is not freed while a task is listed:
/// its last owners, the worker threads and the runtime, wait for the registry to be empty.
struct Home(*const Shared);

impl Schedule for Home {
    #[inline]
    fn schedule(&self, task: Runnable, why: Why) {
        let shared = self.0;
        current::worker_of(shared, |worker| match worker {
            Some(worker) => worker.schedule(task, why),
            None => {
                // The task may run and end, and the runtime with it, as soon as it is in the
                // injector; this reference keeps the rest of `inject` on solid ground.
                // SAFETY: `task` is not complete, so `Shared` is alive, and it lives in an `Arc`.
                let shared = unsafe {
                    Arc::increment_strong_count(shared);
                    Arc::from_raw(shared)
                };
                shared.inject(task);
            }
        });
    }

    fn panicked(&self, task: &TaskInfo, message: &str, policy: Option<UnhandledPanic>) {
        // SAFETY: the task is listed until `release`, or its spawner, who drops it, holds `Shared`, which
        // lives in an `Arc`.
        let shared = unsafe {
            Arc::increment_strong_count(self.0);
            Arc::from_raw(self.0)
        };
        shared.panicked(task, message, policy);
    }

    fn waited(&self, nanos: u64) {
        with_times(self.0, |times| times.ready.record(nanos));
    }

    fn polled(&self, nanos: u64) {
        with_times(self.0, |times| times.polls.record(nanos));
    }

    fn release(&self, task: &Header) {
        // SAFETY: the task is listed until the call returns, so `Shared` is alive; every task with
        // this scheduler came to this registry, and is released once.
        unsafe {
            if let Some(engine) = (*self.0).explored.get() {
                engine.ended(task.id());
            }
            (*self.0).registry.remove(task);
        }
    }
}

/// Where the worker of this thread notes how long something took. Nowhere if it is none of that runtime's.
fn with_times(shared: *const Shared, note: impl FnOnce(&Times)) {
    current::worker_of(shared, |worker| {
        if let Some(worker) = worker {
            note(worker.shared().slots[worker.seat()].times.get_or_init(Box::default));
        }
    });
}
