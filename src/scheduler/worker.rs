//! The loop that runs tasks, and the private half of a slot.
//!
//! A `Worker` lives on the stack of its thread; the thread-local in `current.rs` points to it. Nothing
//! of it is touched by another thread, so its fields are plain cells: no lock, no read-modify-write on
//! the way of a task from its wake to its poll but the task's own and the deque's. The one thing that
//! others may take, when this thread is stuck in a poll, is behind the slot's [gate](super::gate): `next`.
//!
//! # Where a task comes from
//!
//! 1. `next`: what the last poll woke or spawned, at most [`MAX_STREAK`] times in a row, so that two
//!    tasks that wake each other do not keep the worker from the others.
//! 2. The deque, first in first out. Thieves take from it too.
//! 3. The injector, where other threads put tasks; a share of it, so that every worker gets some. Every
//!    [`interval`](Worker::interval) polls the share goes to the back of the deque.
//! 4. The deques of others, half of one at a time, from a random start; not of one whose tasks were not
//!    worth it a moment ago ([`loot`]).
//!
//! # Where a task goes
//!
//! Woken or spawned inside a poll: `next`, and what was there goes to the back of the deque. Such a
//! push wakes nobody (waking a thief for a task that the worker is about to run cost tokio 30 %,
//! #8065). Woken by a timer: `next` if that is free. Woken by its own poll or by the poller, or spawned
//! by a root: the back of the deque. From other threads: the injector.
//!
//! On a runtime of one thread, which nobody steals from, tasks run in the order in which they became
//! ready, but for the first that a timer woke: as with asyncio, and as tests of programs for tokio expect.

mod away;
mod loot;

use super::Shared;
use super::current;
use super::gate::Back;
use super::idle::Search;
use super::pace::{MIN_INTERVAL, next_interval};
use super::slot::Slot;
use crate::driver::Turn;
use crate::primitive::atomic::Ordering::*;
use crate::primitive::deque::{self, Steal};
use crate::primitive::{Arc, clock, spin_loop};
use crate::task::{Runnable, Why};
use crate::util::abort::AbortOnUnwind;
use crate::util::kept;
use crate::util::patience::Patience;
use crate::util::ring::{Event, Ring};
use crate::util::rng::Rng;
use loot::{Loot, Rest, State};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

/// How often in a row `next` goes first: tokio's number; message passing gains nothing from more.
const MAX_STREAK: u32 = 3;
/// The most tasks that one steal or one look at the injector moves: crossbeam's own limit.
const MAX_BATCH: usize = 32;
/// The most tasks that come from the injector between two tasks of one's own: 10 µs of moving.
const MAX_SHARE: usize = 256;
/// How many other wheels one look covers, and how late a timer there must be: its owner's thread then
/// has no CPU, or is inside a long poll.
const WHEELS: usize = 4;
const LATE: Duration = Duration::from_micros(250);

/// What runs in a worker's loop beside tasks: a `block_on`'s future, or the decision to stop.
pub(super) trait Root {
    /// Called before each task; `Break` ends the loop.
    fn step(&mut self, worker: &Worker) -> ControlFlow<()>;
    /// Called when there is no task: whether `step` has something to do, so that the worker must not
    /// sleep.
    fn is_woken(&mut self) -> bool {
        false
    }
    /// Whether the loop is over when the runtime has shut down.
    fn ends_with_runtime(&self) -> bool {
        false
    }
    /// Whether its thread is one of the `N` that should be at work, so that another takes its place when
    /// it is stuck.
    fn is_counted(&self) -> bool {
        true
    }
}

/// Why a task becomes runnable on a worker's thread.
#[derive(Clone, Copy)]
enum Source {
    /// A task that is being polled woke it.
    Poll,
    /// A root that is being polled woke it.
    Root,
    /// The poller reported something, or the worker does something else.
    Events,
    /// Its timer is due.
    Timers,
}

