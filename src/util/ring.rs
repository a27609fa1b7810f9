//! A ring in which a thread notes what it did last, for a few stores an event: the flight recorder's.
//!
//! A ring has one writer and is read while it is written. An event is three words. The
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
//! is older then than that of the event before it. (The scheduler's `README.md`, "The flight recorder".)

use crate::primitive::atomic::{AtomicU64, AtomicUsize, Ordering::*, fence};
use crate::primitive::ticks;
use std::panic::Location;
use std::ptr;

/// What a thread did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// It polls a task, until its next event.
    Poll,
    /// It polls the future of a `block_on`, until its next event.
    Root,
    /// It looks at the clock, the timers, and then for work.
    Maintain,
    /// It has the turn, and looks into the poller.
    Turn,
    /// It sleeps.
    Park,
    /// It sleeps in the poller.
    Wait,
    /// It is awake again.
    Unpark,
    /// So many timers were due.
    Timers,
    /// It has stolen so many tasks.
    Steal,
    /// It has spawned a task.
    Spawn,
    /// It has woken a task.
    Ready,
    /// The monitor found it stuck, and gave its work to others.
    Seized,
    /// It was stuck, and others have done its work.
    Rescued,
    /// It runs a blocking job, until its next event.
    Job,
    /// It runs none, or has left the workers.
    Idle,
}

impl Event {
    const ALL: [Self; 15] = [
        Self::Poll,
        Self::Root,
        Self::Maintain,
        Self::Turn,
        Self::Park,
        Self::Wait,
        Self::Unpark,
        Self::Timers,
        Self::Steal,
        Self::Spawn,
        Self::Ready,
        Self::Seized,
        Self::Rescued,
        Self::Job,
        Self::Idle,
    ];

    /// Whether it happens inside of what goes on, and does not end it.
    pub fn is_instant(self) -> bool {
        use Event::*;
        matches!(self, Timers | Steal | Spawn | Ready | Seized | Rescued)
    }

    /// Whether what went on before it has ended. A worker that was stuck is back when its poll is over; what it does
    /// next may be to leave, or to sleep for a long time.
    pub fn is_end(self) -> bool {
        !self.is_instant() || self == Self::Rescued
    }
}

/// The kind is in the highest byte of its word, above the number of a task or of things.
const KIND_SHIFT: u32 = 56;

/// The last events of one thread.
#[derive(Debug)]
pub struct Ring {
    next: AtomicUsize,
    events: Box<[[AtomicU64; 3]]>,
}

impl Ring {
    /// For so many events at least.
    pub fn new(events: usize) -> Self {
        let zero = || AtomicU64::new(0);
        let events = events.max(2).next_power_of_two();
        Self {
            next: AtomicUsize::new(0),
            events: (0..events).map(|_| [zero(), zero(), zero()]).collect(),
        }
    }

    /// Notes an event. By its only writer.
    #[inline]
    pub fn record(&self, event: Event, number: u64, location: *const Location<'static>) {
        // Relaxed: the writer's own.
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

    /// The last events, the oldest first, of what has this number among its kind.
    pub fn read(&self, seat: usize) -> Vec<Recorded> {
        self.copy().into_iter().map(|event| Recorded::new(seat, event)).collect()
    }

    /// The words of the last events, the oldest first: when, what, and where.
    pub fn copy(&self) -> Vec<[u64; 3]> {
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
pub struct Recorded {
    /// Whose.
    pub seat: usize,
    /// When, by the clock of [`ticks`].
    pub ticks: u64,
    /// What.
    pub event: Event,
    /// Of a task, or of things.
    pub number: u64,
    /// Where that task was spawned.
    pub location: Option<&'static Location<'static>>,
}

impl Recorded {
    fn new(seat: usize, [ticks, what, place]: [u64; 3]) -> Self {
        let place = ptr::with_exposed_provenance::<Location<'static>>(place as usize);
        Self {
            seat,
            ticks,
            event: Event::ALL[(what >> KIND_SHIFT) as usize],
            number: what & ((1 << KIND_SHIFT) - 1),
            // SAFETY: null, or the `'static` reference that `record` was given.
            location: unsafe { place.as_ref() },
        }
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
