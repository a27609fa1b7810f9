//! The flight recorder: what each worker, and each thread of the blocking pools, did last.
//!
//! Each has a [ring](crate::util::ring) of its own. There is one event a poll, at its beginning: the poll ends where
//! the worker's next event is, or where it notes that it was stuck. So the clock is read once, and it is the cheapest
//! one (`primitive/real/ticks.rs`). The monitor notes in a ring of its own whom it has found stuck.

use super::Shared;
use super::trigger::{Triggers, Writer};
use crate::primitive::{clock, ticks};
use crate::task::Id;
use crate::util::ring::{Event, Recorded, Ring};
use std::ptr;
use std::time::{Duration, Instant};

/// The seizures that are kept.
const SEIZURES: usize = 64;

impl Recorded {
    /// The task that it is about.
    pub(crate) fn task(&self) -> Option<Id> {
        use Event::*;
        matches!(self.event, Poll | Spawn | Ready | Job).then(|| Id::new(self.number))
    }
}

/// What all rings of a runtime have, and what its times mean.
#[derive(Debug)]
pub(crate) struct Flight {
    /// The events of all workers, each worker's in order.
    pub(crate) events: Vec<Recorded>,
    /// The same of the blocking pools' threads.
    pub(crate) jobs: Vec<Recorded>,
    /// The time of the reading.
    now: u64,
    first: u64,
    nanos_per_tick: f64,
}

impl Flight {
    /// The time since the recorder began.
    pub(crate) fn time(&self, ticks: u64) -> Duration {
        let ticks = ticks.min(self.now).saturating_sub(self.first);
        Duration::from_nanos((ticks as f64 * self.nanos_per_tick) as u64)
    }

    /// The time of the reading.
    pub(crate) fn end(&self) -> Duration {
        self.time(self.now)
    }
}

/// How many events the recorder keeps of each worker, when it began, and what has it written.
pub(super) struct Recorder {
    pub(super) events: usize,
    /// The monitor's: whom it has seized.
    seizures: Ring,
    began: (Instant, u64),
    pub(super) triggers: Option<Triggers>,
}

impl Recorder {
    pub(super) fn new(events: usize, writer: Option<Writer>) -> Self {
        let began = (clock::now(), ticks());
        let seizures = Ring::new(SEIZURES);
        Self { events, seizures, began, triggers: writer.map(Triggers::new) }
    }
}

impl Shared {
    /// The ring of a seat's owner, which calls; `None` without a recorder.
    pub(super) fn ring(&self, seat: usize) -> Option<&Ring> {
        let recorder = self.recorder.as_ref()?;
        Some(self.slots[seat].ring.get_or_init(|| Ring::new(recorder.events)))
    }

    /// What the recorder has; `None` if there is none.
    pub(crate) fn flight(&self) -> Option<Flight> {
        let recorder = self.recorder.as_ref()?;
        let slots = self.slots.iter().enumerate();
        let rings = slots.filter_map(|(seat, slot)| Some((seat, slot.ring.get()?)));
        let mut events: Vec<_> = rings.flat_map(|(seat, ring)| ring.read(seat)).collect();
        let seizures = recorder.seizures.read(0).into_iter();
        events.extend(seizures.map(|seized| Recorded { seat: seized.number as usize, ..seized }));
        events.sort_by_key(|event| (event.seat, event.ticks));
        let mut threads = self.pool.flight();
        self.pools().iter().for_each(|pool| threads.extend(pool.flight()));
        let numbered = threads.into_iter().enumerate();
        let jobs = numbered.flat_map(|(number, thread)| {
            thread.into_iter().map(move |event| Recorded { seat: number, ..event })
        });
        let jobs = jobs.collect();
        let (then, first) = recorder.began;
        let now = ticks();
        let nanos = clock::now().duration_since(then).as_nanos() as f64;
        let nanos_per_tick = nanos / now.saturating_sub(first).max(1) as f64;
        Some(Flight { events, jobs, now, first, nanos_per_tick })
    }

    /// The monitor, which alone calls this, has taken that slot from its owner.
    pub(super) fn record_seizure(&self, seat: usize) {
        if let Some(recorder) = &self.recorder {
            recorder.seizures.record(Event::Seized, seat as u64, ptr::null());
        }
    }
}
