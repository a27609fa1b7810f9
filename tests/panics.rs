//! What a panic of a task brings about.

use reiver::runtime::{Builder, Handle, LocalRuntime, Runtime, UnhandledPanic};
use reiver::{net, sync, task};
use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

/// What may be used after a panic that it was used in, whatever its values are.
#[test]
fn what_is_unwind_safe() {
    fn is<T: UnwindSafe + RefUnwindSafe>() {}
    /// A value that is not.
    type Any = *mut Cell<u8>;

    is::<sync::Notify>();
    is::<sync::Semaphore>();
    is::<sync::Barrier>();
    is::<sync::Queue<u32>>();
    is::<sync::mpsc::Sender<Any>>();
    is::<sync::mpsc::WeakSender<Any>>();
    is::<sync::mpsc::Receiver<Any>>();
    is::<sync::mpsc::Permit<'_, Any>>();
    is::<sync::mpsc::OwnedPermit<Any>>();
    is::<sync::mpsc::PermitIterator<'_, Any>>();
    is::<sync::mpsc::UnboundedSender<Any>>();
    is::<sync::mpsc::WeakUnboundedSender<Any>>();
    is::<sync::mpsc::UnboundedReceiver<Any>>();
    is::<sync::oneshot::Sender<Any>>();
    is::<sync::oneshot::Receiver<Any>>();
    is::<sync::broadcast::Sender<Any>>();
    is::<sync::broadcast::WeakSender<Any>>();
    is::<sync::broadcast::Receiver<Any>>();
    is::<sync::watch::Sender<Any>>();
    is::<sync::watch::Receiver<Any>>();
    is::<Runtime>();
    is::<LocalRuntime>();
    is::<Handle>();
    is::<task::JoinHandle<Any>>();
    is::<task::AbortHandle>();
    is::<net::TcpListener>();
    is::<net::TcpSocket>();
    is::<net::TcpStream>();
    is::<net::UdpSocket>();
    is::<net::UnixDatagram>();
    is::<net::UnixListener>();
    is::<net::UnixStream>();
    // Not poisoned by a panic, so the value may be half changed: as tokio's, by value only.
    fn is_owned<T: UnwindSafe>() {}
    is_owned::<sync::Mutex<u8>>();
    is_owned::<sync::RwLock<u8>>();
}

fn builders() -> [Builder; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
}

/// The message with which `block_on` panics.
#[track_caller]
fn doom(runtime: &Runtime, main: impl Future<Output = ()>) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(main))).unwrap_err();
    *panic.downcast::<String>().unwrap()
}

#[test]
fn a_runtime_shuts_down_when_a_task_panics_if_told_to() {
    for mut builder in builders() {
        let runtime = builder
            .worker_threads(2)
            .unhandled_panic(UnhandledPanic::ShutdownRuntime)
            .build()
            .unwrap();
        let (tx, rx) = mpsc::channel::<()>();
        runtime.spawn(async move {
            let _ends = tx;
            pending::<()>().await
        });
        let text = doom(&runtime, async {
            let named = task::Builder::new().name("bad");
            let handle = named.spawn(async { panic!("no more beer") }).unwrap();
            pending::<()>().await;
            drop(handle);
        });
        assert!(text.contains("\"bad\"") && text.contains("no more beer"), "{text}");
        // A later one does not begin, and tasks are refused.
        assert_eq!(doom(&runtime, async { unreachable!() }), text);
        let refused = runtime.spawn(async {});
        drop(runtime);
        assert!(rx.recv().is_err(), "all tasks were dropped");
        assert!(refused.is_finished());
    }
}

#[test]
fn a_block_on_that_only_waits_is_told_too() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .unhandled_panic(UnhandledPanic::ShutdownRuntime)
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    let (tx, rx) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let wait = async {
            tx.send(()).unwrap();
            pending::<()>().await
        };
        catch_unwind(AssertUnwindSafe(|| handle.block_on(wait))).is_err()
    });
    rx.recv().unwrap();
    runtime.spawn(async { panic!("over") });
    assert!(waiter.join().unwrap());
}

