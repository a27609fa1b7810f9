//! What tasks know and inherit: inherited locals, `current`, `all_tasks`, calls at a time.

mod support;

use reiver::hyper::{HyperExecutor, HyperTimer};
use reiver::runtime::{Builder, EnterGuard, Handle, Runtime};
use reiver::sync::{mpsc, watch};
use reiver::task::{self, AccessError, JoinSet, LocalSet, spawn_local};
use reiver::time::{Duration, Instant, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use support::parked;

reiver::task_local! {
    static inherit REQUEST: u32;
    static inherit USER: String;
    /// Not inherited, beside others that are.
    static DEPTH: u32;
    static inherit NOTED: Noted
}

/// Sees another local when it is dropped.
struct Noted(Arc<AtomicUsize>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn request() -> Result<u32, AccessError> {
    REQUEST.try_get()
}

/// Guards that belong to a thread are lent to others, but not given away.
#[test]
fn guards_of_a_thread_are_sync_and_not_send() {
    /// Has two `check`s for what is `Send`, of which the compiler cannot choose one.
    trait NotSend<Choice> {
        fn check() {}
    }
    struct IsSend;
    impl<T> NotSend<()> for T {}
    impl<T: Send> NotSend<IsSend> for T {}
    fn is_sync<T: Sync>() {}

    <EnterGuard<'_> as NotSend<_>>::check();
    is_sync::<EnterGuard<'_>>();
    <reiver::task::coop::RestoreOnPending as NotSend<_>>::check();
    <watch::Ref<'_, u8> as NotSend<_>>::check();
    is_sync::<watch::Ref<'_, u8>>();
}

#[test]
fn spawned_tasks_and_jobs_inherit_and_others_do_not() {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let outside = runtime.block_on(async {
        REQUEST
            .scope(7, async {
                DEPTH
                    .scope(1, async {
                        let task = reiver::spawn(async {
                            assert!(DEPTH.try_get().is_err());
                            let job = task::spawn_blocking(|| reiver::spawn(async { request() }));
                            let below = job.await.unwrap().await.unwrap();
                            (request(), below)
                        });
                        assert_eq!(task.await.unwrap(), (Ok(7), Ok(7)));
                        let mut set = JoinSet::new();
                        set.spawn_on(async { request() }, &Handle::current());
                        set.build_task().name("named").spawn(async { request() }).unwrap();
                        while let Some(inherited) = set.join_next().await {
                            assert_eq!(inherited.unwrap(), Ok(7));
                        }
                        let gathered = task::gather((0..3).map(|_| async { request() })).await;
                        assert_eq!(gathered, [Ok(7); 3]);
                    })
                    .await;
                // A task that is polled on this thread meanwhile has its own.
                task::yield_now().await;
                assert_eq!(request(), Ok(7));
            })
            .await;
        reiver::spawn(async { request() }).await.unwrap()
    });
    assert!(outside.is_err());
    // A thread's scope reaches a `block_on` in it, and what that spawns.
    let inherited = REQUEST.sync_scope(8, || {
        runtime.block_on(async { (request(), reiver::spawn(async { request() }).await.unwrap()) })
    });
    assert_eq!(inherited, (Ok(8), Ok(8)));
    assert!(request().is_err());
}

#[test]
fn local_tasks_inherit_too_and_inner_scopes_hide_outer_ones() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let outer = REQUEST.scope(1, async {
            let inner = REQUEST.scope(2, async {
                USER.scope("ada".into(), async {
                    spawn_local(async { (request(), USER.get()) }).await.unwrap()
                })
                .await
            });
            let inner = inner.await;
            (inner, request(), USER.try_get().is_err())
        });
        assert_eq!(outer.await, ((Ok(2), "ada".to_owned()), Ok(1), true));
    });
}

#[test]
fn a_task_that_runs_inside_of_another_ones_poll_sees_its_own() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let handle = runtime.handle().clone();
    let plain = runtime.spawn(async move {
        REQUEST
            .scope(1, async move {
                // This worker's stand-in polls the task of nobody's request.
                task::block_in_place(|| {
                    let theirs = std::thread::spawn(move || {
                        let task = handle.spawn(async { request() });
                        handle.block_on(task).unwrap()
                    });
                    (theirs.join().unwrap(), request())
                })
            })
            .await
    });
    let (theirs, ours) = runtime.block_on(plain).unwrap();
    assert!(theirs.is_err());
    assert_eq!(ours, Ok(1));
}

#[test]
fn the_value_is_shared_and_dropped_with_the_last_that_sees_it() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    struct SeesOnDrop;
    impl Drop for SeesOnDrop {
        fn drop(&mut self) {
            assert!(NOTED.try_with(|_| ()).is_ok(), "it is set in drops too");
        }
    }
    runtime.block_on(async {
        let mut task = None;
        NOTED
            .scope(Noted(drops.clone()), async {
                let _sees = SeesOnDrop;
                task = Some(reiver::spawn(async {
                    let _sees = SeesOnDrop;
                    std::future::pending::<()>().await
                }));
            })
            .await;
        let task = task.unwrap();
        task::yield_now().await;
        assert_eq!(drops.load(SeqCst), 0);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(drops.load(SeqCst), 1);
        // Dropped before and after its first poll.
        drop(NOTED.scope(Noted(drops.clone()), async {}));
        let mut given_up = Box::pin(NOTED.scope(Noted(drops.clone()), async {
            let _sees = SeesOnDrop;
            std::future::pending::<()>().await
        }));
        assert!(reiver::time::timeout(Duration::ZERO, &mut given_up).await.is_err());
        drop(given_up);
        assert_eq!(drops.load(SeqCst), 3);
    });
}

