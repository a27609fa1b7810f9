//! Workers that a template makes, and what happens when it is not there.
//!
//! The tests that look at templates are processes of their own, so that those are nobody else's.

use super::{PATIENCE, children, descriptors, jobs, lives, one, script, until};
use reiver::offload::{Builder, ProcessPool, Stdio};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn process(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", &format!("template::{name}")]);
    command
}

/// Runs the test `name`, which is ignored otherwise, in a process of its own. Gives what it printed.
#[track_caller]
fn alone(name: &str) -> String {
    let output = process(name).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    said
}

/// Whether a template has made this worker: it has the first environment of the process that it is a copy of.
fn is_cloned(worker: u32) -> bool {
    let environment = std::fs::read(format!("/proc/{worker}/environ")).unwrap();
    let text = String::from_utf8_lossy(&environment);
    let orders = text.split('\0').find_map(|line| line.strip_prefix("REIVER_OFFLOAD_WORKER="));
    orders.expect("it is a worker").contains("template")
}

/// Our children, zombies included, with the names of their processes.
fn named_children() -> Vec<(u32, String)> {
    let name = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    children().into_iter().map(|pid| (pid, name(pid).trim().to_owned())).collect()
}

fn templates() -> Vec<u32> {
    let named = named_children().into_iter().filter(|(_, name)| name == "reiver-template");
    named.map(|(pid, _)| pid).collect()
}

/// The template, once it waits for requests.
async fn template() -> u32 {
    let mut found = None;
    until("a template", || {
        found = templates().into_iter().find(|pid| waits_for_requests(*pid));
        found.is_some()
    })
    .await;
    found.unwrap()
}

fn waits_for_requests(pid: u32) -> bool {
    let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    read("syscall").starts_with(&format!("{} ", libc::SYS_recvmsg)) && read("stat").contains(") S ")
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: a signal to a child of ours that is not reaped.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}

async fn worker(pool: &ProcessPool) -> u32 {
    pool.run(jobs::pid::job()).await.unwrap()
}

/// A worker in place of the one that is there.
async fn next_worker(pool: &ProcessPool) -> u32 {
    pool.run(jobs::exits::job(0)).await.unwrap_err();
    worker(pool).await
}

/// A pool whose worker was made by a template.
async fn cloned(builder: Builder) -> ProcessPool {
    let pool = builder.build();
    assert!(!is_cloned(worker(&pool).await), "there was no template");
    template().await;
    assert!(is_cloned(next_worker(&pool).await));
    pool
}

