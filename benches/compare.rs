//! `cargo bench`: reiver beside tokio and smol, and the table that README quotes.
//!
//! The cases are in `benches/peers`, one program that runs one case on one runtime. This driver builds
//! it with the release profile and starts it anew for every measurement, one runtime after the other,
//! so that whatever else the machine does falls on all of them: round 1 is reiver, tokio, smol, round 2
//! tokio, smol, reiver, and so on. A figure is the median of the rounds; the ratio is of medians, and
//! the range beside it holds the middle half of the ratios of the rounds.
//!
//! ```text
//! cargo bench                               all cases, writes RESULTS.md, ratios.svg and README's table;
//!                                           then instructions.rs
//! cargo bench --bench compare -- spawn yield   cases whose names contain one of these; prints only
//! BENCH_ROUNDS=15 BENCH_WORKERS=4           7 rounds and 2 workers by default
//! ```

mod beside;
mod driver;
mod plot;
mod table;

use driver::{Filter, RUNTIMES, build, digits, figures, put, ratio, root};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;
use table::{CASES, Case, FEW};

/// A case with this suffix runs on one core. Where threads wake each other one at a time, what is timed is
/// otherwise how long the machine takes to wake an idle core, and whether the kernel happened to put
/// both threads on the same one: 11 or 40 µs a round trip on a virtual machine, for every runtime alike.
const ONE_CORE: &str = "_one_core";

/// The figures of one measure of one case: of each runtime, one a round; none where it has no such thing.
type Rounds = Vec<Vec<f64>>;

/// A line of the table.
struct Row {
    case: &'static Case,
    measure: String,
    rounds: Rounds,
}

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
    let filter = Filter::of_this_run();
    let rounds = number("BENCH_ROUNDS", 7)?;
    let workers = number("BENCH_WORKERS", 2)?;
    let program = build()?;
    let start = Instant::now();
    let mut rows = Vec::new();
    print!("{HEAD}");
    for case in CASES.iter().filter(|case| filter.wants(case.name)) {
        let few = FEW.iter().find(|(few, _)| *few == case.name);
        let few = few.map_or(rounds, |(_, n)| rounds.min(*n));
        for (measure, rounds) in run_case(&program, case.name, &RUNTIMES, few, workers, false)? {
            let row = Row { case, measure, rounds };
            print!("{}", row.line());
            rows.push(row);
        }
    }
    let beside = beside::tables(&program, &filter, rounds.min(5), workers)?;
    let seconds = start.elapsed().as_secs();
    println!("\n{rounds} rounds, {workers} workers, {seconds} s");
    if filter.is_all() {
        put("benches/RESULTS.md", "times", &page(&rows, rounds, workers, seconds))?;
        put("benches/RESULTS.md", "beside", &beside)?;
        put("README.md", "table", &short(&rows))?;
        let ratios: Vec<_> = rows.iter().filter(|row| row.is_main(&rows)).map(Row::bar).collect();
        let title = "CPU time (where it is not said otherwise): the better peer's ÷ reiver's";
        let svg = plot::bars(title, &ratios);
        std::fs::write(root().join("benches/ratios.svg"), svg).map_err(|e| e.to_string())?;
    }
    Ok(())
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

/// Runs a case in fresh processes, the runtimes by turns. With `calls` its figures are system calls.
fn run_case(
    program: &Path,
    case: &str,
    runtimes: &[&str],
    rounds: usize,
    workers: usize,
    calls: bool,
) -> Result<Vec<(String, Rounds)>, String> {
    // In the order in which the program prints them.
    let mut order = Vec::new();
    let mut measures: BTreeMap<String, Rounds> = BTreeMap::new();
    for round in 0..rounds {
        for turn in 0..runtimes.len() {
            let which = (round + turn) % runtimes.len();
            let one_core = if case.ends_with(ONE_CORE) { "1" } else { "" };
            let mut command = Command::new(program);
            command
                .args([runtimes[which], case.trim_end_matches(ONE_CORE)])
                .env("BENCH_WORKERS", workers.to_string())
                .env("BENCH_ONE_CORE", one_core);
            if calls {
                command.env("BENCH_CALLS", "1");
            }
            for (measure, figure) in figures(&mut command)? {
                if !order.contains(&measure) {
                    order.push(measure.clone());
                }
                let all = || vec![Vec::new(); runtimes.len()];
                measures.entry(measure).or_insert_with(all)[which].push(figure);
            }
        }
    }
    Ok(order.into_iter().filter_map(|measure| measures.remove_entry(&measure)).collect())
}

