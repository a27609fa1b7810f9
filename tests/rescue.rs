//! A task that blocks its thread, or computes for long, holds up nobody else.

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::{TcpListener, TcpStream};
use reiver::runtime::{Activity, Builder, Rescue, Runtime, SlowPoll, Subject};
use reiver::time::{sleep, timeout};
use std::future::{Future, poll_fn};
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Far above what a slow machine takes, far below what the blockers here block for.
const SOON: Duration = Duration::from_secs(20);
/// A blocker that is not let go on by its test.
const AGES: Duration = Duration::from_secs(600);

/// A runtime whose threads in `block_on` work.
fn working(builder: &mut Builder) -> Runtime {
    builder.block_on_runs_tasks(true).build().unwrap()
}

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).on_slow_poll(|_| {}).build().unwrap()
}

/// Tasks that block until the end of this.
struct Blockers {
    doors: Vec<mpsc::Sender<()>>,
}

impl Blockers {
    /// Blocks `count` threads of `runtime`, and returns when they are.
    fn new(runtime: &Runtime, count: usize) -> Self {
        let (begin, begun) = mpsc::channel();
        let block = |_| {
            let (door, closed) = mpsc::channel::<()>();
            let begin = begin.clone();
            runtime.spawn(async move {
                begin.send(()).unwrap();
                let _ = closed.recv_timeout(AGES);
            });
            door
        };
        let doors = (0..count).map(block).collect();
        (0..count).for_each(|_| begun.recv_timeout(SOON).expect("all block at once"));
        Self { doors }
    }
}

#[test]
fn spawned_tasks_run_while_all_workers_block() {
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let blockers = Blockers::new(&runtime, 2 * workers);
        let (send, receive) = mpsc::channel();
        for n in 0..100 {
            let send = send.clone();
            runtime.spawn(async move { send.send(n).unwrap() });
        }
        let ran = (0..100).map(|_| receive.recv_timeout(SOON).expect("somebody runs it"));
        assert_eq!(ran.sum::<i32>(), 99 * 100 / 2);
        assert!(runtime.metrics().num_stuck_workers() >= workers);
        drop(blockers);
    }
}

/// It is private to the worker: nobody could steal it.
#[test]
fn what_a_task_woke_before_it_blocked_is_run() {
    let runtime = runtime(1);
    let (send, receive) = mpsc::channel();
    let (door, closed) = mpsc::channel::<()>();
    runtime.spawn(async move {
        reiver::spawn(async move { send.send(()).unwrap() });
        let _ = closed.recv_timeout(AGES);
    });
    receive.recv_timeout(SOON).expect("it was in `next`");
    drop(door);
}

/// It goes on to be stuck, and nobody looks into its queue a second time.
#[test]
fn what_a_task_wakes_between_two_long_blocks_is_run() {
    let runtime = runtime(1);
    let (send, receive) = mpsc::channel();
    let (door, closed) = mpsc::channel::<()>();
    let rescued = runtime.metrics();
    runtime.spawn(async move {
        while rescued.num_stuck_workers() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        for n in 0..3 {
            let send = send.clone();
            reiver::spawn(async move { send.send(n).unwrap() });
        }
        let _ = closed.recv_timeout(AGES);
    });
    let ran = (0..3).map(|_| receive.recv_timeout(SOON).expect("it was put where others find it"));
    assert_eq!(ran.sum::<i32>(), 3);
    drop(door);
}

#[test]
fn timers_of_a_blocked_worker_fire() {
    let runtime = runtime(1);
    let (send, receive) = mpsc::channel();
    let set = Arc::new(AtomicUsize::new(0));
    for n in 0..50 {
        let (send, set) = (send.clone(), set.clone());
        runtime.spawn(async move {
            let mut sleep = std::pin::pin!(sleep(Duration::from_millis(200 + n)));
            let mut first = true;
            poll_fn(|cx| {
                let polled = sleep.as_mut().poll(cx);
                if std::mem::take(&mut first) {
                    set.fetch_add(1, Relaxed);
                }
                polled
            })
            .await;
            send.send(()).unwrap();
        });
    }
    while set.load(Relaxed) < 50 {
        std::thread::yield_now();
    }
    let blockers = Blockers::new(&runtime, 1);
    (0..50).for_each(|_| receive.recv_timeout(SOON).expect("somebody has the wheel"));
    drop(blockers);
}

