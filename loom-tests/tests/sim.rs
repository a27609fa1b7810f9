//! What `#[reiver::sim]` finds, and what it says.

extern crate reiver_model as reiver;

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::sim::{Found, Sim, cancel_anywhere, choose};
use reiver::sync::{Mutex, Semaphore, mpsc, oneshot};
use reiver::task::JoinSet;
use reiver::time::{Duration, Instant, sleep, timeout};
use std::cell::RefCell;
use std::future::Future;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn find<F: Future<Output = ()> + 'static>(name: &str, body: impl Fn() -> F) -> Found {
    let sim = Sim::new(module_path!(), name, file!());
    let found = sim.clone().find(&body).expect_err("a failure");
    println!("{found}");
    for _ in 0..10 {
        let again = sim.replay(&found.seed(), &body).expect("the seed leads to the failure");
        assert_eq!(again.message(), found.message());
    }
    found
}

#[test]
fn a_lost_update_is_found() {
    let found = find("lost", || async {
        let value = Arc::new(Mutex::new(0));
        let add = |value: Arc<Mutex<i32>>| async move {
            let read = *value.lock().await;
            *value.lock().await = read + 1;
        };
        let task = reiver::spawn(add(value.clone()));
        add(value.clone()).await;
        task.await.unwrap();
        assert_eq!(*value.lock().await, 2);
    });
    assert!(found.message().contains("root panicked at loom-tests/tests/sim.rs"), "{found}");
}

#[test]
fn two_locks_the_wrong_way_round_are_a_deadlock() {
    let found = find("locks", || async {
        let a = Arc::new(Mutex::new(()));
        let b = Arc::new(Mutex::new(()));
        let (a2, b2) = (a.clone(), b.clone());
        let task = reiver::spawn(async move {
            let _b = b2.lock().await;
            let _a = a2.lock().await;
        });
        let _a = a.lock().await;
        let _b = b.lock().await;
        drop((_a, _b));
        task.await.unwrap();
    });
    assert!(found.message().contains("deadlock"), "{found}");
    // The place in this file, and who has what it waits for.
    let text = found.to_string();
    let root = text.lines().find(|line| line.contains("root waits at ")).expect(&text);
    assert!(root.contains("tests/sim.rs:"), "{found}");
    assert!(root.contains(" in sync::mutex::Locking, for the Mutex<()> of task 1 ("), "{found}");
}

#[reiver::sim(seeds = 300)]
async fn a_timeout_and_a_value_race() {
    let (tx, rx) = oneshot::channel();
    reiver::spawn(async move {
        sleep(Duration::from_millis(10)).await;
        let _ = tx.send(());
    });
    match timeout(Duration::from_millis(10), rx).await {
        Ok(_) => reiver::reached!("in time"),
        Err(_) => reiver::reached!("too late"),
    }
}

/// The search through all schedules is the first quarter of the runs.
const SYSTEMATIC: u64 = 250;

/// What happens in few runs is no less a part of "all there are" than the orders of tasks: the search through
/// all finds it.
#[test]
fn a_short_read_is_found() {
    let found = find("short", || async {
        let (mut client, mut server) = reiver::sim::duplex(64);
        client.write_all(b"hello").await.unwrap();
        let read = server.read(&mut [0; 5]).await.unwrap();
        assert_eq!(read, 5, "read whole");
    });
    assert!(found.message().contains("read whole"), "{found}");
    assert!(found.run() <= SYSTEMATIC, "only by chance: {found}");
}

#[test]
fn a_late_timer_is_found() {
    let found = find("late", || async {
        let start = Instant::now();
        sleep(Duration::from_millis(10)).await;
        assert!(start.elapsed() < Duration::from_millis(20), "woken in time");
    });
    assert!(found.message().contains("woken in time"), "{found}");
    assert!(found.run() <= SYSTEMATIC, "only by chance: {found}");
}

