use super::*;
use reiver::sync::{Semaphore, TryAcquireError};

#[test]
fn permits_are_given_in_turn_and_nobody_overtakes() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire_many(2).unwrap();
    let mut many = task(assert_send(semaphore.acquire_many(2)));
    let mut one = task(semaphore.acquire());
    many.pending();
    one.pending();
    let mut held = held;
    drop(held.split(1).unwrap());
    // One permit is there, but the first in the queue wants two.
    assert_eq!((many.wakes(), one.wakes()), (0, 0));
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    drop(held);
    assert_eq!((many.wakes(), one.wakes()), (1, 0));
    let many = many.ready().unwrap();
    drop(many);
    assert_eq!(one.wakes(), 1);
    drop(one.ready().unwrap());
    assert_eq!(semaphore.available_permits(), 2);
    assert!(semaphore.try_acquire_many(2).is_ok());
}

#[test]
fn dropped_before_the_first_poll_takes_nothing() {
    let semaphore = Semaphore::new(1);
    drop(semaphore.acquire());
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn dropped_while_waiting_lets_the_next_ones_through() {
    let semaphore = Semaphore::new(1);
    let mut greedy = task(semaphore.acquire_many(2));
    let mut modest = task(semaphore.acquire());
    greedy.pending();
    modest.pending();
    drop(greedy);
    assert_eq!(modest.wakes(), 1);
    drop(modest.ready().unwrap());
    assert!(semaphore.try_acquire().is_ok(), "the queue is closed for good");
}

#[test]
fn dropped_when_granted_passes_the_permits_on() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let mut first = task(semaphore.acquire());
    let mut second = task(semaphore.acquire());
    first.pending();
    second.pending();
    drop(held);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!(second.wakes(), 1);
    drop(second.ready().unwrap());
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_waiter_in_the_middle_leaves() {
    let semaphore = Semaphore::new(0);
    let mut tasks: Vec<_> = (0..3).map(|_| task(semaphore.acquire())).collect();
    tasks.iter_mut().for_each(Task::pending);
    drop(tasks.remove(1));
    semaphore.add_permits(2);
    for task in &mut tasks {
        assert_eq!(task.wakes(), 1);
        task.ready().unwrap().forget();
    }
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn close_ends_the_waits_and_keeps_what_is_out() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.clone().try_acquire_owned().unwrap();
    // More than one batch of wakers.
    let mut tasks: Vec<_> = (0..100).map(|_| task(semaphore.acquire())).collect();
    tasks.iter_mut().for_each(Task::pending);
    semaphore.close();
    assert!(semaphore.is_closed());
    for task in &mut tasks {
        assert_eq!(task.wakes(), 1);
        assert!(task.ready().is_err());
    }
    drop(held);
    assert_eq!(semaphore.available_permits(), 1);
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert!(task(semaphore.acquire()).ready().is_err());
}

#[test]
fn many_waiters_are_woken_by_one_release() {
    let semaphore = Semaphore::new(0);
    let mut tasks: Vec<_> = (0..100).map(|_| task(semaphore.acquire())).collect();
    tasks.iter_mut().for_each(Task::pending);
    semaphore.add_permits(99);
    for task in &mut tasks[..99] {
        assert_eq!(task.wakes(), 1);
        task.ready().unwrap().forget();
    }
    assert_eq!(tasks[99].wakes(), 0);
    tasks[99].pending();
}

#[test]
fn a_new_waker_replaces_the_old_one() {
    let semaphore = Semaphore::new(0);
    let mut waiting = task(semaphore.acquire());
    waiting.pending();
    let old = std::mem::take(&mut waiting.poller.wakes);
    waiting.pending();
    semaphore.add_permits(1);
    assert_eq!(old.count(), 0);
    assert_eq!(Arc::strong_count(&old), 1, "the old waker is kept");
    assert_eq!(waiting.wakes(), 1);
    waiting.ready().unwrap().forget();
}

#[test]
fn wakers_run_outside_the_lock() {
    let semaphore = Arc::new(Semaphore::new(0));
    let again = semaphore.clone();
    let waker = meddler(move || {
        // Takes the queue's lock: a deadlock if it is held.
        again.forget_permits(0);
    });
    let mut cx = Context::from_waker(&waker);
    let mut first = Box::pin(semaphore.acquire());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    semaphore.add_permits(1);
    first.as_mut().poll(&mut cx).map(|permit| permit.unwrap().forget()).is_ready();
    let mut second = Box::pin(semaphore.acquire());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    drop(waker);
    // The last reference to the waker is dropped by leaving, after the lock.
    drop(second);
}

#[test]
fn permits_split_merge_and_are_forgotten() {
    let semaphore = Semaphore::new(5);
    let mut all = semaphore.try_acquire_many(5).unwrap();
    let two = all.split(2).unwrap();
    assert_eq!((all.num_permits(), two.num_permits()), (3, 2));
    assert!(all.split(4).is_none());
    all.merge(two);
    all.split(1).unwrap().forget();
    drop(all);
    assert_eq!(semaphore.available_permits(), 4);
    assert_eq!(semaphore.forget_permits(10), 4);
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
#[should_panic(expected = "different semaphore")]
fn permits_of_two_semaphores_do_not_merge() {
    let (one, other) = (Semaphore::new(1), Semaphore::new(1));
    one.try_acquire().unwrap().merge(other.try_acquire().unwrap());
}

#[test]
fn too_many_permits_panic_and_change_nothing() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    let added = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| semaphore.add_permits(1)));
    assert!(added.is_err());
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
}

#[test]
fn threads_share_it() {
    let semaphore = Arc::new(Semaphore::new(3));
    let inside = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    let wanted = 1 + n % 3;
                    let _permit = semaphore.blocking_acquire_many(wanted).unwrap();
                    let now = inside.fetch_add(wanted as usize, SeqCst) + wanted as usize;
                    assert!(now <= 3);
                    inside.fetch_sub(wanted as usize, SeqCst);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn more_permits_than_there_can_be_are_refused_and_change_nothing() {
    for much in [usize::MAX, usize::MAX / 4 + 1, Semaphore::MAX_PERMITS + 1, Semaphore::MAX_PERMITS]
    {
        let semaphore = Semaphore::new(5);
        assert!(panics(|| semaphore.add_permits(much)).contains("at most"));
        assert_eq!(semaphore.available_permits(), 5);
    }
}

/// Of many, the first one's waker panics: the others get their permits, and later the end.
#[test]
fn a_waker_that_panics_keeps_no_permits_from_others() {
    for round in 0..2 {
        let semaphore = Semaphore::new(0);
        let mut first = std::pin::pin!(semaphore.acquire());
        assert!(first.as_mut().poll(&mut Context::from_waker(&panicker())).is_pending());
        let mut others: Vec<_> = (0..99).map(|_| task(semaphore.acquire())).collect();
        others.iter_mut().for_each(Task::pending);
        let text =
            panics(|| if round == 0 { semaphore.add_permits(100) } else { semaphore.close() });
        assert_eq!(text, "a waker panics");
        for other in &mut others {
            assert_eq!(other.wakes(), 1);
            assert_eq!(other.ready().is_ok(), round == 0);
        }
    }
}
