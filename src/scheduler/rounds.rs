//! The rounds: one thread of the process is the monitor of all its runtimes.
//!
//! A thread for each would be half of what starting and stopping a runtime costs, and a process with a
//! runtime per core would have twice the threads. It comes with the first runtime that wants it, and goes
//! when there has been none for [`LINGER`].
//!
//! The lock is held during a round, so that nobody looks at a runtime that [`leave`] has returned for.
//! No user code runs under it: reports are made on the runtime's pool, and a runtime that may be freed is
//! let go after it.

use super::Shared;
use super::doze::Bed;
use super::gate::Fences;
use super::monitor::{Monitor, Pace};
use super::rescue::Rescue;
use crate::primitive::{Arc, StaticMutex, clock, thread};
use crate::util::abort::AbortOnUnwind;
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

/// How often the time between two rounds doubles when all sleep, before the thread dozes: 126 ms in all.
const CALM: u32 = 6;

static ROUNDS: StaticMutex<Rounds> = StaticMutex::new(Rounds {
    bed: None,
    monitors: Vec::new(),
    has_thread: false,
    calm: 0,
    alone: None,
});

struct Rounds {
    /// Where the thread sleeps, the present one or the next.
    bed: Option<Arc<Bed>>,
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

/// The bed of whoever monitors a runtime with these fences.
pub(super) fn bed(fences: Fences) -> Arc<Bed> {
    if fences == Fences::Off {
        return Arc::new(Bed::new(fences));
    }
    // The others differ by the machine, not by the runtime.
    ROUNDS.lock().bed.get_or_insert_with(|| Arc::new(Bed::new(fences))).clone()
}

/// Has this runtime monitored, unless it does not want that.
///
/// # Errors
///
/// If there is no thread yet and none can be started.
pub(super) fn join(shared: &Arc<Shared>) -> io::Result<()> {
    if shared.rescue.settings.rescue == Rescue::Off {
        return Ok(());
    }
    let mut rounds = ROUNDS.lock();
    if !rounds.has_thread {
        let bed = shared.rescue.bed.clone();
        let builder = thread::Builder::new().name("reiver-monitor".to_owned()).stack_size(STACK);
        builder.spawn(move || {
            let _abort = AbortOnUnwind::new("the monitor");
            go(&bed);
        })?;
        rounds.has_thread = true;
    }
    rounds.monitors.push(Monitor::new(shared.clone()));
    drop(rounds);
    // Its workers may have been awake before there was anything to see.
    shared.rescue.bed.someone_awake();
    Ok(())
}

/// Ends the monitoring of a runtime that has ended.
pub(super) fn leave(shared: &Arc<Shared>) {
    let gone = ROUNDS.lock().take(|monitor| monitor.is_of(shared));
    drop(gone);
}

fn go(bed: &Bed) {
    bed.adopt();
    loop {
        let mut rounds = ROUNDS.lock();
        let gone = rounds.take(Monitor::has_ended);
        let then = rounds.round(clock::now());
        drop(rounds);
        // Perhaps the last who had that runtime.
        drop(gone);
        match then {
            Then::Sleep(time) => bed.sleep(time),
            Then::Doze(time) => {
                bed.doze(time, || ROUNDS.lock().monitors.iter().all(Monitor::is_quiet));
                ROUNDS.lock().calm = 0;
            }
            Then::End => return,
        }
    }
}

impl Rounds {
    /// Looks at all runtimes.
    fn round(&mut self, now: Instant) -> Then {
        if self.monitors.is_empty() {
            let alone = now.duration_since(*self.alone.get_or_insert(now));
            self.has_thread = alone < LINGER;
            return if self.has_thread { Then::Doze(Some(LINGER - alone)) } else { Then::End };
        }
        self.alone = None;
        let pace = self.monitors.iter_mut().map(|monitor| monitor.look(now)).max();
        self.calm = if pace == Some(Pace::Calm) { self.calm + 1 } else { 0 };
        match pace {
            Some(Pace::Alert) => Then::Sleep(ALERT),
            _ if self.calm < CALM => Then::Sleep(TICK * (1 << self.calm)),
            _ => Then::Doze(None),
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
