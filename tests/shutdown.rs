//! The end of a runtime that has everything in it: all is freed, in time, and nobody is woken twice.
//!
//! `valgrind --leak-check=full` on this test's binary says the same of what these counts cannot see.

mod support;

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::{TcpListener, TcpStream};
use reiver::runtime::{Activity, Builder, Runtime, RuntimeFlavor};
use reiver::sync::{Mutex, Notify, mpsc, oneshot};
use reiver::task::{JoinHandle, block_in_place, try_id, yield_now};
use reiver::time::{interval, sleep, timeout};
use std::future::{Future, pending};
use std::io::Read;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc as std_mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};
use support::{Task, task};

const TASKS: usize = 10_000;
/// Sockets are pairs of descriptors; a soft limit of 1024 is common.
const SOCKETS: usize = 100;
const FAR: Duration = Duration::from_secs(100_000);
/// How long a test may take at most where it waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn runtimes() -> [Runtime; 2] {
    let mut builders = [Builder::new_multi_thread(), Builder::new_current_thread()];
    builders[0].worker_threads(2);
    builders.map(|mut builder| builder.max_blocking_threads(2).build().unwrap())
}

/// Counts the values that live.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn one(&self) -> One {
        self.0.fetch_add(1, SeqCst);
        One(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// Waits until no more than `left` live.
    fn wait_for(&self, left: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.count() > left {
            assert!(Instant::now() < deadline, "{} are left", self.count());
            thread::yield_now();
        }
    }
}

struct One(Alive);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// A future that somebody outside of every runtime waits for.
fn watched<F: Future>(future: F) -> Task<F> {
    let mut task = task(future);
    task.pending();
    task
}

/// Spawns [`TASKS`] tasks that wait for all sorts of things, for ever, and waits until each does.
fn many(runtime: &Runtime, alive: &Alive) -> Vec<JoinHandle<()>> {
    let notify = Arc::new(Notify::new());
    let lock = Arc::new(Mutex::new(()));
    let held = runtime.block_on(lock.clone().lock_owned());
    let (sender, receiver) = mpsc::channel::<One>(8);
    let begun = Arc::new(AtomicUsize::new(0));
    let mut tasks = vec![runtime.spawn({
        let one = alive.one();
        async move {
            let _held = (one, held, receiver);
            pending().await
        }
    })];
    for n in 1..TASKS {
        let (one, alive, begun) = (alive.one(), alive.clone(), begun.clone());
        let (notify, lock, sender) = (notify.clone(), lock.clone(), sender.clone());
        tasks.push(runtime.spawn(async move {
            let _one = one;
            begun.fetch_add(1, SeqCst);
            match n % 8 {
                0 => sleep(FAR).await,
                1 => notify.notified().await,
                2 => drop(lock.lock().await),
                // The channel fills, and nobody receives.
                3 => while sender.send(alive.one()).await.is_ok() {},
                4 => drop(timeout(FAR, pending::<()>()).await),
                5 => {
                    let one = alive.one();
                    drop(reiver::spawn(async move { drop((one, pending::<()>().await)) }).await);
                }
                6 => {
                    let (_sender, receiver) = oneshot::channel::<One>();
                    drop(receiver.await);
                }
                _ => {
                    let mut ticks = interval(Duration::from_millis(50));
                    loop {
                        ticks.tick().await;
                    }
                }
            }
            // Who is in a poll when the others are dropped may see that; it does not get further.
            pending().await
        }));
    }
    runtime.block_on(async {
        while begun.load(SeqCst) < TASKS - 1 {
            yield_now().await;
        }
    });
    tasks
}

/// Connections between tasks of the runtime and sockets of this thread, and a listener.
fn sockets(runtime: &Runtime, alive: &Alive) -> Vec<std::net::TcpStream> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> =
        (0..SOCKETS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let talk = |mut stream: TcpStream, one: One| async move {
        let _one = one;
        stream.write_all(b"!").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    };
    let accepting = alive.clone();
    let one = alive.one();
    runtime.spawn(async move {
        let _one = one;
        while let Ok((stream, _)) = listener.accept().await {
            reiver::spawn(talk(stream, accepting.one()));
        }
    });
    // Each is accepted and inside its task. The task of a current-thread runtime needs its turns.
    let heard = runtime.handle().spawn_blocking(move || {
        for mut client in &clients {
            client.read_exact(&mut [0]).unwrap();
        }
        clients
    });
    runtime.block_on(heard).unwrap()
}

/// Jobs that run until a task of the runtime is dropped, and jobs that wait for them.
fn jobs(runtime: &Runtime, alive: &Alive) -> (Vec<JoinHandle<()>>, Vec<JoinHandle<()>>) {
    let (hold, held) = std_mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let (begun, begin) = std_mpsc::channel();
    let running = (0..2).map(|_| {
        let (one, held, begun) = (alive.one(), held.clone(), begun.clone());
        runtime.spawn_blocking(move || {
            let _one = one;
            begun.send(()).unwrap();
            assert!(held.lock().unwrap().recv().is_err());
        })
    });
    let running = running.collect();
    let queued = (0..100).map(|_| {
        let one = alive.one();
        runtime.spawn_blocking(move || drop(one))
    });
    let queued = queued.collect();
    (0..2).for_each(|_| begin.recv().unwrap());
    let one = alive.one();
    runtime.spawn(async move {
        let _held = (one, hold);
        pending::<()>().await
    });
    (running, queued)
}