#[test]
fn a_task_knows_itself_and_all_are_listed() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        assert!(task::current().is_none());
        let known = task::Builder::new().name("knows").spawn(async {
            let me = task::current().unwrap();
            assert_eq!(me.id(), task::id());
            assert!(me.location().file().ends_with("context.rs"));
            assert!(task::all_tasks().iter().any(|task| task.id() == me.id()));
            // Asked to end by itself: at its next wait.
            me.abort();
            std::future::pending::<()>().await
        });
        assert!(known.unwrap().await.unwrap_err().is_cancelled());
        let idle = reiver::spawn(std::future::pending::<()>());
        let all = task::all_tasks();
        assert_eq!(all.iter().map(|task| task.id()).collect::<Vec<_>>(), [idle.id()]);
        assert!(!all[0].is_finished());
        all[0].abort();
        assert!(idle.await.unwrap_err().is_cancelled());
        assert!(all[0].is_finished());
        assert!(task::all_tasks().is_empty());
    });
}

#[test]
fn calls_are_made_in_their_order_and_at_their_time() {
    let runtime = Builder::new_current_thread().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let handle = Handle::current();
        let (tx, mut rx) = mpsc::unbounded_channel();
        let say = |what: &'static str| {
            let tx = tx.clone();
            move || tx.send((what, Instant::now())).unwrap()
        };
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let third = handle.call_later(second * 3, say("3 s"));
        assert_eq!(third.when(), Some(start + second * 3));
        handle.call_at(start + second, say("at 1 s"));
        handle.call_soon(say("first"));
        assert_eq!(handle.call_soon(say("second")).when(), None);
        handle.call_at(start, say("past"));
        let never = handle.call_later(second * 2, say("never"));
        assert!(never.cancel() && never.cancel() && never.is_cancelled());
        let (count, mut counted) = mpsc::unbounded_channel();
        for n in 0..100 {
            let count = count.clone();
            handle.call_soon(move || count.send(n).unwrap());
        }
        drop((tx, count));
        let mut numbers = Vec::new();
        counted.recv_many(&mut numbers, 1).await;
        while counted.recv_many(&mut numbers, 100).await > 0 {}
        assert!(numbers.into_iter().eq(0..100));
        let mut said = Vec::new();
        while let Some((what, at)) = rx.recv().await {
            let after = at.duration_since(start);
            assert!(after < second || what.contains(&format!("{} s", after.as_secs())), "{what}");
            said.push(what);
        }
        assert_eq!(said, ["first", "second", "past", "at 1 s", "3 s"]);
        assert!(!third.cancel() && !third.is_cancelled() && third.is_finished());
        // Nothing is left of the one that was cancelled.
        assert!(never.is_finished());
        sleep(second).await;
        assert!(task::all_tasks().is_empty());
    });
}

/// A future with a home finds it under an executor that knows no runtime, and inside another runtime.
#[test]
fn a_wrapped_future_has_its_runtime_everywhere() {
    let home = Builder::new_multi_thread().worker_threads(1).name("home").build().unwrap();
    let errand = |home: &Runtime| {
        home.handle().wrap(async {
            reiver::time::sleep(Duration::from_millis(1)).await;
            let name = reiver::spawn(async { Handle::current().name().map(str::to_owned) });
            name.await.unwrap()
        })
    };
    assert_eq!(parked(errand(&home)).as_deref(), Some("home"));
    assert!(Handle::try_current().is_err());
    let other = Builder::new_current_thread().name("other").build().unwrap();
    let (errand, own) = (errand(&home), async { Handle::current().name().map(str::to_owned) });
    let names = other.block_on(async { (errand.await, own.await) });
    assert_eq!((names.0.as_deref(), names.1.as_deref()), (Some("home"), Some("other")));
    drop(other);
}

#[test]
fn hyper_gets_timers_and_tasks_of_a_given_runtime() {
    use hyper::rt::{Executor, Timer};
    let home = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let timer = HyperTimer::on(home.handle().clone());
    let begin = timer.now();
    let mut nap = timer.sleep(Duration::from_secs(600));
    timer.reset(&mut nap, begin + Duration::from_millis(1));
    parked(nap);
    assert!(timer.now() >= begin + Duration::from_millis(1));
    let (tx, rx) = std::sync::mpsc::channel();
    HyperExecutor::on(home.handle().clone())
        .execute(async move { tx.send(Handle::current().id()) });
    assert_eq!(rx.recv().unwrap(), home.handle().id());
}
