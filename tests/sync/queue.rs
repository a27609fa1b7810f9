use super::*;
use reiver::sync::Queue;
use reiver::sync::queue::{GetNowaitError, PutNowaitError, QueueShutDown};

#[test]
fn items_come_in_the_order_of_the_kind() {
    let fifo = Queue::new(0);
    let lifo = Queue::lifo(0);
    let priority = Queue::priority(0);
    for n in [2, 1, 3] {
        fifo.put_nowait(n).unwrap();
        lifo.put_nowait(n).unwrap();
        priority.put_nowait(n).unwrap();
    }
    assert_eq!((0..3).map(|_| fifo.get_nowait().unwrap()).collect::<Vec<_>>(), [2, 1, 3]);
    assert_eq!((0..3).map(|_| lifo.get_nowait().unwrap()).collect::<Vec<_>>(), [3, 1, 2]);
    assert_eq!((0..3).map(|_| priority.get_nowait().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(fifo.get_nowait(), Err(GetNowaitError::Empty));
}

#[test]
fn equals_of_a_priority_queue_come_in_the_order_of_putting() {
    /// Compares by its first field only.
    #[derive(Debug)]
    struct Job(u32, u32);
    impl PartialEq for Job {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Job {}
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Job {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }
    let queue = Queue::priority(0);
    for n in 0..100 {
        queue.put_nowait(Job(n % 3, n)).unwrap();
    }
    let got: Vec<_> = (0..100).map(|_| queue.get_nowait().unwrap()).collect();
    assert!(got.windows(2).all(|w| (w[0].0, w[0].1) < (w[1].0, w[1].1)), "{got:?}");
}

#[test]
fn it_knows_how_full_it_is() {
    let queue = Queue::new(2);
    let state = || (queue.len(), queue.is_empty(), queue.is_full());
    assert_eq!((queue.maxsize(), state()), (2, (0, true, false)));
    queue.put_nowait(1).unwrap();
    assert_eq!(state(), (1, false, false));
    queue.put_nowait(2).unwrap();
    assert_eq!(state(), (2, false, true));
    queue.get_nowait().unwrap();
    assert_eq!(state(), (1, false, false));
    // Without a bound it never is.
    let unbounded = Queue::new(0);
    (0..1000).for_each(|n| unbounded.put_nowait(n).unwrap());
    assert_eq!((unbounded.maxsize(), unbounded.len(), unbounded.is_full()), (0, 1000, false));
}

#[test]
fn both_ends_wait_in_turn() {
    let queue = Queue::new(1);
    let mut getters = [task(assert_send(queue.get())), task(queue.get())];
    getters.iter_mut().for_each(Task::pending);
    queue.put_nowait(1).unwrap();
    assert_eq!(getters[0].ready(), Ok(1));
    getters[1].pending();
    queue.put_nowait(2).unwrap();
    assert_eq!(getters[1].ready(), Ok(2));

    queue.put_nowait(3).unwrap();
    assert!(queue.is_full());
    assert_eq!(queue.put_nowait(9), Err(PutNowaitError::Full(9)));
    let mut putters = [task(assert_send(queue.put(4))), task(queue.put(5))];
    putters.iter_mut().for_each(Task::pending);
    assert_eq!(queue.get_nowait(), Ok(3));
    putters[1].pending();
    putters[0].ready().unwrap();
    assert_eq!(queue.get_nowait(), Ok(4));
    putters[1].ready().unwrap();
    assert_eq!((queue.get_nowait(), queue.len()), (Ok(5), 0));
}

#[test]
fn dropped_getters_and_putters_lose_nothing() {
    let queue = Queue::new(1);
    drop(queue.get());
    drop(queue.put(0));
    // While waiting, and when an item is there for it.
    let mut getters = [task(queue.get()), task(queue.get()), task(queue.get())];
    getters.iter_mut().for_each(Task::pending);
    let [first, second, mut third] = getters;
    drop(first);
    queue.put_nowait(1).unwrap();
    assert_eq!(second.wakes(), 1);
    drop(second);
    assert_eq!(third.ready(), Ok(1));

    queue.put_nowait(2).unwrap();
    let mut putters = [task(queue.put(3)), task(queue.put(4)), task(queue.put(5))];
    putters.iter_mut().for_each(Task::pending);
    let [first, second, mut third] = putters;
    drop(first);
    assert_eq!(queue.get_nowait(), Ok(2));
    assert_eq!(second.wakes(), 1);
    drop(second);
    third.ready().unwrap();
    assert_eq!(queue.get_nowait(), Ok(5));
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::Empty));
}

#[test]
fn what_is_granted_is_not_for_newcomers() {
    let queue = Queue::new(1);
    let mut getter = task(queue.get());
    getter.pending();
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::Empty));
    assert_eq!(getter.ready(), Ok(1));

    queue.put_nowait(2).unwrap();
    let mut putter = task(queue.put(3));
    putter.pending();
    assert_eq!(queue.get_nowait(), Ok(2));
    assert_eq!(queue.put_nowait(4), Err(PutNowaitError::Full(4)));
    putter.ready().unwrap();
    assert_eq!(queue.get_nowait(), Ok(3));
}

