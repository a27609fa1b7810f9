//! `cargo bench --bench instructions`: instructions for one operation, counted by valgrind.
//!
//! A count hardly varies with what else the machine does, so that it shows a change of a few percent
//! where times cannot. It knows nothing of system calls, of waiting for memory and of threads that get
//! in each other's way: one worker, and valgrind runs one thread at a time. The cases are those of
//! `compare.rs` with fewer operations; what comes before and after them is not counted.
//!
//! ```text
//! cargo bench --bench instructions             all, writes its part of RESULTS.md
//! cargo bench --bench instructions -- mutex    cases whose names contain one of these; prints only
//! ```

mod driver;

use driver::{Filter, RUNTIMES, build, digits, figures, put, ratio, root};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The cases whose instructions are counted: those that do nothing else than compute, and servers, whose figures are
/// what is left without the kernel.
const COUNTED: &[&str] = &[
    "spawn_many_local",
    "spawn_many_remote_idle",
    "spawn_join_local",
    "spawn_join_one",
    "chained_spawn",
    "join_set_10k",
    "yield_many",
    "yield_one",
    "ping_pong",
    "ping_pong_1000",
    "mpsc_bounded_1",
    "mpsc_bounded_4",
    "mpsc_unbounded_1",
    "mpsc_unbounded_4",
    "oneshot",
    "oneshot_request",
    "mutex_free",
    "mutex_8",
    "mutex_8_yield",
    "semaphore_free",
    "semaphore_8",
    "semaphore_8_yield",
    "semaphore_100k",
    "queue_4",
    "queue_100k",
    "broadcast_4",
    "watch_4",
    "notify",
    "notify_100k",
    "timeout_ready",
    "timeout_pending",
    "echo_1",
    "echo_64",
    "udp_echo",
    "http_keep_alive",
    "http_churn",
];

fn main() -> ExitCode {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !cfg!(target_arch = "x86_64") || !valgrind.is_ok_and(|status| status.success()) {
        println!("no instructions counted: that takes valgrind, on x86-64");
        return ExitCode::SUCCESS;
    }
    match count_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn count_all() -> Result<(), String> {
    let filter = Filter::of_this_run();
    let program = build()?;
    let mut table = String::from(
        "| case | reiver | tokio | smol | ratio |\n\
         |---|---:|---:|---:|---:|\n",
    );
    print!("{table}");
    for case in COUNTED.iter().filter(|case| filter.wants(case)) {
        let mut counts = [None; 3];
        for (runtime, place) in RUNTIMES.iter().zip(&mut counts) {
            *place = count(&program, runtime, case)?;
        }
        let [ours, tokio, smol] = counts.map(digits);
        let line = format!("| {case} | {ours} | {tokio} | {smol} | {:.2} |\n", ratio(counts));
        print!("{line}");
        table += &line;
    }
    if filter.is_all() { put("benches/RESULTS.md", "instructions", &table) } else { Ok(()) }
}

/// Instructions for one operation; nothing if the runtime has no such thing.
fn count(program: &Path, runtime: &str, case: &str) -> Result<Option<f64>, String> {
    let file = std::env::temp_dir().join(format!("reiver-callgrind-{}", std::process::id()));
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind", "--instr-atstart=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args([runtime, case])
        .env("BENCH_SHORT", "1")
        .env("BENCH_WORKERS", "1")
        .current_dir(root());
    let figures = figures(&mut command)?;
    let profile = std::fs::read_to_string(&file).map_err(|e| format!("callgrind's file: {e}"))?;
    let _ = std::fs::remove_file(&file);
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")?.parse::<f64>().ok());
    let total = total.ok_or("callgrind's file has no total")?;
    Ok(figures.iter().find(|(name, _)| name == "ops").map(|(_, ops)| total / ops))
}
