//! The pool: bounds, replacement, ends.

use super::{Gate, PATIENCE, a_path, jobs, lives, one, script, until};
use reiver::offload::{Chaos, Failure, ProcessPool, default_pool};
use reiver::task::Group;
use reiver::time::timeout;
use std::pin::pin;
use std::time::{Duration, Instant};

#[reiver::test]
async fn a_full_queue_refuses_or_makes_wait() {
    let pool = one().max_queued(2).build();
    let gate = Gate::new();
    let running = reiver::spawn(pool.run(gate.job()));
    gate.begun(1).await;
    let mut first = pin!(pool.run(jobs::add::job(1, 1)));
    let mut second = pin!(pool.run(jobs::add::job(2, 2)));
    assert!(timeout(Duration::from_millis(1), first.as_mut()).await.is_err());
    assert!(timeout(Duration::from_millis(1), second.as_mut()).await.is_err());
    let error = pool.try_run(jobs::add::job(3, 3)).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::QueueFull);
    assert!(error.is_retryable() && !error.may_have_run());
    let mut third = pin!(pool.run(jobs::add::job(4, 4)));
    assert!(timeout(Duration::from_millis(1), third.as_mut()).await.is_err());
    assert_eq!(pool.stats().queued, 2, "it waits for room");
    gate.open();
    assert_eq!(third.await.unwrap(), 8);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (2, 4));
    running.await.unwrap().unwrap();
    assert_eq!(pool.try_run(jobs::add::job(3, 3)).await.unwrap(), 6);
}

#[reiver::test]
async fn ten_thousand_jobs_at_once_under_a_bound_of_bytes() {
    let pool = ProcessPool::builder().workers(2).max_queued(100).max_queued_bytes(64 << 10).build();
    let jobs: Vec<_> = (0..10_000_u32)
        .map(|i| {
            let pool = pool.clone();
            reiver::spawn(async move { pool.run(jobs::echo::job(vec![i as u8; 1000])).await })
        })
        .collect();
    for (i, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.await.unwrap().unwrap(), vec![i as u8; 1000]);
    }
    // Longer than all the room.
    assert_eq!(pool.run(jobs::echo::job(vec![1; 1 << 20])).await.unwrap().len(), 1 << 20);
}

#[reiver::test]
async fn workers_are_replaced_after_so_many_jobs_or_so_much_memory() {
    let pool = one().recycle_after(10).build();
    let mut pids = Vec::new();
    for _ in 0..35 {
        pids.push(pool.run(jobs::pid::job()).await.unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 4);
    assert_eq!(pool.stats().recycled, 3);
    for pid in &pids[..3] {
        assert!(!lives(*pid));
    }
    let pool = one().recycle_memory(100 << 20).build();
    #[reiver::offload]
    fn leaks(bytes: usize) -> u32 {
        std::mem::forget(vec![1_u8; bytes]);
        std::process::id()
    }
    let pid = pool.run(leaks::job(1 << 20)).await.unwrap();
    assert_eq!(pool.run(leaks::job(120 << 20)).await.unwrap(), pid);
    assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), pid);
}

#[reiver::test]
async fn idle_workers_end_down_to_the_least() {
    let pool = ProcessPool::builder().workers(2).idle_timeout(Duration::from_millis(20)).build();
    let gate = Gate::new();
    let (a, b, ()) = reiver::join!(pool.run(gate.job()), pool.run(gate.job()), async {
        gate.begun(2).await;
        gate.open();
    });
    assert_ne!(a.unwrap(), b.unwrap());
    until("no worker", || pool.stats().workers.is_empty()).await;
    assert_eq!(pool.run(jobs::add::job(1, 1)).await.unwrap(), 2);
    let pool = one().min_workers(1).idle_timeout(Duration::from_millis(5)).build();
    until("a worker without a job", || pool.stats().idle == 1).await;
    let pid = pool.stats().workers[0];
    reiver::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), pid);
}

#[reiver::test]
async fn each_worker_is_prepared_once() {
    let pool = one().initializer(jobs::prepares::job(7)).build();
    assert_eq!(pool.run(jobs::prepared::job()).await.unwrap(), Some(7));
    pool.run(jobs::abort::job()).await.unwrap_err();
    assert_eq!(pool.run(jobs::prepared::job()).await.unwrap(), Some(7));
    let pool = one().initializer(jobs::prepares::job(13)).build();
    let error = pool.run(jobs::prepared::job()).await.unwrap_err();
    let Failure::WorkerStart { reason } = error.failure() else { panic!("{error:?}") };
    assert!(reason.contains("13 brings bad luck"), "{reason}");
    assert!(!error.may_have_run());
}

