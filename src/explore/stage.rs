//! One execution of a model: a thread for each task, and one for the clock.
//!
//! A task's thread polls it when it is ready, and parks. The clock's thread fires timers, at any moment, as far
//! as loom interleaves it; it is the one that `execute` is called on. Whoever begins to wait looks whether
//! anybody still runs: if not, it is the clock's turn, or this is a deadlock.

use super::child::{self, Said};
use super::report::{End, Event, Failure, HINT, Log, Tasks};
use super::{Verdict, engine};
use crate::primitive::explore::{self, Explorer, Pick};
use crate::primitive::{Arc, StaticMutex, thread};
use crate::scheduler::{self, Engine, Shared};
use crate::task::{self, Id, JoinHandle, Runnable};
use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::time::Duration;

/// Tasks of one execution, the root among them: loom has five threads, and the fifth is the clock.
const TASKS: usize = 4;
/// The stack of a task: bodies are compiled without optimisation.
const STACK: usize = 512 * 1024;
/// Timers that may fire at any moment. Later ones fire when all tasks wait, so that a body with an
/// `interval` ends.
const FREE_FIRES: u32 = 4;

/// One execution. This thread is the clock.
pub(super) fn execute<T: Verdict + 'static>(
    run: child::Run,
    spawn: impl FnOnce(&Arc<Shared>) -> JoinHandle<T> + Send + 'static,
) {
    let world = Arc::new(World { state: StaticMutex::new(State::new(run)) });
    explore::with(world.clone(), || {
        let inner = world.clone();
        world.state.lock().clock = Some(thread::current());
        let root = start(move || {
            let shared = engine::runtime(Box::new(Hand(inner.clone())));
            inner.state.lock().shared = Some(shared.clone());
            let entered = scheduler::enter(shared.clone());
            let mut root = spawn(&shared);
            inner.work(0);
            let said = engine::verdict(&mut root);
            drop((root, entered));
            (shared, said)
        });
        world.keep_time();
        // What follows is the end of every execution, and the same in each.
        explore::stop_exploring();
        let (shared, said) = root.join().expect("a panic ends the process");
        shared.close();
        world.join_all();
        let mut state = world.state.lock();
        state.shared = None;
        let panic = said.as_ref().is_some_and(Failure::is_panic).then(|| state.panic.take());
        if let Some(failure) = state.failure.take().or(panic.flatten()).or(said) {
            state.fail(&failure);
        }
        state.done();
        drop(state);
        shared.driver.timers.shutdown();
    });
}

fn unpark(thread: Option<thread::Thread>) {
    explore::atomically(|| thread.iter().for_each(thread::Thread::unpark));
}

fn start<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().stack_size(STACK).spawn(f).expect("a model has room for its tasks")
}

/// What is modelled. Its lock is a real one, which no step of the model is taken under: all threads of a
/// model are one OS thread.
struct World {
    state: StaticMutex<State>,
}

struct State {
    run: child::Run,
    shared: Option<Arc<Shared>>,
    tasks: Tasks,
    seats: Vec<Seat>,
    clock: Option<thread::Thread>,
    clock_is: Clock,
    /// Since the clock thread has last gone to sleep or looked.
    timer_set: bool,
    fires: u32,
    failure: Option<Failure>,
    panic: Option<Failure>,
    reached: BTreeMap<&'static str, u64>,
    /// Places where a future could be dropped, so far.
    cuts: u32,
    log: Option<Log>,
    now: Duration,
}

/// What the clock thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Runs,
    /// No timer is set.
    Idle,
    /// Enough timers have fired at any moment: it waits until all tasks do.
    Held,
}

/// The thread of a task.
#[derive(Default)]
struct Seat {
    ready: Option<Runnable>,
    thread: Option<thread::Thread>,
    join: Option<thread::JoinHandle<()>>,
    waits: bool,
    end: End,
    /// The task has ended, and so has everything that its end leads to.
    gone: bool,
}

impl World {
    fn enter_and_work(&self, number: u32) {
        let shared = self.state.lock().shared.clone();
        let _entered = shared.map(scheduler::enter);
        self.work(number);
    }

