//! What is kept of a task for listings, in runtimes where somebody wants it: how often it was polled, for how
//! long, since when it waits and for what exactly.
//!
//! It costs two reads of the clock a poll and one a wake-up, some 70 ns, and 88 bytes; so there is none by
//! default. What every task has for nothing is the kind of its wait (`state.rs`).

use super::{Id, Phase, try_id};
use crate::primitive::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use crate::primitive::clock;
use crate::util::note::Note;
use std::ptr;
use std::time::Duration;

/// One task's. Written by whoever has the right to the task; all of it are numbers for people, each true
/// by itself and perhaps not all at the same moment, so every access is Relaxed.
#[derive(Debug)]
pub struct Record {
    /// The number of the task that spawned it, or 0.
    parent: u64,
    polls: AtomicU32,
    /// In polls that have ended, in nanoseconds.
    busy: AtomicU64,
    /// When the task came into the state that it is in, in nanoseconds since the clock's origin.
    since: AtomicU64,
    /// When it was woken last, likewise.
    woken: AtomicU64,
    object: AtomicU64,
    until: AtomicU64,
    /// The name of what it waits for: null, or a `&'static &'static str`.
    name: AtomicPtr<&'static str>,
}

/// What a record says at some moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) parent: Option<Id>,
    pub(super) polls: u64,
    pub(super) busy: Duration,
    pub(super) in_phase: Duration,
    pub(super) since_wake: Duration,
    pub(super) object: u64,
    pub(super) until: u64,
    pub(super) name: Option<&'static str>,
}

fn now() -> u64 {
    clock::now().saturating_duration_since(clock::origin()).as_nanos() as u64
}

impl Default for Record {
    /// Of a task that is spawned now, by the task that runs here if one does.
    fn default() -> Self {
        // Made before the first reading of it, since everything counts from there.
        clock::origin();
        let now = now();
        Self {
            parent: try_id().map_or(0, Id::number),
            polls: AtomicU32::new(0),
            busy: AtomicU64::new(0),
            since: AtomicU64::new(now),
            woken: AtomicU64::new(now),
            object: AtomicU64::new(0),
            until: AtomicU64::new(0),
            name: AtomicPtr::default(),
        }
    }
}

impl Record {
    /// The task became ready.
    pub(super) fn woken(&self) {
        let now = now();
        self.woken.store(now, Relaxed);
        self.since.store(now, Relaxed);
    }

    /// A poll begins. Gives how long the task was ready, in nanoseconds. The caller has RUNNING.
    pub(super) fn begins(&self) -> u64 {
        let now = now();
        self.polls.store(self.polls.load(Relaxed).wrapping_add(1), Relaxed);
        let since = self.since.load(Relaxed);
        self.since.store(now, Relaxed);
        now.saturating_sub(since)
    }

    /// The poll has returned. Gives how long it took, in nanoseconds. The caller has RUNNING.
    pub(super) fn ends(&self, note: Note) -> u64 {
        let now = now();
        let poll = now.saturating_sub(self.since.load(Relaxed));
        self.busy.store(self.busy.load(Relaxed) + poll, Relaxed);
        self.object.store(note.object, Relaxed);
        self.until.store(note.until, Relaxed);
        let name = note.name.map_or(ptr::null_mut(), |name| ptr::from_ref(name).cast_mut());
        self.name.store(name, Relaxed);
        self.since.store(now, Relaxed);
        poll
    }

    pub(super) fn read(&self, phase: Phase) -> Reading {
        let now = now();
        let ago = |then: &AtomicU64| Duration::from_nanos(now.saturating_sub(then.load(Relaxed)));
        let in_phase = ago(&self.since);
        // The poll that is going on counts.
        let running = if phase == Phase::Running { in_phase } else { Duration::ZERO };
        let parent = Some(self.parent).filter(|&parent| parent != 0);
        Reading {
            parent: parent.map(Id::new),
            polls: u64::from(self.polls.load(Relaxed)),
            busy: Duration::from_nanos(self.busy.load(Relaxed)) + running,
            in_phase,
            since_wake: ago(&self.woken),
            object: self.object.load(Relaxed),
            until: self.until.load(Relaxed),
            // SAFETY: only `ends` stores what is not null, and that is static.
            name: unsafe { self.name.load(Relaxed).as_ref() }.copied(),
        }
    }
}
