//! The ledger: how many changes of words that all workers share one operation costs. `src/ARCHITECTURE.md`,
//! invariant 10.
//!
//! Two workers, each with one task that does the same many times over. A word that both of them have
//! changed often is shared by the machine: it would be changed by 64 workers as well. The counts come from
//! the facade (`src/primitive/hybrid/ledger.rs`), so that they know nothing of time and of the machine.
//! System calls are counted by strace, where that is installed.

use reiver_model::internals::primitive::ledger::{self, Word};
use reiver_model::io::{AsyncReadExt, AsyncWriteExt};
use reiver_model::runtime::{Builder, Rescue, Runtime};
use reiver_model::sync::Semaphore;
use reiver_model::task::yield_now;
use reiver_model::time::{Duration, timeout};
use reiver_model::{net, spawn};
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::task::{Poll, Waker};

/// Operations of each worker.
const N: usize = 2000;

/// One book for the process, hence one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|broken| broken.into_inner())
}

fn runtime(workers: usize) -> Runtime {
    // The tasks wait for each other without giving way; nobody shall come to their rescue.
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers).rescue(Rescue::Off).build().unwrap()
}

/// Shared changes for one operation, of which there were so many: of words that each of two threads
/// changed in an eighth of them, by the file that the change is in. Without the words of
/// one task, of one worker's token, of one socket: there are as many of them as of those.
fn shared(words: &[Word], operations: usize) -> BTreeMap<&'static str, f64> {
    let mut sums = BTreeMap::new();
    for word in words {
        if word.by.values().filter(|&&n| n >= operations / 8).count() > 1 {
            let file = word.at.file().rsplit_once("src/").expect("a file of reiver").1;
            let each = word.by.values().sum::<usize>() as f64 / operations as f64;
            *sums.entry(file).or_default() += each;
        }
    }
    let own = ["task/state.rs", "scheduler/park.rs", "reactor/source.rs", "reactor/word.rs"];
    sums.retain(|file, _| !own.contains(file));
    println!("{sums:.3?}");
    sums
}

/// Shared changes for one operation, each worker with a task that does `N`.
fn on_two_workers<F>(operations: fn() -> F) -> BTreeMap<&'static str, f64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let _alone = alone();
    let runtime = runtime(2);
    let met = Arc::new(AtomicUsize::new(0));
    let (tell, told) = mpsc::channel();
    for _ in 0..2 {
        let (met, tell) = (met.clone(), tell.clone());
        runtime.spawn(async move {
            // Each on its worker, at the same time.
            if met.fetch_add(1, SeqCst) == 1 {
                ledger::open();
                met.fetch_add(1, SeqCst);
            }
            while met.load(SeqCst) < 3 {
                std::thread::yield_now();
            }
            operations().await;
            // When the first is done, the other worker's are no more those of two busy ones.
            tell.send(ledger::close()).unwrap();
        });
    }
    // This thread must not become a third worker.
    let words = told.recv().unwrap();
    told.recv().unwrap();
    shared(&words, 2 * N)
}

#[test]
fn what_is_shared_is_seen() {
    static PERMITS: Semaphore = Semaphore::const_new(2);
    static DONE: AtomicUsize = AtomicUsize::new(0);
    let shared = on_two_workers(|| async {
        for _ in 0..N {
            drop(PERMITS.try_acquire().unwrap());
        }
        DONE.fetch_add(1, SeqCst);
        while DONE.load(SeqCst) < 2 {
            yield_now().await;
        }
    });
    // One to take it, or more if the other came between, and one to give it back.
    assert!(shared["sync/permits.rs"] >= 2.0, "{shared:?}");
}

#[test]
fn a_yield_changes_nothing_shared() {
    let shared = on_two_workers(|| async {
        for _ in 0..N {
            yield_now().await;
        }
    });
    assert_eq!(shared, BTreeMap::new());
}

