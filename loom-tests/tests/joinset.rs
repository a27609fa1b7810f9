//! Models of the members of a set: checks the head of `src/tasks/members.rs`.

use reiver_model::internals::primitive::{Arc, thread as facade};
use reiver_model::internals::task::{Header, JoinHandle, Registry, Runnable, Schedule, Spawn, Why};
use reiver_model::internals::tasks::Members;
use std::future::ready;
use std::panic::Location;
use std::task::{Context, Poll, Wake, Waker};

mod harness;
use harness::thread::{park, spawn};
use harness::{Bound, model, must_reach, reached};

/// Tasks of these models end with their first poll, so nothing is ever woken.
struct Never(Arc<Registry>);

impl Schedule for Never {
    fn schedule(&self, _: Runnable, _: Why) {
        unreachable!("a task that was never polled has a `Runnable` already");
    }

    fn release(&self, task: &Header) {
        // SAFETY: every task was inserted here, and is released once.
        unsafe { self.0.remove(task) }
    }
}

struct Tasks(Arc<Registry>);

impl Tasks {
    fn new() -> Self {
        Self(Arc::new(Registry::new(1)))
    }

    fn create(&self, value: u32) -> (Runnable, JoinHandle<u32>) {
        let spawn = Spawn {
            scheduler: Never(self.0.clone()),
            registry: &self.0,
            home: 0,
            given: Default::default(),
            location: Location::caller(),
        };
        // SAFETY: the future is `Send` and `'static`.
        let (runnable, handle) = unsafe { spawn.create(ready(value)) };
        (runnable.expect("the registry is open"), handle)
    }
}

struct Unpark(facade::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next end, for which this thread parks. Says whether it had to.
fn next(members: &mut Members<u32>) -> (Result<u32, bool>, bool) {
    let waker = Waker::from(Arc::new(Unpark(facade::current())));
    let mut waited = false;
    loop {
        match members.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some((_, result))) => {
                return (result.map_err(|error| error.is_cancelled()), waited);
            }
            Poll::Ready(None) => panic!("there are members"),
            Poll::Pending => {
                waited = true;
                park();
            }
        }
    }
}

/// Two members end on two threads: each is found, and the waiter never sleeps through one.
#[test]
fn joinset_ends_vs_wait() {
    must_reach(&["waited", "did not wait", "second first"]);
    model("joinset_ends_vs_wait", Bound::Preemptions(3), || {
        let tasks = Tasks::new();
        let mut members = Members::new();
        let threads = [1, 2].map(|value| {
            let (runnable, handle) = tasks.create(value);
            members.insert(handle);
            spawn(move || runnable.run())
        });
        let (first, waited) = next(&mut members);
        let (second, waited_again) = next(&mut members);
        reached(if waited || waited_again { "waited" } else { "did not wait" });
        let (first, second) = (first.unwrap(), second.unwrap());
        if first == 2 {
            reached("second first");
        }
        assert_eq!(first + second, 3);
        assert_eq!(members.len(), 0);
        assert!(members.try_next().is_none());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A task that ends while it is inserted is linked once.
#[test]
fn joinset_insert_vs_end() {
    must_reach(&["ended before", "ended after"]);
    model("joinset_insert_vs_end", Bound::None, || {
        let tasks = Tasks::new();
        let mut members = Members::new();
        let (runnable, handle) = tasks.create(7);
        let thread = spawn(move || runnable.run());
        let abort = members.insert(handle);
        reached(if abort.is_finished() { "ended before" } else { "ended after" });
        assert_eq!(next(&mut members).0, Ok(7));
        assert!(members.try_next().is_none());
        thread.join().unwrap();
    });
}

/// An abort meets a task that ends: it is joined once, one way or the other.
#[test]
fn joinset_abort_all() {
    must_reach(&["cancelled", "finished"]);
    model("joinset_abort_all", Bound::None, || {
        let tasks = Tasks::new();
        let mut members = Members::new();
        let (runnable, handle) = tasks.create(7);
        members.insert(handle);
        let thread = spawn(move || runnable.run());
        members.abort_all();
        match next(&mut members).0 {
            Ok(value) => {
                assert_eq!(value, 7);
                reached("finished");
            }
            Err(cancelled) => {
                assert!(cancelled);
                reached("cancelled");
            }
        }
        thread.join().unwrap();
        assert_eq!(tasks.0.len(), 0);
    });
}

/// A member that was let go ends while its slot has a new member: it is not taken for that.
#[test]
fn joinset_detach_all_vs_end() {
    must_reach(&["ended before", "ended after"]);
    model("joinset_detach_all_vs_end", Bound::Preemptions(3), || {
        let tasks = Tasks::new();
        let mut members = Members::new();
        let (runnable, handle) = tasks.create(1);
        let abort = members.insert(handle);
        let thread = spawn(move || runnable.run());
        reached(if abort.is_finished() { "ended before" } else { "ended after" });
        members.detach_all();
        assert_eq!(members.len(), 0);
        let (second, handle) = tasks.create(2);
        members.insert(handle);
        assert!(members.try_next().is_none());
        second.run();
        assert_eq!(next(&mut members).0, Ok(2));
        thread.join().unwrap();
        assert!(members.try_next().is_none());
    });
}
