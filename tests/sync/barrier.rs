use super::*;
use reiver::sync::Barrier;

#[test]
fn rounds_follow_each_other() {
    let barrier = Barrier::new(3);
    for _ in 0..3 {
        let mut waiting = [task(assert_send(barrier.wait())), task(barrier.wait())];
        waiting.iter_mut().for_each(Task::pending);
        assert_eq!((barrier.n_waiting(), barrier.parties()), (2, 3));
        assert!(task(barrier.wait()).ready().is_leader());
        for task in &mut waiting {
            assert_eq!(task.wakes(), 1);
            assert!(!task.ready().is_leader());
        }
    }
}

#[test]
fn one_that_gives_up_has_not_arrived() {
    let barrier = Barrier::new(2);
    drop(barrier.wait());
    let mut gives_up = task(barrier.wait());
    gives_up.pending();
    drop(gives_up);
    assert_eq!(barrier.n_waiting(), 0);
    let mut first = task(barrier.wait());
    first.pending();
    assert!(task(barrier.wait()).ready().is_leader());
    // Its round is over: that it did not look changes nothing for the next.
    drop(first);
    assert_eq!(barrier.n_waiting(), 0);
    let mut next = task(barrier.wait());
    next.pending();
    assert!(task(barrier.wait()).ready().is_leader());
    next.ready();
}

#[test]
fn a_barrier_for_one_and_for_threads() {
    assert!(Barrier::new(0).blocking_wait().is_leader());
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let barrier = barrier.clone();
            let rounds = move || (0..100).filter(|_| barrier.blocking_wait().is_leader()).count();
            std::thread::spawn(rounds)
        })
        .collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 100);
}
