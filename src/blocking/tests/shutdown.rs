//! The end of a pool.

use super::*;

#[test]
fn shutdown_reports_what_still_runs() {
    let bench = Bench::new(config(1));
    let (end, busy) = bench.occupy(Spec { name: Some("stuck".into()), ..Spec::user() });
    let ran = Arc::new(AtomicUsize::new(0));
    let (on_drop, dropped) = channel();
    let [guard, mandatory] = [OnDrop(on_drop.clone()), OnDrop(on_drop)];
    let queued = bench.spawn(move || drop(guard));
    let ran2 = ran.clone();
    let mandatory = bench
        .pool
        .spawn(Spec { mandatory: true, ..Spec::runtime() }, move || {
            drop(mandatory);
            ran2.fetch_add(1, SeqCst)
        })
        .unwrap();
    // The reserve thread may have run the mandatory job before this.
    let report = bench.pool.shutdown(Some(Instant::now()));
    assert!(!report.is_clean());
    assert!(report.threads >= 1);
    assert_eq!(report.jobs[0].task().id(), busy.id());
    assert_eq!(report.jobs[0].task().name(), Some("stuck"));
    assert!(report.jobs[0].age().is_some());
    // Cancelled without waiting for the stuck one; the mandatory one ran.
    assert!(block_on(queued).unwrap_err().is_cancelled());
    assert_eq!(block_on(mandatory).unwrap(), 0);
    dropped.recv().unwrap();
    dropped.recv().unwrap();
    let late = bench.spawn(|| panic!("runs never"));
    assert!(late.is_finished());
    assert!(block_on::<JoinHandle<()>>(late).unwrap_err().is_cancelled());
    drop(end);
    assert!(bench.pool.shutdown(None).is_clean());
    assert!(block_on(busy).is_ok());
    assert_eq!(ran.load(SeqCst), 1);
}

/// What was held for them is given back.
#[test]
fn the_end_of_cancelled_jobs_is_announced() {
    let bench = Bench::new(config(1));
    let announced = || Spec { announced: true, ..Spec::user() };
    let (end, _busy) = bench.occupy(announced());
    let _queued = [0, 1].map(|n| bench.pool.spawn(announced(), move || n).unwrap());
    assert!(!bench.pool.shutdown(Some(Instant::now())).is_clean());
    assert_eq!(bench.hook.announced.load(SeqCst), 2, "those in the queue");
    drop(bench.pool.spawn(announced(), || 2).unwrap());
    assert_eq!(bench.hook.announced.load(SeqCst), 3, "one that came too late");
    drop(end);
    assert!(bench.pool.shutdown(None).is_clean());
    assert_eq!(bench.hook.announced.load(SeqCst), 4);
}

#[test]
fn mandatory_jobs_behind_a_running_one_still_run() {
    let bench = Bench::new(Config { reserved: 0, ..config(1) });
    let (end, _busy) = bench.occupy(Spec::user());
    let mandatory: Vec<_> = (0..5)
        .map(|n| {
            let spec = Spec { mandatory: n % 2 == 0, ..Spec::user() };
            bench.pool.spawn(spec, move || n).unwrap()
        })
        .collect();
    let report = bench.pool.shutdown(Some(Instant::now()));
    assert_eq!((report.jobs.len(), report.threads), (4, 1));
    assert_eq!(report.jobs.iter().filter(|job| job.age().is_some()).count(), 1);
    drop(end);
    for (n, handle) in mandatory.into_iter().enumerate() {
        assert_eq!(block_on(handle).is_ok(), n % 2 == 0);
    }
}

#[test]
fn a_job_may_shut_its_pool_down() {
    let bench = Bench::new(config(4));
    let pool = bench.pool.clone();
    assert!(block_on(bench.spawn(move || pool.shutdown(None).is_clean())).unwrap());

    // Two jobs that wait for each other's threads.
    let bench = Bench::new(config(4));
    let barrier = Arc::new(Barrier::new(2));
    let jobs = [0, 1].map(|_| {
        let (pool, barrier) = (bench.pool.clone(), barrier.clone());
        bench.spawn(move || {
            barrier.wait();
            pool.shutdown(None).is_clean()
        })
    });
    assert!(jobs.into_iter().all(|job| block_on(job).unwrap()));
}

#[test]
fn the_last_handle_closes_the_pool() {
    let bench = Bench::new(config(4));
    let shared = Arc::downgrade(&bench.pool.0.0);
    let (end, busy) = bench.occupy(Spec::user());
    let other = bench.pool.clone();
    let queued: Vec<_> = {
        let hook = bench.hook.clone();
        hook.refuse.store(true, SeqCst);
        (0..2).map(|n| bench.spawn(move || n)).collect()
    };
    drop(bench.pool.clone());
    assert!(queued.iter().all(|handle| !handle.is_finished()));
    // Without `Bench::drop`, which would wait.
    let bench = std::mem::ManuallyDrop::new(bench);
    // SAFETY: the pool is read once, and the bench that holds it is not used or dropped any more.
    drop(unsafe { std::ptr::read(&bench.pool) });
    drop(other);
    assert!(queued.into_iter().all(|handle| block_on(handle).unwrap_err().is_cancelled()));
    drop(end);
    assert!(block_on(busy).is_ok());
    let start = Instant::now();
    while shared.strong_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "a thread stayed");
        thread::yield_now();
    }
}

#[test]
fn spawns_race_with_shutdown() {
    for round in 0..200 {
        let bench = Bench::new(Config { keep_alive: Duration::ZERO, ..config(3) });
        let ran = Arc::new(AtomicUsize::new(0));
        let done = AtomicUsize::new(0);
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    let handles: Vec<_> = (0..50)
                        .map(|n| {
                            let ran = ran.clone();
                            let mandatory = n % 3 == 0;
                            let spec = Spec { mandatory, announced: true, ..Spec::user() };
                            bench.pool.spawn(spec, move || ran.fetch_add(1, SeqCst)).unwrap()
                        })
                        .collect();
                    for handle in handles {
                        match block_on(handle) {
                            Ok(_) => _ = done.fetch_add(1, SeqCst),
                            Err(error) => assert!(error.is_cancelled()),
                        }
                    }
                });
            }
            scope.spawn(|| {
                barrier.wait();
                (0..round % 20).for_each(|_| thread::yield_now());
                assert!(bench.pool.shutdown(None).is_clean());
            });
        });
        assert_eq!(ran.load(SeqCst), done.load(SeqCst));
        assert_eq!(bench.hook.announced.load(SeqCst), 100);
    }
}
