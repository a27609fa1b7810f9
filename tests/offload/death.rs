//! One job's fate is its own.

use super::{Gate, PATIENCE, a_path, jobs, lives, one, until};
use reiver::offload::{Failure, Job, KillHint, OffloadError, ProcessPool};
use reiver::time::timeout;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Runs `job`, which fails, and then another, on a new worker.
async fn dies<R: std::fmt::Debug>(pool: &ProcessPool, job: Job<R>) -> OffloadError {
    let before = pool.run(jobs::pid::job()).await.unwrap();
    let name = job.function();
    let error = pool.run(job).await.unwrap_err();
    assert_eq!(error.pid(), Some(before), "{error}");
    assert_eq!(error.function(), name);
    assert!(error.to_string().contains(name), "{error}");
    assert!(error.may_have_run());
    let after = pool.run(jobs::pid::job()).await.unwrap();
    assert_ne!(after, before);
    until("the end of the worker", || !lives(before)).await;
    error
}

#[reiver::test]
async fn crashes_name_the_signal_or_the_code() {
    let pool = one().build();
    let error = dies(&pool, jobs::segv::job()).await;
    assert_eq!(*error.failure(), Failure::Killed { signal: libc::SIGSEGV, hint: None });
    assert!(error.to_string().contains("SIGSEGV") && error.is_retryable(), "{error}");

    let error = dies(&pool, jobs::abort::job()).await;
    assert_eq!(*error.failure(), Failure::Killed { signal: libc::SIGABRT, hint: None });
    assert_eq!(error.stderr_tail(), "about to abort\n");

    let error = dies(&pool, jobs::exits::job(3)).await;
    assert_eq!(*error.failure(), Failure::Exited { code: 3 });

    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV] {
        let error = dies(&pool, jobs::raises::job(signal)).await;
        assert_eq!(*error.failure(), Failure::Killed { signal, hint: None });
    }

    let error = dies(&pool, jobs::overflow::job(0)).await;
    let hint = Some(KillHint::StackOverflow);
    assert!(matches!(error.failure(), Failure::Killed { hint: h, .. } if *h == hint), "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(pool.stats().lost, 7);
}

#[reiver::test]
async fn the_tail_of_the_error_output_is_kept() {
    let pool = one().build();
    let error = dies(&pool, jobs::says_and_dies::job("the end".into())).await;
    assert_eq!(*error.failure(), Failure::Exited { code: 9 });
    assert!(error.stderr_tail().ends_with("xxthe end"));
    assert_eq!(error.stderr_tail().len(), 8192);
    // More than a pipe holds.
    assert_eq!(pool.run(jobs::says_much::job(3 << 20)).await.unwrap(), 3 << 20);
    let error = dies(&pool, jobs::exits::job(1)).await;
    assert_eq!(error.stderr_tail(), "", "what other jobs said");
}

#[reiver::test]
async fn panics_come_back_and_the_worker_lives_on() {
    let pool = one().env("RUST_BACKTRACE", "1").build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    let error = pool.run(jobs::panics::job("oh no".into())).await.unwrap_err();
    let Failure::Panicked { message, location, backtrace } = error.failure() else {
        panic!("{error:?}")
    };
    assert_eq!(message, "oh no");
    assert!(location.contains("tests/offload/jobs.rs:"), "{location}");
    assert!(backtrace.as_ref().unwrap().contains("panics"), "{backtrace:?}");
    assert!(!error.is_retryable() && error.may_have_run());

    let error = pool.run(jobs::panics_oddly::job()).await.unwrap_err();
    assert!(error.to_string().contains("a value that is no text"), "{error}");
    let error = pool.run(jobs::panics_twice::job()).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Panicked { .. }), "{error}");
    let error = pool.run(jobs::result_panics_in_drop::job(true)).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("dropped"), "{error}");
    assert!(pool.run(jobs::result_panics_in_drop::job(false)).await.is_ok());
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), worker);
    assert_eq!(pool.stats().panicked, 4);
}

#[reiver::test]
async fn a_panic_says_as_much_as_a_message_may_have() {
    let pool = one().env("RUST_BACKTRACE", "1").max_message(4096).build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    let error = pool.run(jobs::panics::job("short".into())).await.unwrap_err();
    let Failure::Panicked { message, location, backtrace } = error.failure() else {
        panic!("{error:?}")
    };
    assert_eq!((message.as_str(), backtrace), ("short", &None));
    assert!(location.contains("tests/offload/jobs.rs:"), "{location}");
    let error = pool.run(jobs::panics_at_length::job(5_000)).await.unwrap_err();
    let Failure::Panicked { message, .. } = error.failure() else { panic!("{error:?}") };
    assert!(message.len() > 3_500 && message.chars().all(|c| c == '\u{e4}'), "{message}");
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), worker);
}

