//! Worker processes, by real signals and real limits.
#![cfg(target_os = "linux")]

mod cgroup;
mod death;
mod fan_out;
mod inline;
mod jobs;
mod listing;
mod odds;
mod parent;
mod pool;
mod recall;
mod soak;
mod template;
mod values;

use reiver::offload::{Builder, Job, ProcessPool};
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A bound on hangs, far above what a slow machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// One worker, whose words go nowhere.
fn one() -> Builder {
    ProcessPool::builder().workers(1).stderr(reiver::offload::Stdio::Null)
}

/// Waits until `met` holds.
async fn until(what: &str, met: impl FnMut() -> bool) {
    look_until(what, met, || reiver::time::sleep(Duration::from_millis(1))).await;
}

/// The same without a pause: once a job has taken a millisecond, those behind it are taken back.
async fn until_at_once(what: &str, met: impl FnMut() -> bool) {
    look_until(what, met, reiver::task::yield_now).await;
}

async fn look_until<F: Future>(what: &str, mut met: impl FnMut() -> bool, pause: impl Fn() -> F) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < PATIENCE, "waiting for: {what}");
        pause().await;
    }
}

/// How many jobs workers have now, those behind others included.
fn given() -> usize {
    let jobs = reiver::runtime::Handle::current().offload_jobs();
    jobs.iter().filter(|job| job.age().is_some()).count()
}

/// Whether a process exists and is no zombie.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Our children, zombies included.
fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let lists =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A path that no other test has.
fn a_path(what: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("reiver-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    std::env::temp_dir().join(name)
}

/// What jobs wait for, in their own processes: a directory in which they leave a mark, and a file that lets them go
/// on.
struct Gate(PathBuf);

impl Gate {
    fn new() -> Self {
        let path = a_path("gate");
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A job that waits until the gate is open, and gives its process.
    fn job(&self) -> Job<u32> {
        jobs::waits::job(self.0.to_str().unwrap().into())
    }

    /// Waits until so many jobs have begun.
    async fn begun(&self, jobs: usize) {
        until("jobs at the gate", || std::fs::read_dir(&self.0).unwrap().count() >= jobs).await;
    }

    fn open(&self) {
        std::fs::write(self.0.join("open"), "").unwrap();
    }
}

/// A job that is still there ends, too.
impl Drop for Gate {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A script. Written by another process: while one of ours has it open for writing, a worker that is being
/// started has it too for a moment, and nobody can execute it.
fn script(text: &str) -> PathBuf {
    let path = a_path("script");
    let written = std::process::Command::new("/bin/sh")
        .args(["-c", "printf '%s' \"$1\" > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .arg(text)
        .status();
    assert!(written.unwrap().success());
    path
}
