//! Models of `sync`: checks `src/sync/README.md`. One protocol each; the futures are driven by the
//! harness's threads through `wait`, which parks.

mod harness;

use harness::drive::{Data, begin, wait};
use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::Arc;
use reiver_model::internals::primitive::atomic::{AtomicUsize, Ordering::*};
use reiver_model::sync::queue::QueueShutDown;
use reiver_model::sync::*;
use std::future::Future;
use std::task::{Context, Poll, Waker};

/// Three lockers, one of them by the fast way only if it is free: exclusion, edges, no lost wake.
#[test]
fn mutex_hands_over() {
    must_reach(&["waited", "did not wait"]);
    model("mutex_hands_over", Bound::Preemptions(2), || {
        let mutex = Arc::new(Mutex::new(Data::new()));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let mutex = mutex.clone();
                spawn(move || {
                    let (future, polled) = begin(async {
                        mutex.lock().await.add();
                    });
                    reached(if polled.is_ready() { "did not wait" } else { "waited" });
                    if polled.is_pending() {
                        wait(future);
                    }
                })
            })
            .collect();
        mutex.blocking_lock().add();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(mutex.try_lock().unwrap().get(), 3);
    });
}

/// A waiter is dropped while its permit arrives: the permit goes to the next one, or back.
#[test]
fn semaphore_cancel() {
    must_reach(&["granted and dropped", "dropped while waiting", "taken at once"]);
    model("semaphore_cancel", Bound::None, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let theirs = semaphore.clone();
        let other = spawn(move || {
            let (future, polled) = begin(theirs.acquire());
            match polled {
                Poll::Ready(_) => reached("taken at once"),
                Poll::Pending => drop(future),
            }
        });
        semaphore.add_permits(1);
        reached(match semaphore.available_permits() {
            0 => "granted and dropped",
            _ => "dropped while waiting",
        });
        other.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.try_acquire().is_ok(), "the queue is not open again");
    });
}

/// The same with somebody behind the one who leaves, who must get it.
#[test]
fn semaphore_cancel_passes_on() {
    model("semaphore_cancel_passes_on", Bound::Preemptions(3), || {
        let semaphore = Arc::new(Semaphore::new(0));
        let data = Arc::new(Data::new());
        let (first, polled) = begin({
            let semaphore = semaphore.clone();
            async move { semaphore.acquire().await.map(SemaphorePermit::forget) }
        });
        assert!(polled.is_pending());
        let theirs = semaphore.clone();
        let written = data.clone();
        let second = spawn(move || {
            wait(theirs.acquire()).unwrap().forget();
            assert_eq!(written.get(), 1);
        });
        let releaser = {
            let (semaphore, data) = (semaphore.clone(), data.clone());
            spawn(move || {
                data.add();
                semaphore.add_permits(1);
            })
        };
        drop(first);
        second.join().unwrap();
        releaser.join().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
    });
}

/// The one who leaves wanted more than there is; the one behind it wants what there is.
#[test]
fn semaphore_cancel_greedy() {
    model("semaphore_cancel_greedy", Bound::Preemptions(3), || {
        let semaphore = Arc::new(Semaphore::new(0));
        let (greedy, polled) = begin({
            let semaphore = semaphore.clone();
            async move { semaphore.acquire_many(2).await.map(SemaphorePermit::forget) }
        });
        assert!(polled.is_pending());
        let theirs = semaphore.clone();
        let modest = spawn(move || wait(theirs.acquire()).unwrap().forget());
        semaphore.add_permits(1);
        drop(greedy);
        modest.join().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
    });
}

/// Close against acquire and release: everybody ends, no permit is lost.
#[test]
fn semaphore_close() {
    must_reach(&["got it", "closed"]);
    model("semaphore_close", Bound::None, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let theirs = semaphore.clone();
        let waiter = spawn(move || match wait(theirs.acquire()) {
            Ok(permit) => {
                permit.forget();
                reached("got it");
                1
            }
            Err(_) => {
                reached("closed");
                0
            }
        });
        let theirs = semaphore.clone();
        let releaser = spawn(move || theirs.add_permits(1));
        semaphore.close();
        releaser.join().unwrap();
        let got = waiter.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1 - got);
    });
}

