use super::*;
use reiver::sync::mpsc::{self, error::*};

/// Counts its drops.
#[derive(Debug)]
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn values_arrive_in_order_across_blocks() {
    let (tx, mut rx) = assert_send(mpsc::unbounded_channel());
    for round in 0..5 {
        (0..100).for_each(|n| tx.send(round * 100 + n).unwrap());
        assert_eq!(rx.len(), 100);
        for n in 0..100 {
            assert_eq!(task(rx.recv()).ready(), Some(round * 100 + n));
        }
        assert!(rx.is_empty());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    }
}

#[test]
fn a_waiting_receiver_is_woken_by_the_value_it_waits_for_and_only_once() {
    let (tx, mut rx) = mpsc::unbounded_channel();
    // Also at the end of a block, where the next one is missing.
    for n in 0..70 {
        let mut recv = task(assert_send(rx.recv()));
        recv.pending();
        recv.pending();
        tx.send(n).unwrap();
        tx.send(n).unwrap();
        assert_eq!(recv.wakes(), 1);
        assert_eq!(recv.ready(), Some(n));
        drop(recv);
        assert_eq!(rx.try_recv(), Ok(n));
    }
}

#[test]
fn a_dropped_recv_loses_nothing() {
    let (tx, mut rx) = mpsc::channel(2);
    drop(rx.recv());
    let mut recv = task(rx.recv());
    recv.pending();
    drop(recv);
    tx.try_send(1).unwrap();
    let mut recv = task(rx.recv());
    assert_eq!(recv.ready(), Some(1));
    drop(recv);
    assert_eq!(rx.max_capacity(), rx.capacity());
}

#[test]
fn the_last_sender_ends_the_channel() {
    let (tx, mut rx) = mpsc::channel(4);
    let other = tx.clone();
    let weak = tx.downgrade();
    assert_eq!((rx.sender_strong_count(), rx.sender_weak_count()), (2, 1));
    drop(tx);
    let mut recv = task(rx.recv());
    recv.pending();
    weak.upgrade().unwrap().try_send(1).unwrap();
    assert_eq!(recv.wakes(), 1);
    assert_eq!(recv.ready(), Some(1));
    drop(recv);
    let mut recv = task(rx.recv());
    recv.pending();
    drop(other);
    assert_eq!(recv.wakes(), 1);
    assert_eq!(recv.ready(), None);
    drop(recv);
    assert!(weak.upgrade().is_none() && rx.is_closed());
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(task(rx.recv()).ready(), None);
}

#[test]
fn senders_wait_in_turn_for_places() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(0).unwrap();
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    let mut first = task(assert_send(tx.send(1)));
    let mut second = task(tx.send(2));
    first.pending();
    second.pending();
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert!(tx.try_send(9).is_err(), "overtook");
    first.ready().unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
    second.ready().unwrap();
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn a_closed_receiver_gets_what_was_sent_and_what_was_promised() {
    let (tx, mut rx) = mpsc::channel(4);
    tx.try_send(1).unwrap();
    let used = tx.try_reserve().unwrap();
    let unused = tx.try_reserve().unwrap();
    rx.close();
    assert!(tx.is_closed() && rx.is_closed());
    assert_eq!(tx.try_send(9), Err(TrySendError::Closed(9)));
    assert_eq!(task(tx.send(9)).ready(), Err(SendError(9)));
    assert_eq!(rx.try_recv(), Ok(1));
    let mut recv = task(rx.recv());
    recv.pending();
    used.send(2);
    assert_eq!(recv.wakes(), 1);
    assert_eq!(recv.ready(), Some(2));
    drop(recv);
    let mut recv = task(rx.recv());
    recv.pending();
    drop(unused);
    assert_eq!(recv.wakes(), 1, "the last permit ends the channel");
    assert_eq!(recv.ready(), None);
}

#[test]
fn a_granted_place_given_up_after_the_close_ends_the_channel() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(1).unwrap();
    let mut send = task(tx.send(2));
    send.pending();
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(send.wakes(), 1);
    rx.close();
    let mut recv = task(rx.recv());
    recv.pending();
    drop(send);
    assert_eq!(recv.wakes(), 1);
    assert_eq!(recv.ready(), None);
}

#[test]
fn close_ends_waiting_senders_and_empty_channels() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(1).unwrap();
    let mut send = task(tx.send(2));
    let mut closed = task(assert_send(tx.closed()));
    send.pending();
    closed.pending();
    rx.close();
    assert_eq!((send.wakes(), closed.wakes()), (1, 1));
    assert_eq!(send.ready(), Err(SendError(2)));
    closed.ready();
    assert_eq!(rx.len(), 1);
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));

    let (tx, mut rx) = mpsc::unbounded_channel();
    tx.send(1).unwrap();
    rx.close();
    assert_eq!(tx.send(2), Err(SendError(2)));
    tx.send(3).unwrap_err();
    assert_eq!((rx.len(), rx.is_empty()), (1, false));
    assert_eq!(task(rx.recv()).ready(), Some(1));
    assert_eq!((rx.len(), rx.is_empty()), (0, true));
    assert_eq!(task(rx.recv()).ready(), None);
    task(tx.closed()).ready();
}