#[test]
fn after_a_shutdown_items_are_for_who_comes() {
    for dropped in [false, true] {
        let queue = Queue::new(1);
        let mut getters = [task(queue.get()), task(queue.get()), task(queue.get())];
        getters.iter_mut().for_each(Task::pending);
        queue.put_nowait(1).unwrap();
        queue.shutdown(false);
        let [mut first, mut second, mut third] = getters;
        if dropped {
            drop(first);
        } else {
            assert_eq!(first.ready(), Ok(1));
        }
        assert_eq!(second.ready(), if dropped { Ok(1) } else { Err(QueueShutDown(())) });
        assert_eq!(third.ready(), Err(QueueShutDown(())));
    }
    // Also for who comes later, if the one whom it was kept for does not.
    let queue = Queue::new(1);
    let mut getter = task(queue.get());
    getter.pending();
    queue.put_nowait(1).unwrap();
    queue.shutdown(false);
    assert_eq!(queue.get_nowait(), Ok(1));
    assert_eq!(getter.ready(), Err(QueueShutDown(())));
}

#[test]
fn an_item_that_cannot_be_compared_takes_no_place() {
    #[derive(Debug, PartialEq, Eq)]
    struct Item(Option<u32>);
    impl PartialOrd for Item {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Item {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.expect("a number").cmp(&other.0.expect("a number"))
        }
    }
    let queue = Queue::priority(2);
    queue.put_nowait(Item(Some(1))).unwrap();
    queue.put_nowait(Item(Some(2))).unwrap();
    let mut putters = [task(queue.put(Item(None))), task(queue.put(Item(Some(3))))];
    putters.iter_mut().for_each(Task::pending);
    let [mut odd, mut even] = putters;
    assert_eq!(queue.get_nowait(), Ok(Item(Some(1))));
    let put = std::panic::AssertUnwindSafe(|| odd.ready());
    std::panic::catch_unwind(put).unwrap_err();
    // The heap may have kept it: then it takes its place, and the next getter finds it.
    let room = 2 - queue.len();
    assert_eq!(even.wakes(), room);
    while let Ok(item) = queue.get_nowait() {
        assert!(item.0.is_none() || item.0 == Some(2));
        queue.task_done();
    }
    even.ready().unwrap();
    assert_eq!(queue.get_nowait(), Ok(Item(Some(3))));
    // The one that was got first, and this one.
    task(queue.join()).pending();
    (0..2).for_each(|_| queue.task_done());
    task(queue.join()).ready();
}

#[test]
fn join_waits_until_all_is_worked_off() {
    let queue = Queue::new(0);
    task(queue.join()).ready();
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    let mut joins = [task(queue.join()), task(queue.join())];
    joins.iter_mut().for_each(Task::pending);
    let [first, mut second] = joins;
    drop(first);
    queue.get_nowait().unwrap();
    queue.task_done();
    second.pending();
    queue.get_nowait().unwrap();
    second.pending();
    queue.task_done();
    // What comes later is not waited for.
    queue.put_nowait(3).unwrap();
    second.ready();
    task(queue.join()).pending();
}

#[test]
#[should_panic(expected = "task_done")]
fn more_is_done_than_was_put() {
    Queue::<u32>::new(0).task_done();
}

#[test]
fn shutdown_gives_out_what_is_inside() {
    let queue = Queue::new(1);
    queue.put_nowait(1).unwrap();
    let mut putter = task(queue.put(2));
    putter.pending();
    queue.shutdown(false);
    assert_eq!(putter.ready(), Err(QueueShutDown(2)));
    assert_eq!(queue.put_nowait(3), Err(PutNowaitError::ShutDown(3)));
    assert_eq!(task(queue.put(3)).ready(), Err(QueueShutDown(3)));
    let mut join = task(queue.join());
    join.pending();
    assert_eq!(task(queue.get()).ready(), Ok(1));
    queue.task_done();
    join.ready();
    assert_eq!(task(queue.get()).ready(), Err(QueueShutDown(())));
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::ShutDown));
    assert!(queue.is_shutdown());
}

#[test]
fn shutdown_wakes_getters_and_drops_what_is_inside_if_told_to() {
    let queue = Queue::<Arc<()>>::new(0);
    let mut getters = [task(queue.get()), task(queue.get())];
    getters.iter_mut().for_each(Task::pending);
    queue.shutdown(false);
    getters.iter_mut().for_each(|getter| assert_eq!(getter.ready(), Err(QueueShutDown(()))));

    let queue = Queue::new(0);
    let item = Arc::new(());
    for _ in 0..3 {
        queue.put_nowait(item.clone()).unwrap();
    }
    drop(queue.get_nowait());
    let mut join = task(queue.join());
    join.pending();
    queue.shutdown(true);
    assert_eq!(Arc::strong_count(&item), 1);
    // One was got and is not worked off.
    join.pending();
    queue.task_done();
    join.ready();
}

#[test]
fn threads_share_it() {
    let queue = Arc::new(Queue::new(3));
    let getters: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let mut sum = 0;
                while let Ok(n) = queue.blocking_get() {
                    sum += n;
                    queue.task_done();
                }
                sum
            })
        })
        .collect();
    let putters: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            std::thread::spawn(move || (1..=1000u64).for_each(|n| queue.blocking_put(n).unwrap()))
        })
        .collect();
    putters.into_iter().for_each(|putter| putter.join().unwrap());
    queue.blocking_join();
    queue.shutdown(false);
    assert_eq!(getters.into_iter().map(|getter| getter.join().unwrap()).sum::<u64>(), 1_001_000);
}