#[test]
fn a_spawn_and_an_end_change_nothing_shared() {
    let shared = on_two_workers(|| async {
        for _ in 0..N / 20 {
            let left = Arc::new(AtomicUsize::new(20));
            for _ in 0..20 {
                let left = left.clone();
                drop(spawn(async move { left.fetch_sub(1, SeqCst) }));
            }
            while left.load(SeqCst) > 0 {
                yield_now().await;
            }
        }
    });
    assert_eq!(shared, BTreeMap::new());
}

#[test]
fn a_spawn_and_join_changes_nothing_shared() {
    let shared = on_two_workers(|| async {
        for i in 0..N {
            assert_eq!(spawn(async move { i }).await.unwrap(), i);
        }
    });
    assert_eq!(shared, BTreeMap::new());
}

#[test]
fn a_wake_on_the_same_worker_changes_nothing_shared() {
    let shared = on_two_workers(|| async {
        let mut waited = 0;
        poll_fn(|cx| {
            if waited == N {
                return Poll::Ready(());
            }
            waited += 1;
            let waker = cx.waker().clone();
            drop(spawn(async move { waker.wake() }));
            Poll::Pending
        })
        .await;
    });
    assert_eq!(shared, BTreeMap::new());
}

#[test]
fn a_timer_set_and_cancelled_changes_nothing_shared() {
    let shared = on_two_workers(|| async {
        for _ in 0..N {
            assert!(timeout(Duration::from_secs(100), yield_now()).await.is_ok());
        }
    });
    assert_eq!(shared, BTreeMap::new());
}

#[test]
fn opening_and_closing_a_socket_changes_nothing_shared() {
    let shared = on_two_workers(|| async {
        for _ in 0..N {
            drop(net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
        }
    });
    assert_eq!(shared, BTreeMap::new());
}

/// From a thread that is no worker: into the injector and out of it, and who sleeps.
#[test]
fn a_wake_from_outside_changes_the_injector_and_the_idle_word() {
    let _alone = alone();
    let runtime = runtime(2);
    let (wakers, woken) = mpsc::channel();
    let mut left = N;
    ledger::open();
    let task = runtime.spawn(poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        wakers.send(cx.waker().clone()).unwrap();
        Poll::Pending
    }));
    woken.iter().for_each(Waker::wake);
    let shared = shared(&ledger::close(), N);
    runtime.block_on(task).unwrap();
    let at_most = BTreeMap::from([
        ("scheduler/mod.rs", 2.1),  // the injector: in and out
        ("scheduler/idle.rs", 6.0), // claimed, awake, searching, asleep
        ("util/try_lock.rs", 4.0),  // the turn, by who goes to sleep
    ]);
    for (file, each) in shared {
        assert!(at_most.get(file).is_some_and(|most| each <= *most), "{file}: {each}");
    }
}

/// From the kernel to a task and back, 16 connections at a time: what is shared is shared by the batch.
#[test]
fn a_message_changes_the_turn_and_the_idle_word() {
    let _alone = alone();
    let (runtime, mut clients) = echo();
    let mut round = || {
        clients.iter_mut().for_each(|client| client.write_all(&[7; 64]).unwrap());
        clients.iter_mut().for_each(|client| client.read_exact(&mut [0; 64]).unwrap());
    };
    round();
    ledger::open();
    (0..N / CONNECTIONS).for_each(|_| round());
    let shared = shared(&ledger::close(), N);
    drop((clients, runtime));
    for (file, each) in shared {
        assert!(["scheduler/idle.rs", "util/try_lock.rs"].contains(&file), "{file}: {each}");
        // If every message came alone; a batch of 16 shares them.
        assert!(each <= 6.0, "{file}: {each}");
    }
}

const CONNECTIONS: usize = 16;

/// A task for each of the connections that sends everything back.
fn echo() -> (Runtime, Vec<TcpStream>) {
    let runtime = runtime(2);
    let here = runtime.enter();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = |_| {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = net::TcpStream::from_std(stream).unwrap();
        drop(spawn(async move {
            let mut buffer = [0; 128]; // a read that fills it says that there may be more
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..n]).await.unwrap();
            }
        }));
        client
    };
    let clients = (0..CONNECTIONS).map(connect).collect();
    drop(here);
    (runtime, clients)
}