/// A writer and two readers: never together, and nobody is left behind.
#[test]
fn rwlock_handoff() {
    model("rwlock_handoff", Bound::Preemptions(2), || {
        let lock = Arc::new(RwLock::with_max_readers(Data::new(), 2));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                spawn(move || wait(lock.read()).get())
            })
            .collect();
        wait(lock.write()).add();
        let seen: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(seen <= 2);
        assert_eq!(lock.try_write().unwrap().add(), 2);
    });
}

/// A downgraded writer publishes to the reader that comes in beside it.
#[test]
fn rwlock_downgrade() {
    model("rwlock_downgrade", Bound::None, || {
        let lock = Arc::new(RwLock::with_max_readers(Data::new(), 2));
        let theirs = lock.clone();
        let reader = spawn(move || wait(theirs.read()).get());
        let writer = wait(lock.write());
        writer.add();
        let read = writer.downgrade();
        assert_eq!(read.get(), 1);
        drop(read);
        assert!(reader.join().unwrap() <= 1);
        assert!(lock.try_write().is_ok());
    });
}

/// `notify_one` brings what was done before it, whether it comes before or after the wait begins.
#[test]
fn notify_one_data() {
    must_reach(&["waited", "did not wait"]);
    model("notify_one_data", Bound::None, || {
        let shared = Arc::new((Notify::new(), Data::new()));
        let theirs = shared.clone();
        let other = spawn(move || {
            let (future, polled) = begin(theirs.0.notified());
            reached(if polled.is_ready() { "did not wait" } else { "waited" });
            if polled.is_pending() {
                wait(future);
            }
            theirs.1.add()
        });
        shared.1.add();
        shared.0.notify_one();
        assert_eq!(other.join().unwrap(), 2);
    });
}

/// `notify_one` to a future that is being dropped: the other one gets it.
#[test]
fn notify_cancel() {
    model("notify_cancel", Bound::Preemptions(3), || {
        let notify = Arc::new(Notify::new());
        let (leaving, polled) = begin(notify.clone().notified_owned());
        assert!(polled.is_pending());
        let theirs = notify.clone();
        let waiter = spawn(move || wait(theirs.notified()));
        let theirs = notify.clone();
        let notifier = spawn(move || theirs.notify_one());
        drop(leaving);
        waiter.join().unwrap();
        notifier.join().unwrap();
        let (_, polled) = begin(notify.notified());
        assert!(polled.is_pending(), "one notification became two");
    });
}

/// Two notifications are not one, even if both find the same queue.
#[test]
fn notify_two() {
    model("notify_two", Bound::Preemptions(3), || {
        let notify = Arc::new(Notify::new());
        let (first, _) = begin(notify.clone().notified_owned());
        let (second, _) = begin(notify.clone().notified_owned());
        let theirs = notify.clone();
        let notifier = spawn(move || theirs.notify_one());
        notify.notify_one();
        wait(first);
        wait(second);
        notifier.join().unwrap();
    });
}

/// The idiom "get the future, look at the flag, wait" misses no `notify_waiters`.
#[test]
fn notify_waiters_flag() {
    must_reach(&["saw the flag", "waited"]);
    model("notify_waiters_flag", Bound::None, || {
        let shared = Arc::new((Notify::new(), AtomicUsize::new(0)));
        let theirs = shared.clone();
        let other = spawn(move || {
            let notified = theirs.0.notified();
            if theirs.1.load(Relaxed) == 1 {
                reached("saw the flag");
                return;
            }
            reached("waited");
            wait(notified);
            assert_eq!(theirs.1.load(Relaxed), 1);
        });
        shared.1.store(1, Relaxed);
        shared.0.notify_waiters();
        other.join().unwrap();
    });
}

/// `notify_waiters` and `notify_one` together: the waiter of the one call does not take the other.
#[test]
fn notify_all_and_one() {
    model("notify_all_and_one", Bound::Preemptions(3), || {
        let notify = Arc::new(Notify::new());
        let (first, polled) = begin(notify.clone().notified_owned());
        assert!(polled.is_pending());
        let theirs = notify.clone();
        let other = spawn(move || {
            theirs.notify_waiters();
            theirs.notify_one();
        });
        wait(first);
        // After `notify_waiters`, so this can only end by `notify_one`, which must not be lost.
        wait(notify.notified());
        other.join().unwrap();
    });
}

