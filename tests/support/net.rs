//! What the socket tests share: runtimes of each kind, a limit against hanging, child processes.

#![allow(dead_code)] // each test binary uses its part

use reiver::runtime::{Builder, Runtime};
use reiver::time::{Duration, timeout};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

/// A current-thread runtime, and ones of one and two workers.
pub fn runtimes() -> [Runtime; 3] {
    let workers = |n| Builder::new_multi_thread().worker_threads(n).build().unwrap();
    [Builder::new_current_thread().build().unwrap(), workers(1), workers(2)]
}

/// Runs `test` on each kind of runtime; fails instead of hanging.
pub fn on_each<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for runtime in runtimes() {
        finish(&runtime, test());
    }
}

/// `block_on` that fails instead of hanging.
#[track_caller]
pub fn finish<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    match runtime.block_on(timeout(Duration::from_secs(120), future)) {
        Ok(output) => output,
        Err(_) => panic!("the test hangs"),
    }
}

/// Whether `future` waits at its first poll. (It is then dropped.)
pub fn waits<F: Future>(future: F) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Whether a descriptor on which `use_up` has met `WouldBlock` comes to wait. Not always at once: of
/// readiness that has gone meanwhile, an event may be on its way, and costs one operation in vain.
pub fn waits_once_used_up<F: Future>(use_up: impl Fn(), wait: impl Fn() -> F) -> bool {
    (0..10).any(|_| {
        use_up();
        waits(wait())
    })
}

/// Runs `body` in a process of its own: the test binary again, with this test alone. For what other
/// tests would disturb: limits, and the count of open descriptors.
#[track_caller]
pub fn in_child(test: &str, body: impl FnOnce()) {
    const NAME: &str = "REIVER_TEST_CHILD";
    if std::env::var_os(NAME).is_some_and(|name| name == test) {
        return body();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(NAME, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "in the child:\n{text}\n{errors}");
    assert!(text.contains("1 passed"), "the child ran no test:\n{text}");
}

/// The number of open descriptors of this process.
pub fn open_descriptors() -> usize {
    // One of them is that of the listing itself, always.
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// Waits until there are no more than there were: what a runtime does besides, such as a report of a slow
/// poll or the monitor's look at a thread, may have some for a moment, before and after.
#[track_caller]
pub fn no_more_descriptors_than(before: usize) {
    for _ in 0..10_000 {
        if open_descriptors() <= before {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{} descriptors are left", open_descriptors() - before);
}

/// Sets the soft limit of open descriptors.
pub fn limit_descriptors(soft: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: now.maximum }).unwrap();
}
