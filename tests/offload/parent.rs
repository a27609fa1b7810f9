//! What a worker gets from its parent, and the parent's own end.

use super::{PATIENCE, jobs, lives, one, until};
use reiver::offload::ProcessPool;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[reiver::test]
async fn a_worker_inherits_no_descriptor_no_secret_and_no_privilege() {
    let open = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: makes a descriptor that is inherited.
    let leaked = unsafe { libc::dup(std::os::fd::AsRawFd::as_raw_fd(&open)) };
    assert!(leaked > 3);
    let pool = one().env("ASKED_FOR", "yes").pass_env("CARGO_MANIFEST_DIR").build();
    // 4 is the lifeline.
    assert_eq!(pool.run(jobs::descriptors::job()).await.unwrap(), [0, 1, 2, 3, 4]);
    let env = pool.run(jobs::environment::job()).await.unwrap();
    let get = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!(get("ASKED_FOR"), Some("yes"));
    assert_eq!(get("CARGO_MANIFEST_DIR"), Some(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(get("REIVER_OFFLOAD_WORKER"), None, "children would be workers");
    assert_eq!(get("CARGO_PKG_NAME"), None, "it was not asked for");
    let status = pool.run(jobs::status::job()).await.unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Name:\treiver-worker"), "{status}");
    let all = one().inherit_env().build();
    let env = all.run(jobs::environment::job()).await.unwrap();
    assert!(env.iter().any(|(name, _)| name == "CARGO_PKG_NAME"));
    // SAFETY: ours.
    unsafe { libc::close(leaked) };
}

#[reiver::test]
async fn a_job_may_print_whatever_reads_it() {
    assert_eq!(jobs::prints::offload("a job prints".into()).await.unwrap(), 12);
}

#[test]
fn workers_outlive_the_thread_that_asked_for_them() {
    let runtime = reiver::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let handle = runtime.handle().clone();
    let first = std::thread::spawn(move || {
        handle.block_on(async {
            let pool = one().build();
            let pid = pool.run(jobs::pid::job()).await.unwrap();
            (pool, pid)
        })
    });
    let (pool, pid) = first.join().unwrap();
    assert_eq!(runtime.block_on(pool.run(jobs::sleeps::job(50))).unwrap(), pid);
}

/// A process of this test program that does what the test `name` does, which is ignored otherwise.
fn process(name: &str) -> (Child, u32) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", name])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let worker = lines.find_map(|line| line.unwrap().strip_prefix("worker ")?.parse().ok());
    (child, worker.expect("it says which worker it has"))
}

fn wait_for_the_end(pid: u32) -> Duration {
    let start = Instant::now();
    while lives(pid) {
        assert!(start.elapsed() < PATIENCE, "worker {pid} lives on");
        std::thread::yield_now();
    }
    start.elapsed()
}

#[test]
fn busy_workers_end_when_the_parent_is_killed() {
    let (mut parent, worker) = process("parent::helper_is_busy");
    assert!(lives(worker));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let took = wait_for_the_end(worker);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[test]
fn workers_end_when_the_parent_exits_without_a_word() {
    let (mut parent, worker) = process("parent::helper_exits");
    assert_eq!(parent.wait().unwrap().code(), Some(5));
    wait_for_the_end(worker);
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_is_busy() {
    let pool = ProcessPool::builder().workers(1).build();
    println!("\nworker {}", pool.run(jobs::pid::job()).await.unwrap());
    pool.run(jobs::forever::job()).await.unwrap();
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_exits() {
    let pool = ProcessPool::builder().workers(1).build();
    println!("\nworker {}", pool.run(jobs::pid::job()).await.unwrap());
    let running = reiver::spawn(pool.run(jobs::forever::job()));
    until("the job", || pool.stats().idle == 0 && pool.stats().queued == 0).await;
    drop(running);
    // SAFETY: ends this process, without running anything.
    unsafe { libc::_exit(5) }
}

#[test]
fn the_program_may_be_replaced_on_disk_meanwhile() {
    // A second name. A copy would be open for writing in workers that other tests start just then, and a file that
    // is so cannot be executed.
    let copy = format!("offload-another-name-{}", std::process::id());
    let copy = std::env::current_exe().unwrap().with_file_name(copy);
    std::fs::hard_link(std::env::current_exe().unwrap(), &copy).unwrap();
    let output = Command::new(&copy)
        .args(["--exact", "--ignored", "--nocapture", "parent::helper_is_replaced"])
        .env("REPLACED", &copy)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_is_replaced() {
    let path = std::env::var_os("REPLACED").unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "not a program").unwrap();
    assert_eq!(one().build().run(jobs::add::job(1, 1)).await.unwrap(), 2);
    std::fs::remove_file(&path).unwrap();
}

/// Nobody reads our error output: neither the worker nor our one thread waits for that.
#[test]
fn an_error_output_that_is_stuck_blocks_nobody() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--ignored", "--nocapture", "parent::helper_shouts"]);
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "done"), "it does not come through");
    // From here on it is read.
    let note = b" bytes of a worker's error output were lost]\n";
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let (mut shouts, mut line) = (0, Vec::new());
    let mut read = || {
        line.clear();
        let read = errors.read_until(b'\n', &mut line).unwrap();
        shouts += line.iter().filter(|byte| **byte == b'!').count();
        (read, line.ends_with(note))
    };
    loop {
        let (read, noted) = read();
        assert!(read > 0, "it is not said");
        if noted {
            break;
        }
    }
    // Then it ends.
    drop(child.stdin.take());
    while read().0 > 0 {}
    assert!(child.wait().unwrap().success());
    assert!((1..8 << 20).contains(&shouts), "{shouts}");
}

#[reiver::test(flavor = "current_thread")]
#[ignore = "a process for another test"]
async fn helper_shouts() {
    let pool = ProcessPool::builder().workers(1).build();
    let pid = pool.run(jobs::shouts::job(8 << 20)).await.unwrap();
    assert_eq!(pool.run(jobs::pid::job()).await.unwrap(), pid);
    println!("\ndone");
    // What was lost is said as soon as there is room, with what comes next. On until the other side has seen it.
    let input = std::thread::spawn(|| std::io::read_to_string(std::io::stdin()).unwrap());
    while !input.is_finished() {
        pool.run(jobs::shouts::job(1)).await.unwrap();
    }
}

#[test]
fn who_should_be_a_worker_and_is_none_starts_none() {
    let me = std::env::current_exe().unwrap();
    let helper = Command::new(&me)
        .args(["--exact", "--ignored", "--nocapture", "parent::helper_was_missed"])
        .output()
        .unwrap();
    assert!(helper.status.success(), "{}", String::from_utf8_lossy(&helper.stdout));
    // Orders that are not understood make no ordinary program of it.
    let other = Command::new(&me).env("REIVER_OFFLOAD_WORKER", "7 what").output().unwrap();
    assert_eq!(other.status.code(), Some(213));
    assert!(other.stdout.is_empty());
    assert!(String::from_utf8_lossy(&other.stderr).contains("another version"));
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_was_missed() {
    // As where no constructor runs, and `main` calls no `init`: the orders are still there.
    // SAFETY: nothing else of this process looks at its environment now.
    unsafe { std::env::set_var("REIVER_OFFLOAD_WORKER", "2 1 1 1 0 0 0 0 0 0") };
    let pool = one().build();
    for _ in 0..3 {
        let error = pool.run(jobs::pid::job()).await.unwrap_err();
        assert!(error.to_string().contains("`main` did not make it one"), "{error}");
    }
    assert_eq!(pool.stats().started, 0);
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children.trim(), "");
}
