//! The monitor: looks at a runtime's workers now and then, and finds those that are stuck in a poll. Its thread
//! is that of all runtimes ([`rounds`](super::rounds)).
//!
//! A worker that is in the same poll as at the last look is a *suspect*. Time alone proves nothing: on a machine
//! with more to do than CPUs, a thread that could go on stands still for as long. So the suspect's thread is
//! looked at, as the kernel sees it, and it is stuck
//!
//! * *blocked*, if it waited in the kernel at two looks in a row and had hardly any CPU time between them;
//! * *computing*, if it has had [`HOG`] of CPU time.
//!
//! A thread that is ready to run and gets no CPU is neither: more threads would not help it.
//!
//! The monitor looks every 2 ms while somebody is awake, every half a millisecond for a while after a rescue or
//! with a suspect, and more and more seldom when all sleep; then it dozes, and whoever wakes up rouses it.
//! So an idle process has no tick, and a busy one pays 500 times some 5 µs a second.
//!
//! Rejected: a signal per worker and tick (Seastar's stall detector: 85 % of an idle machine with 96 cores);
//! a share of the time instead of [`HOG`] (two looks may follow each other closely, and a poll that was off its CPU
//! for long has had all of the little between them: a rescue a minute on a busy machine where nothing was stuck);
//! counting polls of the whole runtime (one task that goes on hides all that do not); reading the clock
//! at each poll (26 ns).

use super::Shared;
use super::gate::View;
use super::jobs::{self, Jobs};
use super::rescue::Listener;
use super::trigger::Trigger;
use crate::blocking::Spec;
use crate::primitive::atomic::Ordering::*;
use crate::primitive::watch::{self, Frame, Sample, State};
use crate::primitive::{Arc, clock};
use crate::task::Id;
use crate::util::spans;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::ptr;
use std::time::{Duration, Instant};

/// How long to look often after a rescue: who blocks once often blocks again.
const ALERT_FOR: Duration = Duration::from_secs(1);
/// How long a poll must have blocked: 500 wake-ups of a sleeping core, and not worth a rescue if it is less.
const BLOCKED: Duration = Duration::from_millis(1);
/// The CPU time after which a poll counts as computing.
const HOG: Duration = Duration::from_millis(4);
/// How long any poll may take on a system that does not say what its threads do.
const LONG: Duration = Duration::from_millis(10);
/// How often the stack of tasks from one spawn site is taken: it interrupts their system calls.
const STACKS: Duration = Duration::from_secs(1);

/// What a thread was doing in a slow poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// It waited in the kernel: a sleep, a lock, a file, a socket in blocking mode.
    Blocked,
    /// It used a CPU.
    Computing,
    /// It could have gone on, and had no CPU; or the system does not say.
    Unknown,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// A poll, of a task or of the future of a `block_on`.
    Poll,
    /// A blocking job that runs.
    RunningJob,
    /// A blocking job that no thread has taken yet.
    QueuedJob,
}

/// The spawn place of the jobs that report.
pub(super) const FILE: &str = file!();

/// What a job is that reports.
pub(super) fn report() -> Spec {
    Spec::runtime()
}

/// A poll that took too long, while it was still going on; or, where
/// [asked for](crate::runtime::Builder::slow_blocking), a blocking job.
#[derive(Debug, Clone)]
pub struct SlowPoll {
    pub(super) subject: Subject,
    pub(super) id: Option<Id>,
    pub(super) name: Option<String>,
    pub(super) location: Option<&'static Location<'static>>,
    pub(super) elapsed: Duration,
    pub(super) activity: Activity,
    pub(super) is_rescued: bool,
    pub(super) stack: Vec<Frame>,
}

impl SlowPoll {
    /// What took too long.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// The task; `None` for the future of a `block_on`.
    pub fn id(&self) -> Option<Id> {
        self.id
    }

