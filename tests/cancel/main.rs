//! The cancellation matrix: every waiting method, its future dropped before the first poll, while it waits, and
//! when what it waits for is there and it has not looked. After each, nothing is lost and nothing is stuck: the
//! world is as if nobody had waited.
//!
//! A row's body is run once for each way (and on two kinds of runtimes). It gives the future and what ends its
//! wait to [`Cut`], and looks at what is left. `no_method_is_missing` compares the rows with the sources.
#![cfg(target_os = "linux")]

mod files;
mod net;
mod offload;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod tasks;

use reiver::runtime::{Builder, Handle, Runtime};
use reiver::time::sleep;
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use support::task;

/// Where a future is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Unpolled,
    Waiting,
    Granted,
}

impl Cut {
    /// Drops `future`, which waits until `grant` has happened.
    pub(crate) async fn of<F: Future>(self, future: F, grant: impl Future<Output = ()>) {
        let mut task = task(future);
        if self != Self::Unpolled {
            task.pending();
        }
        if self != Self::Granted {
            drop(task);
            return grant.await;
        }
        grant.await;
        until(|| task.wakes() > 0).await;
    }

    /// Drops `future`, whose wait ends by itself, perhaps before its first poll does.
    pub(crate) async fn job<F: Future>(self, future: F) {
        let mut task = task(future);
        let is_waiting = self != Self::Unpolled && task.poll().is_pending();
        if is_waiting && self == Self::Granted {
            until(|| task.wakes() > 0).await;
        }
    }

    /// Whether the future was polled.
    pub(crate) fn has_begun(self) -> bool {
        self != Self::Unpolled
    }
}

/// Waits until something has happened.
#[track_caller]
pub(crate) fn until(mut happened: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..20_000 {
            if happened() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("it has not happened: {caller}");
    }
}

pub(crate) type Body = fn(Cut) -> Pin<Box<dyn Future<Output = ()>>>;

/// The rows of a file: `"file::method" => |cut| body`.
macro_rules! rows {
    ($($name:literal => |$cut:ident| $body:block)*) => {
        pub(crate) const ROWS: &[(&str, $crate::Body)] =
            &[$(($name, |$cut: $crate::Cut| Box::pin(async move $body))),*];
    };
}

pub(crate) use rows;

fn all_rows() -> impl Iterator<Item = &'static (&'static str, Body)> {
    [sync::ROWS, tasks::ROWS, net::ROWS, files::ROWS, offload::ROWS].into_iter().flatten()
}

fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()].map(|mut builder| {
        builder.worker_threads(2).max_blocking_threads(1).max_blocking_queue(1).build().unwrap()
    })
}

#[test]
fn nothing_is_lost_and_nothing_is_stuck() {
    let mut failed = Vec::new();
    for (name, body) in all_rows() {
        for cut in [Cut::Unpolled, Cut::Waiting, Cut::Granted] {
            for runtime in runtimes() {
                let run = AssertUnwindSafe(|| {
                    runtime.block_on(async {
                        body(cut).await;
                        // Nobody waits any more, neither in tasks nor for timers.
                        let metrics = Handle::current().metrics();
                        until(|| metrics.num_alive_tasks() == 0 && metrics.num_timers() == 0).await;
                    });
                });
                if catch_unwind(run).is_err() {
                    failed.push(format!("{name}, {cut:?}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// What waits, by the sources: `pub async fn`s, functions that give an `impl Future`, and public types that are futures.
/// (Types that are read from and written to wait too, by methods of traits; the rows of `net` and `files` have those.)
fn waiting_methods() -> BTreeSet<String> {
    /// Macros write these names.
    const WRITTEN_BY_MACROS: [(&str, &[&str]); 2] = [
        ("net/async_fd", &["readable", "readable_mut", "writable", "writable_mut"]),
        ("sync/notify", &["Notified", "OwnedNotified"]),
    ];
    const FOLDERS: [&str; 10] =
        ["sync", "time", "tasks", "task", "group", "net", "process", "signal", "fs", "offload"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    let mut look = |path: &Path| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().trim_end_matches(".rs");
        let name = name.trim_end_matches("/mod").to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines().map(str::trim) {
            let method = line.strip_prefix("pub async fn ");
            let future = line.split_once(" Future for ").filter(|_| line.starts_with("impl"));
            let Some(rest) = method.or(future.map(|(_, rest)| rest)) else { continue };
            let end = |c: char| !c.is_alphanumeric() && c != '_';
            let word = rest.split(end).next().unwrap();
            let is_public = method.is_some() || text.contains(&format!("pub struct {word}"));
            if !word.is_empty() && is_public {
                found.insert(format!("{name}::{word}"));
            }
        }
        for (at, before) in text.match_indices("pub fn ") {
            let signature = text[at + before.len()..].split(['{', ';']).next().unwrap();
            if signature.contains("-> impl Future") {
                let word = signature.split(['(', '<']).next().unwrap();
                found.insert(format!("{name}::{word}"));
            }
        }
        if name == "fs/paths" {
            let operations = text.lines().map(str::trim).filter(|line| line.contains(" = std::"));
            found.extend(
                operations.map(|line| format!("{name}::{}", line.split('(').next().unwrap())),
            );
        }
    };
    let mut folders: Vec<_> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|ext| ext == "rs") => look(&path),
                false => {}
            }
        }
    }
    for (file, names) in WRITTEN_BY_MACROS {
        found.extend(names.iter().map(|name| format!("{file}::{name}")));
    }
    let of_all_kinds = [
        "process/command::status",
        "tasks/shield::shield",
        "offload/pool::Running",
        "fs/file::open",
    ];
    assert!(of_all_kinds.iter().all(|name| found.contains(*name)), "{found:#?}");
    found
}

#[test]
fn no_method_is_missing() {
    let named: Vec<&str> = all_rows().map(|(name, _)| *name).collect();
    let set: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(named.len(), set.len(), "a row stands twice");
    let missing: Vec<_> =
        waiting_methods().into_iter().filter(|name| !set.contains(&**name)).collect();
    assert!(missing.is_empty(), "no row: {missing:#?}");
}
