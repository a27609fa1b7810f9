//! `spawn_blocking` and what surrounds it, seen from outside.

use reiver::runtime::{Builder, Handle, Runtime};
use reiver::task::{self, spawn_blocking};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ]
}

#[test]
fn jobs_give_their_results_and_panics() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let jobs: Vec<_> = (0..1000u64).map(|n| spawn_blocking(move || n * n)).collect();
            for (n, job) in jobs.into_iter().enumerate() {
                assert_eq!(job.await.unwrap(), (n * n) as u64);
            }
            let error = spawn_blocking(|| panic!("inside a job")).await.unwrap_err();
            assert!(error.to_string().contains("inside a job"));
        });
    }
}

#[test]
fn jobs_that_wait_for_each_other_get_a_thread_each() {
    for runtime in runtimes() {
        let barrier = Arc::new(Barrier::new(40));
        runtime.block_on(async {
            let jobs: Vec<_> = (0..40)
                .map(|_| {
                    let barrier = barrier.clone();
                    spawn_blocking(move || barrier.wait().is_leader())
                })
                .collect();
            let mut leaders = 0;
            for job in jobs {
                leaders += usize::from(job.await.unwrap());
            }
            assert_eq!(leaders, 1);
        });
    }
}

#[test]
fn a_job_is_inside_the_runtime() {
    for runtime in runtimes() {
        let sum = runtime.block_on(async {
            spawn_blocking(|| {
                assert!(task::try_id().is_some());
                let handle = Handle::current();
                let task = reiver::spawn(async { 20 });
                handle.block_on(async { task.await.unwrap() + 22 })
            })
            .await
            .unwrap()
        });
        assert_eq!(sum, 42);
    }
}

#[test]
fn the_pool_has_a_limit_and_jobs_wait_for_it() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .thread_name("limited")
        .build()
        .unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    runtime.block_on(async {
        let jobs: Vec<_> = (0..50)
            .map(|_| {
                let (running, most) = (running.clone(), most.clone());
                spawn_blocking(move || {
                    most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, SeqCst);
                    assert_eq!(std::thread::current().name(), Some("limited"));
                })
            })
            .collect();
        for job in jobs {
            job.await.unwrap();
        }
    });
    assert!(most.load(SeqCst) <= 2);
}

#[test]
fn abort_before_the_start_drops_the_closure() {
    let runtime =
        Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build().unwrap();
    let (free, blocked) = mpsc::channel::<()>();
    let first = runtime.handle().block_on(async {
        let first = spawn_blocking(move || blocked.recv());
        let token = Arc::new(());
        let held = token.clone();
        let second = spawn_blocking(move || drop(held));
        second.abort();
        free.send(()).unwrap();
        assert!(second.await.unwrap_err().is_cancelled());
        assert_eq!(Arc::strong_count(&token), 1);
        first.await.unwrap()
    });
    first.unwrap();
}

#[test]
fn shutdown_waits_for_what_runs_until_the_deadline() {
    let ran = Arc::new(AtomicUsize::new(0));
    let runtime =
        Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build().unwrap();
    let (started, begun) = mpsc::channel();
    let counter = ran.clone();
    let job = runtime.spawn_blocking(move || {
        started.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        counter.fetch_add(1, SeqCst);
    });
    begun.recv().unwrap();
    drop(runtime);
    assert_eq!(ran.load(SeqCst), 1);
    assert!(job.is_finished());

    let runtime = Runtime::new().unwrap();
    let (free, blocked) = mpsc::channel::<()>();
    let (started, begun) = mpsc::channel();
    let job = runtime.spawn_blocking(move || {
        started.send(()).unwrap();
        blocked.recv()
    });
    begun.recv().unwrap();
    let start = Instant::now();
    runtime.shutdown_timeout(Duration::from_millis(20));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!job.is_finished());
    free.send(()).unwrap();
    while !job.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn a_job_after_the_end_is_cancelled() {
    for runtime in runtimes() {
        let handle = runtime.handle().clone();
        drop(runtime);
        let _guard = handle.enter();
        assert!(spawn_blocking(|| ()).is_finished());
    }
}

#[test]
fn a_runtime_may_be_dropped_inside_a_job() {
    let outer = Runtime::new().unwrap();
    let inner = Runtime::new().unwrap();
    let job = outer.spawn_blocking(move || drop(inner));
    outer.block_on(job).unwrap();
}

#[test]
fn a_full_queue_pushes_back() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .max_blocking_queue(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (free, blocked) = mpsc::channel::<()>();
        let (started, begun) = mpsc::channel();
        let running = spawn_blocking(move || {
            started.send(()).unwrap();
            blocked.recv()
        });
        begun.recv().unwrap();
        let queued = task::try_spawn_blocking(|| 1).unwrap();
        let refused = task::try_spawn_blocking(|| 2).unwrap_err();
        assert!(refused.is_full());
        assert_eq!(refused.into_inner()(), 2);
        let waiting = reiver::spawn(async { task::submit_blocking(|| 3).await.await.unwrap() });
        task::yield_now().await;
        let metrics = Handle::current().metrics();
        assert_eq!((metrics.blocking_queue_depth(), metrics.num_blocking_threads()), (1, 1));
        let jobs = Handle::current().blocking_jobs();
        assert_eq!(jobs.len(), 2);
        assert!(jobs[0].age().is_some() && jobs[1].age().is_none());
        free.send(()).unwrap();
        assert_eq!((queued.await.unwrap(), waiting.await.unwrap()), (1, 3));
        running.await.unwrap().unwrap();
        // A job is counted when its thread is done with it, which its joiner may be ahead of.
        while metrics.blocking_jobs_count() < 3 {
            task::yield_now().await;
        }
        assert_eq!(metrics.blocking_queue_wait().count(), 3);
    });
}
