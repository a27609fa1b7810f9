//! `#[reiver::sim]`: a whole program simulated on one thread, again and again, each time otherwise.
//!
//! The guide with worked examples is [`reiver::docs::testing`](crate::docs::testing).

use super::choices::{self, Choices, Policy, Schedule, Taken};
use super::engine;
use super::report::{End, Event, Failure, Log, Tasks, catch_panics};
use super::{Verdict, seeds, test_name};
use crate::primitive::explore::{self, Explorer, Pick};
use crate::primitive::{Arc, Mutex, thread};
use crate::scheduler::{self, Engine, Shared};
use crate::task::{self, Id, JoinHandle, Runnable};
use pin_project_lite::pin_project;
use std::backtrace::Backtrace;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub use super::pipe::{Pipe, duplex};

/// Every so many seeds are run twice, to see that they do the same.
const TWICE: u64 = 64;
/// Runs spent on making a failing schedule short.
const SHRINKING: usize = 500;
/// How late timers may be.
const LATE: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50), Duration::from_secs(2)];

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
    name: String,
    file: &'static str,
    location: &'static Location<'static>,
    seeds: u64,
    steps: u64,
    buggify: bool,
    refusals: bool,
    must_reach: Vec<&'static str>,
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

/// One run, done.
struct Run {
    failure: Option<Failure>,
    taken: Vec<Taken>,
    schedule: Schedule,
    hash: u64,
    tasks: usize,
    reached: BTreeMap<&'static str, u64>,
    log: String,
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
        }
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

    /// Whether `try_acquire`, `try_lock`, `try_send` and their like may fail, in some runs, though
    /// nothing is in their way. Off unless set: a test may know that nothing is.
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
                let noted = kept.note(&found.seed());
                panic!("{found}{noted}");
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
        let policy = Policy::parse(seed.trim());
        let policy = policy.unwrap_or_else(|| panic!("REIVER_SEED={seed} is no seed of a simulation"));
        let run = self.once(&policy, &body, true);
        run.failure.clone().map(|failure| self.found(failure, policy, 1, &run))
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
            return self.hollow(format!("{}\nthe first said: {}", not_deterministic(run, &again), failure.text));
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
        let name = self.name.rsplit("::").next().unwrap_or_default();
        let report = format!(
            "sim {} failed in run {number}: {}\n\nwhat happened, in virtual time:{}\n\n\
             to see it again: REIVER_SEED={policy} cargo test {name}\n",
            self.name, failure.text, run.log
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
        catch_panics();
        let world = Arc::new(World::new(self, policy, report));
        let failure = explore::with(world.clone(), || {
            let shared = engine::runtime(Box::new(Hand(world.clone())));
            let _entered = scheduler::enter(shared.clone());
            let mut root = engine::spawn_root(&shared, body(), self.location);
            let stopped = world.run(&shared, &root, self.steps);
            let said = match root.is_finished() {
                true => engine::verdict(&mut root),
                false => None,
            };
            let mut state = world.state.lock();
            // A panic of the body says more about itself.
            let panic = said.as_ref().is_some_and(Failure::is_panic).then(|| state.panic.take());
            let failure = state.failure.take().or(stopped).or(panic.flatten()).or(said);
            drop(state);
            drop(root);
            world.end(&shared);
            failure
        });
        let state = world.state.lock();
        Run {
            failure,
            taken: state.choices.taken.clone(),
            schedule: state.choices.schedule(),
            hash: state.choices.hash(),
            tasks: state.tasks.len(),
            reached: state.reached.clone(),
            log: state.log.as_ref().map_or_else(String::new, |log| log.text(&state.tasks)),
        }
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

/// What is simulated.
struct World {
    thread: thread::ThreadId,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    choices: Choices,
    ready: VecDeque<(u32, Runnable)>,
    tasks: Tasks,
    current: Option<u32>,
    /// What is known so far of how the current poll ends.
    end: End,
    /// The first thing that went wrong beside the body's own end.
    failure: Option<Failure>,
    /// The last panic, which is a failure only if nobody takes it from a handle.
    panic: Option<Failure>,
    reached: BTreeMap<&'static str, u64>,
    disturbed: Disturbed,
    log: Option<Log>,
    now: Duration,
}

/// How a run is disturbed.
#[derive(Clone, Copy, Default)]
struct Disturbed {
    /// Time may pass while tasks are ready.
    slow: bool,
    preempt: bool,
    late: bool,
    short: bool,
    refuse: bool,
}

enum Next {
    Poll(u32, Runnable),
    Time(Duration),
    Nothing,
}

impl World {
    fn new(sim: &Sim, policy: &Policy, report: bool) -> Self {
        let mut choices = Choices::new(policy);
        let mut disturbed = Disturbed::default();
        if sim.buggify {
            let mut flip = || choices.pick(Pick::Swarm, 2) == 1;
            disturbed.slow = flip();
            disturbed.preempt = flip();
            disturbed.late = flip();
            disturbed.short = flip();
        }
        disturbed.refuse = sim.refusals && choices.pick(Pick::Swarm, 2) == 1;
        let state = State {
            choices,
            ready: VecDeque::new(),
            tasks: Tasks::default(),
            current: None,
            end: End::Waits,
            failure: None,
            panic: None,
            reached: BTreeMap::new(),
            disturbed,
            log: report.then(Log::default),
            now: Duration::ZERO,
        };
        Self {
            thread: thread::current().id(),
            started: crate::primitive::clock::origin(),
            state: Mutex::new(state),
        }
    }

    /// Runs until the root ends. Gives what stopped it before.
    fn run<T>(&self, shared: &Arc<Shared>, root: &JoinHandle<T>, steps: u64) -> Option<Failure> {
        for _ in 0..steps {
            if root.is_finished() || self.state.lock().failure.is_some() {
                return None;
            }
            let armed = shared.driver.timers.earliest().is_some();
            let next = self.state.lock().next(armed);
            match next {
                Next::Poll(number, task) => self.poll(number, task),
                Next::Time(late) => {
                    shared.pass_time(late);
                    let mut state = self.state.lock();
                    state.now = shared.driver.clock().now().duration_since(self.started);
                    let now = state.now.as_nanos() as u64;
                    state.choices.note(now);
                    state.say(Event::Time);
                }
                Next::Nothing => {
                    let text = self.state.lock().tasks.waiting();
                    return Some(Failure {
                        kind: "deadlock".to_owned(),
                        text: format!("deadlock: nothing is ready and no timer is set.{text}"),
                    });
                }
            }
        }
        let text = format!(
            "no end after {steps} steps: a task that always wakes itself, or a body that is longer \
             than `steps` allows"
        );
        Some(Failure::new(text))
    }

    fn poll(&self, number: u32, task: Runnable) {
        {
            let mut state = self.state.lock();
            (state.current, state.end) = (Some(number), End::Waits);
            state.choices.note(u64::from(number));
        }
        task.run();
        let mut state = self.state.lock();
        state.current = None;
        let end = state.end;
        state.say(Event::Polled { task: number, end });
    }

    /// Cancels what is left and lets it end.
    fn end(&self, shared: &Arc<Shared>) {
        shared.close();
        loop {
            let Some((_, task)) = self.state.lock().ready.pop_front() else { break };
            task.run();
        }
        shared.driver.timers.shutdown();
    }
}

impl State {
    fn next(&mut self, armed: bool) -> Next {
        if self.ready.is_empty() {
            if !armed {
                return Next::Nothing;
            }
            let late = match self.disturbed.late {
                true => LATE[self.choices.pick(Pick::Late, LATE.len() as u32) as usize],
                false => Duration::ZERO,
            };
            return Next::Time(late);
        }
        let numbers: Vec<u32> = self.ready.iter().map(|(number, _)| *number).collect();
        let at = self.choices.pick_task(&numbers, armed && self.disturbed.slow) as usize;
        match self.ready.remove(at) {
            Some((number, task)) => Next::Poll(number, task),
            None => Next::Time(Duration::ZERO),
        }
    }

    fn say(&mut self, event: Event) {
        if let Some(log) = &mut self.log {
            log.note(self.now, &self.tasks, event);
        }
    }
}

impl Explorer for World {
    fn pick(&self, what: Pick, n: u32) -> u32 {
        let mut state = self.state.lock();
        let on = match what {
            Pick::Preempt => state.disturbed.preempt,
            Pick::Short => state.disturbed.short,
            Pick::Refuse => state.disturbed.refuse,
            _ => true,
        };
        // What runs after the end is no part of the run.
        let Some(current) = state.current.filter(|_| on) else { return 0 };
        let pick = state.choices.pick(what, n);
        if (what, pick) == (Pick::Preempt, 1) {
            state.end = End::GivesWay;
            if state.log.is_some() {
                state.tasks.waits(current, Backtrace::force_capture());
            }
        }
        pick
    }

    fn waker_cloned(&self) {
        let mut state = self.state.lock();
        let Some(number) = state.current.filter(|_| state.log.is_some()) else { return };
        // Wakers are also cloned by the tasks that wake.
        if task::try_id().and_then(|id| state.tasks.known(id)) == Some(number) {
            state.tasks.waits(number, Backtrace::force_capture());
        }
    }

    fn panic_lost(&self) {
        let mut state = self.state.lock();
        let panic = state.panic.take();
        state.failure = state.failure.take().or(panic);
    }

    fn panicked(&self, text: &str) -> bool {
        // Not from under our own lock.
        let Some(mut state) = self.state.try_lock() else { return true };
        let title = state.current.map_or("", |number| state.tasks.title(number)).to_owned();
        let failure = Failure { kind: text.to_owned(), text: format!("{title} {text}") };
        state.say(Event::Said(failure.text.clone()));
        state.panic = Some(failure);
        false
    }

    fn cancels(&self) -> bool {
        self.pick(Pick::Cancel, 2) == 1
    }

    fn reached(&self, label: &'static str) {
        *self.state.lock().reached.entry(label).or_default() += 1;
    }

    fn name(&self) -> &'static str {
        "a simulation"
    }
}

/// What the runtime has of the world.
struct Hand(Arc<World>);

impl Engine for Hand {
    fn ready(&self, task: Runnable) {
        let mut state = self.0.state.lock();
        let (number, _) = state.tasks.number(task.header());
        if thread::current().id() != self.0.thread {
            let title = state.tasks.title(number).to_owned();
            state.failure = Some(Failure::new(format!(
                "{title} was woken by a thread that is no part of the simulation: use `spawn` and \
                 `spawn_blocking` instead of std's threads"
            )));
        }
        if state.current == Some(number) && state.end == End::Waits {
            state.end = End::Again;
        }
        state.ready.push_back((number, task));
    }

    fn ended(&self, task: Id) {
        let mut state = self.0.state.lock();
        let number = state.tasks.end(task);
        if number.is_some() && number == state.current {
            state.end = End::Ended;
        }
    }

    fn timer_set(&self) {}

    fn home(&self) -> usize {
        0
    }
}
