//! `JoinSet`: ends in the order in which they come, counted polls and wakes, and what is left behind.

mod support;

use reiver::runtime::{Builder, Handle, Runtime};
use reiver::task::{JoinSet, LocalSet, yield_now};
use std::collections::HashSet;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use support::Wakes;

fn one() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn two() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

/// A future that ends when told to.
#[derive(Clone, Default)]
struct Signal(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Signal {
    fn set(&self) {
        self.0.0.store(true, SeqCst);
        let waker = self.0.1.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Signal {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        *self.0.1.lock().unwrap() = Some(cx.waker().clone());
        if self.0.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Gives way until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// The tasks that have not ended.
fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Counts its drops.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn outputs_come_in_the_order_of_the_ends() {
    one().block_on(async {
        let signals: [Signal; 4] = Default::default();
        let mut set = JoinSet::new();
        let mut ids = Vec::new();
        for (n, signal) in signals.iter().cloned().enumerate() {
            let abort = set.spawn(async move {
                signal.await;
                n
            });
            ids.push(abort.id());
        }
        assert_eq!(set.len(), 4);
        assert!(set.try_join_next().is_none());
        for n in [2, 0, 3, 1] {
            signals[n].set();
            let (id, output) = set.join_next_with_id().await.unwrap().unwrap();
            assert_eq!((id, output), (ids[n], n));
        }
        assert!(set.is_empty());
        assert!(set.join_next().await.is_none());
        assert!(set.join_next_with_id().await.is_none());
    });
}

#[test]
fn ten_thousand_members_cost_one_poll_for_each_end_and_no_more() {
    const MEMBERS: usize = 10_000;
    one().block_on(async {
        let signal = Signal::default();
        let mut set = JoinSet::new();
        set.spawn({
            let signal = signal.clone();
            async move {
                signal.await;
                usize::MAX
            }
        });
        let polls = Arc::new(AtomicUsize::new(0));
        for n in 0..MEMBERS {
            let polls = polls.clone();
            set.spawn(async move {
                polls.fetch_add(1, SeqCst);
                n
            });
        }
        let mut seen = HashSet::new();
        let mut looks = 0;
        while seen.len() < MEMBERS {
            let next = poll_fn(|cx| {
                looks += 1;
                set.poll_join_next(cx)
            });
            assert!(seen.insert(next.await.unwrap().unwrap()));
        }
        assert_eq!(polls.load(SeqCst), MEMBERS);
        // Each look beyond the first of an end was woken by another end, or by the end of a slice.
        assert!(looks <= 2 * MEMBERS, "{looks}");
        signal.set();
        assert_eq!(set.join_next().await.unwrap().unwrap(), usize::MAX);
    });
}

#[test]
fn the_waiter_is_woken_once_for_many_ends() {
    let runtime = one();
    let signals: [Signal; 3] = Default::default();
    let mut set = JoinSet::new();
    for signal in &signals {
        set.spawn_on(signal.clone(), runtime.handle());
    }
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    // A waker of the past is not woken.
    let before = Arc::new(Wakes::default());
    let waker = Waker::from(before.clone());
    assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
    assert!(set.poll_join_next(&mut cx).is_pending());
    assert!(set.poll_join_next(&mut cx).is_pending());
    signals.iter().for_each(Signal::set);
    runtime.block_on(until(|| alive() == 0));
    assert_eq!(wakes.count(), 1);
    for _ in 0..3 {
        assert!(matches!(set.poll_join_next(&mut cx), Poll::Ready(Some(Ok(())))));
    }
    assert!(matches!(set.poll_join_next(&mut cx), Poll::Ready(None)));
    assert_eq!((wakes.count(), before.count()), (1, 0));
    assert_eq!(Arc::strong_count(&before), 2, "only the test's own waker is left");
}

#[test]
fn ends_from_many_threads_are_all_found() {
    let runtime = two();
    for round in 0..20 {
        let mut outputs = runtime.block_on(async {
            let mut set: JoinSet<usize> = (0..200)
                .map(|n| async move {
                    if n % 3 == 0 {
                        yield_now().await;
                    }
                    n
                })
                .collect();
            let mut outputs = Vec::new();
            while let Some(output) = set.join_next().await {
                outputs.push(output.unwrap());
                // Slots are used again while others end.
                if outputs.len() % 10 == 0 && outputs.len() <= 200 {
                    set.spawn(async move { 1000 + round });
                }
            }
            outputs
        });
        outputs.sort_unstable();
        let added = outputs.iter().filter(|n| **n == 1000 + round).count();
        assert_eq!((outputs.len(), added), (200 + added, 20));
        assert_eq!(outputs[..200], (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn a_panic_and_an_abort_are_errors_with_ids() {
    one().block_on(async {
        let mut set = JoinSet::new();
        let panics = set.spawn(async { panic!("told to") });
        let error = set.join_next_with_id().await.unwrap().unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.id(), panics.id());

        let waits = set.spawn(pending::<()>());
        waits.abort();
        let error = set.join_next_with_id().await.unwrap().unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.id(), waits.id());
    });
}

#[test]
fn join_all_gives_the_outputs_or_the_panic() {
    let runtime = two();
    let set: JoinSet<_> = {
        let _guard = runtime.enter();
        (0..50).map(|n| async move { n }).collect()
    };
    let mut outputs = runtime.block_on(set.join_all());
    outputs.sort_unstable();
    assert_eq!(outputs, (0..50).collect::<Vec<_>>());

    let mut set = JoinSet::new();
    set.spawn_on(async { panic!("told to") }, runtime.handle());
    let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(set.join_all()))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"told to"));

    let mut set = JoinSet::new();
    set.spawn_on(pending::<()>(), runtime.handle()).abort();
    let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(set.join_all()))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("was cancelled"));
}

#[test]
fn dropping_the_set_ends_its_tasks() {
    let runtime = one();
    let drops = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for n in 0..4 {
            let dropped = Dropped(drops.clone());
            set.spawn(async move {
                if n % 2 == 0 {
                    pending::<()>().await;
                }
                dropped
            });
        }
        until(|| alive() == 2).await;
        assert_eq!(drops.load(SeqCst), 0);
        // Two futures wait, two outputs were not joined.
        drop(set);
        assert_eq!(drops.load(SeqCst), 2, "the outputs");
        until(|| alive() == 0).await;
        assert_eq!(drops.load(SeqCst), 4, "the futures");
    });
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
}