    /// The task's name, if it has one and was still alive when this was written.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the task was spawned; `None` for the future of a `block_on`.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    /// How long the poll had taken by then, at least.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// What its thread was doing.
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// What the thread was executing, innermost first, down to the poll. Empty without the feature `stacks`, on
    /// other systems than Linux, when the thread did not answer, and for all but the first slow poll of a
    /// spawn site within a second.
    pub fn stack(&self) -> &[Frame] {
        &self.stack
    }

    /// The innermost call of the stack that is not std's, the C library's or this runtime's.
    pub fn culprit(&self) -> Option<&Frame> {
        let is_foreign = |frame: &Frame| {
            // "<&mut std::fs::File as std::io::Read>::read", "__libc_recv".
            let name = frame.function.as_deref().unwrap_or_default();
            let path = name.trim_start_matches(['<', '&']).trim_start_matches("mut ");
            ["std::", "core::", "alloc::", "reiver::"].iter().any(|s| path.starts_with(s))
                || match &frame.file {
                    // With line tables only there are names without a path.
                    Some(file) => file.starts_with("/rustc/") || !file.ends_with(".rs"),
                    None => !name.contains("::"),
                }
        };
        self.stack.iter().find(|frame| !is_foreign(frame))
    }

    /// Whether its worker's other work was given to other threads.
    pub fn is_rescued(&self) -> bool {
        self.is_rescued
    }

    /// Tells `tracing`. `false`: nobody listens there.
    fn trace(&self) -> bool {
        spans::report(self, self.id.map(Id::number), self.name(), self.elapsed, self.is_rescued)
    }
}

impl fmt::Display for SlowPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_job = self.subject != Subject::Poll;
        match self.id {
            Some(id) if is_job => write!(f, "blocking job {id}")?,
            Some(id) => write!(f, "task {id}")?,
            None => write!(f, "the future of a block_on")?,
        }
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        if let Some(location) = self.location {
            write!(f, ", spawned at {location},")?;
        }
        match self.subject {
            Subject::Poll => {}
            Subject::RunningJob => return write!(f, " runs for {:?} so far", self.elapsed),
            Subject::QueuedJob => return write!(f, " waits for a thread for {:?}", self.elapsed),
        }
        let what = match self.activity {
            Activity::Blocked => "blocks its thread",
            Activity::Computing => "computes",
            Activity::Unknown => "does not return",
        };
        write!(f, " {what} inside one poll")?;
        // A shutdown knows nothing of one that began after it.
        if !self.elapsed.is_zero() {
            write!(f, ", for {:?} so far", self.elapsed)?;
        }
        if let Some(frame) = self.culprit() {
            write!(f, ", in {frame}")?;
        }
        if self.is_rescued {
            write!(f, "; its worker's other work goes on elsewhere")?;
        }
        Ok(())
    }
}

/// What the monitor knows of one slot.
#[derive(Debug, Clone, Copy)]
struct Watched {
    poll: u64,
    /// When it was first seen in this poll.
    since: Instant,
    /// When it was first a suspect, and its CPU time then.
    suspected: Option<(Instant, Option<Duration>)>,
    /// Since when, as far as is known, it has been blocked at every look, and its CPU time then.
    blocked: Option<(Instant, Option<Duration>)>,
    /// It was rescued because it computes.
    is_hog: bool,
    is_reported: bool,
}

impl Watched {
    fn new(poll: u64, now: Instant) -> Self {
        Self { poll, since: now, suspected: None, blocked: None, is_hog: false, is_reported: false }
    }

    /// Whether its thread has been looked at for so long.
    fn is_suspect_for(&self, time: Duration, now: Instant) -> bool {
        self.suspected.is_some_and(|(first, _)| now.duration_since(first) >= time)
    }