#[reiver::test]
async fn a_timeout_kills_and_the_next_job_goes_on() {
    let pool = one().build();
    for job in [jobs::forever::job(), jobs::raises::job(libc::SIGSTOP)] {
        let before = pool.run(jobs::pid::job()).await.unwrap();
        let start = Instant::now();
        let error = pool.run(job.timeout(Duration::from_millis(50))).await.unwrap_err();
        assert!(matches!(error.failure(), Failure::TimedOut { .. }), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(50));
        assert!(error.may_have_run() && error.pid() == Some(before));
        assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), before);
        until("the end of the worker", || !lives(before)).await;
    }
    let pool = one().timeout(Duration::from_millis(20)).build();
    let error = pool.run(jobs::forever::job()).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::TimedOut { .. }), "{error}");
    assert!(
        pool.run(jobs::sleeps::job(60).timeout(PATIENCE)).await.is_ok(),
        "its own limit goes first"
    );
}

#[reiver::test]
async fn a_dropped_future_kills_the_worker_or_leaves_the_queue() {
    let pool = one().build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    let mark = a_path("queued");
    {
        let mut running = pin!(pool.run(jobs::forever::job()));
        assert!(timeout(Duration::from_millis(1), running.as_mut()).await.is_err());
        until("the worker", || pool.stats().idle == 0 && pool.stats().queued == 0).await;
        let mut queued = pin!(pool.run(jobs::touches::job(mark.to_str().unwrap().into())));
        assert!(timeout(Duration::from_millis(5), queued.as_mut()).await.is_err());
        assert_eq!(pool.stats().queued, 1);
    }
    assert_eq!(pool.stats().queued, 0);
    assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), worker);
    until("the end of the worker", || !lives(worker)).await;
    assert!(!mark.exists(), "a job ran that was taken back");
    assert_eq!(pool.stats().abandoned, 1);
}

#[reiver::test]
async fn a_future_may_be_dropped_in_the_middle_of_a_long_message() {
    let pool = one().build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    // It takes nothing while it stands still, so the message stays in the middle.
    // SAFETY: a signal to our own worker.
    unsafe { libc::kill(worker as i32, libc::SIGSTOP) };
    let job = jobs::echo::job(vec![7; 64 << 20]).timeout(Duration::from_millis(30));
    let error = pool.run(job).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::TimedOut { .. }), "{error}");
    assert!(!error.may_have_run(), "it was never with the worker");
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    // SAFETY: as above.
    unsafe { libc::kill(worker as i32, libc::SIGSTOP) };
    let long = pool.run(jobs::echo::job(vec![7; 64 << 20]));
    assert!(timeout(Duration::from_millis(30), long).await.is_err());
    assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), worker);
    until("the end of the worker", || !lives(worker)).await;
}

#[reiver::test]
async fn a_job_goes_on_and_its_worker_comes_free_although_nobody_polls() {
    let pool = one().build();
    let gate = Gate::new();
    let mut first = pin!(pool.run(gate.job()));
    assert!(timeout(Duration::from_millis(1), first.as_mut()).await.is_err());
    // Not polled from here on.
    gate.begun(1).await;
    gate.open();
    let pid = timeout(PATIENCE, pool.run(jobs::pid::job())).await.unwrap().unwrap();
    assert_eq!(first.await.unwrap(), pid);
}

#[reiver::test]
async fn deadlines_count_the_queue() {
    let pool = one().build();
    let gate = Gate::new();
    let first = reiver::spawn(pool.run(gate.job()));
    gate.begun(1).await;
    let late = pool.run(jobs::nothing::job().deadline(Duration::from_millis(20)));
    let error = late.await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Expired);
    assert!(!error.may_have_run() && error.pid().is_none());
    gate.open();
    first.await.unwrap().unwrap();
    let error = pool.run(jobs::forever::job().deadline(Duration::from_millis(20))).await;
    assert!(matches!(error.unwrap_err().failure(), Failure::TimedOut { .. }));
}

#[reiver::test]
async fn limits_of_memory_and_time_end_the_worker() {
    let hint = Some(KillHint::OutOfMemory);
    let oom = |error: &OffloadError| {
        assert!(
            matches!(error.failure(), Failure::Killed { hint: h, .. } if *h == hint),
            "{error:?}"
        );
    };
    let pool = one().memory(256 << 20).build();
    assert_eq!(pool.run(jobs::allocates::job(1 << 20)).await.unwrap(), 1 << 20);
    oom(&dies(&pool, jobs::allocates::job(512 << 20)).await);
    let pool = one().address_space(1 << 30).build();
    oom(&dies(&pool, jobs::allocates::job(2 << 30)).await);
    let pool = one().build();
    oom(&dies(&pool, jobs::allocates::job(512 << 20).memory(128 << 20)).await);
    let pid = pool.run(jobs::pid::job().memory(128 << 20)).await.unwrap();
    let much = pool.run(jobs::allocates::job(300 << 20)).await;
    assert_eq!(much.unwrap(), 300 << 20, "the limit was the other job's");
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), pid);

    let pool = one().cpu_time(Duration::from_secs(1)).build();
    let error = dies(&pool, jobs::forever::job()).await;
    let spent = Failure::Killed { signal: libc::SIGXCPU, hint: Some(KillHint::CpuTime) };
    assert_eq!(*error.failure(), spent);
}

