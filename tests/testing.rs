//! `#[reiver::test]` with its checks.

use reiver::net::UdpSocket;
use reiver::runtime::{Builder, Handle};
use reiver::task::spawn_local;
use reiver::testing::Checks;
use reiver::time::{Duration, Instant, sleep};
use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

#[reiver::test(
    flavor = "multi_thread",
    worker_threads = 2,
    start_paused = true,
    deadline = 20,
    leak_check = true
)]
async fn an_hour_passes_on_two_workers() {
    let start = Instant::now();
    let tasks = reiver::task::gather((0..10).map(|_| sleep(Duration::from_secs(3600))));
    tasks.await;
    assert!(start.elapsed() >= Duration::from_secs(3600));
}

#[reiver::test(flavor = "local", name = "keep", start_paused = true)]
async fn a_local_runtime_with_a_name() {
    assert_eq!(Handle::current().name(), Some("keep"));
    let shared = Rc::new(Cell::new(1));
    let theirs = shared.clone();
    let task = spawn_local(async move {
        sleep(Duration::from_secs(3600)).await;
        theirs.set(theirs.get() + 1);
    });
    task.await.unwrap();
    assert_eq!(shared.get(), 2);
}

#[reiver::test(deadline = 0.05)]
#[should_panic(expected = "stuck-task")]
async fn a_test_that_hangs_fails_and_lists_its_tasks() {
    let name = reiver::task::Builder::new().name("stuck-task");
    name.spawn(pending::<()>()).unwrap().await.unwrap();
}

#[reiver::test(leak_check = true)]
#[should_panic(expected = "leaked-task")]
async fn a_task_that_is_left_is_named() {
    let name = reiver::task::Builder::new().name("leaked-task");
    drop(name.spawn(pending::<()>()).unwrap());
}

#[reiver::test(leak_check = true, deadline = 20)]
async fn what_was_told_to_end_may_do_so() -> std::io::Result<()> {
    reiver::spawn(pending::<()>()).abort();
    reiver::spawn(async { reiver::task::yield_now().await });
    drop(reiver::task::spawn_blocking(|| ()));
    let _socket = UdpSocket::bind("127.0.0.1:0").await?;
    let _ = reiver::time::timeout(Duration::from_millis(1), pending::<()>()).await;
    Ok(())
}

#[reiver::test(leak_check = false)]
async fn without_the_check_nothing_is_looked_for() {
    drop(reiver::spawn(pending::<()>()));
}

#[test]
fn a_socket_that_outlives_the_future_is_found() {
    let mut kept = None;
    let checks = Checks::new().leak_check(true);
    let run = std::panic::AssertUnwindSafe(|| {
        checks.run(&mut Builder::new_current_thread(), async {
            kept = Some(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        });
    });
    let panic = std::panic::catch_unwind(run).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    // Where `/proc` does not say which they are, their number is all.
    let socket = kept.unwrap().local_addr().unwrap();
    let which = if text.contains("registered descriptors") {
        "registered descriptors: 1".to_owned()
    } else {
        format!(": UDP socket at {socket}")
    };
    assert!(text.contains(&which), "{text}");
    assert!(!cfg!(target_os = "linux") || !text.contains("registered"), "{text}");
}

#[test]
fn timers_are_told_with_their_tasks() {
    let hour = || sleep(Duration::from_secs(3600));
    let mut kept = Box::pin(hour());
    let checks = Checks::new().leak_check(true);
    let run = std::panic::AssertUnwindSafe(|| {
        checks.run(&mut Builder::new_current_thread(), async {
            drop(reiver::task::Builder::new().name("sleeper").spawn(hour()).unwrap());
            // Polled once, and kept by nobody's task.
            reiver::select! {
                biased;
                _ = &mut kept => unreachable!("an hour is long"),
                _ = reiver::task::yield_now() => {}
            }
        });
    });
    let panic = std::panic::catch_unwind(run).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    let task = text.lines().find(|line| line.contains("\"sleeper\"")).unwrap_or_default();
    assert!(
        task.contains("tests/testing.rs:") && task.contains("waits for a timer in 3"),
        "{text}"
    );
    assert!(text.contains("timers of none of these tasks: 1"), "{text}");
}

/// The thread blocks, so nothing can be unwound: the process ends, and says why.
#[test]
fn a_thread_that_blocks_for_ever_ends_the_process() {
    if std::env::var_os("REIVER_TEST_DIES").is_some() {
        let checks = Checks::new().deadline(Duration::from_millis(50));
        checks.run(&mut Builder::new_current_thread(), async {
            loop {
                std::thread::park();
            }
        })
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["a_thread_that_blocks_for_ever_ends_the_process", "--exact", "--nocapture"])
        .env("REIVER_TEST_DIES", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.code().is_none() && stderr.contains("its thread is stuck"), "{stderr}");
}
