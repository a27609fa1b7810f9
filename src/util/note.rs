//! What the poll on this thread waits for: a note that whoever is about to answer `Pending` leaves, and
//! whoever polled the task reads.
//!
//! Leaving one is a few stores into a thread-local, and nothing looks at it that decides anything: listings
//! show it (`task/harness.rs` keeps it with the task). Of several that one poll leaves the most telling is kept, by
//! the order of [`WaitKind`], and beside it the last timer: `timeout` around a `read` waits for both, and the read
//! is what people ask for. (The last one of all would be whatever a `select!` happened to poll last.)

use crate::primitive::local;
use std::cell::Cell;

/// What a waiting task waits for. Of several things that it waits for at once, as in a `select!`, a listing shows
/// the one that comes last here: a connection that waits for a job, for input, and for the word to end waits
/// above all for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum WaitKind {
    /// Something that does not say: a future that is not reiver's.
    Unknown,
    /// A timer and nothing else.
    Timer,
    /// A signal.
    Signal,
    /// The other side of a channel to go away.
    Closed,
    /// A `CancellationToken`.
    Cancellation,
    /// A `Notify`.
    Notify,
    /// An `Event`.
    Event,
    /// A `Condition`.
    Condition,
    /// A value from a channel or a queue.
    Receive,
    /// The end of any of several tasks: of a `JoinSet`, a `JoinMap`, a scope.
    Tasks,
    /// The tasks of a `LocalSet`.
    LocalSet,
    /// Room in a channel or a queue.
    Send,
    /// Room in the queue of the pool for blocking jobs.
    Room,
    /// A `Barrier`.
    Barrier,
    /// The value of a `OnceCell` or a `SetOnce`.
    Once,
    /// Permits of a `Semaphore`.
    Semaphore,
    /// A token of a `CapacityLimiter`.
    Limiter,
    /// An `RwLock`.
    RwLock,
    /// A `Mutex`.
    Mutex,
    /// Room for output: of a socket, a pipe, any descriptor.
    Write,
    /// Input, likewise.
    Read,
    /// The end of a task.
    Join,
    /// The end of a blocking job. Without records of tasks it shows as [`Join`](Self::Join).
    Blocking,
}

impl WaitKind {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 23] = [
        Self::Unknown,
        Self::Timer,
        Self::Signal,
        Self::Closed,
        Self::Cancellation,
        Self::Notify,
        Self::Event,
        Self::Condition,
        Self::Receive,
        Self::Tasks,
        Self::LocalSet,
        Self::Send,
        Self::Room,
        Self::Barrier,
        Self::Once,
        Self::Semaphore,
        Self::Limiter,
        Self::RwLock,
        Self::Mutex,
        Self::Write,
        Self::Read,
        Self::Join,
        Self::Blocking,
    ];
}

/// A note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// In one byte the number of a [`WaitKind`], and [`TIMER`].
    pub code: u8,
    /// Which: a descriptor, the number of a task, or an address.
    pub object: u64,
    /// The tick of the timer, if there is one.
    pub until: u64,
    /// The name of a lock that has one.
    pub name: Option<&'static &'static str>,
}

/// The bit that says that there is a timer too.
const TIMER: u8 = 1 << 7;

impl Note {
    /// What a [`code`](Self::code) says: the kind, and whether there is a timer too.
    pub fn decode(code: u8) -> (WaitKind, bool) {
        let timer = code & TIMER != 0;
        match WaitKind::ALL.get(usize::from(code & !TIMER)) {
            Some(WaitKind::Unknown) if timer => (WaitKind::Timer, true),
            Some(&kind) => (kind, timer),
            None => (WaitKind::Unknown, timer),
        }
    }
}

local! {
    static NOTED: Noted = Noted {
        code: Cell::new(0),
        object: Cell::new(0),
        until: Cell::new(0),
        name: Cell::new(None),
    };
}

struct Noted {
    code: Cell<u8>,
    object: Cell<u64>,
    until: Cell<u64>,
    name: Cell<Option<&'static &'static str>>,
}

/// A poll begins here.
#[inline]
pub(crate) fn clear() {
    NOTED.with(|noted| noted.code.set(0));
}

/// The caller is about to answer `Pending` because of this.
#[inline]
pub(crate) fn wait(kind: WaitKind, object: u64) {
    leave(kind, object, None);
}

#[inline]
fn leave(kind: WaitKind, object: u64, name: Option<&'static &'static str>) {
    // The thread-local has no destructor: it is there as long as the thread.
    NOTED.with(|noted| {
        let before = noted.code.get();
        if kind as u8 >= before & !TIMER {
            noted.code.set(before & TIMER | kind as u8);
            noted.object.set(object);
            noted.name.set(name);
        }
    });
}

/// The same because of something that is known by its address.
#[inline]
pub(crate) fn wait_at<T: ?Sized>(kind: WaitKind, object: &T) {
    wait(kind, address(object));
}

/// The same, where it may have a name.
#[inline]
pub(crate) fn wait_named<T: ?Sized>(
    kind: WaitKind,
    object: &T,
    name: Option<&'static &'static str>,
) {
    leave(kind, address(object), name);
}

fn address<T: ?Sized>(object: &T) -> u64 {
    std::ptr::from_ref(object).cast::<()>().addr() as u64
}

/// The caller is about to answer `Pending` because of a timer that fires at `tick`.
#[inline]
pub(crate) fn timer(tick: u64) {
    NOTED.with(|noted| {
        noted.code.set(noted.code.get() | TIMER);
        noted.until.set(tick);
    });
}

/// What the last poll on this thread has left.
#[inline]
pub(crate) fn read() -> Note {
    NOTED.with(|noted| Note {
        code: noted.code.get(),
        object: noted.object.get(),
        until: noted.until.get(),
        name: noted.name.get(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_kinds_are_their_places() {
        for (number, kind) in WaitKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(Note::decode(number as u8), (kind, false));
        }
        assert_eq!(Note::decode(u8::MAX), (WaitKind::Unknown, true));
    }

    #[test]
    fn the_most_telling_note_and_the_last_timer_are_kept() {
        clear();
        assert_eq!(Note::decode(read().code), (WaitKind::Unknown, false));
        timer(7);
        assert_eq!(Note::decode(read().code), (WaitKind::Timer, true));
        wait(WaitKind::Read, 2);
        wait(WaitKind::Read, 3);
        wait(WaitKind::Receive, 4);
        timer(9);
        let note = read();
        assert_eq!((note.object, note.until, note.name), (3, 9, None));
        assert_eq!(Note::decode(note.code), (WaitKind::Read, true));
        clear();
        wait_named(WaitKind::Mutex, &0, Some(&"a lock"));
        wait(WaitKind::Notify, 1);
        assert_eq!(read().name, Some(&"a lock"));
        wait(WaitKind::Read, 4);
        assert_eq!(read().name, None);
        clear();
        assert_eq!(read().code, 0);
    }
}
