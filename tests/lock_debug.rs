//! The debug mode for locks: what is stuck is named, and what is not is not. It is for the whole process, so these
//! tests run one after the other.

use reiver::runtime::{Builder, Runtime};
use reiver::sync::debug::{StuckLock, watch_locks};
use reiver::sync::{Mutex, RwLock, Semaphore};
use reiver::task;
use reiver::time::{Duration, sleep};
use std::future::Future;
use std::pin::pin;
use std::process::Command;
use std::sync::{Arc, MutexGuard, mpsc};

const PATIENCE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

fn alone() -> MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn watched() -> mpsc::Receiver<StuckLock> {
    watched_for(PATIENCE)
}

fn watched_for(patience: Duration) -> mpsc::Receiver<StuckLock> {
    let (tell, told) = mpsc::channel();
    watch_locks(patience, move |stuck| drop(tell.send(stuck.clone()))).unwrap();
    told
}

fn two() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn named(runtime: &Runtime, name: &str, future: impl Future<Output = ()> + Send + 'static) {
    drop(task::Builder::new().name(name).spawn_on(future, runtime.handle()).unwrap());
}

/// The names of the tasks in a cycle, in any order.
#[track_caller]
fn cycle(stuck: &StuckLock) -> Vec<String> {
    let StuckLock::Deadlock { cycle, .. } = stuck else { panic!("{stuck}") };
    let mut names: Vec<_> =
        cycle.iter().map(|(user, _)| user.name().unwrap_or("?").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn tasks_that_wait_for_each_other_are_named_once() {
    let _alone = alone();
    let told = watched();
    let runtime = two();
    let locks: Arc<[Mutex<u8>; 3]> =
        Arc::new([Mutex::new(0).named(&"zeroth"), Mutex::new(1), Mutex::new(2)]);
    let barrier = Arc::new(reiver::sync::Barrier::new(3));
    for (at, name) in ["first", "second", "third"].into_iter().enumerate() {
        let (locks, barrier) = (locks.clone(), barrier.clone());
        named(&runtime, name, async move {
            let _mine = locks[at].lock().await;
            barrier.wait().await;
            let _next = locks[(at + 1) % 3].lock().await;
        });
    }
    let stuck = told.recv_timeout(LONG).unwrap();
    assert_eq!(cycle(&stuck), ["first", "second", "third"]);
    let text = stuck.to_string();
    assert!(text.contains("\"first\" (spawned at tests/lock_debug.rs:"), "{text}");
    assert!(text.contains("waits for Mutex<u8> at 0x"), "{text}");
    // A name moves with its lock.
    assert!(text.contains("waits for Mutex<u8> \"zeroth\" at 0x"), "{text}");
    let StuckLock::Deadlock { cycle, .. } = &stuck else { panic!("{stuck}") };
    let mut names: Vec<_> = cycle.iter().map(|(_, lock)| lock.name()).collect();
    names.sort();
    assert_eq!(names, [None, None, Some("zeroth")]);
    // Somebody who only waits behind it is not a part of it.
    let behind = locks.clone();
    named(&runtime, "behind", async move { drop(behind[0].lock().await) });
    assert!(told.recv_timeout(3 * PATIENCE).is_err());
}

#[test]
fn a_task_that_waits_for_itself_is_named() {
    let _alone = alone();
    let told = watched();
    let runtime = two();
    let lock = Arc::new(RwLock::new(String::new()).named(&"text"));
    let (reader, writer) = (lock.clone(), lock);
    let (is_read, written) = reiver::sync::oneshot::channel();
    let (asked, has_asked) = reiver::sync::oneshot::channel();
    named(&runtime, "reader", async move {
        let _first = reader.read().await;
        is_read.send(()).unwrap();
        has_asked.await.unwrap();
        // Behind the writer, which waits for the first one: a trap of all fair locks.
        let _second = reader.read().await;
    });
    named(&runtime, "writer", async move {
        written.await.unwrap();
        let mut write = pin!(writer.write());
        let mut asked = Some(asked);
        let write = std::future::poll_fn(|cx| {
            let poll = write.as_mut().poll(cx);
            asked.take().into_iter().for_each(|asked| asked.send(()).unwrap());
            poll
        });
        drop(write.await);
    });
    let stuck = told.recv_timeout(LONG).unwrap();
    assert_eq!(cycle(&stuck), ["reader"]);
    assert!(stuck.to_string().contains("RwLock<alloc::string::String> \"text\" at"), "{stuck}");
}

#[test]
fn a_lock_granted_to_a_future_that_is_not_polled_is_named() {
    let _alone = alone();
    let told = watched();
    let runtime = two();
    let lock = Arc::new(Mutex::new(()));
    let theirs = lock.clone();
    named(&runtime, "selecting", async move {
        let held = theirs.lock().await;
        let mut first = pin!(theirs.lock());
        reiver::select! {
            biased;
            _ = &mut first => unreachable!("it is held"),
            _ = task::yield_now() => {}
        }
        drop(held); // to `first`, which is kept, and polled no more
        drop(theirs.lock().await);
    });
    let stuck = told.recv_timeout(LONG).unwrap();
    let StuckLock::Futurelock { lock: name, owner, waiting, .. } = &stuck else {
        panic!("{stuck}")
    };
    assert_eq!((owner.name(), waiting.len()), (Some("selecting"), 1));
    assert_eq!(waiting[0].name(), Some("selecting"));
    assert!(owner.location().unwrap().file().ends_with("lock_debug.rs"));
    assert!(name.type_name().unwrap().contains("Mutex<()>"));
    assert!(told.recv_timeout(3 * PATIENCE).is_err(), "it is told once");
    drop((runtime, lock));
    // A semaphore has no holders, and its futures may be left as well.
    static SEMAPHORE: Semaphore = Semaphore::const_new(1).named(&"places");
    let semaphore = &SEMAPHORE;
    let held = semaphore.try_acquire().unwrap();
    let runtime = two();
    runtime.block_on(async {
        let mut kept = pin!(semaphore.acquire());
        let mut behind = pin!(semaphore.acquire());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(kept.as_mut().poll(&mut cx).is_pending());
        assert!(behind.as_mut().poll(&mut cx).is_pending());
        drop(held);
        let stuck = told.recv_timeout(LONG).unwrap();
        assert!(matches!(&stuck, StuckLock::Futurelock { owner, .. } if owner.id().is_none()));
        assert!(stuck.to_string().contains("Semaphore \"places\" at"), "{stuck}");
        assert!(kept.await.is_ok());
        assert!(behind.await.is_ok());
    });
}

#[test]
fn what_goes_on_is_not_reported() {
    let _alone = alone();
    // Far more than the waits below take on a busy machine.
    let patience = 5 * PATIENCE;
    let told = watched_for(patience);
    let runtime = two();
    let locks = Arc::new([Mutex::new(0), Mutex::new(0)]);
    // Long holds that end, and waits that are given up, which would be a deadlock otherwise.
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let locks = locks.clone();
            runtime.spawn(async move {
                for _ in 0..20 {
                    let _mine = locks[n % 2].lock().await;
                    let other = locks[(n + 1) % 2].lock();
                    let _ = reiver::time::timeout(PATIENCE / 20, other).await;
                }
            })
        })
        .collect();
    let held = runtime.block_on(locks[0].lock());
    runtime.block_on(sleep(2 * patience));
    drop(held);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert!(told.recv_timeout(2 * patience).is_err());
}

#[test]
fn the_environment_turns_it_on() {
    if std::env::var_os("REIVER_LOCK_DEBUG_CHILD").is_some() {
        let lock = Arc::new(Mutex::new(0));
        let _held = lock.try_lock().unwrap();
        two().block_on(async {
            reiver::time::timeout(10 * PATIENCE, lock.lock()).await.unwrap_err()
        });
        return;
    }
    let child = |milliseconds: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_environment_turns_it_on", "--nocapture"]);
        command.env("REIVER_LOCK_DEBUG_CHILD", "1").env("REIVER_DEBUG_LOCKS", milliseconds);
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let text = child("100");
    assert!(text.contains("reiver: deadlock: a thread outside of tasks"), "{text}");
    let text = child("off");
    assert!(!text.contains("deadlock"), "{text}");
}
