//! The poller: the real one outside a model, inside one a queue that the model fills.
//!
//! The double knows which descriptors are watched but never looks at them: a model injects the
//! events it is about ([`Poller::inject`]), as edges. It keeps what the kernel keeps, and no more:
//!
//! * A wait returns when an event or a `notify` is there; it may also return early and empty, when
//!   something else unparks its thread. `notify` is sticky once: several before a wait are one.
//! * What happened before an event or a `notify` happened before the return of the wait that takes
//!   it: the kernel's own locks give that order, so a lock here is honest.
//! * `delete` forgets the events of its descriptor that no wait has taken; those taken may still be
//!   on their way to a new owner of the key.
//! * Time does not pass: a timed wait ends early only by [`Poller::expire`]. In a storm, it ends by time.

use super::super::real::poll as real;
use super::thread::{self, Thread};
use super::{Mutex, in_model, storm};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

pub(crate) use real::end_waits_on_time;
pub use real::{Event, Watch};

/// Whether a read or write that moved less than asked for proves that the next would block.
pub const SHORT_TRANSFER_DRAINS: bool = real::SHORT_TRANSFER_DRAINS;

/// A poller.
#[derive(Debug)]
pub struct Poller(Kind);

#[derive(Debug)]
enum Kind {
    Real(real::Poller),
    Model(Box<Mutex<State>>),
}

#[derive(Debug, Default)]
struct State {
    watched: BTreeMap<RawFd, (u64, Watch)>,
    pending: VecDeque<Event>,
    notified: bool,
    expired: bool,
    waiter: Option<Thread>,
}

impl Poller {
    /// A poller that watches nothing: the double inside a model.
    ///
    /// # Errors
    ///
    /// The system's; none in a model.
    pub fn new() -> io::Result<Self> {
        Ok(Self(if in_model() || storm::is_on() {
            Kind::Model(Box::default())
        } else {
            Kind::Real(real::Poller::new()?)
        }))
    }

    /// Watches `fd`, reporting its edges under `key`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `fd` is watched by this poller; others by the system.
    ///
    /// # Safety
    ///
    /// `fd` is not closed before [`delete`](Self::delete) was called with it.
    pub unsafe fn add(&self, fd: BorrowedFd<'_>, key: u64, watch: Watch) -> io::Result<()> {
        match &self.0 {
            // SAFETY: the caller's.
            Kind::Real(poller) => unsafe { poller.add(fd, key, watch) },
            Kind::Model(state) => {
                let watched = &mut state.lock().watched;
                if watched.contains_key(&fd.as_raw_fd()) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                watched.insert(fd.as_raw_fd(), (key, watch));
                Ok(())
            }
        }
    }

    /// Changes what is watched.
    ///
    /// # Errors
    ///
    /// `NotFound` if `fd` is not watched.
    pub fn modify(&self, fd: BorrowedFd<'_>, key: u64, watch: Watch) -> io::Result<()> {
        match &self.0 {
            Kind::Real(poller) => poller.modify(fd, key, watch),
            Kind::Model(state) => match state.lock().watched.get_mut(&fd.as_raw_fd()) {
                Some(entry) => {
                    *entry = (key, watch);
                    Ok(())
                }
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// Stops watching `fd`. Events that a wait has already taken out may still be reported.
    ///
    /// # Errors
    ///
    /// `NotFound` if `fd` is not watched.
    pub fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match &self.0 {
            Kind::Real(poller) => poller.delete(fd),
            Kind::Model(state) => {
                let mut state = state.lock();
                let removed = state.watched.remove(&fd.as_raw_fd());
                let (key, _) = removed.ok_or(io::ErrorKind::NotFound)?;
                state.pending.retain(|event| event.key != key);
                Ok(())
            }
        }
    }

    /// The descriptors that are watched, for listings; none if the system does not tell.
    pub fn watched(&self) -> Vec<RawFd> {
        match &self.0 {
            Kind::Real(poller) => poller.watched(),
            Kind::Model(state) => state.lock().watched.keys().copied().collect(),
        }
    }

    /// Replaces `events` by the edges since the last wait. Blocks until there is one, a
    /// [`notify`](Self::notify), or the end of `timeout` (`None`: for ever).
    ///
    /// # Errors
    ///
    /// The system's; none in a model.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let state = match (&self.0, &mut events.0) {
            (Kind::Real(poller), EventsKind::Real(events)) => return poller.wait(events, timeout),
            (Kind::Model(state), EventsKind::Model { .. }) => state,
            _ => panic!("a poller and its events are made on the same side of the model"),
        };
        let mut locked = state.lock();
        assert!(locked.waiter.is_none(), "two threads wait in one poller");
        if !locked.has_news(timeout) {
            locked.waiter = Some(thread::current());
            drop(locked);
            match timeout {
                // In a model it is the other.
                Some(timeout) => thread::park_timeout(timeout),
                None => thread::park(),
            }
            locked = state.lock();
        }
        locked.take_news(events);
        Ok(())
    }

    /// Makes the current wait, or else the next one, return.
    ///
    /// # Errors
    ///
    /// The system's; none in a model.
    pub fn notify(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Real(poller) => return poller.notify(),
            Kind::Model(_) => self.change(|state| state.notified = true),
        }
        Ok(())
    }

    /// Reports an edge, in a model. `event.key` must be watched: the kernel reports no other.
    pub fn inject(&self, event: Event) {
        self.change(|state| {
            let watched = state.watched.values().any(|(key, _)| *key == event.key);
            assert!(watched, "nothing is watched under this key");
            state.pending.push_back(event);
        });
    }

    /// Ends the time of the present or next timed wait, in a model.
    pub fn expire(&self) {
        self.change(|state| state.expired = true);
    }

    /// Whether something is watched under `key`, in a model.
    pub fn watches(&self, key: u64) -> bool {
        match &self.0 {
            Kind::Model(state) => state.lock().watched.values().any(|(k, _)| *k == key),
            Kind::Real(_) => panic!("only the double answers this"),
        }
    }

    /// Changes the double and wakes its waiter, outside the lock.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let Kind::Model(state) = &self.0 else {
            panic!("only the double can be told what to report");
        };
        let mut state = state.lock();
        change(&mut state);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
    }
}

impl State {
    fn has_news(&self, timeout: Option<Duration>) -> bool {
        let over = timeout.is_some_and(|timeout| timeout.is_zero() || self.expired);
        !self.pending.is_empty() || self.notified || over
    }

    fn take_news(&mut self, events: &mut Events) {
        let EventsKind::Model { capacity, list } = &mut events.0 else {
            unreachable!("`wait` has looked");
        };
        let count = self.pending.len().min(*capacity);
        list.clear();
        list.extend(self.pending.drain(..count));
        self.waiter = None;
        self.notified = false;
        self.expired = false;
    }
}

/// Room for the events of one wait.
#[derive(Debug)]
pub struct Events(EventsKind);

#[derive(Debug)]
enum EventsKind {
    Real(real::Events),
    Model { capacity: usize, list: Vec<Event> },
}

impl Events {
    /// Room for at most `capacity` events a wait; further ones come with the next wait.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(if in_model() || storm::is_on() {
            EventsKind::Model { capacity: capacity.max(1), list: Vec::new() }
        } else {
            EventsKind::Real(real::Events::with_capacity(capacity))
        })
    }

    /// What the last wait found.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        let (real, model) = match &self.0 {
            EventsKind::Real(events) => (Some(events), &[][..]),
            EventsKind::Model { list, .. } => (None, &list[..]),
        };
        real.into_iter().flat_map(real::Events::iter).chain(model.iter().copied())
    }
}
