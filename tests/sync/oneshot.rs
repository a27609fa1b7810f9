use super::*;
use reiver::sync::oneshot::{self, error::TryRecvError};

/// Counts its drops.
#[derive(Debug)]
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_value_arrives_whoever_comes_first() {
    let (tx, rx) = assert_send(oneshot::channel());
    tx.send(1).unwrap();
    assert_eq!(task(rx).ready(), Ok(1));

    let (tx, rx) = oneshot::channel();
    let mut rx = task(rx);
    rx.pending();
    rx.pending();
    tx.send(2).unwrap();
    assert_eq!(rx.wakes(), 1);
    assert_eq!(rx.ready(), Ok(2));
}

#[test]
fn a_dropped_sender_is_an_error() {
    let (tx, rx) = oneshot::channel::<u32>();
    let mut rx = task(rx);
    rx.pending();
    drop(tx);
    assert_eq!(rx.wakes(), 1);
    assert!(rx.ready().is_err());
}

#[test]
fn a_value_is_dropped_once_in_every_order() {
    let count = Arc::new(AtomicUsize::new(0));
    let value = || Dropped(count.clone());
    let dropped = || count.swap(0, SeqCst);

    let (tx, rx) = oneshot::channel();
    tx.send(value()).unwrap();
    drop(rx);
    assert_eq!(dropped(), 1, "sent and never received");

    let (tx, rx) = oneshot::channel();
    drop(rx);
    assert!(tx.is_closed());
    let back = tx.send(value()).unwrap_err();
    assert_eq!(dropped(), 0, "given back");
    drop(back);
    assert_eq!(dropped(), 1);

    let (tx, mut rx) = oneshot::channel();
    tx.send(value()).unwrap();
    rx.close();
    let got = rx.try_recv().unwrap();
    assert!(rx.is_terminated());
    drop(rx);
    assert_eq!(dropped(), 0, "sent before the close, received after it");
    drop(got);
    assert_eq!(dropped(), 1);

    let (tx, mut rx) = oneshot::channel();
    rx.close();
    drop(tx.send(value()).unwrap_err());
    assert_eq!(rx.try_recv().unwrap_err(), TryRecvError::Closed);
    assert_eq!(dropped(), 1);
}

#[test]
fn try_recv_and_the_questions() {
    let (tx, mut rx) = oneshot::channel();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert!(rx.is_empty() && !rx.is_terminated());
    tx.send(3).unwrap();
    assert!(!rx.is_empty());
    assert_eq!(rx.try_recv(), Ok(3));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert!(rx.is_empty() && rx.is_terminated());
    rx.close();
}

#[test]
fn the_sender_hears_of_the_close() {
    let (mut tx, mut rx) = oneshot::channel::<u32>();
    let wakes = {
        let mut closed = task(tx.closed());
        closed.pending();
        rx.close();
        assert_eq!(closed.wakes(), 1);
        closed.ready();
        closed.poller.wakes.clone()
    };
    drop(rx);
    assert!(tx.is_closed());
    drop(tx);
    assert_eq!(Arc::strong_count(&wakes), 1, "a waker is kept");

    let (mut tx, rx) = oneshot::channel::<u32>();
    let mut closed = task(tx.closed());
    closed.pending();
    drop(rx);
    assert_eq!(closed.wakes(), 1);
    closed.ready();
}

#[test]
fn no_waker_outlives_the_channel() {
    let (tx, rx) = oneshot::channel::<u32>();
    let mut rx = task(rx);
    rx.pending();
    let old = std::mem::take(&mut rx.poller.wakes);
    rx.pending();
    assert_eq!(Arc::strong_count(&old), 1, "the old waker is kept");
    let wakes = rx.poller.wakes.clone();
    drop(rx);
    drop(tx);
    assert_eq!(Arc::strong_count(&wakes), 1);
    assert_eq!(wakes.count(), 0);
}

#[test]
fn threads() {
    for n in 0..2000 {
        let (tx, rx) = oneshot::channel();
        let thread = std::thread::spawn(move || tx.send(n).is_ok());
        if n % 3 == 0 {
            drop(rx);
            thread.join().unwrap();
        } else {
            assert_eq!(rx.blocking_recv(), Ok(n));
            assert!(thread.join().unwrap());
        }
    }
}
