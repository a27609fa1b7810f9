//! The one shared word of a source: what it is ready for, who waits, and whose it is.
//!
//! ```text
//!  bits    what          set by                         cleared by
//!   0..=5  ready         event; open (assumed)          arm (with `clear`), clear, drained, close
//!   6      shut down     shut_down                      nobody
//!   8..=13 wanted        arm                            event, shut_down's caller is told; close
//!   14, 15 watched R, W  open, watch                    close
//!  16..=43 tick          event (+1)                     close (0)
//!  44..=63 generation    close (+1)                     —
//! ```
//!
//! A *wanted* bit says that somebody may wait for that kind of readiness; there is one for each
//! ready bit, so an event clears exactly the wants that it meets. The *tick* counts events: a thread
//! that found nothing to read clears the readiness only if no event has come since it looked. The
//! *generation* counts owners of the slot: an event carries the generation of the registration it
//! was meant for, and one for a former owner changes nothing.
//!
//! Widths: the consequence of a tick that comes round between a look and the clear is a wait for
//! ever, so it has 28 bits (2^28 events during one read). The consequence of a generation that comes
//! round is one look in vain, and it would take 2^20 owners within one batch of events.
//!
//! All transitions are one successful compare-exchange or fetch on this word, and no ordering of it
//! stands anywhere else.

use super::ready::Ready;
use crate::primitive::atomic::{AtomicU64, Ordering::*};

const SHUT_DOWN: u64 = 1 << 6;
const WANTED_SHIFT: u32 = 8;
const WATCHED_SHIFT: u32 = 14;
const TICK_SHIFT: u32 = 16;
const TICK_BITS: u32 = 28;
const GENERATION_SHIFT: u32 = TICK_SHIFT + TICK_BITS;

/// The word.
#[derive(Debug)]
pub struct Word(AtomicU64);

/// What the word was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot(u64);

/// Readiness that was seen, and when: the argument that [`Word::clear`] wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyEvent {
    tick: u32,
    ready: Ready,
}

impl ReadyEvent {
    /// What the source is ready for, of what was asked.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// The part of it that is in `ready`.
    pub fn only(self, ready: Ready) -> Self {
        Self { ready: self.ready & ready, ..self }
    }

    /// The same without the final states.
    pub(super) fn without_closed(self) -> Self {
        Self { ready: self.ready - Ready::CLOSED, ..self }
    }
}

/// What an event met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Event {
    /// A former owner of the slot: nothing has changed.
    Stale,
    /// Nobody who waits.
    Quiet,
    /// Waiters: the caller now wakes everybody who waits for any of the event's readiness.
    Wanted,
}

/// What became of the wish to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Arm {
    /// The next event that fits is told [`Event::Wanted`]. The caller, who holds the lock of the
    /// waiters, leaves its waker before it lets go.
    Armed(Snapshot),
    /// There is readiness: no reason to wait.
    Ready(ReadyEvent),
    /// There will be no event.
    ShutDown,
}

/// The directions that the poller watches, as the word holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched(u8);

impl Watched {
    /// What must be watched for `mask` to be reported.
    pub fn of(mask: Ready) -> Self {
        let read = !(mask & (Ready::READABLE | Ready::READ_CLOSED | Ready::PRIORITY)).is_empty();
        let write = !(mask & (Ready::WRITABLE | Ready::WRITE_CLOSED)).is_empty();
        Self(u8::from(read) | u8::from(write) << 1)
    }

