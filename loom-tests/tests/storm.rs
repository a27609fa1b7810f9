//! Whole runtimes at scale, each run in an order that a seed chooses: checks `src/ARCHITECTURE.md`, the lives of
//! wake-ups, timers and stuck polls, and the end. What a storm is: `src/primitive/hybrid/storm/`.
//!
//! `REIVER_STORM=100000 cargo test -p loom-tests --test storm -- --nocapture` runs so many of each.

mod harness;

use harness::storms::storm;
use harness::thread::{JoinHandle as Thread, current, park, spawn as thread};
use harness::{must_reach, reached};
use reiver_model::internals::driver;
use reiver_model::internals::primitive::Mutex as Lock;
use reiver_model::internals::primitive::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use reiver_model::internals::primitive::storm::choose;
use reiver_model::internals::primitive::thread::park_timeout;
use reiver_model::runtime::{Builder, Runtime};
use reiver_model::sync::{Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use reiver_model::task::{JoinHandle, JoinSet, block_in_place, spawn_blocking, yield_now};
use reiver_model::time::{Duration, sleep, timeout};
use reiver_model::{spawn, time};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

#[global_allocator]
static POISON: harness::poison::Poison = harness::poison::Poison::new();

const MS: Duration = Duration::from_millis(1);

/// Threads in `block_on` run tasks, or just wait.
fn workers(n: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(n).block_on_runs_tasks(choose(4) != 0).build().unwrap()
}

/// Counts what is alive: futures, values.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

struct One(Alive);

impl Alive {
    fn one(&self) -> One {
        self.0.fetch_add(1, Relaxed);
        One(self.clone())
    }

    #[track_caller]
    fn none(&self) {
        assert_eq!(self.0.load(Relaxed), 0, "something is still alive");
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let before = self.0.0.fetch_sub(1, Relaxed);
        assert!(before > 0, "dropped twice");
    }
}

/// The sum of all leaves of a tree of tasks, each of which joins its children.
fn tree(depth: u32, alive: Alive) -> Pin<Box<dyn Future<Output = u32> + Send>> {
    Box::pin(async move {
        let _one = alive.one();
        if depth == 0 {
            yield_now().await;
            return 1;
        }
        let children = [(); 2].map(|()| spawn(tree(depth - 1, alive.clone())));
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap();
        }
        sum
    })
}

/// 8 workers, a tree of 31 tasks and the root of it in `block_on`.
#[test]
fn storm_trees() {
    storm("storm_trees", || {
        let (runtime, alive) = (workers(8), Alive::default());
        assert_eq!(runtime.block_on(tree(4, alive.clone())), 16);
        drop(runtime);
        alive.none();
    });
}

/// Tasks in rings that hand a token round: each wake-up goes to another worker or is lost.
#[test]
fn storm_rings() {
    storm("storm_rings", || {
        let runtime = workers(8);
        let ring = |length: usize| {
            let (first, mut last) = mpsc::channel(1);
            for _ in 1..length {
                let (tx, rx) = mpsc::channel(1);
                let mut before = std::mem::replace(&mut last, rx);
                drop(runtime.spawn(async move {
                    while let Some(n) = before.recv().await {
                        tx.send(n + 1).await.unwrap();
                    }
                }));
            }
            runtime.spawn(async move {
                for round in 0..5 {
                    first.send(0).await.unwrap();
                    assert_eq!(last.recv().await, Some(length - 1), "in round {round}");
                }
            })
        };
        let rings = [2, 5, 8, 12].map(ring);
        runtime.block_on(async {
            for ring in rings {
                ring.await.unwrap();
            }
        });
    });
}

