//! The feature `tracing`: the spans and events, in the form that tokio-console's subscriber looks for.

use reiver::runtime::{Builder, Runtime};
use reiver::task::{self, LocalSet};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Far above what a slow machine takes.
const SOON: Duration = Duration::from_secs(20);

/// What a subscriber is told: `new`, `enter`, `exit`, `close` of a span, or an `event`.
#[derive(Debug, Clone)]
struct Told {
    what: &'static str,
    /// Of the span; 0 for an event.
    span: u64,
    target: &'static str,
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Writes everything down. One for the process: a subscriber of one thread would miss the workers'.
#[derive(Debug)]
struct Writer {
    next: AtomicU64,
    told: Mutex<Vec<Told>>,
}

impl Writer {
    fn note(
        &self,
        what: &'static str,
        span: u64,
        metadata: Option<&'static Metadata<'static>>,
    ) -> Told {
        let (target, name) = metadata.map_or(("", ""), |m| (m.target(), m.name()));
        Told { what, span, target, name, fields: BTreeMap::new() }
    }

    fn push(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

struct Subscribed(&'static Writer);

impl Subscriber for Subscribed {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.next.fetch_add(1, Relaxed);
        assert!(span.is_root());
        let mut told = self.0.note("new", id, Some(span.metadata()));
        span.record(&mut told);
        self.0.push(told);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut told = self.0.note("event", 0, Some(event.metadata()));
        event.record(&mut told);
        self.0.push(told);
    }

    fn enter(&self, span: &Id) {
        self.0.push(self.0.note("enter", span.into_u64(), None));
    }

    fn exit(&self, span: &Id) {
        self.0.push(self.0.note("exit", span.into_u64(), None));
    }

    fn try_close(&self, span: Id) -> bool {
        self.0.push(self.0.note("close", span.into_u64(), None));
        true
    }
}

fn writer() -> &'static Writer {
    static WRITER: OnceLock<&'static Writer> = OnceLock::new();
    WRITER.get_or_init(|| {
        let writer = Writer { next: AtomicU64::new(1), told: Mutex::new(Vec::new()) };
        let writer = Box::leak(Box::new(writer));
        tracing::subscriber::set_global_default(Subscribed(writer)).unwrap();
        writer
    })
}

fn runtime() -> Runtime {
    writer();
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

/// What was told of the task with that number: its span, and all that happened to it.
fn told(id: impl fmt::Display) -> (Told, Vec<String>) {
    let all = writer().told.lock().unwrap().clone();
    let id = id.to_string();
    let is_new = |told: &&Told| told.name == "runtime.spawn" && told.fields["task.id"] == id;
    let new = all.iter().find(is_new).unwrap_or_else(|| panic!("no span of task {id}")).clone();
    let number = new.span.to_string();
    let rest = all.iter().filter_map(|told| match told.what {
        "event" if told.target == "runtime::waker" && told.fields["task.id"] == number => {
            Some(told.fields["op"].clone())
        }
        "enter" | "exit" | "close" if told.span == new.span => Some(told.what.to_owned()),
        _ => None,
    });
    let rest = rest.collect();
    (new, rest)
}

#[test]
fn a_task_has_a_span_that_is_entered_at_each_poll_and_closed_at_its_end() {
    let runtime = runtime();
    let line = line!() + 1;
    let task = task::Builder::new().name("the task").spawn_on(task::yield_now(), runtime.handle());
    let task = task.unwrap();
    let id = task.id();
    runtime.block_on(task).unwrap();
    let (new, rest) = told(id);
    assert_eq!(new.fields["kind"], "task");
    assert_eq!(new.fields["task.name"], "the task");
    assert!(new.fields["loc.file"].ends_with("tests/tracing.rs"), "{new:?}");
    assert_eq!(new.fields["loc.line"], line.to_string());
    assert!(new.fields["size.bytes"].parse::<usize>().unwrap() > 0);
    // It woke itself in its first poll. The closing comes before whoever waits for it knows.
    assert_eq!(rest, ["enter", "waker.wake_by_ref", "exit", "enter", "exit", "close"]);
}

/// Clones and drops are told too: the console counts the wakers that there are.
#[test]
fn wakers_are_counted() {
    let runtime = runtime();
    let (give, given) = mpsc::channel();
    let mut is_first = true;
    let task = runtime.spawn(std::future::poll_fn(move |cx| {
        if std::mem::take(&mut is_first) {
            give.send(cx.waker().clone()).unwrap();
            return Poll::Pending;
        }
        Poll::Ready(())
    }));
    let id = task.id();
    let waker = given.recv_timeout(SOON).unwrap();
    drop(waker.clone());
    waker.wake();
    runtime.block_on(task).unwrap();
    let (_, rest) = told(id);
    let count = |op: &str| rest.iter().filter(|told| *told == op).count();
    assert_eq!((count("waker.clone"), count("waker.drop"), count("waker.wake")), (2, 1, 1));
    assert_eq!((count("waker.wake_by_ref"), count("enter"), count("close")), (0, 2, 1));
}

#[test]
fn kinds_are_told_apart() {
    let runtime = runtime();
    let (send, sent) = mpsc::channel();
    LocalSet::new().block_on(&runtime, async move {
        let local = task::spawn_local(async {});
        send.send(local.id()).unwrap();
        local.await.unwrap();
    });
    assert_eq!(told(sent.recv().unwrap()).0.fields["kind"], "local");
    let blocking = runtime.spawn_blocking(|| ());
    let id = blocking.id();
    runtime.block_on(blocking).unwrap();
    let (new, rest) = told(id);
    assert_eq!((new.fields["kind"].as_str(), new.fields["task.name"].as_str()), ("blocking", ""));
    assert_eq!(rest, ["enter", "exit", "close"]);
}

#[test]
fn a_task_that_panics_or_is_aborted_leaves_no_span() {
    let runtime = runtime();
    let panicked = runtime.spawn(async { panic!("of a test") });
    let id = panicked.id();
    assert!(runtime.block_on(panicked).unwrap_err().is_panic());
    assert_eq!(told(id).1, ["enter", "exit", "close"]);
    let aborted = runtime.spawn(std::future::pending::<()>());
    let id = aborted.id();
    aborted.abort();
    assert!(runtime.block_on(aborted).unwrap_err().is_cancelled());
    assert_eq!(told(id).1.iter().filter(|told| *told == "close").count(), 1);
}

#[test]
fn a_slow_poll_is_an_event() {
    writer();
    // Reported when it is rescued, and not before.
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).slow_poll(SOON * 100).build().unwrap();
    let (door, closed) = mpsc::channel::<()>();
    let blocker = task::Builder::new().name("the blocker");
    let task = blocker.spawn_on(async move { _ = closed.recv() }, runtime.handle()).unwrap();
    let start = Instant::now();
    let event = loop {
        let all = writer().told.lock().unwrap().clone();
        let id = task.id().to_string();
        let is_its = |told: &Told| told.target == "reiver::slow" && told.fields["task.id"] == id;
        if let Some(event) = all.into_iter().find(is_its) {
            break event;
        }
        assert!(start.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(1));
    };
    drop(door);
    assert_eq!(event.fields["task.name"], "the blocker");
    assert_eq!(event.fields["rescued"], "true");
    assert!(event.fields["elapsed"].parse::<f64>().unwrap() > 0.0);
    assert!(event.fields["message"].contains("blocks its thread"), "{event:?}");
}