#[test]
fn a_spawn_can_choose_otherwise() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .unhandled_panic(UnhandledPanic::ShutdownRuntime)
        .build()
        .unwrap();
    runtime.block_on(async {
        let tolerated = task::Builder::new().unhandled_panic(UnhandledPanic::Ignore);
        let task = tolerated.spawn(async { panic!("it is looked at") }).unwrap();
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(reiver::spawn(async { 1 }).await.unwrap(), 1);
    });
    let tolerant = Runtime::new().unwrap();
    let text = doom(&tolerant, async {
        let fatal = task::Builder::new().unhandled_panic(UnhandledPanic::ShutdownRuntime);
        fatal.spawn(async { panic!("fatal") }).unwrap();
        pending().await
    });
    assert!(text.contains("fatal"));
}

/// Runs the test `name` of this file in a child, which does what `dies` says.
fn dies(name: &str, message: &str, run: impl FnOnce()) {
    if std::env::var_os("REIVER_TEST_DIES").is_some() {
        run();
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env("REIVER_TEST_DIES", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && stderr.contains(message), "{stderr}");
    assert!(child.status.code().is_none(), "a signal ends it: {}", child.status);
}

#[test]
fn the_process_aborts_if_told_to() {
    dies("the_process_aborts_if_told_to", "\"bad\" (spawned at", || {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .unhandled_panic(UnhandledPanic::Abort)
            .build()
            .unwrap();
        let named = task::Builder::new().name("bad");
        let task = named.spawn_on(async { panic!("beer") }, runtime.handle()).unwrap();
        let _ = runtime.block_on(task);
    });
}

#[test]
fn the_process_aborts_if_the_spawn_says_so_on_a_local_set_too() {
    dies("the_process_aborts_if_the_spawn_says_so_on_a_local_set_too", "panicked: beer", || {
        let local = task::LocalSet::new();
        let runtime = Builder::new_current_thread().build().unwrap();
        let _ = local.block_on(&runtime, async {
            let fatal = task::Builder::new().unhandled_panic(UnhandledPanic::Abort);
            fatal.spawn_local(async { panic!("beer") }).unwrap().await
        });
    });
}

#[test]
fn a_panic_that_nobody_looks_at_is_reported_with_its_name() {
    let (tx, rx) = mpsc::channel();
    task::on_unobserved_panic(move |task, message| {
        let _ = tx.send((task.name().map(str::to_owned), message.to_owned()));
    });
    let wait = Duration::from_secs(20);
    let own = |rx: &mpsc::Receiver<(Option<String>, String)>| loop {
        // Other tests of this process have theirs.
        let (name, message) = rx.recv_timeout(wait).unwrap();
        if message.starts_with("unobserved") {
            return (name.unwrap_or_default(), message);
        }
    };
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    // Detached before it ends.
    let named = task::Builder::new().name("detached");
    drop(named.spawn_on(async { panic!("unobserved {}", 1) }, runtime.handle()).unwrap());
    assert_eq!(own(&rx), ("detached".into(), "unobserved 1".into()));
    // Dropped after it ended, and a blocking job.
    let task = runtime.spawn(async { panic!("unobserved 2") });
    while !task.is_finished() {
        std::thread::yield_now();
    }
    drop(task);
    assert_eq!(own(&rx).1, "unobserved 2");
    drop(runtime.spawn_blocking(|| panic!("unobserved 3")));
    assert_eq!(own(&rx).1, "unobserved 3");
    // One that is awaited is not.
    let awaited = runtime.spawn(async { panic!("unobserved 4") });
    assert!(runtime.block_on(awaited).unwrap_err().is_panic());
    drop(runtime.spawn(async { panic!("unobserved 5") }));
    assert_eq!(own(&rx).1, "unobserved 5");
}
