//! Models of waits that are given up, for each primitive of `sync`, and of `Event`: checks `src/sync/README.md`.
//!
//! A future that is dropped while what it waits for arrives has taken nothing with it: another one gets that,
//! or it is still there.

mod harness;

use harness::drive::{Data, begin, wait};
use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::Arc;
use reiver_model::sync::*;
use std::task::Poll;

/// A set event lets through, with what was done before; one that is set on the way to the wait is not missed.
#[test]
fn event_set_vs_wait() {
    must_reach(&["waited", "did not wait"]);
    model("event_set_vs_wait", Bound::None, || {
        let shared = Arc::new((Event::new(), Data::new()));
        let theirs = shared.clone();
        let other = spawn(move || {
            theirs.1.add();
            theirs.0.set();
        });
        let (waiting, polled) = begin(shared.0.wait());
        reached(if polled.is_ready() { "did not wait" } else { "waited" });
        if polled.is_pending() {
            wait(waiting);
        }
        assert_eq!(shared.1.get(), 1);
        other.join().unwrap();
    });
}

/// Who waited when it was set is through, although it is cleared at once; one of two has gone meanwhile.
#[test]
fn event_cancel_and_clear() {
    model("event_cancel_and_clear", Bound::None, || {
        let event = Arc::new(Event::new());
        let (stays, goes) = (event.clone(), event.clone());
        let (stays, polled) = begin(async move { stays.wait().await });
        let (goes, also) = begin(async move { goes.wait().await });
        assert!(polled.is_pending() && also.is_pending());
        let theirs = event.clone();
        let other = spawn(move || {
            theirs.set();
            theirs.clear();
        });
        drop(goes);
        wait(stays);
        other.join().unwrap();
    });
}

/// Of two that wait for a lock the first goes as it is given back: the second gets it.
#[test]
fn mutex_cancel() {
    model("mutex_cancel", Bound::Preemptions(3), || {
        let mutex = Arc::new(Mutex::new(Data::new()));
        let held = mutex.try_lock().unwrap();
        let theirs = mutex.clone();
        let (first, polled) = begin(async move { drop(theirs.lock().await) });
        assert!(polled.is_pending());
        let theirs = mutex.clone();
        let second = spawn(move || wait(theirs.lock()).add());
        let goes = spawn(move || drop(first));
        held.add();
        drop(held);
        goes.join().unwrap();
        assert_eq!(second.join().unwrap(), 2);
        assert!(mutex.try_lock().is_ok(), "it is still locked");
    });
}

/// A writer that waits keeps readers out, until it goes.
#[test]
fn rwlock_cancel() {
    must_reach(&["behind the writer", "not behind it"]);
    model("rwlock_cancel", Bound::Preemptions(3), || {
        let lock = Arc::new(RwLock::with_max_readers(Data::new(), 2));
        let held = lock.try_read().unwrap();
        let theirs = lock.clone();
        let (writer, polled) = begin(async move { drop(theirs.write().await) });
        assert!(polled.is_pending());
        let theirs = lock.clone();
        let reader = spawn(move || {
            let (reading, polled) = begin(theirs.read());
            reached(if polled.is_pending() { "behind the writer" } else { "not behind it" });
            match polled {
                Poll::Ready(read) => read.get(),
                Poll::Pending => wait(reading).get(),
            }
        });
        // The other reader holds on: nobody else lets this one in.
        drop(writer);
        assert_eq!(reader.join().unwrap(), 0);
        drop(held);
        assert!(lock.try_write().is_ok());
    });
}

/// The initialiser is dropped before it ends: who waits for it runs its own.
#[test]
fn once_cell_cancel() {
    must_reach(&["waited", "did not wait"]);
    model("once_cell_cancel", Bound::Preemptions(3), || {
        let cell = Arc::new(OnceCell::new());
        let theirs = cell.clone();
        let (gives_up, polled) =
            begin(async move { *theirs.get_or_init(std::future::pending::<usize>).await });
        assert!(polled.is_pending());
        let theirs = cell.clone();
        let other = spawn(move || {
            let (init, polled) = begin(theirs.get_or_init(|| async { 7 }));
            reached(if polled.is_pending() { "waited" } else { "did not wait" });
            match polled {
                Poll::Ready(value) => *value,
                Poll::Pending => *wait(init),
            }
        });
        drop(gives_up);
        assert_eq!(other.join().unwrap(), 7);
        assert_eq!(cell.get(), Some(&7));
    });
}