#[reiver::test]
async fn a_program_that_cannot_start_fails_jobs_and_does_not_spin() {
    let pool = one().program("/nowhere/at/all").build();
    for _ in 0..2 {
        let error = pool.run(jobs::nothing::job()).await.unwrap_err();
        let Failure::WorkerStart { reason } = error.failure() else { panic!("{error:?}") };
        assert!(reason.contains("No such file"), "{reason}");
    }
    assert!(pool.stats().start_failures <= 4 && pool.stats().backing_off);
    // It ends before the handshake; it never speaks; it is another program.
    for (program, said) in
        [("/bin/false", "exited with code 1"), ("/bin/true", "exited with code 0")]
    {
        let pool = one().program(program).build();
        let error = pool.run(jobs::nothing::job()).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(pool.stats().started, 0);
    }
    let silent = script("#!/bin/sh\nsleep 600\n");
    let pool = one().program(&silent).start_timeout(Duration::from_millis(50)).build();
    let error = pool.run(jobs::nothing::job()).await.unwrap_err();
    assert!(error.to_string().contains("took too long"), "{error}");
    std::fs::remove_file(silent).unwrap();
}

/// The second worker does not come; the first has jobs, and all of them are done.
#[reiver::test]
async fn a_worker_that_does_not_start_fails_no_job_that_another_can_do() {
    let taken = a_path("taken");
    let (exe, first) = (std::env::current_exe().unwrap(), taken.display());
    let exe = exe.display();
    let program = script(&format!("#!/bin/sh\nmkdir '{first}' && exec '{exe}'\nexit 3\n"));
    let pool = ProcessPool::builder().workers(2).program(&program);
    let pool = pool.stderr(reiver::offload::Stdio::Null).build();
    let gate = Gate::new();
    let first = reiver::spawn(pool.run(gate.job()));
    gate.begun(1).await;
    let others: Vec<_> = (0..5).map(|i| reiver::spawn(pool.run(jobs::add::job(i, 1)))).collect();
    until("failures", || pool.stats().start_failures >= 3).await;
    let stats = pool.stats();
    assert!(stats.queued == 5 && stats.started == 1 && stats.backing_off, "{stats:?}");
    gate.open();
    for (i, job) in others.into_iter().enumerate() {
        assert_eq!(job.await.unwrap().unwrap(), i as u32 + 1);
    }
    let worker = first.await.unwrap().unwrap();
    // Without it nobody is left.
    // SAFETY: a signal to our own worker.
    unsafe { libc::kill(worker as i32, libc::SIGKILL) };
    until("the pool to know", || !pool.stats().workers.contains(&worker)).await;
    let error = pool.run(jobs::nothing::job()).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::WorkerStart { .. }), "{error}");
    std::fs::remove_dir(taken).unwrap();
    std::fs::remove_file(program).unwrap();
}

#[reiver::test]
async fn jobs_that_may_run_twice_are_tried_again() {
    let pool = one().build();
    let mark = a_path("twice");
    let path = mark.to_str().unwrap().to_owned();
    assert_eq!(pool.run(jobs::works_the_second_time::job(path).idempotent(1)).await.unwrap(), 2);
    std::fs::remove_file(mark).unwrap();
    assert!(pool.run(jobs::abort::job().idempotent(2)).await.is_err());
    assert_eq!(pool.stats().lost, 4);
    pool.run(jobs::panics::job("once".into()).idempotent(5)).await.unwrap_err();
    assert_eq!(pool.stats().panicked, 1, "a panic would come again");
}

#[reiver::test]
async fn closing_waits_and_then_kills() {
    let pool = one().build();
    let gate = Gate::new();
    let first = reiver::spawn(pool.run(gate.job()));
    gate.begun(1).await;
    let second = reiver::spawn(pool.run(jobs::pid::job()));
    until("a queue", || pool.stats().queued == 1).await;
    {
        let mut closing = pin!(pool.close(PATIENCE));
        assert!(timeout(Duration::from_millis(10), closing.as_mut()).await.is_err());
        gate.open();
        assert!(closing.await);
    }
    let pid = first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap(), pid);
    assert!(!lives(pid));
    let error = pool.run(jobs::nothing::job()).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::PoolClosed);

    let pool = one().build();
    let pid = pool.run(jobs::pid::job()).await.unwrap();
    let running = reiver::spawn(pool.run(jobs::forever::job()));
    until("a busy worker", || pool.stats().idle == 0 && pool.stats().queued == 0).await;
    let queued = reiver::spawn(pool.run(jobs::nothing::job()));
    until("a queue", || pool.stats().queued == 1).await;
    assert!(!pool.close(Duration::from_millis(10)).await);
    for lost in [running, queued] {
        let error = lost.await.unwrap().unwrap_err();
        assert_eq!(*error.failure(), Failure::PoolClosed);
    }
    until("the end of the worker", || !lives(pid)).await;
}

