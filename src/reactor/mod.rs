#![doc = include_str!("README.md")]

mod readiness;
mod ready;
mod registration;
pub mod slab;
pub mod source;
#[cfg(test)]
mod tests;
pub mod word;

pub use ready::{Interest, Ready};
pub(crate) use registration::{Evented, Registration, StableFd};
pub(crate) use source::Direction;
pub(crate) use word::ReadyEvent;

use crate::primitive::atomic::{AtomicBool, Ordering::*};
use crate::primitive::{Arc, Mutex, explore, in_model, poll};
use slab::{Chunk, Shared, Slot};
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// Events taken from the poller at a time: enough that the system call (134 ns) costs each of them
/// half a nanosecond, and few enough that the first task woken is not far behind the last.
const EVENTS: usize = 256;

/// The reactor: turns readiness of descriptors into wake-ups.
pub(crate) struct Reactor {
    shared: Arc<Shared>,
    directory: Mutex<Directory>,
    /// There is a poller, and somebody has to wait in it.
    open: AtomicBool,
    /// Called when that has become so.
    opened: Box<dyn Fn() + Send + Sync>,
}

/// All chunks, by number. Locked when one is added, and when a dispatcher meets a new one.
#[derive(Debug)]
struct Directory {
    chunks: Vec<Arc<Chunk>>,
    open: bool,
}

/// What the holder of the turn brings along: room for events, and its view of the directory.
pub(crate) struct Events {
    found: poll::Events,
    chunks: Vec<Arc<Chunk>>,
}

impl Events {
    /// Room for the events of one turn.
    pub(crate) fn new() -> Self {
        Self { found: poll::Events::with_capacity(EVENTS), chunks: Vec::new() }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.found.fmt(f)
    }
}

impl Reactor {
    /// A reactor for `homes` workers (anyone else names one of their homes too). It has no poller before the
    /// first registration, after which it calls `opened`: see "The first descriptor" in the README.
    pub(crate) fn new(homes: usize, opened: impl Fn() + Send + Sync + 'static) -> Self {
        let reactor = Self {
            shared: Shared::new(homes),
            directory: Mutex::new(Directory { chunks: Vec::new(), open: true }),
            open: AtomicBool::new(false),
            opened: Box::new(opened),
        };
        // Less to explore, and the poller's double is among what is explored.
        if in_model() {
            reactor.open().expect("a double needs no descriptor");
        }
        reactor
    }

