//! Children: streams, ends, zombies, descriptors. `/proc` tells what is left of them.
#![cfg(target_os = "linux")]

#[path = "support/net.rs"]
mod support;

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::UnixStream;
use reiver::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use reiver::runtime::{Builder, Runtime};
use reiver::signal::unix::SignalKind;
use reiver::time::{Duration, sleep, timeout};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Mutex, MutexGuard};
use support::{no_more_descriptors_than, open_descriptors, runtimes};

const MS: Duration = Duration::from_millis(1);

/// Tests that count descriptors and children of the process run alone.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
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
        sleep(MS).await;
    }
    panic!("{pid} has not been reaped");
}

/// The children of this process, zombies included.
fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
    };
    tasks.map(|task| of(task.unwrap()).split_whitespace().count()).sum()
}

/// What is open when the first child, or socket, has brought the poller, which stays.
fn descriptors_with_poller(runtime: &Runtime) -> usize {
    runtime.block_on(async { drop(UnixStream::pair().unwrap()) });
    open_descriptors()
}

#[test]
fn large_data_go_both_ways_at_once() {
    let _alone = alone();
    for runtime in runtimes() {
        runtime.block_on(async {
            let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 / 3) as u8).collect();
            let mut child = cat().spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            let data = sent.clone();
            let writer = reiver::spawn(async move { stdin.write_all(&data).await.unwrap() });
            let mut received = Vec::new();
            stdout.read_to_end(&mut received).await.unwrap();
            writer.await.unwrap();
            assert!(received == sent);
            assert!(child.wait().await.unwrap().success());
        });
    }
}

#[test]
fn ends_are_told_as_they_were() {
    let _alone = alone();
    for runtime in runtimes() {
        runtime.block_on(async {
            let sh = |script: &str| {
                let mut command = Command::new("sh");
                command.args(["-c", script]);
                command
            };
            assert!(sh("exit 0").status().await.unwrap().success());
            assert_eq!(sh("exit 42").status().await.unwrap().code(), Some(42));
            assert_eq!(sh("kill -TERM $$").status().await.unwrap().signal(), Some(15));
            let output = sh("echo out; echo err >&2; exit 7").output().await.unwrap();
            assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
            assert_eq!(output.status.code(), Some(7));
            // A wait may be repeated.
            let mut child = sh("exit 3").spawn().unwrap();
            assert!(exists(child.id().unwrap()));
            assert_eq!(child.wait().await.unwrap().code(), Some(3));
            assert_eq!(child.wait().await.unwrap().code(), Some(3));
            assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
            assert_eq!(child.id(), None);
            // It is as dead as it can be.
            child.start_kill().unwrap();
            child.kill().await.unwrap();
            assert_eq!(child.wait().await.unwrap().code(), Some(3));
        });
    }
}

#[test]
fn much_output_on_both_streams_does_not_stick() {
    let _alone = alone();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let script = "head -c 1000000 /dev/zero >&2; head -c 2000000 /dev/zero; cat";
        let output =
            Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).output().await.unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (2_000_000, 1_000_000));
        assert!(output.status.success());
    });
}

#[test]
fn wait_closes_the_input_and_try_wait_does_not() {
    let _alone = alone();
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut child = cat().stdout(Stdio::null()).spawn().unwrap();
            assert_eq!(child.try_wait().unwrap(), None);
            assert!(child.stdin.is_some());
            // Given up and taken up again.
            assert!(
                timeout(MS, child.wait()).await.is_ok_and(|s| s.unwrap().success())
                    || child.stdin.is_none()
            );
            assert!(child.wait().await.unwrap().success());
        });
    }
}

