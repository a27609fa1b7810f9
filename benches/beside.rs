//! Noted beside, for the record: what is no runtime, or is in another language.
//!
//! The limit of an echo server is a bare epoll loop on one thread; its distance is a column. Channels that
//! belong to no runtime have other terms: crossbeam's block threads, flume's tasks run on reiver. Go and
//! Python's uvloop have figures where they are installed; system calls are counted where `perf` is.

use super::{quantile, run_case};
use crate::driver::{Filter, digits};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

struct Table {
    runtimes: &'static [&'static str],
    cases: &'static [&'static str],
    /// Of the cases, those whose system calls are counted, too.
    calls: &'static [&'static str],
    /// reiver's figures are divided by this one's.
    limit: Option<&'static str>,
}

const TABLES: &[Table] = &[
    Table {
        runtimes: &["reiver", "crossbeam", "flume", "go"],
        cases: &[
            "spawn_many_local",
            "mpsc_bounded_1",
            "mpsc_bounded_4",
            "mpsc_unbounded_1",
            "mpsc_unbounded_4",
        ],
        calls: &[],
        limit: None,
    },
    Table {
        runtimes: &["reiver", "tokio", "smol", "epoll", "go", "uvloop"],
        cases: &["echo_1", "echo_1_one_core", "echo_16", "echo_64", "echo_1000"],
        calls: &["echo_1", "echo_64"],
        limit: Some("epoll"),
    },
];

/// Runs those that are wanted, prints them, and gives their text.
pub fn tables(
    program: &Path,
    filter: &Filter,
    rounds: usize,
    workers: usize,
) -> Result<String, String> {
    let mut text = String::new();
    for table in TABLES {
        let cases = table.cases.iter().filter(|case| filter.wants(case));
        let mut lines = String::new();
        for case in cases {
            let counted = table.calls.contains(case) && has_perf();
            for calls in [false, true].into_iter().filter(|calls| !calls || counted) {
                let rounds = if calls { rounds.min(3) } else { rounds };
                for (measure, figures) in
                    run_case(program, case, table.runtimes, rounds, workers, calls)?
                {
                    lines += &table.line(case, &measure, &figures);
                }
            }
        }
        if !lines.is_empty() {
            let part = format!("\n{}{lines}", table.head());
            print!("{part}");
            text += &part;
        }
    }
    Ok(text)
}

impl Table {
    fn head(&self) -> String {
        let limit = self.limit.map(|limit| format!(" reiver ÷ {limit} |")).unwrap_or_default();
        let figures = self.runtimes.len() + usize::from(self.limit.is_some());
        let rule = "---:|".repeat(figures);
        format!("| case | measure | {} |{limit}\n|---|---|{rule}\n", self.runtimes.join(" | "))
    }

    fn line(&self, case: &str, measure: &str, figures: &[Vec<f64>]) -> String {
        let medians: Vec<_> = figures.iter().map(|figures| quantile(figures, 0.5)).collect();
        let mut line = format!("| {case} | {measure} |");
        for median in &medians {
            let _ = write!(line, " {} |", digits(*median));
        }
        if let Some(limit) = self.limit {
            let place = self.runtimes.iter().position(|name| *name == limit);
            let ratio = place.and_then(|place| Some(medians[0]? / medians[place]?));
            let _ = write!(line, " {} |", digits(ratio));
        }
        line + "\n"
    }
}

fn has_perf() -> bool {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-e", "raw_syscalls:sys_enter", "true"]);
    perf.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
