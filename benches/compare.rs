//! `cargo bench`: reiver beside tokio and smol, and the table that README quotes.
//!
//! The cases are in `benches/peers`, one program that runs one case on one runtime. This driver builds
//! it with the release profile and starts it anew for every measurement, one runtime after the other,
//! so that whatever else the machine does falls on all of them: round 1 is reiver, tokio, smol, round 2
//! tokio, smol, reiver, and so on. A figure is the median of the rounds; the ratio is of medians, and
//! the range beside it holds the middle half of the ratios of the rounds.
//!
//! ```text
//! cargo bench                        all cases, and writes benches/RESULTS.md
//! cargo bench -- spawn timeout       cases whose names contain one of these; prints only
//! BENCH_ROUNDS=15 BENCH_WORKERS=4    7 rounds and 2 workers by default
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// The one whose figures stand below the ratio comes first.
const RUNTIMES: [&str; 3] = ["reiver", "tokio", "smol"];

/// The cases in the order of the table, each with what it stands for.
const CASES: &[(&str, &str)] = &[
    ("spawn_many_local", "a task spawns 10,000 and waits for all"),
    ("spawn_many_remote_idle", "a thread outside spawns 10,000"),
    ("spawn_many_remote_busy", "the same beside 4 tasks that compute 1 µs and yield"),
    ("spawn_join_local", "spawn 10,000, await each handle"),
    ("spawn_join_one", "spawn one, await it"),
    ("chained_spawn", "each task spawns the next"),
    ("yield_many", "200 tasks that yield"),
    ("yield_one", "one task that yields, alone"),
    ("ping_pong", "round trip between two tasks"),
    ("ping_pong_1000", "1000 tasks, each spawns a partner for one round trip"),
    ("block_on_round_trip", "`block_on` to a task and back"),
    ("wake_from_thread", "thread to a task and back"),
    ("wake_from_thread_one_core", "the same, the process kept on one core"),
    ("timeout_ready", "`timeout` around a ready future"),
    ("timeout_pending", "`timeout` around one that waits once"),
    ("timeout_pending_2", "the same in two tasks"),
    ("sleeps_10k", "10,000 sleeps of 1 to 100 ms at once"),
    ("sleeps_100k", "100,000 of them"),
    ("sleeps_sparse", "one sleep of about 1 ms after the other"),
    ("ticker_8_busy", "a 1 ms tick beside 8 tasks that compute 10 µs and yield"),
    ("ticker_64_busy", "beside 64"),
    ("blocking_batch", "20,000 empty `spawn_blocking` at once"),
    ("blocking_8", "8 tasks, one empty job each at a time"),
    ("blocking_round_trip", "one empty job at a time"),
    ("blocking_round_trip_one_core", "the same, the process kept on one core"),
    ("blocking_sleeps", "1000 jobs that sleep 5 ms"),
    ("echo_1", "TCP, 64 bytes there and back; the server's CPU time only"),
    ("echo_1_one_core", "the same, both processes kept on one core"),
    ("echo_16", "over 16 connections, all written before the first is read"),
    ("echo_64", "over 64"),
    ("memory_parked", "a task that waits, 8 bytes of its own"),
    ("memory_sleeping", "a task that sleeps"),
    ("start_stop", "a runtime from nothing and back"),
    ("idle", "a runtime with nothing to do"),
];

/// Rounds of cases whose figure hardly varies, or that take long.
const FEW: &[(&str, usize)] = &[("memory_parked", 3), ("memory_sleeping", 3), ("idle", 3)];

/// A case with this suffix runs on one core. Where threads wake each other one at a time, what is timed is
/// otherwise how long the machine takes to wake an idle core, and whether the kernel happened to put
/// both threads on the same one: 11 or 40 µs a round trip on a virtual machine, for every runtime alike.
const ONE_CORE: &str = "_one_core";

/// The figures of one measure of one case: of each runtime, one a round.
type Rounds = [Vec<f64>; 3];