/// The private half of a slot.
pub struct Worker {
    runtime: Arc<Shared>,
    seat: usize,
    home: usize,
    /// That seat's, in `runtime`: found without a detour.
    slot: NonNull<Slot>,
    /// The slot's ring, if there is a flight recorder.
    ring: Option<NonNull<Ring>>,
    deque: deque::Worker<Runnable>,
    /// How often in a row `next` went first.
    streak: Cell<u32>,
    /// Held between being woken and finding work.
    search: Cell<Option<Search>>,
    /// On whose behalf this thread schedules now.
    source: Cell<Source>,
    /// Polls left until the next maintenance.
    ticks: Cell<u32>,
    /// Polls between two maintenances.
    interval: Cell<u32>,
    /// It had the turn, so others may have gone to sleep without it.
    turned: Cell<bool>,
    /// The other wheel that was last looked at.
    wheel: Cell<usize>,
    /// When the clock was last read.
    looked: Cell<Instant>,
    /// How long to sleep at least for a timer.
    nap: Cell<Duration>,
    patience: Patience,
    loot: Loot,
    /// Whom to spare in the next sleep.
    spare: Cell<Option<Rest>>,
    rng: Rng,
}

impl Worker {
    /// The owner of `seat`, whose deque this is.
    pub(super) fn new(runtime: Arc<Shared>, seat: usize, deque: deque::Worker<Runnable>) -> Self {
        let slot = NonNull::from(&*runtime.slots[seat]);
        let ring = runtime.ring(seat).map(NonNull::from);
        let patience = Patience::new(runtime.hooks.spin);
        let home = seat % runtime.homes;
        Self {
            runtime,
            seat,
            home,
            slot,
            ring,
            deque,
            streak: Cell::new(0),
            search: Cell::new(None),
            source: Cell::new(Source::Events),
            ticks: Cell::new(0),
            interval: Cell::new(MIN_INTERVAL),
            turned: Cell::new(false),
            wheel: Cell::new(seat),
            looked: Cell::new(clock::now()),
            nap: Cell::new(Duration::ZERO),
            patience,
            loot: Loot::new(),
            spare: Cell::new(None),
            rng: Rng::new(seat as u64 + 1),
        }
    }

    /// The runtime that this worker belongs to.
    #[inline]
    pub(crate) fn runtime(&self) -> &Arc<Shared> {
        &self.runtime
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        &self.runtime
    }

    /// The number of the slot.
    #[inline]
    pub(crate) fn seat(&self) -> usize {
        self.seat
    }

    /// The number of the lists where its tasks and sockets are.
    #[inline]
    pub(crate) fn home(&self) -> usize {
        self.home
    }

    #[inline]
    fn slot(&self) -> &Slot {
        // SAFETY: the slots never move, and `runtime` keeps them.
        unsafe { self.slot.as_ref() }
    }

    /// Whether it is inside a poll, of a task or of a root.
    fn is_polling(&self) -> bool {
        matches!(self.source.get(), Source::Poll | Source::Root)
    }

    /// Notes what this worker does.
    #[inline]
    fn record(&self, event: Event, number: usize) {
        if let Some(ring) = self.ring {
            // SAFETY: as in `slot`.
            unsafe { ring.as_ref() }.record(event, number as u64, ptr::null());
        }
    }

    /// The same of a task.
    #[inline]
    fn record_task(&self, event: Event, task: &Runnable) {
        if let Some(ring) = self.ring {
            // SAFETY: as in `slot`.
            let ring = unsafe { ring.as_ref() };
            let task = task.header();
            ring.record(event, task.id().number(), ptr::from_ref(task.location()));
        }
    }

    /// Runs tasks until `root` says that it is enough, and leaves no task behind.
    pub(super) fn run(&self, root: &mut dyn Root) {
        let abort = AbortOnUnwind::new("a worker's loop");
        let _keeping = kept::keep(self.home as u16);
        let _current = current::set_worker(Some(self));
        self.slot().parker.adopt();
        if self.slot().gate.is_watched() {
            // Relaxed: for the monitor, which is told below that somebody is here.
            self.slot().thread.store(current::thread_number(), Relaxed);
            self.slot().counted.store(root.is_counted(), Relaxed);
        }
        // Relaxed: a hint for the paused clock, the monitor and listings.
        self.slot().owned.store(true, Relaxed);
        self.shared().has_come();
        self.shared().rescue.rounds.bed.someone_awake();
        self.shared().tenders.tend(self.seat, self.shared());
        while root.step(self).is_continue() {
            match self.next_task() {
                Some(task) => self.run_task(task),
                None if root.is_woken() => {}
                None if root.ends_with_runtime() && self.shared().has_ended() => break,
                None => self.rest(root),
            }
        }
        self.record(Event::Idle, 0);
        self.hand_over();
        self.shared().tenders.untend(self.seat, self.shared());
        self.slot().owned.store(false, Relaxed);
        self.shared().ask_again();
        // A guest may have ended the last task.
        let _ = self.shared().has_ended();
        // Not dropped: the loop may run inside a `Drop` during an unwinding that began outside of it.
        std::mem::forget(abort);
    }