#[test]
fn a_refusal_is_found() {
    let sim = Sim::new(module_path!(), "refused", file!()).refusals(true);
    let found = sim.find(|| async {
        let semaphore = Semaphore::new(1);
        let other = reiver::spawn(async {});
        assert!(semaphore.try_acquire().is_ok(), "nobody else is here");
        other.await.unwrap();
    });
    let found = found.expect_err("a failure");
    assert!(found.message().contains("nobody else is here"), "{found}");
    assert!(found.run() <= SYSTEMATIC, "only by chance: {found}");
}

#[reiver::sim(refusals = true)]
async fn what_is_there_may_not_be_seen() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.send(1).await.unwrap();
    if rx.try_recv().is_err() {
        reiver::reached!("no value");
    }
    let mut set = JoinSet::new();
    let task = set.spawn(async {});
    while !task.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    if set.try_join_next().is_none() {
        reiver::reached!("no end");
    }
}

/// Time passes while a task is ready: it is slow.
#[reiver::sim]
async fn a_slow_task_misses_its_deadline() {
    let work = async {
        for _ in 0..3 {
            reiver::task::yield_now().await;
        }
    };
    match timeout(Duration::from_millis(1), work).await {
        Ok(()) => reiver::reached!("in time"),
        Err(_) => reiver::reached!("too late"),
    }
}

#[reiver::sim]
async fn hours_pass_at_once() {
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..10).map(|hours| reiver::spawn(sleep(Duration::from_secs(3600 * hours)))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(start.elapsed() >= Duration::from_secs(9 * 3600));
}

#[reiver::sim(seeds = 20)]
async fn thousands_of_tasks() {
    let (tx, mut rx) = mpsc::channel(16);
    for n in 0..2000u64 {
        let tx = tx.clone();
        reiver::spawn(async move { tx.send(n).await });
    }
    drop(tx);
    let mut sum = 0;
    while let Some(n) = rx.recv().await {
        sum += n;
    }
    assert_eq!(sum, 1999 * 1000);
}

#[reiver::sim]
async fn a_recv_that_is_dropped_loses_nothing() {
    let (tx, mut rx) = mpsc::channel(1);
    reiver::spawn(async move {
        tx.send(1).await.unwrap();
        tx.send(2).await.unwrap();
    });
    let first = match cancel_anywhere(rx.recv()).await {
        Some(value) => value,
        None => {
            reiver::reached!("dropped");
            rx.recv().await
        }
    };
    assert_eq!((first, rx.recv().await), (Some(1), Some(2)));
}

#[reiver::sim]
async fn every_choice_is_met() -> Result<(), String> {
    match choose(3) {
        0 => reiver::reached!("0"),
        1 => reiver::reached!("1"),
        _ => reiver::reached!("2"),
    }
    Ok(())
}

fn says(text: &str, name: &str, body: impl Fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>) {
    let found = Sim::new(module_path!(), name, file!()).seeds(200).find(body);
    let found = found.expect_err("a failure");
    assert!(found.to_string().contains(text), "{found}");
}

#[test]
fn what_checks_nothing_is_refused() {
    says("there is only one way to run this", "nothing", || Box::pin(async {}));
    says("a runtime of its own", "runtime", || {
        Box::pin(async { drop(reiver::runtime::Runtime::new()) })
    });
    says("a real socket", "socket", || {
        Box::pin(async { drop(reiver::net::UdpSocket::bind("127.0.0.1:0").await) })
    });
    says("`block_on`, which stops its thread", "block_on", || {
        Box::pin(async { reiver::runtime::Handle::current().block_on(async {}) })
    });
    says("woken by a thread that is no part", "thread", || {
        Box::pin(async {
            let (tx, rx) = oneshot::channel();
            std::thread::spawn(move || tx.send(())).join().unwrap().unwrap();
            let (tx2, rx2) = oneshot::channel::<()>();
            reiver::spawn(async move {
                rx.await.unwrap();
                reiver::task::yield_now().await;
                std::thread::spawn(move || tx2.send(())).join().unwrap().unwrap();
            });
            rx2.await.unwrap();
        })
    });
    says("Nobody here waits for what other threads", "foreign", || {
        Box::pin(async {
            let (tx, rx) = oneshot::channel();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(60));
                tx.send(())
            });
            rx.await.unwrap();
        })
    });
    says("no end after", "endless", || {
        Box::pin(async {
            loop {
                reiver::task::yield_now().await;
            }
        })
    });
    says("panicked at", "detached", || {
        Box::pin(async {
            reiver::spawn(async { panic!("nobody awaits this") });
            reiver::task::yield_now().await;
            reiver::task::yield_now().await;
        })
    });
}