#[test]
fn owned_and_many_permits() {
    let (tx, mut rx) = mpsc::channel(3);
    let owned = tx.clone().try_reserve_owned().unwrap();
    assert!(owned.same_channel_as_sender(&tx));
    let mut many = task(tx.reserve_many(3));
    many.pending();
    let back = owned.release();
    assert!(back.same_channel(&tx));
    assert_eq!(many.wakes(), 1);
    let mut places = many.ready().unwrap();
    assert_eq!(places.len(), 3);
    places.next().unwrap().send(1);
    drop(places);
    assert_eq!(tx.capacity(), 2);
    let tx = task(tx.clone().reserve_owned()).ready().unwrap().send(2);
    assert!(task(tx.reserve_many(4)).ready().is_err(), "never so many");
    let mut buffer = vec![0];
    assert_eq!(task(rx.recv_many(&mut buffer, 10)).ready(), 2);
    assert_eq!(buffer, [0, 1, 2]);
    assert_eq!(tx.capacity(), 3);
    assert_eq!(task(rx.recv_many(&mut buffer, 0)).ready(), 0);
    drop((tx, back));
}

#[test]
fn values_are_dropped_with_the_receiver_or_when_they_come() {
    let count = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = mpsc::channel(100);
    for _ in 0..70 {
        tx.try_send(Dropped(count.clone())).unwrap();
    }
    let late = tx.try_reserve().unwrap();
    drop(rx);
    assert_eq!(count.load(SeqCst), 70);
    late.send(Dropped(count.clone()));
    assert_eq!(count.load(SeqCst), 71);
    drop(tx);
    assert_eq!(count.load(SeqCst), 71, "dropped twice");
}

#[test]
fn a_waker_is_not_kept_by_senders() {
    let (_tx, mut rx) = mpsc::unbounded_channel::<u32>();
    let mut recv = task(rx.recv());
    recv.pending();
    let wakes = recv.poller.wakes.clone();
    drop(recv);
    drop(rx);
    assert_eq!(Arc::strong_count(&wakes), 1);
}

#[test]
fn threads_send_and_each_order_is_kept() {
    for bounded in [false, true] {
        let (utx, mut urx) = mpsc::unbounded_channel();
        let (btx, mut brx) = mpsc::channel(7);
        let threads: Vec<_> = (0..3)
            .map(|sender| {
                let (utx, btx) = (utx.clone(), btx.clone());
                std::thread::spawn(move || {
                    for n in 0..20_000 {
                        if bounded {
                            btx.blocking_send((sender, n)).unwrap();
                        } else {
                            utx.send((sender, n)).unwrap();
                        }
                    }
                })
            })
            .collect();
        drop((utx, btx));
        let mut next = [0; 3];
        let mut take = |(sender, n): (usize, usize)| {
            assert_eq!(next[sender], n);
            next[sender] += 1;
        };
        while let Some(value) = if bounded { brx.blocking_recv() } else { urx.blocking_recv() } {
            take(value);
        }
        assert_eq!(next, [20_000; 3]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_close_in_the_middle_keeps_what_was_accepted() {
    for _ in 0..200 {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let tx = tx.clone();
                std::thread::spawn(move || (0..1000).take_while(|n| tx.send(*n).is_ok()).count())
            })
            .collect();
        let mut received = usize::from(rx.blocking_recv().is_some());
        rx.close();
        while rx.blocking_recv().is_some() {
            received += 1;
        }
        let sent: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(received, sent);
    }
}

#[test]
fn what_is_sent_to_a_place_after_the_receiver_is_dropped_at_once() {
    let (tx, rx) = mpsc::channel(2);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (one, two) = (tx.try_reserve().unwrap(), tx.try_reserve().unwrap());
    drop(rx);
    one.send(Dropped(dropped.clone()));
    assert_eq!(dropped.load(SeqCst), 1);
    two.send(Dropped(dropped.clone()));
    assert_eq!(dropped.load(SeqCst), 2);
    assert!(tx.try_send(Dropped(dropped.clone())).is_err());
    assert_eq!(tx.capacity(), 2);
}

#[test]
fn a_drop_that_panics_keeps_no_other_value_and_no_place() {
    struct Panics(#[allow(dead_code)] Option<Dropped>);

    impl Drop for Panics {
        fn drop(&mut self) {
            if self.0.is_none() {
                panic!("on purpose");
            }
        }
    }

    let (tx, rx) = mpsc::channel(4);
    let dropped = Arc::new(AtomicUsize::new(0));
    let good = || Panics(Some(Dropped(dropped.clone())));
    assert!(tx.try_send(Panics(None)).is_ok() && tx.try_send(good()).is_ok());
    let (bad, last) = (tx.try_reserve().unwrap(), tx.try_reserve().unwrap());
    let caught =
        |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let mut rx = Some(rx);
    assert!(caught(&mut || drop(rx.take())));
    assert_eq!(dropped.load(SeqCst), 1);
    let mut bad = Some(bad);
    assert!(caught(&mut || bad.take().unwrap().send(Panics(None))));
    last.send(good());
    assert_eq!((dropped.load(SeqCst), tx.capacity()), (2, 4));
}

#[test]
fn a_waker_that_panics_keeps_no_values_alive() {
    let (tx, rx) = mpsc::channel(10);
    let value = std::sync::Arc::new(());
    (0..10).for_each(|_| tx.try_send(value.clone()).unwrap());
    let mut closed = std::pin::pin!(tx.closed());
    assert!(closed.as_mut().poll(&mut Context::from_waker(&panicker())).is_pending());
    assert_eq!(panics(|| drop(rx)), "a waker panics");
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}
