//! Many jobs at once: streams, chunks, and processes beside threads.

use super::{Gate, PATIENCE, jobs, one};
use futures_util::StreamExt;
use reiver::offload::{ProcessPool, Stdio};
use reiver::task::{gather, spawn_blocking};
use std::pin::Pin;
use std::time::Duration;

#[reiver::test]
async fn a_map_is_a_stream() {
    let pool = ProcessPool::builder().workers(2).build();
    let all = pool.map((0..20).map(|i| jobs::add::job(i, 1)));
    let sum = all.fold(0, |sum, (_, one)| async move { sum + one.unwrap() }).await;
    assert_eq!(sum, 210);
    let some = pool.map((0..).map(|i| jobs::add::job(i, 1))).ordered().take(5);
    let some: Vec<u32> = some.map(|(_, one)| one.unwrap()).collect().await;
    assert_eq!(some, [1, 2, 3, 4, 5]);
}

/// Maps eight jobs in chunks of four, and says whether four were seen at the worker at once. What is behind a job that takes
/// more than a millisecond is taken back: who has no CPU for that long sees none.
async fn sees_a_chunk() -> bool {
    let pool = one().build();
    let gate = Gate::new();
    // The others go to the one worker while it is busy.
    let jobs = std::iter::once(gate.job()).chain((0..7).map(|_| jobs::pid::job()));
    let mut all = pool.map(jobs).chunks(4).ordered();
    let seen = {
        let mut next = std::pin::pin!(all.next());
        let waiting = std::future::poll_fn(|cx| next.as_mut().poll(cx).map(drop));
        let seen = super::until_at_once("a chunk", || super::given() == 4);
        let seen = reiver::select! {
            biased;
            () = waiting => panic!("the gate is closed"),
            seen = reiver::time::timeout(Duration::from_secs(1), seen) => seen.is_ok(),
        };
        gate.open();
        let worker = next.await.unwrap().1.unwrap();
        assert_eq!(worker, pool.stats().workers[0]);
        seen
    };
    for number in 1..8 {
        let (next, pid) = all.next().await.unwrap();
        assert_eq!((next, pid.is_ok()), (number, true));
    }
    assert!(all.next().await.is_none());
    seen
}

#[reiver::test]
async fn a_worker_gets_a_chunk_at_a_time_and_each_job_has_its_own_end() {
    let mut attempts = 0;
    while !sees_a_chunk().await {
        attempts += 1;
        assert!(attempts < 20, "no chunk was seen at the worker");
    }
    // The one in the middle dies, and takes none of its chunk along.
    let pool = ProcessPool::builder().workers(2).stderr(Stdio::Null).build();
    let many = (0..40).map(|i| if i == 20 { jobs::exits::job(3) } else { jobs::nothing::job() });
    let mut all = pool.map(many).chunks(8).ordered();
    for number in 0..40 {
        let (next, result) = all.next().await.unwrap();
        assert_eq!((next, result.is_ok()), (number, number != 20));
    }
    assert!(pool.close(PATIENCE).await);
}

/// The same fan-out over jobs in processes and on threads.
#[reiver::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_and_threads_are_gathered_alike() {
    let pool = ProcessPool::builder().workers(2).build();
    type Boxed = Pin<Box<dyn Future<Output = u32> + Send>>;
    let all = (0..20).map(|i| -> Boxed {
        let job = pool.run(jobs::add::job(i, 1));
        match i % 2 {
            0 => Box::pin(async { job.await.unwrap() }),
            _ => Box::pin(async move { spawn_blocking(move || jobs::add(i, 1)).await.unwrap() }),
        }
    });
    let sums: Vec<u32> = gather(all).await;
    assert_eq!(sums, (1..=20).collect::<Vec<_>>());
    assert_eq!(pool.stats().completed, 10);
}
