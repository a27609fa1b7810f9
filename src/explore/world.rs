//! One run of a simulation: the ready tasks, the clock, and a decision at each step.

use super::choices::{Choices, Policy, Schedule, Taken};
use super::report::{End, Event, Failure, HINT, Log, Tasks, catch_panics};
use super::sim::Sim;
use super::still::Watched;
use super::{Verdict, engine};
use crate::primitive::explore::{self, Explorer, Pick};
use crate::primitive::{Arc, Mutex, thread, unique_block};
use crate::scheduler::{self, Engine, Shared};
use crate::sync::debug;
use crate::task::{self, Id, JoinHandle, Runnable};
use std::backtrace::Backtrace;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::time::{Duration, Instant};

/// How late timers may be.
const LATE: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50), Duration::from_secs(2)];

/// One run, done.
pub(super) struct Run {
    pub(super) failure: Option<Failure>,
    pub(super) taken: Vec<Taken>,
    pub(super) schedule: Schedule,
    pub(super) hash: u64,
    pub(super) tasks: usize,
    pub(super) reached: BTreeMap<&'static str, u64>,
    pub(super) log: String,
}

/// Runs `body` once.
pub(super) fn run<F>(sim: &Sim, policy: &Policy, body: &impl Fn() -> F, report: bool) -> Run
where
    F: Future + 'static,
    F::Output: Verdict,
{
    catch_panics();
    if report {
        debug::note_all();
    }
    let world = Arc::new(World::new(sim, policy, report));
    let failure = explore::with(world.clone(), || {
        let shared = engine::runtime(Box::new(Hand(world.clone())));
        let _entered = scheduler::enter(shared.clone());
        let mut root = engine::spawn_root(&shared, body(), sim.location);
        let stopped = world.run(&shared, &root, sim.steps);
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

/// What is simulated.
struct World {
    thread: thread::ThreadId,
    started: Instant,
    watched: Watched,
    network: u64,
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
            watched: Watched::new(&sim.name, policy),
            network: unique_block(1),
            state: Mutex::new(state),
        }
    }

    /// Runs until the root ends. Gives what stopped it before.
    fn run<T>(&self, shared: &Arc<Shared>, root: &JoinHandle<T>, steps: u64) -> Option<Failure> {
        for _ in 0..steps {
            if root.is_finished() || self.state.lock().failure.is_some() {
                return None;
            }
            // What the sockets have: nobody else waits for it.
            if let Some(mut turn) = shared.driver.try_turn() {
                turn.run(Some(Duration::ZERO));
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
                        text: format!(
                            "deadlock: nothing is ready and no timer is set.{text}{HINT}"
                        ),
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
        self.watched.poll(number, task);
        let mut state = self.state.lock();
        state.current = None;
        let end = state.end;
        state.say(Event::Polled { task: number, end });
    }

    /// Cancels what is left and lets it end.
    fn end(&self, shared: &Arc<Shared>) {
        shared.close();
        loop {
            let Some((number, task)) = self.state.lock().ready.pop_front() else { break };
            self.watched.poll(number, task);
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

    fn network(&self) -> Option<u64> {
        Some(self.network)
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
