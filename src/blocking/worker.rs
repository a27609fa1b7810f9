//! A thread of the pool: takes jobs, passes the search on, lies down, retires.

use super::job::Job;
use super::shared::{Shared, Threads};
use super::stats::Stats;
use super::{Crew, LANES, Lane};
use crate::primitive::atomic::{AtomicU32, Ordering::*, fence};
use crate::primitive::{Arc, clock, thread};
use crate::util::abort::AbortOnUnwind;
use crate::util::patience::{Patience, Way};
use crate::util::ring::{Event, Ring};
use std::fmt;
use std::ptr;
use std::time::Instant;

/// What a thread of the pool runs: [`run`](Body::run) it, once, on a new thread.
///
/// The pool counts the thread from before it exists. Dropping the body without running it, as a
/// failing `thread::spawn` does, tells the pool that it will not come.
#[must_use = "dropping it tells the pool that the thread did not start"]
pub struct Body(Entrance);

struct Entrance {
    shared: Arc<Shared>,
    crew: Crew,
    /// The lane it was started for.
    search: Option<Lane>,
    /// It is the thread that `start_first` waits for.
    first: bool,
    entered: bool,
}

impl Body {
    pub(super) fn new(shared: Arc<Shared>, crew: Crew, search: Option<Lane>) -> Self {
        Self(Entrance { shared, crew, search, first: false, entered: false })
    }

    /// Of the thread that must exist before anything is queued.
    pub(super) fn first(shared: Arc<Shared>, search: Option<Lane>) -> Self {
        Self(Entrance { shared, crew: Crew::Common, search, first: true, entered: false })
    }

    /// Runs jobs until the thread is not needed any more.
    pub fn run(mut self) {
        self.0.entered = true;
        let me = Arc::new(Worker::new(self.0.crew, self.0.shared.recorded));
        self.0.shared.threads.lock().all.push(me.clone());
        let _abort = AbortOnUnwind::new("a thread of the blocking pool");
        me.run(&self.0.shared, self.0.search);
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        if !self.entered {
            self.shared.leave(self.crew, self.search, None, self.first);
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("crew", &self.0.crew).finish()
    }
}

/// Why a sleeping thread was taken off the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To look for work in this lane; the lane's SEARCH bit is now the thread's.
    Search(Lane),
    /// To end.
    Close,
}

/// What others know of a thread.
#[derive(Debug)]
pub struct Worker {
    crew: Crew,
    pub(super) thread: thread::Thread,
    /// 0, or why it was taken off the stack. Written under the lock, by who takes it off.
    signal: AtomicU32,
    pub(super) stats: Stats,
    /// What the flight recorder has of it.
    pub(super) ring: Option<Ring>,
}

impl Worker {
    fn new(crew: Crew, recorded: usize) -> Self {
        Self {
            crew,
            thread: thread::current(),
            signal: AtomicU32::new(0),
            stats: Stats::new(),
            ring: Some(recorded).filter(|&events| events > 0).map(Ring::new),
        }
    }

    /// Tells a thread that was just taken off the stack why. Under the lock.
    pub(super) fn signal(&self, signal: Signal) {
        let code = match signal {
            Signal::Search(lane) => 1 + lane as u32,
            Signal::Close => 3,
        };
        // Release: pairs with the Acquire in `take_signal`. (A swap, since loom gives impossible
        // answers for a store beside read-modify-writes.)
        self.signal.swap(code, Release);
    }

    fn take_signal(&self) -> Option<Signal> {
        // Acquire: pairs with the Release in `signal`: what led to it (a job, CLOSED) is seen.
        match self.signal.swap(0, Acquire) {
            0 => None,
            3 => Some(Signal::Close),
            code => Some(Signal::Search(LANES[code as usize - 1])),
        }
    }

    pub(super) fn unpark(&self) {
        self.thread.unpark();
    }

    fn run(self: &Arc<Self>, shared: &Arc<Shared>, mut search: Option<Lane>) {
        let mut prefer = Lane::Runtime;
        let patience = Patience::new(shared.spin);
        let mut now = None;
        loop {
            let closed = shared.word.is_closed();
            if let Some((lane, job)) = self.find(shared, prefer, closed) {
                // The lanes take turns, so that neither starves the other.
                prefer = lane.other();
                pass_on(shared, search.take());
                if closed && !job.is_mandatory() {
                    shared.cancel(job);
                    continue;
                }
                // The end of a job is the start of the next: one look at the clock.
                let start = now.unwrap_or_else(|| shared.now());
                self.stats.begin(job.id(), job.queued_at(), start);
                let announced = job.is_announced();
                if let Some(ring) = &self.ring {
                    ring.record(Event::Job, job.id(), ptr::from_ref(job.location()));
                }
                job.run();
                if let Some(ring) = &self.ring {
                    ring.record(Event::Idle, 0, ptr::null());
                }
                if announced {
                    (shared.calls.after_job)();
                }
                let end = shared.now();
                self.stats.end(start, end);
                now = Some(end);
                continue;
            }
            if closed {
                break shared.leave(self.crew, search, Some(self), false);
            }
            now = None;
            match self.rest(shared, search.take(), &patience) {
                Next::Look(signal) => search = signal,
                Next::Retired => break,
            }
        }
    }

