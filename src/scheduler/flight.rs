//! The flight recorder: what each worker did last, in a ring that costs a few stores an event.
//!
//! A ring has one writer, its slot's owner, and is read while it is written. An event is three words. The
//! writer first says that it goes on to the next place and then writes there; the reader copies all places,
//! and then looks how far the writer has come, which tells which of the copies may be torn:
//!
//! ```text
//! writer                                    reader
//! F1  next := n + 1                         G1  end := next
//! F2  Release fence                         G2  copy the events before `end`
//! F3  write the event of n                  G3  Acquire fence
//!                                           G4  later := next; keep those after `later` − length
//! ```
//!
//! If G2 has read anything of an event that overwrites another, F2 and G3 order its F1 before G4, and the
//! overwritten one is not kept. The last event before `end` may not be written yet; its time, which is written last,
//! is older then than that of the event before it.
//!
//! There is one event a poll, at its beginning: the poll ends where the worker's next event is. So the clock is
//! read once, and it is the cheapest one (`primitive/real/ticks.rs`).

use super::Shared;
use crate::primitive::atomic::{AtomicU64, AtomicUsize, Ordering::*, fence};
use crate::primitive::{clock, ticks};
use crate::task::{Header, Id};
use std::panic::Location;
use std::ptr;
use std::time::{Duration, Instant};

/// What a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Event {
    /// It polls a task, until its next event.
    Poll,
    /// It polls the future of a `block_on`, until its next event.
    Root,
    /// It looks at the clock, the poller, the timers, and then for work.
    Maintain,
    /// It sleeps.
    Park,
    /// It is awake again; the number says how many timers were due.
    Unpark,
    /// It has stolen so many tasks.
    Steal,
    /// It has made a task ready: woken or spawned.
    Ready,
    /// It was stuck, and others have done its work.
    Rescued,
}

impl Event {
    const ALL: [Self; 8] = [
        Self::Poll,
        Self::Root,
        Self::Maintain,
        Self::Park,
        Self::Unpark,
        Self::Steal,
        Self::Ready,
        Self::Rescued,
    ];
}

/// The kind is in the highest byte of its word, above the number of a task or of things.
const KIND_SHIFT: u32 = 56;

/// One worker's.
#[derive(Debug)]
pub(super) struct Ring {
    next: AtomicUsize,
    events: Box<[[AtomicU64; 3]]>,
}

impl Ring {
    pub(super) fn new(events: usize) -> Self {
        let zero = || AtomicU64::new(0);
        let events = events.max(2).next_power_of_two();
        Self {
            next: AtomicUsize::new(0),
            events: (0..events).map(|_| [zero(), zero(), zero()]).collect(),
        }
    }

    /// Its only writer is the slot's owner.
    #[inline]
    pub(super) fn record(&self, event: Event, number: u64, location: *const Location<'static>) {
        // Relaxed: the owner's own.
        let next = self.next.load(Relaxed);
        // F1. Release: pairs with the Acquire at G1: the events before this one are seen.
        self.next.store(next + 1, Release);
        // F2: pairs with G3.
        fence(Release);
        let [when, what, place] = &self.events[next & (self.events.len() - 1)];
        // F3. Relaxed: published by the last.
        what.store(u64::from(event as u8) << KIND_SHIFT | number, Relaxed);
        place.store(location.expose_provenance() as u64, Relaxed);
        // Release: pairs with the Acquire at G2: who reads this time reads this event, or a later one.
        when.store(ticks(), Release);
    }

    #[inline]
    pub(super) fn record_task(&self, event: Event, task: &Header) {
        self.record(event, task.id().number(), ptr::from_ref(task.location()));
    }

    /// The last events, the oldest first.
    fn read(&self, seat: usize) -> Vec<Recorded> {
        self.copy().into_iter().map(|event| Recorded::new(seat, event)).collect()
    }

