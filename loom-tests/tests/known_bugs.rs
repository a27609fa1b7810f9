//! Bugs that other runtimes had, as tests of reiver's own primitives by the attributes that users have.
//!
//! Each names the public thread that it is from; `README.md`, "Known bugs of other runtimes", has those that
//! other models find.

extern crate reiver_model as reiver;

use reiver::sim::cancel_anywhere;
use reiver::sync::{Notify, Semaphore, mpsc};
use std::sync::Arc;

/// awslabs/shuttle#167, tokio-rs/tokio#904: a waiter that is dropped with a permit gave it back, and the
/// next one was not woken.
#[reiver::sim]
async fn a_dropped_acquire_passes_its_permit_on() {
    let semaphore = Arc::new(Semaphore::new(0));
    let (one, two) = (semaphore.clone(), semaphore.clone());
    let first = reiver::spawn(async move {
        if cancel_anywhere(one.acquire()).await.is_none() {
            reiver::reached!("dropped");
        }
    });
    let second = reiver::spawn(async move { drop(two.acquire().await.unwrap()) });
    reiver::task::yield_now().await;
    semaphore.add_permits(1);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(semaphore.available_permits(), 1);
}

/// The same, where the one that is dropped is first in the queue and wants more than there is.
#[reiver::sim]
async fn a_dropped_acquire_stands_in_nobodys_way() {
    let semaphore = Arc::new(Semaphore::new(0));
    let (one, two) = (semaphore.clone(), semaphore.clone());
    let greedy = reiver::spawn(async move { drop(one.acquire_many(2).await) });
    let modest = reiver::spawn(async move { drop(two.acquire().await.unwrap()) });
    reiver::task::yield_now().await;
    semaphore.add_permits(1);
    greedy.abort();
    modest.await.unwrap();
}

/// tokio-rs/tokio#5404: one `notify_waiters` woke a task twice, in two waits after each other.
#[reiver::sim]
async fn notify_waiters_wakes_once() {
    let notify = Arc::new(Notify::new());
    let other = notify.clone();
    let mut waiter = reiver::spawn(async move {
        other.notified().await;
        reiver::reached!("once");
        other.notified().await;
    });
    reiver::task::yield_now().await;
    notify.notify_waiters();
    let again = reiver::time::timeout(reiver::time::Duration::from_secs(9), &mut waiter).await;
    assert!(again.is_err(), "woken twice");
    waiter.abort();
}

/// rust-lang/futures-rs#264: a sender that waited for room was not woken when the receiver went away.
#[reiver::model]
async fn a_waiting_sender_sees_the_end() {
    let (tx, rx) = mpsc::channel::<u32>(1);
    tx.try_send(0).unwrap();
    let gone = reiver::spawn(async move { drop(rx) });
    assert!(tx.send(1).await.is_err());
    gone.await.unwrap();
}
