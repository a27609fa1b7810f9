//! Structured concurrency: scopes, `gather` and its kin, `JoinMap`, `shield`.

use reiver::runtime::{Builder, Handle, Runtime};
use reiver::sync::{Notify, oneshot};
use reiver::task::{
    self, AbortOnDropHandle, Child, Failure, Group, GroupError, JoinMap, StartError, Started, When,
    scope, yield_now,
};
use reiver::time::{Duration, Instant, sleep, timeout};
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Runs on every flavor, with the clock paused, and looks that no task is left.
#[track_caller]
fn on_all(test: impl AsyncFn()) {
    let mut builders = [Builder::new_current_thread(), Builder::new_multi_thread()];
    for builder in &mut builders {
        let runtime = builder.worker_threads(2).start_paused(true).build().unwrap();
        runtime.block_on(test());
        no_task_is_left(&runtime);
    }
}

#[track_caller]
fn no_task_is_left(runtime: &Runtime) {
    assert_eq!(runtime.handle().dump().iter().map(|t| t.name()).collect::<Vec<_>>(), []);
}

const SECOND: Duration = Duration::from_secs(1);

/// Counts itself out when dropped.
#[derive(Clone)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn dropped(&self) -> usize {
        self.0.load(SeqCst)
    }

    fn on_drop(&self) -> impl Drop + Send + use<> {
        struct OnDrop(Count);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.0.fetch_add(1, SeqCst);
            }
        }
        OnDrop(self.clone())
    }
}

#[test]
fn a_scope_waits_for_its_tasks_and_gives_their_values() {
    on_all(async || {
        let ended = Count::new();
        let sum = scope(async |group: Group<&str>| {
            for _ in 0..100 {
                let guard = ended.on_drop();
                drop(group.spawn(async move {
                    sleep(SECOND).await;
                    drop(guard);
                    Ok(())
                }));
            }
            let two = group.spawn(async { Ok(2) });
            let late = group.spawn(async {
                sleep(SECOND * 2).await;
                Ok(5)
            });
            assert_eq!(group.len(), 102);
            Ok(two.await.unwrap() + late.await.unwrap())
        });
        assert_eq!(sum.await.unwrap(), 7);
        assert_eq!(ended.dropped(), 100);
        assert_eq!(Handle::current().dump().len(), 0);
    });
}