#[test]
fn environment_directory_and_names() {
    let _alone = alone();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut command = Command::new("/bin/sh");
        command.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("C");
        command.current_dir("/").arg0("renamed").arg("-c").arg("echo $0 $A $B ${C-none}; pwd");
        let output = command.output().await.unwrap();
        assert_eq!(output.stdout, b"renamed 1 2 none\n/\n");
        // Its own process group: its number is the group's.
        let script = "ps -o pgid= -p $$ || cut -d' ' -f5 /proc/$$/stat";
        let mut group = Command::new("sh");
        group.args(["-c", &format!("echo $$; {script}")]).process_group(0);
        let text = String::from_utf8(group.output().await.unwrap().stdout).unwrap();
        let numbers: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(numbers[0], numbers[1]);
        let std = std::process::Command::new("true");
        assert_eq!(Command::from(std).as_std().get_program(), "true");
    });
}

#[test]
fn what_cannot_be_started_is_named() {
    let _alone = alone();
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let error = Command::new("no-such-program").current_dir("/tmp").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains(r#"cannot start "no-such-program" in "/tmp": "#),
            "{error}"
        );
        let source = std::error::Error::source(error.get_ref().unwrap()).unwrap();
        let source = source.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(2));
        let error = Command::new("/etc/passwd").status().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(Command::new("no-such-program").output().await.is_err());
    });
    let panic = std::panic::catch_unwind(|| Command::new("true").spawn()).unwrap_err();
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap();
    assert!(message.contains("outside a reiver runtime"), "{message}");
}

#[test]
fn killing() {
    let _alone = alone();
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut child = Command::new("sleep").arg("600").spawn().unwrap();
            child.kill().await.unwrap();
            assert_eq!(child.wait().await.unwrap().signal(), Some(9));
            // A polite request can be refused, and other signals be sent.
            let mut child = Command::new("sleep").arg("600").spawn().unwrap();
            child.terminate().unwrap();
            assert_eq!(child.wait().await.unwrap().signal(), Some(15));
            assert_eq!(child.terminate().unwrap_err().kind(), ErrorKind::InvalidInput);
            let mut child = Command::new("sleep").arg("600").spawn().unwrap();
            let unknown = child.send_signal(SignalKind::from_raw(1_000)).unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
            let none = child.send_signal(SignalKind::from_raw(0)).unwrap_err();
            assert_eq!(none.kind(), ErrorKind::InvalidInput);
            child.send_signal(SignalKind::from_raw(libc::SIGRTMAX())).unwrap();
            assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGRTMAX()));
            let mut child = Command::new("sleep").arg("600").spawn().unwrap();
            child.send_signal(SignalKind::user_defined1()).unwrap();
            assert_eq!(
                child.wait().await.unwrap().signal(),
                Some(SignalKind::user_defined1().as_raw_value())
            );
            // A wait that is given up kills nobody; a drop that is told to does.
            let mut child = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
            let pid = child.id().unwrap();
            assert!(timeout(MS, child.wait()).await.is_err());
            assert!(exists(pid));
            drop(child);
            reaped(pid).await;
            // So does a status that is given up.
            let mut command = Command::new("sleep");
            let status = command.arg("600").kill_on_drop(true).status();
            assert!(timeout(MS, status).await.is_err());
            while children() > 0 {
                sleep(MS).await;
            }
        });
    }
}

#[test]
fn a_dropped_child_runs_on_and_is_reaped() {
    let _alone = alone();
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut child = cat().stdout(Stdio::null()).spawn().unwrap();
            let (pid, stdin) = (child.id().unwrap(), child.stdin.take());
            drop(child);
            sleep(2 * MS).await;
            assert!(exists(pid));
            drop(stdin);
            reaped(pid).await;
        });
    }
}

#[test]
fn a_child_that_outlives_its_runtime_is_reaped_with_the_next() {
    let _alone = alone();
    for runtime in runtimes() {
        let (dropped, mut kept) = runtime.block_on(async {
            let mut child = cat().stdout(Stdio::null()).spawn().unwrap();
            let stdin = child.stdin.take();
            let kept = Command::new("sleep").arg("600").spawn().unwrap();
            ((child.id().unwrap(), stdin, drop(child)), kept)
        });
        drop(runtime);
        let next = Builder::new_current_thread().build().unwrap();
        next.block_on(async {
            let (pid, stdin, ()) = dropped;
            assert!(exists(pid));
            drop(stdin);
            while exists(pid) {
                assert!(Command::new("true").status().await.unwrap().success());
            }
            // The wait says that its runtime is gone; the child can still be killed and asked.
            assert!(kept.wait().await.is_err());
            kept.start_kill().unwrap();
            while kept.try_wait().unwrap().is_none() {
                sleep(MS).await;
            }
        });
    }
}

