//! Models of `LocalSet`: checks the head of `src/tasks/local_set.rs`.

use reiver_model::internals::primitive::atomic::{AtomicUsize, Ordering::*};
use reiver_model::internals::primitive::{Arc, Mutex, thread as facade};
use reiver_model::task::LocalSet;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Wake, Waker};

mod harness;
use harness::thread::{park, spawn};
use harness::{Bound, model, must_reach, reached};

struct Unpark(facade::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A value that must be dropped by the thread that made it.
struct Home {
    thread: facade::ThreadId,
    dropped: Rc<Cell<u32>>,
}

impl Drop for Home {
    fn drop(&mut self) {
        assert_eq!(facade::current().id(), self.thread, "dropped by another thread");
        self.dropped.set(self.dropped.get() + 1);
    }
}

/// Another thread wakes a task while the set is polled: the poll comes back for it.
#[test]
fn localset_wake_vs_poll() {
    must_reach(&["parked", "did not park"]);
    model("localset_wake_vs_poll", Bound::Preemptions(3), || {
        let local = LocalSet::new();
        let flag = Arc::new(AtomicUsize::new(0));
        let (theirs, mut thread) = (flag.clone(), None);
        local.spawn_local(poll_fn(move |cx| {
            if thread.is_none() {
                let (waker, flag) = (cx.waker().clone(), theirs.clone());
                thread = Some(spawn(move || {
                    flag.fetch_add(1, Relaxed);
                    waker.wake();
                }));
                return Poll::Pending;
            }
            // The wake orders the flag before this poll.
            assert_eq!(theirs.load(Relaxed), 1, "polled, but not by the wake");
            Poll::Ready(())
        }));
        let waker = Waker::from(Arc::new(Unpark(facade::current())));
        let mut local = pin!(local);
        let mut parks = 0;
        while local.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            parks += usize::from(flag.load(Relaxed) == 0);
            park();
        }
        reached(if parks > 0 { "parked" } else { "did not park" });
    });
}

/// The set is dropped while another thread wakes its task: whoever made the `Runnable`, the future is
/// dropped at home, once.
#[test]
fn localset_drop_vs_wake() {
    must_reach(&["woken before", "woken after"]);
    model("localset_drop_vs_wake", Bound::Preemptions(3), || {
        let dropped = Rc::new(Cell::new(0));
        let local = LocalSet::new();
        let home = Home { thread: facade::current().id(), dropped: dropped.clone() };
        let waker = Arc::new(Mutex::new(None));
        let theirs = waker.clone();
        local.spawn_local(async move {
            let _home = home;
            poll_fn(|cx| {
                *theirs.lock() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        });
        let noop = Waker::noop();
        let mut run = Box::pin(local.run_until(std::future::pending::<()>()));
        assert!(run.as_mut().poll(&mut Context::from_waker(noop)).is_pending());
        drop(run);
        let waker = waker.lock().take().expect("the task was polled");
        let done = Arc::new(AtomicUsize::new(0));
        let thread = spawn({
            let done = done.clone();
            move || {
                waker.wake();
                done.fetch_add(1, Relaxed);
            }
        });
        let before = done.fetch_add(0, Relaxed) == 1;
        reached(if before { "woken before" } else { "woken after" });
        drop(local);
        assert_eq!(dropped.get(), 1);
        thread.join().unwrap();
        assert_eq!(dropped.get(), 1);
    });
}