/// A waiter goes as the value comes; the other one gets it.
#[test]
fn set_once_cancel() {
    model("set_once_cancel", Bound::None, || {
        let cell = Arc::new(SetOnce::new());
        let (stays, goes) = (cell.clone(), cell.clone());
        let (stays, polled) = begin(async move { *stays.wait().await });
        let (goes, also) = begin(async move { *goes.wait().await });
        assert!(polled.is_pending() && also.is_pending());
        let theirs = cell.clone();
        let other = spawn(move || theirs.set(5).unwrap());
        drop(goes);
        assert_eq!(wait(stays), 5);
        other.join().unwrap();
    });
}

/// A change that came while `changed` was dropped is seen by the next one.
#[test]
fn watch_cancel() {
    must_reach(&["given up", "seen by the first"]);
    model("watch_cancel", Bound::Preemptions(3), || {
        let (tx, mut rx) = watch::channel(0);
        let sender = spawn(move || {
            tx.send_replace(1);
            tx
        });
        let (changed, polled) = begin(rx.changed());
        drop(changed);
        match polled {
            Poll::Ready(result) => {
                result.unwrap();
                reached("seen by the first");
            }
            Poll::Pending => {
                reached("given up");
                wait(rx.changed()).unwrap();
            }
        }
        assert_eq!(*rx.borrow(), 1);
        drop(sender.join().unwrap());
    });
}

/// A value that came while `recv` was dropped is received by the next one.
#[test]
fn broadcast_cancel() {
    must_reach(&["given up", "received by the first"]);
    model("broadcast_cancel", Bound::Preemptions(3), || {
        let (tx, mut rx) = broadcast::channel(2);
        let sender = spawn(move || {
            tx.send(7).unwrap();
            tx
        });
        let (receiving, polled) = begin(rx.recv());
        drop(receiving);
        let value = match polled {
            Poll::Ready(value) => {
                reached("received by the first");
                value
            }
            Poll::Pending => {
                reached("given up");
                wait(rx.recv())
            }
        };
        assert_eq!(value, Ok(7));
        drop(sender.join().unwrap());
    });
}

/// Of two getters the first goes as the item comes: the second gets it.
#[test]
fn queue_get_cancel() {
    model("queue_get_cancel", Bound::None, || {
        let queue = Arc::new(Queue::new(1));
        let theirs = queue.clone();
        let (first, polled) = begin(async move { theirs.get().await });
        assert!(polled.is_pending());
        let theirs = queue.clone();
        let second = spawn(move || wait(theirs.get()));
        let theirs = queue.clone();
        let putter = spawn(move || theirs.put_nowait(7).unwrap());
        drop(first);
        assert_eq!(second.join().unwrap(), Ok(7));
        putter.join().unwrap();
    });
}

/// Of two putters the first goes as a place comes free: the second gets it, and the item of the first is gone.
#[test]
fn queue_put_cancel() {
    model("queue_put_cancel", Bound::None, || {
        let queue = Arc::new(Queue::new(1));
        queue.put_nowait(1).unwrap();
        let theirs = queue.clone();
        let (first, polled) = begin(async move { theirs.put(2).await });
        assert!(polled.is_pending());
        let theirs = queue.clone();
        let second = spawn(move || wait(theirs.put(3)));
        let theirs = queue.clone();
        let getter = spawn(move || theirs.get_nowait());
        drop(first);
        second.join().unwrap().unwrap();
        assert_eq!(getter.join().unwrap(), Ok(1));
        assert_eq!((queue.get_nowait(), queue.len()), (Ok(3), 0));
    });
}

/// Of two that wait for a request to stop one goes as it comes; the other is told.
#[test]
fn cancellation_cancel() {
    model("cancellation_cancel", Bound::None, || {
        let token = CancellationToken::new();
        let (stays, polled) = begin(token.clone().cancelled_owned());
        let (goes, also) = begin(token.clone().cancelled_owned());
        assert!(polled.is_pending() && also.is_pending());
        let theirs = token.clone();
        let other = spawn(move || theirs.cancel());
        drop(goes);
        wait(stays);
        other.join().unwrap();
        assert!(token.is_cancelled());
    });
}
