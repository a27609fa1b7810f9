//! Models of the poller's double: checks the list at the head of `src/primitive/hybrid/poll.rs`.

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicU32, Ordering::*};
use reiver_model::internals::primitive::poll::{Event, Events, Poller, Watch};
use reiver_model::internals::primitive::{Arc, UnsafeCell};
use std::os::fd::BorrowedFd;
use std::time::Duration;

const BOTH: Watch = Watch { read: true, write: true };

/// A number that stands for a descriptor; the double never uses it.
fn descriptor() -> BorrowedFd<'static> {
    // SAFETY: 0 is standard input, open as long as the process lives.
    unsafe { BorrowedFd::borrow_raw(0) }
}

fn readable(key: u64) -> Event {
    Event {
        key,
        readable: true,
        writable: false,
        read_closed: false,
        write_closed: false,
        priority: false,
        error: false,
    }
}

fn watching(key: u64) -> Arc<Poller> {
    let poller = Arc::new(Poller::new().unwrap());
    // SAFETY: the descriptor outlives the process.
    unsafe { poller.add(descriptor(), key, BOTH) }.unwrap();
    poller
}

struct Data(UnsafeCell<u32>);

// SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
unsafe impl Sync for Data {}

/// An event is never lost, whenever it comes, and brings what happened before it.
#[test]
fn poll_event_vs_wait() {
    must_reach(&["a wait came back empty", "event"]);
    model("poll_event_vs_wait", Bound::None, || {
        let (poller, data) = (watching(7), Arc::new(Data(UnsafeCell::new(0))));
        let (theirs, cell) = (poller.clone(), data.clone());
        let waiter = spawn(move || {
            let mut events = Events::with_capacity(4);
            loop {
                theirs.wait(&mut events, None).unwrap();
                match events.iter().next() {
                    None => reached("a wait came back empty"),
                    Some(event) => {
                        assert_eq!(event, readable(7));
                        // SAFETY: loom checks that the writer is done.
                        assert_eq!(cell.0.with(|cell| unsafe { *cell }), 1);
                        return reached("event");
                    }
                }
            }
        });
        // Unparked for another reason, the wait returns early.
        waiter.thread().unpark();
        // SAFETY: loom checks that the reader has not begun.
        data.0.with_mut(|cell| unsafe { *cell = 1 });
        poller.inject(readable(7));
        waiter.join().unwrap();
    });
}

/// `notify` ends the present wait or the next one, and two may be one.
#[test]
fn poll_notify_vs_wait() {
    must_reach(&["one wait", "two waits"]);
    model("poll_notify_vs_wait", Bound::None, || {
        let poller = watching(7);
        let stop = Arc::new(AtomicU32::new(0));
        let (theirs, flag) = (poller.clone(), stop.clone());
        let waiter = spawn(move || {
            let mut events = Events::with_capacity(4);
            let mut waits = 0;
            while flag.fetch_or(0, Relaxed) == 0 {
                theirs.wait(&mut events, None).unwrap();
                assert!(events.iter().next().is_none());
                waits += 1;
            }
            waits
        });
        poller.notify().unwrap();
        stop.fetch_or(1, Relaxed);
        poller.notify().unwrap();
        match waiter.join().unwrap() {
            1 => reached("one wait"),
            2 => reached("two waits"),
            _ => {}
        }
    });
}

/// What a wait took out before `delete` may still be reported; what it did not is forgotten.
#[test]
fn poll_event_vs_delete() {
    must_reach(&["reported", "forgotten"]);
    model("poll_event_vs_delete", Bound::None, || {
        let poller = watching(7);
        poller.inject(readable(7));
        let theirs = poller.clone();
        let waiter = spawn(move || {
            let mut events = Events::with_capacity(4);
            theirs.wait(&mut events, Some(Duration::ZERO)).unwrap();
            events.iter().count()
        });
        poller.delete(descriptor()).unwrap();
        assert!(!poller.watches(7));
        assert!(poller.delete(descriptor()).is_err());
        reached(["forgotten", "reported"][waiter.join().unwrap()]);
    });
}

/// A timed wait ends when the model says so; an untimed one does not hear of it.
#[test]
fn poll_expiry() {
    must_reach(&["expired"]);
    model("poll_expiry", Bound::None, || {
        let poller = watching(7);
        let theirs = poller.clone();
        let waiter = spawn(move || {
            let mut events = Events::with_capacity(1);
            theirs.wait(&mut events, Some(Duration::from_secs(1))).unwrap();
            assert_eq!(events.iter().count(), 0);
            reached("expired");
        });
        poller.expire();
        waiter.join().unwrap();
    });
}
