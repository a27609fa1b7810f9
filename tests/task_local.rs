//! `task_local!` and the poll budget's public face.

mod support;

use reiver::runtime::{Builder, Runtime};
use reiver::task::{LocalKey, coop, spawn_local, unconstrained, yield_now};
use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use support::Wakes;

fn one() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn two() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

reiver::task_local! {
    static NUMBER: u32;
    /// With attributes and without the last semicolon.
    #[allow(dead_code)]
    pub static NAME: String
}

reiver::task_local! {}
reiver::task_local! {
    static LISTS: std::collections::HashMap<String, Vec<u32>>;
}

#[test]
fn each_task_has_its_own_value_wherever_it_is_polled() {
    for runtime in [one(), two()] {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..100)
                .map(|n| {
                    reiver::spawn(NUMBER.scope(n, async move {
                        for _ in 0..20 {
                            assert_eq!(NUMBER.get(), n);
                            yield_now().await;
                        }
                        NUMBER.with(|n| *n)
                    }))
                })
                .collect();
            for (n, task) in (0..).zip(tasks) {
                assert_eq!(task.await.unwrap(), n);
            }
            assert!(NUMBER.try_get().is_err());
        });
    }
}

#[test]
fn scopes_nest_and_tasks_do_not_inherit() {
    one().block_on(async {
        let outer = async {
            let inner = NUMBER.scope(2, async {
                yield_now().await;
                NUMBER.get()
            });
            let inside = NUMBER.sync_scope(3, || NUMBER.get());
            let spawned = reiver::spawn(async { NUMBER.try_get() }).await.unwrap();
            (NUMBER.get(), inner.await, inside, spawned.is_err(), NUMBER.get())
        };
        assert_eq!(NUMBER.scope(1, outer).await, (1, 2, 3, true, 1));
        let both = NAME.scope("x".into(), NUMBER.scope(1, async { (NAME.get(), NUMBER.get()) }));
        assert_eq!(both.await, ("x".to_string(), 1));
        assert_eq!(LISTS.scope(Default::default(), async { LISTS.with(|l| l.len()) }).await, 0);
    });
}

#[test]
fn the_value_is_seen_in_drop() {
    struct Look(&'static LocalKey<u32>, Arc<AtomicUsize>);
    impl Drop for Look {
        fn drop(&mut self) {
            self.1.fetch_add(self.0.try_get().unwrap_or(1000) as usize, SeqCst);
        }
    }
    let sum = Arc::new(AtomicUsize::new(0));
    // Dropped before a poll, at the end, and after a poll.
    let look = || Look(&NUMBER, sum.clone());
    let held = look();
    drop(NUMBER.scope(1, async move { drop(held) }));
    assert_eq!(sum.load(SeqCst), 1);
    let held = look();
    one().block_on(NUMBER.scope(
        2,
        poll_fn(move |_| {
            let _ = &held;
            Poll::Ready(())
        }),
    ));
    assert_eq!(sum.load(SeqCst), 3);
    let held = look();
    let mut future = Box::pin(NUMBER.scope(4, async move {
        yield_now().await;
        drop(held);
    }));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    assert_eq!(sum.load(SeqCst), 7);
    assert!(NUMBER.try_get().is_err());
}

#[test]
fn a_panic_takes_the_value_out() {
    let result = catch_unwind(|| NUMBER.sync_scope(1, || panic!("told to")));
    assert!(result.is_err());
    assert!(NUMBER.try_get().is_err());
    let task = AssertUnwindSafe(|| one().block_on(NUMBER.scope(1, async { panic!("told to") })));
    assert!(catch_unwind(task).is_err());
    assert!(NUMBER.try_get().is_err());
}

#[test]
fn no_scope_while_the_value_is_looked_at() {
    let nested = || NUMBER.with(|_| NUMBER.sync_scope(2, || ()));
    let panic = catch_unwind(|| NUMBER.sync_scope(1, nested)).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("borrowed"));
    let twice = NUMBER.sync_scope(1, || NUMBER.with(|a| NUMBER.with(|b| a + b)));
    assert_eq!(twice, 2);
}

