//! What the scheduler promises, seen from outside.

use reiver::runtime::{
    Builder, Handle, Rescue, Runtime, RuntimeFlavor, is_rt_shutdown_err, worker_index,
};
use reiver::task::{self, yield_now};
use reiver::time::sleep;
use std::collections::HashSet;
use std::future::{Future, pending, poll_fn};
use std::panic;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn two() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn one() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// A future that shows its waker and ends when told to.
#[derive(Clone, Default)]
struct Signal(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Signal {
    fn set(&self) {
        self.0.0.store(true, SeqCst);
        if let Some(waker) = self.0.1.lock().unwrap().take() {
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

#[test]
fn every_task_runs_once_wherever_it_is_spawned() {
    for runtime in [one(), two()] {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = || {
            let ran = ran.clone();
            async move { ran.fetch_add(1, SeqCst) }
        };
        let outside: Vec<_> = (0..1000).map(|_| runtime.spawn(count())).collect();
        runtime.block_on(async {
            let inside: Vec<_> = (0..1000).map(|_| reiver::spawn(count())).collect();
            let nested = reiver::spawn({
                let tasks: Vec<_> = (0..1000).map(|_| count()).collect();
                async move {
                    for task in tasks.into_iter().map(reiver::spawn) {
                        task.await.unwrap();
                    }
                }
            });
            for task in outside.into_iter().chain(inside) {
                task.await.unwrap();
            }
            nested.await.unwrap();
        });
        assert_eq!(ran.load(SeqCst), 3000);
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
    }
}

#[test]
fn tasks_run_at_the_same_time() {
    // Two workers and the thread in `block_on`: three tasks can meet at a barrier.
    let runtime = two();
    let barrier = Arc::new(Barrier::new(3));
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let barrier = barrier.clone();
            runtime.spawn(async move { barrier.wait().is_leader() })
        })
        .collect();
    let leaders = runtime.block_on(async {
        let mut leaders = 0;
        for task in tasks {
            leaders += usize::from(task.await.unwrap());
        }
        leaders
    });
    assert_eq!(leaders, 1);
}

#[test]
fn a_wake_from_a_foreign_thread_arrives() {
    for runtime in [one(), two()] {
        for _ in 0..200 {
            let signal = Signal::default();
            let task = runtime.spawn(signal.clone());
            let thread = std::thread::spawn(move || signal.set());
            runtime.block_on(task).unwrap();
            thread.join().unwrap();
        }
    }
}

#[test]
fn the_root_future_is_woken_from_everywhere() {
    for runtime in [one(), two()] {
        for _ in 0..200 {
            let (by_thread, by_task) = (Signal::default(), Signal::default());
            let thread = std::thread::spawn({
                let signal = by_thread.clone();
                move || signal.set()
            });
            runtime.block_on(async {
                by_thread.await;
                let signal = by_task.clone();
                reiver::spawn(async move { signal.set() });
                by_task.await;
                yield_now().await;
            });
            thread.join().unwrap();
        }
    }
}

#[test]
fn block_on_from_many_threads_at_once() {
    for runtime in [one(), two()] {
        std::thread::scope(|scope| {
            for n in 0..20 {
                let runtime = &runtime;
                scope.spawn(move || {
                    for _ in 0..20 {
                        let task = runtime.spawn(async move {
                            yield_now().await;
                            n
                        });
                        assert_eq!(runtime.block_on(task).unwrap(), n);
                        let task = runtime.spawn(async move { n + 1 });
                        assert_eq!(runtime.handle().block_on(task).unwrap(), n + 1);
                    }
                });
            }
        });
    }
}

#[test]
fn two_tasks_that_wake_each_other_do_not_starve_a_third() {
    let runtime = one();
    runtime.block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let turn = Arc::new(AtomicUsize::new(0));
        let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
        let players: Vec<_> = (0..2)
            .map(|me| {
                let (stop, turn, wakers) = (stop.clone(), turn.clone(), wakers.clone());
                reiver::spawn(poll_fn(move |cx| {
                    *wakers[me].lock().unwrap() = Some(cx.waker().clone());
                    turn.fetch_add(1, SeqCst);
                    if let Some(other) = wakers[1 - me].lock().unwrap().take() {
                        other.wake();
                    }
                    if stop.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
                }))
            })
            .collect();
        let third = reiver::spawn(async {
            for _ in 0..100 {
                yield_now().await;
            }
        });
        third.await.unwrap();
        assert!(turn.load(SeqCst) > 100);
        stop.store(true, SeqCst);
        for player in players {
            player.abort();
        }
    });
}

