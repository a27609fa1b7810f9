//! Children whose end is noticed by `SIGCHLD`, as where there are no pidfds.

use super::child::Child;
use super::exit::Exit;
use crate::runtime::{Builder, Runtime};
use std::process::Command;

/// A child in the way of a system without pidfds.
fn spawn(command: &mut Command, kill_on_drop: bool) -> Child {
    Child::new(command.spawn().unwrap().into(), Exit::by_signal().unwrap(), kill_on_drop)
}

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ]
}

/// Whether the process exists, be it as a zombie.
fn exists(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

/// Waits until `pid` is reaped, by others.
async fn reaped(pid: u32) {
    for _ in 0..10_000 {
        if !exists(pid) {
            return;
        }
        crate::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("{pid} has not been reaped");
}

#[test]
fn ends_are_noticed_by_signal() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..50)
                .map(|n| {
                    let mut child =
                        spawn(Command::new("sh").args(["-c", &format!("exit {n}")]), false);
                    crate::spawn(async move { child.wait().await.unwrap().code() })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), Some(n as i32));
            }
        });
    }
}

#[test]
fn orphans_are_reaped_by_signal() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let child = spawn(Command::new("sleep").arg("60"), true);
            let pid = child.id().unwrap();
            drop(child);
            reaped(pid).await;
            let mut cat = Command::new("cat");
            let mut child = cat.stdin(std::process::Stdio::piped()).spawn().unwrap();
            let (pid, stdin) = (child.id(), child.stdin.take());
            drop(Child::new(child.into(), Exit::by_signal().unwrap(), false));
            assert!(exists(pid));
            drop(stdin);
            reaped(pid).await;
        });
    }
}

#[test]
fn an_end_before_the_listener_is_noticed() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let std = Command::new("true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", std.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        let mut child = Child::new(std.into(), Exit::by_signal().unwrap(), false);
        assert!(child.wait().await.unwrap().success());
    });
}
