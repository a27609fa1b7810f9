//! Many tasks on one primitive: all come through, those that are promised an order in that order, and
//! nothing is left.

use reiver::runtime::{Builder, Runtime};
use reiver::sync::{Barrier, CapacityLimiter, Condition, Event, Mutex, Notify, Queue, Semaphore};
use reiver::task::{JoinSet, gather, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const CROWD: usize = 100_000;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[track_caller]
fn nobody_is_left(runtime: &Runtime) {
    assert_eq!(runtime.handle().dump().len(), 0);
    assert_eq!(runtime.metrics().num_timers(), 0);
}

#[test]
fn a_semaphore_and_a_limiter_let_no_more_than_three_in() {
    let runtime = runtime();
    runtime.block_on(async {
        let semaphore = Arc::new(Semaphore::new(3));
        let limiter = Arc::new(CapacityLimiter::new(3));
        let inside = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        gather((0..CROWD).map(|_| {
            let (semaphore, limiter, inside) = (semaphore.clone(), limiter.clone(), inside.clone());
            async move {
                let permit = semaphore.acquire().await.unwrap();
                assert!(inside[0].fetch_add(1, SeqCst) < 3);
                yield_now().await;
                inside[0].fetch_sub(1, SeqCst);
                drop(permit);
                let token = limiter.acquire().await.unwrap();
                assert!(inside[1].fetch_add(1, SeqCst) < 3);
                inside[1].fetch_sub(1, SeqCst);
                drop(token);
            }
        }))
        .await;
        assert_eq!((semaphore.available_permits(), limiter.available_tokens()), (3, 3));
        assert!(limiter.statistics().borrowers.is_empty());
    });
    nobody_is_left(&runtime);
}

/// With one worker the tasks ask in the order of spawning.
#[test]
fn a_mutex_is_handed_over_in_the_order_of_asking() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let order = Arc::new(Mutex::new(Vec::with_capacity(CROWD)));
        let held = order.clone().lock_owned().await;
        let mut set = JoinSet::new();
        let asked = Arc::new(Mutex::new(Vec::with_capacity(CROWD)));
        for n in 0..CROWD {
            let (order, asked) = (order.clone(), asked.clone());
            set.spawn(async move {
                asked.try_lock().unwrap().push(n);
                order.lock().await.push(n);
            });
        }
        while asked.lock().await.len() < CROWD {
            yield_now().await;
        }
        drop(held);
        while let Some(ended) = set.join_next().await {
            ended.unwrap();
        }
        assert_eq!(*order.lock().await, *asked.lock().await);
    });
    nobody_is_left(&runtime);
}

#[test]
fn everybody_hears_a_notification_and_an_event() {
    let runtime = runtime();
    runtime.block_on(async {
        let shared = Arc::new((Notify::new(), Event::new(), AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..CROWD {
            let shared = shared.clone();
            set.spawn(async move {
                let notified = shared.0.notified();
                shared.2.fetch_add(1, SeqCst);
                notified.await;
                shared.1.wait().await;
            });
        }
        while shared.2.load(SeqCst) < CROWD {
            yield_now().await;
        }
        shared.0.notify_waiters();
        shared.1.set();
        while let Some(ended) = set.join_next().await {
            ended.unwrap();
        }
    });
    nobody_is_left(&runtime);
}

#[test]
fn a_queue_serves_a_crowd_at_both_ends() {
    let runtime = runtime();
    runtime.block_on(async {
        let queue = Arc::new(Queue::new(10));
        let getters = queue.clone();
        let getters = reiver::spawn(gather((0..CROWD).map(move |_| {
            let queue = getters.clone();
            async move {
                let item = queue.get().await.unwrap();
                queue.task_done();
                item
            }
        })));
        let putters = queue.clone();
        gather((0..CROWD).map(move |n| {
            let queue = putters.clone();
            async move { queue.put(n).await.unwrap() }
        }))
        .await;
        queue.join().await;
        let mut items = getters.await.unwrap();
        items.sort();
        assert!(items.into_iter().eq(0..CROWD));
        assert!(queue.is_empty());
    });
    nobody_is_left(&runtime);
}

#[test]
fn a_condition_and_a_barrier_let_everybody_through() {
    let runtime = runtime();
    runtime.block_on(async {
        let shared = Arc::new((Mutex::new(0), Condition::new(), Barrier::new(1000)));
        let leaders = gather((0..CROWD / 10).map(|_| {
            let shared = shared.clone();
            async move {
                let (turns, changed, barrier) = &*shared;
                // A token goes round: each waits for one and leaves one.
                let mut turns = changed.wait_for(turns.lock().await, |turns| *turns > 0).await;
                *turns -= 1;
                drop(turns);
                *shared.0.lock().await += 1;
                changed.notify_one();
                usize::from(barrier.wait().await.is_leader())
            }
        }));
        let leaders = reiver::spawn(leaders);
        *shared.0.lock().await += 1;
        shared.1.notify_one();
        assert_eq!(leaders.await.unwrap().into_iter().sum::<usize>(), CROWD / 10 / 1000);
    });
    nobody_is_left(&runtime);
}