/// Says to the child of [`calls`] what it is to do.
const CHILD: &str = "REIVER_LEDGER_CHILD";

/// What a child does so many times, under strace.
fn child(what: &str, times: usize) {
    let each: fn(usize) -> Pin<Box<dyn Future<Output = ()> + Send>> = match what {
        "yield" => |n| {
            Box::pin(async move {
                for _ in 0..n {
                    yield_now().await;
                }
            })
        },
        "spawn and join" => |n| {
            Box::pin(async move {
                for i in 0..n {
                    assert_eq!(spawn(async move { i }).await.unwrap(), i);
                }
            })
        },
        "timeout" => |n| {
            Box::pin(async move {
                for _ in 0..n {
                    assert!(timeout(Duration::from_secs(100), yield_now()).await.is_ok());
                }
            })
        },
        "echo" => {
            let (_runtime, mut clients) = echo();
            for _ in 0..times / CONNECTIONS {
                clients.iter_mut().for_each(|client| client.write_all(&[7; 64]).unwrap());
                clients.iter_mut().for_each(|client| client.read_exact(&mut [0; 64]).unwrap());
            }
            return;
        }
        _ => panic!("nothing is called {what}"),
    };
    // Without another one that might be woken to help.
    let runtime = runtime(1);
    let (tell, told) = mpsc::channel();
    runtime.spawn(async move {
        each(times).await;
        tell.send(()).unwrap();
    });
    told.recv().unwrap();
}

/// System calls of a child by name.
fn calls(what: &str, times: usize) -> HashMap<String, f64> {
    let file = std::env::temp_dir().join(format!("reiver-ledger-{}-{times}", std::process::id()));
    let status = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&file)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "system_calls", "--nocapture"])
        .env(CHILD, format!("{what}={times}"))
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let table = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    // % time, seconds, usecs/call, calls, perhaps errors, syscall
    let line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        Some((fields.last()?.to_string(), fields.get(3)?.parse().ok()?))
    };
    table.lines().filter_map(line).collect()
}

/// System calls for one operation, those left out that the child makes anyway.
fn calls_each(what: &str, times: usize) -> HashMap<String, f64> {
    let before = calls(what, 0);
    let mut each = calls(what, times);
    for (name, n) in &mut each {
        *n = (*n - before.get(name).unwrap_or(&0.0)) / times as f64;
    }
    println!("{what}: {each:.3?}");
    each
}

const WAITS: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];

#[test]
fn system_calls() {
    if let Ok(text) = std::env::var(CHILD) {
        let (what, times) = text.split_once('=').unwrap();
        return child(what, times.parse().unwrap());
    }
    let strace = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !strace.is_ok_and(|status| status.success()) {
        println!("skipped: strace is not there or may not trace");
        return;
    }
    for what in ["yield", "spawn and join", "timeout"] {
        let each = calls_each(what, 10 * N);
        // A busy worker looks at the poller by the clock: the slower it gets on, the more often for each.
        let looks = WAITS.iter().filter_map(|name| each.get(*name)).sum::<f64>();
        assert!(each["total"] - looks < 0.02, "{what}: {each:?}");
    }
    // One read and one write of the task, as many of the client; none that finds nothing, and none
    // that tells the poller again what it knows.
    let echo = calls_each("echo", N);
    let of = |names: &[&str]| names.iter().filter_map(|name| echo.get(*name)).sum::<f64>();
    let transfers = of(&["read", "write", "recvfrom", "sendto", "recvmsg", "sendmsg"]);
    assert!(transfers < 4.1, "transfers: {transfers}");
    assert!(of(&["epoll_ctl"]) < 0.05, "epoll_ctl: {echo:?}");
    assert!(of(&WAITS) < 1.1, "waits: {echo:?}");
}