/// Its wheel was taken while its poll was blocked; then the same poll sets a timer, and blocks again.
#[test]
fn a_timer_set_in_a_poll_that_is_rescued_fires() {
    let runtime = runtime(1);
    let (send, receive) = mpsc::channel();
    let rescued = runtime.metrics();
    runtime.spawn(async move {
        while rescued.num_stuck_workers() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (door, closed) = mpsc::channel::<()>();
        let mut other = Box::pin(async move {
            sleep(Duration::from_millis(50)).await;
            drop(door);
        });
        // Polled here, so that its timer is set by this poll; it goes on in a task of its own.
        let _ = poll_fn(|cx| Poll::Ready(other.as_mut().poll(cx).is_pending())).await;
        let timer = reiver::spawn(other);
        let in_time = closed.recv_timeout(AGES) == Err(mpsc::RecvTimeoutError::Disconnected);
        drop(timer);
        send.send(in_time).unwrap();
    });
    assert!(receive.recv_timeout(SOON).expect("the timer fires"));
}

async fn echo(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        reiver::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..n]).await.unwrap();
            }
        });
    }
}

/// Two blocked workers of two, and 64 connections: the runtime's own clients, which are blocked for as long as
/// their servers. Whatever the machine does meanwhile, they are not blocked for as long as the blockers.
#[test]
fn connections_go_on_while_all_workers_block() {
    const CONNECTIONS: usize = 64;
    const BLOCKED: Duration = Duration::from_secs(3);
    let runtime = runtime(2);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let _guard = runtime.enter();
    runtime.spawn(echo(TcpListener::from_std(listener).unwrap()));
    let (stop, worst) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let trips = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (stop, worst, trips) = (stop.clone(), worst.clone(), trips.clone());
            runtime.spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut mine = Vec::new();
                while !stop.load(Relaxed) {
                    let start = Instant::now();
                    stream.write_all(b"0123456789").await.unwrap();
                    stream.read_exact(&mut [0; 10]).await.unwrap();
                    mine.push(start.elapsed());
                    worst.fetch_max(start.elapsed().as_micros() as u64, Relaxed);
                }
                trips.lock().unwrap().extend(mine);
            })
        })
        .collect();
    let blockers: Vec<_> =
        (0..2).map(|_| runtime.spawn(async { std::thread::sleep(BLOCKED) })).collect();
    runtime.handle().block_on(async {
        for blocker in blockers {
            blocker.await.unwrap();
        }
        stop.store(true, Relaxed);
        for client in clients {
            timeout(SOON, client).await.expect("it does not wait").unwrap();
        }
    });
    let mut trips = std::mem::take(&mut *trips.lock().unwrap());
    trips.sort_unstable();
    let p99 = trips[trips.len() * 99 / 100];
    let worst = Duration::from_micros(worst.load(Relaxed));
    println!("{} trips, p99 {p99:?}, worst {worst:?}", trips.len());
    println!("{:?}", runtime.metrics().rescues_count());
    assert!(worst < BLOCKED / 2, "{worst:?}");
    assert!(runtime.metrics().rescues_count() >= 2);
}

#[test]
fn tasks_that_wait_for_each_other_on_their_threads_all_come() {
    const TASKS: usize = 24;
    let runtime = runtime(2);
    for round in 0..3 {
        let start = Instant::now();
        let barrier = Arc::new(Barrier::new(TASKS));
        let (send, receive) = mpsc::channel();
        for _ in 0..TASKS {
            let (barrier, send) = (barrier.clone(), send.clone());
            runtime.spawn(async move {
                barrier.wait();
                send.send(()).unwrap();
            });
        }
        (0..TASKS).for_each(|_| receive.recv_timeout(SOON).expect("all get a thread"));
        println!("round {round}: {:?}", start.elapsed());
    }
}

