//! Tasks, described for people.

use super::cell::Header;
use super::record::Reading;
use super::{AbortHandle, Id, Phase};
use crate::util::note::{Note, WaitKind};
use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::Duration;

/// A live task, described.
///
/// # Examples
///
/// ```
/// let rt = reiver::runtime::Runtime::new().unwrap();
/// rt.block_on(async {
///     let task = reiver::task::Builder::new().name("idler").spawn(std::future::pending::<()>()).unwrap();
///     let tasks = reiver::runtime::Handle::current().dump();
///     let idler = tasks.iter().find(|t| t.id() == task.id()).unwrap();
///     assert_eq!(idler.name(), Some("idler"));
/// });
/// ```
#[derive(Debug, Clone)]
pub struct TaskInfo {
    id: Id,
    name: Option<String>,
    location: &'static Location<'static>,
    phase: Phase,
    waiting: Option<Waiting>,
    reading: Option<Reading>,
    handle: AbortHandle,
}

impl TaskInfo {
    /// # Safety
    ///
    /// The task is alive.
    pub(super) unsafe fn of(task: NonNull<Header>) -> Self {
        // SAFETY: the caller's.
        Self::new(unsafe { AbortHandle::of(task) })
    }

    /// The handle keeps the task's cell.
    pub(super) fn new(handle: AbortHandle) -> Self {
        let header = handle.header();
        let phase = header.state.phase();
        let reading = header.record().map(|record| record.read(phase));
        Self {
            id: header.id,
            name: header.name().map(str::to_owned),
            location: header.location,
            phase,
            waiting: (phase == Phase::Waiting).then(|| Waiting::new(header.state.wait(), reading)),
            reading,
            handle,
        }
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The name it was spawned with.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Asks the task to end, as [`JoinHandle::abort`](super::JoinHandle::abort).
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether the task has ended by now.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Where it was in its life when it was looked at.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What it was waiting for, if it was.
    pub fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// The task that spawned it, which may have ended; `None` if none did. This and the methods below give
    /// `None` too unless the runtime keeps [records](crate::runtime::Builder::task_records).
    pub fn parent(&self) -> Option<Id> {
        self.reading?.parent
    }

    /// How often it was polled.
    pub fn polls(&self) -> Option<u64> {
        Some(self.reading?.polls)
    }

    /// How long its polls took together, that which is going on included.
    pub fn busy(&self) -> Option<Duration> {
        Some(self.reading?.busy)
    }

    /// How long it had been in its [phase](Self::phase).
    pub fn in_phase(&self) -> Option<Duration> {
        Some(self.reading?.in_phase)
    }

    /// How long ago it was last woken or, if it never was, spawned.
    pub fn since_wake(&self) -> Option<Duration> {
        Some(self.reading?.since_wake)
    }

    /// Fills in what only the runtime knows: how long it is to a tick, and which tasks are blocking jobs.
    pub(crate) fn complete(
        &mut self,
        until: impl FnOnce(u64) -> Option<Duration>,
        is_job: impl FnOnce(Id) -> bool,
    ) {
        let Some(waiting) = &mut self.waiting else { return };
        waiting.timer = waiting.tick.and_then(until);
        if waiting.task().is_some_and(is_job) {
            waiting.kind = WaitKind::Blocking;
        }
    }
}

/// As one line: `task 7 "reader", spawned at src/main.rs:9:5, waits for input of descriptor 12 (3.2 s)`.
impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ", spawned at {}, ", self.location)?;
        match (&self.waiting, self.phase) {
            (Some(waiting), _) => write!(f, "waits for {waiting}")?,
            (None, Phase::Running) => f.write_str("runs")?,
            (None, Phase::Complete) => f.write_str("has ended")?,
            (None, _) => f.write_str("is ready")?,
        }
        match self.in_phase() {
            Some(time) => write!(f, " ({time:.1?})"),
            None => Ok(()),
        }
    }
}