    /// What is known after another look at the thread. `None`: nothing yet.
    fn judge(&mut self, now: Instant, sample: Sample) -> Option<Activity> {
        let stuck = now.duration_since(self.since);
        let (_, before) = *self.suspected.get_or_insert((now, sample.cpu));
        let used_since = |before: Option<Duration>| {
            let used = sample.cpu.zip(before).map(|(now, before)| now.saturating_sub(before));
            used.unwrap_or_default()
        };
        if used_since(before) >= HOG {
            return Some(Activity::Computing);
        }
        match sample.state {
            State::Runnable => self.blocked = None,
            State::Unknown if stuck >= LONG => return Some(Activity::Unknown),
            State::Unknown => {}
            State::Blocked => match self.blocked {
                None => self.blocked = Some((now, sample.cpu)),
                Some((at, before)) => {
                    if stuck >= BLOCKED && 2 * used_since(before) < now.duration_since(at) {
                        return Some(Activity::Blocked);
                    }
                }
            },
        }
        None
    }
}

/// What a look at all workers found.
#[derive(Debug, Default)]
struct Findings {
    /// Somebody is awake who is not stuck.
    busy: bool,
    /// Somebody is stuck, or may be.
    suspects: bool,
    rescued: bool,
    /// What is to be written about when those who are stuck have stand-ins.
    reports: Vec<Finding>,
}

/// A slow poll.
#[derive(Debug)]
struct Finding {
    seat: usize,
    poll: u64,
    elapsed: Duration,
    activity: Activity,
    is_rescued: bool,
}

/// How soon the next look should be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// Somebody is awake.
    pub(super) is_busy: bool,
    /// Somebody is a suspect, or was rescued a short time ago.
    pub(super) is_alert: bool,
}

/// The monitor of one runtime.
#[derive(Debug)]
pub(super) struct Monitor {
    shared: Arc<Shared>,
    /// By seat, as far as they were ever in use.
    watched: Vec<Option<Watched>>,
    /// When somebody was rescued last.
    rescued: Option<Instant>,
    /// The spawn sites that were written about, by address, and when their last stack was taken.
    known: HashMap<Option<usize>, Instant>,
    jobs: Jobs,
}

