//! Children by `fork`, in which none of the parent's threads are: standard streams, signals and pools of processes.
//!
//! Each test is a process of its own: this binary, started once more with the test's name. Not of every run: see
//! what they are ignored for.
#![cfg(target_os = "linux")]

use reiver::io::{AsyncWriteExt, stdout};
use reiver::offload::ProcessPool;
use reiver::runtime::Builder;
use reiver::signal::unix::{SignalKind, signal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

/// Says which test a process is started for.
const CHILD: &str = "REIVER_TEST_FORK";

/// Runs `both` in a process of its own, and then again in a child by `fork` of that.
#[track_caller]
fn twice(test: &str, both: impl Fn()) {
    if std::env::var_os(CHILD).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture", "--ignored", "--test-threads=1"]);
        let output = command.env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    both();
    // SAFETY: the child uses what glibc makes usable there: its allocator, and threads of its own.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: ends a child that hangs.
            unsafe { libc::alarm(60) };
            let result = catch_unwind(AssertUnwindSafe(&both));
            // SAFETY: it ends the process; nothing of the parent's is dropped.
            unsafe { libc::_exit(if result.is_ok() { 7 } else { 1 }) };
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is there to be written.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 7));
            // The parent goes on as before.
            both();
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
#[ignore = "any lock of a library that a thread holds at the fork stays locked: it may hang"]
fn output_of_a_forked_child_is_written() {
    twice("output_of_a_forked_child_is_written", || {
        block_on(async {
            let mut out = stdout();
            out.write_all(b"a line\n").await.unwrap();
            out.flush().await.unwrap();
        });
    });
}

#[test]
#[ignore = "any lock of a library that a thread holds at the fork stays locked: it may hang"]
fn a_forked_child_hears_its_signals() {
    // It listens all the time, and would empty a pipe of both.
    let parent = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    parent.spawn(async {
        let mut listener = signal(SignalKind::user_defined1()).unwrap();
        while listener.recv().await.is_some() {}
    });
    twice("a_forked_child_hears_its_signals", || {
        block_on(async {
            let mut listener = signal(SignalKind::user_defined1()).unwrap();
            for _ in 0..1_000 {
                // SAFETY: a signal to this process.
                assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) }, 0);
                listener.recv().await.unwrap();
            }
        });
    });
}

#[reiver::offload]
fn two() -> u32 {
    2
}

#[test]
#[ignore = "any lock of a library that a thread holds at the fork stays locked: it may hang"]
fn a_forked_child_has_workers() {
    twice("a_forked_child_has_workers", || {
        block_on(async {
            let pool = ProcessPool::builder().workers(1).build();
            assert_eq!(pool.run(two::job()).await.unwrap(), 2);
        });
    });
}
