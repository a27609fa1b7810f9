//! The queues, the stack of idle threads, and who is woken or started for a job.
//!
//! ```text
//! submit:      push; fence; if nobody searches and somebody could come: wake
//! wake:        under the lock: set SEARCH, take the last thread that lay down, or count a new one;
//!              after it: unpark, or start
//! thread:      take a job; clear SEARCH if it is mine; fence; queue not empty: wake;   then run it
//!              nothing to take: lie down and clear SEARCH; fence; queue not empty: get up; park
//! ```
//!
//! Waking is *chained*: a submitter wakes nobody while a search is on, and each searcher that finds a
//! job passes the search on before it runs the job. So k jobs that block are all running after k
//! wakes, and 20,000 that do not block cost a handful. (A wake per job, as tokio and `blocking` do
//! it, costs 2.5 µs a job.)
//!
//! Rejected: skipping the wake while the backlog is short, and spinning before parking: each gained
//! little in batches and lost much where jobs block or CPUs are shared (research, §7). Yielding before
//! a thread is started, to let those that are ready drain the queue: fewer threads for no-ops, but
//! 1000 sleeps of 5 ms took 300 ms instead of 35 on a loaded machine. Yielding before a thread lies down,
//! always: beside two tasks that compute one job in a hundred began 1.6 ms late instead of 40 µs, or 5 ms where
//! the thread that yields keeps its search. ("Giving way" in `README.md` is what is left of that.)

use super::job::{Job, Once, Owner};
use super::room::Room;
use super::stats::{Metrics, Running, Totals};
use super::word::{Claim, Limits, Word};
use super::worker::{Body, Signal, Worker};
use super::{Crew, LANES, Lane, Refused, Spec};
use crate::primitive::atomic::{AtomicU64, Ordering::*, fence};
use crate::primitive::deque::{Injector, Steal};
use crate::primitive::{Arc, Mutex, clock, in_model, thread};
use crate::task::{JoinHandle, Registry, Spawn};
use crate::util::pad::Pad;
use crate::util::patience::SPIN;
use crate::util::ring::Recorded;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};
use std::{fmt, ptr};

/// What a pool calls of its owner.
pub struct Calls {
    /// Starts a thread that calls the body.
    pub start: Box<dyn Fn(Body) -> io::Result<()> + Send + Sync>,
    /// An [announced](super::Spec::announced) job has run, or was cancelled.
    pub after_job: Box<dyn Fn() + Send + Sync>,
    /// Whether its tasks, which may be about to bring jobs, wait for a thread. Only a hint.
    pub is_busy: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Calls {
    /// Of a pool that needs nothing but threads.
    pub fn new(start: impl Fn(Body) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { start: Box::new(start), after_job: Box::new(|| ()), is_busy: Box::new(|| false) }
    }
}

/// What a pool may use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Threads that serve both lanes.
    pub max_threads: usize,
    /// Further threads, for the runtime lane only.
    pub reserved: usize,
    /// How long a thread without work stays. The last of each kind stays for good.
    pub keep_alive: Duration,
    /// How long a thread looks on before it sleeps, at most.
    pub spin: Duration,
    /// How many jobs the user lane holds before `try_spawn` refuses and `place` waits.
    pub max_queue: Option<usize>,
    /// How many lists the registry of jobs has.
    pub homes: usize,
    /// What listings call it.
    pub name: Option<Arc<str>>,
    /// How many events the flight recorder keeps of each thread; 0 for none.
    pub recorded: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // tokio's number: blocking calls that wait for each other through a pool need many.
            max_threads: 512,
            // A resolver may sit out a timeout of seconds; four of them at once are rare.
            reserved: 4,
            keep_alive: Duration::from_secs(10),
            spin: SPIN,
            max_queue: None,
            // Each list is one spin lock, held for some ten instructions.
            homes: if in_model() { 1 } else { 8 },
            name: None,
            recorded: 0,
        }
    }
}

