//! What programs and machines get wrong: each is a clear error or a documented panic, and the runtime
//! goes on. (Bad addresses, ports in use and running out of descriptors are in `tcp.rs`; bad requests
//! in `service.rs`.)

use reiver::io::unix::AsyncFd;
use reiver::runtime::{Builder, Handle, Runtime};
use reiver::signal::unix::{SignalKind, signal};
use reiver::sync::Notify;
use reiver::task::{self, block_in_place, spawn_blocking, yield_now};
use reiver::time::sleep;
use reiver::{net, sync, time};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::any::Any;
use std::cell::Cell;
use std::future::{Future, pending};
use std::panic::{self, AssertUnwindSafe, catch_unwind, panic_any};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Arc, Once};
use std::time::Duration;

fn runtimes() -> [Runtime; 2] {
    let mut builders = [Builder::new_multi_thread(), Builder::new_current_thread()];
    builders[0].worker_threads(2);
    builders.map(|mut builder| builder.build().unwrap())
}

/// Panics unless `runtime` still does all that it is for.
fn goes_on(runtime: &Runtime) {
    let answer = runtime.block_on(async {
        let tasks: Vec<_> = (0..20).map(|n| reiver::spawn(async move { n })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sleep(Duration::from_millis(1)).await;
        sum + spawn_blocking(|| 1).await.unwrap()
    });
    assert_eq!(answer, 191);
}

/// The words of a panic.
fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().unwrap().to_string(),
    }
}

fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => message(payload),
    }
}

thread_local!(static PANICKED_AT: Cell<Option<String>> = const { Cell::new(None) });

/// The file in which `f` is said to panic.
fn place_of<R>(f: impl FnOnce() -> R) -> String {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICKED_AT.set(info.location().map(|location| location.file().to_owned()));
            before(info);
        }));
    });
    panic_of(f);
    PANICKED_AT.take().unwrap()
}

/// Runs this test alone in a process of its own, as `command` changes it.
fn in_child(test: &str, command: impl FnOnce(&mut Command)) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env("BAD_INPUT_CHILD", "1");
    command(&mut child);
    child.output().unwrap()
}

fn is_child() -> bool {
    std::env::var_os("BAD_INPUT_CHILD").is_some()
}

fn succeeds(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && ran, "{}\n{said}", output.status);
}

// ---- settings ---------------------------------------------------------------------------------

#[test]
fn settings() {
    let words = panic_of(|| drop(Builder::new_multi_thread().worker_threads(0).build()));
    assert!(words.contains("worker_threads must be at least 1"), "{words}");
    let words = panic_of(|| drop(Builder::new_multi_thread().max_blocking_threads(0).build()));
    assert!(words.contains("max_blocking_threads must be at least 1"), "{words}");
}

#[test]
fn the_environment() {
    if is_child() {
        let error = Builder::new_multi_thread().build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let words = error.to_string();
        let variable = std::env::var("BAD_VARIABLE").unwrap();
        assert_eq!(words, format!("{variable} must be a number from 1 to 32768"));
        // What the program says goes before, and a current-thread runtime has no workers.
        goes_on(&Builder::new_multi_thread().worker_threads(1).build().unwrap());
        goes_on(&Builder::new_current_thread().build().unwrap());
        return;
    }
    for value in ["0", "", "many", "-1", "32769", "18446744073709551617"] {
        for variable in ["REIVER_WORKER_THREADS", "TOKIO_WORKER_THREADS"] {
            succeeds(&in_child("the_environment", |child| {
                child.env_remove("REIVER_WORKER_THREADS");
                child.env("BAD_VARIABLE", variable).env(variable, value);
            }));
        }
    }
}

// ---- context ----------------------------------------------------------------------------------

#[test]
fn outside_of_a_runtime() {
    for words in [
        panic_of(|| drop(reiver::spawn(async {}))),
        panic_of(|| drop(spawn_blocking(|| ()))),
        panic_of(Handle::current),
    ] {
        assert!(words.contains("reiver runtime"), "{words}");
        assert!(words.contains("Runtime::enter"), "{words}");
    }
    assert!(Handle::try_current().is_err());
    assert!(task::try_id().is_none());
    assert!(panic_of(task::id).contains("outside a task"));
    let words = panic_of(|| drop(task::spawn_local(async {})));
    assert!(words.contains("outside of a `task::LocalSet` or `runtime::LocalRuntime`"), "{words}");
    // Nothing of that needs a runtime.
    assert_eq!(block_in_place(|| 5), 5);
}