#[reiver::test]
async fn dropping_the_pool_ends_its_workers() {
    let pool = one().build();
    let pid = pool.run(jobs::pid::job()).await.unwrap();
    drop(pool);
    until("the end of the worker", || !lives(pid)).await;
}

#[test]
fn the_end_of_the_runtime_ends_its_workers_and_each_runtime_has_its_own_pool() {
    let mut pids = Vec::new();
    for _ in 0..3 {
        let runtime = reiver::runtime::Builder::new_current_thread().build().unwrap();
        pids.push(runtime.block_on(jobs::pid::offload()).unwrap());
        runtime.block_on(async {
            let pool = default_pool();
            assert_eq!(pool.stats().started, 1);
        });
        drop(runtime);
        let last = pids[pids.len() - 1];
        let waiting = reiver::runtime::Builder::new_current_thread().build().unwrap();
        waiting.block_on(until("the end of the worker", || !lives(last)));
    }
    pids.dedup();
    assert_eq!(pids.len(), 3);
}

#[test]
fn a_pool_of_another_runtime_that_has_ended_is_closed() {
    let runtime = reiver::runtime::Builder::new_current_thread().build().unwrap();
    let pool = runtime.block_on(async {
        let pool = one().build();
        pool.run(jobs::nothing::job()).await.unwrap();
        pool
    });
    drop(runtime);
    let runtime = reiver::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(pool.run(jobs::nothing::job())).unwrap_err();
    assert_eq!(*error.failure(), Failure::PoolClosed);
}

#[reiver::test]
async fn nested_calls_are_refused() {
    let pool = one().build();
    assert_eq!(pool.run(jobs::nested::job()).await.unwrap(), "Nested");
}

#[reiver::test]
async fn chaos_ends_jobs_in_typed_errors_and_nothing_else() {
    let chaos = Chaos { kill: 20, garble: 20, delay: 20, delay_by: Duration::from_millis(1) };
    let pool = ProcessPool::builder().workers(2).chaos(chaos).stderr(reiver::offload::Stdio::Null);
    let pool = pool.build();
    let (mut good, mut bad) = (0, 0);
    for i in 0..100 {
        match timeout(PATIENCE, pool.run(jobs::add::job(i, 1))).await.unwrap() {
            Ok(sum) => {
                assert_eq!(sum, i + 1);
                good += 1;
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                bad += 1;
            }
        }
    }
    assert!(good > 20 && bad > 10, "{good} good, {bad} bad");
    for i in 0..20 {
        assert_eq!(pool.run(jobs::add::job(i, 1).idempotent(100)).await.unwrap(), i + 1);
    }
}

#[reiver::test]
async fn many_jobs_a_few_at_a_time() {
    let pool = ProcessPool::builder().workers(2).build();
    let mut all = pool.map((0..50).map(|i| jobs::add::job(i, 1))).ordered();
    for i in 0..50 {
        let (number, sum) = all.next().await.unwrap();
        assert_eq!((number, sum.unwrap()), (i, i as u32 + 1));
    }
    assert!(all.next().await.is_none() && all.next().await.is_none());

    let gate = Gate::new();
    let jobs = std::iter::once(gate.job()).chain((0..5).map(|_| jobs::pid::job()));
    let mut all = pool.map(jobs).concurrency(2);
    for number in 1..6 {
        assert_eq!(all.next().await.unwrap().0, number, "it passes the slow one");
    }
    gate.open();
    assert_eq!(all.next().await.unwrap().0, 0);
    assert!(all.next().await.is_none());

    let mut all = pool.map((0..).map(|_| jobs::abort::job()));
    for _ in 0..3 {
        all.next().await.unwrap().1.unwrap_err();
    }
    drop(all);
    assert_eq!(pool.run(jobs::add::job(1, 1)).await.unwrap(), 2);
}

