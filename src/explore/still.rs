//! A watch over simulations: a poll that does not come back is told of, instead of hanging `cargo test`.
//!
//! A simulation has one thread. A lock of std's that another task holds, a receiver of std's, a loop that
//! waits for somebody without an `await`: each stops it for ever, and nobody can take a thread out of
//! there. So the process ends, with a sentence. One thread looks at all simulations of the process.
//!
//! Standing still is counted in looks rather than in time: a process that was stopped, or got no CPU, did
//! not look either.

use super::choices::Policy;
use super::test_command;
use crate::primitive::{Arc, StaticMutex, explore};
use crate::task::Runnable;
use std::io::{self, Write};
use std::panic::Location;
use std::process::abort;
use std::sync::Once;

static RUNS: StaticMutex<Vec<Arc<Run>>> = StaticMutex::new(Vec::new());

/// One run that is watched, until this is dropped.
pub(super) struct Watched(Arc<Run>);

struct Run {
    test: String,
    policy: Policy,
    seen: StaticMutex<Seen>,
}

#[derive(Default)]
struct Seen {
    polls: u64,
    polled: Option<(u32, &'static Location<'static>)>,
    /// At the last look, and how many looks found the same.
    polls_then: u64,
    looks: u32,
}

impl Watched {
    pub(super) fn new(test: &str, policy: &Policy) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| explore::watch(|_| look()));
        let (test, policy) = (test.to_owned(), policy.clone());
        let run = Arc::new(Run { test, policy, seen: StaticMutex::new(Seen::default()) });
        RUNS.lock().push(run.clone());
        Self(run)
    }

    /// Polls a task.
    pub(super) fn poll(&self, number: u32, task: Runnable) {
        let mut seen = self.0.seen.lock();
        seen.polls += 1;
        seen.polled = Some((number, task.header().location()));
        drop(seen);
        task.run();
        self.0.seen.lock().polled = None;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        RUNS.lock().retain(|run| !Arc::ptr_eq(run, &self.0));
    }
}

fn look() {
    let runs = RUNS.lock().clone();
    for run in runs {
        let mut seen = run.seen.lock();
        let moved = seen.polls != seen.polls_then || seen.polled.is_none();
        seen.polls_then = seen.polls;
        seen.looks = if moved { 0 } else { seen.looks + 1 };
        if let (true, Some((number, at))) = (seen.looks >= explore::STILL_LOOKS, seen.polled) {
            run.tell(number, at);
            abort();
        }
    }
}

impl Run {
    fn tell(&self, number: u32, at: &Location<'_>) {
        let task = match number {
            0 => "the body".to_owned(),
            _ => format!("task {number} ({}:{})", at.file(), at.line()),
        };
        // Not by `eprintln!`, which libtest keeps to itself until a test ends.
        let _ = writeln!(
            io::stderr(),
            "\nsim {}: nothing has moved for {:?}: {task} {BLOCKS} The thread cannot be had back, so \
             the process ends here.\n\nto see it again: REIVER_SEED={} {}",
            self.test,
            explore::STILL,
            self.policy,
            test_command(&self.test),
        );
    }
}

/// What may be the matter, and what to do.
pub(super) const BLOCKS: &str = "blocks its thread, by a std lock that another task holds, a std \
    channel or a loop that waits for somebody. All tasks have one thread here: use reiver's.";
