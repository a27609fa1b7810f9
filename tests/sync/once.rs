//! Barrier, OnceCell, SetOnce and Event.
use super::*;
use reiver::sync::{Barrier, Event, OnceCell, SetError, SetOnce, oneshot};

#[test]
fn a_barrier_lets_rounds_through_whole() {
    let barrier = Barrier::new(3);
    for _ in 0..2 {
        let mut waiting = [task(assert_send(barrier.wait())), task(barrier.wait())];
        waiting.iter_mut().for_each(Task::pending);
        assert!(task(barrier.wait()).ready().is_leader());
        // One of the next round does not disturb this one.
        for task in &mut waiting {
            assert_eq!(task.wakes(), 1);
            assert!(!task.ready().is_leader());
        }
    }
    assert!(task(Barrier::new(0).wait()).ready().is_leader());
}

#[test]
fn threads_meet_at_a_barrier() {
    let barrier = Arc::new(Barrier::new(3));
    let leaders = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (barrier, leaders) = (barrier.clone(), leaders.clone());
            std::thread::spawn(move || {
                for round in 0..500 {
                    if block_on(barrier.wait()).is_leader() {
                        leaders.fetch_add(1, SeqCst);
                    }
                    assert!(leaders.load(SeqCst) >= round);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(leaders.load(SeqCst), 500);
}

#[test]
fn one_initialiser_runs_and_the_others_wait_for_it() {
    let cell = OnceCell::new();
    let (tx, rx) = oneshot::channel();
    let mut first = task(assert_send(cell.get_or_init(|| async { rx.await.unwrap() })));
    let mut second = task(cell.get_or_init(|| async { panic!("not needed") }));
    first.pending();
    second.pending();
    assert_eq!(cell.set(1), Err(SetError::InitializingError(1)));
    tx.send(5).unwrap();
    assert_eq!(*first.ready(), 5);
    assert_eq!(second.wakes(), 1);
    assert_eq!(*second.ready(), 5);
    assert!(cell.set(1).unwrap_err().is_already_init_err());
    assert_eq!(*task(cell.get_or_init(|| async { 6 })).ready(), 5);
}

#[test]
fn a_failed_or_dropped_initialiser_leaves_the_next_one_its_turn() {
    let cell = OnceCell::new();
    assert_eq!(task(cell.get_or_try_init(|| async { Err(1) })).ready(), Err(1));
    let mut first = task(cell.get_or_init(std::future::pending));
    let mut second = task(cell.get_or_init(|| async { 2 }));
    first.pending();
    second.pending();
    drop(first);
    assert_eq!(second.wakes(), 1);
    assert_eq!(*second.ready(), 2);
    drop(second);
    let mut cell = cell.clone();
    assert_eq!((cell.take(), cell.get()), (Some(2), None));
    cell.set(3).unwrap();
    assert_eq!(cell, OnceCell::from(3));
    *cell.get_mut().unwrap() += 1;
    assert_eq!(cell.into_inner(), Some(4));
}

#[test]
fn values_of_cells_are_dropped_once() {
    let count = Arc::new(());
    drop(OnceCell::from(count.clone()));
    drop(SetOnce::from(count.clone()));
    drop(SetOnce::<Arc<()>>::new());
    assert!(SetOnce::from(count.clone()).into_inner().is_some());
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn a_set_once_is_waited_for() {
    static CELL: SetOnce<u32> = SetOnce::const_new();
    let mut waiting = task(assert_send(CELL.wait()));
    waiting.pending();
    CELL.set(1).unwrap();
    assert_eq!(waiting.wakes(), 1);
    assert_eq!(CELL.set(2).unwrap_err().0, 2);
    assert_eq!(*waiting.ready(), 1);
    assert_eq!(*task(CELL.wait()).ready(), 1);
}

#[test]
fn an_event_wakes_all_and_can_be_cleared() {
    let event = Event::new();
    let mut waiting = [task(assert_send(event.wait())), task(event.wait())];
    waiting.iter_mut().for_each(Task::pending);
    event.set();
    assert!(event.is_set());
    task(event.wait()).ready();
    event.clear();
    waiting.iter_mut().for_each(Task::ready);
    task(event.wait()).pending();
}