    fn find(&self, shared: &Shared, prefer: Lane, closed: bool) -> Option<(Lane, Job)> {
        [prefer, prefer.other()]
            .into_iter()
            // In a shutdown everybody helps to empty both queues.
            .filter(|lane| closed || lane.crews().contains(&self.crew))
            .find_map(|lane| shared.take(lane).map(|job| (lane, job)))
    }

    /// Lies down, having found nothing.
    fn rest(self: &Arc<Self>, shared: &Shared, search: Option<Lane>, patience: &Patience) -> Next {
        {
            let mut threads = shared.threads.lock();
            if shared.word.is_closed() {
                // Nobody would wake us. `leave` gives the search back.
                return Next::Look(search);
            }
            threads.idle[self.crew as usize].push(self.clone());
            shared.word.lie_down(self.crew, search);
        }
        // Pairs with the fence in `push`: who pushed and saw us awake or searching is seen here.
        fence(SeqCst);
        if shared.has_work_for(self.crew) && self.get_up(shared) {
            return Next::Look(None);
        }
        let since = clock::now();
        let way = || if (shared.calls.is_busy)() { Way::Given } else { Way::Kept };
        // Relaxed: `sleep` reads it anew.
        patience.look_on(since, way, || self.signal.load(Relaxed) != 0);
        let next = self.sleep(shared, since);
        patience.learn(clock::now().duration_since(since), matches!(next, Next::Look(Some(_))));
        next
    }

    /// Takes itself off the stack. `false`: somebody did, and the signal says why.
    fn get_up(&self, shared: &Shared) -> bool {
        let mut threads = shared.threads.lock();
        let found = threads.get_up(self);
        if found {
            shared.word.get_up(self.crew, 1);
        }
        found
    }

    /// Sleeps until it is signalled or has slept long enough.
    fn sleep(&self, shared: &Shared, since: Instant) -> Next {
        let deadline = since.checked_add(shared.keep_alive);
        loop {
            match self.take_signal() {
                Some(Signal::Search(lane)) => return Next::Look(Some(lane)),
                Some(Signal::Close) => return Next::Look(None),
                None => {}
            }
            match deadline.map(|at| at.saturating_duration_since(clock::now())) {
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                Some(_) if self.retire(shared) => return Next::Retired,
                // It stays (the last of its crew), or was signalled just now and a token is coming.
                _ => thread::park(),
            }
        }
    }

    /// Ends, unless it is the last of its crew or was just taken off the stack for something.
    fn retire(&self, shared: &Shared) -> bool {
        let mut threads = shared.threads.lock();
        // Counted by who has entered: a thread that is being started may not come.
        let others = threads.all.iter().filter(|worker| worker.crew == self.crew).count() > 1;
        if !others || !threads.get_up(self) {
            return false;
        }
        threads.forget(self);
        shared.word.get_up(self.crew, 1);
        // Nobody trusts us: who looked at the word before this saw a sleeper, and took the lock to
        // wake it; who looks later sees room for a thread, and the others of the crew.
        let _ = shared.word.leave(self.crew, None);
        true
    }
}

enum Next {
    /// Look at the queues, perhaps with a search.
    Look(Option<Lane>),
    Retired,
}

/// Called with a job in hand, before it runs: gives up the search and wakes the next thread for what
/// is still queued.
#[inline]
fn pass_on(shared: &Arc<Shared>, search: Option<Lane>) {
    if let Some(lane) = search {
        shared.word.end_search(lane);
        // Pairs with the fence in `push`: a job whose submitter saw our search is seen below.
        fence(SeqCst);
    }
    // Without a search this is no duty, but it retries what the system has refused before.
    LANES.into_iter().for_each(|lane| shared.wake_for(lane));
}

impl Threads {
    /// Takes a thread off its stack, wherever in it.
    fn get_up(&mut self, me: &Worker) -> bool {
        let idle = &mut self.idle[me.crew as usize];
        let at = idle.iter().rposition(|worker| ptr::eq(&**worker, me));
        at.map(|at| idle.remove(at)).is_some()
    }
}
