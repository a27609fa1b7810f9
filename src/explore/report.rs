//! What a person reads when an exploration fails: who the tasks are, where they wait, and what happened.
//!
//! Where a task waits is not known to Rust. But whoever waits clones the task's waker, and the stack of
//! that clone goes through every `async fn` and block between the task and the leaf, each with the line
//! of its `await`. Taking such a stack is slow, so it is done only when the failing execution is run
//! again for the report.

use super::child;
use crate::primitive::{Arc, explore};
use crate::sync::debug;
use crate::task::{Header, Id};
use std::backtrace::Backtrace;
use std::collections::{HashMap, VecDeque};
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::time::Duration;

/// What is known of the body's panic when it is found in its handle.
pub(super) const PANICKED: &str = "the body panicked";
/// What a deadlock may be that is none.
pub(super) const HINT: &str = "\n(Nobody here waits for what other threads or runtimes do, a timer or socket of \
    tokio's, a thread of std's: use reiver's.)";
/// The last events that a report shows.
const SHOWN: usize = 40;

/// Why an execution failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What tells one failure from another: not the names of tasks, nor their order.
    pub(super) kind: String,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind: text.clone(), text }
    }

    pub(super) fn is_panic(&self) -> bool {
        self.kind == PANICKED
    }
}

/// The tasks of one execution, in the order of their first wake-up: the root is task 0.
#[derive(Default)]
pub(super) struct Tasks {
    numbers: HashMap<Id, u32>,
    all: Vec<Task>,
}

#[derive(Default)]
struct Task {
    id: Option<Id>,
    title: String,
    ended: bool,
    waits: Option<Arc<Backtrace>>,
}

impl Tasks {
    /// The number of a task that is ready, and whether it is new.
    pub(super) fn number(&mut self, task: &Header) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&task.id()) {
            return (*number, false);
        }
        let number = self.all.len() as u32;
        self.numbers.insert(task.id(), number);
        let at = task.location();
        let place = format!("{}:{}", at.file(), at.line());
        let title = match task.name() {
            Some(name) if number == 0 => name.to_owned(),
            Some(name) => format!("task {number} `{name}` ({place})"),
            None => format!("task {number} ({place})"),
        };
        self.all.push(Task { id: Some(task.id()), title, ..Task::default() });
        (number, true)
    }

    pub(super) fn known(&self, task: Id) -> Option<u32> {
        self.numbers.get(&task).copied()
    }

    pub(super) fn title(&self, number: u32) -> &str {
        &self.all[number as usize].title
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn end(&mut self, task: Id) -> Option<u32> {
        let number = self.known(task)?;
        self.all[number as usize].ended = true;
        Some(number)
    }

    pub(super) fn waits(&mut self, number: u32, stack: Backtrace) {
        self.all[number as usize].waits = Some(Arc::new(stack));
    }

    fn stack(&self, number: u32) -> Option<Arc<Backtrace>> {
        self.all[number as usize].waits.clone()
    }

    /// Each live task and where it waits.
    pub(super) fn waiting(&self) -> String {
        let live = self.all.iter().filter(|task| !task.ended);
        live.map(|task| {
            let place = task.waits.as_ref().map_or_else(|| "for something".to_owned(), place);
            format!("\n  {} waits {place}{}", task.title, self.lock_of(task))
        })
        .collect()
    }

    /// The lock that a task waits for, and who has it; where locks are noted, which is in simulations.
    fn lock_of(&self, task: &Task) -> String {
        let Some((lock, holders)) = task.id.and_then(debug::waited_for) else {
            return String::new();
        };
        let holders = holders.into_iter().filter_map(|id| self.known(id));
        let holders: Vec<_> = holders.map(|number| self.title(number)).collect();
        format!(", for the {lock} of {}", holders.join(", "))
    }
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Waits,
    /// It was woken meanwhile.
    Again,
    /// It was told to give way, where its last stack says.
    GivesWay,
    Ended,
}

/// What happened.
pub(super) enum Event {
    /// A task was polled.
    Polled { task: u32, end: End },
    /// A task came to an operation of ours.
    At { task: u32, stack: Backtrace },
    /// The clock moved.
    Time,
    /// A line of its own.
    Said(String),
}

/// What happened in one execution, as far as it is shown.
#[derive(Default)]
pub(super) struct Log {
    lines: VecDeque<(Duration, Line)>,
    dropped: usize,
}