#[test]
fn all_is_freed_and_each_waiter_is_woken_once() {
    let ends: [fn(Runtime); 2] = [drop, |runtime| runtime.shutdown_timeout(PATIENCE)];
    for end in ends {
        for runtime in runtimes() {
            let alive = Alive::default();
            let tasks = many(&runtime, &alive);
            let clients = sockets(&runtime, &alive);
            let (running, queued) = jobs(&runtime, &alive);
            let watch = |handles: Vec<_>| handles.into_iter().map(watched).collect::<Vec<_>>();
            let (mut tasks, mut running, mut queued) =
                (watch(tasks), watch(running), watch(queued));
            // Timers that no task of the runtime waits for.
            let mut sleeps: Vec<_> = {
                let _context = runtime.enter();
                (0..100).map(|_| watched(sleep(FAR))).collect()
            };
            assert!(alive.count() > TASKS + SOCKETS + 100);

            end(runtime);

            assert_eq!(alive.count(), 0);
            for cancelled in &mut tasks {
                let Poll::Ready(Err(error)) = cancelled.poll() else { panic!("not cancelled") };
                assert!(error.is_cancelled(), "{error}");
            }
            // A thread of the pool may take a job just before the pool is closed.
            assert!(queued.iter_mut().all(|job| job.poll().is_ready()));
            assert!(running.iter_mut().all(|job| matches!(job.poll(), Poll::Ready(Ok(())))));
            for watched in tasks.iter().chain(&queued).chain(&running) {
                assert_eq!(watched.wakes(), 1);
            }
            for sleep in &mut sleeps {
                assert_eq!(sleep.wakes(), 1);
            }
            for mut client in clients {
                assert_eq!(client.read(&mut [0]).unwrap(), 0, "the other end is open still");
            }
        }
    }
}

#[test]
fn what_is_stuck_is_not_waited_for_beyond_the_timeout() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    for (threads, runtime) in runtimes().into_iter().enumerate().map(|(n, r)| (2 * (1 - n), r)) {
        let alive = Alive::default();
        let tasks = many(&runtime, &alive);
        let (release, stuck) = std_mpsc::channel::<()>();
        let stuck = Arc::new(std::sync::Mutex::new(stuck));
        let (begun, begin) = std_mpsc::channel();
        let block = |one: One| {
            let (stuck, begun) = (stuck.clone(), begun.clone());
            move || {
                begun.send(()).unwrap();
                let _ = stuck.lock().unwrap().recv();
                drop(one);
            }
        };
        let job = runtime.spawn_blocking(block(alive.one()));
        begin.recv().unwrap();
        // A current-thread runtime has no other thread that could be stuck.
        let task = (threads > 0).then(|| {
            let block = block(alive.one());
            let task = runtime.spawn(async move { block() });
            begin.recv().unwrap();
            task
        });
        let start = Instant::now();
        runtime.shutdown_timeout(TIMEOUT);
        let took = start.elapsed();
        assert!(took >= TIMEOUT && took < PATIENCE / 2, "{took:?}");
        // The worker that is not stuck frees the rest, if it has not yet.
        let stuck = 1 + usize::from(task.is_some());
        alive.wait_for(stuck);
        assert_eq!(alive.count(), stuck);
        drop(release);
        alive.wait_for(0);
        let other = Builder::new_current_thread().build().unwrap();
        other.block_on(async {
            job.await.expect("a job that has begun runs to its end");
            if let Some(task) = task {
                task.await.expect("so does a poll");
            }
            for task in tasks {
                assert!(task.await.unwrap_err().is_cancelled());
            }
        });
    }
}

#[test]
fn dropped_inside_async_code() {
    for own in [true, false] {
        for runtime in runtimes() {
            let alive = Alive::default();
            let tasks = many(&runtime, &alive);
            let clients = sockets(&runtime, &alive);
            let (running, queued) = jobs(&runtime, &alive);
            let other = Builder::new_multi_thread().worker_threads(1).build().unwrap();
            if own {
                let (give, given) = oneshot::channel::<Runtime>();
                let handle = runtime.handle().clone();
                let dropping = handle.spawn(async move { drop(given.await.unwrap()) });
                match handle.runtime_flavor() {
                    RuntimeFlavor::MultiThread => drop(give.send(runtime)),
                    // Whoever blocks on it holds it, or a handle.
                    _ => {
                        drop(give.send(runtime));
                        handle.block_on(dropping).unwrap();
                    }
                }
            } else {
                other.block_on(other.spawn(async move { drop(runtime) })).unwrap();
            }
            // Nobody waits for the end there; it comes all the same.
            alive.wait_for(0);
            other.block_on(async {
                for task in tasks {
                    assert!(task.await.unwrap_err().is_cancelled());
                }
                for job in queued {
                    assert!(job.await.map_or_else(|error| error.is_cancelled(), |()| true));
                }
                for job in running {
                    job.await.unwrap();
                }
            });
            for mut client in clients {
                assert_eq!(client.read(&mut [0]).unwrap(), 0, "the other end is open still");
            }
        }
    }
}