#[test]
fn contexts() {
    assert!(Handle::try_current().is_err());
    let (a, b) = (one(), two());
    assert_eq!(a.handle().runtime_flavor(), RuntimeFlavor::CurrentThread);
    let flavor = || Handle::current().runtime_flavor();
    let outer = a.enter();
    assert_eq!(flavor(), RuntimeFlavor::CurrentThread);
    let inner = b.enter();
    assert_eq!(flavor(), RuntimeFlavor::MultiThread);
    drop(outer);
    assert_eq!(flavor(), RuntimeFlavor::MultiThread);
    drop(inner);
    assert!(Handle::try_current().is_err());
    // A task of one runtime spawns on another whose context it entered.
    a.block_on(async {
        let task = {
            let _guard = b.enter();
            reiver::spawn(async { Handle::current().runtime_flavor() })
        };
        assert_eq!(task.await.unwrap(), RuntimeFlavor::MultiThread);
        assert_eq!(flavor(), RuntimeFlavor::CurrentThread);
    });
}

#[test]
fn ids_and_names_and_listings() {
    let runtime = two();
    runtime.block_on(async {
        assert!(task::try_id().is_none());
        let mut ids = HashSet::new();
        let tasks: Vec<_> = (0..600)
            .map(|_| {
                reiver::spawn(async {
                    yield_now().await;
                    task::id()
                })
            })
            .collect();
        for task in tasks {
            let id = task.id();
            assert_eq!(task.await.unwrap(), id);
            assert!(ids.insert(id));
        }
        let line = line!() + 1;
        let task = task::Builder::new().name("idler").spawn(pending::<()>()).unwrap();
        let found = Handle::current().dump();
        let info = found.iter().find(|t| t.id() == task.id()).unwrap();
        assert_eq!((info.name(), info.location().line()), (Some("idler"), line));
        assert!(info.location().file().ends_with("scheduler.rs"));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(Handle::current().dump().is_empty());
    });
}

#[test]
fn blocking_in_place_lets_others_go_on() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let answer = runtime.block_on(async {
        let task = reiver::spawn(async {
            // Spawned before: it is handed over. Spawned inside: it goes to the injector.
            let before = reiver::spawn(async { 1 });
            task::block_in_place(|| {
                let inside = reiver::spawn(async { 2 });
                let nested = Handle::current()
                    .block_on(async { before.await.unwrap() + inside.await.unwrap() });
                nested + task::block_in_place(|| 4)
            })
        });
        task.await.unwrap()
    });
    assert_eq!(answer, 7);
    // Nested `block_on` without a word of warning.
    let nested = runtime.block_on(async {
        reiver::spawn(async {
            let runtime = Handle::current();
            let task = runtime.spawn(async { 5 });
            runtime.block_on(task).unwrap()
        })
        .await
        .unwrap()
    });
    assert_eq!(nested, 5);
}

#[test]
fn blocking_in_place_needs_another_thread() {
    let runtime = one();
    let message = runtime.block_on(async {
        let task = reiver::spawn(async { Handle::current().block_on(async {}) });
        task.await.unwrap_err().to_string()
    });
    assert!(message.contains("current-thread runtime"), "{message}");
    assert!(message.contains("spawn_blocking"), "{message}");
    // The runtime goes on.
    assert_eq!(runtime.block_on(runtime.spawn(async { 3 })).unwrap(), 3);
}

