use super::*;
use reiver::sync::CancellationToken;

#[test]
fn a_request_goes_down_and_not_up() {
    let root = CancellationToken::new();
    let (left, right) = (root.child_token(), root.child_token());
    let below = left.child_token();
    left.cancel();
    assert!(left.is_cancelled() && below.is_cancelled());
    assert!(!root.is_cancelled() && !right.is_cancelled());
    root.cancel();
    assert!(right.is_cancelled());
    assert!(root.child_token().child_token().is_cancelled(), "born cancelled");
}

#[test]
fn a_request_passes_a_token_that_nobody_holds() {
    let root = CancellationToken::new();
    let below = root.child_token().child_token().child_token();
    root.cancel();
    assert!(below.is_cancelled());
}

#[test]
fn waiters_of_all_tokens_below_are_woken_once() {
    let root = CancellationToken::new();
    let tokens: Vec<_> = (0..50).map(|_| root.child_token()).collect();
    let mut tasks: Vec<_> =
        tokens.iter().map(|token| task(assert_send(token.cancelled()))).collect();
    tasks.iter_mut().for_each(Task::pending);
    drop(tasks.pop());
    drop(root.cancelled());
    root.cancel();
    root.cancel();
    for task in &mut tasks {
        assert_eq!(task.wakes(), 1);
        task.ready();
    }
    task(tokens[0].clone().cancelled_owned()).ready();
}

#[test]
fn children_that_are_gone_cost_no_memory_and_a_long_chain_no_stack() {
    let root = CancellationToken::new();
    let kept: Vec<_> = (0..100).map(|_| root.child_token()).collect();
    for _ in 0..100_000 {
        drop(root.child_token());
    }
    root.cancel();
    assert!(kept.iter().all(CancellationToken::is_cancelled));
    for cancel in [true, false] {
        let root = CancellationToken::new();
        let leaf = (0..200_000).fold(root.clone(), |token, _| token.child_token());
        if cancel {
            root.cancel();
        }
        drop(root);
        assert_eq!(leaf.is_cancelled(), cancel);
    }
}

#[test]
fn a_future_runs_until_the_request() {
    let token = CancellationToken::new();
    assert_eq!(task(token.run_until_cancelled(async { 1 })).ready(), Some(1));
    let mut waiting = task(token.run_until_cancelled(std::future::pending::<()>()));
    waiting.pending();
    let guard = token.clone().drop_guard();
    let token = guard.disarm();
    waiting.pending();
    drop(token.clone().drop_guard());
    assert_eq!(waiting.ready(), None);
    let polled = || unreachable!("it is not polled");
    assert!(task(token.run_until_cancelled_owned(async { polled() })).ready().is_none());
}

/// Who is told of a request finds all tokens below cancelled, and those are, also if telling somebody panics.
#[test]
fn all_below_are_cancelled_before_anybody_is_told() {
    let root = CancellationToken::new();
    let below = root.child_token().child_token();
    let (seen, shown) = (Arc::new(AtomicUsize::new(0)), below.clone());
    let counter = seen.clone();
    let waker = meddler(move || _ = counter.fetch_add(shown.is_cancelled().into(), SeqCst));
    let mut waits = std::pin::pin!(root.cancelled());
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    let mut panics_when_told = std::pin::pin!(root.cancelled());
    assert!(panics_when_told.as_mut().poll(&mut Context::from_waker(&panicker())).is_pending());
    let mut last = task(below.cancelled());
    last.pending();
    assert_eq!(panics(|| root.cancel()), "a waker panics");
    assert!(seen.load(SeqCst) > 0 && below.is_cancelled());
    last.ready();
}

/// A future that is always ready does not keep its limit from being looked at.
#[test]
fn what_never_waits_is_cancelled_too() {
    let runtime = reiver::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let token = CancellationToken::new();
        let busy = async {
            for n in 0.. {
                if n == 1000 {
                    token.cancel();
                }
                reiver::task::consume_budget().await;
            }
        };
        assert_eq!(token.run_until_cancelled(busy).await, None);
    });
}