/// When all is over, what the rescues needed is given back.
#[test]
fn stand_ins_leave_when_the_stuck_come_back() {
    let runtime = runtime(2);
    for _ in 0..3 {
        drop(Blockers::new(&runtime, 6));
        let start = Instant::now();
        let metrics = runtime.metrics();
        let is_calm = || {
            metrics.num_stuck_workers() == 0
                && metrics.num_blocking_threads() == metrics.num_idle_blocking_threads()
        };
        while !is_calm() {
            assert!(start.elapsed() < SOON, "{metrics:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        // And the workers are at work.
        let (send, receive) = mpsc::channel();
        runtime.spawn(async move { send.send(()).unwrap() });
        receive.recv_timeout(SOON).unwrap();
    }
}

#[test]
fn more_are_stuck_than_can_be_rescued() {
    // 1 worker and 32 spare slots.
    const TASKS: usize = 40;
    let runtime = runtime(1);
    let (begin, begun) = mpsc::channel();
    let doors: Vec<_> = (0..TASKS)
        .map(|_| {
            let (door, closed) = mpsc::channel::<()>();
            let begin = begin.clone();
            runtime.spawn(async move {
                begin.send(()).unwrap();
                let _ = closed.recv_timeout(AGES);
            });
            door
        })
        .collect();
    (0..33).for_each(|_| begun.recv_timeout(SOON).unwrap());
    assert!(begun.recv_timeout(Duration::from_millis(100)).is_err(), "threads are bounded");
    drop(doors);
    (33..TASKS).for_each(|_| begun.recv_timeout(SOON).unwrap());
}

#[test]
fn a_panic_in_a_rescued_poll_is_the_tasks_own() {
    let runtime = runtime(1);
    let (door, closed) = mpsc::channel::<()>();
    let metrics = runtime.metrics();
    let task = runtime.spawn(async move {
        let _ = closed.recv_timeout(AGES);
        panic!("after a rescue");
    });
    while metrics.num_stuck_workers() == 0 {
        std::thread::yield_now();
    }
    drop(door);
    let error = runtime.handle().block_on(task).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(runtime.block_on(runtime.spawn(async { 1 })).unwrap(), 1);
}

#[test]
fn a_task_that_was_woken_while_it_was_rescued_is_polled_again() {
    let runtime = runtime(1);
    let (wake, waker) = mpsc::channel();
    let (door, closed) = mpsc::channel::<()>();
    let closed = Mutex::new(closed);
    let task = runtime.spawn(async move {
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                wake.send(cx.waker().clone()).unwrap();
                let _ = closed.lock().unwrap().recv_timeout(AGES);
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    });
    let metrics = runtime.metrics();
    while metrics.num_stuck_workers() == 0 {
        std::thread::yield_now();
    }
    waker.recv().unwrap().wake();
    drop(door);
    runtime.handle().block_on(async { timeout(SOON, task).await.unwrap().unwrap() });
}

#[test]
fn shutdown_does_not_wait_for_the_stuck_longer_than_asked() {
    let runtime = runtime(2);
    let (tell, told) = mpsc::channel();
    let other = runtime.spawn(async move {
        let _on_drop: mpsc::Sender<()> = tell;
        std::future::pending::<()>().await;
    });
    let mut blockers = Blockers::new(&runtime, 3);
    let start = Instant::now();
    let report = runtime.shutdown(Duration::from_millis(300));
    assert!(start.elapsed() < SOON);
    assert!(!report.is_clean());
    assert_eq!(report.tasks().len(), 3, "{report:?}");
    assert_eq!(told.recv_timeout(SOON), Err(mpsc::RecvTimeoutError::Disconnected), "dropped");
    drop(other);
    blockers.doors.clear();
}

#[test]
fn shutdown_waits_for_the_stuck() {
    let runtime = runtime(2);
    let blockers = Blockers::new(&runtime, 3);
    let opener = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(blockers);
    });
    drop(runtime);
    opener.join().unwrap();
}

/// A thread in `block_on` that runs tasks too: its own future cannot be moved. It is held up once.
#[test]
fn a_root_is_not_held_up_twice() {
    let runtime = working(Builder::new_multi_thread().worker_threads(1).on_slow_poll(|_| {}));
    runtime.block_on(async {
        let main = std::thread::current().id();
        // Tasks that block this thread, until the monitor has caught it.
        while runtime.metrics().rescues_count() == 0 {
            drop(reiver::spawn(async move {
                if std::thread::current().id() == main {
                    std::thread::sleep(Duration::from_millis(100));
                }
            }));
            reiver::task::yield_now().await;
        }
        let (door, closed) = mpsc::channel::<()>();
        let task = reiver::spawn(async move {
            let _ = closed.recv_timeout(AGES);
            std::thread::current().id()
        });
        for _ in 0..100 {
            sleep(Duration::from_millis(1)).await;
        }
        drop(door);
        assert_ne!(task.await.unwrap(), main);
    });
}

