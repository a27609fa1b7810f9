use super::*;
use reiver::sync::watch::{self, error::SendError};

#[test]
fn changes_are_seen_once_and_only_the_latest() {
    let (tx, mut rx) = watch::channel(0);
    assert_eq!(rx.has_changed(), Ok(false));
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    assert!(rx.borrow().has_changed());
    assert_eq!(*rx.borrow(), 2);
    assert_eq!(task(rx.changed()).ready(), Ok(()));
    let mut changed = task(assert_send(rx.changed()));
    changed.pending();
    tx.send(3).unwrap();
    assert_eq!(changed.wakes(), 1);
    assert_eq!(changed.ready(), Ok(()));
    drop(changed);
    assert!(!rx.borrow_and_update().has_changed());
    rx.mark_changed();
    assert_eq!(rx.has_changed(), Ok(true));
    assert!(rx.borrow_and_update().has_changed());
    assert_eq!(rx.has_changed(), Ok(false));
    tx.send(4).unwrap();
    rx.mark_unchanged();
    task(rx.changed()).pending();
}

#[test]
fn the_last_value_comes_before_the_end() {
    let (tx, mut rx) = watch::channel(0);
    let mut other = rx.clone();
    let mut waiting = task(other.changed());
    waiting.pending();
    tx.send(1).unwrap();
    drop(tx);
    assert_eq!(waiting.ready(), Ok(()));
    drop(waiting);
    assert!(task(other.changed()).ready().is_err());
    assert!(rx.has_changed().is_err());
    assert_eq!(task(rx.changed()).ready(), Ok(()));
    assert_eq!(*rx.borrow(), 1);
    assert!(task(rx.changed()).ready().is_err());
    assert_eq!(*task(rx.wait_for(|n| *n == 1)).ready().unwrap(), 1);
    assert!(task(rx.wait_for(|n| *n == 2)).ready().is_err());
}

#[test]
fn wait_for_returns_the_value_that_was_wanted() {
    let (tx, mut rx) = watch::channel(0);
    let mut even = task(assert_send(rx.wait_for(|n| *n > 0 && n % 2 == 0)));
    even.pending();
    tx.send(1).unwrap();
    assert_eq!(even.wakes(), 1);
    even.pending();
    tx.send(2).unwrap();
    assert_eq!(*even.ready().unwrap(), 2);
    drop(even);
    assert_eq!(rx.has_changed(), Ok(false));
}

#[test]
fn senders_and_receivers_are_counted() {
    let tx = watch::Sender::new(5);
    assert!(tx.is_closed());
    assert_eq!(tx.send(6), Err(SendError(6)));
    assert_eq!(tx.send_replace(7), 5);
    assert!(!tx.send_if_modified(|_| false));
    let rx = tx.subscribe();
    assert_eq!(rx.has_changed(), Ok(false));
    tx.send_modify(|n| *n += 1);
    assert_eq!((*rx.borrow(), *tx.borrow(), rx.has_changed()), (8, 8, Ok(true)));
    let second = tx.clone();
    assert_eq!((tx.sender_count(), tx.receiver_count()), (2, 1));
    assert!(second.same_channel(&tx) && rx.clone().same_channel(&rx));
    drop(tx);
    assert_eq!(rx.has_changed(), Ok(true));
    let mut closed = task(assert_send(second.closed()));
    closed.pending();
    drop(rx);
    assert_eq!(closed.wakes(), 1);
    closed.ready();
}

#[test]
fn a_panic_in_a_change_notifies_nobody_and_poisons_nothing() {
    let (tx, rx) = watch::channel(0);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tx.send_modify(|_| panic!("inside"));
    }));
    assert!(panicked.is_err());
    assert_eq!(rx.has_changed(), Ok(false));
    tx.send(1).unwrap();
    assert_eq!(*rx.borrow(), 1);
}

#[test]
fn threads_see_values_grow_and_the_last_one() {
    let (tx, rx) = watch::channel(0);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut rx = rx.clone();
            std::thread::spawn(move || {
                let mut last = 0;
                while rx.blocking_changed().is_ok() {
                    let now = *rx.borrow_and_update();
                    assert!(now > last || now == 10_000);
                    last = now;
                }
                assert_eq!(last, 10_000);
            })
        })
        .collect();
    (1..=10_000).for_each(|n| tx.send(n).unwrap());
    drop(tx);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}