#[test]
fn a_copy_is_what_a_worker_is_that_was_started() {
    alone("helper_portraits");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_portraits() {
    let one = || one().nice(3).cpu_time(Duration::from_secs(77)).env("ASKED_FOR", "yes");
    let open = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: makes a descriptor that is inherited.
    assert!(unsafe { libc::dup(std::os::fd::AsRawFd::as_raw_fd(&open)) } > 3);
    for output in [Stdio::Inherit, Stdio::Null] {
        let direct = one().stdout(output).template(false).build();
        let direct = direct.run(jobs::portrait::job()).await.unwrap();
        let pool = match output {
            Stdio::Inherit => cloned(one().stdout(output)).await,
            _ => one().stdout(output).build(),
        };
        let copied = pool.run(jobs::portrait::job()).await.unwrap();
        assert!(is_cloned(pool.stats().workers[0]));
        assert_eq!(direct.len(), copied.len(), "{direct:#?}\n{copied:#?}");
        for (direct, copied) in direct.iter().zip(&copied) {
            assert_eq!(direct, copied);
        }
        let has = |name: &str, value: &str| {
            let found = copied.iter().find(|(n, _)| n == name).unwrap();
            assert!(found.1.contains(value), "{found:?}");
        };
        has("PPid", &std::process::id().to_string());
        has("environment", "ASKED_FOR");
        has("oom_score_adj", "500");
    }
}

#[test]
fn copies_are_of_one_template_and_not_of_each_other() {
    alone("helper_copies");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_copies() {
    let pool = cloned(one()).await;
    let made = template().await;
    let (mut addresses, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let worker = next_worker(&pool).await;
        assert!(is_cloned(worker));
        addresses.push(pool.run(jobs::address::job()).await.unwrap());
        keys.push(pool.run(jobs::random::job()).await.unwrap());
        // Constructors behind ours have run there, on a main thread that is known by its own number.
        assert_eq!(pool.run(jobs::built::job()).await.unwrap(), 41);
        assert!(pool.run(jobs::main_is_known::job()).await.unwrap());
    }
    addresses.dedup();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((addresses.len(), keys.len()), (1, 20));
    assert_eq!(templates(), [made]);
    // What it says before its end, and how it ends.
    let error = pool.run(jobs::abort::job()).await.unwrap_err();
    assert_eq!(error.stderr_tail(), "about to abort\n");
    let error = pool.run(jobs::overflow::job(0)).await.unwrap_err();
    assert!(error.to_string().contains("stack"), "{error}");
    let limited = one().memory(256 << 20).build();
    assert!(is_cloned(worker(&limited).await));
    let error = limited.run(jobs::allocates::job(512 << 20)).await.unwrap_err();
    assert!(error.stderr_tail().contains("memory allocation"), "{error}");
    // Workers that are not wanted from a template are none, and have another place each.
    let direct = one().template(false).build();
    assert!(!is_cloned(worker(&direct).await));
    assert!(!is_cloned(next_worker(&direct).await));
}

#[test]
fn a_copys_output_goes_where_it_should() {
    let said = alone("helper_prints");
    assert!(said.contains("said by a copy"), "{said}");
    assert!(!said.contains("not to be heard"), "{said}");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_prints() {
    let pool = cloned(one()).await;
    pool.run(jobs::prints::job("\nsaid by a copy".into())).await.unwrap();
    assert!(pool.close(PATIENCE).await);
    let pool = one().stdout(Stdio::Null).build();
    pool.run(jobs::prints::job("not to be heard".into())).await.unwrap();
    assert!(is_cloned(worker(&pool).await));
    assert!(pool.close(PATIENCE).await);
}

#[test]
fn a_template_that_fails_costs_no_job() {
    alone("helper_fails");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_fails() {
    let pool = cloned(one()).await;
    // It is gone: the next worker is started directly, and so is a template.
    signal(template().await, libc::SIGKILL);
    assert!(!is_cloned(next_worker(&pool).await));
    template().await;
    assert!(is_cloned(next_worker(&pool).await));
    // It stands still: it is waited for, but not for long.
    let stopped = template().await;
    signal(stopped, libc::SIGSTOP);
    let start = Instant::now();
    assert!(!is_cloned(next_worker(&pool).await));
    assert!((1..30).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(!children().contains(&stopped), "it is reaped");
    // The third time is one too many.
    signal(template().await, libc::SIGKILL);
    for _ in 0..5 {
        assert!(!is_cloned(next_worker(&pool).await));
        assert_eq!(templates(), []);
    }
    let stats = pool.stats();
    assert_eq!((stats.start_failures, stats.lost), (0, 9), "{stats:?}");
    // Of another kind there may be one.
    cloned(one().env("ANOTHER", "kind")).await;
}

#[test]
fn copies_that_do_not_come_up_are_made_no_more() {
    alone("helper_aborts");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_aborts() {
    let pool = one().env("REIVER_TEST_DIES_AS_A_COPY", "1").build();
    worker(&pool).await;
    for _ in 1..=3 {
        template().await;
        assert!(!is_cloned(next_worker(&pool).await));
    }
    for _ in 0..3 {
        next_worker(&pool).await;
        assert_eq!(templates(), []);
    }
    // No job notices, and no start counts as failed.
    let pool = one().workers(2).env("REIVER_TEST_DIES_AS_A_COPY", "2").build();
    worker(&pool).await;
    template().await;
    // The copies of one template may be two failures of two templates: so perhaps there is none in the last rounds.
    for _ in 1..=3 {
        let exits = || pool.run(jobs::exits::job(0));
        let (a, b) = reiver::join!(exits(), exits());
        assert!(a.is_err() && b.is_err());
        let (a, b) = reiver::join!(worker(&pool), worker(&pool));
        assert!(!is_cloned(a) && !is_cloned(b));
    }
    assert_eq!(pool.stats().start_failures, 0);
}

#[test]
fn a_template_obeys_nobody_but_its_parent() {
    alone("helper_stranger");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_stranger() {
    let pool = one().build();
    worker(&pool).await;
    template().await;
    let is_control = |fd: &i32| {
        let (mut kind, mut size) = (0_i32, 4);
        // SAFETY: writes the two.
        let asked = unsafe {
            let kind = (&raw mut kind).cast();
            libc::getsockopt(*fd, libc::SOL_SOCKET, libc::SO_TYPE, kind, &mut size)
        };
        asked == 0 && kind == libc::SOCK_SEQPACKET
    };
    let control = (3..64).find(is_control).expect("its socket");
    // SAFETY: the child hears that the template is ready, asks for a worker as we would, waits for the answer, and ends.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            let mut byte = 0_u8;
            let mut hear = || libc::recv(control, (&raw mut byte).cast(), 1, 0);
            let is_ready = hear() == 1;
            let sent = libc::send(control, c"orders".as_ptr().cast(), 6, 0);
            libc::_exit(if is_ready && sent == 6 && hear() <= 0 { 0 } else { 1 });
        }
        child
    };
    let mut status = -1;
    // SAFETY: our child.
    unsafe { assert_eq!(libc::waitpid(child, &mut status, 0), child) };
    assert_eq!(status, 0, "it was answered");
    assert!(!is_cloned(next_worker(&pool).await));
}

#[test]
fn each_start_makes_one_worker_whenever_the_template_dies() {
    alone("helper_dies");
}

#[reiver::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process for another test"]
async fn helper_dies() {
    // Of as many kinds as have templates at a time; each has one only thrice.
    for round in 0..40 {
        let kind = || one().env("ROUND", round.to_string());
        let pool = kind().build();
        worker(&pool).await;
        let template = template().await;
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round * 20));
            signal(template, if round % 4 == 3 { libc::SIGSTOP } else { libc::SIGKILL });
        });
        for _ in 0..5 {
            next_worker(&pool).await;
        }
        killer.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.started, stats.start_failures), (6, 0), "{stats:?}");
        assert!(pool.close(PATIENCE).await);
        // A worker that nobody knows of would be here, alive or not.
        let others = || named_children().into_iter().filter(|(_, name)| !name.contains("template"));
        until("no worker", || others().count() == 0).await;
        drop(pool);
    }
    until("no child", || children().is_empty()).await;
}