#[test]
fn what_is_not_deterministic_is_refused() {
    let runs = RefCell::new(0);
    let found = Sim::new(module_path!(), "random", file!()).find(|| {
        *runs.borrow_mut() += 1;
        let tasks = *runs.borrow() % 3;
        async move {
            let tasks: Vec<_> = (0..tasks).map(|_| reiver::spawn(async {})).collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
    let found = found.expect_err("a failure");
    assert!(found.message().contains("two different things"), "{found}");
}

/// Says to a child in which way it is blocked.
const BLOCKED: &str = "REIVER_TEST_BLOCKED";

/// What blocks a simulation's only thread ends the process, with a sentence; so each way has a process.
#[test]
fn what_blocks_the_thread_is_told() {
    const NAME: &str = "what_blocks_the_thread_is_told";
    if let Ok(way) = std::env::var(BLOCKED) {
        let sim = Sim::new(module_path!(), NAME, file!());
        return sim.run(move || block(way.clone()));
    }
    let ways = ["lock", "channel", "loop"].map(|way| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([NAME, "--exact"]).env(BLOCKED, way).env_remove("REIVER_SEED");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        (way, command.spawn().unwrap())
    });
    // One that is not told of would wait for ever.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    // All of them, before the first that fails ends this.
    let ended = ways.map(|(way, mut child)| {
        while child.try_wait().unwrap().is_none() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        (way, child.wait_with_output().unwrap())
    });
    for (way, output) in ended {
        let said = String::from_utf8_lossy(&output.stderr);
        println!("{way}: {said}");
        assert!(!output.status.success(), "{way}");
        let who = if way == "loop" { "the body blocks its thread" } else { "task 1 (" };
        for part in [who, "nothing has moved for 5s", "use reiver's", "REIVER_SEED=", NAME] {
            assert!(said.contains(part), "{way}: {said}");
        }
    }
}

async fn block(way: String) {
    match way.as_str() {
        "lock" => {
            let lock = Arc::new(std::sync::Mutex::new(()));
            let other = lock.clone();
            let guard = lock.lock();
            let task = reiver::spawn(async move { drop(other.lock()) });
            task.await.unwrap();
            drop(guard);
        }
        "channel" => {
            let (tx, rx) = std::sync::mpsc::channel::<()>();
            reiver::spawn(async move { rx.recv().unwrap() });
            reiver::task::yield_now().await;
            tx.send(()).unwrap();
        }
        _ => loop {
            std::hint::spin_loop();
        },
    }
}

/// Two orders, and none of them gets to the label.
async fn two_tasks() {
    let task = reiver::spawn(async {});
    reiver::task::yield_now().await;
    task.await.unwrap();
}

#[reiver::sim]
#[should_panic(expected = "never reached in")]
async fn a_label_of_the_body_is_demanded() {
    two_tasks().await;
    if Arc::strong_count(&Arc::new(())) > 1 {
        reiver::reached!("the end");
    }
}

#[reiver::sim(must_reach = ["the end"])]
#[should_panic(expected = "never reached in")]
async fn a_label_of_the_attribute_is_demanded() {
    two_tasks().await;
}
