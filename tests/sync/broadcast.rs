use super::*;
use reiver::sync::broadcast::{self, error::*};
use std::cell::Cell;
use std::sync::atomic::AtomicIsize;

#[test]
fn every_receiver_gets_every_value_from_its_start_on() {
    let (tx, mut first) = broadcast::channel(4);
    assert_eq!(tx.send(1), Ok(1));
    let mut second = tx.subscribe();
    assert_eq!(tx.send(2), Ok(2));
    assert_eq!((first.try_recv(), first.try_recv()), (Ok(1), Ok(2)));
    assert_eq!((second.len(), tx.len()), (1, 1));
    assert_eq!(second.try_recv(), Ok(2));
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    let mut tasks = [task(assert_send(first.recv())), task(second.recv())];
    tasks.iter_mut().for_each(Task::pending);
    tx.send(3).unwrap();
    for task in &mut tasks {
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.ready(), Ok(3));
    }
}

#[test]
fn a_slow_receiver_is_told_what_it_missed() {
    let (tx, mut rx) = broadcast::channel(3);
    for n in 0..10 {
        tx.send(n).unwrap();
    }
    // Three is rounded up to four.
    assert_eq!(rx.try_recv(), Err(TryRecvError::Lagged(6)));
    assert_eq!(task(rx.recv()).ready(), Ok(6));
    let late = rx.resubscribe();
    drop(tx);
    assert_eq!([7, 8, 9].map(Ok), [rx.try_recv(), rx.try_recv(), rx.try_recv()]);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(task(rx.recv()).ready(), Err(RecvError::Closed));
    assert!(late.is_empty() && late.is_closed());
}

#[test]
fn ends_are_counted_and_hear_of_each_other() {
    let (tx, mut rx) = broadcast::channel::<u32>(1);
    let weak = tx.downgrade();
    assert_eq!((tx.strong_count(), rx.sender_weak_count()), (1, 1));
    let mut recv = task(rx.recv());
    recv.pending();
    drop(weak.upgrade().unwrap());
    assert_eq!(recv.wakes(), 0);
    drop(tx);
    assert_eq!(recv.wakes(), 1);
    assert_eq!(recv.ready(), Err(RecvError::Closed));
    assert!(weak.upgrade().is_none());

    let (tx, rx) = broadcast::channel(1);
    let mut closed = task(assert_send(tx.closed()));
    closed.pending();
    drop(rx);
    assert_eq!(closed.wakes(), 1);
    closed.ready();
    assert_eq!(tx.send(1), Err(SendError(1)));
    // A receiver may come again.
    let _rx = tx.subscribe();
    assert_eq!(tx.send(1), Ok(1));
}

/// Counts the living; its clone may meddle.
struct Living(Arc<AtomicIsize>, Option<broadcast::Sender<Living>>);

impl Living {
    fn new(count: &Arc<AtomicIsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone(), None)
    }
}

impl Clone for Living {
    fn clone(&self) -> Self {
        if let Some(tx) = &self.1 {
            // Takes the ring's lock: a deadlock if it is held.
            assert!(tx.len() <= 8);
        }
        Self::new(&self.0)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn values_are_cloned_but_for_the_last_and_dropped_when_nobody_is_left() {
    let count = Arc::new(AtomicIsize::new(0));
    let living = || count.load(SeqCst);
    let (tx, mut first) = broadcast::channel(8);
    let mut second = tx.subscribe();
    let value = Living(count.clone(), Some(tx.clone()));
    count.fetch_add(1, SeqCst);
    assert!(tx.send(value).is_ok());
    let a = first.try_recv().ok().unwrap();
    assert_eq!(living(), 2);
    let b = second.try_recv().ok().unwrap();
    assert_eq!(living(), 2, "the last receiver takes the value itself");
    drop((a, b));
    for _ in 0..20 {
        assert!(tx.send(Living::new(&count)).is_ok());
    }
    assert_eq!(living(), 8);
    drop(first);
    assert_eq!(living(), 8);
    drop(second);
    assert_eq!(living(), 0);
    assert!(tx.is_empty());
}

#[test]
fn threads_get_all_in_order() {
    let (tx, _) = broadcast::channel(1 << 15);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut rx = tx.subscribe();
            std::thread::spawn(move || {
                let mut next = 0;
                while let Ok(n) = rx.blocking_recv() {
                    assert_eq!(n, next);
                    next += 1;
                }
                assert_eq!(next, 20_000);
            })
        })
        .collect();
    (0..20_000).for_each(|n| assert_eq!(tx.send(n), Ok(3)));
    drop(tx);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

/// `Send`, and not `Sync`: two clones at once would lose a step of the count.
struct Alone {
    clones: Cell<usize>,
    inside: Arc<AtomicIsize>,
}

impl Clone for Alone {
    fn clone(&self) -> Self {
        assert_eq!(self.inside.fetch_add(1, SeqCst), 0, "somebody else clones this value");
        self.clones.set(self.clones.get() + 1);
        std::thread::yield_now();
        self.inside.fetch_sub(1, SeqCst);
        Self { clones: self.clones.clone(), inside: self.inside.clone() }
    }
}

#[test]
fn values_that_are_not_sync_are_cloned_one_after_the_other() {
    const READERS: usize = 4;
    const VALUES: usize = 2_000;
    let (tx, _) = broadcast::channel::<Alone>(1 << 11);
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut rx = tx.subscribe();
            // Receivers go to other threads, and are awaited in tasks, without `Sync`.
            std::thread::spawn(move || {
                let mut clones = 0;
                while let Ok(value) = rx.blocking_recv() {
                    clones = value.clones.get().max(clones);
                }
                clones
            })
        })
        .collect();
    for _ in 0..VALUES {
        let value = Alone { clones: Cell::new(0), inside: Arc::new(AtomicIsize::new(0)) };
        assert!(tx.send(value).is_ok());
    }
    drop(tx);
    let most = readers.into_iter().map(|reader| reader.join().unwrap()).max();
    // One or more have cloned a value before the last one got it, or a clone of its own.
    assert!((1..=READERS).contains(&most.unwrap()), "{most:?}");
}