/// What the threads of one pool share.
pub struct Shared {
    queues: [Pad<Injector<Job>>; 2],
    pub(super) word: Pad<Word>,
    pub(super) threads: Mutex<Threads>,
    pub(super) registry: Registry,
    room: Option<Room>,
    limits: Limits,
    pub(super) keep_alive: Duration,
    pub(super) spin: Duration,
    homes: usize,
    name: Option<Arc<str>>,
    pub(super) recorded: usize,
    /// What job times count from.
    epoch: Instant,
    pub(super) calls: Calls,
    /// Held while the first thread is started, so that nothing is queued before there is one.
    first: Mutex<()>,
    start_failures: AtomicU64,
}

/// The lists of threads.
#[derive(Debug)]
pub struct Threads {
    /// For each crew, who sleeps; the last to lie down is on top.
    pub(super) idle: [Vec<Arc<Worker>>; 2],
    pub(super) all: Vec<Arc<Worker>>,
    /// Who waits in `shutdown`.
    pub(super) closers: Vec<thread::Thread>,
    /// What ended threads have counted.
    pub(super) past: Totals,
    /// Somebody has begun a shutdown.
    pub(super) closing: bool,
    wakes: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("word", &self.word.peek()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(config: Config, calls: Calls) -> Arc<Self> {
        assert!(config.max_threads > 0, "a blocking pool needs at least one thread");
        assert!(
            config.max_threads.max(config.reserved) <= 32_000,
            "a blocking pool has at most 32,000 threads"
        );
        let homes = config.homes.clamp(1, 1 << 12);
        Arc::new(Self {
            queues: [Pad(Injector::new()), Pad(Injector::new())],
            word: Pad(Word::new()),
            threads: Mutex::new(Threads {
                idle: [Vec::new(), Vec::new()],
                all: Vec::new(),
                closers: Vec::new(),
                past: Totals::default(),
                closing: false,
                wakes: 0,
            }),
            registry: Registry::new(homes),
            room: config.max_queue.map(Room::new),
            limits: Limits([config.max_threads, config.reserved]),
            keep_alive: config.keep_alive,
            spin: config.spin,
            homes,
            name: config.name,
            recorded: config.recorded,
            epoch: clock::now(),
            calls,
            first: Mutex::new(()),
            start_failures: AtomicU64::new(0),
        })
    }

    /// Nanoseconds since the pool was made: enough for 292 years.
    pub(super) fn now(&self) -> u64 {
        clock::now().saturating_duration_since(self.epoch).as_nanos() as u64
    }

    /// Queues a job that has a place.
    pub(super) fn submit<F, T>(
        self: &Arc<Self>,
        spec: Spec,
        job: F,
    ) -> Result<JoinHandle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let Spec { lane, mandatory, announced, name, location, home } = spec;
        // Relaxed: ALIVE says only that a thread exists, and closed that none has to.
        let now = self.word.peek();
        if !now.is_alive() && !now.is_closed() {
            if let Err(error) = self.start_first(lane) {
                self.cancel_deserted();
                self.give_back_place(lane);
                return Err(Refused::NoThread(error, job));
            }
        }
        let spawn = Spawn {
            scheduler: Owner(ptr::NonNull::from(&**self)),
            registry: &self.registry,
            home: (home % self.homes) as u16,
            given: name.into(),
            location,
        };
        // SAFETY: the closure and its output are `Send` and own what they use.
        let (runnable, handle) = unsafe { spawn.create(Once(Some(job))) };
        match runnable {
            Some(runnable) => self.push(lane, Job::new(runnable, self.now(), mandatory, announced)),
            // The pool is closed, and the job cancelled.
            None => {
                self.give_back_place(lane);
                if announced {
                    (self.calls.after_job)();
                }
            }
        }
        Ok(handle)
    }

    /// Queues a job and makes sure that somebody will look at the queue.
    pub(super) fn push(self: &Arc<Self>, lane: Lane, job: Job) {
        self.queues[lane as usize].push(job);
        // Pairs with the fences of all who change the word and then look at the queue: `pass_on`,
        // `rest`, `close`, `leave`.
        fence(SeqCst);
        let now = self.word.peek();
        if now.is_closed() && now.threads() == 0 {
            self.cancel_deserted();
        } else if now.wants(lane, self.limits, true) {
            self.wake(lane, true);
        }
    }