#[test]
fn a_panic_of_the_root_leaves_the_runtime_in_order() {
    for runtime in [one(), two()] {
        for _ in 0..20 {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.block_on(async {
                    reiver::spawn(async { yield_now().await });
                    panic!("root")
                })
            }));
            assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"root"));
            assert!(Handle::try_current().is_err());
        }
        assert_eq!(runtime.block_on(async { reiver::spawn(async { 1 }).await.unwrap() }), 1);
    }
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn dropping_a_runtime_drops_every_task_once() {
    for runtime in [one(), two()] {
        let drops = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..10_000)
            .map(|_| {
                let guard = CountDrop(drops.clone());
                runtime.spawn(async move {
                    let _guard = guard;
                    pending::<()>().await
                })
            })
            .collect();
        runtime.block_on(yield_now());
        let handle = runtime.handle().clone();
        drop(runtime);
        assert_eq!(drops.load(SeqCst), 10_000);
        assert!(handles.iter().all(|handle| handle.is_finished()));
        // Too late: the task is dropped, and its handle says so.
        let guard = CountDrop(drops.clone());
        let late = handle.spawn(async move { drop(guard) });
        assert!(late.is_finished());
        assert_eq!(drops.load(SeqCst), 10_001);
    }
}

#[test]
fn tasks_that_spawn_while_they_are_dropped() {
    struct SpawnInDrop;
    impl Drop for SpawnInDrop {
        fn drop(&mut self) {
            let handle = reiver::spawn(pending::<()>());
            assert!(handle.is_finished());
        }
    }
    for runtime in [one(), two()] {
        for _ in 0..100 {
            runtime.spawn(async {
                let _guard = SpawnInDrop;
                pending::<()>().await
            });
        }
        runtime.block_on(yield_now());
    }
}

#[test]
fn a_runtime_may_be_dropped_inside_async_code() {
    let outer = two();
    outer.block_on(async {
        for inner in [one(), two()] {
            inner.spawn(pending::<()>());
            drop(inner);
        }
        let inner = two();
        reiver::spawn(async move { drop(inner) }).await.unwrap();
    });
}

#[test]
fn shutdown_does_not_wait_for_what_is_stuck() {
    let runtime = two();
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let task = runtime.spawn({
        let (entered, leave) = (entered.clone(), leave.clone());
        async move {
            entered.wait();
            leave.wait();
        }
    });
    entered.wait();
    let start = std::time::Instant::now();
    runtime.shutdown_timeout(std::time::Duration::from_millis(20));
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
    assert!(!task.is_finished());
    leave.wait();
    while !task.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn wakers_may_outlive_the_runtime() {
    for _ in 0..100 {
        let runtime = two();
        let signal = Signal::default();
        runtime.spawn(signal.clone());
        while signal.0.1.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
        let waker = signal.0.1.lock().unwrap().clone().unwrap();
        let thread = std::thread::spawn(move || {
            for _ in 0..50 {
                waker.wake_by_ref();
            }
        });
        drop(runtime);
        thread.join().unwrap();
        signal.set();
    }
}

#[test]
fn bad_settings() {
    let panics = |f: &dyn Fn()| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
        panic.downcast_ref::<&str>().map(|s| s.to_string()).unwrap()
    };
    let message = panics(&|| {
        Builder::new_multi_thread().worker_threads(0);
    });
    assert!(message.contains("worker_threads must be at least 1"), "{message}");
    let error = Builder::new_multi_thread().worker_threads(1 << 20).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let spawn = std::panic::catch_unwind(|| drop(reiver::spawn(async {}))).unwrap_err();
    let message = spawn.downcast_ref::<String>().unwrap();
    assert!(message.contains("no reiver runtime"), "{message}");
}

#[test]
fn thread_hooks_and_names() {
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let (started, stopped) = (counts.clone(), counts.clone());
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("raider")
        .thread_stack_size(256 * 1024)
        // The tasks block: a stand-in would be counted too.
        .rescue(Rescue::Off)
        .on_thread_start(move || {
            assert!(Handle::try_current().is_ok());
            started.0.fetch_add(1, SeqCst);
        })
        .on_thread_stop(move || {
            stopped.1.fetch_add(1, SeqCst);
        })
        .build()
        .unwrap();
    let barrier = Arc::new(Barrier::new(3));
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let barrier = barrier.clone();
            runtime.spawn(async move {
                barrier.wait();
                std::thread::current().name().map(str::to_owned)
            })
        })
        .collect();
    barrier.wait();
    for task in tasks {
        assert_eq!(runtime.handle().block_on(task).unwrap().as_deref(), Some("raider"));
    }
    drop(runtime);
    assert_eq!((counts.0.load(SeqCst), counts.1.load(SeqCst)), (2, 2));
}