/// A mistake is reported where it was made, not where reiver notices it.
#[test]
fn panics_name_the_place_of_the_caller() {
    let current_thread = || Builder::new_current_thread().build().unwrap();
    /// Runs `f` inside of a runtime that it cannot block.
    fn inside<R>(runtime: &Runtime, f: impl FnOnce(&Runtime) -> R) -> R {
        runtime.block_on(async { f(runtime) })
    }
    let std_listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let std_stream = || std::os::unix::net::UnixStream::pair().unwrap().0;
    let std_datagram = || std::os::unix::net::UnixDatagram::unbound().unwrap();
    let permits = || Arc::new(sync::Semaphore::new(1)).try_acquire_owned().unwrap();
    let places = [
        // Outside of a runtime.
        ("spawn", place_of(|| reiver::spawn(async {}))),
        ("Builder::spawn", place_of(|| task::Builder::new().spawn(async {}))),
        ("spawn_blocking", place_of(|| spawn_blocking(|| ()))),
        ("try_spawn_blocking", place_of(|| task::try_spawn_blocking(|| ()))),
        ("Builder::spawn_blocking", place_of(|| task::Builder::new().spawn_blocking(|| ()))),
        ("spawn_local", place_of(|| task::spawn_local(async {}))),
        ("JoinSet::spawn", place_of(|| drop(task::JoinSet::new().spawn(async {})))),
        ("all_tasks", place_of(|| task::all_tasks())),
        ("id", place_of(|| task::id())),
        ("Handle::current", place_of(|| Handle::current())),
        ("pause", place_of(|| time::pause())),
        ("resume", place_of(|| time::resume())),
        ("signal", place_of(|| signal(SignalKind::hangup()))),
        ("TcpListener::from_std", place_of(|| net::TcpListener::from_std(std_listener()))),
        ("UnixStream::from_std", place_of(|| net::UnixStream::from_std(std_stream()))),
        ("UnixStream::pair", place_of(|| net::UnixStream::pair())),
        ("UnixDatagram::from_std", place_of(|| net::UnixDatagram::from_std(std_datagram()))),
        ("UnixDatagram::unbound", place_of(|| net::UnixDatagram::unbound())),
        ("AsyncFd::new", place_of(|| AsyncFd::new(std_stream()))),
        ("pipe", place_of(|| net::unix::pipe::pipe())),
        ("Command::spawn", place_of(|| reiver::process::Command::new("true").spawn())),
        // Where one may not block.
        ("block_in_place", place_of(|| inside(&current_thread(), |_| block_in_place(|| ())))),
        ("Runtime::block_on", place_of(|| inside(&current_thread(), |r| r.block_on(async {})))),
        (
            "LocalSet::block_on",
            place_of(|| inside(&current_thread(), |r| task::LocalSet::new().block_on(r, async {}))),
        ),
        // Arguments.
        ("worker_poll_count", place_of(|| current_thread().metrics().worker_poll_count(1))),
        ("interval", place_of(|| time::interval(Duration::ZERO))),
        ("with_max_readers", place_of(|| sync::RwLock::with_max_readers((), 1 << 30))),
        ("with_max_readers", place_of(|| sync::RwLock::with_max_readers((), 0))),
        ("const_with_max_readers", place_of(|| sync::RwLock::const_with_max_readers((), 0))),
        ("Semaphore::new", place_of(|| sync::Semaphore::new(usize::MAX))),
        ("Semaphore::const_new", place_of(|| sync::Semaphore::const_new(usize::MAX))),
        ("add_permits", place_of(|| sync::Semaphore::new(1).add_permits(usize::MAX >> 3))),
        ("merge", place_of(|| permits().merge(permits()))),
        ("mpsc::channel", place_of(|| sync::mpsc::channel::<u8>(0))),
        ("broadcast::channel", place_of(|| sync::broadcast::channel::<u8>(0))),
        ("Queue::new", place_of(|| sync::Queue::<u8>::new(usize::MAX))),
        ("task_done", place_of(|| sync::Queue::<u8>::new(1).task_done())),
        ("CapacityLimiter::new", place_of(|| sync::CapacityLimiter::new(usize::MAX))),
        ("worker_threads", place_of(|| Builder::new_multi_thread().worker_threads(0).build())),
    ];
    let wrong: Vec<_> = places.iter().filter(|(_, place)| *place != file!()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn blocking_inside_of_async_code() {
    for runtime in runtimes() {
        let handle = runtime.handle().clone();
        let (own, other) = (handle.clone(), Builder::new_current_thread().build().unwrap());
        let nested = runtime.spawn(async move {
            own.block_on(async { yield_now().await });
            // A runtime of its own would do, but this thread is the other one's only one.
            other.block_on(async { yield_now().await });
        });
        let outcome = runtime.block_on(nested);
        if runtime.metrics().num_workers() > 1 {
            outcome.unwrap();
        } else {
            let words = message(outcome.unwrap_err().into_panic());
            assert!(words.contains("cannot block inside a current-thread runtime"), "{words}");
            assert!(words.contains("spawn_blocking"), "{words}");
        }
        goes_on(&runtime);
    }
}

// ---- panics -----------------------------------------------------------------------------------

struct PanicsInDrop(&'static str);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic_any(self.0);
    }
}

#[test]
fn panics_of_tasks_jobs_and_roots() {
    for runtime in runtimes() {
        let task = runtime.spawn(async {
            yield_now().await;
            panic!("a task")
        });
        let job = runtime.spawn_blocking(|| panic!("a job"));
        runtime.block_on(async {
            let task: Result<(), _> = task.await;
            assert_eq!(message(task.unwrap_err().into_panic()), "a task");
            let job: Result<(), _> = job.await;
            assert_eq!(message(job.unwrap_err().into_panic()), "a job");
        });
        assert_eq!(panic_of(|| runtime.block_on(async { panic!("a root") })), "a root");
        goes_on(&runtime);
    }
}

#[test]
fn a_task_that_panics_in_drop() {
    for runtime in runtimes() {
        let waiting = |bomb| async move {
            let _bomb = bomb;
            pending::<()>().await
        };
        // Dropped by an abort, before its first poll or after it.
        let aborted = runtime.spawn(waiting(PanicsInDrop("aborted")));
        aborted.abort();
        let polled = runtime.spawn(waiting(PanicsInDrop("polled")));
        runtime.block_on(yield_now());
        polled.abort();
        // At its end, with an output that is lost by it.
        let ended = runtime.spawn({
            let bomb = PanicsInDrop("ended");
            async move {
                let _bomb = bomb;
                yield_now().await;
            }
        });
        // While another panic unwinds through it, Rust aborts; one after it is ours.
        let job = runtime.spawn_blocking(|| drop(PanicsInDrop("job")));
        runtime.block_on(async {
            for (task, words) in
                [(aborted, "aborted"), (polled, "polled"), (ended, "ended"), (job, "job")]
            {
                assert_eq!(message(task.await.unwrap_err().into_panic()), words);
            }
        });
        // Outputs and payloads that nobody takes.
        drop(runtime.spawn(async { PanicsInDrop("output") }));
        drop(runtime.spawn_blocking(|| PanicsInDrop("output")));
        drop(runtime.spawn(async { panic_any(PanicsInDrop("payload")) }));
        goes_on(&runtime);
        // And those that the end of the runtime drops.
        drop(runtime.spawn(waiting(PanicsInDrop("shutdown"))));
        let told = runtime.spawn(waiting(PanicsInDrop("shutdown")));
        drop(runtime);
        let other = Builder::new_current_thread().build().unwrap();
        assert_eq!(message(other.block_on(told).unwrap_err().into_panic()), "shutdown");
    }
}

#[test]
fn a_queued_job_that_panics_in_drop() {
    let runtime = Builder::new_multi_thread().max_blocking_threads(1).build().unwrap();
    let (release, held) = mpsc::channel::<()>();
    let first = runtime.spawn_blocking(move || held.recv());
    let queue = |words| {
        let bomb = PanicsInDrop(words);
        runtime.spawn_blocking(move || drop(bomb))
    };
    let (aborted, cancelled) = (queue("aborted"), queue("cancelled"));
    aborted.abort();
    drop(release);
    runtime.block_on(async {
        assert!(first.await.unwrap().is_err());
        assert_eq!(message(aborted.await.unwrap_err().into_panic()), "aborted");
        assert_eq!(message(cancelled.await.unwrap_err().into_panic()), "cancelled");
    });
    goes_on(&runtime);
}

#[test]
fn a_hook_that_panics_ends_the_process_with_a_sentence() {
    const TEST: &str = "a_hook_that_panics_ends_the_process_with_a_sentence";
    if is_child() {
        let blocking = std::env::var_os("BAD_INPUT_BLOCKING").is_some();
        let mut builder = match blocking {
            true => Builder::new_current_thread(),
            false => Builder::new_multi_thread(),
        };
        let runtime = builder.on_thread_start(|| panic!("a hook")).build().unwrap();
        // The thread that the hook was called on ends this process. Whatever the caller gets to see in
        // the meantime must not end it first.
        std::thread::spawn(move || drop(runtime.block_on(runtime.spawn_blocking(|| ()))));
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    for blocking in [false, true] {
        let output = in_child(TEST, |child| {
            if blocking {
                child.env("BAD_INPUT_BLOCKING", "1");
            }
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains("a hook"), "{said}");
        assert!(said.contains("reiver: a panic inside"), "{said}");
    }
}

#[test]
fn a_joiner_whose_waker_panics() {
    struct Bad(AtomicUsize);
    impl std::task::Wake for Bad {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
            panic!("a waker");
        }
    }
    for runtime in runtimes() {
        let bad = Arc::new(Bad(AtomicUsize::new(0)));
        let waker = std::task::Waker::from(bad.clone());
        let mut cx = std::task::Context::from_waker(&waker);
        // The joiner's waker is called by the worker, at the end of the task.
        let (gate, mut task) = {
            let gate = Arc::new(Notify::new());
            let at = gate.clone();
            (gate, Box::pin(runtime.spawn(async move { at.notified().await })))
        };
        assert!(task.as_mut().poll(&mut cx).is_pending());
        gate.notify_one();
        runtime.block_on(async {
            while bad.0.load(SeqCst) < 1 {
                yield_now().await;
            }
            task.await.unwrap();
        });
        goes_on(&runtime);
    }
}

// ---- threads ----------------------------------------------------------------------------------

/// A stack of which no limit below lets there be one more.
const STACK: usize = 1 << 30;

#[test]
fn no_thread_to_be_had() {
    const TEST: &str = "no_thread_to_be_had";
    if !is_child() {
        return succeeds(&in_child(TEST, |_| ()));
    }
    let mut runtimes = [Builder::new_multi_thread(), Builder::new_current_thread()]
        .map(|mut builder| builder.worker_threads(2).thread_stack_size(STACK).build().unwrap());
    for runtime in &mut runtimes {
        // The pool's first thread is refused: nobody will ever run the job.
        let unlimited = limit_memory();
        let words = panic_of(|| runtime.spawn_blocking(|| ()));
        assert!(words.contains("thread"), "{words}");
        let error = Builder::new_multi_thread().thread_stack_size(STACK).build().unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        setrlimit(Resource::As, unlimited).unwrap();

        // With one thread there, a job waits for it.
        let (release, held) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let first = runtime.spawn_blocking(move || {
            begin.send(()).unwrap();
            held.recv()
        });
        begun.recv().unwrap();
        let unlimited = limit_memory();
        let done = Arc::new(AtomicBool::new(false));
        let second = runtime.spawn_blocking({
            let done = done.clone();
            move || done.store(true, SeqCst)
        });
        runtime.block_on(async {
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(!done.load(SeqCst));
            // Nobody stands in for a worker that blocks: the others go on.
            if runtime.metrics().num_workers() > 1 {
                assert_eq!(reiver::spawn(async { block_in_place(|| 6) }).await.unwrap(), 6);
            }
            drop(release);
            assert!(first.await.unwrap().is_err());
            second.await.unwrap();
        });
        goes_on(runtime);
        setrlimit(Resource::As, unlimited).unwrap();
        goes_on(runtime);
    }
}

/// Lets this process have what it has and less than one more stack. Gives the limit before.
fn limit_memory() -> Rlimit {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.split("VmSize:").nth(1).and_then(|rest| rest.split_whitespace().next());
    let before = getrlimit(Resource::As);
    let limit = size.unwrap().parse::<u64>().unwrap() * 1024 + STACK as u64 / 2;
    setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: before.maximum }).unwrap();
    before
}