/// Each job is done once, by whichever worker, also when workers with several jobs are lost.
#[reiver::test]
async fn jobs_behind_one_that_dies_go_to_another_worker() {
    let pool = ProcessPool::builder().workers(2).depth(4).stderr(reiver::offload::Stdio::Null);
    let pool = pool.build();
    let mark = a_path("depth");
    let path = mark.to_str().unwrap().to_owned();
    let jobs: Vec<_> = (0..600)
        .map(|i| {
            let (pool, path) = (pool.clone(), path.clone());
            reiver::spawn(async move {
                if i % 50 == 49 {
                    return pool.run(jobs::abort::job()).await.is_err();
                }
                pool.run(jobs::touches::job(path)).await.is_ok()
            })
        })
        .collect();
    for job in jobs {
        assert!(job.await.unwrap());
    }
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.lost), (588, 12), "{stats:?}");
    assert_eq!(std::fs::read(&mark).unwrap().len(), 588);
    std::fs::remove_file(mark).unwrap();
    let late = jobs::forever::job().timeout(Duration::from_millis(30));
    let (late, sums) = reiver::join!(pool.run(late), async {
        let mut sums = pool.map((0..100).map(|i| jobs::add::job(i, 1))).concurrency(20);
        let mut sum = 0;
        while let Some((_, one)) = sums.next().await {
            sum += one.unwrap();
        }
        sum
    });
    assert!(matches!(late.unwrap_err().failure(), Failure::TimedOut { .. }));
    assert_eq!(sums, 5050);
}

#[reiver::test]
async fn a_deadline_of_the_callers_scope_holds_for_the_job() {
    let pool = one().build();
    let before = pool.run(jobs::pid::job()).await.unwrap();
    // There is time to hear of it: the scope is over long after its deadline.
    let scope = Group::builder().timeout(Duration::from_millis(500)).grace(PATIENCE);
    let error =
        scope.run(async |_: Group<()>| Ok(pool.run(jobs::forever::job()).await.unwrap_err())).await;
    // The deadline is a failure of the scope; what the body said is not given then.
    assert!(error.is_err());
    assert_eq!(pool.stats().timed_out, 1, "it was not dropped: it ran out of time");
    assert_ne!(pool.run(jobs::pid::job()).await.unwrap(), before);
    // One that waits in the queue is taken out of it.
    let gate = Gate::new();
    let first = reiver::spawn(pool.run(gate.job()));
    gate.begun(1).await;
    let scope = Group::builder().timeout(Duration::from_millis(20)).grace(PATIENCE);
    let (send, receive) = std::sync::mpsc::channel();
    let late = scope.run(async |_: Group<()>| {
        send.send(pool.run(jobs::nothing::job()).await.unwrap_err()).unwrap();
        Ok(())
    });
    assert!(late.await.is_err());
    assert_eq!(*receive.recv().unwrap().failure(), Failure::Expired);
    gate.open();
    first.await.unwrap().unwrap();
}

/// A paused clock waits for jobs, and their limits are real.
#[reiver::test(start_paused = true)]
async fn a_paused_clock_stands_while_jobs_run_and_limits_do_not() {
    let pool = one().build();
    let (start, real) = (reiver::time::Instant::now(), Instant::now());
    timeout(Duration::from_secs(3600), pool.run(jobs::sleeps::job(50))).await.unwrap().unwrap();
    assert!(real.elapsed() >= Duration::from_millis(50));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let limit = Duration::from_millis(50);
    let error = pool.run(jobs::forever::job().timeout(limit)).await.unwrap_err();
    assert!(matches!(error.failure(), Failure::TimedOut { ran } if *ran >= limit), "{error}");
    let gate = Gate::new();
    let (first, second) = reiver::join!(pool.run(gate.job()), async {
        let error = pool.run(jobs::nothing::job().deadline(limit)).await.unwrap_err();
        gate.open();
        error
    });
    first.unwrap();
    assert_eq!(*second.failure(), Failure::Expired);
    assert_eq!(start.elapsed(), Duration::ZERO);
    // Back-off too, and an hour passes at once when there is no job.
    let broken = one().program("/nonexistent/program").build();
    for _ in 0..4 {
        let error = broken.run(jobs::nothing::job()).await.unwrap_err();
        assert!(matches!(error.failure(), Failure::WorkerStart { .. }), "{error}");
    }
    reiver::time::sleep(Duration::from_secs(3600)).await;
    assert!(real.elapsed() < PATIENCE);
}
