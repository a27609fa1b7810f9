//! Runs models: what every file beside this folder begins with.
//!
//! A model is a closure that loom runs again and again, once for every order of its threads' steps
//! and every value a load may return. This harness adds what loom does not do:
//!
//! * **Its own process.** loom turns most deadlocks into an abort, which would end every other test
//!   of the binary. So a test runs itself again in a child, by its name.
//! * **Proof that something ran.** loom passes silently after one execution, or when the test's name
//!   in `model("…")` is misspelt. The child must say that it finished, must have run more than one
//!   execution, and must have met every label given to [`must_reach`].
//! * **An end.** A model that does not finish in [`LIMIT`] fails, instead of hanging the suite.
//!
//! * **Speed.** A plain `cargo test` has room for [`QUICK`] a model, which is CPU time: a model that takes
//!   ten times as much fails, and one that takes more says so. (A busy machine makes CPU time longer too.)
//!
//! `REIVER_MODEL=thorough` raises every preemption bound by one and the limit to an hour, and then goes on
//! without a bound for [`UNBOUNDED`], which many models get through.
//! Debugging: `cargo test -p loom-tests --test FILE NAME -- --nocapture` with `LOOM_LOG=trace`,
//! `LOOM_LOCATION=1`, or `LOOM_CHECKPOINT_FILE=/tmp/path.json LOOM_CHECKPOINT_INTERVAL=1`, which
//! replays the failing execution alone on the next run. `REIVER_MODEL_BACKTRACE=1` allows
//! backtraces; they may overflow a model thread's small stack.

#![allow(dead_code, unused_imports)] // each test file uses its own part

pub mod drive;
pub mod poison;
pub mod storms;

use reiver_model::internals::primitive as facade;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long one model may take, unless [`Model::limit`] says otherwise.
pub const LIMIT: Duration = Duration::from_secs(600);
/// Says to a child which model it is.
const CHILD: &str = "REIVER_MODEL_CHILD";
/// The CPU time that one model may take in a plain `cargo test`.
pub const QUICK: Duration = Duration::from_secs(5);
/// How long a bounded model goes on without its bound, when all is to be thorough.
const UNBOUNDED: Duration = Duration::from_secs(60);
/// The steps one execution may take before loom calls it endless.
const MAX_BRANCHES: usize = 20_000;

/// How much is explored.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Every execution.
    None,
    /// The executions in which a thread that could go on is interrupted at most so often.
    Preemptions(usize),
}

impl Bound {
    fn preemptions(self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Preemptions(n) => Some(n),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "all"),
            Self::Preemptions(n) => write!(f, "{n} preemptions"),
        }
    }
}

/// Prints a line that a plain `cargo test` shows: libtest keeps what `println!` prints to itself.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The CPU time of this process. That of the wall says little about a model on a busy machine.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Checks `f` in every execution within `bound`. `name` is the name of the test that calls this.
#[track_caller]
pub fn model(name: &str, bound: Bound, f: impl Fn() + Send + Sync + 'static) {
    Model::new(name, bound).check(f);
}

/// A model with options.
#[derive(Debug)]
#[must_use = "a model does nothing until `check`"]
pub struct Model<'a> {
    name: &'a str,
    bound: Bound,
    shadow_loads: bool,
    frees: bool,
    limit: Duration,
    fails_with: Option<&'a str>,
}

impl<'a> Model<'a> {
    /// A model as [`model`] runs it.
    pub fn new(name: &'a str, bound: Bound) -> Self {
        Self { name, bound, shadow_loads: true, frees: false, limit: LIMIT, fails_with: None }
    }

    /// Lets loads go unannounced (see `hybrid/atomic.rs`): far fewer executions, and some of those
    /// of "load, then compare-exchange" are missed.
    pub fn without_shadow_loads(self) -> Self {
        Self { shadow_loads: false, ..self }
    }

    /// Explores what may come after the end of an atomic. For the binaries that poison freed memory
    /// ([`poison`]): there it shows uses after free that no data race gives away.
    pub fn with_frees(self) -> Self {
        Self { frees: true, ..self }
    }

    /// Gives it another time.
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Turns the model round: it must fail, and say `text`. For canaries.
    pub fn fails_with(self, text: &'a str) -> Self {
        Self { fails_with: Some(text), ..self }
    }

    /// Runs the model, in a child process.
    #[track_caller]
    pub fn check(self, f: impl Fn() + Send + Sync + 'static) {
        if std::env::var(CHILD).is_ok_and(|child| child == self.name) {
            return self.check_here(f);
        }
        let output = self.run_child();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let finished = said.lines().find(|line| line.starts_with(&self.finished()));
        let verdict = finished.filter(|_| output.status.success());
        match (self.fails_with, verdict) {
            (None, Some(line)) => tell(line),
            (None, None) if output.status.success() => panic!(
                "no model ran: the name given to `model` must be the test's own, modules included \
                 ({:?} is not)\n{said}",
                self.name
            ),
            (None, None) => {
                panic!("model {} failed ({})\n{}", self.name, output.status, tail(&said))
            }
            (Some(text), None) if said.contains(text) => {
                println!("model {}: fails, as it must, with {text:?}", self.name);
            }
            (Some(text), _) => {
                panic!("model {} must fail with {text:?}, and did not\n{}", self.name, tail(&said))
            }
        }
    }

