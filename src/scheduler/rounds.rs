//! The rounds: one thread of the process is the monitor of all its runtimes.
//!
//! A thread for each would be half of what starting and stopping a runtime costs, and a process with a
//! runtime per core would have twice the threads. It comes with the first runtime that wants it, and goes
//! when there has been none for [`LINGER`].
//!
//! The lock is held during a round, so that nobody looks at a runtime that [`leave`](Rounds::leave) has returned for.
//! No user code runs under it: reports are made on the runtime's pool, and a runtime that may be freed is
//! let go after it.

use super::Shared;
use super::doze::Bed;
use super::gate::Fences;
use super::monitor::{Monitor, Pace};
use super::rescue::Rescue;
use crate::primitive::{Arc, Mutex, clock, in_storm, thread};
use crate::util::abort::AbortOnUnwind;
use crate::util::of_process::OfProcess;
use std::io;
use std::time::{Duration, Instant};

/// Between two rounds while somebody is awake. A poll is a suspect after one to two ticks.
const TICK: Duration = Duration::from_millis(2);
/// With a suspect, and for some time after a rescue.
const ALERT: Duration = Duration::from_micros(500);
/// How long the thread waits for another runtime.
const LINGER: Duration = Duration::from_secs(1);
/// Its stack: it runs no user code.
const STACK: usize = 256 * 1024;

/// How often the time between two rounds doubles when all sleep, before the thread dozes: 30 ms in all. More rounds
/// cost more than the call that a dozing thread needs.
const CALM: u32 = 4;

/// The rounds of all runtimes of this process.
static OF_PROCESS: OfProcess<Arc<Rounds>> = OfProcess::new();

/// The thread's bed, and what it looks at.
#[derive(Debug)]
pub(super) struct Rounds {
    pub(super) bed: Bed,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    monitors: Vec<Monitor>,
    has_thread: bool,
    /// How many rounds have found everybody asleep.
    calm: u32,
    /// Since when there has been no runtime.
    alone: Option<Instant>,
}

/// What is to be done after a round.
enum Then {
    /// Sleep for that long, unless called.
    Sleep(Duration),
    /// Sleep until somebody wakes up, or for that long.
    Doze(Option<Duration>),
    End,
}

impl Rounds {
    /// Those of this process, for a runtime with these fences.
    pub(super) fn of_process(fences: Fences) -> Arc<Self> {
        let new = || Arc::new(Self { bed: Bed::new(fences), state: Mutex::default() });
        // A storm has threads of its own, and must end; with fences off nobody goes.
        if fences == Fences::Off || in_storm() {
            return new();
        }
        // What fences there are is the machine's, not the runtime's.
        OF_PROCESS.get_or_init(new).clone()
    }

    /// Has this runtime monitored, unless it does not want that.
    ///
    /// # Errors
    ///
    /// If there is no thread yet and none can be started.
    pub(super) fn join(self: &Arc<Self>, shared: &Arc<Shared>) -> io::Result<()> {
        if shared.rescue.settings.rescue == Rescue::Off {
            return Ok(());
        }
        let mut state = self.state.lock();
        if !state.has_thread {
            let rounds = self.clone();
            let builder =
                thread::Builder::new().name("reiver-monitor".to_owned()).stack_size(STACK);
            builder.spawn(move || {
                let _abort = AbortOnUnwind::new("the monitor");
                rounds.go();
            })?;
            state.has_thread = true;
        }
        state.monitors.push(Monitor::new(shared.clone()));
        drop(state);
        // Its workers may have been awake before there was anything to see.
        self.bed.someone_awake();
        Ok(())
    }

    /// Ends the monitoring of a runtime that has ended.
    pub(super) fn leave(&self, shared: &Arc<Shared>) {
        let gone = self.state.lock().take(|monitor| monitor.is_of(shared));
        drop(gone);
        // The thread may doze for as long as that runtime sleeps.
        self.bed.someone_awake();
    }

    fn go(&self) {
        self.bed.adopt();
        loop {
            let mut state = self.state.lock();
            let gone = state.take(Monitor::has_ended);
            let then = state.round(clock::now());
            drop(state);
            // Perhaps the last who had that runtime.
            drop(gone);
            match then {
                Then::Sleep(time) => self.bed.sleep(time),
                Then::Doze(time) => {
                    self.bed.doze(time, || {
                        let state = self.state.lock();
                        // The last runtime may have left since the round: then there is a time to wait.
                        let is_known = time.is_some() || !state.monitors.is_empty();
                        is_known && state.monitors.iter().all(Monitor::is_quiet)
                    });
                    self.state.lock().calm = 0;
                }
                Then::End => return,
            }
        }
    }
}

impl State {
    /// Looks at all runtimes.
    fn round(&mut self, now: Instant) -> Then {
        if self.monitors.is_empty() {
            let alone = now.duration_since(*self.alone.get_or_insert(now));
            self.has_thread = alone < LINGER;
            return if self.has_thread { Then::Doze(Some(LINGER - alone)) } else { Then::End };
        }
        self.alone = None;
        let mut pace = Pace::default();
        for monitor in &mut self.monitors {
            let Pace { is_busy, is_alert } = monitor.look(now);
            pace.is_busy |= is_busy;
            pace.is_alert |= is_alert;
        }
        // Also when all sleep: who blocks again and again may just have been between two polls.
        let tick = if pace.is_alert { ALERT } else { TICK };
        if pace.is_busy {
            self.calm = 0;
            return Then::Sleep(tick);
        }
        self.calm += 1;
        match self.calm {
            ..=CALM => Then::Sleep(tick * (1 << (self.calm - 1))),
            _ => Then::Doze(self.monitors.iter().filter_map(Monitor::tick).min()),
        }
    }

    fn take(&mut self, which: impl Fn(&Monitor) -> bool) -> Vec<Monitor> {
        if !self.monitors.iter().any(&which) {
            return Vec::new();
        }
        let (gone, stay) = std::mem::take(&mut self.monitors).into_iter().partition(which);
        self.monitors = stay;
        gone
    }
}
