//! `#[reiver::sim]`: a whole program simulated on one thread, again and again, each time otherwise.
//!
//! The guide with worked examples is [`reiver::docs::testing`](crate::docs::testing).

use super::choices::{self, Policy};
use super::report::Failure;
use super::world::{self, Run};
use super::{Verdict, child, seeds, test_command, test_name};
use crate::primitive::explore::{self, Pick};
use pin_project_lite::pin_project;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use super::pipe::{Pipe, duplex};

/// Every so many seeds are run twice, to see that they do the same.
const TWICE: u64 = 64;
/// Runs spent on making a failing schedule short.
const SHRINKING: usize = 500;

/// A choice of the test's own: a number below `n`, another one in other runs.
///
/// A search through all schedules tries each number; otherwise they come from the seed. It is how a test
/// makes everything that is random: which request fails, how many clients there are.
///
/// # Panics
///
/// Outside a simulation, and if `n` is 0.
///
/// # Examples
///
/// ```ignore
/// // In a crate with the feature `model`:
/// #[reiver::sim]
/// async fn a_retry_helps() {
///     let failures = reiver::sim::choose(3);
///     // …
/// }
/// ```
#[track_caller]
pub fn choose(n: u32) -> u32 {
    assert!(n > 0, "there is nothing to choose from");
    explore::current().expect("`choose` needs a simulation around it").pick(Pick::User, n)
}

/// Runs a future that may be dropped wherever it waits. `None`: it was.
///
/// The simulation or model decides: right after it began to wait, or when it was woken and before it goes
/// on, as a `select!` or `timeout` around it might. Elsewhere it just runs.
///
/// # Examples
///
/// ```ignore
/// // In a crate with the feature `model`:
/// #[reiver::sim]
/// async fn a_dropped_receive_loses_nothing() {
///     let (tx, mut rx) = reiver::sync::mpsc::channel(1);
///     tx.try_send(1).unwrap();
///     let value = match reiver::sim::cancel_anywhere(rx.recv()).await {
///         Some(value) => value,
///         None => rx.recv().await,
///     };
///     assert_eq!(value, Some(1));
/// }
/// ```
pub fn cancel_anywhere<F: Future>(future: F) -> CancelAnywhere<F> {
    CancelAnywhere { future: Some(future), waited: false }
}

pin_project! {
    /// The future of [`cancel_anywhere`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct CancelAnywhere<F> {
        #[pin]
        future: Option<F>,
        waited: bool,
    }
}

impl<F: Future> Future for CancelAnywhere<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let is_cut = || explore::current().is_some_and(|explorer| explorer.cancels());
        if !(*this.waited && is_cut()) {
            let future = this.future.as_mut().as_pin_mut().expect("polled after it ended");
            if let Poll::Ready(output) = future.poll(cx) {
                return Poll::Ready(Some(output));
            }
            *this.waited = true;
            if !is_cut() {
                return Poll::Pending;
            }
        }
        this.future.set(None);
        Poll::Ready(None)
    }
}

/// A simulation with options: what `#[reiver::sim]` makes of its arguments.
#[derive(Clone, Debug)]
#[must_use = "a simulation does nothing until `run` or `find`"]
pub struct Sim {
    pub(super) name: String,
    file: &'static str,
    pub(super) location: &'static Location<'static>,
    seeds: u64,
    pub(super) steps: u64,
    pub(super) buggify: bool,
    pub(super) refusals: bool,
    must_reach: Vec<&'static str>,
    keep_seeds: bool,
}

/// A failure that [`Sim::find`] found.
#[derive(Clone, Debug)]
pub struct Found {
    failure: Failure,
    policy: Policy,
    run: u64,
    report: String,
}

impl Found {
    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.failure.text
    }

    /// What `REIVER_SEED` is set to, or [`Sim::replay`] is given, to see it again.
    pub fn seed(&self) -> String {
        self.policy.to_string()
    }

    /// How many runs it took.
    pub fn run(&self) -> u64 {
        self.run
    }
}

impl fmt::Display for Found {
    /// Everything there is to say: the failure, the steps that led there, and how to see it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report)
    }
}

/// What an exploration without a failure did.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    runs: u64,
    /// All schedules with fewer deviations than this were tried.
    deviations: usize,
    complete: bool,
    tasks: usize,
    reached: BTreeMap<&'static str, u64>,
}