    /// Whether input is watched.
    pub fn read(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether room for output is watched.
    pub fn write(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether all of `other` is watched.
    pub fn contains(self, other: Watched) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Snapshot {
    /// What the source is ready for.
    pub fn ready(self) -> Ready {
        Ready::from_bits(self.0 as u8)
    }

    /// Somebody may wait for these.
    pub fn wanted(self) -> Ready {
        Ready::from_bits((self.0 >> WANTED_SHIFT) as u8)
    }

    /// Whether the reactor is shut down.
    pub fn is_shut_down(self) -> bool {
        self.0 & SHUT_DOWN != 0
    }

    /// What the poller watches.
    pub fn watched(self) -> Watched {
        Watched((self.0 >> WATCHED_SHIFT) as u8 & 0b11)
    }

    /// The number of the slot's owner.
    pub fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }

    /// The readiness in `mask`, as an event.
    pub fn event(self, mask: Ready) -> ReadyEvent {
        ReadyEvent { tick: self.tick(), ready: self.ready() & mask }
    }

    fn tick(self) -> u32 {
        (self.0 >> TICK_SHIFT) as u32 & ((1 << TICK_BITS) - 1)
    }

    fn next_tick(self) -> u64 {
        let tick = u64::from(self.tick().wrapping_add(1)) & ((1 << TICK_BITS) - 1);
        self.0 & !(((1 << TICK_BITS) - 1) << TICK_SHIFT) | tick << TICK_SHIFT
    }

    fn without(self, ready: Ready) -> Snapshot {
        Snapshot(self.0 & !u64::from(ready.bits()))
    }
}

impl Word {
    /// The word of a slot that nobody has owned.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The present state.
    #[inline]
    pub fn load(&self) -> Snapshot {
        // Acquire: pairs with the Release of `event`: who sees the readiness sees what made it.
        Snapshot(self.0.load(Acquire))
    }

    /// The slot gets an owner, who alone knows it: `assumed` readiness, and what is watched.
    pub fn open(&self, assumed: Ready, watched: Watched) -> Snapshot {
        let bits = u64::from(assumed.bits()) | u64::from(watched.0) << WATCHED_SHIFT;
        // Relaxed: the slot came to its owner through the free set (Acquire there). An RMW and not a
        // store, since `shut_down` may come at the same time and must not be overwritten.
        Snapshot(self.0.fetch_or(bits, Relaxed) | bits)
    }

    /// The owner leaves: from here on its events are stale.
    pub fn close(&self) {
        // AcqRel: the drain of the waiters comes after; a dispatcher that sees the new generation
        // under their lock leaves what it finds there alone.
        let _ = self.0.fetch_update(AcqRel, Relaxed, |now| {
            let generation = (now >> GENERATION_SHIFT).wrapping_add(1) << GENERATION_SHIFT;
            Some(generation | now & SHUT_DOWN)
        });
    }

    /// An event for the owner `generation`: adds `ready`, counts, and takes the wants it meets.
    #[inline]
    pub fn event(&self, generation: u32, ready: Ready) -> Event {
        // Relaxed: the exchange below synchronises, and it fails if this was old. It is not older
        // than the `open` of the owner: the event came through the kernel, which was told after it.
        let mut now = Snapshot(self.0.load(Relaxed));
        loop {
            if now.generation() != generation {
                return Event::Stale;
            }
            let met = now.wanted() & ready;
            let next = (now.next_tick() | u64::from(ready.bits()))
                & !(u64::from(met.bits()) << WANTED_SHIFT);
            // Release: pairs with the Acquire of `load` and `arm`. Acquire: pairs with `arm`.
            match self.0.compare_exchange_weak(now.0, next, AcqRel, Relaxed) {
                Ok(_) if met.is_empty() => return Event::Quiet,
                Ok(_) => return Event::Wanted,
                Err(other) => now = Snapshot(other),
            }
        }
    }

    /// Declares a wait for `mask`, unless part of it is there; under the lock of the waiters.
    ///
    /// `seen`, if given, proved to be nothing: it is cleared in the same step, unless there has been
    /// an event since.
    pub fn arm(&self, mask: Ready, seen: Option<ReadyEvent>) -> Arm {
        let mut now = self.load();
        loop {
            if now.is_shut_down() {
                return Arm::ShutDown;
            }
            let mut next = now;
            match seen {
                Some(seen) if seen.tick == now.tick() => next = next.without(seen.ready),
                _ => {}
            }
            if !(next.ready() & mask).is_empty() {
                return Arm::Ready(now.event(mask));
            }
            next.0 |= u64::from(mask.bits()) << WANTED_SHIFT;
            // AcqRel: pairs with `event`, on either side of which this comes as a whole.
            match self.0.compare_exchange_weak(now.0, next.0, AcqRel, Acquire) {
                Ok(_) => return Arm::Armed(next),
                Err(other) => now = Snapshot(other),
            }
        }
    }

    /// Clears the readiness that was `seen`, unless there has been an event since.
    pub fn clear(&self, seen: ReadyEvent) {
        self.clear_if(seen, |_| true);
    }

    /// As [`clear`](Self::clear), but not while an end, an error or urgent data are known: then a
    /// short transfer does not prove that the next one would block.
    pub fn drained(&self, seen: ReadyEvent) {
        self.clear_if(seen, |now| (now.ready() & Ready::NOT_PLAIN).is_empty());
    }

    fn clear_if(&self, seen: ReadyEvent, allowed: impl Fn(Snapshot) -> bool) {
        let mut now = self.load();
        while now.tick() == seen.tick && allowed(now) {
            let next = now.without(seen.ready);
            // AcqRel: pairs with `event`: the clear comes before the next event or does not happen.
            match self.0.compare_exchange_weak(now.0, next.0, AcqRel, Acquire) {
                Ok(_) => return,
                Err(other) => now = Snapshot(other),
            }
        }
    }

    /// Adds to what is watched. `tell` tells the poller, and is told all that is watched by now.
    ///
    /// # Errors
    ///
    /// Those of `tell`. The caller then wakes everybody who waits: some may have found it watched meanwhile, and
    /// have told nobody.
    pub fn watch<E>(
        &self,
        more: Watched,
        mut tell: impl FnMut(Watched) -> Result<(), E>,
    ) -> Result<(), E> {
        let bits = u64::from(more.0) << WATCHED_SHIFT;
        // AcqRel: pairs with the second look of another thread, below.
        let before = Snapshot(self.0.fetch_or(bits, AcqRel));
        let mut all = Watched(before.watched().0 | more.0);
        loop {
            if let Err(error) = tell(all) {
                // Who arms after this finds it not watched. Who armed before left a waker under the lock of the
                // waiters, which the caller takes next: Relaxed.
                self.0.fetch_and(!bits, Relaxed);
                return Err(error);
            }
            // Two threads may add a direction each, and their calls come in either order. Bits are
            // only added; whoever calls last and finds no more bits here has told them all.
            // An RMW, AcqRel: the bits of another thread are either seen here, or added after this,
            // and then that thread's call comes after ours.
            match Snapshot(self.0.fetch_or(0, AcqRel)).watched() {
                now if now == all => return Ok(()),
                now => all = now,
            }
        }
    }

    /// No event will come. The caller now wakes everybody who waits.
    pub fn shut_down(&self) {
        // AcqRel: pairs with `arm`: who armed before is woken by the caller, who comes later sees it.
        self.0.fetch_or(SHUT_DOWN, AcqRel);
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(word: &Word) -> Ready {
        word.load().ready()
    }

    #[test]
    fn the_fields_keep_to_themselves() {
        let word = Word::new();
        let all = Watched::of(Ready::ALL);
        let _ = word.open(Ready::WRITABLE, all);
        // The tick comes round without touching the generation or the flags.
        word.0.fetch_or(((1 << TICK_BITS) - 1) << TICK_SHIFT, Relaxed);
        assert_eq!(word.event(0, Ready::ERROR), Event::Quiet);
        let now = word.load();
        assert_eq!((now.tick(), now.generation()), (0, 0));
        assert_eq!((now.ready(), now.watched()), (Ready::WRITABLE | Ready::ERROR, all));
        // So does the generation, and a close clears all but the shutdown.
        word.shut_down();
        word.0.fetch_or(!0 << GENERATION_SHIFT, Relaxed);
        assert_eq!(word.load().generation(), (1 << 20) - 1);
        word.close();
        assert_eq!(word.load(), Snapshot(SHUT_DOWN));
    }

    #[test]
    fn an_event_takes_only_the_wants_it_meets() {
        let word = Word::new();
        let _ = word.open(Ready::EMPTY, Watched::of(Ready::ALL));
        let reading = Ready::READABLE | Ready::READ_CLOSED;
        assert!(matches!(word.arm(reading, None), Arm::Armed(_)));
        assert!(matches!(word.arm(Ready::PRIORITY | Ready::READ_CLOSED, None), Arm::Armed(_)));
        assert_eq!(word.event(0, Ready::WRITABLE), Event::Quiet);
        assert_eq!(word.event(0, Ready::READABLE), Event::Wanted);
        assert_eq!(word.load().wanted(), Ready::PRIORITY | Ready::READ_CLOSED);
        assert_eq!(word.event(0, Ready::READABLE), Event::Quiet);
        assert_eq!(word.event(0, Ready::READ_CLOSED), Event::Wanted);
    }

    #[test]
    fn a_clear_is_void_after_an_event() {
        let word = Word::new();
        let _ = word.open(Ready::READABLE, Watched::of(Ready::ALL));
        let seen = word.load().event(Ready::READABLE);
        assert_eq!(word.event(0, Ready::READABLE), Event::Quiet);
        word.clear(seen);
        assert_eq!(ready(&word), Ready::READABLE);
        assert!(matches!(word.arm(Ready::READABLE, Some(seen)), Arm::Ready(_)));
        let seen = word.load().event(Ready::READABLE);
        assert!(matches!(word.arm(Ready::READABLE, Some(seen)), Arm::Armed(_)));
        assert_eq!(ready(&word), Ready::EMPTY);
    }

    #[test]
    fn a_short_transfer_is_not_trusted_after_the_end() {
        for (more, left) in [
            (Ready::EMPTY, Ready::EMPTY),
            (Ready::READ_CLOSED, Ready::READABLE | Ready::READ_CLOSED),
            (Ready::ERROR, Ready::READABLE | Ready::ERROR),
            (Ready::PRIORITY, Ready::READABLE | Ready::PRIORITY),
        ] {
            let word = Word::new();
            let _ = word.open(Ready::EMPTY, Watched::of(Ready::ALL));
            let _ = word.event(0, Ready::READABLE | more);
            word.drained(word.load().event(Ready::READABLE));
            assert_eq!(ready(&word), left);
        }
    }

    #[test]
    fn a_stale_event_changes_nothing() {
        let word = Word::new();
        let first = word.open(Ready::EMPTY, Watched::of(Ready::ALL)).generation();
        word.close();
        let second = word.open(Ready::EMPTY, Watched::of(Ready::ALL));
        assert_eq!(word.event(first, Ready::ALL), Event::Stale);
        assert_eq!(word.load(), second);
    }
}