impl Monitor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            watched: Vec::new(),
            rescued: None,
            known: HashMap::new(),
            jobs: Jobs::default(),
        }
    }

    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// Whether there is nothing to look at any more. A current-thread runtime ends in whoever drives it.
    pub(super) fn has_ended(&self) -> bool {
        let shared = &self.shared;
        shared.is_closed() && (shared.workers == 0 || shared.registry.is_empty())
    }

    /// Whether there is nothing to see, and somebody will tell when there is. No more than a look from
    /// before the doze would be, so it asks for nothing that only this thread changes.
    pub(super) fn is_quiet(&self) -> bool {
        let shared = &self.shared;
        let mut slots = shared.slots_in_use().iter().enumerate();
        !self.has_ended()
            && slots.all(|(seat, slot)| {
                // Relaxed: the fence in `doze` orders it.
                !slot.owned.load(Relaxed)
                    || shared.idle.is_asleep(seat)
                    || !matches!(slot.gate.view(), View::Inside | View::Polling(_))
            })
    }

    /// Looks at all workers, rescues who must be rescued, and sees to it that their work is done. Says how
    /// soon the next look should be.
    pub(super) fn look(&mut self, now: Instant) -> Pace {
        let shared = self.shared.clone();
        let mut findings = Findings::default();
        let slots = shared.slots_in_use();
        if self.watched.len() < slots.len() {
            self.watched.resize(slots.len(), None);
        }
        for (seat, slot) in slots.iter().enumerate() {
            // Relaxed: it is looked at again.
            if !slot.owned.load(Relaxed) || shared.idle.is_asleep(seat) {
                self.watched[seat] = None;
                continue;
            }
            match slot.gate.view() {
                View::Away => self.watched[seat] = None,
                View::Inside => {
                    self.watched[seat] = None;
                    findings.busy = true;
                }
                View::Polling(poll) => {
                    findings.busy = true;
                    self.watch(seat, poll, now, &mut findings);
                }
                View::Seized(poll) => self.watch_seized(seat, poll, now, &mut findings),
            }
        }
        if findings.rescued {
            self.rescued = Some(now);
        }
        let balance = shared.rescue.balance.get();
        if findings.suspects || balance != (0, 0) {
            findings.busy |= !shared.balance();
        }
        for finding in std::mem::take(&mut findings.reports) {
            self.report(finding);
        }
        if let Some(limit) = shared.rescue.settings.slow_blocking {
            self.watch_jobs(limit, now);
        }
        let is_warned = self.rescued.is_some_and(|at| now.duration_since(at) < ALERT_FOR);
        let is_alert = is_warned || findings.suspects && shared.rescue.is_on();
        Pace { is_busy: findings.busy, is_alert }
    }

    fn watch(&mut self, seat: usize, poll: u64, now: Instant, found: &mut Findings) {
        let watched = match &mut self.watched[seat] {
            Some(watched) if watched.poll == poll => watched,
            other => {
                *other = Some(Watched::new(poll, now));
                return;
            }
        };
        let rescue = &self.shared.rescue;
        let overdue =
            !watched.is_reported && now.duration_since(watched.since) >= rescue.settings.slow_poll;
        if !rescue.is_on() && !overdue {
            return;
        }
        found.suspects = true;
        // Relaxed: written before the owner's first poll.
        let verdict =
            watched.judge(now, watch::sample(self.shared.slots[seat].thread.load(Relaxed)));
        let is_hog = verdict == Some(Activity::Computing);
        let wanted =
            verdict.is_some() && rescue.is_on() && !(is_hog && self.hogs() >= self.shared.workers);
        let is_rescued = wanted && self.shared.seize(seat, poll).is_some();
        if is_rescued {
            self.shared.record_seizure(seat);
        }
        found.rescued |= is_rescued;
        let watched = self.watched[seat].as_mut().expect("set above");
        watched.is_hog = is_rescued && is_hog;
        // If this look is the first in a long time, one more tells what the thread does.
        let is_clear = verdict.is_some() || watched.is_suspect_for(LONG, now);
        // Who computes for some milliseconds is helped without a word.
        if overdue && is_clear || is_rescued && !is_hog {
            watched.is_reported = true;
            let elapsed = now.duration_since(watched.since);
            let activity = verdict.unwrap_or(Activity::Unknown);
            found.reports.push(Finding { seat, poll, elapsed, activity, is_rescued });
        }
    }

    fn watch_seized(&mut self, seat: usize, poll: u64, now: Instant, found: &mut Findings) {
        let watched = self.watched[seat].get_or_insert(Watched::new(poll, now));
        if watched.is_reported {
            return;
        }
        found.busy = true;
        let elapsed = now.duration_since(watched.since);
        if elapsed >= self.shared.rescue.settings.slow_poll {
            watched.is_reported = true;
            let activity = if watched.is_hog { Activity::Computing } else { Activity::Unknown };
            found.reports.push(Finding { seat, poll, elapsed, activity, is_rescued: true });
        }
    }

    /// How often it wants to look at least, even when all sleep.
    pub(super) fn tick(&self) -> Option<Duration> {
        self.shared.rescue.settings.slow_blocking.map(jobs::tick)
    }

    fn watch_jobs(&mut self, limit: Duration, now: Instant) {
        for slow in self.jobs.look(&self.shared, limit, now) {
            self.shared.trigger(Trigger::SlowPoll);
            let site = slow.location.map(|location| ptr::from_ref(location).addr());
            let listener = self.shared.rescue.settings.listener.clone();
            let is_new = self.known.insert(site, now).is_none();
            if is_new || listener.is_some() {
                self.tell(is_new, move || (slow, listener));
            }
        }
    }

    /// Tells who wants to know, on a thread of the pool: it may take long, and block.
    fn tell(
        &self,
        is_new: bool,
        what: impl FnOnce() -> (SlowPoll, Option<Listener>) + Send + 'static,
    ) {
        let job = move || {
            let (slow, listener) = what();
            let is_traced = is_new && slow.trace();
            match listener {
                Some(listener) => listener(&slow),
                None if is_traced => {}
                None => eprintln!("reiver: {slow}"),
            }
        };
        // Refused only without a thread for it: then there is nobody to tell.
        drop(self.shared.pool.spawn(report(), job));
    }

    /// How many workers are rescued from polls that compute. Not more than there are workers: whoever takes
    /// their place needs a CPU too.
    fn hogs(&self) -> usize {
        self.watched.iter().flatten().filter(|watched| watched.is_hog).count()
    }

    /// Reports a poll.
    fn report(&mut self, finding: Finding) {
        let Finding { seat, poll, elapsed, activity, is_rescued } = finding;
        let shared = &self.shared;
        let slot = &shared.slots[seat];
        let task = slot.current.get();
        if !slot.gate.view().is_of(poll) {
            return;
        }
        // Relaxed: a number for people.
        shared.rescue.slow_polls.fetch_add(1, Relaxed);
        shared.trigger(if is_rescued { Trigger::Rescue } else { Trigger::SlowPoll });
        let location = task.map(|(_, location)| location);
        let listener = shared.rescue.settings.listener.clone();
        let site = location.map(|location| ptr::from_ref(location).addr());
        let now = clock::now();
        let is_new = match self.known.get(&site) {
            Some(_) if listener.is_none() => return,
            Some(last) => now.duration_since(*last) >= STACKS,
            None => true,
        };
        if is_new {
            self.known.insert(site, now);
        }
        let slow = SlowPoll {
            subject: Subject::Poll,
            id: task.map(|(id, _)| id),
            name: None,
            location,
            elapsed,
            activity,
            is_rescued,
            stack: Vec::new(),
        };
        let shared = shared.clone();
        self.tell(is_new, move || {
            let name = slow.id.and_then(|id| shared.name_of(id));
            // Here, since the first stack of a process takes 8 ms, and a thread without a CPU is late with it.
            let stack = if is_new { shared.stack_of(seat, poll) } else { Vec::new() };
            (SlowPoll { name, stack, ..slow }, listener)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known after looks at these microseconds of a poll, with so much CPU time by then.
    fn verdict(looks: &[(u64, u64, State)]) -> Option<Activity> {
        let begin = Instant::now();
        let mut watched = Watched::new(1, begin);
        looks.iter().fold(None, |_, &(at, cpu, state)| {
            let cpu = Some(Duration::from_micros(cpu));
            watched.judge(begin + Duration::from_micros(at), Sample { state, cpu })
        })
    }

    #[test]
    fn who_gets_no_cpu_is_not_stuck() {
        use State::*;
        // Off its CPU for long, and then looked at twice in short order while it runs.
        assert_eq!(verdict(&[(30_000, 0, Runnable), (30_100, 90, Runnable)]), None);
        // A wait that ends, as each system call is now and then.
        assert_eq!(
            verdict(&[(2000, 0, Blocked), (4000, 100, Runnable), (6000, 200, Blocked)]),
            None
        );
    }

    #[test]
    fn who_computes_or_waits_is() {
        use State::*;
        let computing = [(2000, 0, Runnable), (4000, 2000, Runnable), (6000, 4000, Runnable)];
        assert_eq!(verdict(&computing), Some(Activity::Computing));
        assert_eq!(verdict(&computing[..2]), None);
        let blocked = [(2000, 0, Blocked), (2500, 10, Blocked)];
        assert_eq!(verdict(&blocked), Some(Activity::Blocked));
        assert_eq!(verdict(&[(2000, 0, Unknown), (10_000, 0, Unknown)]), Some(Activity::Unknown));
    }
}
