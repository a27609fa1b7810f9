//! Tasks as text for people: a table and a tree.

use super::Handle;
use crate::runtime::{BlockingJob, OffloadJob, TaskInfo};
use crate::task::{Id, Phase};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Writing into a `String` does not fail.
macro_rules! put {
    ($text:expr, $($part:tt)*) => { _ = write!($text, $($part)*) };
}

/// All tasks in the order of their ids, then the blocking jobs and those of worker processes.
pub(super) fn table(handle: &Handle) -> String {
    const HEAD: [&str; 7] =
        ["ID", "STATE", "FOR", "POLLS", "BUSY", "PARENT", "NAME, PLACE AND WAIT"];
    let mut tasks = handle.dump();
    tasks.sort_by_key(TaskInfo::id);
    let jobs = handle.blocking_jobs();
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(tasks.iter().map(row));
    rows.extend(jobs.iter().map(job_row));
    let away = handle.offload_jobs();
    rows.extend(away.iter().map(offload_row));
    let widths: [usize; 6] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut text = head(handle, &tasks, &jobs, &away);
    for row in rows {
        for (cell, width) in row.iter().zip(widths) {
            put!(text, "{cell:>width$}  ");
        }
        put!(text, "{}\n", row[6]);
    }
    text
}

fn head(handle: &Handle, tasks: &[TaskInfo], jobs: &[BlockingJob], away: &[OffloadJob]) -> String {
    let metrics = handle.metrics();
    let mut text = format!(
        "process {}: {} tasks, {} blocking jobs, {} workers",
        std::process::id(),
        tasks.len(),
        jobs.len(),
        metrics.num_workers(),
    );
    if !away.is_empty() {
        put!(text, ", {} offload jobs", away.len());
    }
    match metrics.num_stuck_workers() {
        0 => {}
        stuck => put!(text, " ({stuck} stuck)"),
    }
    text.push('\n');
    text
}

fn time(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| format!("{time:.1?}"))
}

fn number<T: ToString>(number: Option<T>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

fn state(task: &TaskInfo) -> &'static str {
    match task.phase() {
        Phase::Running => "running",
        Phase::Ready => "ready",
        Phase::Waiting => "waiting",
        Phase::Complete => "ended",
    }
}

/// The name, if it has one, and where it was spawned. Names are the program's and may hold anything: what
/// would move a terminal's cursor is escaped.
fn place(task: &TaskInfo) -> String {
    match task.name() {
        Some(name) => format!("{name:?} {}", task.location()),
        None => task.location().to_string(),
    }
}

fn row(task: &TaskInfo) -> [String; 7] {
    let mut what = place(task);
    if let Some(waiting) = task.waiting() {
        put!(what, ": {waiting}");
    }
    [
        task.id().to_string(),
        state(task).to_owned(),
        time(task.in_phase()),
        number(task.polls()),
        time(task.busy()),
        number(task.parent()),
        what,
    ]
}

fn job_row(job: &BlockingJob) -> [String; 7] {
    let state = if job.age().is_some() { "blocking" } else { "queued" };
    let [polls, busy, parent] = ["-", "-", "-"].map(str::to_owned);
    let id = job.task().id().to_string();
    [id, state.to_owned(), time(job.age()), polls, busy, parent, place(job.task())]
}

fn offload_row(job: &OffloadJob) -> [String; 7] {
    let state = if job.age().is_some() { "offload" } else { "queued" };
    let [id, polls, busy] = ["-", "-", "-"].map(str::to_owned);
    let mut what = job.function().to_owned();
    if let Some(name) = job.name() {
        put!(what, " {name:?}");
    }
    if let Some(worker) = job.worker() {
        put!(what, ": in worker {worker}");
    }
    [id, state.to_owned(), time(job.age()), polls, busy, number(job.task()), what]
}

/// Each task below the one that spawned it, and below it the blocking jobs and those of worker processes that it
/// waits for.
pub(super) fn tree(handle: &Handle) -> String {
    let mut tasks = handle.dump();
    tasks.sort_by_key(TaskInfo::id);
    let jobs = handle.blocking_jobs();
    let away = handle.offload_jobs();
    let mut text = head(handle, &tasks, &jobs, &away);
    let forest = Forest::new(&tasks, &jobs, &away);
    let mut open = Vec::new();
    // Not by recursion: a chain of tasks may be longer than this thread's stack.
    open.extend(
        forest.roots.iter().rev().enumerate().map(|(i, node)| (*node, String::new(), i == 0)),
    );
    while let Some((node, indent, is_last)) = open.pop() {
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        put!(text, "{indent}{branch}{}\n", forest.line(node));
        // Deeper than this is a chain; it goes on below each other.
        let below =
            if indent.chars().count() < 60 { format!("{indent}{below}") } else { indent.clone() };
        let children = forest.id(node).and_then(|id| forest.children.get(&id));
        let children = children.map_or(&[][..], |found| found);
        let children = children.iter().rev().enumerate();
        open.extend(children.map(|(i, child)| (*child, below.clone(), i == 0)));
    }
    text
}

#[derive(Clone, Copy)]
enum Node {
    Task(usize),
    Job(usize),
    Away(usize),
}

struct Forest<'a> {
    tasks: &'a [TaskInfo],
    jobs: &'a [BlockingJob],
    away: &'a [OffloadJob],
    roots: Vec<Node>,
    children: HashMap<Id, Vec<Node>>,
}

impl<'a> Forest<'a> {
    fn new(tasks: &'a [TaskInfo], jobs: &'a [BlockingJob], away: &'a [OffloadJob]) -> Self {
        let live: HashMap<Id, usize> =
            tasks.iter().enumerate().map(|(i, task)| (task.id(), i)).collect();
        let mut forest = Self { tasks, jobs, away, roots: Vec::new(), children: HashMap::new() };
        for (i, task) in tasks.iter().enumerate() {
            forest.put(Node::Task(i), task.parent().filter(|parent| live.contains_key(parent)));
        }
        let waiters: HashMap<Id, Id> =
            tasks.iter().filter_map(|task| Some((task.waiting()?.task()?, task.id()))).collect();
        for (i, job) in jobs.iter().enumerate() {
            forest.put(Node::Job(i), waiters.get(&job.task().id()).copied());
        }
        for (i, job) in away.iter().enumerate() {
            forest.put(Node::Away(i), job.task().filter(|task| live.contains_key(task)));
        }
        forest
    }

    fn put(&mut self, node: Node, parent: Option<Id>) {
        match parent {
            Some(parent) => self.children.entry(parent).or_default().push(node),
            None => self.roots.push(node),
        }
    }

    fn id(&self, node: Node) -> Option<Id> {
        match node {
            Node::Task(i) => Some(self.tasks[i].id()),
            Node::Job(i) => Some(self.jobs[i].task().id()),
            Node::Away(_) => None,
        }
    }

    fn line(&self, node: Node) -> String {
        match node {
            Node::Job(i) => self.jobs[i].to_string(),
            Node::Away(i) => self.away[i].to_string(),
            Node::Task(i) => {
                let task = &self.tasks[i];
                let mut line = format!("task {} {}: ", task.id(), place(task));
                match task.waiting() {
                    Some(waiting) => put!(line, "waits for {waiting}"),
                    None => line.push_str(state(task)),
                }
                if let Some(time) = task.in_phase() {
                    put!(line, " ({time:.1?})");
                }
                line
            }
        }
    }
}