/// What a waiting task waits for, as far as it is known: of several things that it waits for at once the most
/// telling, by the order of [`WaitKind`], and beside it a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    kind: WaitKind,
    has_timer: bool,
    /// Which, where there is a record of it.
    object: Option<u64>,
    name: Option<&'static str>,
    tick: Option<u64>,
    timer: Option<Duration>,
}

impl Waiting {
    fn new(code: u8, reading: Option<Reading>) -> Self {
        let (kind, has_timer) = Note::decode(code);
        let known = kind != WaitKind::Unknown && kind != WaitKind::Timer;
        Self {
            kind,
            has_timer,
            object: reading.filter(|_| known).map(|reading| reading.object),
            name: reading.filter(|_| known).and_then(|reading| reading.name),
            tick: reading.filter(|_| has_timer).map(|reading| reading.until),
            timer: None,
        }
    }

    /// What kind of thing it is.
    pub fn kind(&self) -> WaitKind {
        self.kind
    }

    /// Whether a timer ends the wait too: a `timeout`, a `select!` with a `sleep`.
    pub fn has_timer(&self) -> bool {
        self.has_timer
    }

    /// How long that timer had to go. `None` also where there are no
    /// [records](crate::runtime::Builder::task_records), and with a paused clock.
    pub fn timer(&self) -> Option<Duration> {
        self.timer
    }

    /// The descriptor whose input or output it waits for. With records only.
    pub fn descriptor(&self) -> Option<i32> {
        matches!(self.kind, WaitKind::Read | WaitKind::Write)
            .then_some(self.object)
            .flatten()
            .map(|fd| fd as i32)
    }

    /// The task or blocking job whose end it waits for. With records only.
    pub fn task(&self) -> Option<Id> {
        let is_task = matches!(self.kind, WaitKind::Join | WaitKind::Blocking);
        self.object.filter(|&number| is_task && number != 0).map(Id::new)
    }

    /// The name of the lock or semaphore that it waits for, if [it has one](crate::sync::Mutex::named). With
    /// records only.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// The address of the lock, the channel or the like that it waits for: who waits for the same thing shows
    /// the same number. With records only.
    pub fn address(&self) -> Option<usize> {
        use WaitKind::*;
        let other = matches!(self.kind, Read | Write | Join | Blocking | Signal);
        self.object.filter(|_| !other).map(|address| address as usize)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            WaitKind::Unknown => "something else",
            WaitKind::Read => "input",
            WaitKind::Write => "room for output",
            WaitKind::Timer => "a timer",
            WaitKind::Receive => "a value from a channel",
            WaitKind::Send => "room in a channel",
            WaitKind::Closed => "the end of a channel",
            WaitKind::Mutex => "a mutex",
            WaitKind::RwLock => "a read-write lock",
            WaitKind::Semaphore => "a semaphore",
            WaitKind::Limiter => "a limiter",
            WaitKind::Notify => "a notification",
            WaitKind::Event => "an event",
            WaitKind::Condition => "a condition",
            WaitKind::Barrier => "a barrier",
            WaitKind::Once => "a value that is set once",
            WaitKind::Cancellation => "a cancellation",
            WaitKind::Join => "task",
            WaitKind::Blocking => "blocking job",
            WaitKind::Tasks => "any of its tasks",
            WaitKind::LocalSet => "the tasks of a local set",
            WaitKind::Room => "room in the queue of blocking jobs",
            WaitKind::Signal => "a signal",
        };
        if matches!(self.kind, WaitKind::Join | WaitKind::Blocking) && self.task().is_none() {
            f.write_str("a ")?;
        }
        f.write_str(what)?;
        if let Some(name) = self.name {
            write!(f, " {name:?}")?;
        }
        if let Some(fd) = self.descriptor() {
            write!(f, ", fd {fd}")?;
        } else if let Some(task) = self.task() {
            write!(f, " {task}")?;
        } else if let Some(address) = self.address() {
            write!(f, " {address:#x}")?;
        }
        if self.kind != WaitKind::Timer && self.has_timer {
            f.write_str(" or a timer")?;
        }
        match self.timer {
            Some(left) => write!(f, " in {left:.1?}"),
            None => Ok(()),
        }
    }
}
