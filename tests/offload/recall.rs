//! Jobs that stand behind another one at a worker: they are taken back when it takes long.

use super::{Gate, PATIENCE, a_path, given, jobs, one, until_at_once};
use reiver::offload::{BlobMut, Builder, Failure, Job, OffloadError, ProcessPool, Running, Stdio};
use reiver::time::{sleep, timeout};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

fn two() -> Builder {
    ProcessPool::builder().workers(2).stderr(Stdio::Null)
}

type Pinned<R> = Pin<Box<Running<R>>>;

/// Makes a pool's workers known to be quick, so that they get jobs ahead.
async fn run_quick_jobs(pool: &ProcessPool) {
    try_quick_jobs(pool).await.unwrap();
}

/// As [`run_quick_jobs`]; gives the last error.
async fn try_quick_jobs(pool: &ProcessPool) -> Result<(), OffloadError> {
    let mut all = pool.map((0..400).map(|_| jobs::nothing::job())).concurrency(8);
    let mut end = Ok(());
    while let Some((_, result)) = all.next().await {
        end = result.and(end);
    }
    end
}

/// Queues jobs at once, before a worker gets the first. Polls `first` and each of `others`.
async fn queue<A, R>(first: &mut Pinned<A>, others: &mut [Pinned<R>]) {
    poll_fn(|cx| {
        assert!(first.as_mut().poll(cx).is_pending());
        assert!(others.iter_mut().all(|other| other.as_mut().poll(cx).is_pending()));
        Poll::Ready(())
    })
    .await;
}

/// A job at the gate, and behind it at the same worker, for now, another.
async fn behind_a_gate<R>(
    pool: &ProcessPool,
    job: impl Fn() -> Job<R>,
) -> (Gate, Pinned<u32>, Pinned<R>) {
    loop {
        run_quick_jobs(pool).await;
        let gate = Gate::new();
        let mut first = Box::pin(pool.run(gate.job()));
        let mut second = [Box::pin(pool.run(job()))];
        queue(&mut first, &mut second).await;
        let [second] = second;
        until_at_once("jobs at a worker", || given() > 0).await;
        if given() == 2 {
            return (gate, first, second);
        }
        // The machine is so busy that quick jobs were not.
        gate.open();
        assert!(first.await.is_ok() && second.await.is_ok());
    }
}

/// The shared memory that a process has open, or mapped, with this name.
fn shared_memory(pid: u32, name: &str) -> (usize, usize) {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let open = links.filter(|link| link.to_string_lossy().contains(name)).count();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    (open, maps.lines().filter(|line| line.contains(name)).count())
}

#[reiver::test]
async fn jobs_behind_a_slow_one_end_before_it_at_the_other_worker() {
    let pool = two().build();
    run_quick_jobs(&pool).await;
    let gate = Gate::new();
    let mut slow = Box::pin(pool.run(gate.job()));
    let mut others: Vec<_> = (0..40).map(|_| Box::pin(pool.run(jobs::pid::job()))).collect();
    queue(&mut slow, &mut others).await;
    let mut pids = Vec::new();
    for other in others {
        pids.push(timeout(PATIENCE, other).await.expect("it waits").unwrap());
    }
    gate.open();
    assert!(!pids.contains(&slow.await.unwrap()));
    let stats = pool.stats();
    assert_eq!((stats.started, stats.lost, stats.abandoned), (2, 0, 0), "{stats:?}");
}

/// Whatever `depth` is, a chunk goes to one worker, and what it has not begun to another.
#[reiver::test]
async fn a_chunk_does_not_wait_behind_its_first_job() {
    let pool = two().depth(1).build();
    let (a, b) = reiver::join!(pool.run(jobs::sleeps::job(20)), pool.run(jobs::sleeps::job(20)));
    assert!(a.is_ok() && b.is_ok() && pool.stats().idle == 2);
    let gate = Gate::new();
    let jobs = std::iter::once(gate.job()).chain((0..20).map(|_| jobs::pid::job()));
    let mut all = pool.map(jobs).chunks(8);
    let mut pids = Vec::new();
    for _ in 0..20 {
        let (number, pid) = timeout(PATIENCE, all.next()).await.expect("it waits").unwrap();
        assert_ne!(number, 0);
        pids.push(pid.unwrap());
    }
    gate.open();
    assert!(!pids.contains(&all.next().await.unwrap().1.unwrap()));
}

#[reiver::test]
async fn a_caller_behind_the_first_goes_away_and_the_worker_stays() {
    let pool = one().build();
    let mark = a_path("behind");
    let touches = || jobs::touches::job(mark.to_str().unwrap().into());
    let (gate, first, unwanted) = behind_a_gate(&pool, touches).await;
    _ = std::fs::remove_file(&mark);
    drop(unwanted);
    let last = reiver::spawn(pool.run(jobs::pid::job()));
    gate.begun(1).await;
    gate.open();
    let worker = first.await.unwrap();
    assert_eq!(last.await.unwrap().unwrap(), worker);
    assert!(!mark.exists(), "a job ran that nobody wanted");
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.abandoned), (vec![worker], 0));
}

/// A deadline holds for a job wherever it stands: it is in the queue again when it passes.
#[reiver::test]
async fn a_deadline_passes_behind_a_slow_job() {
    let pool = one().build();
    let job = || jobs::nothing::job().deadline(Duration::from_secs(1));
    let (gate, first, behind) = behind_a_gate(&pool, job).await;
    let error = timeout(PATIENCE, behind).await.expect("it waits").unwrap_err();
    assert_eq!(*error.failure(), Failure::Expired);
    gate.open();
    first.await.unwrap();
    assert_eq!(pool.stats().started, 1);
}

