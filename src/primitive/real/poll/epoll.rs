//! epoll, on the descriptor of a `polling::Poller`.
//!
//! * A wait is one system call. Timeouts have nanoseconds where the kernel has `epoll_pwait2`
//!   (Linux 5.11, and not hidden by a seccomp filter); elsewhere they are rounded up to milliseconds,
//!   so that a timer is never early. rustix offers `epoll_pwait2` only to those who promise never
//!   to run without it, hence the one call through libc.
//! * A wake-up is one write to an eventfd of our own, registered edge-triggered and never read: each
//!   write is a new edge, and 2^64 of them do not happen. `polling`'s eventfd and timerfd stay idle.

use super::{Event, NOTIFY, Watch};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Whether a read or write that moved less than asked for proves that the next would block.
///
/// True here, as long as no end, error or urgent mark has been reported: `EPOLLRDHUP` and `EPOLLPRI`
/// are in the mask, so what could follow a short read without a new edge is known beforehand.
pub(crate) const SHORT_TRANSFER_DRAINS: bool = true;

/// Asks the kernel to end this thread's timed waits when their time is over. It would let up to 50 µs
/// pass, as it does for threads in general, to find other timers to fire with: here the wheels do that.
pub(crate) fn end_waits_on_time() {
    // A filter that forbids it costs 50 µs and nothing else.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// An epoll instance and its wake-up.
#[derive(Debug)]
pub(crate) struct Poller {
    inner: polling::Poller,
    wake: OwnedFd,
    /// Whether `epoll_pwait2` works here.
    precise: bool,
}

impl Poller {
    /// A poller that watches nothing.
    pub(crate) fn new() -> io::Result<Self> {
        let inner = polling::Poller::new()?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&inner, &wake, EventData::new_u64(NOTIFY), EventFlags::IN | EventFlags::ET)?;
        // Nothing is ready yet, so this answers at once. Any error means: not here. An old kernel
        // says ENOSYS and a container's filter often EPERM.
        let mut probe = Events::with_capacity(1);
        let precise = wait_precisely(inner.as_fd(), &mut probe.list, Duration::ZERO).is_ok();
        Ok(Self { inner, wake, precise })
    }

    /// Watches `fd`, reporting its edges under `key`. What is ready already counts as an edge.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `fd` is watched by this poller, `PermissionDenied` for files that are
    /// always ready (regular files, directories).
    ///
    /// # Safety
    ///
    /// `fd` is not closed before [`delete`](Self::delete) was called with it.
    pub(crate) unsafe fn add(&self, fd: BorrowedFd<'_>, key: u64, watch: Watch) -> io::Result<()> {
        Ok(epoll::add(&self.inner, fd, EventData::new_u64(key), flags(watch))?)
    }

    /// Changes what is watched. What is ready now is reported (again).
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: u64, watch: Watch) -> io::Result<()> {
        Ok(epoll::modify(&self.inner, fd, EventData::new_u64(key), flags(watch))?)
    }

    /// Stops watching `fd`. Events that a wait has already taken out may still be reported.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.inner, fd)?)
    }

    /// The descriptors that are watched, for listings; none if the kernel does not tell.
    pub(crate) fn watched(&self) -> Vec<RawFd> {
        let path = format!("/proc/self/fdinfo/{}", self.inner.as_raw_fd());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // "tfd:       12 events: 8000201d data:                0  pos:0 …"; `NOTIFY` are the wake-ups.
        let lines = text.lines().filter(|line| !line.contains(&format!(" {NOTIFY:x} ")));
        let after = lines.filter_map(|line| line.strip_prefix("tfd:"));
        after.filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect()
    }

    /// Replaces `events` by the edges since the last wait. Blocks until there is one, a
    /// [`notify`](Self::notify), a signal, or the end of `timeout` (`None`: for ever).
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.list.clear();
        let result = match timeout {
            Some(timeout) if self.precise && !timeout.is_zero() => {
                wait_precisely(self.inner.as_fd(), &mut events.list, timeout)
            }
            _ => {
                let timeout = timeout.map(whole_millis);
                epoll::wait(&self.inner, spare_capacity(&mut events.list), timeout.as_ref())
                    .map(drop)
            }
        };
        match result {
            Err(Errno::INTR) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Makes the current wait, or else the next one, return.
    pub(crate) fn notify(&self) -> io::Result<()> {
        match rustix::io::write(&self.wake, &1u64.to_ne_bytes()) {
            // Full after 2^64 - 2 writes: then a wake-up has been pending for centuries.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn flags(watch: Watch) -> EventFlags {
    let mut flags = EventFlags::ET;
    if watch.read {
        flags |= EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP;
    }
    if watch.write {
        flags |= EventFlags::OUT;
    }
    flags
}

/// `timeout` rounded up to milliseconds, and down to the 24 days that `epoll_wait` can count.
fn whole_millis(timeout: Duration) -> Timespec {
    let millis = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i64;
    Timespec { tv_sec: millis / 1000, tv_nsec: ((millis % 1000) * 1_000_000) as _ }
}

/// `epoll_pwait2`: fills the spare capacity of `list`.
fn wait_precisely(
    epoll: BorrowedFd<'_>,
    list: &mut Vec<epoll::Event>,
    timeout: Duration,
) -> Result<(), Errno> {
    /// The kernel's own, with 64 bits on every architecture, unlike libc's.
    #[repr(C)]
    struct KernelTimespec {
        secs: i64,
        nanos: i64,
    }

    let timeout = KernelTimespec {
        secs: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        nanos: i64::from(timeout.subsec_nanos()),
    };
    let spare = list.spare_capacity_mut();
    let room = i32::try_from(spare.len()).unwrap_or(i32::MAX);
    // SAFETY: the kernel writes at most `room` events of the kernel's layout (which rustix's `Event`
    // has) to memory that we borrow exclusively, and reads one timespec; the signal mask is left out.
    let filled = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            spare.as_mut_ptr(),
            room,
            &raw const timeout,
            std::ptr::null::<libc::sigset_t>(),
            0usize,
        )
    };
    match usize::try_from(filled) {
        Ok(filled) => {
            // SAFETY: the kernel has written that many events, from the first spare one on.
            unsafe { list.set_len(list.len() + filled) };
            Ok(())
        }
        Err(_) => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Room for the events of one wait.
pub(crate) struct Events {
    list: Vec<epoll::Event>,
}

// SAFETY: the events hold a union of a `u64` and a pointer, and we write and read the `u64` only.
unsafe impl Send for Events {}

impl Events {
    /// Room for at most `capacity` events a wait; further ones come with the next wait.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity.max(1)) }
    }

    /// What the last wait found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.list.iter().filter_map(|event| {
            // Copied out: the struct is packed on x86-64.
            let (flags, key) = ({ event.flags }, { event.data }.u64());
            let any = |of| flags.intersects(of);
            let error = any(EventFlags::ERR);
            (key != NOTIFY).then_some(Event {
                key,
                readable: any(EventFlags::IN) || error,
                writable: any(EventFlags::OUT) || error,
                read_closed: any(EventFlags::RDHUP | EventFlags::HUP),
                write_closed: any(EventFlags::HUP),
                priority: any(EventFlags::PRI),
                error,
            })
        })
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn without_pwait2_a_timeout_is_rounded_up() {
        let poller = Poller { precise: false, ..Poller::new().unwrap() };
        let mut events = Events::with_capacity(1);
        for timeout in [Duration::from_nanos(1), Duration::from_micros(1001)] {
            let start = Instant::now();
            poller.wait(&mut events, Some(timeout)).unwrap();
            assert!(start.elapsed() >= timeout);
        }
        let ms = |timeout| {
            let spec = whole_millis(timeout);
            (spec.tv_sec, spec.tv_nsec)
        };
        assert_eq!(ms(Duration::from_nanos(1)), (0, 1_000_000));
        assert_eq!(ms(Duration::new(1, 999_000_001)), (2, 0));
        assert_eq!(ms(Duration::MAX), (i64::from(i32::MAX) / 1000, 647_000_000));
    }
}