#[test]
fn a_template_is_there_as_long_as_it_is_of_use() {
    alone("helper_ends");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_ends() {
    let first = one().template(false).build();
    worker(&first).await;
    drop(first);
    until("no child", || children().is_empty()).await;
    let before = descriptors();
    let pool = cloned(one()).await;
    let clone = pool.clone();
    let made = template().await;
    drop(pool);
    // The pool is there still, and longer than a template lingers.
    reiver::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(templates(), [made]);
    drop(clone);
    // Another pool, soon after it.
    let pool = one().build();
    assert!(is_cloned(worker(&pool).await), "it has lingered");
    let start = Instant::now();
    drop(pool);
    until("no child", || children().is_empty()).await;
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    until("no descriptor", || descriptors() <= before).await;
    // Pools that want none have none.
    let direct = one().template(false).build();
    let inline = one().inline(true).build();
    inline.run(jobs::nothing::job()).await.unwrap();
    next_worker(&direct).await;
    reiver::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(children().len(), 1);
}

#[test]
fn a_worker_has_nothing_that_this_process_has_given_up() {
    alone("helper_changes");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_changes() {
    let pool = cloned(one()).await;
    std::env::set_current_dir("/").unwrap();
    assert!(!is_cloned(next_worker(&pool).await));
    assert_eq!(pool.run(jobs::directory::job()).await.unwrap(), "/");
    template().await;
    assert!(is_cloned(next_worker(&pool).await));
    assert_eq!(pool.run(jobs::directory::job()).await.unwrap(), "/");
    let mask = || async { pool.run(jobs::status::job()).await.unwrap().contains("Umask:\t0077") };
    assert!(!mask().await);
    // SAFETY: a number.
    unsafe { libc::umask(0o077) };
    assert!(!is_cloned(next_worker(&pool).await) && mask().await);
    let before = template().await;
    assert!(is_cloned(next_worker(&pool).await) && mask().await);
    // SAFETY: asks.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    // Nobody, who can neither kill the template nor have its workers.
    // SAFETY: a system call for all threads.
    assert_eq!(unsafe { libc::setuid(65534) }, 0);
    let user = || async { pool.run(jobs::status::job()).await.unwrap().contains("Uid:\t65534") };
    assert!(!user().await);
    next_worker(&pool).await;
    assert!(user().await);
    assert!(!children().contains(&before), "it has ended");
    until("another template", || !templates().is_empty()).await;
    for _ in 0..3 {
        next_worker(&pool).await;
        assert!(user().await);
    }
}

#[test]
fn a_program_that_is_no_template_is_none_for_good() {
    alone("helper_is_no_template");
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_is_no_template() {
    let exe = std::env::current_exe().unwrap();
    let marks = super::a_path("templates");
    for (as_template, starts) in
        [("exit 0", 3), ("echo no >&0; exec sleep 600", 3), ("exec sleep 600", 1)]
    {
        let program = script(&format!(
            "#!/bin/sh\ncase $REIVER_OFFLOAD_WORKER in *template*) echo >> '{}'; {as_template};; esac\nexec '{}'\n",
            marks.display(),
            exe.display(),
        ));
        let pool = one().program(&program).build();
        let tried = || std::fs::read(&marks).unwrap_or_default().len();
        for _ in 0..6 {
            let last = tried();
            assert!(!is_cloned(next_worker_of(&pool).await));
            if last < starts {
                until("a try", || tried() > 0 && tried() >= (last + 1).min(starts)).await;
            }
            reiver::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(tried(), starts, "{as_template}");
        assert_eq!(pool.stats().start_failures, 0);
        std::fs::remove_file(&marks).unwrap();
        std::fs::remove_file(program).unwrap();
    }
    until("no child", || children().is_empty()).await;
}

/// The first worker, or another one.
async fn next_worker_of(pool: &ProcessPool) -> u32 {
    if pool.stats().started == 0 { worker(pool).await } else { next_worker(pool).await }
}

/// Starts the helper `name`; gives its template, its worker, and another process that it may have.
fn parent(name: &str) -> (Child, Vec<u32>) {
    let mut child = process(name).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pids = lines.find_map(|line| line.unwrap().strip_prefix("pids ").map(str::to_owned));
    let pids: Vec<u32> = pids.unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| lives(*pid)));
    (child, pids)
}

#[test]
fn templates_and_copies_end_with_the_parent() {
    for (name, killed) in
        [("helper_is_killed", true), ("helper_leaves", false), ("helper_forks", true)]
    {
        let (mut child, pids) = parent(name);
        if killed {
            child.kill().unwrap();
        }
        child.wait().unwrap();
        let start = Instant::now();
        while pids[..2].iter().any(|pid| lives(*pid)) {
            assert!(start.elapsed() < PATIENCE, "{name}: one of {pids:?} lives on");
            std::thread::yield_now();
        }
        for child in &pids[2..] {
            assert!(lives(*child), "it had the template's socket to the end");
            signal(*child, libc::SIGKILL);
        }
    }
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_is_killed() {
    let pool = cloned(one()).await;
    println!("\npids {} {}", template().await, worker(&pool).await);
    pool.run(jobs::forever::job()).await.unwrap();
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_leaves() {
    let leaves = async {
        reiver::time::sleep(Duration::from_millis(100)).await;
        // SAFETY: ends this process, without running anything.
        unsafe { libc::_exit(0) }
    };
    let pool = cloned(one()).await;
    println!("\npids {} {}", template().await, worker(&pool).await);
    reiver::join!(pool.run(jobs::forever::job()), leaves).0.unwrap();
}

#[reiver::test]
#[ignore = "a process for another test"]
async fn helper_forks() {
    let pool = cloned(one()).await;
    let (template, worker) = (template().await, worker(&pool).await);
    // SAFETY: the child does nothing but sleep.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above. It holds no pipe that the test reads to its end.
        unsafe {
            libc::sleep(60);
            libc::_exit(0)
        }
    }
    println!("\npids {template} {worker} {child}");
    pool.run(jobs::forever::job()).await.unwrap();
}