#[test]
fn a_current_thread_runtime_may_be_dropped_by_its_own_task() {
    let drops = Arc::new(AtomicUsize::new(0));
    let runtime = Arc::new(Mutex::new(Some(one())));
    let handle = runtime.lock().unwrap().as_ref().unwrap().handle().clone();
    handle.block_on(async {
        for _ in 0..10 {
            let guard = CountDrop(drops.clone());
            reiver::spawn(async move {
                let _guard = guard;
                pending::<()>().await
            });
        }
        let runtime = runtime.clone();
        let task = reiver::spawn(async move { drop(runtime.lock().unwrap().take()) });
        task.await.unwrap();
    });
    assert_eq!(drops.load(SeqCst), 10);
}

#[test]
fn a_root_that_yields_goes_behind_what_is_queued() {
    let runtime = one();
    runtime.block_on(async {
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let ran = ran.clone();
            reiver::spawn(async move { ran.fetch_add(1, SeqCst) });
        }
        // One was in the `next` slot, which goes before the queue.
        yield_now().await;
        assert!(ran.load(SeqCst) >= 19, "{ran:?}");
        yield_now().await;
        assert_eq!(ran.load(SeqCst), 20);
    });
}

#[test]
fn a_runtime_may_be_dropped_by_a_panic() {
    for runtime in [one(), two()] {
        let task = runtime.spawn(pending::<()>());
        let thread = std::thread::spawn(move || {
            let _runtime = runtime;
            panic!("on the way out");
        });
        assert_eq!(thread.join().unwrap_err().downcast_ref(), Some(&"on the way out"));
        assert!(task.is_finished());
    }
}

#[test]
fn a_runtime_may_be_dropped_where_its_own_worker_blocks() {
    let runtime = two();
    let handle = runtime.handle().clone();
    let (sender, ended) = std::sync::mpsc::channel();
    handle.spawn(async move {
        task::block_in_place(|| drop(runtime));
        sender.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(10)).expect("the drop waits for its own worker");
}

#[test]
fn timers_fire_where_all_workers_block() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (sender, slept) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        task::block_in_place(|| {
            Handle::current().block_on(reiver::time::sleep(Duration::from_millis(5)));
        });
        sender.send(()).unwrap();
    });
    let slept = slept.recv_timeout(Duration::from_secs(10));
    runtime.shutdown_background();
    slept.expect("nobody looks after the wheel of a worker that blocks");
}

#[test]
fn runtimes_have_names_and_numbers() {
    let named = Builder::new_multi_thread().worker_threads(1).name("raid").build().unwrap();
    let other = one();
    assert_eq!((named.handle().name(), other.handle().name()), (Some("raid"), None));
    assert_ne!(named.handle().id(), other.handle().id());
    assert_eq!(named.block_on(async { Handle::current().id() }), named.handle().id());
    assert_eq!(named.handle().id().to_string(), named.handle().clone().id().to_string());
    let nameless = panic::catch_unwind(|| drop(Builder::new_current_thread().name(" ").build()));
    assert!(nameless.is_err());
}

#[test]
fn workers_know_their_index_and_guests_have_none() {
    assert_eq!(worker_index(), None);
    assert_eq!(one().block_on(async { worker_index() }), Some(0));
    // A stand-in would be a guest.
    let runtime =
        Builder::new_multi_thread().worker_threads(2).rescue(Rescue::Off).build().unwrap();
    assert_eq!(runtime.block_on(async { worker_index() }), None);
    // Each of the two is seen, since a task holds its worker until the other has come.
    let barrier = Arc::new(Barrier::new(2));
    let spawn = || {
        let barrier = barrier.clone();
        runtime.spawn(async move {
            barrier.wait();
            worker_index()
        })
    };
    let tasks = [spawn(), spawn()];
    let mut seen = tasks.map(|task| runtime.handle().block_on(task).unwrap());
    seen.sort();
    assert_eq!(seen, [Some(0), Some(1)]);
    assert_eq!(runtime.handle().block_on(runtime.spawn_blocking(worker_index)).unwrap(), None);
}