    /// Whether there is a poller to wait in.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        // Acquire: pairs with the Release in `open`.
        self.open.load(Acquire)
    }

    /// Sees to it that there is a poller.
    ///
    /// # Errors
    ///
    /// If the system has no more descriptors to give, and if the runtime is shut down.
    pub(crate) fn open(&self) -> io::Result<()> {
        {
            let directory = self.directory.lock();
            if !directory.open {
                return Err(shut_down_error());
            }
            if self.is_open() {
                return Ok(());
            }
            self.shared.make_poller()?;
            // Release: pairs with the Acquire in `is_open`.
            self.open.store(true, Release);
        }
        (self.opened)();
        Ok(())
    }

    /// Registers `fd`, from `home`.
    ///
    /// It is watched for `interest` from the start, and for the other direction from the first wait
    /// on. `assumed` is taken for true until an operation disproves it: a stream just accepted is
    /// writable, and asking it for input at once is cheaper than waiting for its first event. A
    /// stream that connects is registered after `connect`, for both, and nothing is assumed.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `fd` is registered, `PermissionDenied` if it is not of a kind that can be
    /// waited for, and if the runtime is shut down.
    ///
    /// # Safety
    ///
    /// `fd` stays open, and the same file, until the registration is dropped. ([`Evented`] sees to
    /// that for owners of a descriptor.)
    pub(crate) unsafe fn register(
        &self,
        fd: BorrowedFd<'_>,
        home: usize,
        interest: Interest,
        assumed: Ready,
    ) -> io::Result<Registration> {
        explore::forbid(
            "a real socket, pipe or other descriptor (but for TCP, in simulations on Linux): use \
             `reiver::sim::duplex`, or make the code generic over `AsyncRead + AsyncWrite`",
        );
        let slot = match self.shared.slot(home)? {
            Some(slot) => slot,
            None => self.grow(home)?,
        };
        // SAFETY: the caller's.
        unsafe { Registration::open(slot, fd, interest, assumed) }
    }

    /// How many descriptors are registered.
    pub(crate) fn len(&self) -> usize {
        self.directory.lock().chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Which descriptors those are, where the system tells.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        self.shared.poller().map_or_else(Vec::new, poll::Poller::watched)
    }

    #[cold]
    fn grow(&self, home: usize) -> io::Result<Slot> {
        self.open()?;
        let (chunk, slot) = {
            let mut directory = self.directory.lock();
            if !directory.open {
                return Err(shut_down_error());
            }
            let number = u32::try_from(directory.chunks.len())
                .ok()
                .filter(|&number| number < u32::MAX / slab::SLOTS as u32)
                .ok_or_else(|| io::Error::other("more than four thousand million sockets"))?;
            let (chunk, slot) = self.shared.chunk(home, number);
            directory.chunks.push(Arc::clone(&chunk));
            (chunk, slot)
        };
        // A shutdown in between has marked the sources of the chunk, being in the directory.
        self.shared.list(&chunk);
        Ok(slot)
    }

    /// Waits for events, until `timeout` or [`notify`](Self::notify), and wakes who waits for them.
    /// Returns how many met an owner.
    ///
    /// The caller holds the turn: one thread at a time. Wakers are called with no lock held.
    ///
    /// # Errors
    ///
    /// Those of the poller, which mean a bug or a broken system. A signal is not an error.
    ///
    /// # Panics
    ///
    /// If a waker does. The other events of the batch are then lost, so the caller must not survive
    /// it. If it is not [open](Self::is_open).
    pub(crate) fn turn(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let poller = self.shared.poller().expect("nobody has the turn before there is a poller");
        poller.wait(&mut events.found, timeout)?;
        let mut met = 0;
        for event in events.found.iter() {
            let (chunk, slot, generation) = registration::split_key(event.key);
            if chunk >= events.chunks.len() {
                self.copy_directory(&mut events.chunks);
            }
            if let Some(chunk) = events.chunks.get(chunk) {
                met += usize::from(chunk.sources()[slot].dispatch(generation, readiness_of(event)));
            }
        }
        Ok(met)
    }

    #[cold]
    fn copy_directory(&self, chunks: &mut Vec<Arc<Chunk>>) {
        let directory = self.directory.lock();
        chunks.extend(directory.chunks.iter().skip(chunks.len()).cloned());
    }

    /// Makes the current turn, or else the next one, return.
    ///
    /// # Errors
    ///
    /// Those of the poller, which mean a bug or a broken system.
    pub(crate) fn notify(&self) -> io::Result<()> {
        self.shared.poller().map_or(Ok(()), poll::Poller::notify)
    }

    /// Ends all waits with an error, those of now and those to come. Registrations may live on.
    pub(crate) fn shutdown(&self) {
        self.shared.close();
        let chunks = {
            let mut directory = self.directory.lock();
            directory.open = false;
            directory.chunks.clone()
        };
        for source in chunks.iter().flat_map(|chunk| chunk.sources()) {
            source.shut_down();
        }
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn readiness_of(event: poll::Event) -> Ready {
    let mut ready = Ready::EMPTY;
    for (is, what) in [
        (event.readable, Ready::READABLE),
        (event.writable, Ready::WRITABLE),
        (event.read_closed, Ready::READ_CLOSED),
        (event.write_closed, Ready::WRITE_CLOSED),
        (event.priority, Ready::PRIORITY),
        (event.error, Ready::ERROR),
    ] {
        if is {
            ready |= what;
        }
    }
    ready
}

/// What every wait ends with after the shutdown.
pub(crate) fn shut_down_error() -> io::Error {
    io::Error::other(ShutDown("the runtime is shut down"))
}

/// A wait has ended with its runtime. A type, so that programs can ask for it: see `is_rt_shutdown_err`.
#[derive(Debug)]
pub(crate) struct ShutDown(pub(crate) &'static str);

impl fmt::Display for ShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ShutDown {}
