//! `spawn_blocking` and what surrounds it, seen from outside.

use reiver::runtime::{Builder, Handle, Rescue, Runtime};
use reiver::sync::oneshot;
use reiver::task::blocking::Pool;
use reiver::task::{self, StopToken, spawn_blocking};
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
        // A report would have a thread of the pool.
        .rescue(Rescue::Off)
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

#[test]
fn a_running_job_is_told_to_stop() {
    for runtime in runtimes() {
        runtime.block_on(async {
            assert!(!task::stop_requested());
            let (begun, has_begun) = oneshot::channel();
            let job = spawn_blocking(move || {
                let token = StopToken::current();
                assert!(!token.is_stop_requested() && !task::stop_requested());
                begun.send(()).unwrap();
                // Others that work for it hear of it too.
                let helper = std::thread::spawn(move || {
                    assert!(!task::stop_requested(), "this thread is no job");
                    while !token.is_stop_requested() {
                        std::thread::yield_now();
                    }
                });
                helper.join().unwrap();
                assert!(task::stop_requested());
                "stopped"
            });
            has_begun.await.unwrap();
            job.abort();
            assert_eq!(job.await.unwrap(), "stopped");
        });
        // So does the end of the runtime.
        let (begun, has_begun) = mpsc::channel();
        runtime.spawn_blocking(move || {
            begun.send(()).unwrap();
            while !task::stop_requested() {
                std::thread::yield_now();
            }
        });
        has_begun.recv().unwrap();
        assert!(runtime.shutdown(Duration::from_secs(20)).is_clean());
    }
}

#[test]
fn pools_have_limits_and_names_of_their_own() {
    let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (starts, stops) = (started.clone(), stopped.clone());
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        // A stand-in, or a report, would have a thread of the pool.
        .rescue(Rescue::Off)
        .on_thread_start(move || _ = starts.fetch_add(1, SeqCst))
        .on_thread_stop(move || _ = stops.fetch_add(1, SeqCst))
        .build()
        .unwrap();
    runtime.block_on(async {
        let pool = Pool::builder().name("images").max_threads(2).max_queue(1).build();
        assert_eq!((pool.name(), pool.num_threads(), pool.queue_depth()), ("images", 0, 0));
        let barrier = Arc::new(Barrier::new(3));
        // Two run at a time, which the runtime's pool would not let them.
        let meet = |name: &str| {
            let barrier = barrier.clone();
            let meet = move || {
                barrier.wait();
                Handle::current();
                std::thread::current().name().map(str::to_owned)
            };
            task::Builder::new().name(name).spawn_blocking_in(meet, &pool).unwrap()
        };
        let running = [meet("first"), meet("second")];
        while pool.queue_depth() > 0 {
            task::yield_now().await;
        }
        let queued = pool.try_spawn(|| 7).unwrap();
        assert!(pool.try_spawn(|| 8).unwrap_err().is_full());
        // The runtime's own pool is as free as before.
        assert_eq!(spawn_blocking(|| 9).await.unwrap(), 9);
        let jobs = Handle::current().blocking_jobs();
        let mut names: Vec<_> = jobs.iter().map(|job| (job.pool(), job.task().name())).collect();
        names.sort();
        let in_images = |name| (Some("images"), name);
        assert_eq!(names, [in_images(None), in_images(Some("first")), in_images(Some("second"))]);
        assert_eq!(jobs.iter().filter(|job| job.age().is_some()).count(), 2);
        barrier.wait();
        for job in running {
            assert_eq!(job.await.unwrap().as_deref(), Some("images"));
        }
        assert_eq!(queued.await.unwrap(), 7);
        assert_eq!(pool.submit(|| 10).await.await.unwrap(), 10);
        assert!(pool.run(|| panic!("inside a pool")).await.unwrap_err().is_panic());
        assert_eq!(pool.num_threads(), 2);
    });
    drop(runtime);
    assert_eq!(started.load(SeqCst), 1 + 1 + 2);
    // The pool went before its runtime, which therefore does not wait for the ends of its threads.
    let deadline = Instant::now() + Duration::from_secs(20);
    while stopped.load(SeqCst) < started.load(SeqCst) {
        assert!(Instant::now() < deadline, "a thread of the pool does not end");
        std::thread::yield_now();
    }
}

#[test]
fn a_pool_ends_with_its_last_clone_and_with_its_runtime() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let block = |pool: &Pool| {
        let (free, blocked) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let job = pool.spawn(move || {
            begun.send(()).unwrap();
            blocked.recv().is_err()
        });
        has_begun.recv().unwrap();
        (free, job)
    };
    let guard = runtime.enter();
    let pool = Pool::builder().name("short").max_threads(1).build();
    let (free, running) = block(&pool);
    let queued = pool.spawn(|| ());
    drop(pool.clone());
    assert_eq!(pool.jobs().len(), 2);
    drop(pool);
    assert!(runtime.block_on(queued).unwrap_err().is_cancelled());
    drop(free);
    assert!(runtime.block_on(running).unwrap());
    // What runs when the runtime ends is in its report.
    let pool = Pool::builder().name("long").max_threads(1).build();
    let (free, _running) = block(&pool);
    drop(guard);
    let report = runtime.shutdown(Duration::from_millis(10));
    assert_eq!(report.blocking_threads(), 1);
    assert_eq!(report.blocking_jobs()[0].pool(), Some("long"));
    drop(free);
    let late = pool.spawn(|| ());
    let there = Runtime::new().unwrap();
    assert!(there.block_on(late).unwrap_err().is_cancelled());
}

/// A paused clock waits for jobs of every pool.
#[test]
fn jobs_of_a_pool_hold_a_paused_clock() {
    let runtime = Builder::new_current_thread().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let pool = Pool::builder().max_threads(1).build();
        let start = Instant::now();
        let job = pool.run(|| std::thread::sleep(Duration::from_millis(50)));
        let hour = Duration::from_secs(3600);
        reiver::time::timeout(hour, job).await.unwrap().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(50));
        // And goes on behind them.
        reiver::time::sleep(hour).await;
    });
}

#[test]
fn a_submitted_job_is_from_where_it_was_submitted() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (door, closed) = mpsc::channel::<()>();
        let closed = Arc::new(std::sync::Mutex::new(closed));
        let job = || {
            let closed = closed.clone();
            move || assert!(closed.lock().unwrap().recv().is_err())
        };
        let pool = Pool::builder().build();
        let submitted = [task::submit_blocking(job()).await, pool.submit(job()).await];
        let run = reiver::spawn({
            let (pool, job) = (pool.clone(), job());
            async move { pool.run(job).await.unwrap() }
        });
        while pool.jobs().len() < 2 || Handle::current().blocking_jobs().is_empty() {
            task::yield_now().await;
        }
        for job in Handle::current().blocking_jobs().iter().chain(&pool.jobs()) {
            assert!(job.task().location().file().ends_with("tests/blocking.rs"), "{job:?}");
        }
        drop(door);
        for job in submitted {
            job.await.unwrap();
        }
        run.await.unwrap();
    });
}
