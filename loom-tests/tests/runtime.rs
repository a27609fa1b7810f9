//! Models of whole runtimes, as programs see them: checks `src/scheduler/README.md`.
//!
//! Most protocols have a smaller model of their own; these check that the parts fit: that every fence,
//! flag and look is where its protocol says. A runtime of a model has one slot for guests.
//!
//! An execution has hundreds of steps, so all are bounded: the executions with so many preemptions.

mod harness;

use harness::thread::{current, park, spawn};
use harness::{Bound, Model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use reiver_model::internals::primitive::{Arc, Mutex};
use reiver_model::runtime::{Builder, Runtime};
use reiver_model::sync::oneshot;
use reiver_model::task::{Group, block_in_place, scope};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

#[global_allocator]
static POISON: harness::poison::Poison = harness::poison::Poison::new();

/// Checks `f`, which may build a runtime, on a thread with room on its stack.
fn check(name: &str, preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let f = Arc::new(f);
    Model::new(name, Bound::Preemptions(preemptions)).without_shadow_loads().check(move || {
        let f = f.clone();
        spawn(move || f()).join().unwrap();
    });
}

/// Threads in `block_on` run tasks, so that few threads meet.
fn workers(n: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(n).block_on_runs_tasks(true).build().unwrap()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// A future that ends when told to, and counts its drops.
struct Signal(Arc<SignalState>);

#[derive(Default)]
struct SignalState {
    set: AtomicBool,
    waker: Mutex<Option<Waker>>,
    drops: AtomicUsize,
}

impl SignalState {
    fn new() -> (Signal, Arc<Self>) {
        let state = Arc::new(Self::default());
        (Signal(state.clone()), state)
    }

    fn set(&self) {
        self.set.store(true, Release);
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn drops(&self) -> usize {
        self.drops.load(Relaxed)
    }
}

impl Future for Signal {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.0.waker.lock().replace(cx.waker().clone());
        drop(before);
        if self.0.set.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Relaxed);
    }
}

/// A runtime that never had anything to do ends: `close` finds its worker awake or asleep.
#[test]
fn shutdown_vs_sleep() {
    check("shutdown_vs_sleep", 3, || drop(workers(1)));
}

/// Two workers that fall asleep, one of them in the poller, are both told.
#[test]
fn shutdown_of_two_workers() {
    check("shutdown_of_two_workers", 1, || drop(workers(2)));
}

/// A task that was spawned before the end is run or dropped, and counted as gone.
#[test]
fn a_spawned_task_ends_with_its_runtime() {
    must_reach(&["it ran", "it was cancelled"]);
    check("a_spawned_task_ends_with_its_runtime", 2, || {
        let runtime = workers(1);
        let ran = Arc::new(AtomicBool::new(false));
        let theirs = ran.clone();
        let task = runtime.spawn(async move { theirs.store(true, Relaxed) });
        drop(runtime);
        assert!(task.is_finished());
        reached(if ran.load(Relaxed) { "it ran" } else { "it was cancelled" });
    });
}

/// The future of `block_on` is woken by the end of a task, which this thread or the worker runs.
#[test]
fn block_on_join() {
    check("block_on_join", 1, || {
        let runtime = workers(1);
        let task = runtime.spawn(async { 7 });
        assert_eq!(runtime.block_on(task).unwrap(), 7);
    });
}

/// The future of `block_on` is woken by a thread that is no worker, while it is on its way to sleep.
#[test]
fn block_on_wake() {
    check("block_on_wake", 2, || {
        let runtime = current_thread();
        let (signal, state) = SignalState::new();
        let thread = spawn(move || state.set());
        runtime.block_on(signal);
        thread.join().unwrap();
    });
}

/// As [`block_on_wake`], where the thread in `block_on` does not work but waits.
#[test]
fn block_on_wait_wake() {
    check("block_on_wait_wake", 2, || {
        let runtime = workers(1);
        let (signal, state) = SignalState::new();
        let thread = spawn(move || state.set());
        runtime.handle().block_on(signal);
        thread.join().unwrap();
    });
}

/// A waiting task is woken by another thread; its worker may be on its way to sleep, in the poller.
#[test]
fn remote_wake() {
    check("remote_wake", 1, || {
        let runtime = workers(1);
        let (signal, state) = SignalState::new();
        let task = runtime.spawn(signal);
        let thread = spawn(move || state.set());
        runtime.handle().block_on(task).unwrap();
        thread.join().unwrap();
    });
}

/// Two threads push at the same time; the one that finds a searcher leaves its task to it.
#[test]
fn two_remote_spawns() {
    check("two_remote_spawns", 1, || {
        let runtime = workers(1);
        let handle = runtime.handle().clone();
        let other = spawn(move || handle.spawn(async {}));
        let mine = runtime.spawn(async {});
        let theirs = other.join().unwrap();
        runtime.handle().block_on(async {
            mine.await.unwrap();
            theirs.await.unwrap();
        });
    });
}

/// Tasks spawned by the future of `block_on` are run by its own thread or by the worker.
#[test]
fn a_guest_and_a_worker_share() {
    check("a_guest_and_a_worker_share", 1, || {
        let runtime = workers(1);
        let sum = runtime.block_on(async {
            let tasks = [1, 2].map(|n| reiver_model::spawn(async move { n }));
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 3);
    });
}

/// A task spawned while the runtime is dropped is refused, or is listed and therefore ended: nothing is
/// left in a queue.
#[test]
fn spawn_vs_shutdown() {
    must_reach(&["it ran", "it was cancelled"]);
    check("spawn_vs_shutdown", 2, || {
        let runtime = workers(1);
        let handle = runtime.handle().clone();
        let (mut signal, state) = SignalState::new();
        let spawner = spawn(move || {
            let task = handle.spawn(async move { Pin::new(&mut signal).await });
            (task, handle)
        });
        state.set();
        drop(runtime);
        let (task, handle) = spawner.join().unwrap();
        assert!(task.is_finished(), "stranded");
        assert_eq!(handle.metrics().num_alive_tasks(), 0);
        assert_eq!(state.drops(), 1);
        let ran = handle.block_on(task).is_ok();
        reached(if ran { "it ran" } else { "it was cancelled" });
    });
}

/// A waiting task is woken from outside while the runtime is dropped; the waker's thread may be in the
/// middle of `schedule` when the last worker ends and the runtime is freed.
#[test]
fn wake_during_shutdown() {
    must_reach(&["it ended", "it was cancelled"]);
    check("wake_during_shutdown", 2, || {
        let runtime = workers(1);
        let (signal, state) = SignalState::new();
        let task = runtime.spawn(signal);
        let thread = spawn(move || drop(runtime));
        state.set();
        thread.join().unwrap();
        assert!(task.is_finished());
        assert_eq!(state.drops(), 1);
        let outcome = current_thread().block_on(task);
        reached(if outcome.is_ok() { "it ended" } else { "it was cancelled" });
    });
}

/// As [`wake_during_shutdown`]: what the waker's thread still does after its task is queued does not touch
/// a runtime that has been freed meanwhile.
#[test]
fn wake_vs_free() {
    let model = Model::new("wake_vs_free", Bound::Preemptions(2)).with_frees();
    model.check(|| {
        let user = spawn(|| {
            let runtime = workers(1);
            let (signal, state) = SignalState::new();
            // That it waits already costs no preemption then.
            let here = current();
            drop(runtime.spawn(async move {
                here.unpark();
                signal.await;
            }));
            park();
            let thread = spawn(move || drop(runtime));
            state.set();
            thread.join().unwrap();
        });
        user.join().unwrap();
    });
}

/// `block_in_place` with one worker: a stand-in runs the task that the closure waits for.
#[test]
fn stand_in_runs_the_others() {
    check("stand_in_runs_the_others", 1, || {
        let runtime = workers(1);
        let task = runtime.spawn(async {
            let blocked = current();
            let done = Arc::new(AtomicBool::new(false));
            let theirs = done.clone();
            reiver_model::spawn(async move {
                theirs.store(true, Release);
                blocked.unpark();
            });
            block_in_place(|| {
                while !done.load(Acquire) {
                    park();
                }
            });
        });
        runtime.handle().block_on(task).unwrap();
    });
}

/// A worker that blocks hands its tasks over and wakes whoever sleeps for them, also when no stand-in can
/// be had: here the only guest slot is taken by a thread in `block_on`.
#[test]
fn hand_over_to_a_sleeper() {
    check("hand_over_to_a_sleeper", 1, || {
        let runtime = workers(1);
        let task = runtime.spawn(async {
            let blocked = current();
            let done = Arc::new(AtomicBool::new(false));
            let theirs = done.clone();
            reiver_model::spawn(async move {
                theirs.store(true, Release);
                blocked.unpark();
            });
            block_in_place(|| {
                while !done.load(Acquire) {
                    park();
                }
            });
        });
        runtime.block_on(task).unwrap();
    });
}

/// Tells a thread, once, that something has begun or will never begin.
struct Begun(Arc<AtomicBool>, harness::thread::Thread);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.store(true, Release);
        self.1.unpark();
    }
}

