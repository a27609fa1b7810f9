//! Pools without processes: the same queue, the same answers.

use super::{Gate, PATIENCE, a_path, jobs, one, until};
use reiver::offload::{Chaos, Failure, ProcessPool};
use reiver::time::timeout;
use std::pin::pin;
use std::time::Duration;

#[reiver::test]
async fn values_panics_and_limits_are_as_in_a_worker() {
    let pool = one().inline(true).max_message(10_000).build();
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), std::process::id());
    assert_eq!(pool.run(jobs::echo::job(vec![1; 100])).await.unwrap(), [1; 100]);
    let error = pool.run(jobs::panics::job("oh".into())).await.unwrap_err();
    let Failure::Panicked { message, location, .. } = error.failure() else { panic!("{error:?}") };
    assert_eq!(message, "oh");
    assert!(location.contains("tests/offload/jobs.rs:"), "{location}");
    assert!(error.may_have_run() && error.pid() == Some(std::process::id()));
    let error = pool.run(jobs::panics_oddly::job()).await.unwrap_err();
    assert!(error.to_string().contains("a value that is no text"), "{error}");
    let error = pool.run(jobs::echo::job(vec![0; 20_000])).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::TooLarge { limit: 10_000, .. }));
    assert_eq!(pool.run(jobs::nested::job()).await.unwrap(), "Nested");
    let stats = pool.stats();
    assert!(stats.workers.is_empty());
    assert_eq!((stats.started, stats.completed, stats.panicked), (1, 3, 2));
    // What panics elsewhere is not ours to note.
    assert!(reiver::task::spawn_blocking(|| panic!("of another")).await.unwrap_err().is_panic());
}

#[reiver::test]
async fn the_queue_is_bounded_and_closing_waits() {
    let pool = one().inline(true).max_queued(1).build();
    let gate = Gate::new();
    let running = reiver::spawn(pool.run(gate.job()));
    gate.begun(1).await;
    let queued = reiver::spawn(pool.run(jobs::add::job(1, 1)));
    until("a queue", || pool.stats().queued == 1).await;
    let error = pool.try_run(jobs::add::job(3, 3)).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::QueueFull);
    {
        let mut closing = pin!(pool.close(PATIENCE));
        assert!(timeout(Duration::from_millis(10), closing.as_mut()).await.is_err());
        gate.open();
        assert!(closing.await);
    }
    running.await.unwrap().unwrap();
    assert_eq!(queued.await.unwrap().unwrap(), 2);
    let error = pool.run(jobs::nothing::job()).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::PoolClosed);
}

#[reiver::test]
async fn late_and_unwanted_jobs_are_asked_to_stop() {
    let pool = one().inline(true).build();
    let gate = Gate::new();
    let late = pool.run(gate.job().timeout(Duration::from_millis(10)));
    assert!(matches!(late.await.unwrap_err().failure(), Failure::TimedOut { .. }));
    assert_eq!(pool.run(jobs::add::job(1, 1)).await.unwrap(), 2, "it holds nobody up");
    let (begun, mark) = (a_path("begun"), a_path("stops"));
    let stops = || jobs::stops::job(begun.to_str().unwrap().into(), mark.to_str().unwrap().into());
    let unwanted = reiver::spawn(pool.run(stops()));
    until("the job", || begun.exists()).await;
    unwanted.abort();
    until("the clean-up", || mark.exists()).await;
    std::fs::remove_file(&mark).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.timed_out, stats.abandoned, stats.started), (1, 1, 2), "{stats:?}");
    // In its grace period a job may keep what would be its worker.
    let pool = one().inline(true).grace(PATIENCE).build();
    pool.run(stops().timeout(Duration::from_millis(10))).await.unwrap_err();
    assert_eq!(pool.run(jobs::add::job(1, 1)).await.unwrap(), 2);
    assert!(mark.exists(), "the next one waits for it");
    assert_eq!(pool.stats().started, 1);
    std::fs::remove_file(&mark).unwrap();
    std::fs::remove_file(&begun).unwrap();
}

#[reiver::test]
async fn the_initialiser_runs_first_and_its_failure_is_that_of_the_start() {
    #[reiver::offload]
    fn marks(path: String) {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.unwrap().write_all(b"x").unwrap();
    }
    let mark = a_path("first");
    let path = mark.to_str().unwrap().to_owned();
    let pool = ProcessPool::builder().workers(2).inline(true).initializer(marks::job(path)).build();
    let gate = Gate::new();
    let (a, b, ()) = reiver::join!(pool.run(gate.job()), pool.run(gate.job()), async {
        gate.begun(2).await;
        gate.open();
    });
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(std::fs::read(&mark).unwrap(), b"x", "once: what it prepares is there for both");
    std::fs::remove_file(mark).unwrap();
    let pool = one().inline(true).initializer(jobs::prepares::job(13)).build();
    let error = pool.run(jobs::nothing::job()).await.unwrap_err();
    let Failure::WorkerStart { reason } = error.failure() else { panic!("{error:?}") };
    assert!(reason.contains("jobs.rs:") && reason.contains("13 brings bad luck"), "{reason}");
    assert_eq!(pool.stats().start_failures, 2);
}

#[reiver::test]
async fn faults_on_purpose_end_jobs_and_retries_get_over_them() {
    let chaos = |kill, garble| Chaos { kill, garble, ..Chaos::default() };
    let pool = one().inline(true).chaos(chaos(100, 0)).build();
    let error = pool.run(jobs::add::job(1, 1)).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Killed { signal: libc::SIGKILL, .. }));
    assert!(error.may_have_run() && error.is_retryable());
    assert!(pool.run(jobs::add::job(1, 1).idempotent(3)).await.is_err());
    assert_eq!((pool.stats().lost, pool.stats().started), (5, 5));
    let pool = one().inline(true).chaos(chaos(0, 100)).build();
    let error = pool.run(jobs::add::job(1, 1)).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Protocol { .. }), "{error}");
    let pool = one().inline(true).chaos(chaos(50, 0)).build();
    for i in 0..20 {
        assert_eq!(pool.run(jobs::add::job(i, 1).idempotent(100)).await.unwrap(), i + 1);
    }
}