#[test]
fn take_value_takes_it_once() {
    let mut future = pin!(NUMBER.scope(5, async { NUMBER.try_get().is_ok() }));
    assert_eq!(future.as_mut().take_value(), Some(5));
    assert_eq!(future.as_mut().take_value(), None);
    assert!(!one().block_on(future));
    assert_eq!(NUMBER.scope(5, async {}).type_id_of(), 0);
}

/// The future is `Send` when value and future are.
trait TypeIdOf {
    fn type_id_of(&self) -> u32;
}

impl<T: Send> TypeIdOf for T {
    fn type_id_of(&self) -> u32 {
        0
    }
}

/// Runs `poll` inside a poll with a budget, with a waker that counts.
fn in_a_poll<R>(mut poll: impl FnMut(&mut Context<'_>, &Wakes) -> R) -> R {
    one().block_on(poll_fn(|_| {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        Poll::Ready(poll(&mut Context::from_waker(&waker), &wakes))
    }))
}

/// Polls `future`, always a new one, until it is pending.
fn exhaust<F: Future>(cx: &mut Context<'_>, future: impl Fn() -> F) -> u64 {
    let mut ready = 0;
    while pin!(future()).poll(cx).is_ready() {
        ready += 1;
        assert!(ready < 1_000_000_000, "the budget never ends");
    }
    ready
}

#[test]
fn the_budget_of_a_poll_ends() {
    in_a_poll(|cx, wakes| {
        assert!(coop::has_budget_remaining());
        assert!(exhaust(cx, coop::consume_budget) > 32);
        assert_eq!(wakes.count(), 1, "so that it comes back");
        assert!(!coop::has_budget_remaining());
        // Nothing that takes part goes on; what does not, does.
        let inner = Cell::new(0);
        let mut once = pin!(coop::cooperative(async { inner.set(inner.get() + 1) }));
        assert!(once.as_mut().poll(cx).is_pending());
        assert_eq!((inner.get(), wakes.count()), (0, 2));
        assert!(pin!(ready(())).poll(cx).is_ready());
        let mut free = pin!(unconstrained(coop::consume_budget()));
        assert!(free.as_mut().poll(cx).is_ready());
    });
    assert!(coop::has_budget_remaining(), "none outside");
}

#[test]
fn a_foreign_future_spends_what_it_completes() {
    in_a_poll(|cx, _| {
        // A future that waits spends nothing.
        for _ in 0..100_000 {
            assert!(pin!(coop::cooperative(std::future::pending::<()>())).poll(cx).is_pending());
        }
        assert!(coop::has_budget_remaining());
        assert!(exhaust(cx, || coop::cooperative(ready(()))) > 32);
    });
}

#[test]
fn a_loop_that_consumes_lets_others_run() {
    one().block_on(async {
        let ran = Arc::new(AtomicUsize::new(0));
        let theirs = ran.clone();
        let other = reiver::spawn(async move { theirs.fetch_add(1, SeqCst) });
        while ran.load(SeqCst) == 0 {
            coop::consume_budget().await;
        }
        other.await.unwrap();
    });
}

#[test]
fn local_tasks_have_a_budget_of_their_own() {
    let local = reiver::task::LocalSet::new();
    local.block_on(&one(), async {
        for _ in 0..3 {
            let budget = spawn_local(poll_fn(|cx| {
                let fresh = coop::has_budget_remaining();
                exhaust(cx, coop::consume_budget);
                Poll::Ready(fresh)
            }));
            assert!(budget.await.unwrap());
        }
    });
}

#[test]
fn auto_traits() {
    fn is_unpin<T: Unpin>() {}
    is_unpin::<coop::Coop<std::future::Ready<()>>>();
    is_unpin::<coop::Unconstrained<Pin<Box<dyn Future<Output = ()>>>>>();
}
