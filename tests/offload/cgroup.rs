//! Control groups, where one can be made: as root, or in one that was delegated (`REIVER_TEST_CGROUP`).

use super::{jobs, lives, one, until};
use reiver::offload::{Failure, KillHint};
use std::path::{Path, PathBuf};

/// A group to make others in, until it is dropped.
struct Parent(PathBuf);

impl Drop for Parent {
    fn drop(&mut self) {
        _ = std::fs::remove_dir(&self.0);
    }
}

fn parent() -> Option<Parent> {
    let given = std::env::var_os("REIVER_TEST_CGROUP").map(PathBuf::from);
    let usual = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(PathBuf::from);
    for root in given.into_iter().chain(usual) {
        let path = root.join(format!("reiver-test-{}", std::process::id()));
        let works = |path: &Path| {
            ["memory.limit_in_bytes", "memory.max"].iter().any(|file| path.join(file).exists())
        };
        if std::fs::create_dir(&path).is_ok() {
            let parent = Parent(path);
            if works(&parent.0) {
                return Some(parent);
            }
        }
    }
    println!("SKIPPED: no control group with a limit of memory can be made here");
    None
}

fn groups(parent: &Parent) -> usize {
    let entries = std::fs::read_dir(&parent.0).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

#[reiver::test]
async fn who_takes_more_memory_than_its_group_has_is_out_of_memory_for_certain() {
    let Some(parent) = parent() else { return };
    let pool = one().cgroup(&parent.0, 64 << 20).build();
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    assert_eq!(groups(&parent), 1);
    assert_eq!(pool.run(jobs::allocates::job(8 << 20)).await.unwrap(), 8 << 20);
    let error = pool.run(jobs::allocates::job(256 << 20)).await.unwrap_err();
    let oom = Failure::Killed { signal: libc::SIGKILL, hint: Some(KillHint::OutOfMemory) };
    assert_eq!(*error.failure(), oom, "{error}");
    until("the end of the worker", || !lives(worker)).await;
    // Its successor has a group of its own, in which nobody ran out of memory.
    let worker = pool.run(jobs::pid::job()).await.unwrap();
    let error = pool.run(jobs::raises::job(libc::SIGKILL)).await.unwrap_err();
    assert_eq!(*error.failure(), Failure::Killed { signal: libc::SIGKILL, hint: None });
    until("the end of the worker", || !lives(worker)).await;
    drop(pool);
    until("no group", || groups(&parent) == 0).await;
}

#[reiver::test]
async fn without_a_group_no_worker_starts() {
    let pool = one().cgroup("/proc/self", 64 << 20).build();
    let error = pool.run(jobs::nothing::job()).await.unwrap_err();
    let Failure::WorkerStart { reason } = error.failure() else { panic!("{error:?}") };
    assert!(reason.contains("control group /proc/self/reiver-"), "{reason}");
    assert_eq!(pool.stats().started, 0);
}