    fn copy(&self) -> Vec<[u64; 3]> {
        let len = self.events.len();
        // G1. Acquire: pairs with F1.
        let end = self.next.load(Acquire);
        let copies: Vec<(usize, [u64; 3])> = (end.saturating_sub(len)..end)
            .map(|n| {
                let [when, what, place] = &self.events[n & (len - 1)];
                // G2. Acquire: pairs with F3. Relaxed: the fence.
                (n, [when.load(Acquire), what.load(Relaxed), place.load(Relaxed)])
            })
            .collect();
        // G3: pairs with F2.
        fence(Acquire);
        // G4. Relaxed: the fence.
        let later = self.next.load(Relaxed);
        let mut before = 1;
        let kept = copies.into_iter().filter(|&(n, [when, ..])| {
            let is_whole = n + len >= later && when >= before;
            before = before.max(when);
            is_whole
        });
        kept.map(|(_, event)| event).collect()
    }
}

/// An event, as it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) seat: usize,
    pub(crate) ticks: u64,
    pub(crate) event: Event,
    pub(crate) number: u64,
    pub(crate) location: Option<&'static Location<'static>>,
}

impl Recorded {
    fn new(seat: usize, [ticks, what, place]: [u64; 3]) -> Self {
        let place = ptr::with_exposed_provenance::<Location<'static>>(place as usize);
        Self {
            seat,
            ticks,
            event: Event::ALL[(what >> KIND_SHIFT) as usize],
            number: what & ((1 << KIND_SHIFT) - 1),
            // SAFETY: null, or the `'static` reference that `record_task` wrote.
            location: unsafe { place.as_ref() },
        }
    }

    /// The task that it is about.
    pub(crate) fn task(&self) -> Option<Id> {
        matches!(self.event, Event::Poll | Event::Ready).then(|| Id::new(self.number))
    }
}

/// What all rings of a runtime have, and what its times mean.
#[derive(Debug)]
pub(crate) struct Flight {
    /// The events of all workers, each worker's in order.
    pub(crate) events: Vec<Recorded>,
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

/// How many events the recorder keeps of each worker, and when it began.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) events: usize,
    began: (Instant, u64),
}

impl Recorder {
    pub(super) fn new(events: usize) -> Self {
        Self { events, began: (clock::now(), ticks()) }
    }
}

impl Shared {
    /// What the recorder has; `None` if there is none.
    pub(crate) fn flight(&self) -> Option<Flight> {
        let recorder = self.recorder.as_ref()?;
        let slots = self.slots.iter().enumerate();
        let rings = slots.filter_map(|(seat, slot)| Some((seat, slot.ring.get()?)));
        let events = rings.flat_map(|(seat, ring)| ring.read(seat)).collect();
        let (then, first) = recorder.began;
        let now = ticks();
        let nanos = clock::now().duration_since(then).as_nanos() as f64;
        let nanos_per_tick = nanos / now.saturating_sub(first).max(1) as f64;
        Some(Flight { events, now, first, nanos_per_tick })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_kept_in_order() {
        let ring = Ring::new(4);
        for n in 0..7 {
            ring.record(Event::Steal, n, ptr::null());
        }
        let numbers: Vec<_> = ring.read(3).iter().map(|e| (e.seat, e.event, e.number)).collect();
        assert_eq!(numbers, [3, 4, 5, 6].map(|n| (3, Event::Steal, n)));
        for (number, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, number);
        }
    }

    /// Each event carries its number twice.
    #[test]
    fn what_is_read_while_it_is_written_is_whole() {
        use std::sync::atomic::AtomicBool;
        let (ring, done) = (Ring::new(64), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=400_000u64 {
                    ring.record(Event::Steal, n, ptr::without_provenance(n as usize));
                }
                done.store(true, Relaxed);
            });
            while !done.load(Relaxed) {
                for [_, what, place] in ring.copy() {
                    assert_eq!(what & ((1 << KIND_SHIFT) - 1), place);
                }
            }
        });
    }
}