/// The hooks come in pairs around each sleep, and what they do does not get lost.
#[test]
fn hooks_of_the_sleep_may_spawn() {
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    let (parks, unparks) = (counts.clone(), counts.clone());
    let runtime = Builder::new_current_thread()
        .on_thread_park(move || {
            // The first sleep would not end without the task that is spawned here.
            if parks[0].fetch_add(1, SeqCst) == 0 {
                let ran = parks.clone();
                reiver::spawn(async move { ran[2].fetch_add(1, SeqCst) });
            }
        })
        .on_thread_unpark(move || _ = unparks[1].fetch_add(1, SeqCst))
        .build()
        .unwrap();
    let count = counts.clone();
    runtime.block_on(poll_fn(move |cx| match count[2].load(SeqCst) {
        0 => {
            let (waker, count) = (cx.waker().clone(), count.clone());
            reiver::spawn(async move {
                while count[2].load(SeqCst) == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                waker.wake();
            });
            Poll::Pending
        }
        _ => Poll::Ready(()),
    }));
    let sleeps = counts[0].load(SeqCst);
    assert!(sleeps > 0);
    assert_eq!(counts[1].load(SeqCst), sleeps);
    assert_eq!(runtime.metrics().worker_park_unpark_count(0) % 2, 0, "nobody sleeps");
    assert!(runtime.metrics().worker_park_unpark_count(0) > 0);
}

#[test]
fn settings_of_tokios_loop_are_accepted() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .event_interval(61)
        .global_queue_interval(31)
        .max_io_events_per_tick(1024)
        .max_io_events_per_busy_tick(64)
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(async { 1 }), 1);
    let zeros: [fn(&mut Builder); 4] = [
        |builder| _ = builder.event_interval(0),
        |builder| _ = builder.global_queue_interval(0),
        |builder| _ = builder.max_io_events_per_tick(0),
        |builder| _ = builder.max_io_events_per_busy_tick(0),
    ];
    for zero in zeros {
        assert!(panic::catch_unwind(|| zero(&mut Builder::new_current_thread())).is_err());
    }
}

