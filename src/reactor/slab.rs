//! Where sources live: chunks of 64 that never move, handed out slot by slot.
//!
//! A chunk belongs to one *home*, normally a worker: whoever registers names its home, and finds a
//! free slot under that home's lock and in that home's chunks. A slot comes back by one
//! `fetch_or` on its chunk; only the first free slot of a full chunk takes the home's lock. So
//! neither touches a line that all cores write.
//!
//! A [`Slot`] keeps its chunk alive, and the chunk the poller: a socket may be dropped after the
//! runtime. Homes and chunks hold each other until [`Shared::close`], which the reactor calls when it
//! is shut down or dropped. Chunks are not given back before that: memory follows the largest
//! number of sockets (64 bytes each).
//!
//! Rejected: a slab per reactor (a lock that all cores take), and an allocation per source (a list of
//! the dead ones is then needed, since the poller may still hold their addresses).

use super::shut_down_error;
use super::source::Source;
use crate::primitive::atomic::{AtomicU64, Ordering::*};
use crate::primitive::poll::Poller;
use crate::primitive::{Arc, Mutex};
use crate::util::pad::Pad;
use std::io;
use std::sync::OnceLock;

/// Slots in a chunk: the bits of a [`FreeSet`].
pub(super) const SLOTS: usize = 64;

/// What the reactor and all its registrations share.
#[derive(Debug)]
pub(super) struct Shared {
    /// There before the first chunk.
    poller: OnceLock<Poller>,
    homes: Box<[Pad<Mutex<Home>>]>,
}

#[derive(Debug)]
struct Home {
    /// Chunks with a free slot. `None` after the shutdown.
    available: Option<Vec<Arc<Chunk>>>,
}

/// 64 sources.
#[derive(Debug)]
pub(super) struct Chunk {
    free: FreeSet,
    home: usize,
    number: u32,
    shared: Arc<Shared>,
    sources: [Source; SLOTS],
}

/// Which slots of a chunk are free.
///
/// A chunk with a free slot is listed with its home, once; one without is not. Slots are taken by
/// the holder of the home's lock, from listed chunks; they come back from anywhere.
#[derive(Debug)]
pub struct FreeSet(AtomicU64);

impl FreeSet {
    /// The free slots are the ones in `bits`.
    pub fn new(bits: u64) -> Self {
        Self(AtomicU64::new(bits))
    }

    /// Takes a slot of a set that has one, under the lock of the home. Says which, and whether it
    /// was the last: then the caller takes the chunk off the list.
    #[must_use]
    pub fn take(&self) -> (usize, bool) {
        // Relaxed: nobody else takes, so the bit stays. The RMW synchronises.
        let index = self.0.load(Relaxed).trailing_zeros();
        // Acquire: pairs with `give`: what the last owner did to the slot is over.
        let before = self.0.fetch_and(!(1 << index), Acquire);
        (index as usize, before == 1 << index)
    }

    /// How many slots are taken.
    pub fn taken(&self) -> usize {
        // Relaxed: for listings.
        self.0.load(Relaxed).count_zeros() as usize
    }

    /// Gives a slot back. Says whether it is the first: then the caller puts the chunk on the list.
    #[must_use]
    pub fn give(&self, index: usize) -> bool {
        // Release: pairs with `take`.
        self.0.fetch_or(1 << index, Release) == 0
    }
}

/// The right to one source.
#[derive(Debug)]
pub(super) struct Slot {
    chunk: Arc<Chunk>,
    index: usize,
}

impl Chunk {
    /// How many of its slots are taken.
    pub(super) fn len(&self) -> usize {
        self.free.taken()
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }
}

impl Slot {
    #[inline]
    pub(super) fn source(&self) -> &Source {
        &self.chunk.sources[self.index % SLOTS]
    }

    /// The number of this slot in its reactor.
    pub(super) fn number(&self) -> u32 {
        self.chunk.number * SLOTS as u32 + self.index as u32
    }