    /// Takes the next job of a lane. `None`: the queue looked empty, which a fence before makes true.
    pub(super) fn take(&self, lane: Lane) -> Option<Job> {
        let job = self.pop(lane)?;
        self.give_back_place(lane);
        Some(job)
    }

    fn pop(&self, lane: Lane) -> Option<Job> {
        loop {
            match self.queues[lane as usize].steal() {
                Steal::Success(job) => return Some(job),
                Steal::Empty => return None,
                // Somebody else took one: the queue as a whole makes progress.
                Steal::Retry if in_model() => thread::yield_now(),
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }

    pub(super) fn has_work(&self, lane: Lane) -> bool {
        !self.queues[lane as usize].is_empty()
    }

    /// How many jobs of a lane wait.
    pub(super) fn queued(&self, lane: Lane) -> usize {
        self.queues[lane as usize].len()
    }

    /// Whether there is work that a thread of `crew` may do.
    pub(super) fn has_work_for(&self, crew: Crew) -> bool {
        LANES.iter().any(|lane| lane.crews().contains(&crew) && self.has_work(*lane))
    }

    /// Drops the queued jobs for which no thread will come. Their handles say "cancelled". After a
    /// fence.
    pub(super) fn cancel_deserted(&self) {
        for lane in LANES.into_iter().filter(|&lane| self.has_work(lane)) {
            let mut jobs = Vec::new();
            {
                // A thread that is to come is counted under this lock, before it is relied on.
                let _threads = self.threads.lock();
                if self.word.peek().is_deserted(lane) {
                    jobs.extend(std::iter::from_fn(|| self.pop(lane)));
                }
            }
            for job in jobs {
                self.give_back_place(lane);
                self.cancel(job);
            }
        }
    }

    /// Drops a job that was queued and is not to run. Its end is announced as if it had run: what was held for it
    /// is given back.
    pub(super) fn cancel(&self, job: Job) {
        let announced = job.is_announced();
        job.cancel();
        if announced {
            (self.calls.after_job)();
        }
    }

    /// Wakes or, with `grow`, starts a thread that looks at `lane`, unless one does already.
    #[cold]
    pub(super) fn wake(self: &Arc<Self>, lane: Lane, grow: bool) {
        let (claim, sleeper) = {
            let mut threads = self.threads.lock();
            let claim = self.word.claim(lane, self.limits, grow);
            let sleeper = match claim {
                Claim::Wake(crew) => {
                    Some(threads.idle[crew as usize].pop().expect("counted under this lock"))
                }
                Claim::Start(_) | Claim::Nothing => None,
            };
            threads.wakes += u64::from(claim != Claim::Nothing);
            if let Some(sleeper) = &sleeper {
                sleeper.signal(Signal::Search(lane));
            }
            (claim, sleeper)
        };
        if let Some(sleeper) = sleeper {
            sleeper.unpark();
        }
        if let Claim::Start(crew) = claim {
            // A failure is counted, and the body that comes back undoes the claim. The job stays
            // queued; the next submit, and each thread that takes a job, tries again.
            let _ = self.start(Body::new(self.clone(), crew, Some(lane)));
        }
    }

    /// Starts a thread that is counted already.
    fn start(&self, body: Body) -> io::Result<()> {
        let result = (self.calls.start)(body);
        if result.is_err() {
            // Relaxed: a number for people.
            self.start_failures.fetch_add(1, Relaxed);
        }
        result
    }

    /// Starts the thread without which nothing may be queued.
    #[cold]
    fn start_first(self: &Arc<Self>, lane: Lane) -> io::Result<()> {
        let _first = self.first.lock();
        let search = {
            let _threads = self.threads.lock();
            let now = self.word.peek();
            if now.is_alive() || now.is_closed() {
                return Ok(());
            }
            self.word.claim_first(lane)
        };
        self.start(Body::first(self.clone(), search))?;
        let _threads = self.threads.lock();
        // If the thread has unwound already, `push` tries another.
        if self.word.peek().live(Crew::Common) > 0 {
            self.word.set_alive();
        }
        Ok(())
    }

    /// A thread ends, or did not come to be. It is on no stack. If it is the `first` and has not been
    /// reported alive, its starter holds a lock now, and cancels after that what nobody will run.
    pub(super) fn leave(
        self: &Arc<Self>,
        crew: Crew,
        search: Option<Lane>,
        me: Option<&Worker>,
        first: bool,
    ) {
        let (after, closers) = {
            let mut threads = self.threads.lock();
            if let Some(me) = me {
                threads.forget(me);
            }
            let after = self.word.leave(crew, search);
            (after, if after.is_closed() { threads.closers.clone() } else { Vec::new() })
        };
        // Pairs with the fence in `push`: a job that saw this thread live, or its search, is seen
        // here. If the thread was the last, nobody else will look.
        fence(SeqCst);
        let starter_cancels = first && !after.is_alive();
        if after.live(Crew::Common) == 0 && !starter_cancels {
            self.cancel_deserted();
        }
        if let Some(lane) = search.filter(|&lane| self.has_work(lane)) {
            // It was to be started because nobody slept; meanwhile somebody may have lain down
            // trusting it. Not `grow`: the system has just refused.
            self.wake(lane, false);
        }
        for closer in closers {
            closer.unpark();
        }
    }

    /// Wakes for `lane` if it has work and nobody is on the way.
    #[inline]
    pub(super) fn wake_for(self: &Arc<Self>, lane: Lane) {
        if self.has_work(lane) && self.word.peek().wants(lane, self.limits, true) {
            self.wake(lane, true);
        }
    }

    pub(super) fn room(&self) -> Option<&Room> {
        self.room.as_ref()
    }

    /// The bound of a lane: only the user's has one.
    fn room_of(&self, lane: Lane) -> Option<&Room> {
        self.room.as_ref().filter(|_| lane == Lane::User)
    }

    pub(super) fn try_take_place(&self, lane: Lane) -> bool {
        self.room_of(lane).is_none_or(Room::try_take)
    }

    pub(super) fn take_place(&self, lane: Lane) {
        if let Some(room) = self.room_of(lane) {
            room.take();
        }
    }

    pub(super) fn give_back_place(&self, lane: Lane) {
        if let Some(room) = self.room_of(lane) {
            room.give_back();
        }
    }

    pub(super) fn jobs(&self) -> Vec<Running> {
        let tasks = self.registry.dump();
        let now = self.now();
        let begun: HashMap<u64, u64> =
            self.threads.lock().all.iter().filter_map(|w| w.stats.running()).collect();
        let mut jobs: Vec<Running> = tasks
            .into_iter()
            .map(|task| {
                let id = task.id().number();
                let since = begun.get(&id);
                let age = since.map(|&since| Duration::from_nanos(now.saturating_sub(since)));
                Running::new(task, age, self.name.clone())
            })
            .collect();
        jobs.sort_by_key(|job| Reverse(job.age()));
        jobs
    }

    /// The last events of each thread.
    pub(super) fn flight(&self) -> Vec<Vec<Recorded>> {
        let threads = self.threads.lock();
        let rings = threads.all.iter().enumerate();
        rings.filter_map(|(i, worker)| Some(worker.ring.as_ref()?.read(i))).collect()
    }

    pub(super) fn metrics(&self) -> Metrics {
        let threads = self.threads.lock();
        let mut totals = threads.past.clone();
        threads.all.iter().for_each(|worker| totals.add(&worker.stats));
        let now = self.word.peek();
        Metrics {
            threads: now.threads(),
            reserve_threads: now.live(Crew::Reserve),
            idle_threads: now.idle(Crew::Common) + now.idle(Crew::Reserve),
            queued: self.queued(Lane::User),
            queued_runtime: self.queued(Lane::Runtime),
            jobs: totals.run.count(),
            wakes: threads.wakes,
            start_failures: self.start_failures.load(Relaxed),
            wait: totals.wait,
            run: totals.run,
        }
    }
}

impl Threads {
    /// Takes a thread out of the list and keeps what it counted.
    pub(super) fn forget(&mut self, me: &Worker) {
        self.past.add(&me.stats);
        self.all.retain(|worker| !ptr::eq(&**worker, me));
    }
}
