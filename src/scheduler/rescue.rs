//! What becomes of a stuck worker's work: who takes it, who takes the worker's place, and who leaves when it
//! comes back.
//!
//! The monitor (`monitor.rs`) decides that a worker is stuck. [`Shared::seize`] takes its slot through the
//! gate: what is in `next` goes to the injector, the timers to a wheel that is tended, and the deque is open to
//! thieves as ever. If nobody sleeps who could do the work, a *stand-in* is hired: a thread of the blocking pool
//! that runs the loop in a spare slot. When the stuck worker comes back it has its slot again and goes on,
//! and some stand-in finds that there is one too many and leaves: [`Balance`].
//!
//! Rejected: giving a stuck worker's slot to another thread (the deque's owner half, which is private, would
//! have to move); retiring whoever comes back (the threads of the workers are the ones with warm caches, and
//! stand-ins have somewhere to go); one more poll for a stand-in that is dismissed.

use super::Shared;
use super::block_on::Guest;
use super::gate::Fences;
use super::hooks::Hooks;
use super::monitor::SlowPoll;
use super::rounds::Rounds;
use super::trigger::Writer;
use super::worker::{Root, Worker};
use crate::primitive::atomic::{AtomicBool, AtomicU64, Ordering::*};
use crate::primitive::{Arc, in_model};
use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

/// What a runtime does about a worker that is stuck inside a poll: because the task blocks its thread, or
/// computes for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Rescue {
    /// Nothing, and nobody looks.
    Off,
    /// It is reported.
    Warn,
    /// It is reported, and another thread takes its work over.
    #[default]
    On,
}

/// Who hears of slow polls.
pub(crate) type Listener = Arc<dyn Fn(&SlowPoll) + Send + Sync>;

/// What a builder says.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) rescue: Rescue,
    /// A poll that takes so long is reported, rescued or not.
    pub(crate) slow_poll: Duration,
    /// `None`: a line on stderr.
    pub(crate) listener: Option<Listener>,
    /// A blocking job that waits or runs so long is reported.
    pub(crate) slow_blocking: Option<Duration>,
    /// How many events the flight recorder keeps of each worker; 0 for none.
    pub(crate) recorder: usize,
    /// Who writes it when something happens.
    pub(crate) traces: Option<Writer>,
    /// Whether a record is kept of each task.
    pub(crate) records: bool,
    /// Whether a thread in `block_on` runs tasks.
    pub(crate) roots_work: bool,
    pub(crate) hooks: Hooks,
}

impl Settings {
    /// Nobody looks.
    pub(super) fn off() -> Self {
        Self {
            rescue: Rescue::Off,
            slow_poll: Duration::MAX,
            listener: None,
            slow_blocking: None,
            recorder: 0,
            traces: None,
            records: false,
            roots_work: false,
            hooks: Hooks::default(),
        }
    }
}

/// What threads know of rescues.
pub(crate) struct Rescuer {
    pub(super) settings: Settings,
    pub(super) fences: Fences,
    pub(super) balance: Balance,
    /// Those of the monitor that looks after this runtime.
    pub(super) rounds: Arc<Rounds>,
    /// A task has blocked a thread in `block_on`, whose own future had to wait for it: these threads run
    /// no tasks any more.
    roots_alone: AtomicBool,
    pub(super) rescues: AtomicU64,
    pub(super) slow_polls: AtomicU64,
}

impl Rescuer {
    pub(super) fn new(mut settings: Settings, workers: usize) -> Self {
        if in_model() {
            // A model has few threads and no time; the gate has models of its own.
            settings.rescue = Rescue::Off;
        }
        if workers == 0 && settings.rescue == Rescue::On {
            // Nobody could take its place: such a runtime promises to have one thread.
            settings.rescue = Rescue::Warn;
        }
        let fences = match settings.rescue {
            Rescue::Off => Fences::Off,
            Rescue::Warn | Rescue::On => Fences::best(),
        };
        Self {
            settings,
            fences,
            balance: Balance::new(),
            rounds: Rounds::of_process(fences),
            roots_alone: AtomicBool::new(false),
            rescues: AtomicU64::new(0),
            slow_polls: AtomicU64::new(0),
        }
    }

    /// How many slots there must be for stand-ins: enough that two dozen tasks may wait for each other on a
    /// runtime with two workers.
    pub(super) fn spares(&self, workers: usize) -> usize {
        const LEAST: usize = 32;
        const MOST: usize = 256;
        match self.settings.rescue {
            Rescue::On => (4 * workers).clamp(LEAST, MOST),
            Rescue::Off | Rescue::Warn => 0,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.settings.rescue == Rescue::On
    }

    /// Whether a thread in `block_on` should poll its future and nothing else.
    #[inline]
    pub(super) fn are_roots_alone(&self) -> bool {
        // Relaxed: a hint; it is set once.
        self.roots_alone.load(Relaxed)
    }

    /// Workers whose poll is stuck now and whose work others do.
    pub(crate) fn stuck(&self) -> usize {
        self.balance.get().0 as usize
    }

    pub(crate) fn count(&self) -> u64 {
        // Relaxed: a number for people.
        self.rescues.load(Relaxed)
    }

    pub(crate) fn slow_polls(&self) -> u64 {
        // Relaxed: as in `count`.
        self.slow_polls.load(Relaxed)
    }
}

impl fmt::Debug for Rescuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescuer").field("balance", &self.balance).finish_non_exhaustive()
    }
}

