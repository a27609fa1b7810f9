//! Runs a test's future under checks: that it ends in time, and leaves nothing behind.
//!
//! `#[reiver::test(deadline = 5, leak_check = true)]` expands to a call of [`Checks::run`].
//!
//! The deadline is in real time, whatever the clock of the runtime says, and is kept by a thread. At the
//! deadline the future is dropped by a panic that lists the tasks. If the test's thread does not come
//! back for that either, since it blocks, the process is aborted after another deadline: a test that
//! hangs takes the whole run with it, one way or the other, and so at least it says where.

mod descriptor;

use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::{Arc, Mutex, clock, thread};
use crate::runtime::{Builder, Handle, Runtime};
use crate::task::{TaskInfo, yield_now};
use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long tasks that were told to end may take for it before they count as left.
const SETTLE: Duration = Duration::from_millis(500);

/// What a test is checked for.
///
/// # Examples
///
/// ```
/// use reiver::runtime::Builder;
/// use reiver::testing::Checks;
/// use std::time::Duration;
///
/// let checks = Checks::new().deadline(Duration::from_secs(5)).leak_check(true);
/// let sum = checks.run(&mut Builder::new_current_thread(), async { 2 + 2 });
/// assert_eq!(sum, 4);
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "call `run`"]
pub struct Checks {
    deadline: Option<Duration>,
    leaks: bool,
}

impl Checks {
    /// No checks.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the future may take, in real time.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Whether to look for tasks, blocking jobs, timers and registered descriptors that are left on the
    /// runtime when the future has ended. Tasks that were aborted, or are about to end, may do so first. Tasks are listed with
    /// what they wait for, and on Linux descriptors with what they are.
    ///
    /// The listener for signals stays registered once it is used; it counts as a descriptor.
    pub fn leak_check(self, leaks: bool) -> Self {
        Self { leaks, ..self }
    }

    /// Builds a runtime and runs the future on it.
    ///
    /// # Panics
    ///
    /// With the panic of the future, if it is not ready in time, if it leaves something behind, and if
    /// the runtime cannot be built.
    #[track_caller]
    pub fn run<F: Future>(self, builder: &mut Builder, future: F) -> F::Output {
        // What a task waits for is half of why it is left.
        builder.task_records(true);
        let runtime = builder.build().expect("the runtime could not be built");
        let output = match self.deadline {
            Some(deadline) => runtime.block_on(in_time(future, deadline, runtime.handle())),
            None => runtime.block_on(future),
        };
        if self.leaks {
            if let Some(left) = left_behind(&runtime) {
                panic!("left behind at the end of the test:{left}");
            }
        }
        output
    }
}

/// The thread that keeps the deadline, from both sides.
struct Watch {
    state: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

const RUNNING: usize = 0;
const LATE: usize = 1;
const DONE: usize = 2;

/// # Panics
///
/// If the future is not ready at the deadline.
async fn in_time<F: Future>(future: F, deadline: Duration, runtime: &Handle) -> F::Output {
    /// Sends the thread home, also when the test panics.
    struct Done(Arc<Watch>, thread::Thread);

    impl Drop for Done {
        fn drop(&mut self) {
            // Relaxed: nothing is published by it.
            self.0.state.swap(DONE, Relaxed);
            self.1.unpark();
        }
    }

    let watch = Arc::new(Watch { state: AtomicUsize::new(RUNNING), waker: Mutex::new(None) });
    let (theirs, handle) = (watch.clone(), runtime.clone());
    let name = "reiver-deadline".to_owned();
    let thread = thread::Builder::new().name(name).spawn(move || theirs.keep(deadline, &handle));
    let thread = thread.expect("a thread keeps the deadline").thread().clone();
    let watch = Done(watch, thread);
    let mut future = pin!(future);
    poll_fn(|cx| {
        let before = watch.0.waker.lock().replace(cx.waker().clone());
        drop(before);
        // After the waker is there: the thread says that it is late, then looks for the waker.
        // Acquire: pairs with the AcqRel in `keep`; the lock in between orders the two.
        if watch.0.state.load(Acquire) == LATE {
            panic!("not ready after {deadline:?}; the tasks:{}", tasks(runtime));
        }
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl Watch {
    fn keep(&self, deadline: Duration, runtime: &Handle) {
        if self.is_done_within(deadline) {
            return;
        }
        // AcqRel: pairs with the Acquire in `in_time`.
        let late = self.state.compare_exchange(RUNNING, LATE, AcqRel, Relaxed);
        let waker = self.waker.lock().take();
        if let (Ok(_), Some(waker)) = (late, waker) {
            waker.wake();
        }
        if !self.is_done_within(deadline.max(Duration::from_secs(1))) {
            eprintln!(
                "reiver: a test is not ready after {deadline:?}, and its thread is stuck; aborting. \
                 The tasks:{}",
                tasks(runtime)
            );
            std::process::abort();
        }
    }

    fn is_done_within(&self, duration: Duration) -> bool {
        let end = clock::now() + duration;
        loop {
            // Relaxed: nothing is published by it.
            if self.state.load(Relaxed) == DONE {
                return true;
            }
            let left = end.saturating_duration_since(clock::now());
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
    }
}

/// The live tasks, a line each.
fn tasks(runtime: &Handle) -> String {
    let mut lines = String::new();
    for task in runtime.dump() {
        let _ = write!(lines, "\n  {task}");
    }
    if lines.is_empty() { " none".to_owned() } else { lines }
}

fn waits_for_timer(task: &TaskInfo) -> bool {
    task.waiting().is_some_and(|waiting| waiting.has_timer())
}

/// What is left on the runtime, a line each.
fn left_behind(runtime: &Runtime) -> Option<String> {
    let end = clock::now() + SETTLE;
    let (handle, metrics) = (runtime.handle(), runtime.metrics());
    loop {
        let jobs = handle.blocking_jobs();
        let (timers, sources) = (metrics.num_timers(), metrics.num_io_sources());
        if metrics.num_alive_tasks() + jobs.len() + timers + sources == 0 {
            return None;
        }
        if clock::now() >= end {
            let mut lines = tasks(handle);
            for job in &jobs {
                let _ = write!(lines, "\n  blocking job {job:?}");
            }
            let in_tasks = handle.dump().iter().filter(|task| waits_for_timer(task)).count();
            let elsewhere = timers.saturating_sub(in_tasks);
            if elsewhere > 0 {
                let _ = write!(lines, "\n  timers of none of these tasks: {elsewhere}");
            }
            let descriptors = runtime.metrics().io_descriptors();
            for &descriptor in &descriptors {
                let name = descriptor::describe(descriptor);
                let _ = write!(lines, "\n  descriptor {descriptor}: {name}");
            }
            if sources > descriptors.len() {
                let _ = write!(lines, "\n  registered descriptors: {sources}");
            }
            return Some(lines);
        }
        // Lets those go on that are about to end.
        runtime.block_on(yield_now());
        thread::yield_now();
    }
}