#[test]
fn errors_of_a_runtime_that_is_gone_are_known() {
    let (gone, here) = (one(), one());
    let listener = gone.block_on(reiver::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    drop(gone);
    let error = here.block_on(listener.accept()).unwrap_err();
    assert!(is_rt_shutdown_err(&error), "{error}");
    assert!(!is_rt_shutdown_err(&std::io::Error::other("the runtime is shut down")));
}

#[test]
fn a_hook_may_wake_the_root_each_time_and_timers_fire_all_the_same() {
    let signal = Arc::new(Mutex::new(Signal::default()));
    let hooked = signal.clone();
    let runtime = Builder::new_current_thread()
        .on_thread_park(move || hooked.lock().unwrap().set())
        .build()
        .unwrap();
    let slept = runtime.spawn(sleep(Duration::from_millis(2)));
    // As another event loop would drive it: in short turns, each of which the hook ends.
    while !slept.is_finished() {
        let turn = Signal::default();
        *signal.lock().unwrap() = turn.clone();
        runtime.block_on(turn);
    }
}

#[test]
fn a_future_may_park_its_thread() {
    for runtime in [one(), two()] {
        let mut parked = false;
        // Woken before it has used the token up with which it was woken.
        runtime.handle().block_on(poll_fn(|context| {
            if parked {
                return Poll::Ready(());
            }
            parked = true;
            context.waker().wake_by_ref();
            std::thread::current().unpark();
            std::thread::park();
            Poll::Pending
        }));
    }
}

/// Spawns five tasks that note when they begin and when they go on, and waits for them.
async fn five(order: Arc<Mutex<Vec<usize>>>) {
    let spawn = |n| {
        let order = order.clone();
        task::spawn(async move {
            order.lock().unwrap().push(n);
            yield_now().await;
            order.lock().unwrap().push(n + 10);
        })
    };
    for task in (0..5).map(spawn).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[test]
fn tasks_of_one_thread_run_in_their_order() {
    for in_task in [false, true] {
        let order = Arc::default();
        let all = five(Arc::clone(&order));
        match in_task {
            false => one().block_on(all),
            true => one().block_on(async { task::spawn(all).await.unwrap() }),
        }
        let expected = Vec::from_iter((0..5).chain(10..15));
        assert_eq!(*order.lock().unwrap(), expected, "{in_task}");
    }
}

#[test]
fn what_main_spawns_begins_in_its_order() {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(1).rescue(Rescue::Off);
    let runtime = builder.block_on_runs_tasks(true).build().unwrap();
    // The only worker is stuck, and nobody stands in: this thread does the work.
    let (begun, busy) = std::sync::mpsc::channel();
    let (end, told) = std::sync::mpsc::channel::<()>();
    runtime.spawn(async move {
        begun.send(()).unwrap();
        told.recv().unwrap_err();
    });
    busy.recv().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let spawn = |n| {
            let order = order.clone();
            task::spawn(async move { order.lock().unwrap().push(n) })
        };
        for task in (0..100).map(spawn).collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    drop(end);
    assert_eq!(*order.lock().unwrap(), Vec::from_iter(0..100));
}

#[test]
fn what_a_task_drops_knows_its_task() {
    struct Notes(std::sync::mpsc::Sender<(&'static str, Option<task::Id>)>, &'static str);

    impl Drop for Notes {
        fn drop(&mut self) {
            self.0.send((self.1, task::try_id())).unwrap();
        }
    }

    /// Has fields that are dropped with it, and not by its last poll.
    struct Holds {
        output: Option<Notes>,
        _rest: Notes,
    }

    impl Future for Holds {
        type Output = Notes;

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Notes> {
            self.output.take().map_or(Poll::Pending, Poll::Ready)
        }
    }

    impl Unpin for Holds {}

    for runtime in [one(), two()] {
        let (sender, notes) = std::sync::mpsc::channel();
        let notes_of = |name| Notes(sender.clone(), name);
        runtime.block_on(async {
            let ended =
                task::spawn(Holds { output: Some(notes_of("output")), _rest: notes_of("future") });
            let id = ended.id();
            while !ended.is_finished() {
                yield_now().await;
            }
            assert_eq!(notes.recv().unwrap(), ("future", Some(id)));
            drop(ended);
            assert_eq!(notes.recv().unwrap(), ("output", Some(id)));
            let aborted = task::spawn(Holds { output: None, _rest: notes_of("aborted") });
            let id = aborted.id();
            aborted.abort();
            assert!(aborted.await.err().unwrap().is_cancelled());
            assert_eq!(notes.recv().unwrap(), ("aborted", Some(id)));
        });
    }
}

#[test]
fn a_thread_may_keep_a_runtime_to_its_end() {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<Runtime>> = const { std::cell::RefCell::new(None) };
    }
    for make in [one, two] {
        let dropped = Arc::new(AtomicBool::new(false));
        let on_drop = dropped.clone();
        let thread = std::thread::spawn(move || {
            struct Notes(Arc<AtomicBool>);

            impl Drop for Notes {
                fn drop(&mut self) {
                    self.0.store(true, SeqCst);
                }
            }

            // Made first, so that it is destroyed last.
            KEPT.set(None);
            let runtime = make();
            let notes = Notes(on_drop);
            runtime.block_on(async {
                drop(task::spawn(async move {
                    let _notes = notes;
                    pending::<()>().await;
                }));
                yield_now().await;
            });
            KEPT.set(Some(runtime));
        });
        thread.join().unwrap();
        assert!(dropped.load(SeqCst));
    }
}

#[test]
fn one_thread_keeps_the_order_of_what_comes_from_others() {
    let runtime = one();
    let handle = runtime.handle().clone();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = order.clone();
    runtime.block_on(async {
        // Busy when they come, so that they are fetched while there is something else to do.
        let busy = task::spawn(async {
            loop {
                yield_now().await;
            }
        });
        let spawner = std::thread::spawn(move || {
            for n in 0..1000 {
                let order = order.clone();
                handle.spawn(async move { order.lock().unwrap().push(n) });
            }
        });
        while seen.lock().unwrap().len() < 1000 {
            yield_now().await;
        }
        spawner.join().unwrap();
        busy.abort();
    });
    assert_eq!(*seen.lock().unwrap(), Vec::from_iter(0..1000));
}