/// Polls a timer for the first time in the very poll that ends its runtime.
#[test]
fn a_timer_in_the_last_poll() {
    for runtime in runtimes() {
        let handle = runtime.handle().clone();
        let alive = Alive::default();
        let one = alive.one();
        let (give, given) = oneshot::channel::<Runtime>();
        let task = handle.spawn(async move {
            let _one = one;
            drop(given.await.unwrap());
            sleep(FAR).await;
        });
        // A root is nobody's to drop: for it there is no way but the panic.
        let root = |inside: bool| {
            let panic = std::panic::catch_unwind(AssertUnwindSafe(|| {
                if inside {
                    handle.block_on(async { handle.block_on(sleep(FAR)) });
                } else {
                    handle.block_on(sleep(FAR));
                }
            }));
            let message = *panic.unwrap_err().downcast::<&str>().unwrap();
            assert!(message.contains("after its runtime was shut down"), "{message}");
        };
        let threads = handle.runtime_flavor() == RuntimeFlavor::MultiThread;
        let _ = give.send(runtime);
        let error = handle.block_on(task).unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        alive.wait_for(0);
        root(false);
        if threads {
            root(true);
        }
    }
}

/// A task that blocks its thread when the runtime ends gets the panic, too.
#[test]
fn a_timer_in_a_task_that_blocks() {
    let [runtime, _] = runtimes();
    let handle = runtime.handle().clone();
    let (give, given) = std_mpsc::channel::<Runtime>();
    let task = handle.spawn({
        let handle = handle.clone();
        async move {
            drop(block_in_place(|| given.recv().unwrap()));
            handle.block_on(async {
                assert!(try_id().is_none(), "block_on's own future is no task");
                sleep(FAR).await;
            });
        }
    });
    give.send(runtime).unwrap();
    let error = Builder::new_current_thread().build().unwrap().block_on(task).unwrap_err();
    assert!(error.is_panic(), "{error}");
}

/// The report names what is left, whatever keeps it.
#[test]
fn the_report_says_what_is_stuck_and_where() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .task_records(true)
        .on_slow_poll(|_| {})
        .build()
        .unwrap();
    let (begin, begun) = std_mpsc::channel();
    let doors: Vec<_> = [false, true]
        .map(|is_job| {
            let (door, closed) = std_mpsc::channel::<()>();
            let begin = begin.clone();
            let block = move || {
                begin.send(()).unwrap();
                let _ = closed.recv();
            };
            if is_job {
                let _entered = runtime.enter();
                drop(reiver::task::Builder::new().name("a job").spawn_blocking(block).unwrap());
            } else {
                let named = reiver::task::Builder::new().name("a blocker");
                named.spawn_on(async move { block() }, runtime.handle()).unwrap();
            }
            door
        })
        .into();
    // Its future cannot be dropped before that thread has had its fill.
    struct Slow(std_mpsc::Receiver<()>, std_mpsc::Sender<()>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.1.send(()).unwrap();
            let _ = self.0.recv();
        }
    }
    let (door, closed) = std_mpsc::channel::<()>();
    let slow = Slow(closed, begin.clone());
    runtime.spawn(async move {
        let _slow = slow;
        std::future::pending::<()>().await
    });
    (0..2).for_each(|_| begun.recv().unwrap());
    let report = runtime.shutdown(Duration::from_secs(2));
    assert!(!report.is_clean());
    let text = report.to_string();
    let of = |name| report.stuck_workers().iter().find(|poll| poll.name() == name);
    let (blocker, dropper) = (of(Some("a blocker")).expect(&text), of(None).expect(&text));
    assert_eq!(blocker.activity(), Activity::Blocked);
    assert!(blocker.elapsed() >= Duration::from_secs(2));
    let stack: String = blocker.stack().iter().map(|frame| format!("{frame}\n")).collect();
    assert!(stack.contains("recv") && stack.contains("tests/shutdown.rs"), "{text}");
    // Optimised code does not say inside of which function a closure was inlined.
    assert!(!cfg!(debug_assertions) || stack.contains("the_report_says"), "{text}");
    let stack: String = dropper.stack().iter().map(|frame| format!("{frame}\n")).collect();
    assert!(stack.contains("drop"), "{text}");
    assert_eq!(report.tasks().len(), 2, "{text}");
    assert_eq!(report.blocking_jobs()[0].task().name(), Some("a job"));
    assert!(report.blocking_jobs()[0].age().unwrap() >= Duration::from_secs(2));
    assert!(text.contains("\"a job\"") && text.contains("\"a blocker\""), "{text}");
    drop((doors, door));
}
