//! What `#[reiver::sim]` finds, and what it says.

extern crate reiver_model as reiver;

use reiver::sim::{Found, Sim, cancel_anywhere, choose};
use reiver::sync::{Mutex, mpsc, oneshot};
use reiver::time::{Duration, Instant, sleep, timeout};
use std::cell::RefCell;
use std::future::Future;
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
    let text = found.to_string();
    assert!(
        text.contains("root waits at ")
            && text.contains("tests/sim.rs:50 in sync::mutex::Mutex::lock"),
        "{found}"
    );
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
        Box::pin(async { drop(reiver::net::TcpListener::bind("127.0.0.1:0").await) })
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
