//! `LocalSet`: tasks that are not `Send` are polled and dropped by one thread, whoever wakes them.

mod support;

use reiver::runtime::{Builder, LocalOptions, LocalRuntime, Runtime};
use reiver::task::{LocalSet, spawn_local, yield_now};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
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

/// Not `Send`; notes the thread that drops it.
struct Local {
    home: thread::ThreadId,
    drops: Rc<Cell<usize>>,
}

impl Local {
    fn new(drops: &Rc<Cell<usize>>) -> Self {
        Self { home: thread::current().id(), drops: drops.clone() }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.home);
        self.drops.set(self.drops.get() + 1);
    }
}

fn poll<F: Future>(future: Pin<&mut F>, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

#[test]
fn tasks_run_beside_the_future_on_its_thread() {
    for runtime in [one(), two()] {
        let local = LocalSet::new();
        let home = thread::current().id();
        let log = local.block_on(&runtime, async move {
            let log = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = (0..100)
                .map(|n| {
                    let log = log.clone();
                    spawn_local(async move {
                        yield_now().await;
                        assert_eq!(thread::current().id(), home);
                        log.borrow_mut().push(n);
                        spawn_local(async move { n }).await.unwrap()
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), n);
            }
            log
        });
        assert_eq!(*log.borrow(), (0..100).collect::<Vec<_>>(), "first in, first out");
    }
}

#[test]
fn wakes_from_other_threads_arrive() {
    for runtime in [one(), two()] {
        let local = LocalSet::new();
        let total = local.block_on(&runtime, async {
            let total = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..50)
                .map(|n| {
                    let total = total.clone();
                    spawn_local(async move {
                        for _ in 0..20 {
                            let signal = Signal::default();
                            let theirs = signal.clone();
                            // From a worker and from a thread that is none.
                            if n % 10 == 0 {
                                thread::spawn(move || theirs.set());
                            } else {
                                reiver::spawn(async move { theirs.set() });
                            }
                            signal.await;
                            total.set(total.get() + 1);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            total.get()
        });
        assert_eq!(total, 1000);
    }
}

#[test]
fn the_set_is_a_future_that_ends_with_its_tasks() {
    let local = LocalSet::new();
    let signals: [Signal; 2] = Default::default();
    let tasks = signals.clone().map(|signal| local.spawn_local(signal));
    let mut local = pin!(local);
    let wakes = Arc::new(Wakes::default());
    assert!(poll(local.as_mut(), &wakes).is_pending());
    signals[0].set();
    assert_eq!(wakes.count(), 1);
    assert!(poll(local.as_mut(), &wakes).is_pending());
    assert!(tasks[0].is_finished() && !tasks[1].is_finished());
    signals[1].set();
    assert_eq!(wakes.count(), 2);
    assert!(poll(local.as_mut(), &wakes).is_ready());
    assert!(tasks[1].is_finished());
}

#[test]
fn many_wakes_are_one_wake_of_the_poller() {
    let local = LocalSet::new();
    let signals: Vec<_> = (0..20).map(|_| Signal::default()).collect();
    for signal in &signals {
        local.spawn_local(signal.clone());
    }
    let wakes = Arc::new(Wakes::default());
    let mut local = pin!(local);
    assert!(poll(local.as_mut(), &wakes).is_pending());
    assert_eq!(wakes.count(), 0);
    for signal in signals {
        thread::spawn(move || signal.set()).join().unwrap();
    }
    assert_eq!(wakes.count(), 1);
    assert!(poll(local.as_mut(), &wakes).is_ready());
    assert_eq!(wakes.count(), 1);
}

#[test]
fn a_turn_ends_although_tasks_are_ready() {
    let local = LocalSet::new();
    let polls = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let polls = polls.clone();
        local.spawn_local(poll_fn(move |cx| {
            polls.set(polls.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
    }
    let wakes = Arc::new(Wakes::default());
    let mut local = pin!(local);
    for turn in 1..=10 {
        let before = polls.get();
        assert!(poll(local.as_mut(), &wakes).is_pending());
        assert!((1..=61).contains(&(polls.get() - before)));
        assert_eq!(wakes.count(), turn);
    }
}

#[test]
fn run_until_leaves_the_tasks_that_go_on() {
    let (runtime, local) = (one(), LocalSet::new());
    let signal = Signal::default();
    let ready = std::future::ready(());
    let task = runtime.block_on(async {
        let spawned = RefCell::new(None);
        let theirs = signal.clone();
        let spawn = async {
            ready.await;
            *spawned.borrow_mut() = Some(spawn_local(async move {
                theirs.await;
                7
            }));
        };
        local.run_until(spawn).await;
        spawned.into_inner()
    });
    let task = task.unwrap();
    signal.set();
    assert!(!task.is_finished());
    assert_eq!(local.block_on(&runtime, task).unwrap(), 7);
}

#[test]
fn what_a_finished_run_until_queued_is_left_to_the_other() {
    let local = LocalSet::new();
    let ran = Rc::new(Cell::new(false));
    let wakes = Arc::new(Wakes::default());
    let mut other = pin!(local.run_until(pending::<()>()));
    assert!(poll(other.as_mut(), &wakes).is_pending());
    let flag = ran.clone();
    let mut short =
        pin!(local.run_until(async { drop(spawn_local(async move { flag.set(true) })) }));
    let mine = Arc::new(Wakes::default());
    assert!(poll(short.as_mut(), &mine).is_ready());
    assert_eq!((wakes.count(), mine.count()), (1, 0));
    assert!(poll(other.as_mut(), &wakes).is_pending());
    assert!(ran.get());
}

#[test]
fn tasks_are_dropped_with_the_set_on_its_thread() {
    let drops = Rc::new(Cell::new(0));
    let local = LocalSet::new();
    // Never polled; waiting; ready again; ended with an output that nobody took.
    let never = Local::new(&drops);
    let waiting = Local::new(&drops);
    let again = Local::new(&drops);
    let output = Local::new(&drops);
    let waker = Arc::new(Mutex::new(None));
    let ended = local.spawn_local(async move { output });
    local.spawn_local(async move {
        pending::<()>().await;
        drop(waiting);
    });
    local.spawn_local({
        let waker = waker.clone();
        async move {
            poll_fn(|cx| {
                *waker.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
            drop(again);
        }
    });
    let wakes = Arc::new(Wakes::default());
    let mut run = Box::pin(local.run_until(pending::<()>()));
    assert!(poll(run.as_mut(), &wakes).is_pending());
    drop(run);
    waker.lock().unwrap().clone().unwrap().wake();
    let never = local.spawn_local(async move {
        let _never = never;
    });
    let abort = never.abort_handle();
    assert_eq!(drops.get(), 0);
    drop(local);
    assert_eq!(drops.get(), 3, "the futures");
    assert!(abort.is_finished());
    drop(ended);
    assert_eq!(drops.get(), 4, "the output");
    // The cell of the woken task is freed by whoever has its last waker: nothing is dropped there.
    let waker = waker.lock().unwrap().take().unwrap();
    thread::spawn(move || {
        waker.wake_by_ref();
        drop(waker);
    })
    .join()
    .unwrap();
    assert_eq!(drops.get(), 4);
}

#[test]
fn a_drop_of_a_task_may_spawn_and_wake() {
    struct Spawns(Rc<Cell<usize>>, Signal);
    impl Drop for Spawns {
        fn drop(&mut self) {
            self.1.set();
            let ran = self.0.clone();
            ran.set(ran.get() + 1);
            let task = spawn_local(async move { ran.set(100) });
            assert!(task.is_finished(), "refused, and cancelled at once");
        }
    }
    let ran = Rc::new(Cell::new(0));
    let local = LocalSet::new();
    let signal = Signal::default();
    local.spawn_local(signal.clone());
    let spawns = Spawns(ran.clone(), signal);
    local.spawn_local(async move {
        let _spawns = spawns;
        pending::<()>().await;
    });
    let mut run = Box::pin(local.run_until(pending::<()>()));
    assert!(poll(run.as_mut(), &Arc::new(Wakes::default())).is_pending());
    drop(run);
    drop(local);
    assert_eq!(ran.get(), 1);
}

#[test]
fn wakes_race_the_drop() {
    for _ in 0..200 {
        let drops = Rc::new(Cell::new(0));
        let local = LocalSet::new();
        let signals: [Signal; 8] = Default::default();
        for signal in signals.iter().cloned() {
            let value = Local::new(&drops);
            local.spawn_local(async move {
                signal.await;
                drop(value);
            });
        }
        let mut run = Box::pin(local.run_until(pending::<()>()));
        assert!(poll(run.as_mut(), &Arc::new(Wakes::default())).is_pending());
        drop(run);
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for half in signals.chunks(4) {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    half.iter().for_each(Signal::set);
                });
            }
            barrier.wait();
            drop(local);
        });
        assert_eq!(drops.get(), 8);
    }
}

#[test]
fn an_abort_from_another_thread_drops_at_home() {
    let (runtime, local) = (two(), LocalSet::new());
    let drops = Rc::new(Cell::new(0));
    let value = Local::new(&drops);
    let task = local.spawn_local(async move {
        pending::<()>().await;
        drop(value);
    });
    let abort = task.abort_handle();
    let (polled, was_polled) = mpsc::channel();
    let other = thread::spawn(move || {
        was_polled.recv().unwrap();
        abort.abort();
    });
    let error = local.block_on(&runtime, async {
        yield_now().await;
        polled.send(()).unwrap();
        task.await.unwrap_err()
    });
    assert!(error.is_cancelled());
    assert_eq!(drops.get(), 1);
    other.join().unwrap();
}

#[test]
fn enter_guards_choose_the_set() {
    let (outer, inner) = (LocalSet::new(), LocalSet::new());
    let outer_guard = outer.enter();
    let first = spawn_local(async { 1 });
    let inner_guard = inner.enter();
    let second = spawn_local(async { 2 });
    drop(inner_guard);
    let third = spawn_local(async { 3 });
    drop(outer_guard);
    assert!(catch_unwind(AssertUnwindSafe(|| spawn_local(async {}))).is_err());
    let runtime = one();
    runtime.block_on(outer);
    assert!(first.is_finished() && !second.is_finished() && third.is_finished());
    runtime.block_on(inner);
    assert!(second.is_finished());
}

#[test]
fn guards_in_the_wrong_order_are_sound() {
    let (outer, inner) = (LocalSet::new(), LocalSet::new());
    let outer_guard = outer.enter();
    let inner_guard = inner.enter();
    drop(outer_guard);
    drop((outer, inner));
    drop(inner_guard);
    // Whichever set is current now, it is closed.
    if let Ok(task) = catch_unwind(AssertUnwindSafe(|| spawn_local(async {}))) {
        assert!(task.is_finished());
    }
}

#[test]
fn a_spawn_under_a_guard_wakes_the_poller() {
    let local = LocalSet::new();
    let wakes = Arc::new(Wakes::default());
    let mut run = pin!(local.run_until(pending::<()>()));
    assert!(poll(run.as_mut(), &wakes).is_pending());
    let guard = local.enter();
    let task = spawn_local(async {});
    assert_eq!(wakes.count(), 1);
    drop(guard);
    assert!(poll(run.as_mut(), &wakes).is_pending());
    assert!(task.is_finished());
}

#[test]
fn sets_nest() {
    let runtime = one();
    let outer = LocalSet::new();
    let value = outer.block_on(&runtime, async {
        spawn_local(async {
            let inner = Rc::new(LocalSet::new());
            let signal = Signal::default();
            let theirs = signal.clone();
            let inner_task = inner.spawn_local(async move {
                theirs.await;
                5
            });
            // Woken while the inner set is current, by a task of the outer one.
            let setter = spawn_local(async move { signal.set() });
            let value = inner.run_until(inner_task).await.unwrap();
            setter.await.unwrap();
            value + spawn_local(async { 1 }).await.unwrap()
        })
        .await
        .unwrap()
    });
    assert_eq!(value, 6);
}

#[test]
fn a_panic_of_the_future_leaves_no_set_behind() {
    let (runtime, local) = (one(), LocalSet::new());
    let run = AssertUnwindSafe(|| local.block_on(&runtime, async { panic!("told to") }));
    assert!(catch_unwind(run).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| spawn_local(async {}))).is_err());
    let error = local.block_on(&runtime, async {
        spawn_local(async { panic!("in a task") }).await.unwrap_err()
    });
    assert!(error.is_panic());
}

#[test]
fn tasks_of_the_runtime_are_in_no_set() {
    let (runtime, local) = (one(), LocalSet::new());
    let error = local.block_on(&runtime, async {
        reiver::spawn(async { drop(spawn_local(async {})) }).await.unwrap_err()
    });
    assert!(error.is_panic());
}

#[test]
fn an_output_that_is_send_is_awaited_elsewhere() {
    let (runtime, local) = (two(), LocalSet::new());
    let task = local.spawn_local(async {
        let value = Rc::new(40);
        yield_now().await;
        *value + 2
    });
    let elsewhere = runtime.spawn(async move { task.await.unwrap() });
    assert_eq!(local.block_on(&runtime, elsewhere).unwrap(), 42);
}

#[test]
fn a_set_in_a_thread_local_is_dropped_with_its_thread() {
    thread_local! {
        static SET: RefCell<Option<LocalSet>> = const { RefCell::new(None) };
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    thread::spawn(move || {
        struct SetOnDrop(Arc<AtomicBool>);
        impl Drop for SetOnDrop {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let local = LocalSet::new();
        let value = SetOnDrop(flag);
        local.spawn_local(async move {
            let _value = value;
            pending::<()>().await;
        });
        SET.with(|set| *set.borrow_mut() = Some(local));
    })
    .join()
    .unwrap();
    assert!(dropped.load(SeqCst));
}

#[test]
fn a_local_runtime_is_a_set_everywhere() {
    let drops = Rc::new(Cell::new(0));
    let runtime = LocalRuntime::new().unwrap();
    let guard = runtime.enter();
    let early = spawn_local(async { Rc::new(1) });
    drop(guard);
    let local = Local::new(&drops);
    runtime.spawn_local(async move {
        pending::<()>().await;
        drop(local);
    });
    let sum = runtime.block_on(async {
        // From an ordinary task too.
        let inner = reiver::spawn(async { spawn_local(async { 2 }).await.unwrap() });
        let blocking = reiver::task::spawn_blocking(|| 4);
        *early.await.unwrap() + inner.await.unwrap() + blocking.await.unwrap()
    });
    assert_eq!(sum, 7);
    let other = runtime.handle().clone();
    let there = thread::spawn(move || other.spawn(async { 8 })).join().unwrap();
    assert_eq!(runtime.block_on(there).unwrap(), 8);
    assert_eq!(drops.get(), 0);
    drop(runtime);
    assert_eq!(drops.get(), 1);
    assert!(catch_unwind(|| spawn_local(async {})).is_err());
}

#[test]
fn the_tasks_of_a_local_runtime_end_inside_of_it() {
    struct Inside(Rc<Cell<usize>>);

    impl Drop for Inside {
        fn drop(&mut self) {
            drop(reiver::task::spawn_blocking(|| ()));
            self.0.set(self.0.get() + 1);
        }
    }

    let ended = Rc::new(Cell::new(0));
    let ends: [fn(LocalRuntime); 3] = [
        drop,
        |runtime| runtime.shutdown_timeout(std::time::Duration::from_secs(20)),
        LocalRuntime::shutdown_background,
    ];
    for end in ends {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        let inside = Inside(ended.clone());
        runtime.spawn_local(async move {
            pending::<()>().await;
            drop(inside);
        });
        assert_eq!(runtime.metrics().num_workers(), 1);
        end(runtime);
    }
    assert_eq!(ended.get(), 3);
    let threads = AssertUnwindSafe(|| {
        drop(Builder::new_multi_thread().worker_threads(1).build_local(LocalOptions::default()));
    });
    assert!(catch_unwind(threads).is_err());
}

#[test]
fn sets_have_numbers() {
    let (one, other) = (LocalSet::new(), LocalSet::new());
    assert_ne!(one.id(), other.id());
    assert_eq!(one.id(), one.id());
}
