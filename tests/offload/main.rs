//! Worker processes, by real signals and real limits.
#![cfg(target_os = "linux")]

mod death;
mod jobs;
mod parent;
mod pool;
mod soak;
mod values;

use reiver::offload::{Builder, ProcessPool};
use std::time::{Duration, Instant};

/// A bound on hangs, far above what a slow machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// One worker, whose words go nowhere.
fn one() -> Builder {
    ProcessPool::builder().workers(1).stderr(reiver::offload::Stdio::Null)
}

/// Waits until `met` holds.
async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < PATIENCE, "waiting for: {what}");
        reiver::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether a process exists and is no zombie.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
