use super::*;
use reiver::sync::{AcquireNowaitError, Borrower, CapacityLimiter};

#[test]
fn tokens_are_given_in_turn_and_come_back() {
    let limiter = CapacityLimiter::new(1);
    let token = task(assert_send(limiter.acquire())).ready().unwrap();
    assert_eq!(token.borrower(), None);
    let mut waiting =
        [task(limiter.acquire_on_behalf_of("b")), task(limiter.acquire_on_behalf_of("c"))];
    waiting.iter_mut().for_each(Task::pending);
    assert_eq!(limiter.acquire_nowait().unwrap_err(), AcquireNowaitError::WouldBlock);
    assert_eq!(limiter.statistics().tasks_waiting, 2);
    drop(token);
    waiting[1].pending();
    let second = waiting[0].ready().unwrap();
    assert_eq!(limiter.statistics().borrowers, [Borrower::from("b")]);
    drop(second);
    drop(waiting[1].ready().unwrap());
    let statistics = limiter.statistics();
    assert_eq!((statistics.borrowed_tokens, statistics.tasks_waiting), (0, 0));
    assert_eq!(limiter.available_tokens(), 1);
}

#[test]
fn a_borrower_does_not_wait_for_itself() {
    let limiter = CapacityLimiter::new(5);
    let token = task(limiter.acquire_on_behalf_of("a")).ready().unwrap();
    let error = task(limiter.acquire_on_behalf_of("a")).ready().unwrap_err();
    assert_eq!(error.0, Borrower::from("a"));
    drop(token);
    // Nor while it waits for its first.
    limiter.set_total_tokens(0);
    let mut waiting = task(limiter.acquire_on_behalf_of("a"));
    waiting.pending();
    assert!(task(limiter.acquire_on_behalf_of("a")).ready().is_err());
    drop(waiting);
    let mut again = task(limiter.acquire_on_behalf_of("a"));
    again.pending();
    limiter.set_total_tokens(1);
    drop(again.ready().unwrap());
}

#[test]
fn a_task_is_the_borrower() {
    let runtime = reiver::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let limiter = Arc::new(CapacityLimiter::new(2));
    let theirs = limiter.clone();
    let task = runtime.spawn(async move {
        let token = theirs.clone().acquire_owned().await.unwrap();
        assert_eq!(token.borrower(), Some(&Borrower::Task(reiver::task::id())));
        assert!(theirs.acquire().await.is_err());
        assert!(matches!(theirs.acquire_nowait(), Err(AcquireNowaitError::AlreadyBorrowed(_))));
    });
    runtime.block_on(task).unwrap();
    assert_eq!(limiter.borrowed_tokens(), 0);
}

#[test]
fn the_limit_can_be_lowered_below_what_is_out() {
    let limiter = CapacityLimiter::new(3);
    let mut tokens: Vec<_> = (0..3).map(|_| limiter.acquire_nowait().unwrap()).collect();
    limiter.set_total_tokens(1);
    assert_eq!((limiter.borrowed_tokens(), limiter.available_tokens()), (3, 0));
    let mut waiting = task(limiter.acquire());
    waiting.pending();
    tokens.pop();
    tokens.pop();
    waiting.pending();
    // One is out, and one is allowed.
    tokens.pop();
    let token = waiting.ready().unwrap();
    limiter.set_total_tokens(3);
    let more = [limiter.acquire_nowait().unwrap(), limiter.acquire_nowait().unwrap()];
    assert!(limiter.acquire_nowait().is_err());
    drop((token, more));
}

#[test]
fn a_grant_that_was_not_seen_when_the_limit_was_lowered_is_none() {
    for dropped in [true, false] {
        let limiter = CapacityLimiter::new(1);
        let token = limiter.acquire_nowait().unwrap();
        let mut granted = task(limiter.acquire());
        granted.pending();
        drop(token);
        assert_eq!(granted.wakes(), 1);
        limiter.set_total_tokens(0);
        if !dropped {
            granted.pending();
        }
        drop(granted);
        assert!(limiter.acquire_nowait().is_err(), "the limit is 0");
        let mut waiting = task(limiter.acquire());
        waiting.pending();
        limiter.set_total_tokens(1);
        drop(waiting.ready().unwrap());
        drop(limiter.acquire_nowait().unwrap());
    }
}

#[test]
fn dropped_before_polled_while_waiting_and_when_granted() {
    let limiter = CapacityLimiter::new(1);
    drop(limiter.acquire());
    let token = limiter.acquire_nowait().unwrap();
    let mut tasks = [task(limiter.acquire()), task(limiter.acquire()), task(limiter.acquire())];
    tasks.iter_mut().for_each(Task::pending);
    let [first, second, mut third] = tasks;
    drop(first);
    drop(token);
    assert_eq!(second.wakes(), 1);
    drop(second);
    drop(third.ready().unwrap());
    assert_eq!(limiter.statistics().tasks_waiting, 0);
}