    pub(super) fn poller(&self) -> &Poller {
        self.chunk.shared.poller().expect("it was made before the first chunk")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.chunk.free.give(self.index) {
            self.chunk.shared.list(&self.chunk);
        }
    }
}

impl Shared {
    pub(super) fn new(homes: usize) -> Arc<Self> {
        let home = || Pad(Mutex::new(Home { available: Some(Vec::new()) }));
        let homes = (0..homes.max(1)).map(|_| home()).collect();
        Arc::new(Self { poller: OnceLock::new(), homes })
    }

    /// The poller, if anything was ever registered.
    pub(super) fn poller(&self) -> Option<&Poller> {
        self.poller.get()
    }

    /// Makes the poller. Calls come one after the other.
    pub(super) fn make_poller(&self) -> io::Result<()> {
        let poller = Poller::new()?;
        self.poller.set(poller).expect("it is made once");
        Ok(())
    }

    /// A free slot of `home`, or `None` when it needs another chunk.
    ///
    /// # Errors
    ///
    /// If the reactor is shut down.
    pub(super) fn slot(&self, home: usize) -> io::Result<Option<Slot>> {
        let mut home = self.home(home).lock();
        let available = home.available.as_mut().ok_or_else(shut_down_error)?;
        let Some(chunk) = available.last() else { return Ok(None) };
        let (index, was_last) = chunk.free.take();
        let chunk = Arc::clone(chunk);
        let _listed = if was_last { available.pop() } else { None };
        Ok(Some(Slot { chunk, index }))
    }

    /// A new chunk for `home`, and its first slot. The chunk is not listed yet.
    pub(super) fn chunk(self: &Arc<Self>, home: usize, number: u32) -> (Arc<Chunk>, Slot) {
        let chunk = Arc::new(Chunk {
            free: FreeSet::new(!1),
            home: home % self.homes.len(),
            number,
            shared: Arc::clone(self),
            sources: std::array::from_fn(|_| Source::new()),
        });
        (Arc::clone(&chunk), Slot { chunk, index: 0 })
    }

    /// Lists a chunk with its home.
    pub(super) fn list(&self, chunk: &Arc<Chunk>) {
        if let Some(available) = &mut self.home(chunk.home).lock().available {
            available.push(Arc::clone(chunk));
        }
    }

    /// No more slots are handed out, and the homes let go of their chunks.
    pub(super) fn close(&self) {
        for home in &self.homes {
            let chunks = home.lock().available.take();
            // Outside the lock: this may be the last reference to a chunk.
            drop(chunks);
        }
    }

    fn home(&self, home: usize) -> &Mutex<Home> {
        &self.homes[home % self.homes.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_and_are_listed_once() {
        let shared = Shared::new(2);
        assert!(shared.slot(0).unwrap().is_none());
        let (chunk, first) = shared.chunk(0, 0);
        shared.list(&chunk);
        let mut slots = vec![first];
        while let Some(slot) = shared.slot(0).unwrap() {
            slots.push(slot);
        }
        let mut numbers: Vec<u32> = slots.iter().map(Slot::number).collect();
        numbers.sort();
        assert_eq!(numbers, (0..SLOTS as u32).collect::<Vec<_>>());
        assert!(shared.slot(1).unwrap().is_none(), "homes do not share");
        slots.truncate(SLOTS - 3);
        let listed = || shared.home(0).lock().available.as_ref().unwrap().len();
        assert_eq!(listed(), 1);
        let again: Vec<Slot> = std::iter::from_fn(|| shared.slot(0).unwrap()).collect();
        assert_eq!((again.len(), listed()), (3, 0));
    }

    #[test]
    fn nothing_is_leaked_after_the_close() {
        let shared = Shared::new(1);
        let (chunk, first) = shared.chunk(0, 0);
        shared.list(&chunk);
        let second = shared.slot(0).unwrap().unwrap();
        drop(first);
        shared.close();
        assert!(shared.slot(0).is_err());
        drop(second);
        assert_eq!(Arc::strong_count(&chunk), 1);
        drop(chunk);
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