impl Explored {
    /// How many runs there were.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Whether these were all the schedules that there are.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Sim {
    /// A simulation for the test `function` in module `module` of `file`.
    #[track_caller]
    pub fn new(module: &str, function: &str, file: &'static str) -> Self {
        Self {
            name: test_name(module, function),
            file,
            location: Location::caller(),
            seeds: 1000,
            steps: 1_000_000,
            buggify: true,
            refusals: false,
            must_reach: Vec::new(),
            keep_seeds: true,
        }
    }

    /// Whether a failure is added to the file of seeds beside the test. On unless the test has
    /// `#[should_panic]`.
    pub fn keep_seeds(self, keep_seeds: bool) -> Self {
        Self { keep_seeds, ..self }
    }

    /// How many runs there are. `REIVER_SEEDS` overrides it.
    pub fn seeds(self, seeds: u64) -> Self {
        Self { seeds, ..self }
    }

    /// How many steps one run may take before it counts as endless; a million unless set.
    pub fn steps(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// Whether some runs are disturbed in ways that can happen in production: time passes while tasks are
    /// ready, timers are late, operations that are ready give way, pipes move few bytes. On unless set.
    pub fn buggify(self, buggify: bool) -> Self {
        Self { buggify, ..self }
    }

    /// Whether `try_acquire`, `try_lock`, `try_send`, `get_nowait` and their like may fail, in some runs,
    /// though nothing is in their way, and an `mpsc` receiver's `try_recv` and `JoinSet::try_join_next` may
    /// see nothing, though there is something. Off unless set: a test may know better.
    pub fn refusals(self, refusals: bool) -> Self {
        Self { refusals, ..self }
    }

    /// Demands that some run meets each of these labels; see [`reached!`](crate::reached).
    pub fn must_reach(mut self, labels: &[&'static str]) -> Self {
        self.must_reach.extend(labels);
        self
    }

    /// Explores `body`, and fails as a test does if a run fails. What failed before, by the file of
    /// seeds beside the test, comes first; what fails now is added to it.
    ///
    /// # Panics
    ///
    /// With the report.
    pub fn run<F>(self, body: impl Fn() -> F)
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        if let Ok(seed) = std::env::var("REIVER_SEED") {
            return match self.replay(&seed, body) {
                Some(found) => panic!("{found}"),
                None => println!("sim {}: REIVER_SEED={seed} passes", self.name),
            };
        }
        let kept = seeds::Kept::of(self.file, &self.name);
        for seed in kept.seeds() {
            if let Some(found) = self.replay(&seed, &body) {
                panic!("a seed of {} fails again\n{found}", kept.path().display());
            }
        }
        match self.find(body) {
            Ok(explored) => println!("{}", self.describe(&explored)),
            Err(found) => {
                let is_kept = self.keep_seeds && found.run > 0;
                let noted = is_kept.then(|| kept.note(&found.seed()));
                panic!("{found}{}", noted.unwrap_or_default());
            }
        }
    }

    fn describe(&self, explored: &Explored) -> String {
        let extent = match explored.complete {
            true => "all there are".to_owned(),
            false => format!("with all of fewer than {} deviations", explored.deviations),
        };
        let Explored { runs, tasks, reached, .. } = explored;
        format!("sim {}: {runs} schedules, {extent}, {tasks} tasks, reached {reached:?}", self.name)
    }

    /// Runs one seed again: one that [`Found::seed`] gave, or `s` and a number.
    ///
    /// # Panics
    ///
    /// If that is no seed.
    pub fn replay<F>(&self, seed: &str, body: impl Fn() -> F) -> Option<Found>
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        let policy = Policy::parse(seed.trim()).unwrap_or_else(|| panic!("{}", self.no_seed(seed)));
        let run = self.once(&policy, &body, true);
        run.failure.clone().map(|failure| self.found(failure, policy, 1, &run))
    }

    fn no_seed(&self, seed: &str) -> String {
        let what = match child::is_seed(seed) {
            true => "is the seed of a model, and this is a simulation",
            false => "is no seed",
        };
        format!("REIVER_SEED={seed} {what}: {} takes one like s17 or t3:1", self.name)
    }