/// The last task of a runtime that is shut down may end on a stand-in, which tells the workers.
#[test]
fn the_last_task_ends_on_a_stand_in() {
    check("the_last_task_ends_on_a_stand_in", 2, || {
        let runtime = workers(1);
        runtime.spawn(async {
            let begun = Arc::new(AtomicBool::new(false));
            let tell = Begun(begun.clone(), current());
            reiver_model::spawn(async move { drop(tell) });
            // The other task begins on the stand-in, and may end after this one.
            block_in_place(|| {
                while !begun.load(Acquire) {
                    park();
                }
            });
        });
        drop(runtime);
    });
}

/// The last task ends on one of two workers, while the other has looked and sleeps again.
#[test]
fn the_last_task_ends_beside_a_sleeper() {
    check("the_last_task_ends_beside_a_sleeper", 1, || {
        let runtime = workers(2);
        runtime.spawn(async {});
        drop(runtime);
    });
}

/// A thread that drives a current-thread runtime when it is dropped elsewhere, or by its own future,
/// ends the tasks before it leaves: the runtime is freed with nothing in it.
#[test]
fn dropped_while_driven() {
    must_reach(&["the drop ended it", "the driver ended it"]);
    check("dropped_while_driven", 2, || {
        let runtime = current_thread();
        let (mut waiting, state) = SignalState::new();
        let handle = runtime.handle().clone();
        // A task that holds its runtime would keep it for ever.
        let task = runtime.spawn(async move {
            let _handle = handle;
            Pin::new(&mut waiting).await;
        });
        let handle = runtime.handle().clone();
        let driver = spawn(move || {
            handle.block_on(async {});
            drop(handle);
        });
        drop(runtime);
        reached(if task.is_finished() { "the drop ended it" } else { "the driver ended it" });
        driver.join().unwrap();
        assert!(task.is_finished());
        assert_eq!(state.drops(), 1);
        state.set();
    });
}

