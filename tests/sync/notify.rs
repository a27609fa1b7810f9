use super::*;
use reiver::sync::Notify;
use std::pin::pin;

#[test]
fn a_permit_is_kept_for_the_next_and_only_one() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_one();
    task(notify.notified()).ready();
    task(notify.notified()).pending();
}

#[test]
fn waiters_are_notified_in_turn_or_from_the_end() {
    let notify = Notify::new();
    let mut tasks: Vec<_> = (0..3).map(|_| task(assert_send(notify.notified()))).collect();
    tasks.iter_mut().for_each(Task::pending);
    notify.notify_last();
    notify.notify_one();
    assert_eq!(tasks.iter().map(Task::wakes).collect::<Vec<_>>(), [1, 0, 1]);
    tasks[0].ready();
    tasks[2].ready();
    notify.notify_one();
    tasks[1].ready();
    task(notify.notified()).pending();
}

#[test]
fn two_notifications_reach_two_waiters() {
    let notify = Notify::new();
    let mut tasks: Vec<_> = (0..2).map(|_| task(notify.notified())).collect();
    tasks.iter_mut().for_each(Task::pending);
    notify.notify_one();
    notify.notify_one();
    tasks.iter_mut().for_each(Task::ready);
}

#[test]
fn all_are_notified_from_their_making_on_and_later_ones_are_not() {
    let notify = Notify::new();
    let mut never_polled = task(notify.notified());
    let mut waiting: Vec<_> = (0..100).map(|_| task(notify.notified())).collect();
    waiting.iter_mut().for_each(Task::pending);
    notify.notify_waiters();
    let mut later = task(notify.notified());
    never_polled.ready();
    for task in &mut waiting {
        assert_eq!(task.wakes(), 1);
        task.ready();
    }
    later.pending();
}

#[test]
fn a_dropped_receiver_passes_one_on_and_not_all() {
    let notify = Notify::new();
    let mut first = task(notify.notified());
    let mut second = task(notify.notified());
    first.pending();
    second.pending();
    notify.notify_one();
    drop(first);
    assert_eq!(second.wakes(), 1);
    drop(second);
    // Nobody waits: it became the permit.
    task(notify.notified()).ready();

    let mut third = task(notify.notified());
    third.pending();
    notify.notify_waiters();
    drop(third);
    task(notify.notified()).pending();
}

#[test]
fn dropped_before_polled_and_while_waiting() {
    let notify = Notify::new();
    drop(notify.notified());
    let mut first = task(notify.notified());
    first.pending();
    drop(first);
    notify.notify_one();
    task(notify.notified()).ready();
}

#[test]
fn enable_takes_a_place_without_a_waker() {
    let notify = Arc::new(Notify::new());
    let mut enabled = pin!(notify.clone().notified_owned());
    assert!(!enabled.as_mut().enable());
    let mut polled = task(notify.notified());
    polled.pending();
    notify.notify_one();
    assert_eq!(polled.wakes(), 0);
    assert!(enabled.as_mut().enable());
    assert!(enabled.poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn a_waker_that_notifies_does_not_deadlock_and_spends_nothing_on_the_woken() {
    let notify = Arc::new(Notify::new());
    let again = notify.clone();
    let waker = meddler(move || again.notify_one());
    let mut cx = Context::from_waker(&waker);
    let mut meddling = Box::pin(notify.notified());
    assert!(meddling.as_mut().poll(&mut cx).is_pending());
    // So many that the call wakes in several rounds, the meddler in the first of them.
    let mut waiting: Vec<_> = (0..100).map(|_| task(notify.notified())).collect();
    waiting.iter_mut().for_each(Task::pending);
    notify.notify_waiters();
    for task in &mut waiting {
        assert_eq!(task.wakes(), 1);
        task.ready();
    }
    // All were reached by the call, so the waker's notification is still there.
    task(notify.notified()).ready();
}

#[test]
fn threads_hand_a_token_round() {
    let notifies: Arc<Vec<Notify>> = Arc::new((0..3).map(|_| Notify::new()).collect());
    let threads: Vec<_> = (0..3)
        .map(|n| {
            let notifies = notifies.clone();
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    crate::block_on(notifies[n].notified());
                    notifies[(n + 1) % 3].notify_one();
                }
            })
        })
        .collect();
    notifies[0].notify_one();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Both came before the first poll: it was notified with all, as with tokio since 1.54, and leaves the permit.
#[test]
fn a_first_poll_leaves_the_permit_if_all_were_notified() {
    for one_first in [false, true] {
        let notify = Notify::new();
        let mut first = task(notify.notified());
        if one_first {
            notify.notify_one();
        }
        notify.notify_waiters();
        if !one_first {
            notify.notify_one();
        }
        first.ready();
        task(notify.notified()).ready();
        task(notify.notified()).pending();
    }
}