enum Line {
    Polled { task: u32, what: &'static str, stack: Option<Arc<Backtrace>> },
    Time,
    Said(String),
}

impl Log {
    pub(super) fn note(&mut self, now: Duration, tasks: &Tasks, event: Event) {
        let line = match event {
            Event::Polled { task, end } => {
                let (what, has_place) = match end {
                    End::Waits => ("runs, then waits", true),
                    End::Again => ("runs and is ready again", false),
                    End::GivesWay => ("runs, then gives way", true),
                    End::Ended => ("runs and ends", false),
                };
                Line::Polled { task, what, stack: tasks.stack(task).filter(|_| has_place) }
            }
            Event::At { task, stack } => {
                Line::Polled { task, what: "is", stack: Some(Arc::new(stack)) }
            }
            Event::Time => Line::Time,
            Event::Said(text) => Line::Said(text),
        };
        self.lines.push_back((now, line));
        if self.lines.len() > SHOWN {
            self.lines.pop_front();
            self.dropped += 1;
        }
    }

    pub(super) fn text(&self, tasks: &Tasks) -> String {
        let mut text = String::new();
        if self.dropped > 0 {
            text.push_str(&format!("\n  … {} earlier steps", self.dropped));
        }
        for (now, line) in &self.lines {
            let now = format!("{:.3} ms", now.as_secs_f64() * 1e3);
            let what = match line {
                Line::Polled { task, what, stack } => {
                    let place =
                        stack.as_ref().map_or_else(String::new, |s| format!(" {}", place(s)));
                    format!("{} {what}{place}", tasks.title(*task))
                }
                Line::Time => "the clock moves".to_owned(),
                Line::Said(text) => text.clone(),
            };
            text.push_str(&format!("\n  {now:>12}  {what}"));
        }
        text
    }
}

/// The innermost line of the user's in a stack, and the operation of ours that it awaits.
fn place(stack: &Arc<Backtrace>) -> String {
    // Reading debug information takes more stack than a model's thread has.
    let stack = stack.clone();
    let text = explore::aside(move || stack.to_string());
    let mut inner = "";
    let mut function = None;
    for line in text.lines().map(str::trim) {
        let place = line.strip_prefix("at ");
        match (place, function) {
            (None, _) => function = line.split_once(": ").map(|(_, name)| name),
            (Some(place), Some(name)) => match whose(name, place) {
                Whose::Users => {
                    let place = place.trim_start_matches("./");
                    let place = place.rsplit_once(':').map_or(place, |(place, _column)| place);
                    return format!("at {place}{}", operation(inner));
                }
                Whose::Ours => inner = name,
                Whose::Rust => {}
            },
            (Some(_), None) => {}
        }
    }
    "at a place without debug information".to_owned()
}

enum Whose {
    Users,
    Ours,
    Rust,
}

fn whose(function: &str, place: &str) -> Whose {
    if place.contains("/.cargo/registry/") && !function.contains(env!("CARGO_CRATE_NAME")) {
        return Whose::Rust;
    }
    // `select!` and `join!` put a closure of theirs into the user's function.
    if place.contains("src/macros/select.rs") || place.contains("src/macros/join.rs") {
        return Whose::Rust;
    }
    let krate = module_path!().split("::").next().unwrap_or_default();
    let path = function.trim_start_matches(['<', '&']);
    let first = path.split("::").next().unwrap_or_default();
    match first {
        first if first == krate && is_hidden(path) => Whose::Rust,
        first if first == krate => Whose::Ours,
        "tokio" => Whose::Ours,
        "core" | "std" | "alloc" | "loom" | "generator" => Whose::Rust,
        first if first.starts_with("dyn ") || !path.contains("::") => Whose::Rust,
        _ => Whose::Users,
    }
}

/// What says nothing about where a task waits.
fn is_hidden(path: &str) -> bool {
    ["::explore::", "::task::waker::", "::primitive::"].iter().any(|part| path.contains(part))
}

/// `<reiver::sync::mutex::Mutex<T>>::lock::{{closure}}` as ` in sync::mutex::Mutex::lock`.
fn operation(function: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0;
    let function = function.split(" as ").next().unwrap_or(function);
    for c in function.trim_start_matches('<').chars() {
        match c {
            '<' => depth += 1,
            '>' if depth > 0 => depth -= 1,
            '>' => {}
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let parts: Vec<_> =
        plain.split("::").filter(|p| !p.is_empty() && !p.starts_with('{')).collect();
    match parts.get(1..) {
        Some(rest) if !rest.is_empty() => format!(" in {}", rest.join("::")),
        _ => String::new(),
    }
}

/// Gives the panics of explored code to its explorer instead of the screen: most are met again and again
/// while the shortest way to one is looked for.
pub(super) fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match explore::current() {
            Some(explorer) => {
                if explorer.panicked(&describe(info)) {
                    before(info);
                }
            }
            None => {
                child::stranger(info.location());
                before(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place =
        info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    format!("panicked{place}: {}", text.unwrap_or("(not a text)"))
}