#[test]
fn two_hundred_children_at_once_leave_nothing() {
    let _alone = alone();
    for runtime in runtimes() {
        let before = descriptors_with_poller(&runtime);
        runtime.block_on(async {
            // All wait for their input to end, so all live at once.
            let mut children_: Vec<Child> = Vec::new();
            for _ in 0..200 {
                children_.push(cat().spawn().unwrap());
            }
            assert_eq!(children(), 200);
            let tasks: Vec<_> = children_
                .into_iter()
                .enumerate()
                .map(|(n, mut child)| {
                    reiver::spawn(async move {
                        let mut stdin = child.stdin.take().unwrap();
                        stdin.write_all(format!("{n}").as_bytes()).await.unwrap();
                        drop(stdin);
                        child.wait_with_output().await.unwrap()
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                let output = task.await.unwrap();
                assert!(output.status.success());
                assert_eq!(output.stdout, n.to_string().as_bytes());
            }
            assert_eq!(children(), 0, "there are zombies");
        });
        no_more_descriptors_than(before);
    }
}

#[test]
fn a_thousand_children_end_at_once_and_leave_nothing() {
    let _alone = alone();
    // A descriptor for each, and some for the rest.
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .unwrap();
    for runtime in [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ] {
        let before = descriptors_with_poller(&runtime);
        runtime.block_on(async {
            // All have one input, whose end ends them.
            let (input, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
            let tasks: Vec<_> = (0..1000)
                .map(|_| {
                    let input = Stdio::from(input.try_clone().unwrap());
                    let mut child =
                        Command::new("cat").stdin(input).stdout(Stdio::null()).spawn().unwrap();
                    reiver::spawn(async move { child.wait().await.unwrap().success() })
                })
                .collect();
            assert_eq!(children(), 1000);
            drop((input, end));
            for task in tasks {
                assert!(task.await.unwrap());
            }
            assert_eq!(children(), 0, "there are zombies");
        });
        no_more_descriptors_than(before);
    }
}

#[test]
fn a_group_is_reached_by_one_signal() {
    let _alone = alone();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        // A child with a child of its own, which holds the output open.
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 600 & echo started; wait"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdout = shell.stdout.take().unwrap();
        let mut started = [0; 8];
        stdout.read_exact(&mut started).await.unwrap();
        let group = rustix::process::Pid::from_raw(shell.id().unwrap() as i32).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        assert_eq!(shell.wait().await.unwrap().signal(), Some(9));
        // Both are gone, else this would wait.
        assert_eq!(stdout.read(&mut started).await.unwrap(), 0);
    });
}

#[test]
fn one_childs_output_is_anothers_input() {
    let _alone = alone();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut echo = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().unwrap();
        let stdout: Stdio = echo.stdout.take().unwrap().try_into().unwrap();
        let output = Command::new("tr").args(["a-z", "A-Z"]).stdin(stdout).output().await.unwrap();
        assert_eq!(output.stdout, b"HELLO\n");
        assert!(echo.wait().await.unwrap().success());
    });
}

#[test]
fn writing_to_a_child_that_is_gone_is_an_error() {
    let _alone = alone();
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            assert!(child.wait().await.unwrap().success());
            let error = stdin.write_all(&[0; 1_000_000]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            // A reader that waits is told of the end.
            let mut child = cat().spawn().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            let reader = reiver::spawn(async move { stdout.read(&mut [0; 10]).await.unwrap() });
            child.kill().await.unwrap();
            assert_eq!(reader.await.unwrap(), 0);
        });
    }
}

#[test]
fn types_are_what_libraries_expect() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<Command>();
    check::<Child>();
    check::<ChildStdin>();
    check::<ChildStdout>();
    check::<ChildStderr>();
}