fn main() -> ExitCode {
    match compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<(), String> {
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(&**f));
    let rounds = number("BENCH_ROUNDS", 7)?;
    let workers = number("BENCH_WORKERS", 2)?;
    let program = build()?;
    let start = Instant::now();
    let mut table = String::from(
        "| case | measure | reiver | tokio | smol | ratio | middle half |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    println!("{table}");
    for (name, _) in CASES.iter().filter(|(name, _)| wanted(name)) {
        let few = FEW.iter().find(|(few, _)| few == name).map_or(rounds, |(_, n)| rounds.min(*n));
        let measures = run_case(&program, name, few, workers)?;
        let rows: String = measures.iter().map(|(measure, r)| row(name, measure, r)).collect();
        print!("{rows}");
        table += &rows;
    }
    let seconds = start.elapsed().as_secs();
    println!("\n{rounds} rounds, {workers} workers, {seconds} s");
    if filters.is_empty() {
        let text = page(&table, rounds, workers, seconds);
        let path = root().join("benches/RESULTS.md");
        std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        println!("written to {}", path.display());
    }
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn number(variable: &str, default: usize) -> Result<usize, String> {
    match std::env::var(variable) {
        Ok(text) => match text.parse() {
            Ok(n @ 1..) => Ok(n),
            _ => Err(format!("{variable} must be a number from 1 on, not `{text}`")),
        },
        Err(_) => Ok(default),
    }
}

/// Builds the program of the cases, with the profile that users build theirs with. Gives its path.
fn build() -> Result<PathBuf, String> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "reiver-bench", "--message-format=json"])
        .current_dir(root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    if !output.status.success() {
        return Err("the cases do not build".into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // The one artifact with an executable; the path has no escapes unless the checkout's has.
    let path = text.lines().filter_map(|line| line.split("\"executable\":\"").nth(1)).next_back();
    let path = path.and_then(|rest| rest.split('"').next());
    path.map(PathBuf::from).ok_or_else(|| "cargo names no executable".into())
}

/// Runs a case in fresh processes, the runtimes by turns.
fn run_case(
    program: &Path,
    case: &str,
    rounds: usize,
    workers: usize,
) -> Result<Vec<(String, Rounds)>, String> {
    // In the order in which the program prints them.
    let mut order = Vec::new();
    let mut figures: BTreeMap<String, Rounds> = BTreeMap::new();
    for round in 0..rounds {
        for turn in 0..RUNTIMES.len() {
            let which = (round + turn) % RUNTIMES.len();
            for (measure, figure) in run(program, RUNTIMES[which], case, workers)? {
                if !order.contains(&measure) {
                    order.push(measure.clone());
                }
                figures.entry(measure).or_default()[which].push(figure);
            }
        }
    }
    Ok(order.into_iter().filter_map(|measure| figures.remove_entry(&measure)).collect())
}

fn run(
    program: &Path,
    runtime: &str,
    case: &str,
    workers: usize,
) -> Result<Vec<(String, f64)>, String> {
    let one_core = case.ends_with(ONE_CORE);
    let case = case.trim_end_matches(ONE_CORE);
    let output = Command::new(program)
        .args([runtime, case])
        .env("BENCH_WORKERS", workers.to_string())
        .env("BENCH_ONE_CORE", if one_core { "1" } else { "" })
        .output()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |line: &str| {
        let (name, figure) = line.rsplit_once('=')?;
        Some((name.to_owned(), figure.parse().ok()?))
    };
    let figures: Option<Vec<_>> = text.lines().map(figure).collect();
    match figures {
        Some(figures) if output.status.success() && !figures.is_empty() => Ok(figures),
        _ => Err(format!(
            "{runtime} {case}: {}\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn row(case: &str, measure: &str, rounds: &Rounds) -> String {
    let [ours, tokio, smol] = rounds.each_ref().map(|figures| quantile(figures, 0.5));
    let mut ratios = Vec::new();
    for ((ours, tokio), smol) in rounds[0].iter().zip(&rounds[1]).zip(&rounds[2]) {
        ratios.push(tokio.min(*smol) / ours);
    }
    format!(
        "| {case} | {measure} | {} | {} | {} | {:.2} | {:.2}–{:.2} |\n",
        digits(ours),
        digits(tokio),
        digits(smol),
        tokio.min(smol) / ours,
        quantile(&ratios, 0.25),
        quantile(&ratios, 0.75),
    )
}

fn quantile(figures: &[f64], at: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = (sorted.len() - 1) as f64 * at;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Three digits that mean something.
fn digits(figure: f64) -> String {
    match figure {
        ..10.0 => format!("{figure:.2}"),
        ..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// The file around the table.
fn page(table: &str, rounds: usize, workers: usize, seconds: u64) -> String {
    let mut text = format!(
        "# reiver beside tokio and smol\n\n\
         Written by `cargo bench`; do not edit. Ratio: the better peer's figure ÷ reiver's, so above 1 \
         reiver is ahead. Figures are medians of {rounds} rounds of fresh processes, the runtimes by \
         turns, {workers} workers each; \"middle half\" is the range of the ratios of single rounds \
         without the highest and the lowest quarter. `ns` is time on the wall for one operation, `cpu \
         ns` the time of all threads together: on a machine with other work the second is the steadier.\n\n"
    );
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    let _ = writeln!(
        text,
        "* Machine: {} × {}; load averages after the run {}",
        std::thread::available_parallelism().map_or(0, usize::from),
        model.map_or("unknown", |(_, name)| name.trim()),
        first_line(Command::new("cat").arg("/proc/loadavg")),
    );
    // Not 0: the run was preferred to the machine's other work, all runtimes alike.
    let group = first_line(Command::new("cat").arg("/proc/self/autogroup"));
    if let Some((_, nice)) = group.rsplit_once("nice ") {
        let _ = writeln!(text, "* Scheduling group: nice {nice}");
    }
    let _ = writeln!(text, "* System: {}", first_line(Command::new("uname").arg("-sr")));
    let _ = writeln!(text, "* Date: {}", first_line(Command::new("date").arg("-uI")));
    let _ = writeln!(text, "* Compiler: {}", first_line(Command::new("rustc").arg("-V")));
    let _ = writeln!(text, "* Versions: {}", versions());
    let _ = writeln!(text, "* Command: `cargo bench`, {seconds} s\n");
    text += table;
    text += "\n## The cases\n\n| case | what it does |\n|---|---|\n";
    for (name, what) in CASES {
        let _ = writeln!(text, "| {name} | {what} |");
    }
    text
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned()
}

/// Of the runtimes and what they stand on, from the lock file.
fn versions() -> String {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
    let version = |name: &&str| {
        let entry = lock.split("[[package]]").find(|e| e.contains(&format!("name = \"{name}\"\n")));
        let version = entry.and_then(|e| e.split("version = \"").nth(1)?.split('"').next());
        format!("{name} {}", version.unwrap_or("?"))
    };
    let names = ["reiver", "tokio", "smol", "async-executor", "async-io", "blocking"];
    names.iter().map(version).collect::<Vec<_>>().join(", ")
}