    /// Runs one task until it ends.
    fn work(&self, number: u32) {
        self.state.lock().seat(number).thread = Some(thread::current());
        loop {
            let task = self.next(number);
            self.state.lock().seat(number).end = End::Waits;
            task.run();
            let mut state = self.state.lock();
            let end = state.seat(number).end;
            state.say(Event::Polled { task: number, end });
            if end == End::Ended {
                break;
            }
        }
        let mut state = self.state.lock();
        state.seat(number).gone = true;
        let clock = state.stuck().or(if number == 0 { state.clock.clone() } else { None });
        drop(state);
        unpark(clock);
    }

    fn next(&self, number: u32) -> Runnable {
        loop {
            let mut state = self.state.lock();
            if let Some(task) = state.seat(number).ready.take() {
                return task;
            }
            state.seat(number).waits = true;
            let clock = state.stuck();
            drop(state);
            unpark(clock);
            thread::park();
        }
    }

    /// Fires timers, until the root has ended.
    fn keep_time(&self) {
        loop {
            let shared = match &*self.state.lock() {
                state if state.has_ended() => return,
                state => state.shared.clone(),
            };
            let armed =
                shared.as_ref().is_some_and(|shared| shared.driver.timers.earliest().is_some());
            let mut state = self.state.lock();
            if !armed && std::mem::take(&mut state.timer_set) {
                // The look may have been too early; the token that is there brings the sight of it.
                drop(state);
                thread::park();
                continue;
            }
            let fires = armed && (state.fires < FREE_FIRES || state.all_wait());
            state.clock_is = match fires {
                true => Clock::Runs,
                false if armed => Clock::Held,
                false => Clock::Idle,
            };
            if !fires {
                // Nobody but the clock would be woken, and it is this thread.
                let _ = state.stuck();
                drop(state);
                thread::park();
                continue;
            }
            state.fires += 1;
            drop(state);
            if let Some(shared) = shared {
                self.fire(&shared);
            }
        }
    }

    fn fire(&self, shared: &Shared) {
        shared.pass_time(Duration::ZERO);
        let mut state = self.state.lock();
        if state.log.is_some() {
            drop(state);
            let now = shared.driver.clock().now();
            state = self.state.lock();
            state.now = now.duration_since(crate::primitive::clock::origin());
            state.say(Event::Time);
        }
    }

    fn join_all(&self) {
        for at in 0..TASKS {
            let join = self.state.lock().seats.get_mut(at).and_then(|seat| seat.join.take());
            if let Some(join) = join {
                join.join().expect("a panic ends the process");
            }
        }
    }
}

impl State {
    fn new(run: child::Run) -> Self {
        Self {
            log: run.is_reported().then(Log::default),
            run,
            shared: None,
            tasks: Tasks::default(),
            seats: Vec::new(),
            clock: None,
            clock_is: Clock::Runs,
            timer_set: false,
            fires: 0,
            failure: None,
            panic: None,
            reached: BTreeMap::new(),
            cuts: 0,
            now: Duration::ZERO,
        }
    }

    fn seat(&mut self, number: u32) -> &mut Seat {
        &mut self.seats[number as usize]
    }

    fn has_ended(&self) -> bool {
        self.seats.first().is_some_and(|root| root.gone)
    }

    fn all_wait(&self) -> bool {
        let mut seats = self.seats.iter();
        !self.seats.is_empty() && seats.all(|seat| seat.waits || seat.gone)
    }

    /// Called by who begins to wait: if nobody runs any more, either it is time for the clock, which is to
    /// be woken, or this is a deadlock.
    fn stuck(&mut self) -> Option<thread::Thread> {
        if !self.all_wait() || self.has_ended() {
            return None;
        }
        match self.clock_is {
            Clock::Runs => None,
            Clock::Held => {
                self.clock_is = Clock::Runs;
                self.clock.clone()
            }
            Clock::Idle => {
                let text = self.tasks.waiting();
                self.fail(&Failure::new(format!(
                    "deadlock: every task waits and no timer is set.{text}{HINT}"
                )))
            }
        }
    }

    fn say(&mut self, event: Event) {
        if let Some(log) = &mut self.log {
            log.note(self.now, &self.tasks, event);
        }
    }