    /// Gives back the deque of a slot whose loop has ended.
    pub(super) fn into_deque(self) -> deque::Worker<Runnable> {
        self.deque
    }

    /// Whether another task waits for this worker, as far as is known here.
    #[allow(dead_code)] // only who waits for a process asks
    pub(crate) fn has_more(&self) -> bool {
        self.has_next() || !self.deque.is_empty()
    }

    /// How many tasks wait in this worker's own queue.
    pub(super) fn queued(&self) -> usize {
        self.deque.len()
    }

    /// Runs a poll, of a task or of a root: `source` says which, to where what it wakes is placed. It may take long, so
    /// a search ends before it.
    fn as_poll<R>(&self, source: Source, poll: impl FnOnce() -> R) -> R {
        if let Some(search) = self.search.take() {
            self.end_search(search);
        }
        self.source.set(source);
        let gate = &self.slot().gate;
        // SAFETY: gate rule 1: this is the owner's thread, and it is inside.
        unsafe { gate.begin_poll() };
        let result = poll();
        // SAFETY: as above, and it has begun a poll.
        if unsafe { gate.end_poll() } == Back::Lost {
            self.regain();
        }
        self.source.set(Source::Events);
        result
    }

    fn run_task(&self, task: Runnable) {
        let slot = self.slot();
        slot.counters.polls.add(1);
        if slot.gate.is_watched() {
            slot.current.set(task.header());
        }
        self.record_task(Event::Poll, &task);
        self.as_poll(Source::Poll, || task.run());
    }

    /// Runs a poll of a root.
    pub(super) fn as_root<R>(&self, poll: impl FnOnce() -> R) -> R {
        if self.slot().gate.is_watched() {
            self.slot().current.set_root();
        }
        self.record(Event::Root, 0);
        self.as_poll(Source::Root, poll)
    }

    /// The poll was stuck, and others have what this worker had. It goes on with what it finds; whoever is
    /// one too many now leaves (`rescue.rs`).
    #[cold]
    fn regain(&self) {
        // SAFETY: gate rule 1: this is the owner's thread, which found its slot lost.
        unsafe { self.slot().gate.regain() };
        self.shared().tenders.tend(self.seat, self.shared());
        self.shared().came_back(self.seat);
        // The time of that poll says nothing about the next ones.
        self.looked.set(clock::now());
        self.ticks.set(0);
        self.record(Event::Rescued, 0);
    }

    /// What is private in this slot; `None` if it is lost. `f` runs no user code.
    #[inline]
    fn with_next<R>(&self, f: impl FnOnce(&mut Option<Runnable>) -> R) -> Option<R> {
        let gate = &self.slot().gate;
        match self.source.get() {
            // SAFETY: gate rule 1: the owner's thread, in a poll: `as_poll` sets these sources around it.
            Source::Poll | Source::Root => unsafe { gate.visit(f) },
            // SAFETY: as above, and it is inside.
            Source::Events | Source::Timers => Some(unsafe { gate.with_next(f) }),
        }
    }

    /// Takes a task that became runnable on this thread.
    #[inline]
    pub(super) fn schedule(&self, task: Runnable, why: Why) {
        self.record_task(Event::Ready, &task);
        self.place(task, why);
    }

    /// Takes a task that was spawned on this thread.
    #[inline]
    pub(super) fn schedule_new(&self, task: Runnable, why: Why) {
        self.record_task(Event::Spawn, &task);
        // What `main` spawns begins in its order.
        let why = if matches!(self.source.get(), Source::Root) { Why::Again } else { why };
        self.place(task, why);
    }

