//! Workers that a template makes, and what happens when it is not there.

use super::{jobs, one, until};
use reiver::offload::ProcessPool;
use std::process::Command;

/// Runs the test `name`, which is ignored otherwise, in a process of its own, whose templates are nobody else's.
#[track_caller]
fn alone(name: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", &format!("template::{name}")])
        .env("REIVER_TEST_SECRET", "it is not for workers")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}

/// What the process was started with: a copy has what its template was started with.
fn is_cloned(pid: u32) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = String::from_utf8_lossy(&environment);
    let orders = text.split('\0').find_map(|line| line.strip_prefix("REIVER_OFFLOAD_WORKER="));
    orders.expect("it is a worker").contains("template")
}

/// Our children, by the names of their processes.
fn children(name: &str) -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let lists =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let all: Vec<u32> = lists
        .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let named = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    all.into_iter().filter(named).collect()
}

/// The template, once it waits for requests. Its name comes before that; so does its last descriptor's end.
async fn template() -> u32 {
    let mut found = None;
    until("a template", || {
        found = children("reiver-template").first().copied();
        found.is_some_and(sleeps)
    })
    .await;
    found.unwrap()
}

fn sleeps(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    stat.contains(") S ") && call.starts_with(&format!("{} ", libc::SYS_recvmsg))
}

async fn worker(pool: &ProcessPool) -> u32 {
    pool.run(jobs::pid::job()).await.unwrap()
}

async fn next_worker(pool: &ProcessPool) -> u32 {
    pool.run(jobs::abort::job()).await.unwrap_err();
    worker(pool).await
}

#[test]
fn later_workers_are_copies() {
    alone("helper_copies");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_copies() {
    let pool = one().build();
    assert!(!is_cloned(worker(&pool).await), "there was no template");
    template().await;
    for _ in 0..20 {
        assert!(is_cloned(next_worker(&pool).await));
    }
}