/// What a root spawns in a poll that was taken for stuck is found by others, each time.
#[test]
fn a_root_may_wait_for_its_tasks_by_blocking() {
    let mut works = Builder::new_multi_thread();
    for runtime in [runtime(1), working(works.worker_threads(1).on_slow_poll(|_| {}))] {
        let (sender, tasks) = mpsc::channel();
        runtime.block_on(async {
            for number in 0..5 {
                let sender = sender.clone();
                drop(reiver::spawn(async move { sender.send(number).unwrap() }));
                assert_eq!(tasks.recv_timeout(SOON), Ok(number));
            }
        });
    }
}

/// With tokio such programs end: its threads in `block_on` run no tasks.
#[test]
fn a_root_goes_on_while_tasks_wait_for_it_by_blocking() {
    for in_place in [true, false] {
        let runtime = runtime(1);
        runtime.block_on(async {
            for number in 0..5 {
                let (sender, receiver) = mpsc::channel();
                let wait = move || receiver.recv_timeout(SOON).unwrap();
                let task = reiver::spawn(async move {
                    if in_place { reiver::task::block_in_place(wait) } else { wait() }
                });
                sleep(Duration::from_millis(5)).await;
                sender.send(number).unwrap();
                assert_eq!(task.await.unwrap(), number);
            }
        });
    }
}

/// As many as may block by their own leave at once have somebody who goes on with the others.
#[test]
fn many_tasks_block_in_place_for_each_other() {
    let runtime = runtime(2);
    let (count, all) = (50, Arc::new(Barrier::new(50)));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let all = all.clone();
            runtime.spawn(async move { reiver::task::block_in_place(|| all.wait().is_leader()) })
        })
        .collect();
    let leaders = runtime.block_on(async {
        let mut leaders = 0;
        for task in tasks {
            leaders += usize::from(timeout(SOON, task).await.expect("it hangs").unwrap());
        }
        leaders
    });
    assert_eq!(leaders, 1);
}

#[test]
fn computing_tasks_are_rescued_too() {
    let runtime = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let task = runtime.spawn(async move {
        while !stopped.load(Relaxed) {
            std::hint::spin_loop();
        }
    });
    let (send, receive) = mpsc::channel();
    runtime.spawn(async move {
        sleep(Duration::from_millis(1)).await;
        send.send(()).unwrap();
    });
    receive.recv_timeout(SOON).expect("a stand-in runs it");
    stop.store(true, Relaxed);
    runtime.handle().block_on(task).unwrap();
}

/// Whoever is rescued goes on with what it computes, and does not hand it to the thread that has come for the others.
#[test]
fn ticks_beside_tasks_that_compute_come_by_rescue() {
    const CHUNK: Duration = Duration::from_millis(20);
    let runtime = runtime(2);
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..2 {
        let stop = stop.clone();
        drop(runtime.spawn(async move {
            while !stop.load(Relaxed) {
                let begun = Instant::now();
                while begun.elapsed() < CHUNK {
                    std::hint::spin_loop();
                }
                reiver::task::yield_now().await;
            }
        }));
    }
    let ticks = runtime.spawn(async {
        let begun = Instant::now();
        let mut ticks = 0;
        while begun.elapsed() < 150 * CHUNK {
            sleep(Duration::from_millis(1)).await;
            ticks += 1;
        }
        ticks
    });
    let ticks = runtime.block_on(ticks).unwrap();
    stop.store(true, Relaxed);
    // Above 2000, and 90 to 520 where most wait for a chunk or two.
    assert!(ticks > 600, "{ticks}");
}

#[test]
fn blocking_in_place_is_no_reason_for_a_rescue() {
    let runtime = runtime(1);
    let (door, closed) = mpsc::channel::<()>();
    let metrics = runtime.metrics();
    let task = runtime.spawn(async move {
        reiver::task::block_in_place(|| {
            let _ = closed.recv_timeout(AGES);
        });
    });
    runtime.handle().block_on(async { sleep(Duration::from_millis(100)).await });
    drop(door);
    runtime.handle().block_on(task).unwrap();
    assert_eq!(metrics.rescues_count(), 0);
}