const HEAD: &str = "| case | measure | reiver | tokio | smol | ratio | middle half |\n\
                    |---|---|---:|---:|---:|---:|---:|\n";

impl Row {
    fn medians(&self) -> [Option<f64>; 3] {
        std::array::from_fn(|which| quantile(&self.rounds[which], 0.5))
    }

    fn line(&self) -> String {
        let at = |round| std::array::from_fn(|which| self.rounds[which].get(round).copied());
        let ratios: Vec<_> = (0..self.rounds[0].len()).map(|round| ratio(at(round))).collect();
        let [low, high] = [0.25, 0.75].map(|part| digits(quantile(&ratios, part)));
        format!("| {} | {} | {} | {low}–{high} |\n", self.case.name, self.measure, self.figures())
    }

    fn figures(&self) -> String {
        let medians = self.medians();
        let [ours, tokio, smol] = medians.map(digits);
        format!("{ours} | {tokio} | {smol} | {:.2}", ratio(medians))
    }

    /// Whether it is the one of its case for where only one can stand: the CPU time, else the first.
    fn is_main(&self, all: &[Self]) -> bool {
        let mut of_case = all.iter().filter(|row| row.case.name == self.case.name);
        let first = of_case.clone().next();
        let main = of_case.find(|row| row.measure == "cpu ns").or(first);
        main.is_some_and(|main| std::ptr::eq(main, self))
    }

    fn bar(&self) -> (String, f64) {
        let mut label = self.case.name.replace('_', " ");
        if self.measure != "cpu ns" {
            let _ = write!(label, ", {}", self.measure);
        }
        (label, ratio(self.medians()))
    }
}

fn quantile(figures: &[f64], at: f64) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = sorted.len().checked_sub(1)? as f64 * at;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

/// README's table.
fn short(rows: &[Row]) -> String {
    let mut text = String::from("| | reiver | tokio | smol | ratio |\n|---|---:|---:|---:|---:|\n");
    for row in rows.iter().filter(|row| !row.case.readme.is_empty() && row.is_main(rows)) {
        let _ = writeln!(text, "| {} | {} |", row.case.readme, row.figures());
    }
    text
}

/// The part of the page that this run writes.
fn page(rows: &[Row], rounds: usize, workers: usize, seconds: u64) -> String {
    let mut text = format!(
        "Ratio: the better peer's figure ÷ reiver's, so above 1 reiver is ahead; a dash where a peer has no \
         such thing. Figures are medians of {rounds} rounds of fresh processes, the runtimes by turns, \
         {workers} workers each; \"middle half\" is the range of the ratios of single rounds without the \
         highest and the lowest quarter. `ns` is time on the wall for one operation, `cpu ns` the time of \
         all threads together: on a machine with other work the second is the steadier.\n\n"
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
    text += HEAD;
    rows.iter().for_each(|row| text += &row.line());
    text += "\n## The cases\n\n| case | what it does |\n|---|---|\n";
    for case in CASES {
        let _ = writeln!(text, "| {} | {} |", case.name, case.what);
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
    let names = [
        "reiver",
        "tokio",
        "smol",
        "async-executor",
        "async-io",
        "async-lock",
        "async-channel",
        "blocking",
        "hyper",
        "crossbeam-channel",
        "flume",
    ];
    names.iter().map(version).collect::<Vec<_>>().join(", ")
}