/// How many are stuck, and how many stand in for them: one word, so that of two who find one too many one
/// leaves.
#[derive(Debug)]
pub struct Balance(AtomicU64);

const STUCK: u64 = 1 << 32;

impl Balance {
    /// Nobody.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Those who are stuck, and the stand-ins.
    pub fn get(&self) -> (u64, u64) {
        // Relaxed, as everywhere here: a count that publishes nothing.
        let word = self.0.load(Relaxed);
        (word / STUCK, word % STUCK)
    }

    /// A worker is stuck.
    pub fn stuck(&self) {
        self.0.fetch_add(STUCK, Relaxed);
    }

    /// It has come back.
    pub fn back(&self) {
        self.0.fetch_sub(STUCK, Relaxed);
    }

    /// A stand-in is on its way.
    pub fn hired(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// It has left for another reason than [`dismiss`](Self::dismiss).
    pub fn left(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// How many are stuck without a stand-in.
    pub fn missing(&self) -> u64 {
        let (stuck, stand_ins) = self.get();
        stuck.saturating_sub(stand_ins)
    }

    /// How many stand-ins are too many.
    pub fn excess(&self) -> u64 {
        let (stuck, stand_ins) = self.get();
        stand_ins.saturating_sub(stuck)
    }

    /// A stand-in asks whether it is one too many. `true`: it is not counted any more, and leaves.
    pub fn dismiss(&self) -> bool {
        self.excess() > 0
            && self
                .0
                .fetch_update(Relaxed, Relaxed, |word| {
                    (word % STUCK > word / STUCK).then_some(word - 1)
                })
                .is_ok()
    }
}

impl Default for Balance {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// Takes the slot of a worker that is stuck in poll `poll`. `None`: it is not any more.
    pub(super) fn seize(&self, seat: usize, poll: u64) -> Option<()> {
        // A paused clock does not see what is on its way from one to the other.
        let _held = self.hold_clock_here();
        let slot = &self.slots[seat];
        let is_task = slot.current.get().is_some();
        // Relaxed: written by the owner before its first poll, which `poll` comes after.
        let counted = slot.counted.load(Relaxed);
        let next = slot.gate.seize(poll, || {
            // Before its owner can come back and undo them.
            self.tenders.forsake(seat);
            if counted {
                self.rescue.balance.stuck();
            }
        })?;
        // Relaxed: a number for people.
        self.rescue.rescues.fetch_add(1, Relaxed);
        if !counted && is_task {
            // Relaxed: a hint.
            self.rescue.roots_alone.store(true, Relaxed);
        }
        if let Some(task) = next {
            self.inject(task);
        }
        self.tenders.find(seat, self);
        Some(())
    }

    /// The owner of a slot that was taken is back in it.
    pub(super) fn came_back(&self, seat: usize) {
        // Relaxed: the owner's own.
        if self.slots[seat].counted.load(Relaxed) {
            self.rescue.balance.back();
        }
        // To send sleeping stand-ins home.
        self.rescue.rounds.bed.someone_awake();
    }

    /// Makes sure that work, timers and events are looked after while somebody is stuck. `false`: it failed,
    /// and is to be tried again.
    pub(super) fn balance(self: &Arc<Self>) -> bool {
        let (stuck, stand_ins) = self.rescue.balance.get();
        if self.idle.is_anyone_asleep() {
            // Whoever wakes up and finds no work takes the turn.
            if self.has_work() || self.driver.is_deserted() {
                self.notify_pushed();
            }
            self.send_home(stand_ins.saturating_sub(stuck));
            return true;
        }
        for _ in stand_ins..stuck {
            let Some(guest) = Guest::spare(self) else { break };
            guest.run_elsewhere("stand-in of a stuck worker", Hired::new(self.clone()));
        }
        // Where the system gives no thread, they are gone again.
        self.rescue.balance.missing() == 0
    }

    /// Wakes stand-ins that are too many and sleep.
    fn send_home(&self, excess: u64) {
        let seats = self.slots_in_use().len();
        let stand_ins = (self.first_spare()..seats).rev();
        stand_ins
            .filter(|&seat| self.idle.is_asleep(seat))
            .take(excess as usize)
            .for_each(|seat| self.unpark(seat));
    }
}

/// The root of a stand-in: runs tasks until it is one too many.
struct Hired {
    shared: Arc<Shared>,
    counted: bool,
}

impl Hired {
    fn new(shared: Arc<Shared>) -> Self {
        shared.rescue.balance.hired();
        Self { shared, counted: true }
    }
}

impl Root for Hired {
    fn step(&mut self, _: &Worker) -> ControlFlow<()> {
        if self.shared.rescue.balance.dismiss() {
            self.counted = false;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn is_woken(&mut self) -> bool {
        self.shared.rescue.balance.excess() > 0
    }

    fn ends_with_runtime(&self) -> bool {
        true
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        if self.counted {
            self.shared.rescue.balance.left();
        }
    }
}