/// A value sent is received with its edge; both sides free what they own, once.
#[test]
fn oneshot_send_recv() {
    must_reach(&["waited", "did not wait"]);
    model("oneshot_send_recv", Bound::None, || {
        let (tx, rx) = oneshot::channel();
        let data = Arc::new(Data::new());
        let theirs = data.clone();
        let sender = spawn(move || {
            theirs.add();
            tx.send(loom::alloc::Track::new(1)).is_ok()
        });
        let (rx, polled) = begin(rx);
        let value = match polled {
            Poll::Ready(value) => {
                reached("did not wait");
                value
            }
            Poll::Pending => {
                reached("waited");
                wait(rx)
            }
        };
        assert_eq!(*value.unwrap().get_ref(), 1);
        assert_eq!(data.get(), 1);
        assert!(sender.join().unwrap());
    });
}

/// The receiver is dropped, with or without having waited, while the value is sent.
#[test]
fn oneshot_drop() {
    must_reach(&["sent", "given back"]);
    model("oneshot_drop", Bound::None, || {
        let (tx, rx) = oneshot::channel();
        let sender = spawn(move || match tx.send(loom::alloc::Track::new(1)) {
            Ok(()) => reached("sent"),
            Err(_) => reached("given back"),
        });
        let (rx, _) = begin(rx);
        drop(rx);
        sender.join().unwrap();
    });
}

/// The receiver is polled with another waker while the value is sent: the last waker is woken.
#[test]
fn oneshot_two_wakers() {
    model("oneshot_two_wakers", Bound::Preemptions(3), || {
        let (tx, rx) = oneshot::channel();
        let sender = spawn(move || tx.send(1).unwrap());
        let (mut rx, polled) = begin(rx);
        if polled.is_pending() {
            let polled = rx.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if polled.is_pending() {
                assert_eq!(wait(rx), Ok(1));
            }
        }
        sender.join().unwrap();
    });
}

/// `close` against `send`: either the value is received or it is given back; the sender's wait ends.
#[test]
fn oneshot_close() {
    must_reach(&["received", "given back"]);
    model("oneshot_close", Bound::None, || {
        let (mut tx, mut rx) = oneshot::channel();
        let sender = spawn(move || {
            let (closed, polled) = begin(async {
                tx.closed().await;
            });
            drop(closed);
            let closed = polled.is_ready();
            let sent = tx.send(1).is_ok();
            assert!(!(closed && sent));
            sent
        });
        rx.close();
        let received = rx.try_recv().is_ok();
        assert_eq!(sender.join().unwrap(), received || rx.try_recv().is_ok());
        reached(if received { "received" } else { "given back" });
    });
}

/// The sender waits for the close, and hears of it.
#[test]
fn oneshot_closed_wakes() {
    model("oneshot_closed_wakes", Bound::None, || {
        let (mut tx, rx) = oneshot::channel::<u32>();
        let sender = spawn(move || wait(async move { tx.closed().await }));
        drop(rx);
        sender.join().unwrap();
    });
}

