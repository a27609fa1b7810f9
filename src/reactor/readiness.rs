//! The future that waits for readiness. Any number of them may wait on one registration.

use super::Registration;
use super::source::{Wait, Waiter};
use super::word::ReadyEvent;
use super::{Interest, Ready};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Resolves when a registration is ready for an interest; see [`Registration::readiness`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Readiness<'a> {
    registration: &'a Registration,
    waiter: Waiter,
    /// Whether the waiter may be linked: it has been given to the source, and not cancelled since.
    waiting: bool,
}

impl<'a> Readiness<'a> {
    pub(super) fn new(registration: &'a Registration, interest: Interest) -> Self {
        let waiter = Waiter::new(Ready::from_interest(interest));
        Self { registration, waiter, waiting: false }
    }
}

impl Future for Readiness<'_> {
    type Output = io::Result<ReadyEvent>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved; `waiter` is pinned with the future.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let waiter = unsafe { Pin::new_unchecked(&this.waiter) };
        let source = this.registration.source();
        let wait = source.poll_waiter(waiter, cx);
        let poll = this.registration.settle(wait, this.waiter.mask());
        if poll.is_pending() {
            this.waiting = true;
        } else if std::mem::take(&mut this.waiting) || matches!(wait, Wait::Pending(_)) {
            // Ready at a second look, or the poller refused to watch.
            source.cancel(waiter);
        }
        poll
    }
}

impl Drop for Readiness<'_> {
    fn drop(&mut self) {
        if self.waiting {
            // SAFETY: it was pinned when it began to wait, and is not moved now.
            let waiter = unsafe { Pin::new_unchecked(&self.waiter) };
            self.registration.source().cancel(waiter);
        }
    }
}
