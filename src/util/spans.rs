//! What `tracing` hears (the feature `tracing`): a span for each task, its wakers' events, and reports.
//!
//! The names and fields are those that `console-subscriber` knows: a span `runtime.spawn`, entered at each
//! poll and closed when the task ends, and events of the target `runtime::waker` with the number of that span. So
//! tokio-console shows a program on reiver, labels and all.
//!
//! Whether anybody wants a span is asked once a spawn, and whether somebody wants events of wakers at each of them: a
//! load and a comparison while nobody listens. `no_spans.rs` is the same without the feature.
//!
//! A subscriber is user code. It is called where wakers are cloned, which some primitives do under a lock of theirs:
//! it must not use the primitive whose event it is told.

use crate::primitive::StaticMutex;
use std::fmt;
use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;
use tracing::{Level, Span, enabled, trace, trace_span, warn};

/// Room for a task's span in its cell.
#[derive(Default)]
pub(crate) struct Place(OnceLock<TaskSpan>);

impl Place {
    /// Makes the span of a task that was spawned.
    pub(crate) fn fill(&self, task: &New<'_>) {
        let _ = self.0.set(TaskSpan::new(task));
    }

    pub(crate) fn get(&self) -> Option<&TaskSpan> {
        self.0.get()
    }
}

/// A new task.
pub(crate) struct New<'a> {
    pub(crate) kind: &'static str,
    pub(crate) name: Option<&'a str>,
    pub(crate) id: u64,
    pub(crate) size: usize,
    pub(crate) location: &'static Location<'static>,
}

/// A task's span, until the task has ended, and its number, which its wakers need longer.
pub(crate) struct TaskSpan {
    number: Option<u64>,
    /// Not there while the task is polled. No model sees the lock: who has RUNNING has no rival.
    span: StaticMutex<Option<Span>>,
}

impl TaskSpan {
    fn new(task: &New<'_>) -> Self {
        let span = trace_span!(
            target: "reiver::task",
            parent: None,
            "runtime.spawn",
            kind = %task.kind,
            task.name = %task.name.unwrap_or_default(),
            task.id = task.id,
            original_size.bytes = task.size as u64,
            size.bytes = task.size as u64,
            loc.file = task.location.file(),
            loc.line = task.location.line(),
            loc.col = task.location.column(),
        );
        let number = span.id().map(|id| id.into_u64());
        Self { number, span: StaticMutex::new(Some(span)) }
    }

    fn take(&self) -> Option<Span> {
        self.span.lock().take()
    }

    /// The task has ended.
    pub(crate) fn close(&self) {
        drop(self.take());
    }

    /// Something happens to one of its wakers.
    pub(crate) fn waker(&self, op: &'static str) {
        if let Some(number) = self.number {
            trace!(target: "runtime::waker", op, task.id = number);
        }
    }
}

/// Polls inside a span, if there is one. A poll that panics is the last, and closes it.
pub(crate) fn within<R>(task: Option<&TaskSpan>, poll: impl FnOnce() -> R) -> R {
    let Some((task, span)) = task.and_then(|task| Some((task, task.take()?))) else {
        return poll();
    };
    let result = span.in_scope(poll);
    *task.span.lock() = Some(span);
    result
}

/// Whether anybody wants to know of a task that is spawned now.
#[inline]
pub(crate) fn are_wanted() -> bool {
    enabled!(target: "reiver::task", Level::TRACE)
}

/// Whether anybody wants to know of wakers.
#[inline]
pub(crate) fn wakers_are_wanted() -> bool {
    enabled!(target: "runtime::waker", Level::TRACE)
}

/// Reports what took too long. `false`: nobody listens.
pub(crate) fn report(
    slow: &dyn fmt::Display,
    task: Option<u64>,
    name: Option<&str>,
    elapsed: Duration,
    rescued: bool,
) -> bool {
    if !enabled!(target: "reiver::slow", Level::WARN) {
        return false;
    }
    let elapsed = elapsed.as_secs_f64();
    warn!(target: "reiver::slow", { task.id = task, task.name = name, elapsed, rescued }, "{slow}");
    true
}