/// A `block_on` in a poll that has been rescued has others to do its worker's work.
#[test]
fn block_on_inside_a_rescued_poll() {
    let runtime = runtime(1);
    let metrics = runtime.metrics();
    let handle = runtime.handle().clone();
    let task = runtime.spawn(async move {
        while metrics.num_stuck_workers() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        handle.block_on(async {
            let child = reiver::spawn(async {
                sleep(Duration::from_millis(1)).await;
                3
            });
            sleep(Duration::from_millis(10)).await;
            child.await.unwrap()
        })
    });
    let result = runtime.handle().block_on(async { timeout(SOON, task).await });
    assert_eq!(result.unwrap().unwrap(), 3);
}

#[test]
fn nothing_is_rescued_when_it_is_off() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .rescue(Rescue::Off)
        .slow_poll(Duration::from_millis(1))
        .on_slow_poll(|slow| panic!("{slow}"))
        .build()
        .unwrap();
    let blockers = Blockers::new(&runtime, 1);
    let (send, receive) = mpsc::channel();
    runtime.spawn(async move { send.send(()).unwrap() });
    assert!(receive.recv_timeout(Duration::from_millis(100)).is_err());
    assert_eq!(runtime.metrics().rescues_count(), 0);
    drop(blockers);
    receive.recv_timeout(SOON).unwrap();
}

// ---- the report -------------------------------------------------------------------------------

fn listening(builder: &mut Builder) -> (Runtime, mpsc::Receiver<SlowPoll>) {
    let (send, receive) = mpsc::channel();
    let builder = builder.on_slow_poll(move |slow| drop(send.send(slow.clone())));
    (builder.build().unwrap(), receive)
}

#[test]
fn a_report_names_the_task_and_what_it_does() {
    let (runtime, reports) = listening(Builder::new_multi_thread().worker_threads(1));
    // For as long as the process, as the tasks may be.
    let mutex: &Mutex<()> = Box::leak(Box::new(Mutex::new(())));
    let held = mutex.lock().unwrap();
    let (door, closed) = mpsc::channel::<()>();
    let (mut pipe, end) = std::os::unix::net::UnixStream::pair().unwrap();
    let going = Arc::new(());
    let is_going = Arc::downgrade(&going);
    // A macro, so that each has a spawn site of its own: a stack is taken once for each.
    macro_rules! stuck {
        ($name:literal, $activity:ident, $body:expr) => {{
            let task = reiver::task::Builder::new().name($name);
            let task = task.spawn_on(async move { $body }, runtime.handle()).unwrap();
            let slow = reports.recv_timeout(SOON).expect($name);
            println!("{slow}");
            assert_eq!((slow.name(), slow.id()), (Some($name), Some(task.id())));
            let site = slow.location().unwrap();
            assert_eq!((site.file(), site.line()), (file!(), line!()));
            assert_eq!(slow.activity(), Activity::$activity, "{slow}");
            assert!(slow.is_rescued() && slow.elapsed() >= Duration::from_millis(1), "{slow}");
            // The function in which it is stuck, by its place in this file.
            if cfg!(target_os = "linux") {
                let culprit = slow.culprit().expect("there is a stack");
                assert!(
                    culprit.file.as_deref().is_some_and(|at| at.ends_with(file!())),
                    "{slow:#?}"
                );
                // A loop has instructions that the compiler gives no line.
                let is_here = |line| (line!()..line!() + 2).contains(&line);
                let is_loop = slow.activity() == Activity::Computing;
                assert!(culprit.line.map_or(is_loop, is_here), "{slow:#?}");
            }
        }};
    }
    stuck!("sleeper", Blocked, std::thread::sleep(Duration::from_secs(2)));
    stuck!("receiver", Blocked, closed.recv_timeout(AGES).unwrap_or(()));
    stuck!("locker", Blocked, drop(mutex.lock()));
    stuck!("reader", Blocked, drop(pipe.read(&mut [0])));
    stuck!("spinner", Computing, while is_going.strong_count() > 0 {});
    drop((held, door, end, going));
}

/// Held: no name is resolved.
static NAME_SERVER: Mutex<()> = Mutex::new(());

/// Stands before the C library's in this program.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
extern "C" fn getaddrinfo(
    _node: *const libc::c_char,
    _service: *const libc::c_char,
    _hints: *const libc::addrinfo,
    _found: *mut *mut libc::addrinfo,
) -> libc::c_int {
    drop(NAME_SERVER.lock());
    libc::EAI_AGAIN
}