#[test]
fn shutdown_waits_for_the_ends() {
    two().block_on(async {
        let drops = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..100 {
            let dropped = Dropped(drops.clone());
            set.spawn(async move {
                pending::<()>().await;
                drop(dropped);
            });
        }
        set.shutdown().await;
        assert_eq!(drops.load(SeqCst), 100);
        assert!(set.is_empty());
        assert_eq!(alive(), 0);
        set.spawn(async {});
        assert_eq!(set.len(), 1);
    });
}

#[test]
fn abort_all_leaves_the_tasks_to_be_joined() {
    one().block_on(async {
        let mut set = JoinSet::new();
        set.spawn(async {});
        set.spawn(pending::<()>());
        until(|| alive() == 1).await;
        set.abort_all();
        let first = set.join_next().await.unwrap();
        assert!(first.is_ok(), "it had ended before");
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(set.is_empty());
    });
}

#[test]
fn detached_tasks_go_on_and_do_not_come_back() {
    one().block_on(async {
        let (signal, ran) = (Signal::default(), Arc::new(AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        let task = |signal: Signal| {
            let ran = ran.clone();
            async move {
                signal.await;
                ran.fetch_add(1, SeqCst);
            }
        };
        set.spawn(task(signal.clone()));
        set.spawn(async {});
        until(|| alive() == 1).await;
        set.detach_all();
        assert!(set.is_empty());
        assert!(set.try_join_next().is_none());
        // In the slot of the first.
        let later = set.spawn(async {});
        signal.set();
        assert_eq!(set.join_next_with_id().await.unwrap().unwrap().0, later.id());
        until(|| alive() == 0).await;
        assert_eq!(ran.load(SeqCst), 1);
        assert!(set.join_next().await.is_none());
    });
}

#[test]
fn many_ready_members_give_way_to_others() {
    one().block_on(async {
        let mut set: JoinSet<()> = (0..50_000).map(|_| async {}).collect();
        until(|| alive() == 0).await;
        let done = Arc::new(AtomicBool::new(false));
        let other = reiver::spawn({
            let done = done.clone();
            async move { done.load(SeqCst) }
        });
        let joined = Arc::new(AtomicUsize::new(0));
        while set.join_next().await.is_some() {
            joined.fetch_add(1, SeqCst);
        }
        done.store(true, SeqCst);
        assert_eq!(joined.load(SeqCst), 50_000);
        // A runner in this loop with no budget would have been done before the other's first poll.
        assert!(!other.await.unwrap());
    });
}

#[test]
fn local_tasks_in_a_set() {
    let (runtime, local) = (one(), LocalSet::new());
    let mut set = JoinSet::new();
    set.spawn_local_on(async { Rc::new(1) }, &local);
    set.build_task().name("second").spawn_local_on(async { Rc::new(2) }, &local).unwrap();
    let mut values = local.block_on(&runtime, async move {
        set.spawn_local(async { Rc::new(3) });
        set.build_task().spawn_local(async { Rc::new(4) }).unwrap();
        let mut values = Vec::new();
        while let Some(value) = set.join_next().await {
            values.push(*value.unwrap());
        }
        values
    });
    values.sort_unstable();
    assert_eq!(values, [1, 2, 3, 4]);
}

#[test]
fn auto_traits() {
    fn assert<T: Send + Sync + Unpin>() {}
    assert::<JoinSet<std::cell::Cell<u32>>>();
}

#[test]
fn a_set_outlives_its_runtime() {
    let runtime = two();
    let mut set = JoinSet::new();
    for _ in 0..10 {
        set.spawn_on(pending::<()>(), runtime.handle());
    }
    let handle = runtime.handle().clone();
    drop(runtime);
    set.spawn_on(pending::<()>(), &handle);
    for _ in 0..11 {
        assert!(set.try_join_next().unwrap().unwrap_err().is_cancelled());
    }
    assert!(set.is_empty());
}
