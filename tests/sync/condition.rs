use super::*;
use reiver::sync::{Condition, Mutex};

#[test]
fn a_notification_with_nobody_waiting_is_lost() {
    let (lock, changed) = (Mutex::new(()), Condition::new());
    changed.notify_one();
    changed.notify_all();
    task(changed.wait(lock.try_lock().unwrap())).pending();
}

#[test]
fn n_are_notified_in_turn_and_come_back_with_the_lock() {
    let (lock, changed) = (Mutex::new(0), Condition::new());
    let mut tasks = Vec::new();
    let not_polled = task(assert_send(changed.wait(lock.try_lock().unwrap())));
    assert!(lock.try_lock().is_err(), "the lock is given back by the first poll");
    drop(not_polled);
    for _ in 0..4 {
        let mut waiting = task(changed.wait(lock.try_lock().unwrap()));
        waiting.pending();
        tasks.push(waiting);
    }
    changed.notify(2);
    assert_eq!(tasks.iter().map(Task::wakes).collect::<Vec<_>>(), [1, 1, 0, 0]);
    let mut guard = tasks[0].ready();
    *guard += 1;
    tasks[1].pending();
    drop(guard);
    assert_eq!(*tasks[1].ready(), 1);
    changed.notify_all();
    drop(tasks[2].ready());
    drop(tasks[3].ready());
}

#[test]
fn dropped_before_its_first_poll_while_waiting_and_when_notified() {
    let (lock, changed) = (Mutex::new(()), Condition::new());
    drop(changed.wait(lock.try_lock().unwrap()));
    drop(lock.try_lock().unwrap());

    let wait = || {
        let mut waiting = task(changed.wait(lock.try_lock().unwrap()));
        waiting.pending();
        waiting
    };
    let (first, mut second) = (wait(), wait());
    drop(first);
    changed.notify_one();
    assert_eq!(second.wakes(), 1);
    drop(second.ready());

    // Notified and not polled since.
    let (first, mut second) = (wait(), wait());
    changed.notify_one();
    drop(first);
    drop(second.ready());

    // Notified and waiting for the lock.
    let (mut first, mut second) = (wait(), wait());
    let held = lock.try_lock().unwrap();
    changed.notify_one();
    first.pending();
    assert_eq!(second.wakes(), 0);
    drop(first);
    drop(held);
    drop(second.ready());

    // Nothing was left behind.
    wait().pending();
}

#[test]
fn wait_for_looks_before_it_waits() {
    let (lock, changed) = (Mutex::new(1), Condition::new());
    drop(task(changed.wait_for(lock.try_lock().unwrap(), |n| *n == 1)).ready());
    let mut waiting = task(changed.wait_for(lock.try_lock().unwrap(), |n| *n == 3));
    waiting.pending();
    for n in [2, 3] {
        *lock.try_lock().unwrap() = n;
        changed.notify_all();
        if n == 2 {
            waiting.pending();
        }
    }
    assert_eq!(*waiting.ready(), 3);
}

#[test]
fn threads_meet() {
    let shared = Arc::new((Mutex::new(0), Condition::new()));
    let theirs = shared.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..1000 {
            let guard = theirs.0.blocking_lock();
            let mut guard = theirs.1.blocking_wait_for(guard, |n| *n % 2 == 1);
            *guard += 1;
            drop(guard);
            theirs.1.notify_all();
        }
    });
    for _ in 0..1000 {
        let guard = shared.0.blocking_lock();
        let mut guard = shared.1.blocking_wait_for(guard, |n| *n % 2 == 0);
        *guard += 1;
        drop(guard);
        shared.1.notify_all();
    }
    thread.join().unwrap();
    assert_eq!(*shared.0.blocking_lock(), 2000);
}
