//! The poller seam: what the reactor sees of the operating system's readiness facility.
//!
//! A [`Poller`] watches descriptors and reports *edges*: each change towards ready once, until the
//! next change. A descriptor is added once and deleted once; nothing is re-armed in between. One
//! thread at a time waits (the reactor's turn); all other calls are made from anywhere.
//!
//! Two implementations, chosen here as whole files, with one contract (checked by `tests.rs`, which
//! on Linux runs against both):
//!
//! * `epoll`: Linux and Android. A `polling::Poller` owns the epoll instance, and everything is done
//!   on its descriptor directly, because `polling`'s own calls cost too much and see too little
//!   there: a wait makes five system calls (1456 ns against 134), and the end of a stream
//!   (`EPOLLRDHUP`) is not in the mask.
//! * `portable`: `polling` in edge mode, as it is.
//!
//! Rejected: one-shot registrations, `polling`'s default and the only mode of its Windows backend.
//! Re-arming costs a system call for each readiness (270 ns, and usually a useless read).

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
// Tests run it on Linux too, so that the file other systems use is executed somewhere.
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
#[cfg_attr(any(target_os = "linux", target_os = "android"), allow(dead_code))]
mod portable;
#[cfg(test)]
mod tests;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use epoll::{Events, Poller, SHORT_TRANSFER_DRAINS, end_waits_on_time};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use portable::{Events, Poller, SHORT_TRANSFER_DRAINS, end_waits_on_time};

#[cfg(not(unix))]
compile_error!("reiver's poller needs edge-triggered readiness, which it has on Unix only so far");

/// The directions in which the poller watches a descriptor. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Input, urgent data, and the peer's end of writing.
    pub read: bool,
    /// Room for output.
    pub write: bool,
}

/// One edge on one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What [`Poller::add`] was given.
    pub key: u64,
    /// A read would not block. Also set by an error, which the read would return.
    pub readable: bool,
    /// A write would not block. Also set by an error, which the write would return.
    pub writable: bool,
    /// The peer writes no more: after what is buffered, reads give the end.
    pub read_closed: bool,
    /// Nobody reads what is written.
    pub write_closed: bool,
    /// Urgent data, or another exceptional condition.
    pub priority: bool,
    /// An error waits to be fetched by the next operation.
    pub error: bool,
}

/// The key of the wake-up by [`Poller::notify`]; never reported, never given to [`Poller::add`].
const NOTIFY: u64 = u64::MAX;
