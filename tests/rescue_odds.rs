//! Rescues in processes to which something has happened: no `membarrier`, no threads, a fork, a stop, a quota.
//!
//! Each is a process of its own: this binary, started once more with the test's name.
#![cfg(target_os = "linux")]

use reiver::runtime::{Builder, Runtime};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Far above what a slow machine takes, far below what the blockers here block for.
const SOON: Duration = Duration::from_secs(20);
const AGES: Duration = Duration::from_secs(600);
/// Says which test a process is started for.
const CHILD: &str = "REIVER_TEST_ODDS";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// This binary with one test.
fn start(test: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]);
    command.env(CHILD, "1").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// Runs that test in a process of its own.
#[track_caller]
fn run(test: &str) {
    let mut child = start(test);
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).on_slow_poll(|_| {}).build().unwrap()
}

/// Blocks the runtime's worker until the result is dropped.
fn block(runtime: &Runtime) -> mpsc::Sender<()> {
    let (door, closed) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    runtime.spawn(async move {
        begin.send(()).unwrap();
        _ = closed.recv_timeout(AGES);
    });
    begun.recv_timeout(SOON).unwrap();
    door
}

/// A task that is spawned now runs.
#[track_caller]
fn goes_on(runtime: &Runtime) {
    let (tell, told) = mpsc::channel();
    runtime.spawn(async move { tell.send(()).unwrap() });
    told.recv_timeout(SOON).expect("it is rescued");
}

/// Old kernels and some sandboxes have none: both sides of the gate have full fences then.
#[test]
fn without_membarrier() {
    if !is_child() {
        return run("without_membarrier");
    }
    refuse(libc::SYS_membarrier as u32);
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::syscall(libc::SYS_membarrier, 0, 0, 0) }, -1, "it is there");
    let runtime = runtime();
    for _ in 0..20 {
        let door = block(&runtime);
        goes_on(&runtime);
        drop(door);
    }
    assert!(runtime.metrics().rescues_count() > 0);
}

/// Refuses a system call to this process from here on.
fn refuse(call: u32) {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let refusal = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut filter = [
        // The call's number is the first word of what a filter sees.
        libc::sock_filter { code: load, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: equal, jt: 0, jf: 1, k: call },
        libc::sock_filter { code: give, jt: 0, jf: 0, k: refusal },
        libc::sock_filter { code: give, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live during the calls, which copy them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        // For all threads: the one that runs the test is not the first.
        let call = libc::SYS_seccomp;
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
        let set = libc::syscall(call, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program);
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}

/// The slot is seized and there is no thread for a stand-in: it is hired when there is one again.
#[test]
fn without_threads() {
    if !is_child() {
        return run("without_threads");
    }
    let runtime = runtime();
    goes_on(&runtime);
    let before = getrlimit(Resource::As);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let size = 1024 * size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
    // Room for all else, and not for the stack of a thread.
    let limit = Some(size + (1 << 20));
    setrlimit(Resource::As, Rlimit { current: limit, maximum: before.maximum }).unwrap();
    let door = block(&runtime);
    let (tell, told) = mpsc::channel();
    runtime.spawn(async move { tell.send(()).unwrap() });
    let metrics = runtime.metrics();
    let start = Instant::now();
    while metrics.blocking_thread_failures() < 3 || metrics.num_stuck_workers() == 0 {
        assert!(start.elapsed() < SOON, "{metrics:?}");
        std::thread::yield_now();
    }
    assert!(told.try_recv().is_err(), "nobody could have run it");
    setrlimit(Resource::As, before).unwrap();
    told.recv_timeout(SOON).expect("it is tried again");
    drop(door);
}

/// The parent's monitor is not in the child. The child has one of its own.
#[test]
#[ignore = "any lock of a library that a thread holds at the fork stays locked: it may hang"]
fn after_a_fork() {
    if !is_child() {
        return run("after_a_fork");
    }
    let parent = runtime();
    let door = block(&parent);
    goes_on(&parent);
    // SAFETY: the child uses what glibc makes usable there: its allocator, and threads of its own.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => {
            // Not this process's to end.
            std::mem::forget(parent);
            let result = std::panic::catch_unwind(|| {
                let runtime = runtime();
                let _door = block(&runtime);
                goes_on(&runtime);
                // glibc's own locks may be held by threads that are not here.
                std::mem::forget(runtime);
            });
            // SAFETY: it ends the process; nothing of the parent's is dropped.
            unsafe { libc::_exit(if result.is_ok() { 7 } else { 1 }) };
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is there to be written.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 7));
            // The parent goes on as before.
            goes_on(&parent);
            drop(door);
        }
    }
}

/// Polls that are short, all the time, until stdin is closed; then no rescue has been seen.
fn spin() {
    let runtime = runtime();
    for _ in 0..2 {
        runtime.spawn(async {
            loop {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(200) {}
                reiver::task::yield_now().await;
            }
        });
    }
    std::io::read_to_string(std::io::stdin()).unwrap();
    let metrics = runtime.metrics();
    // On a busy machine its time may have come only now.
    while metrics.worker_poll_count(0) <= 100 {
        std::thread::yield_now();
    }
    assert_eq!(metrics.rescues_count(), 0);
    // Its tasks never end by themselves.
    runtime.shutdown_background();
}

/// A process that was stopped, or whose machine was, has not been stuck.
#[test]
fn stopped_is_not_stuck() {
    if is_child() {
        return spin();
    }
    let mut child = start("stopped_is_not_stuck");
    let process = rustix::process::Pid::from_child(&child);
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(30));
        kill_process(process, Signal::STOP).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        kill_process(process, Signal::CONT).unwrap();
    }
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}

/// A process that has used up its group's share of the CPU has not been stuck either.
#[test]
#[ignore = "needs a cgroup (version 1) of its own under /sys/fs/cgroup/cpu"]
fn throttled_is_not_stuck() {
    if is_child() {
        return spin();
    }
    let group =
        std::path::PathBuf::from(format!("/sys/fs/cgroup/cpu/reiver-{}", std::process::id()));
    std::fs::create_dir(&group).unwrap();
    let mut child = start("throttled_is_not_stuck");
    // 10 ms of every 100.
    std::fs::write(group.join("cpu.cfs_quota_us"), "10000").unwrap();
    std::fs::write(group.join("cgroup.procs"), child.id().to_string()).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let throttled = std::fs::read_to_string(group.join("cpu.stat")).unwrap();
    std::fs::write(group.join("cpu.cfs_quota_us"), "-1").unwrap();
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    std::fs::remove_dir(&group).unwrap();
    let count = throttled.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
    assert!(count.parse::<u64>().unwrap() > 10, "{throttled}");
    assert!(status.success(), "{status}");
}