/// Name resolution by std, whose name server does not answer.
#[cfg(target_os = "linux")]
#[test]
fn a_report_names_who_waits_for_a_name_server() {
    use std::net::ToSocketAddrs;
    let (runtime, reports) = listening(Builder::new_multi_thread().worker_threads(1));
    let silent = NAME_SERVER.lock().unwrap();
    let line = line!() + 2;
    let lookup = async {
        assert!("example.org:80".to_socket_addrs().is_err());
    };
    let task = reiver::task::Builder::new().name("a lookup");
    let task = task.spawn_on(lookup, runtime.handle()).unwrap();
    let slow = reports.recv_timeout(SOON).unwrap();
    println!("{slow}");
    assert_eq!((slow.name(), slow.id()), (Some("a lookup"), Some(task.id())));
    assert_eq!((slow.activity(), slow.is_rescued()), (Activity::Blocked, true));
    let names = |part: &str| {
        slow.stack().iter().any(|f| f.function.as_deref().is_some_and(|name| name.contains(part)))
    };
    assert!(names("getaddrinfo") && names("to_socket_addrs"), "{slow:#?}");
    let is_here = |frame: &reiver::runtime::Frame| {
        frame.file.as_deref().is_some_and(|at| at.ends_with(file!())) && frame.line == Some(line)
    };
    assert!(slow.stack().iter().any(is_here), "{slow:#?}");
    drop(silent);
    runtime.handle().block_on(task).unwrap();
}

#[test]
fn a_warning_rescues_nobody() {
    for (mut builder, name) in
        [(Builder::new_multi_thread(), "multi"), (Builder::new_current_thread(), "current")]
    {
        let builder = builder.worker_threads(1).rescue(Rescue::Warn);
        let (runtime, reports) = listening(builder.slow_poll(Duration::from_millis(30)));
        let task = runtime.spawn(async move {
            let slow = reports.recv_timeout(SOON).unwrap();
            assert!(!slow.is_rescued() && slow.elapsed() >= Duration::from_millis(30));
            slow
        });
        let slow = runtime.block_on(task).unwrap();
        assert!(slow.location().is_some(), "{name}");
        assert_eq!(runtime.metrics().rescues_count(), 0);
        assert_eq!(runtime.metrics().slow_polls_count(), 1);
    }
}

#[test]
fn a_root_that_blocks_is_reported_as_such() {
    let mut builder = Builder::new_multi_thread();
    let (runtime, reports) = listening(builder.worker_threads(1).block_on_runs_tasks(true));
    let slow = runtime.block_on(async { reports.recv_timeout(SOON).unwrap() });
    assert_eq!((slow.id(), slow.location()), (None, None));
}

/// Nobody is awake meanwhile but the job's thread.
#[test]
fn blocking_jobs_that_run_or_wait_for_long_are_reported_once() {
    const LIMIT: Duration = Duration::from_millis(50);
    let (tell, told) = mpsc::channel::<SlowPoll>();
    let tell = Mutex::new(tell);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .slow_blocking(LIMIT)
        .on_slow_poll(move |slow| tell.lock().unwrap().send(slow.clone()).unwrap())
        .build()
        .unwrap();
    let (door, closed) = mpsc::channel::<()>();
    let entered = runtime.enter();
    let named = |name| reiver::task::Builder::new().name(name);
    let runs = named("runs").spawn_blocking(move || _ = closed.recv()).unwrap();
    let waits = named("waits").spawn_blocking(|| ()).unwrap();
    let mut reports = [(); 2].map(|()| told.recv_timeout(SOON).expect("both are reported"));
    reports.sort_by_key(SlowPoll::id);
    let subjects = reports.each_ref().map(|slow| (slow.id(), slow.name(), slow.subject()));
    assert_eq!(
        subjects,
        [
            (Some(runs.id()), Some("runs"), Subject::RunningJob),
            (Some(waits.id()), Some("waits"), Subject::QueuedJob),
        ]
    );
    for slow in &reports {
        assert!(slow.elapsed() >= LIMIT && slow.location().unwrap().file() == file!());
    }
    assert!(reports[0].to_string().contains(" runs for "), "{}", reports[0]);
    assert!(reports[1].to_string().contains(" waits for a thread "), "{}", reports[1]);
    drop((door, entered));
    runtime.block_on(async { (runs.await.unwrap(), waits.await.unwrap()) });
    let metrics = runtime.metrics();
    drop(runtime);
    assert_eq!(told.try_iter().count(), 0, "once each; {metrics:?}");
}