#[reiver::test]
async fn a_worker_that_breaks_the_protocol_is_ended() {
    let pool = one().build();
    let error = dies(&pool, jobs::closes_its_channel::job()).await;
    assert!(matches!(error.failure(), Failure::Protocol { .. }), "{error}");
    let mut endless = vec![3, 0, 0, 0];
    endless.resize(32, 0xff);
    let mut done_for_another = vec![3];
    done_for_another.resize(32, 0);
    for garbage in [vec![0xff; 64], endless, done_for_another, vec![9; 100_000]] {
        let error = dies(&pool, jobs::writes_garbage::job(garbage)).await;
        assert!(matches!(error.failure(), Failure::Protocol { .. }), "{error}");
    }
}

#[reiver::test]
async fn grandchildren_end_with_a_killed_worker() {
    let pool = one().build();
    let child = pool.run(jobs::leaves_a_child::job()).await.unwrap();
    assert!(lives(child));
    let error = pool.run(jobs::abort::job()).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::Killed { .. }));
    until("the end of the grandchild", || !lives(child)).await;
    assert_eq!(pool.run(jobs::forks::job()).await.unwrap(), 7);
}

#[reiver::test]
async fn a_workers_death_is_seen_although_its_channel_stays_open() {
    let pool = one().build();
    let error = pool.run(jobs::forks_and_dies::job());
    let error = reiver::time::timeout(super::PATIENCE, error).await.unwrap().unwrap_err();
    let Failure::Killed { signal, .. } = error.failure() else { panic!("{error:?}") };
    assert_eq!(*signal, libc::SIGABRT);
    assert_eq!(pool.run(jobs::add::job(1, 1)).await.unwrap(), 2);
}

#[reiver::test]
async fn workers_that_die_before_their_first_job_are_not_started_at_once() {
    let pool = one().min_workers(1).initializer(jobs::dies_soon::job()).build();
    until("back-off", || pool.stats().backing_off).await;
    let stats = pool.stats();
    assert!(stats.start_failures >= 2 && stats.started >= 2, "{stats:?}");
}

#[reiver::test]
async fn a_worker_that_dies_at_rest_costs_no_job() {
    let pool = one().build();
    for _ in 0..5 {
        let worker = pool.run(jobs::pid::job()).await.unwrap();
        // SAFETY: a signal to our own worker.
        unsafe { libc::kill(worker as i32, libc::SIGKILL) };
        until("the end of the worker", || !lives(worker)).await;
        until("the pool to know", || !pool.stats().workers.contains(&worker)).await;
        assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), worker);
    }
}

#[reiver::test]
async fn a_job_that_stops_when_it_is_asked_to_keeps_its_worker() {
    let pool = one().grace(PATIENCE).build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    let (begun, mark) = (a_path("begun"), a_path("stops"));
    let stops = || jobs::stops::job(begun.to_str().unwrap().into(), mark.to_str().unwrap().into());
    // Its time is up: the caller hears of it at once.
    let error = pool.run(stops().timeout(Duration::from_millis(20))).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::TimedOut { .. }) && error.may_have_run(), "{error}");
    until("the clean-up", || mark.exists()).await;
    std::fs::remove_file(&mark).unwrap();
    std::fs::remove_file(&begun).unwrap();
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), worker);
    assert!(!pool.run(jobs::is_asked_to_stop::job()).await.unwrap(), "the next one is not asked");
    // Its caller is gone.
    let unwanted = reiver::spawn(pool.run(stops()));
    until("the job", || begun.exists()).await;
    unwanted.abort();
    until("the clean-up", || mark.exists()).await;
    std::fs::remove_file(&mark).unwrap();
    std::fs::remove_file(&begun).unwrap();
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), worker);
    let stats = pool.stats();
    assert_eq!((stats.timed_out, stats.abandoned, stats.lost, stats.started), (1, 1, 0, 1));
    // Others that send the signal mean the process.
    // SAFETY: a signal to our own worker.
    unsafe { libc::kill(worker as i32, libc::SIGTERM) };
    until("the end of the worker", || !lives(worker)).await;
    // The first job may come before the pool knows.
    let first = pool.run(jobs::pid::job()).await;
    assert!(first.is_err() || first.is_ok_and(|other| other != worker));
    assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), worker);
}

#[reiver::test]
async fn a_job_that_does_not_stop_is_killed_after_the_grace_period() {
    let grace = Duration::from_millis(50);
    let pool = one().grace(grace).build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    let start = Instant::now();
    let error = pool.run(jobs::forever::job().timeout(Duration::from_millis(20))).await;
    assert!(matches!(error.unwrap_err().failure(), Failure::TimedOut { .. }));
    assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), worker);
    assert!(start.elapsed() >= grace);
    until("the end of the worker", || !lives(worker)).await;
    // And one that is not with the worker yet is not waited for.
    let pool = one().grace(PATIENCE).build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    // SAFETY: as above.
    unsafe { libc::kill(worker as i32, libc::SIGSTOP) };
    let long = jobs::echo::job(vec![7; 64 << 20]).timeout(Duration::from_millis(30));
    assert!(pool.run(long).await.is_err());
    assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), worker);
}