/// Who waits for the slot of a current-thread runtime drives it when the driver leaves.
#[test]
fn the_slot_is_passed_on() {
    check("the_slot_is_passed_on", 2, || {
        let runtime = current_thread();
        let (task, handle) = (runtime.spawn(async {}), runtime.handle().clone());
        let other = spawn(move || handle.block_on(async {}));
        runtime.block_on(task).unwrap();
        other.join().unwrap();
    });
}

/// A guest that was woken to search, and whose root future then blocks in its poll, has passed the search
/// on: what is pushed afterwards wakes another worker.
#[test]
fn a_root_does_not_keep_the_search() {
    check("a_root_does_not_keep_the_search", 1, || {
        let runtime = workers(1);
        let (mut signal, state) = SignalState::new();
        let handle = runtime.handle().clone();
        let done = Arc::new(AtomicBool::new(false));
        let tell = Begun(done.clone(), current());
        let pusher = spawn(move || {
            // Wakes the guest, if the worker is awake, which then may find this task itself.
            handle.spawn(async {});
            state.set();
            handle.spawn(async move { drop(tell) });
        });
        runtime.block_on(poll_fn(move |cx| {
            let poll = Pin::new(&mut signal).poll(cx);
            if poll.is_ready() {
                // A bad root future: it blocks its thread until the second task has run.
                while !done.load(Acquire) {
                    park();
                }
            }
            poll
        }));
        pusher.join().unwrap();
    });
}

/// A task that spawns a sibling while the scope comes to its end: the sibling has ended when the scope
/// has, or was refused and never polled.
#[test]
fn group_spawn_vs_end() {
    must_reach(&["inside", "refused"]);
    check("group_spawn_vs_end", 2, || {
        let runtime = current_thread();
        let ended = Arc::new(AtomicUsize::new(0));
        let seen = ended.clone();
        let (give, given) = oneshot::channel::<Group<()>>();
        let handle = runtime.handle().clone();
        let other = spawn(move || {
            // A clone of the group in the hands of somebody outside.
            let _entered = handle.enter();
            let Ok(group) = given.blocking_recv() else { unreachable!("it is sent") };
            group.spawn(async move {
                seen.fetch_add(1, Relaxed);
                Ok(())
            })
        });
        let scoped = scope(|group: Group<()>| async move {
            let _ = give.send(group);
            Ok(())
        });
        assert!(runtime.block_on(scoped).is_ok());
        // Relaxed: the end of the scope publishes it.
        let inside = ended.load(Relaxed);
        let child = other.join().unwrap();
        reached(if inside == 1 { "inside" } else { "refused" });
        assert_eq!(ended.load(Relaxed), inside, "a child outlives its scope");
        assert!(child.is_finished());
        drop(runtime);
    });
}