/// Several threads in `block_on` of one runtime, which wake each other's futures and tasks.
#[test]
fn storm_block_on() {
    storm("storm_block_on", || {
        let runtime = Arc::new(workers(2));
        let (tx, mut rx) = mpsc::channel(2);
        let guests: Vec<Thread<()>> = (0..4)
            .map(|guest| {
                let (runtime, tx) = (runtime.clone(), tx.clone());
                thread(move || {
                    runtime.block_on(async move {
                        let task = spawn(async move {
                            yield_now().await;
                            guest
                        });
                        tx.send(task.await.unwrap()).await.unwrap();
                        time::sleep(MS).await;
                        tx.send(guest).await.unwrap();
                    });
                })
            })
            .collect();
        drop(tx);
        let sum = runtime.block_on(async {
            let mut sum = 0;
            while let Some(guest) = rx.recv().await {
                sum += guest;
            }
            sum
        });
        assert_eq!(sum, 2 * 6);
        guests.into_iter().for_each(|guest| guest.join().unwrap());
    });
}

/// A current-thread runtime, whose one slot goes from one thread in `block_on` to the other.
#[test]
fn storm_current_thread() {
    storm("storm_current_thread", || {
        let runtime = Arc::new(Builder::new_current_thread().build().unwrap());
        let others: Vec<Thread<()>> = (0..3)
            .map(|n| {
                let runtime = runtime.clone();
                thread(move || {
                    let task = runtime.spawn(async move {
                        sleep(n * MS).await;
                        spawn(async move { n }).await.unwrap()
                    });
                    assert_eq!(runtime.block_on(task).unwrap(), n);
                    runtime.block_on(sleep(MS));
                })
            })
            .collect();
        let job = runtime.spawn(async { spawn_blocking(|| 7).await.unwrap() });
        assert_eq!(runtime.block_on(job).unwrap(), 7);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// A task of one of many kinds that does not end by itself, or hardly.
fn restless(
    kind: usize,
    alive: Alive,
    notify: Arc<Notify>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(restless_inner(kind, alive, notify))
}

async fn restless_inner(kind: usize, alive: Alive, notify: Arc<Notify>) {
    let _one = alive.one();
    match kind % 6 {
        0 => {
            for _ in 0..50 {
                yield_now().await;
            }
        }
        1 => notify.notified().await,
        2 => sleep(Duration::from_secs(3600)).await,
        3 => {
            for _ in 0..3 {
                drop(spawn(restless(kind - 3, alive.clone(), notify.clone())));
                yield_now().await;
            }
        }
        4 => {
            let job = spawn_blocking(move || drop(alive.one()));
            drop(job.await);
        }
        _ => {
            let mut set = JoinSet::new();
            for n in 0..3 {
                set.spawn(restless(n, alive.clone(), notify.clone()));
            }
            drop(set.join_next().await);
        }
    }
}

/// The end in the middle of everything, while two threads go on spawning and waking.
#[test]
fn storm_shutdown() {
    must_reach(&["cancelled", "ended"]);
    storm("storm_shutdown", || {
        let (runtime, alive, notify) = (workers(8), Alive::default(), Arc::new(Notify::new()));
        let all = |n: usize| restless(n, alive.clone(), notify.clone());
        let mut tasks: Vec<JoinHandle<()>> = (0..20).map(|n| runtime.spawn(all(n))).collect();
        let handle = runtime.handle().clone();
        let outside = [0, 1].map(|_| {
            let (handle, alive, notify) = (handle.clone(), alive.clone(), notify.clone());
            thread(move || {
                let spawn = |n| handle.spawn(restless(n, alive.clone(), notify.clone()));
                let tasks: Vec<JoinHandle<()>> = (0..6).map(spawn).collect();
                notify.notify_one();
                tasks
            })
        });
        if choose(2) == 0 {
            runtime.block_on(async {
                for _ in 0..choose(20) {
                    yield_now().await;
                }
            });
        }
        tasks.iter().filter(|_| choose(8) == 0).for_each(JoinHandle::abort);
        drop(runtime);
        tasks.extend(outside.into_iter().flat_map(|thread| thread.join().unwrap()));
        for task in tasks {
            assert!(task.is_finished(), "a task outlives its runtime");
            match Builder::new_current_thread().build().unwrap().block_on(task) {
                Ok(()) => reached("ended"),
                Err(error) => {
                    assert!(error.is_cancelled(), "{error}");
                    reached("cancelled");
                }
            }
        }
        alive.none();
    });
}

/// `shutdown_timeout` with a worker that is stuck in a poll, and a job that is stuck in the pool.
#[test]
fn storm_shutdown_timeout() {
    storm("storm_shutdown_timeout", || {
        let (runtime, alive) = (workers(4), Alive::default());
        let free = Arc::new(Gate::default());
        for n in 0..12 {
            drop(runtime.spawn(restless(n, alive.clone(), Arc::default())));
        }
        for _ in 0..2 {
            let (theirs, one) = (free.clone(), alive.one());
            drop(runtime.spawn(async move {
                let _one = one;
                yield_now().await;
                theirs.wait();
            }));
            let (theirs, one) = (free.clone(), alive.one());
            drop(runtime.spawn_blocking(move || {
                let _one = one;
                theirs.wait();
            }));
        }
        // Some are stuck by then, and others stand in for them. Not in `block_on`, which may run one that
        // is stuck.
        park_timeout(MS * choose(8) as u32);
        runtime.shutdown_timeout(5 * MS);
        // It has returned, with two workers and two jobs stuck. That all threads end now is the storm's to see.
        free.open();
    });
}

/// Blocks threads until it is opened.
#[derive(Default)]
struct Gate {
    open: AtomicBool,
    waiting: Lock<Vec<harness::thread::Thread>>,
}

impl Gate {
    fn wait(&self) {
        self.waiting.lock().push(current());
        while !self.open.load(SeqCst) {
            park();
        }
    }

    fn open(&self) {
        self.open.store(true, SeqCst);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.iter().for_each(harness::thread::Thread::unpark);
    }
}

/// Jobs at the pool's cap, from tasks, threads and other jobs, while its threads come and go.
#[test]
fn storm_blocking() {
    must_reach(&["retired"]);
    storm("storm_blocking", || {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(4).max_blocking_threads(3).thread_keep_alive(MS);
        let runtime = builder.build().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let job = |ran: &Arc<AtomicUsize>| {
            let ran = ran.clone();
            move || {
                ran.fetch_add(1, Relaxed);
            }
        };
        let handle = runtime.handle().clone();
        let theirs = ran.clone();
        let outside = thread(move || {
            let jobs = [(); 4].map(|()| handle.spawn_blocking(job(&theirs)));
            jobs.into_iter().for_each(|job| handle.block_on(job).unwrap());
        });
        let tasks: Vec<_> = (0..8u32)
            .map(|n| {
                let ran = ran.clone();
                runtime.spawn(async move {
                    spawn_blocking(job(&ran)).await.unwrap();
                    // Long enough for threads to retire, or nearly.
                    sleep(MS * (n % 3)).await;
                    let theirs = ran.clone();
                    let outer = spawn_blocking(move || {
                        theirs.fetch_add(1, Relaxed);
                        spawn_blocking(job(&theirs))
                    });
                    outer.await.unwrap().await.unwrap();
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        outside.join().unwrap();
        assert_eq!(ran.load(Relaxed), 4 + 8 * 3);
        if runtime.metrics().num_blocking_threads() < 2 {
            reached("retired");
        }
    });
}

/// A runtime without sockets has nobody in its poller. Who registers the first calls somebody there, whether
/// workers sleep, are about to, or run tasks.
#[test]
fn storm_first_source() {
    storm("storm_first_source", || {
        let runtime = workers(1 + choose(3) as usize);
        let task = runtime.spawn(async {
            for _ in 0..choose(4) {
                yield_now().await;
            }
        });
        let handle = runtime.handle().clone();
        let opener = thread(move || driver::open(&handle));
        opener.join().unwrap();
        if driver::is_deserted(runtime.handle()) {
            reached("nobody is there yet");
        }
        // Whoever was called is on its way.
        let comes = (0..50).any(|_| {
            park_timeout(MS);
            !driver::is_deserted(runtime.handle())
        });
        assert!(comes, "nobody looks at the first socket");
        runtime.block_on(task).unwrap();
    });
    must_reach(&["nobody is there yet"]);
}

/// A thread in `block_on` that had the poller's turn, and goes: a worker comes to the poller.
#[test]
fn storm_turn() {
    storm("storm_turn", || {
        let runtime = workers(1 + choose(3) as usize);
        driver::open(runtime.handle());
        let guests = [0, 1].map(|_| {
            let handle = runtime.handle().clone();
            thread(move || handle.block_on(sleep(MS * choose(3) as u32)))
        });
        runtime.block_on(async {
            for _ in 0..choose(4) {
                sleep(MS * choose(2) as u32).await;
            }
        });
        guests.into_iter().for_each(|guest| guest.join().unwrap());
        let comes = (0..50).any(|_| {
            park_timeout(MS);
            !driver::is_deserted(runtime.handle())
        });
        assert!(comes, "nobody waits in the poller");
    });
}

/// Timers of all kinds on many workers: none is early, none is lost, the dropped ones are gone.
#[test]
fn storm_timers() {
    storm("storm_timers", || {
        let runtime = workers(4);
        let tasks: Vec<_> = (0..16u32)
            .map(|n| {
                runtime.spawn(async move {
                    let start = time::Instant::now();
                    let long = sleep(Duration::from_secs(u64::from(n)));
                    match n % 4 {
                        0 => assert!(timeout(n * MS, pending::<()>()).await.is_err()),
                        1 => {
                            sleep(n * MS).await;
                            drop(long);
                        }
                        2 => assert_eq!(timeout(Duration::from_secs(99), async { 7 }).await, Ok(7)),
                        _ => {
                            let mut ticks = time::interval(MS);
                            for _ in 0..n {
                                ticks.tick().await;
                            }
                        }
                    }
                    let due = if n % 4 == 2 { 0 } else { n - u32::from(n % 4 == 3) };
                    assert!(start.elapsed() >= due * MS, "{n} is early");
                })
            })
            .collect();
        // Timers that were set by a guest, and go to others when it leaves.
        let (tx, rx) = oneshot::channel();
        runtime.block_on(async move {
            drop(spawn(async move {
                sleep(2 * MS).await;
                tx.send(()).unwrap();
            }));
            sleep(MS).await;
        });
        rx.blocking_recv().unwrap();
        runtime.block_on(async move {
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(runtime.metrics().num_timers(), 0);
    });
}

/// A sleep by a paused clock that is not moved past its end.
async fn nap(n: u32) {
    let start = time::Instant::now();
    sleep(n * MS).await;
    let took = start.elapsed();
    assert!((n * MS..(n + 1) * MS).contains(&took), "{took:?} for {n} ms");
}

/// A paused clock moves when all are asleep, with and without a poller, and never past what is on its way.
#[test]
fn storm_paused_clock() {
    storm("storm_paused_clock", || {
        let mut builder = Builder::new_multi_thread();
        let workers = 1 + choose(3) as usize;
        let runtime = builder.worker_threads(workers).start_paused(true);
        let runtime = runtime.block_on_runs_tasks(choose(2) == 0).build().unwrap();
        if choose(2) == 0 {
            driver::open(runtime.handle());
        }
        let all = runtime.block_on(async {
            let (tx, mut rx) = mpsc::channel(1);
            for n in 1..=3 {
                let tx = tx.clone();
                drop(spawn(async move {
                    for ms in [1, 2, n] {
                        nap(ms).await;
                        for _ in 0..choose(2) {
                            yield_now().await;
                        }
                        tx.send(n).await.unwrap();
                    }
                }));
            }
            drop(tx);
            let mut all = 0;
            while let Ok(Some(n)) = timeout(Duration::from_secs(99), rx.recv()).await {
                all += n;
            }
            all
        });
        assert_eq!(all, 3 * (1 + 2 + 3));
    });
}

/// Threads that come into `block_on` and go, while the last to fall asleep is about to move a paused clock.
#[test]
fn storm_paused_clock_vs_guests() {
    storm("storm_paused_clock_vs_guests", || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1 + choose(2) as usize).start_paused(true);
        let runtime = builder.block_on_runs_tasks(true).build().unwrap();
        let far = runtime.spawn(async {
            for _ in 0..30 {
                nap(3).await;
            }
        });
        let guests: Vec<Thread<()>> = (0..3)
            .map(|_| {
                let handle = runtime.handle().clone();
                thread(move || (0..10).for_each(|_| handle.block_on(nap(1 + choose(2) as u32))))
            })
            .collect();
        runtime.block_on(nap(1));
        guests.into_iter().for_each(|guest| guest.join().unwrap());
        runtime.block_on(far).unwrap();
    });
}

/// A poll that blocks its thread until another task has run, which may lie behind it, or wait for a timer.
async fn stuck() {
    let gate = Arc::new(Gate::default());
    let theirs = gate.clone();
    let opener = spawn(async move {
        yield_now().await;
        if choose(2) == 0 {
            // In the wheel of a worker that may be stuck by then.
            sleep(MS).await;
        }
        theirs.open();
    });
    if choose(2) == 0 {
        yield_now().await;
    }
    gate.wait();
    opener.await.unwrap();
}

/// Polls that are stuck, under load, and after a time in which the monitor has fallen asleep.
#[test]
fn storm_rescue() {
    must_reach(&["rescued"]);
    storm("storm_rescue", || {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).on_slow_poll(|_| {}).build().unwrap();
        runtime.block_on(async {
            if choose(2) == 0 {
                sleep(Duration::from_secs(1)).await;
            }
            let tasks: Vec<_> = (0..4).map(|_| spawn(stuck())).collect();
            let load: Vec<_> = (0..4).map(|_| spawn(tree(2, Alive::default()))).collect();
            for task in tasks {
                task.await.unwrap();
            }
            for task in load {
                assert_eq!(task.await.unwrap(), 4);
            }
            sleep(MS).await;
        });
        if runtime.metrics().rescues_count() > 0 {
            reached("rescued");
        }
    });
}

/// Roots that block their threads until what they have spawned has run: each poll is stuck once for each.
#[test]
fn storm_stuck_root() {
    must_reach(&["rescued", "found without a rescue"]);
    storm("storm_stuck_root", || {
        let mut builder = Builder::new_multi_thread();
        let workers = 1 + choose(2) as usize;
        let builder = builder.worker_threads(workers).block_on_runs_tasks(choose(4) != 0);
        let runtime = builder.on_slow_poll(|_| {}).build().unwrap();
        let rounds = move || async move {
            for _ in 0..3 {
                let gate = Arc::new(Gate::default());
                let theirs = gate.clone();
                let opener = spawn(async move { theirs.open() });
                gate.wait();
                if choose(3) == 0 {
                    opener.await.unwrap();
                }
            }
        };
        let handle = runtime.handle().clone();
        let other = thread(move || handle.block_on(rounds()));
        runtime.block_on(rounds());
        other.join().unwrap();
        let rescued = runtime.metrics().rescues_count() > 0;
        reached(if rescued { "rescued" } else { "found without a rescue" });
    });
}

/// `block_in_place` on every worker at once.
#[test]
fn storm_block_in_place() {
    storm("storm_block_in_place", || {
        let runtime = workers(2);
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                runtime.spawn(async move {
                    let (tx, rx) = oneshot::channel();
                    let other = spawn(async move {
                        if n % 2 == 0 {
                            sleep(MS).await;
                        }
                        tx.send(n).unwrap();
                    });
                    if choose(2) == 0 {
                        // The timer may be set by then, in this worker's wheel.
                        yield_now().await;
                    }
                    assert_eq!(block_in_place(|| rx.blocking_recv()), Ok(n));
                    other.await.unwrap();
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

/// The sync primitives on four workers, with tasks that are aborted wherever they are.
#[test]
fn storm_sync() {
    must_reach(&["aborted", "not aborted"]);
    storm("storm_sync", || {
        let runtime = workers(4);
        let (mutex, rw) = (Arc::new(Mutex::new((0, 0))), Arc::new(RwLock::new((0, 0))));
        let semaphore = Arc::new(Semaphore::new(2));
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<JoinHandle<()>> = (0..12)
            .map(|n| {
                let (mutex, rw) = (mutex.clone(), rw.clone());
                let (semaphore, inside) = (semaphore.clone(), inside.clone());
                runtime.spawn(async move {
                    let permit = semaphore.acquire().await.unwrap();
                    assert!(inside.fetch_add(1, SeqCst) < 2, "more than two permits");
                    let leaves = OnDrop(inside.clone());
                    {
                        let mut both = mutex.lock().await;
                        both.0 += 1;
                        both.1 += 1;
                    }
                    match n % 3 {
                        0 => {
                            let mut both = rw.write().await;
                            both.0 += 1;
                            both.1 += 1;
                        }
                        _ => {
                            let both = rw.read().await;
                            assert_eq!(both.0, both.1, "a reader beside a writer");
                            yield_now().await;
                        }
                    }
                    drop(leaves);
                    drop(permit);
                })
            })
            .collect();
        tasks.iter().filter(|_| choose(3) == 0).for_each(JoinHandle::abort);
        runtime.block_on(async {
            for task in tasks {
                let is_ok = task.await.is_ok();
                reached(if is_ok { "not aborted" } else { "aborted" });
            }
            let both = mutex.lock().await;
            assert_eq!(both.0, both.1);
        });
        assert_eq!(semaphore.available_permits(), 2, "a permit is lost");
        assert!(rw.try_write().is_ok(), "a lock is lost");
    });
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Channels with many senders and receivers that come and go.
#[test]
fn storm_channels() {
    storm("storm_channels", || {
        let (runtime, alive) = (workers(4), Alive::default());
        let (tx, mut rx) = mpsc::channel(3);
        let (all, first) = broadcast::channel(2);
        let (state, mut seen) = watch::channel(0);
        let senders: Vec<_> = (0..6usize)
            .map(|n| {
                let (tx, alive, mut all) = (tx.clone(), alive.clone(), all.subscribe());
                runtime.spawn(async move {
                    let mut sent = 0;
                    while sent < 6 && tx.send((n, alive.one())).await.is_ok() {
                        sent += 1;
                    }
                    drop(tx);
                    let mut told = 0;
                    while let Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) = all.recv().await
                    {
                        told += 1;
                    }
                    assert!(told > 0);
                    sent
                })
            })
            .collect();
        drop((tx, first));
        let take = choose(40) as usize;
        let watcher = runtime.spawn(async move {
            while seen.changed().await.is_ok() {}
            *seen.borrow()
        });
        runtime.block_on(async move {
            let mut received = 0;
            while received < take {
                let Some((_, one)) = rx.recv().await else { break };
                drop(one);
                received += 1;
                all.send(received).unwrap();
                state.send_replace(received);
            }
            drop(rx);
            all.send(99).unwrap();
            drop(all);
            let mut sent = 0;
            for sender in senders {
                sent += sender.await.unwrap();
            }
            assert!(received == take.min(36) && received <= sent);
            drop(state);
            assert_eq!(watcher.await.unwrap(), received);
        });
        drop(runtime);
        alive.none();
    });
}