    #[inline]
    fn place(&self, task: Runnable, why: Why) {
        match self.source.get() {
            Source::Poll | Source::Root if why == Why::Woken && self.shared().workers > 0 => {
                let mut task = Some(task);
                match self.with_next(|next| std::mem::swap(next, &mut task)) {
                    Some(()) => task.into_iter().for_each(|before| self.push_back(before)),
                    // This poll is stuck again and again: nobody else would find it here.
                    None => task.into_iter().for_each(|task| self.shared().inject(task)),
                }
            }
            // Its poll is over and this worker goes on with the next task, which may be this one. Or it is to
            // keep its order.
            Source::Root if self.slot().gate.is_watched() => {
                self.deque.push(task);
                if self.may_be_lost() {
                    // This poll is stuck: nobody else would look here.
                    self.shared().notify_pushed();
                } else {
                    self.share();
                }
            }
            // Also where the poll was stuck, which ends here: a thread that is called takes the task along that
            // computes, and leaves what waits behind it to another such.
            Source::Poll | Source::Root => {
                self.deque.push(task);
                self.share();
            }
            // The first is late as it is, and goes before all that waits here: beside 64 busy tasks a
            // tick is 62 µs late, with the interval of 50 µs, and not 414. The others would be too many.
            Source::Timers if !self.has_next() => {
                let _ = self.with_next(|next| *next = Some(task));
            }
            // Whoever dispatches looks at the whole batch afterwards.
            Source::Timers | Source::Events => self.deque.push(task),
        }
    }

    fn has_next(&self) -> bool {
        self.with_next(|next| next.is_some()).unwrap_or(false)
    }

    fn take_from_next(&self) -> Option<Runnable> {
        self.with_next(Option::take).flatten()
    }

    /// Queues a task for anybody, and wakes a thief if one sleeps.
    #[inline]
    fn push_back(&self, task: Runnable) {
        self.deque.push(task);
        // No fence: if the hint is old, this worker looks again after its interval.
        if self.wants_thief() {
            self.wake_thief();
        }
    }

    /// Wakes a thief if there is more here than this worker, which is between two polls, is about to
    /// run: for a lone task that yields it would find nothing.
    #[inline]
    fn share(&self) {
        if self.wants_thief() && self.deque.len() + usize::from(self.has_next()) > 1 {
            self.wake_thief();
        }
    }

    #[inline]
    fn wants_thief(&self) -> bool {
        self.shared().idle.wants_work() && !self.slot().is_spared()
    }

    #[cold]
    fn wake_thief(&self) {
        if self.shared().notify() {
            self.slot().counters.wakes.add(1);
        }
    }

    fn next_task(&self) -> Option<Runnable> {
        match self.ticks.get() {
            0 => self.maintain(),
            ticks => self.ticks.set(ticks - 1),
        }
        self.take_next().or_else(|| self.deque.pop()).or_else(|| self.refill())
    }

    fn take_next(&self) -> Option<Runnable> {
        // SAFETY: gate rule 1: the owner's thread, and it is inside.
        let Some(task) = (unsafe { self.slot().gate.with_next(Option::take) }) else {
            self.streak.set(0);
            return None;
        };
        if self.streak.get() < MAX_STREAK {
            self.streak.set(self.streak.get() + 1);
            return Some(task);
        }
        self.streak.set(0);
        self.deque.push(task);
        self.share();
        None
    }

    /// With nothing of one's own left: the injector, then the others, unless that was not worth it.
    fn refill(&self) -> Option<Runnable> {
        self.take_injected(MAX_BATCH).or_else(|| {
            let polls = self.slot().counters.polls.get();
            self.spare.set(self.loot.judge(polls, |victim| self.state_of(victim)));
            if self.spare.get().is_some() {
                return None;
            }
            let search = self.search.take();
            let search = search
                .or_else(|| self.shared().idle.search(self.seat, self.shared().workers.max(1)))?;
            self.search.set(Some(search));
            self.steal()
        })
    }

    /// This worker's share of the injector, `most` at most: the first task, and more into the deque.
    fn take_injected(&self, most: usize) -> Option<Runnable> {
        let injector = &self.shared().injector;
        loop {
            let share = 1 + injector.len() / self.shared().workers.max(1);
            let limit = share.min(most);
            match injector.steal_batch_with_limit_and_pop(&self.deque, limit) {
                Steal::Success(task) => return Some(task),
                Steal::Empty => return None,
                Steal::Retry => spin_loop(),
            }
        }
    }