    /// What the child says last.
    fn finished(&self) -> String {
        format!("model {}: finished, ", self.name)
    }

    fn run_child(&self) -> Output {
        let mut command = Command::new(std::env::current_exe().expect("a test knows its program"));
        command
            .args([self.name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
            .env(CHILD, self.name)
            // Reaching one of these would be a pass.
            .env_remove("LOOM_MAX_PERMUTATIONS")
            .env_remove("LOOM_MAX_DURATION");
        if std::env::var_os("REIVER_MODEL_BACKTRACE").is_none() {
            command.env("RUST_BACKTRACE", "0");
        }
        command.output().expect("a test can start itself")
    }

    fn check_here(&self, f: impl Fn() + Send + Sync + 'static) {
        let thorough = std::env::var("REIVER_MODEL").is_ok_and(|value| value == "thorough");
        let done = Arc::new(AtomicUsize::new(0));
        let hour = Duration::from_secs(3600);
        watch(if thorough { self.limit.max(hour) + UNBOUNDED } else { self.limit }, done.clone());
        let f = Arc::new(f);
        let bound = match self.bound {
            Bound::Preemptions(n) if thorough => Bound::Preemptions(n + 1),
            bound => bound,
        };
        let start = cpu_time();
        self.explore(bound, None, &done, &f);
        let took = cpu_time().saturating_sub(start);

        let executions = done.load(Ordering::Relaxed);
        let labels = std::mem::take(&mut *LABELS.lock().unwrap());
        let missed: Vec<_> = labels.iter().filter(|(_, met)| **met == 0).map(|(l, _)| l).collect();
        assert!(missed.is_empty(), "never reached in {executions} executions: {missed:?}");
        assert!(
            executions >= 2,
            "only {executions} executions: there is nothing to interleave, or loom does not see it"
        );
        assert!(
            thorough || took < 10 * QUICK,
            "{took:.1?} of CPU time for {executions} executions, with room for {QUICK:?}: lower the bound"
        );
        let mut more = String::new();
        if thorough && bound.preemptions().is_some() {
            let all = self.explore(Bound::None, Some(UNBOUNDED), &done, &f);
            let executions = done.load(Ordering::Relaxed) - executions;
            let extent = if all { "all" } else { "not all" };
            more = format!("; without a bound {executions}, {extent}");
        }
        if !thorough && took > QUICK {
            more = format!("; more than {QUICK:?}");
        }
        // On a line of its own: libtest has begun one.
        println!(
            "\n{}{executions} executions ({bound}) in {took:.2?}{more}, reached {labels:?}",
            self.finished(),
        );
    }

    /// Runs `f` in every execution, for at most so long, if it is said. Answers whether these were all.
    fn explore(
        &self,
        bound: Bound,
        limit: Option<Duration>,
        done: &Arc<AtomicUsize>,
        f: &Arc<impl Fn() + Send + Sync + 'static>,
    ) -> bool {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = bound.preemptions();
        if std::env::var_os("LOOM_MAX_BRANCHES").is_none() {
            builder.max_branches = MAX_BRANCHES;
        }
        if limit.is_some() {
            // loom looks at the time when it would write a checkpoint.
            (builder.max_duration, builder.checkpoint_interval) = (limit, 100);
        }
        facade::set_shadow_loads(self.shadow_loads);
        facade::set_frees_are_steps(self.frees);
        let (done, f) = (done.clone(), f.clone());
        let start = Instant::now();
        facade::run_model(|| {
            builder.check(move || {
                done.fetch_add(1, Ordering::Relaxed);
                facade::begin_execution();
                f();
            });
        });
        limit.is_none_or(|limit| start.elapsed() < limit)
    }
}

/// Ends the process if the model does not finish in time.
fn watch(limit: Duration, executions: Arc<AtomicUsize>) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        let executions = executions.load(Ordering::Relaxed);
        eprintln!(
            "not finished after {limit:?} and {executions} executions: make the model smaller, or bound it"
        );
        std::process::abort();
    });
}

fn tail(text: &str) -> &str {
    let start = text.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
    &text[start..]
}

/// Labels and how often they were met. A child has one model.
static LABELS: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());

/// Demands that some execution meets each of these. Call it before [`model`] or inside.
pub fn must_reach(labels: &[&'static str]) {
    let mut all = LABELS.lock().unwrap();
    for label in labels {
        all.entry(label).or_insert(0);
    }
}

/// Notes that this execution got here.
pub fn reached(label: &'static str) {
    *LABELS.lock().unwrap().entry(label).or_insert(0) += 1;
}

/// The threads of a model. There may be 4 beside the model's own, which has a stack of 32 KiB
/// (the others: 128): let it spawn and join.
pub mod thread {
    pub use super::facade::thread::{JoinHandle, Thread, current, park, yield_now};

    /// Starts a thread.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        super::facade::thread::Builder::new().spawn(f).expect("a model can start a thread")
    }

    /// Makes what needs more stack than the model's own, as a wheel of timers does without optimisation.
    #[track_caller]
    pub fn made_apart<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
        spawn(f).join().unwrap()
    }
}
