//! Children that nobody waits for any more: reaped when they end, so that no zombie stays.
//!
//! An orphan is no task. It is its own waker: whoever notices the end (the reactor, or the relay of
//! signals) wakes it, and waking it reaps. Until then its registration holds the waker, which holds
//! the registration; the end breaks the circle, and so does the runtime's shutdown. After that the child
//! stands in [`LEFT`], at which the next start and the next drop of any child look.
//!
//! Rejected: a task (it would stand in dumps, and keep `shutdown` busy); a thread; a list of all orphans that
//! is walked at each `SIGCHLD` (tokio's way: a lock and a `waitpid` for each orphan for every child).

use super::exit::Exit;
use super::known::Known;
use crate::primitive::{Arc, Mutex, StaticMutex};
use std::task::{Context, Poll, Wake, Waker};

/// Children whose runtime has ended before them. A static, since no runtime is theirs.
static LEFT: StaticMutex<Vec<Known>> = StaticMutex::new(Vec::new());

/// A child that nobody waits for; `None` when it is reaped or left.
struct Orphan(Mutex<Option<(Known, Exit)>>);

/// Sees to it that `child` is reaped when it ends.
pub(super) fn adopt(child: Known, exit: Exit) {
    reap_left();
    Arc::new(Orphan(Mutex::new(Some((child, exit))))).look();
}

/// Sees to it that `child`, which no runtime knows, is reaped some time.
pub(super) fn leave(child: Known) {
    LEFT.lock().push(child);
    reap_left();
}

/// Reaps those in [`LEFT`] that have ended.
pub(super) fn reap_left() {
    // An error means that somebody else has reaped it.
    LEFT.lock().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

impl Wake for Orphan {
    fn wake(self: Arc<Self>) {
        self.look();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.look();
    }
}

impl Orphan {
    fn look(self: &Arc<Self>) {
        let waker = Waker::from(self.clone());
        let ended = {
            let mut state = self.0.lock();
            // What is waited for drops no waker but ours here, and calls none.
            let poll = state.as_mut().map(|(child, exit)| {
                exit.poll(child, &mut Context::from_waker(&waker)).map(|result| result.is_ok())
            });
            match poll {
                Some(Poll::Ready(reaped)) => state.take().map(|parts| (parts, reaped)),
                Some(Poll::Pending) | None => None,
            }
        };
        // With the lock free: the registration ends here, and gives our waker back.
        if let Some(((child, exit), reaped)) = ended {
            drop(exit);
            if !reaped {
                leave(child);
            }
        }
    }
}