#[reiver::test]
async fn each_job_ends_once_although_workers_die_as_jobs_are_taken_back() {
    let pool = two().build();
    for round in 0..30 {
        run_quick_jobs(&pool).await;
        let (gate, mark) = (Gate::new(), a_path("recalled"));
        let mut slow = Box::pin(pool.run(gate.job()));
        let path = mark.to_str().unwrap();
        let job = |_| Box::pin(pool.run(jobs::touches::job(path.into())));
        let mut others: Vec<_> = (0..12).map(job).collect();
        queue(&mut slow, &mut others).await;
        gate.begun(1).await;
        // Before, while and after the others are taken back: 1 ms after the first was given.
        sleep(Duration::from_micros(100 * round)).await;
        let entry = std::fs::read_dir(&gate.0).unwrap().next().unwrap().unwrap();
        let name = entry.file_name().into_string().unwrap();
        let pid: i32 = name.split_once('-').unwrap().0.parse().unwrap();
        // SAFETY: a signal to our own worker.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let error = slow.await.unwrap_err();
        assert!(matches!(error.failure(), Failure::Killed { .. }), "{error}");
        for other in others {
            timeout(PATIENCE, other).await.expect("it waits").unwrap();
        }
        assert_eq!(std::fs::read(&mark).unwrap().len(), 12);
        std::fs::remove_file(mark).unwrap();
    }
}

#[reiver::test]
async fn shared_memory_comes_back_with_its_job() {
    #[reiver::offload]
    fn sum(blob: reiver::offload::Blob) -> (u32, u64) {
        (std::process::id(), blob.iter().map(|byte| u64::from(*byte)).sum())
    }
    let pool = two().build();
    run_quick_jobs(&pool).await;
    let gate = Gate::new();
    let mut slow = Box::pin(pool.run(gate.job()));
    let mut others: Vec<_> = (1..20)
        .map(|size| {
            let mut memory = BlobMut::zeroed(size * 1000).unwrap();
            memory.fill(1);
            Box::pin(pool.run(sum::job(memory.freeze().unwrap())))
        })
        .collect();
    queue(&mut slow, &mut others).await;
    let mut pids = Vec::new();
    for (i, other) in others.into_iter().enumerate() {
        let (pid, sum) = timeout(PATIENCE, other).await.expect("it waits").unwrap();
        assert_eq!(sum, (i as u64 + 1) * 1000);
        pids.push(pid);
    }
    gate.open();
    let worker = slow.await.unwrap();
    assert!(!pids.contains(&worker));
    // It reads what was withdrawn, and goes on with what comes then.
    run_quick_jobs(&pool).await;
    assert!(pool.stats().workers.contains(&worker));
    for pid in pool.stats().workers {
        assert_eq!(shared_memory(pid, "reiver blob"), (0, 0));
        assert_eq!(shared_memory(pid, "reiver offers"), (0, 1), "mapped, and no descriptor");
    }
}

/// A job that writes over the memory in which the others are offered harms itself and those behind it, and nobody else.
#[reiver::test]
async fn damaged_offers_end_the_worker_and_no_job_waits_for_ever() {
    /// Damages all that both sides share, and goes on for a while.
    #[reiver::offload]
    fn damages(byte: u8) {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let map = maps.lines().find(|line| line.contains("reiver offers")).unwrap();
        let start = usize::from_str_radix(map.split('-').next().unwrap(), 16).unwrap();
        let start = std::ptr::with_exposed_provenance_mut::<u8>(start);
        // SAFETY: none, which is what is tested; so much is mapped there.
        unsafe { start.write_bytes(byte, 4096) };
        std::thread::sleep(Duration::from_millis(5));
    }
    fn is_of_the_damage(error: &OffloadError) -> bool {
        matches!(error.failure(), Failure::Protocol { .. }) && error.may_have_run()
    }
    let pool = two().build();
    let mut bytes = [0, 1, 0x5a, 0xff].into_iter().cycle();
    let mut rounds = 0;
    // On a machine so busy that quick jobs are not, nobody stands behind the one that damages.
    while rounds < 4 || pool.stats().lost == 0 {
        rounds += 1;
        assert!(rounds < 1000, "nobody ever stood behind it");
        // A job that was taken back leaves a message, at which the worker may find the damage of the last round.
        if let Err(error) = try_quick_jobs(&pool).await {
            assert!(is_of_the_damage(&error), "{error}");
            run_quick_jobs(&pool).await;
        }
        let byte = bytes.next().unwrap();
        let mut first = Box::pin(pool.run(damages::job(byte)));
        let mut others: Vec<_> = (0..12).map(|_| Box::pin(pool.run(jobs::pid::job()))).collect();
        queue(&mut first, &mut others).await;
        timeout(PATIENCE, first).await.expect("it waits").unwrap();
        for other in others {
            if let Err(error) = timeout(PATIENCE, other).await.expect("it waits") {
                assert!(is_of_the_damage(&error), "{error}");
            }
        }
    }
    let _ = try_quick_jobs(&pool).await;
    let lost = pool.stats().lost;
    run_quick_jobs(&pool).await;
    assert_eq!(pool.stats().lost, lost);
}