/// Two senders and a waiting receiver, past the end of a block (two slots in models).
#[test]
fn mpsc_send_recv() {
    model("mpsc_send_recv", Bound::Preemptions(2), || {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let senders: Vec<_> = (0..2)
            .map(|sender| {
                let tx = tx.clone();
                spawn(move || {
                    for n in 0..2 - sender {
                        tx.send((sender, n)).unwrap();
                    }
                })
            })
            .collect();
        drop(tx);
        let mut next = [0, 0];
        while let Some((sender, n)) = wait(rx.recv()) {
            assert_eq!(next[sender], n);
            next[sender] += 1;
        }
        assert_eq!(next, [2, 1]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// One sender runs through several blocks while the receiver gives them back.
#[test]
fn mpsc_blocks() {
    model("mpsc_blocks", Bound::Preemptions(2), || {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let sender = spawn(move || (0..3).for_each(|n| tx.send(n).unwrap()));
        for n in 0..3 {
            assert_eq!(wait(rx.recv()), Some(n));
        }
        assert_eq!(wait(rx.recv()), None);
        sender.join().unwrap();
    });
}

/// A block is not given back while a sender, preempted before its look for its own block, is in it.
#[test]
fn mpsc_reclaim() {
    model("mpsc_reclaim", Bound::Preemptions(2), || {
        let (tx, mut rx) = mpsc::unbounded_channel();
        tx.send(0).unwrap();
        tx.send(1).unwrap();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let tx = tx.clone();
                spawn(move || tx.send(2).unwrap())
            })
            .collect();
        for n in [0, 1, 2, 2] {
            assert_eq!(wait(rx.recv()), Some(n));
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// Senders find their blocks though blocks before were given back and used again.
#[test]
fn mpsc_newest() {
    model("mpsc_newest", Bound::Preemptions(2), || {
        let (tx, mut rx) = mpsc::unbounded_channel();
        // Two blocks are filled, and emptied; the first is ready to be used again.
        for n in 0..8 {
            tx.send(n).unwrap();
            assert_eq!(wait(rx.recv()), Some(n));
        }
        let sender = spawn(move || (8..10).for_each(|n| tx.send(n).unwrap()));
        assert_eq!(wait(rx.recv()), Some(8));
        assert_eq!(wait(rx.recv()), Some(9));
        sender.join().unwrap();
    });
}

/// The end mark of the last sender reaches a waiting receiver, and what it did comes with it.
#[test]
fn mpsc_close() {
    model("mpsc_close", Bound::None, || {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let data = Arc::new(Data::new());
        let theirs = data.clone();
        let sender = spawn(move || {
            tx.send(1).unwrap();
            theirs.add();
        });
        assert_eq!(wait(rx.recv()), Some(1));
        assert_eq!(wait(rx.recv()), None);
        assert_eq!(data.get(), 1);
        assert!(rx.try_recv().is_err());
        sender.join().unwrap();
    });
}

/// The receiver closes while a value is sent: an accepted value is received.
#[test]
fn mpsc_receiver_closes() {
    must_reach(&["accepted", "refused"]);
    model("mpsc_receiver_closes", Bound::None, || {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let sender = spawn(move || {
            let accepted = tx.send(loom::alloc::Track::new(1)).is_ok();
            reached(if accepted { "accepted" } else { "refused" });
            accepted
        });
        rx.close();
        let received = wait(rx.recv()).is_some();
        assert!(wait(rx.recv()).is_none());
        assert_eq!(sender.join().unwrap(), received);
    });
}

/// A bounded channel closed while a sender waits, is granted, sends or gives up: the receiver ends.
#[test]
fn mpsc_bounded_close() {
    must_reach(&["accepted", "refused", "given up"]);
    model("mpsc_bounded_close", Bound::Preemptions(3), || {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(0).unwrap();
        // So that it is not the last sender who ends the channel.
        let _other = tx.clone();
        let sender = spawn(move || {
            let (sending, polled) = begin(tx.send(1));
            drop(sending);
            match polled {
                Poll::Ready(Ok(())) => {
                    reached("accepted");
                    1
                }
                Poll::Ready(Err(_)) => {
                    reached("refused");
                    0
                }
                Poll::Pending => {
                    reached("given up");
                    0
                }
            }
        });
        assert_eq!(rx.try_recv(), Ok(0));
        rx.close();
        let mut received = 0;
        while wait(rx.recv()).is_some() {
            received += 1;
        }
        assert_eq!(sender.join().unwrap(), received);
    });
}

/// The receiver is dropped while a value is sent: it is freed once, wherever it is.
#[test]
fn mpsc_receiver_drops() {
    model("mpsc_receiver_drops", Bound::Preemptions(2), || {
        let (tx, rx) = mpsc::unbounded_channel();
        let sender = spawn(move || {
            for n in 0..3 {
                drop(tx.send(loom::alloc::Track::new(n)));
            }
        });
        drop(rx);
        sender.join().unwrap();
    });
}

/// A value that was accepted while the receiver went away is dropped then, not with the last sender
/// (futures-rs#909): its sender may wait for that.
#[test]
fn mpsc_value_vs_receiver_drop() {
    must_reach(&["accepted", "refused"]);
    model("mpsc_value_vs_receiver_drop", Bound::Preemptions(3), || {
        let (tx, rx) = mpsc::channel(1);
        let sender = spawn(move || {
            let (value, dropped) = oneshot::channel::<()>();
            let accepted = tx.try_send(value).is_ok();
            reached(if accepted { "accepted" } else { "refused" });
            assert!(wait(dropped).is_err());
        });
        drop(rx);
        sender.join().unwrap();
    });
}

/// The same with two senders: whoever has taken the receiver's place leaves it to the other.
#[test]
fn mpsc_two_values_vs_receiver_drop() {
    must_reach(&["0", "1", "2"]);
    model("mpsc_two_values_vs_receiver_drop", Bound::Preemptions(2), || {
        let (tx, rx) = mpsc::unbounded_channel();
        let value = Arc::new(());
        let (theirs, one) = (tx.clone(), value.clone());
        let sender = spawn(move || usize::from(theirs.send(one).is_ok()));
        let (theirs, two) = (tx.clone(), value.clone());
        let other = spawn(move || usize::from(theirs.send(two).is_ok()));
        drop(rx);
        let accepted = sender.join().unwrap() + other.join().unwrap();
        reached(["0", "1", "2"][accepted]);
        assert_eq!(Arc::strong_count(&value), 1, "a value is still in the channel");
        drop(tx);
    });
}

/// `try_recv` does not deny a send that has happened, though another one is under way before it.
#[test]
fn mpsc_try_recv() {
    model("mpsc_try_recv", Bound::Preemptions(3), || {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let theirs = tx.clone();
        let sender = spawn(move || theirs.send(1).unwrap());
        tx.send(2).unwrap();
        assert!(rx.try_recv().is_ok());
        sender.join().unwrap();
        assert!(rx.try_recv().is_ok());
    });
}

/// A receiver misses no change, sees value and version together, and sees the last before the end.
#[test]
fn watch_version() {
    must_reach(&["two changes", "one change"]);
    model("watch_version", Bound::Preemptions(2), || {
        let (tx, mut rx) = watch::channel(0);
        let sender = spawn(move || {
            tx.send_replace(1);
            tx.send_replace(2);
        });
        let mut changes = 0;
        let mut last = 0;
        while wait(rx.changed()).is_ok() {
            let value = rx.borrow_and_update();
            assert!(*value > last, "a change without a change");
            last = *value;
            changes += 1;
        }
        assert_eq!(last, 2);
        reached(if changes == 2 { "two changes" } else { "one change" });
        sender.join().unwrap();
    });
}

/// A slow receiver gets each value or is told that it missed it.
#[test]
fn broadcast_lag() {
    must_reach(&["lagged", "got all"]);
    model("broadcast_lag", Bound::Preemptions(3), || {
        let (tx, mut rx) = broadcast::channel(1);
        // So that the end wakes nobody.
        let _other = tx.clone();
        let sender = spawn(move || {
            assert_eq!(tx.send(0), Ok(1));
            assert_eq!(tx.send(1), Ok(1));
        });
        let (mut next, mut last) = (0, None);
        while next < 2 {
            match wait(rx.recv()) {
                Ok(n) => {
                    assert_eq!(n, next);
                    last = Some(n);
                    next += 1;
                }
                Err(broadcast::error::RecvError::Lagged(n)) => {
                    reached("lagged");
                    next += n;
                }
                Err(broadcast::error::RecvError::Closed) => unreachable!("there is a sender"),
            }
        }
        reached("got all");
        // Lagging or not, the ring still has the last one.
        assert_eq!((next, last), (2, Some(1)));
        sender.join().unwrap();
    });
}

/// A value that is counted while it lives, and whose clone must not meet another use of it.
struct Cloned(Arc<AtomicUsize>, Data, usize);

impl Cloned {
    fn new(alive: &Arc<AtomicUsize>, number: usize) -> Self {
        alive.fetch_add(1, Relaxed);
        Self(alive.clone(), Data::new(), number)
    }
}

impl Clone for Cloned {
    fn clone(&self) -> Self {
        self.1.add();
        Self::new(&self.0, self.2)
    }
}

impl Drop for Cloned {
    fn drop(&mut self) {
        self.1.add();
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Three receivers of one value: it is cloned by one after the other, the last one gets it, and who has
/// to wait for a clone is woken.
#[test]
fn broadcast_clones() {
    must_reach(&["waited for a clone", "did not wait"]);
    model("broadcast_clones", Bound::Preemptions(2), || {
        let alive = Arc::new(AtomicUsize::new(0));
        let (tx, first) = broadcast::channel(1);
        let receivers = [tx.subscribe(), tx.subscribe(), first];
        assert_eq!(tx.send(Cloned::new(&alive, 0)).ok(), Some(3));
        let receive = |mut rx: broadcast::Receiver<Cloned>| {
            let (future, polled) = begin(async move {
                let value = rx.recv().await;
                (value, rx)
            });
            reached(if polled.is_pending() { "waited for a clone" } else { "did not wait" });
            let (value, _rx) = match polled {
                Poll::Ready(received) => received,
                Poll::Pending => wait(future),
            };
            drop(value.expect("it was not overwritten"));
        };
        let [second, third, first] = receivers;
        let others = [second, third].map(|rx| spawn(move || receive(rx)));
        receive(first);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((tx.len(), alive.load(Relaxed)), (0, 0));
    });
}

/// A value is overwritten while one receiver clones it and another one waits for that: the one keeps it, and
/// the other one hears of it. None is lost, and the new one stays.
#[test]
fn broadcast_overwritten() {
    must_reach(&["cloned the old one", "lagged", "waited"]);
    model("broadcast_overwritten", Bound::Preemptions(2), || {
        let alive = Arc::new(AtomicUsize::new(0));
        let (tx, first) = broadcast::channel(1);
        let receivers = [tx.subscribe(), first];
        assert!(tx.send(Cloned::new(&alive, 0)).is_ok());
        let others = receivers.map(|mut rx| {
            spawn(move || {
                let recv = async move { (rx.recv().await.map(|value| value.2), rx) };
                let (future, polled) = begin(recv);
                let (old, mut rx) = match polled {
                    Poll::Ready(received) => received,
                    Poll::Pending => {
                        reached("waited");
                        wait(future)
                    }
                };
                reached(if old.is_ok() { "cloned the old one" } else { "lagged" });
                assert!(matches!(old, Ok(0) | Err(broadcast::error::RecvError::Lagged(1))));
                assert_eq!(wait(rx.recv()).ok().map(|value| value.2), Some(1));
            })
        });
        assert_eq!(tx.send(Cloned::new(&alive, 1)).ok(), Some(2));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((tx.len(), alive.load(Relaxed)), (0, 0));
    });
}

/// A receiver goes while a value is sent, and while another one clones one: nobody waits for it.
#[test]
fn broadcast_receiver_leaves() {
    must_reach(&["sent to both", "sent to one"]);
    model("broadcast_receiver_leaves", Bound::Preemptions(3), || {
        let alive = Arc::new(AtomicUsize::new(0));
        let (tx, mut stays) = broadcast::channel(2);
        let leaves = tx.subscribe();
        assert_eq!(tx.send(Cloned::new(&alive, 0)).ok(), Some(2));
        let other = spawn(move || drop(leaves));
        assert!(stays.try_recv().is_ok());
        reached(match tx.send(Cloned::new(&alive, 0)).ok() {
            Some(2) => "sent to both",
            _ => "sent to one",
        });
        assert!(stays.try_recv().is_ok());
        other.join().unwrap();
        assert_eq!((tx.len(), alive.load(Relaxed)), (0, 0));
    });
}

/// A receiver that comes while values are sent gets all from its beginning on, and is counted for these.
#[test]
fn broadcast_subscribe() {
    must_reach(&["got 2", "got 1", "got 0"]);
    model("broadcast_subscribe", Bound::Preemptions(3), || {
        let (tx, mut first) = broadcast::channel(2);
        let theirs = tx.clone();
        let other = spawn(move || [0, 1].map(|n| theirs.send(n).unwrap()));
        let mut late = tx.subscribe();
        let counted = other.join().unwrap();
        let got: Vec<_> = std::iter::from_fn(|| late.try_recv().ok()).collect();
        reached(["got 0", "got 1", "got 2"][got.len()]);
        assert!([0, 1].ends_with(&got), "{got:?}");
        // Each was put for as many as take it.
        assert_eq!(counted.iter().sum::<usize>(), 2 + got.len());
        assert_eq!([first.try_recv(), first.try_recv()], [Ok(0), Ok(1)]);
        assert!(tx.is_empty());
    });
}

/// All that was done before the barrier is seen after it, and one leads.
#[test]
fn barrier_publishes() {
    model("barrier_publishes", Bound::Preemptions(3), || {
        let shared = Arc::new((Barrier::new(2), Data::new(), Data::new()));
        let theirs = shared.clone();
        let other = spawn(move || {
            theirs.1.add();
            let leader = wait(theirs.0.wait()).is_leader();
            assert_eq!(theirs.2.get(), 1);
            leader
        });
        shared.2.add();
        let leader = wait(shared.0.wait()).is_leader();
        assert_eq!(shared.1.get(), 1);
        assert!(leader != other.join().unwrap());
    });
}

/// One that gives up has arrived if the round is over, and not otherwise: nobody is left waiting, and
/// the next round is whole.
#[test]
fn barrier_gives_up() {
    must_reach(&["gave up", "was too late"]);
    model("barrier_gives_up", Bound::Preemptions(3), || {
        let barrier = Arc::new(Barrier::new(2));
        let own = barrier.clone();
        let (giving_up, polled) = begin(async move { own.wait().await });
        assert!(polled.is_pending());
        let theirs = barrier.clone();
        let other = spawn(move || {
            let (waiting, polled) = begin(theirs.wait());
            let over = polled.is_ready();
            drop(waiting);
            over
        });
        drop(giving_up);
        let over = other.join().unwrap();
        reached(if over { "was too late" } else { "gave up" });
        assert_eq!(barrier.n_waiting(), 0);
    });
}

/// A change under the lock is seen, or its notification arrives.
#[test]
fn condition_waits() {
    must_reach(&["waited", "saw it"]);
    model("condition_waits", Bound::Preemptions(3), || {
        let shared = Arc::new((Mutex::new(0), Condition::new(), Data::new()));
        let theirs = shared.clone();
        let other = spawn(move || {
            theirs.2.add();
            *wait(theirs.0.lock()) = 1;
            theirs.1.notify_one();
        });
        let mut waits = 0;
        let guard = wait(shared.0.lock());
        drop(wait(shared.1.wait_for(guard, |n| {
            waits += 1;
            *n == 1
        })));
        reached(if waits > 1 { "waited" } else { "saw it" });
        assert_eq!(shared.2.get(), 1);
        other.join().unwrap();
    });
}

/// A waiter that goes away while it is notified does not take the notification with it.
#[test]
fn condition_cancel() {
    model("condition_cancel", Bound::Preemptions(3), || {
        let shared = Arc::new((Mutex::new(()), Condition::new()));
        let waiting = || {
            let theirs = shared.clone();
            let (waiting, polled) = begin(async move {
                drop(theirs.1.wait(theirs.0.lock().await).await);
            });
            assert!(polled.is_pending());
            waiting
        };
        let (first, second) = (waiting(), waiting());
        let theirs = shared.clone();
        let notifier = spawn(move || theirs.1.notify_one());
        drop(first);
        wait(second);
        notifier.join().unwrap();
    });
}

/// A child is in the list that the canceller takes, or is born cancelled.
#[test]
fn cancellation_child() {
    must_reach(&["born cancelled", "cancelled with its parent"]);
    model("cancellation_child", Bound::None, || {
        let token = CancellationToken::new();
        let theirs = token.clone();
        let data = Arc::new(Data::new());
        let before = data.clone();
        let other = spawn(move || {
            before.add();
            theirs.cancel();
        });
        let child = token.child_token();
        reached(if child.is_cancelled() { "born cancelled" } else { "cancelled with its parent" });
        wait(child.cancelled());
        assert_eq!(data.get(), 1);
        other.join().unwrap();
    });
}

/// Of two that cancel at once each finds all below cancelled when its call has returned.
#[test]
fn cancellation_twice() {
    model("cancellation_twice", Bound::None, || {
        let token = CancellationToken::new();
        let child = token.child_token();
        let theirs = token.clone();
        let other = spawn(move || theirs.cancel());
        token.cancel();
        assert!(child.is_cancelled());
        other.join().unwrap();
    });
}

/// What was put is got; what came too late comes back.
#[test]
fn queue_shutdown() {
    must_reach(&["put", "refused"]);
    model("queue_shutdown", Bound::None, || {
        let queue = Arc::new(Queue::new(1));
        let theirs = queue.clone();
        let putter = spawn(move || theirs.put_nowait(7).is_ok());
        let theirs = queue.clone();
        let getter = spawn(move || wait(theirs.get()).ok());
        queue.shutdown(false);
        let (put, got) = (putter.join().unwrap(), getter.join().unwrap());
        reached(if put { "put" } else { "refused" });
        assert_eq!(got, put.then_some(7));
    });
}

/// Putters that wait are told of the end, and what is inside stays for who comes.
#[test]
fn queue_shutdown_of_a_full_one() {
    model("queue_shutdown_of_a_full_one", Bound::None, || {
        let queue = Arc::new(Queue::new(1));
        queue.put_nowait(1).unwrap();
        let theirs = queue.clone();
        let putter = spawn(move || wait(theirs.put(2)));
        queue.shutdown(false);
        assert_eq!(putter.join().unwrap(), Err(QueueShutDown(2)));
        assert_eq!(wait(queue.get()), Ok(1));
        assert_eq!(wait(queue.get()), Err(QueueShutDown(())));
    });
}

/// A putter with a right to a place comes before the end or is refused: nothing enters after a getter was told.
#[test]
fn queue_right_before_the_end() {
    must_reach(&["put", "refused"]);
    model("queue_right_before_the_end", Bound::None, || {
        let queue = Arc::new(Queue::new(1));
        queue.put_nowait(1).unwrap();
        let theirs = queue.clone();
        let putter = spawn(move || wait(theirs.put(2)).is_ok());
        assert_eq!(queue.get_nowait(), Ok(1));
        queue.shutdown(false);
        let got = wait(queue.get()).ok();
        let put = putter.join().unwrap();
        reached(if put { "put" } else { "refused" });
        assert_eq!(got, put.then_some(2));
    });
}

/// An item that was kept for one who goes is not left behind by a shutdown: who waits gets it.
#[test]
fn queue_right_after_the_end() {
    model("queue_right_after_the_end", Bound::None, || {
        let queue = Arc::new(Queue::new(1));
        let theirs = queue.clone();
        let (goes, polled) = begin(async move { theirs.get().await });
        assert!(polled.is_pending());
        queue.put_nowait(7).unwrap();
        let theirs = queue.clone();
        let getter = spawn(move || wait(theirs.get()).ok());
        queue.shutdown(false);
        drop(goes);
        assert_eq!((getter.join().unwrap(), queue.len()), (Some(7), 0));
    });
}

/// What comes for one who waits is not for who comes later.
#[test]
fn queue_rights() {
    model("queue_rights", Bound::None, || {
        let queue = Arc::new(Queue::new(1));
        let theirs = queue.clone();
        let (waiting, polled) = begin(async move { theirs.get().await });
        assert!(polled.is_pending());
        let theirs = queue.clone();
        let putter = spawn(move || theirs.put_nowait(7).unwrap());
        let theirs = queue.clone();
        let other = spawn(move || assert!(theirs.get_nowait().is_err()));
        assert_eq!(wait(waiting), Ok(7));
        putter.join().unwrap();
        other.join().unwrap();
    });
}

/// When the limit has been lowered, nobody has more than that, although a permit was on its way.
#[test]
fn limiter_lowered() {
    must_reach(&["got it before", "waits"]);
    model("limiter_lowered", Bound::Preemptions(3), || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let token = limiter.acquire_nowait().unwrap();
        let theirs = limiter.clone();
        let other = spawn(move || {
            let (waiting, polled) = begin(theirs.acquire());
            match polled {
                Poll::Ready(token) => {
                    drop(token.unwrap());
                    reached("got it before");
                }
                Poll::Pending => {
                    reached("waits");
                    drop(waiting);
                }
            }
        });
        drop(token);
        limiter.set_total_tokens(0);
        assert!(limiter.acquire_nowait().is_err());
        let out = limiter.borrowed_tokens();
        other.join().unwrap();
        assert!(out <= 1);
        assert_eq!(limiter.borrowed_tokens(), 0);
        assert!(limiter.acquire_nowait().is_err());
        limiter.set_total_tokens(1);
        assert!(limiter.acquire_nowait().is_ok());
    });
}

/// One initialiser runs; the other caller gets its value.
#[test]
fn once_cell_race() {
    model("once_cell_race", Bound::Preemptions(3), || {
        let shared = Arc::new((OnceCell::new(), Data::new()));
        let theirs = shared.clone();
        let other = spawn(move || *wait(theirs.0.get_or_init(|| async { theirs.1.add() })));
        let value = *wait(shared.0.get_or_init(|| async { shared.1.add() }));
        assert_eq!((value, other.join().unwrap(), shared.1.get()), (1, 1, 1));
    });
}

/// A value set while it is waited for arrives, whole.
#[test]
fn set_once_wait() {
    model("set_once_wait", Bound::None, || {
        let cell = Arc::new((SetOnce::new(), Data::new()));
        let theirs = cell.clone();
        let other = spawn(move || {
            assert_eq!(*wait(theirs.0.wait()), 5);
            theirs.1.get()
        });
        cell.1.add();
        cell.0.set(5).unwrap();
        assert_eq!(other.join().unwrap(), 1);
    });
}
