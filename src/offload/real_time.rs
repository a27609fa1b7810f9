//! Time as worker processes know it.
//!
//! A test that pauses the clock pauses this runtime and not the workers. So while a job is under way the clock
//! does not jump, as with blocking jobs ([`Held`]); and what a pool waits for by time it waits for by the
//! system's clock, with a descriptor of its own ([`sleep_until`]): a job's limits, back-off, idle workers.
//!
//! Rejected: limits by the paused clock (it jumps to them while the job runs, or, held, never comes there);
//! such a descriptor always (3 system calls for each job with a limit).

use crate::io::Interest;
use crate::io::unix::AsyncFd;
use crate::primitive::Arc;
use crate::runtime::Handle;
use crate::scheduler::Shared;
use crate::time::{self, Instant};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Keeps a paused clock from jumping.
pub(super) struct Held(Option<Arc<Shared>>);

impl Held {
    pub(super) fn new(runtime: &Handle) -> Self {
        let shared = runtime.shared();
        Self(shared.hold_clock().then(|| shared.clone()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.release_clock();
        }
    }
}

/// Sleeps until `deadline`; as long as there is until then, if the clock is paused.
pub(super) async fn sleep_until(deadline: Instant) {
    let is_paused = Handle::try_current().is_ok_and(|h| h.shared().driver.clock().is_paused());
    if is_paused {
        let timer = timer(deadline.saturating_duration_since(Instant::now()));
        if let Ok(timer) = timer.and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE)) {
            let _ = timer.readable().await;
            return;
        }
        // Without a descriptor there is only the paused clock.
    }
    time::sleep_until(deadline).await;
}

/// A descriptor that is ready when the time has passed.
fn timer(after: Duration) -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
    // All zeros would be no timer.
    let after = after.max(Duration::from_nanos(1));
    let after = Timespec {
        tv_sec: after.as_secs().min(i64::MAX as u64) as i64,
        tv_nsec: after.subsec_nanos().into(),
    };
    let value = Itimerspec { it_interval: nothing, it_value: after };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &value)?;
    Ok(timer)
}

/// The output of `future`, unless `deadline` comes first.
pub(super) async fn before<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let (mut future, mut late) = (pin!(future), pin!(sleep_until(deadline)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| None),
    })
    .await
}