    /// Explores `body` and gives the first failure, with a short way to it.
    ///
    /// # Errors
    ///
    /// The failure.
    pub fn find<F>(&self, body: impl Fn() -> F) -> Result<Explored, Found>
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        let seeds = std::env::var("REIVER_SEEDS").ok().and_then(|n| n.parse().ok());
        let seeds = seeds.unwrap_or(self.seeds).max(2);
        let mut explored = Explored::default();
        self.systematic(seeds.div_ceil(4), &body, &mut explored)?;
        if !explored.complete {
            for seed in 0..seeds.saturating_sub(explored.runs) {
                self.count(Policy::Random(seed), &body, &mut explored)?;
            }
        }
        let missed: Vec<_> =
            self.must_reach.iter().filter(|label| !explored.reached.contains_key(*label)).collect();
        if !missed.is_empty() {
            let text = format!(
                "never reached in {} runs: {missed:?}. Either the code cannot get there, or the \
                 simulation needs more seeds or other choices",
                explored.runs
            );
            return Err(self.hollow(text));
        }
        if explored.complete && explored.runs == 1 {
            let text = format!(
                "there is only one way to run this ({} tasks, never two of them ready): a simulation \
                 checks nothing here that `#[reiver::test(start_paused = true)]` does not",
                explored.tasks
            );
            return Err(self.hollow(text));
        }
        Ok(explored)
    }

    /// All schedules with no deviation, with one, and so on, for at most `runs` runs.
    fn systematic<F>(
        &self,
        runs: u64,
        body: &impl Fn() -> F,
        explored: &mut Explored,
    ) -> Result<(), Found>
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        loop {
            let mut first = Some(Vec::new());
            let mut more = false;
            while let Some(prefix) = first {
                if explored.runs >= runs {
                    return Ok(());
                }
                let run = self.count(Policy::Systematic(prefix), body, explored)?;
                let (next, passed_over) = choices::next_systematic(&run.taken, explored.deviations);
                first = next;
                more |= passed_over;
            }
            if !more {
                explored.complete = true;
                return Ok(());
            }
            explored.deviations += 1;
        }
    }

    /// Runs once and judges it.
    fn count<F>(
        &self,
        policy: Policy,
        body: &impl Fn() -> F,
        explored: &mut Explored,
    ) -> Result<Run, Found>
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        let run = self.once(&policy, body, false);
        let number = explored.runs;
        explored.runs += 1;
        explored.tasks = explored.tasks.max(run.tasks);
        for (label, times) in &run.reached {
            *explored.reached.entry(label).or_default() += times;
        }
        if let Some(failure) = &run.failure {
            return Err(self.shrunk(failure, &policy, &run, explored.runs, body));
        }
        if number % TWICE == 0 {
            let again = self.once(&policy, body, false);
            if again.hash != run.hash || again.failure.is_some() {
                return Err(self.hollow(not_deterministic(&run, &again)));
            }
        }
        Ok(run)
    }

    /// A failure with as few deviations as lead to it.
    fn shrunk<F>(
        &self,
        failure: &Failure,
        policy: &Policy,
        run: &Run,
        number: u64,
        body: &impl Fn() -> F,
    ) -> Found
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        let again = self.once(policy, body, false);
        if again.hash != run.hash {
            return self.hollow(format!(
                "{}\nthe first said: {}",
                not_deterministic(run, &again),
                failure.text
            ));
        }
        let small = choices::shrink(run.schedule.clone(), SHRINKING, |schedule| {
            let run = self.once(&Policy::Replay(schedule.clone()), body, false);
            run.failure.is_some_and(|it| it.kind == failure.kind)
        });
        let policy = Policy::Replay(small);
        let run = self.once(&policy, body, true);
        self.found(run.failure.clone().unwrap_or_else(|| failure.clone()), policy, number, &run)
    }

    fn found(&self, failure: Failure, policy: Policy, number: u64, run: &Run) -> Found {
        let report = format!(
            "sim {} failed in run {number}: {}\n\nwhat happened, in virtual time:{}\n\n\
             to see it again: REIVER_SEED={policy} {}\n",
            self.name,
            failure.text,
            run.log,
            test_command(&self.name)
        );
        Found { failure, policy, run: number, report }
    }

    /// A failure of the test rather than of what it tests.
    fn hollow(&self, text: String) -> Found {
        let report = format!("sim {}: {text}", self.name);
        Found { failure: Failure::new(text), policy: Policy::Random(0), run: 0, report }
    }

    /// One run.
    fn once<F>(&self, policy: &Policy, body: &impl Fn() -> F, report: bool) -> Run
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        world::run(self, policy, body, report)
    }
}

fn not_deterministic(run: &Run, again: &Run) -> String {
    let place = choices::difference(&run.taken, &again.taken);
    format!(
        "the same seed did two different things ({}). Something decides that the simulation does not \
         know of: the order of a HashMap, std's clock, a random number that is not `sim::choose`'s, a \
         thread of its own, or a static that an earlier run has changed",
        place.unwrap_or_else(|| "after the same decisions".to_owned())
    )
}