    fn steal(&self) -> Option<Runnable> {
        let slots = self.shared().slots_in_use();
        let start = self.rng.below(slots.len() as u32) as usize;
        for victim in (start..slots.len()).chain(0..start) {
            // A sleeper has nothing; looking there would cost it its cache line.
            if victim == self.seat || self.shared().idle.is_asleep(victim) {
                continue;
            }
            // A theft, also in vain, makes the thread known to crossbeam's collector of garbage: a fifth of the instructions that
            // its start and end are.
            let Some(stealer) = slots[victim].stealer().filter(|stealer| !stealer.is_empty())
            else {
                continue;
            };
            // `Retry` is left to the look before sleeping, which finds the victim's queue not empty, or to who spares it.
            let stolen = stealer.steal_batch_with_limit_and_pop(&self.deque, MAX_BATCH);
            if let Steal::Success(task) = stolen {
                let counters = &self.slot().counters;
                self.loot.taken(victim, counters.polls.get(), self.state_of(victim));
                counters.steals.add(1);
                counters.stolen.add(1 + self.deque.len() as u64);
                self.record(Event::Steal, 1 + self.deque.len());
                return Some(task);
            }
        }
        None
    }

    fn state_of(&self, seat: usize) -> State {
        let slot = &self.shared().slots[seat];
        State { polls: slot.counters.polls.get(), queued: slot.queued() }
    }

    /// Leaves the search with work in hand. The last to leave looks after those who left their work
    /// to the searchers.
    fn end_search(&self, search: Search) {
        if let Some(seat) = self.shared().idle.end_search(search, || self.shared().has_loot()) {
            self.shared().unpark(seat);
            self.slot().counters.wakes.add(1);
        }
    }

    /// Brings this worker's share of the injector in, behind what is here already. One task at a time
    /// would let a busy worker's own tasks go first: 7 times the CPU time in `spawn_many_remote_busy`.
    fn take_share(&self) {
        let waiting = self.shared().injector.len();
        let share = waiting.div_ceil(self.shared().workers.max(1)).min(MAX_SHARE);
        // The first of a batch goes behind the others of it; one thread keeps the order.
        let batch = if self.shared().workers == 0 { 1 } else { MAX_BATCH };
        for _ in 0..share.div_ceil(batch) {
            let Some(task) = self.take_injected(batch) else { return };
            self.deque.push(task);
        }
    }

    /// Fires what is due in this worker's wheel. Gives how many fired.
    fn expire(&self) -> usize {
        self.source.set(Source::Timers);
        let fired = self.shared().driver.expire(self.seat);
        self.source.set(Source::Events);
        if fired > 0 {
            self.record(Event::Timers, fired);
        }
        fired
    }

    /// Fires what is overdue in some other wheels, each time in others.
    fn expire_others(&self) {
        let wheels = self.shared().slots_in_use().len();
        for _ in 0..WHEELS.min(wheels) {
            let wheel = (self.wheel.get() + 1) % wheels;
            self.wheel.set(wheel);
            if wheel != self.seat {
                self.shared().driver.expire_late(wheel, LATE);
            }
        }
    }

    /// Every now and then on a busy worker: the clock, the poller, the timers, the injector.
    #[cold]
    fn maintain(&self) {
        self.record(Event::Maintain, 0);
        let now = clock::now();
        let elapsed = now.duration_since(self.looked.replace(now));
        self.slot().counters.busy_ns.add(elapsed.as_nanos() as u64);
        self.interval.set(next_interval(self.interval.get(), elapsed));
        self.ticks.set(self.interval.get());
        if let Some(mut turn) = self.try_turn() {
            self.record(Event::Turn, 0);
            turn.run(Some(Duration::ZERO));
            drop(turn);
            self.record(Event::Maintain, 0);
        }
        self.expire();
        self.expire_others();
        self.take_share();
        self.share();
    }

    fn try_turn(&self) -> Option<Turn<'_>> {
        let turn = self.shared().driver.try_turn()?;
        self.turned.set(true);
        Some(turn)
    }
}