#[test]
fn the_first_error_cancels_the_siblings_and_comes_with_the_others() {
    on_all(async || {
        let dropped = Count::new();
        let started = Instant::now();
        let result: Result<(), GroupError<String>> = Group::builder()
            .grace(SECOND)
            .run(async |group: Group<String>| {
                for n in 0..3 {
                    let guard = dropped.on_drop();
                    drop(group.spawn_named(&format!("idler {n}"), async move {
                        let _guard = guard;
                        pending::<Result<(), _>>().await
                    }));
                }
                drop(group.spawn(async {
                    task::cancelled().await;
                    Err::<(), _>("second".to_owned())
                }));
                drop(group.spawn(async {
                    sleep(SECOND).await;
                    Err::<(), _>("first".to_owned())
                }));
                pending().await
            })
            .await;
        let error = result.unwrap_err();
        assert_eq!(error.errors().collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(error.to_string(), "first; then: second");
        let mut names: Vec<_> = error.cancelled().iter().map(|task| task.name().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["idler 0", "idler 1", "idler 2"]);
        assert_eq!(dropped.dropped(), 3);
        assert!((SECOND * 2..SECOND * 3).contains(&started.elapsed()));
        assert_eq!(Handle::current().dump().len(), 0);
    });
}

#[test]
fn a_panic_is_a_failure_and_the_body_is_dropped() {
    on_all(async || {
        let dropped = Count::new();
        let error = scope(async |group: Group| {
            let _guard = dropped.on_drop();
            drop(group.spawn::<(), _>(async { panic!("no more beer") }));
            pending::<Result<(), _>>().await
        })
        .await
        .unwrap_err();
        assert!(matches!(error.failures(), [Failure::Panic(panic)] if panic.is_panic()));
        assert!(error.to_string().contains("no more beer"));
        assert_eq!(dropped.dropped(), 1);
    });
}

#[test]
fn an_error_of_the_body_cancels_and_a_value_is_kept_for_cancel() {
    on_all(async || {
        let error = scope(async |group: Group<u8>| {
            drop(group.spawn(pending::<Result<(), _>>()));
            Err::<(), _>(7)
        })
        .await
        .unwrap_err();
        assert_eq!(error.errors().collect::<Vec<_>>(), [&7]);
        assert_eq!(error.cancelled().len(), 1);

        let value = scope(async |group: Group| {
            drop(group.spawn(pending::<Result<(), _>>()));
            group.cancel();
            Ok(5)
        });
        assert_eq!(value.await.unwrap(), 5);

        // Cancelled by a task: the body has no value.
        let error = scope(async |group: Group| {
            let own = group.clone();
            drop(group.spawn(async move {
                own.cancel();
                Ok(())
            }));
            pending::<Result<(), _>>().await
        })
        .await
        .unwrap_err();
        assert!(error.failures().is_empty());
        assert_eq!(error.to_string(), "the group was cancelled");
    });
}

#[test]
fn tasks_spawn_siblings_and_nobody_does_when_it_is_over() {
    on_all(async || {
        fn tree(group: &Group, depth: u32, leaves: &Arc<AtomicUsize>) {
            if depth == 0 {
                leaves.fetch_add(1, SeqCst);
                return;
            }
            for _ in 0..2 {
                let (own, leaves) = (group.clone(), leaves.clone());
                drop(group.spawn(async move {
                    yield_now().await;
                    tree(&own, depth - 1, &leaves);
                    Ok(())
                }));
            }
        }
        let leaves = Arc::new(AtomicUsize::new(0));
        let group = scope(async |group: Group| {
            tree(&group, 8, &leaves);
            Ok(group)
        })
        .await
        .unwrap();
        assert_eq!(leaves.load(SeqCst), 256);
        let refused: Child<()> = group.spawn(async { panic!("it is not polled") });
        assert!(refused.is_finished());
        assert!(refused.await.is_err());
        assert!(group.is_empty());
    });
}

#[test]
fn the_deadline_of_a_group_asks_then_drops() {
    on_all(async || {
        let started = Instant::now();
        let cleaned = Count::new();
        let error = Group::builder()
            .timeout(SECOND)
            .grace(SECOND)
            .run(async |group: Group| {
                let cleans = cleaned.on_drop();
                drop(group.spawn(async move {
                    task::cancelled().await;
                    // Cleaning up may wait.
                    sleep(SECOND / 2).await;
                    drop(cleans);
                    Ok(())
                }));
                drop(group.spawn_named("overruns", async {
                    task::cancelled().await;
                    pending::<Result<(), _>>().await
                }));
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(matches!(error.failures(), [Failure::Deadline]));
        assert_eq!(error.cancelled().len(), 1);
        assert_eq!(error.cancelled()[0].name(), Some("overruns"));
        assert_eq!(cleaned.dropped(), 1);
        assert!((SECOND * 2..SECOND * 3).contains(&started.elapsed()));
    });
}

#[test]
fn children_inherit_the_deadline_and_the_request_and_others_do_not() {
    on_all(async || {
        assert_eq!(task::deadline(), None);
        assert!(!task::cancel_requested());
        let outer = Instant::now() + SECOND * 5;
        task::timeout_scope_at(outer, async {
            scope(async |group: Group| {
                assert_eq!(task::deadline(), Some(outer));
                let child = group.spawn(async move {
                    let inner = Group::builder().timeout(SECOND * 60);
                    Ok(inner.run(async |_: Group| Ok(task::deadline())).await.unwrap())
                });
                assert_eq!(child.await.unwrap(), Some(outer));
                let alone = reiver::spawn(async { task::deadline() });
                assert_eq!(alone.await.unwrap(), None);
                assert_eq!(task::shield(async { task::deadline() }).await, None);
                Ok(())
            })
            .await
            .unwrap();
        })
        .await
        .unwrap();

        // A request goes down through a scope inside a task of the scope.
        let seen = scope(async |outer: Group| {
            let child = outer.spawn(async {
                let grace = Group::builder().grace(SECOND);
                grace
                    .run(async |_: Group| {
                        task::cancelled().await;
                        Ok("seen")
                    })
                    .await
                    .map_err(|_| "dropped".into())
            });
            yield_now().await;
            sleep(SECOND).await;
            outer.cancel();
            let late = Group::builder().grace(SECOND).run(async |_: Group| Ok(())).await;
            assert!(late.is_ok());
            Ok(child)
        });
        // The outer one has no grace period: the child is dropped while it looks.
        drop(seen.await.unwrap());
    });
}

#[test]
fn a_timeout_scope_asks_first_when_there_is_grace() {
    on_all(async || {
        let late = task::timeout_scope(SECOND, async {
            task::cancelled().await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(task::timeout_scope(Duration::MAX, async { task::deadline() }).await, Ok(None));

        let result = Group::builder()
            .grace(SECOND)
            .run(async |_: Group| {
                let cleaned = task::timeout_scope(SECOND, async {
                    task::cancelled().await;
                    sleep(SECOND / 2).await;
                    "cleaned"
                });
                Ok(cleaned.await?)
            })
            .await;
        assert_eq!(result.unwrap(), "cleaned");
    });
}

#[test]
fn start_waits_for_the_task_to_be_ready() {
    on_all(async || {
        scope(async |group: Group<&'static str>| {
            let stop = Arc::new(Notify::new());
            let stopped = stop.clone();
            let port = group.start(async move |started: Started<u16>| {
                sleep(SECOND).await;
                started.set(80);
                stopped.notified().await;
                Ok(())
            });
            assert_eq!(port.await, Ok(80));
            assert_eq!(group.len(), 1);
            stop.notify_one();

            let failed = group.start(async |_started: Started<()>| Err("no port"));
            assert_eq!(failed.await, Err(StartError::Failed("no port")));
            let ended = group.start(async |_started: Started<()>| Ok(()));
            assert_eq!(ended.await, Err(StartError::NotStarted));
            assert!(!task::cancel_requested(), "the group goes on");

            // Given up before it has started.
            let never = group.start(async |_started: Started<()>| pending().await);
            assert!(timeout(SECOND, never).await.is_err());
            drop(group.start(async |_started: Started<()>| pending().await));
            Ok(())
        })
        .await
        .unwrap();

        let error = scope(async |group: Group<&'static str>| {
            let port = group.start(async |started: Started<()>| {
                started.set(());
                Err("later")
            });
            port.await.unwrap();
            pending::<Result<(), _>>().await
        })
        .await
        .unwrap_err();
        assert_eq!(error.errors().collect::<Vec<_>>(), [&"later"]);
    });
}

#[test]
fn one_child_can_be_aborted_alone() {
    on_all(async || {
        let value = scope(async |group: Group| {
            let idler = group.spawn(pending::<Result<(), _>>());
            idler.abort();
            assert!(idler.await.is_err());
            Ok(1)
        });
        assert_eq!(value.await.unwrap(), 1);
    });
}

#[test]
fn a_scope_that_is_dropped_aborts_its_tasks() {
    on_all(async || {
        let dropped = Count::new();
        // Before the first poll nothing runs.
        drop(scope(async |_: Group| -> Result<(), _> { unreachable!() }));
        let guard = dropped.on_drop();
        let given_up = timeout(
            SECOND,
            scope(async |group: Group| {
                drop(group.spawn(async move {
                    let _guard = guard;
                    pending::<Result<(), _>>().await
                }));
                pending::<Result<(), _>>().await
            }),
        );
        assert!(given_up.await.is_err());
        while Handle::current().metrics().num_alive_tasks() > 0 {
            yield_now().await;
        }
        assert_eq!(dropped.dropped(), 1);
    });
}

#[test]
fn a_scope_may_borrow_and_run_inside_a_task() {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let task = runtime.spawn(async {
        let mut values = vec![1, 2];
        let borrowed = &mut values;
        scope(|group: Group| async move {
            let three = group.spawn(async { Ok(3) });
            borrowed.push(three.await?);
            Ok(())
        })
        .await
        .unwrap();
        values
    });
    assert_eq!(runtime.block_on(task).unwrap(), [1, 2, 3]);
}

#[test]
fn gather_keeps_the_order_and_stops_at_a_panic() {
    on_all(async || {
        let started = Instant::now();
        let all = task::gather((0..1000u64).map(|n| async move {
            sleep(Duration::from_millis(1000 - n)).await;
            n
        }));
        assert!(all.await.into_iter().eq(0..1000));
        assert!(started.elapsed() < SECOND * 2);
        assert!(task::gather(Vec::<std::future::Ready<()>>::new()).await.is_empty());
        // As values.
        let values = task::gather([Ok(1), Err("two")].map(|r| async move { r })).await;
        assert_eq!(values, [Ok(1), Err("two")]);

        let dropped = Count::new();
        let guard = dropped.on_drop();
        let panics = reiver::spawn(async move {
            let mut guard = Some(guard);
            task::gather((0..2).map(move |n| {
                let guard = guard.take();
                async move {
                    let _guard = guard;
                    if n == 1 { panic!("one") } else { pending::<()>().await }
                }
            }))
            .await
        });
        assert!(panics.await.unwrap_err().is_panic());
        while dropped.dropped() == 0 {
            yield_now().await;
        }
    });
}

#[test]
fn try_gather_ends_the_rest_before_it_returns() {
    on_all(async || {
        let dropped = Count::new();
        let guards: Vec<_> = (0..10).map(|_| dropped.on_drop()).collect();
        let error = task::try_gather(guards.into_iter().enumerate().map(|(n, guard)| async move {
            let _guard = guard;
            if n == 5 { Err(n) } else { pending::<Result<(), _>>().await }
        }));
        assert_eq!(error.await, Err(5));
        assert_eq!(dropped.dropped(), 10);
        let good = task::try_gather((0..3).map(|n| async move { Ok::<_, ()>(n) }));
        assert_eq!(good.await, Ok(vec![0, 1, 2]));
        // Given up: the rest is aborted.
        let idle = task::try_gather([pending::<Result<(), ()>>()]);
        assert!(timeout(SECOND, idle).await.is_err());
        while Handle::current().metrics().num_alive_tasks() > 0 {
            yield_now().await;
        }
    });
}

#[test]
fn as_completed_comes_in_the_order_of_the_ends() {
    on_all(async || {
        let mut all = task::as_completed((0..4u32).map(|n| async move {
            sleep(SECOND * (4 - n)).await;
            assert_ne!(n, 2, "two");
            n
        }));
        let mut ends = Vec::new();
        assert!(timeout(SECOND / 2, all.next()).await.is_err());
        while let Some((place, result)) = all.next().await {
            ends.push((place, result.ok()));
        }
        assert_eq!(ends, [(3, Some(3)), (2, None), (1, Some(1)), (0, Some(0))]);
        assert!(all.is_empty());
    });
}

#[test]
fn wait_gives_back_what_has_not_ended() {
    on_all(async || {
        let spawn = || -> Vec<_> {
            let slow = |n| {
                reiver::spawn(async move {
                    sleep(SECOND * n).await;
                    assert_ne!(n, 2);
                    n
                })
            };
            (1..=4).map(slow).collect()
        };
        let mut tasks = spawn();
        let ids: Vec<_> = tasks.iter().map(|task| task.id()).collect();
        let done = task::wait(&mut tasks, When::FirstCompleted).await;
        assert_eq!((done[0].0, done.len()), (ids[0], 1));
        assert!(tasks.iter().map(|task| task.id()).eq(ids[1..].iter().copied()));
        // Given up: nothing is lost.
        assert!(timeout(SECOND / 2, task::wait(&mut tasks, When::FirstCompleted)).await.is_err());
        assert_eq!(tasks.len(), 3);
        assert!(timeout(SECOND * 2, task::wait(&mut tasks, When::All)).await.is_err());
        assert_eq!(tasks.iter().filter(|task| task.is_finished()).count(), 2);
        let done = task::wait(&mut tasks, When::All).await;
        let done: Vec<_> = done.into_iter().map(|(_, result)| result.ok()).collect();
        assert_eq!(done, [None, Some(3), Some(4)]);
        assert!(task::wait(&mut tasks, When::All).await.is_empty());

        let mut tasks = spawn();
        let done = task::wait(&mut tasks, When::FirstError).await;
        assert_eq!((done.len(), tasks.len()), (2, 2));
        assert!(done[1].1.as_ref().unwrap_err().is_panic());
        let left = task::wait_until(&mut tasks, |result| matches!(result, Ok(4))).await;
        assert_eq!(left.len(), 2);
    });
}

#[test]
fn a_shield_goes_on_when_nobody_waits() {
    on_all(async || {
        drop(task::shield(async { panic!("never polled, never run") }));
        let (tx, mut rx) = oneshot::channel();
        let shielded = task::shield(async {
            sleep(SECOND * 2).await;
            tx.send(7).unwrap();
        });
        assert!(timeout(SECOND, shielded).await.is_err());
        assert!(rx.try_recv().is_err());
        assert_eq!(rx.await, Ok(7));
        assert_eq!(task::shield(async { 1 }).await, 1);
        let panics = reiver::spawn(task::shield(async { panic!("through") }));
        assert!(panics.await.unwrap_err().is_panic());
        yield_now().await;
        while Handle::current().metrics().num_alive_tasks() > 0 {
            yield_now().await;
        }
    });
}

#[test]
fn a_join_map_has_one_task_a_key() {
    on_all(async || {
        let mut map = JoinMap::new();
        assert!(map.join_next().await.is_none());
        let dropped = Count::new();
        let guard = dropped.on_drop();
        map.spawn("a", async move {
            let _guard = guard;
            pending().await
        });
        map.spawn("b", async { 2 });
        map.spawn_blocking("c", || 3);
        map.spawn_on("a", async { 1 }, &Handle::current());
        assert_eq!(map.len(), 3);
        let mut all = Vec::new();
        while let Some((key, value)) = map.join_next().await {
            all.push((key, value.unwrap()));
        }
        all.sort();
        assert_eq!(all, [("a", 1), ("b", 2), ("c", 3)]);
        while dropped.dropped() == 0 {
            yield_now().await;
        }

        for key in ["x1", "x2", "y"] {
            map.spawn(key, pending());
        }
        assert!(map.contains_key(&"y") && !map.contains_key(&"z"));
        assert!(map.abort(&"x1") && !map.abort(&"z"));
        map.abort_matching(|key| key.starts_with('x'));
        for _ in 0..2 {
            let (key, ended) = map.join_next().await.unwrap();
            assert!(key.starts_with('x') && ended.unwrap_err().is_cancelled());
        }
        assert!(map.keys().eq(&["y"]));
        map.shutdown().await;
        assert!(map.is_empty());
        map.spawn("d", async { 4 });
        map.detach_all();
        assert!(map.is_empty() && map.join_next().await.is_none());
        map.spawn("e", pending());
        drop(map);
        while Handle::current().metrics().num_alive_tasks() > 0 {
            yield_now().await;
        }
    });
}

#[test]
fn a_handle_can_end_its_task() {
    on_all(async || {
        let dropped = Count::new();
        let guard = dropped.on_drop();
        drop(AbortOnDropHandle::new(reiver::spawn(async move {
            let _guard = guard;
            pending::<()>().await
        })));
        while dropped.dropped() == 0 {
            yield_now().await;
        }
        let mut handle = AbortOnDropHandle::from(reiver::spawn(async {
            sleep(SECOND).await;
            1
        }));
        assert!(timeout(SECOND / 2, &mut handle).await.is_err());
        assert!(!handle.is_finished());
        assert_eq!(handle.detach().await.unwrap(), 1);
    });
}

/// A body that always finds something to do keeps neither its scope's deadline from being looked at, nor a failure of
/// a child.
#[test]
fn a_body_that_never_waits_is_ended_too() {
    let busy = async |_: &Group<&str>| {
        loop {
            task::consume_budget().await;
        }
    };
    for workers in [1, 2] {
        let runtime = Builder::new_multi_thread().worker_threads(workers).build().unwrap();
        runtime.block_on(async {
            let limited = Group::builder().timeout(Duration::from_millis(20));
            let result: Result<(), _> = limited.run(async |group| busy(&group).await).await;
            assert!(matches!(result.unwrap_err().failures(), [Failure::Deadline]));
            let result: Result<(), _> = scope(async |group: Group<&str>| {
                drop(group.spawn(async { Err::<(), _>("a child's") }));
                busy(&group).await
            })
            .await;
            assert!(matches!(result.unwrap_err().failures(), [Failure::Error("a child's")]));
        });
    }
}

#[test]
fn waiting_for_an_output_that_was_taken_says_so_and_keeps_the_others() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut tasks = vec![reiver::spawn(async { 1 }), reiver::spawn(async { 2 })];
        assert_eq!((&mut tasks[1]).await.unwrap(), 2);
        for when in [When::All, When::FirstCompleted, When::FirstError] {
            let mut waits = Box::pin(task::wait(&mut tasks, when));
            let polled = std::future::poll_fn(|cx| {
                let poll = std::panic::AssertUnwindSafe(|| waits.as_mut().poll(cx).is_ready());
                std::task::Poll::Ready(std::panic::catch_unwind(poll))
            });
            let panic = *polled.await.unwrap_err().downcast::<&str>().unwrap();
            assert!(panic.contains("after it gave the output"), "{panic}");
            drop(waits);
            assert_eq!(tasks.len(), 2);
        }
        assert_eq!(tasks.remove(0).await.unwrap(), 1);
    });
}
