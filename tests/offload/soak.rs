//! Random ends under load, for as long as `SOAK_SECONDS` says:
//! `SOAK_SECONDS=600 cargo test --release --test offload soak -- --ignored --nocapture`.

use super::{PATIENCE, children, descriptors, jobs, until};
use reiver::offload::{Blob, BlobMut, Chaos, ProcessPool, Stdio};
use reiver::time::{sleep, timeout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[reiver::offload]
fn sum(blob: Blob) -> u64 {
    blob.iter().map(|byte| u64::from(*byte)).sum()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A number from a counter, well mixed.
fn mixed(n: u64) -> u64 {
    let x = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

struct Counts {
    good: AtomicU64,
    bad: AtomicU64,
    dropped: AtomicU64,
}

/// One job of a random kind. Its outcome is a value that is right, a typed error, or that we let go.
async fn one(pool: &ProcessPool, n: u64, counts: &Counts) {
    let random = mixed(n);
    let result = match random % 16 {
        0 => pool.run(jobs::abort::job()).await.map(|()| panic!("it aborts")),
        1 => pool.run(jobs::panics::job("x".into())).await.map(|()| panic!("it panics")),
        2 => {
            let job = jobs::forever::job().timeout(Duration::from_millis(random >> 8 & 15));
            pool.run(job).await.map(|()| panic!("it has no end"))
        }
        3 => {
            let running = pool.run(jobs::computes::job(20));
            if timeout(Duration::from_millis(random >> 8 & 7), running).await.is_err() {
                counts.dropped.fetch_add(1, SeqCst);
            } else {
                counts.good.fetch_add(1, SeqCst);
            }
            return;
        }
        4 => {
            let size = (random >> 8) as usize % 300_000;
            pool.run(jobs::echo::job(vec![n as u8; size])).await.map(|bytes| {
                assert!(bytes.len() == size && bytes.iter().all(|byte| *byte == n as u8));
            })
        }
        5 => {
            let mut shared = BlobMut::zeroed(100_000).unwrap();
            shared.fill(2);
            let blob = shared.freeze().unwrap();
            pool.run(sum::job(blob)).await.map(|sum| assert_eq!(sum, 200_000))
        }
        6 => pool.run(jobs::exits::job(4)).await.map(|()| panic!("it exits")),
        _ => {
            let (a, b) = (n as u32 >> 1, random as u32 >> 1);
            pool.run(jobs::add::job(a, b)).await.map(|sum| assert_eq!(sum, a + b))
        }
    };
    let count = if result.is_ok() { &counts.good } else { &counts.bad };
    count.fetch_add(1, SeqCst);
}

#[reiver::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn soak() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds.unwrap_or(60));
    // What the first worker brings stays: the poller has descriptors, and is made by the first socket.
    let first = super::one().build();
    first.run(jobs::nothing::job()).await.unwrap();
    assert!(first.close(PATIENCE).await);
    drop(first);
    until("no child of the first pool", || children().is_empty()).await;
    let before = (descriptors(), children());
    let chaos = Chaos { kill: 1, garble: 1, delay: 2, delay_by: Duration::from_millis(2) };
    let pools: Vec<_> = [1, 3]
        .into_iter()
        .map(|depth| {
            let pool = ProcessPool::builder().workers(2).depth(depth).max_queued(16);
            pool.recycle_after(200).chaos(chaos).stderr(Stdio::Null).build()
        })
        .collect();
    let counts = Arc::new(Counts { good: 0.into(), bad: 0.into(), dropped: 0.into() });
    let over = Arc::new(AtomicBool::new(false));
    let (next, memory) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let tasks: Vec<_> = (0..24)
        .map(|i| {
            let (pool, counts) = (pools[i % 2].clone(), counts.clone());
            let (over, next) = (over.clone(), next.clone());
            reiver::spawn(async move {
                while !over.load(SeqCst) {
                    one(&pool, next.fetch_add(1, SeqCst), &counts).await;
                }
            })
        })
        .collect();
    while Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
        let random = mixed(start.elapsed().subsec_nanos().into());
        let workers = pools[random as usize % 2].stats().workers;
        if let Some(pid) = workers.get(random as usize / 2 % workers.len().max(1)) {
            // It may have been reaped just now; then nobody else has its number so soon.
            let signal = [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV][random as usize / 16 % 3];
            // SAFETY: a signal.
            unsafe { libc::kill(*pid as i32, signal) };
        }
        memory.lock().unwrap().push(resident_kib());
    }
    over.store(true, SeqCst);
    for task in tasks {
        timeout(PATIENCE, task).await.expect("a job has not ended").unwrap();
    }
    let ended = [&counts.good, &counts.bad, &counts.dropped].map(|count| count.load(SeqCst));
    for pool in &pools {
        println!("{:?}", pool.stats());
        assert!(pool.close(PATIENCE).await);
    }
    drop(pools);
    println!("good, bad, dropped: {ended:?}");
    assert_eq!(ended.iter().sum::<u64>(), next.load(SeqCst), "each job has one end");
    assert!(ended.iter().all(|count| *count > 0));
    until("no child", || children() == before.1).await;
    until("no descriptor more than before", || descriptors() <= before.0).await;
    let memory = memory.lock().unwrap();
    let (early, late) = (memory[memory.len() / 4], memory[memory.len() - 1]);
    println!("resident KiB: {early}, at the end {late}");
    assert!(late < early + 16 * 1024, "memory grows: {early} KiB, then {late} KiB");
}