    fn fail(&self, failure: &Failure) -> ! {
        let log = self.log.as_ref().map_or_else(String::new, |log| log.text(&self.tasks));
        self.run.say(&Said::Failed { text: failure.text.clone(), log })
    }

    fn done(&mut self) {
        let reached = std::mem::take(&mut self.reached);
        self.run.done(self.tasks.len(), self.fires, self.cuts, reached);
    }

    /// The task that is polled by the caller.
    fn current(&self) -> Option<u32> {
        task::try_id().and_then(|id| self.tasks.known(id))
    }
}

impl Explorer for World {
    fn pick(&self, what: Pick, n: u32) -> u32 {
        if what == Pick::Start {
            return self.state.lock().run.start(n);
        }
        if what == Pick::Preempt {
            let mut state = self.state.lock();
            if let Some(task) = state.current().filter(|_| state.log.is_some()) {
                state.say(Event::At { task, stack: Backtrace::force_capture() });
            }
        }
        assert!(
            what != Pick::User,
            "`choose` is for `#[reiver::sim]`: a model has no choices but orders"
        );
        0
    }

    fn waker_cloned(&self) {
        let mut state = self.state.lock();
        if let Some(number) = state.current().filter(|_| state.log.is_some()) {
            state.tasks.waits(number, Backtrace::force_capture());
        }
    }

    fn panic_lost(&self) {
        let mut state = self.state.lock();
        let panic = state.panic.take();
        state.failure = state.failure.take().or(panic);
    }

    fn panicked(&self, text: &str) -> bool {
        let Some(mut state) = self.state.try_lock() else { return true };
        let title = state.current().map_or("", |number| state.tasks.title(number)).to_owned();
        let failure = Failure { kind: text.to_owned(), text: format!("{title} {text}") };
        // loom's own: no code of the user's may catch it and go on.
        if text.contains("/loom-0.") || text.contains("/generator-0.") {
            state.fail(&failure);
        }
        state.say(Event::Said(failure.text.clone()));
        state.panic = Some(failure);
        false
    }

    fn cancels(&self) -> bool {
        let mut state = self.state.lock();
        state.cuts += 1;
        let cut = state.cuts - 1;
        let is_here = state.run.is_cut(cut);
        if is_here {
            state.say(Event::Said("a future is dropped where it waits".to_owned()));
        }
        is_here
    }

    fn reached(&self, label: &'static str) {
        *self.state.lock().reached.entry(label).or_default() += 1;
    }

    fn name(&self) -> &'static str {
        "a model"
    }
}

/// What the runtime has of the world.
struct Hand(Arc<World>);

impl Engine for Hand {
    fn ready(&self, task: Runnable) {
        let mut state = self.0.state.lock();
        let (number, is_new) = state.tasks.number(task.header());
        if !is_new {
            let seat = state.seat(number);
            seat.ready = Some(task);
            seat.waits = false;
            if seat.end == End::Waits {
                seat.end = End::Again;
            }
            let thread = seat.thread.clone();
            drop(state);
            return unpark(thread);
        }
        if number as usize == TASKS {
            state.fail(&Failure::new(format!(
                "{} is one task too many: a model has room for {TASKS}, the body among them, closures \
                 of `spawn_blocking` too, and those that have ended. Larger programs are for \
                 `#[reiver::sim]`",
                state.tasks.title(number)
            )));
        }
        state.seats.push(Seat { ready: Some(task), ..Seat::default() });
        drop(state);
        if number > 0 {
            let world = self.0.clone();
            let join = start(move || world.enter_and_work(number));
            self.0.state.lock().seat(number).join = Some(join);
        }
    }

    fn ended(&self, task: Id) {
        let mut state = self.0.state.lock();
        if let Some(number) = state.tasks.end(task) {
            state.seat(number).end = End::Ended;
        }
    }

    fn timer_set(&self) {
        let mut state = self.0.state.lock();
        state.clock_is = Clock::Runs;
        state.timer_set = true;
        let clock = state.clock.clone();
        drop(state);
        unpark(clock);
    }

    fn home(&self) -> usize {
        self.0.state.lock().seats.len()
    }
}
