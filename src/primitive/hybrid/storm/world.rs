//! The state of a storm, and what is drawn from its seed.
//!
//! First how the storm blows, so that no two are alike:
//!
//! * *At random*: at each point one of the threads that are ready goes on, after every step or after a
//!   hundred, as is drawn.
//! * *By priorities* (PCT: Burckhardt and others, 2010): whoever is ready and has the highest goes on, and at
//!   a few steps, drawn in advance, the running thread falls behind all others. It finds what needs a thread
//!   to stand still for long. After [`PATIENCE`] steps it goes on at random: priorities starve.
//! * *Time*: whether a deadline may be met while others are ready (then they were slow).
//! * *Mishaps*: whether parks end for no reason, weak exchanges fail, steals must be repeated.

use super::Coroutine;
use crate::primitive::real::{
    self,
    watch::{self, Sample},
};
use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// After so many steps priorities give way to chance.
const PATIENCE: u64 = 30_000;
/// After so many a storm fails: it would not end.
const STEPS: u64 = 3_000_000;
/// What a look at the clock takes, so that time passes for who waits for it in a loop.
const LOOK: Duration = Duration::from_nanos(100);
/// The CPU time of a step, for who asks.
const STEP: Duration = Duration::from_micros(5);
/// How many changes of threads a report shows.
const SHOWN: usize = 30;

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The lock at this address.
    Lock(usize),
    /// Its token, or a time.
    Token {
        /// The virtual time since the storm began.
        until: Option<Duration>,
    },
    /// The end of the thread with this number.
    End(usize),
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    Waits(Wait),
    Done,
}

/// The thread-locals of a thread, by the addresses of their keys.
type Locals = Vec<(usize, Rc<dyn Any>)>;

pub struct Thread {
    pub name: Arc<str>,
    pub coroutine: Option<Coroutine>,
    /// `None` when the thread is ending.
    pub locals: Option<Locals>,
    state: State,
    token: bool,
    /// The higher runs first, under priorities.
    priority: u64,
    steps: u64,
    /// Its last step.
    at: &'static Location<'static>,
}

/// How a storm blows.
enum Style {
    /// One step in so many is the last before a change of threads.
    Random { one_in: u64 },
    /// The steps at which the running thread falls behind, and the next priority behind all others.
    Priorities { changes: Vec<u64>, lowest: u64 },
}

pub struct World {
    pub storm: u64,
    pub threads: Vec<Thread>,
    pub current: usize,
    pub now: Duration,
    pub unique: u64,
    random: u64,
    style: Style,
    /// One change of threads in so many brings the next deadline.
    hurry: u64,
    /// One chance for a mishap in so many is taken; 0: none.
    mishaps: u64,
    /// Under priorities: who is ready has changed.
    look: bool,
    steps: u64,
    changes: u64,
    hash: u64,
    trace: VecDeque<(usize, &'static Location<'static>)>,
}

/// How a storm went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Operations.
    pub steps: u64,
    /// Changes of threads.
    pub changes: u64,
    /// Threads.
    pub threads: usize,
    /// Virtual time.
    pub time: Duration,
    /// Of all that was decided: equal seeds have equal hashes.
    pub hash: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            storm: real::unique_block(1),
            threads: Vec::new(),
            current: 0,
            now: Duration::ZERO,
            unique: 1,
            random: seed,
            style: Style::Random { one_in: 1 },
            hurry: 0,
            mishaps: 0,
            look: false,
            steps: 0,
            changes: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            trace: VecDeque::new(),
        };
        world.hurry = world.one_of([u64::MAX, 2000, 100, 10]);
        world.mishaps = world.one_of([0, 0, 100, 10]);
        if world.below(3) == 0 {
            let depth = world.below(5);
            let horizon = world.one_of([300, 3000, u64::from(u16::MAX)]);
            let changes = (0..depth).map(|_| world.below(horizon)).collect();
            world.style = Style::Priorities { changes, lowest: u64::from(u32::MAX) };
        } else {
            world.style = Style::Random { one_in: world.one_of([1, 2, 5, 20, 100]) };
        }
        world
    }

    /// splitmix64 (Steele and others, 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    fn one_of<const N: usize>(&mut self, choices: [u64; N]) -> u64 {
        choices[self.below(N as u64) as usize]
    }

    pub fn mishap(&mut self) -> bool {
        self.mishaps != 0 && self.below(self.mishaps) == 0
    }

    pub fn outcome(&self) -> Outcome {
        let Self { steps, changes, now, hash, .. } = *self;
        Outcome { steps, changes, threads: self.threads.len(), time: now, hash }
    }

    pub fn add(
        &mut self,
        name: Arc<str>,
        coroutine: Coroutine,
        at: &'static Location<'static>,
    ) -> (u64, usize) {
        let priority = u64::from(u32::MAX) + 1 + self.below(1 << 32);
        self.threads.push(Thread {
            name,
            coroutine: Some(coroutine),
            locals: Some(Vec::new()),
            state: State::Ready,
            token: false,
            priority,
            steps: 0,
            at,
        });
        self.look = true;
        (self.storm, self.threads.len() - 1)
    }

    fn thread(&mut self) -> &mut Thread {
        &mut self.threads[self.current]
    }

    /// A step of the running thread. Whether it is the last before a change of threads.
    pub fn point(&mut self, at: &'static Location<'static>) -> bool {
        self.steps += 1;
        let (steps, thread) = (self.steps, self.thread());
        thread.steps += 1;
        thread.at = at;
        if steps == PATIENCE {
            self.style = Style::Random { one_in: 5 };
        }
        match &mut self.style {
            Style::Random { one_in: 1 } => true,
            Style::Random { one_in } => {
                let one_in = *one_in;
                self.below(one_in) == 0
            }
            Style::Priorities { changes, .. } if changes.contains(&steps) => {
                self.falls_behind();
                true
            }
            Style::Priorities { .. } => self.look,
        }
    }

    fn falls_behind(&mut self) {
        if let Style::Priorities { lowest, .. } = &mut self.style {
            *lowest -= 1;
            let lowest = *lowest;
            self.thread().priority = lowest;
        }
    }

    /// The running thread spins.
    pub fn gives_way(&mut self, at: &'static Location<'static>) {
        self.point(at);
        self.falls_behind();
    }

    /// The running thread waits.
    pub fn wait(&mut self, wait: Wait, at: &'static Location<'static>) {
        let thread = self.thread();
        thread.at = at;
        thread.state = State::Waits(wait);
    }

    /// Makes ready who waits for such a thing.
    pub fn wake(&mut self, is_over: impl Fn(&Wait) -> bool) {
        for thread in &mut self.threads {
            if matches!(&thread.state, State::Waits(wait) if is_over(wait)) {
                thread.state = State::Ready;
                self.look = true;
            }
        }
    }

    /// The running thread ends.
    pub fn ends(&mut self) {
        let number = self.current;
        self.thread().state = State::Done;
        self.wake(|wait| *wait == Wait::End(number));
    }

    pub fn is_done(&self, number: usize) -> bool {
        self.threads[number].state == State::Done
    }

    pub fn unpark(&mut self, number: usize) {
        let thread = &mut self.threads[number];
        thread.token = true;
        if matches!(thread.state, State::Waits(Wait::Token { .. })) {
            thread.state = State::Ready;
            self.look = true;
        }
    }

    pub fn take_token(&mut self) -> bool {
        std::mem::take(&mut self.thread().token)
    }

    pub fn read_clock(&mut self) -> Duration {
        self.now += LOOK;
        self.now
    }

    pub fn sample(&mut self, number: usize) -> Sample {
        let Some(thread) = self.threads.get(number) else {
            return Sample { cpu: None, state: watch::State::Unknown };
        };
        let is_blocked = thread.state != State::Ready;
        let cpu = Some(STEP * thread.steps as u32);
        // Whoever could run may wait in the kernel all the same: for a page, for standard output.
        let state = match is_blocked || self.below(4) == 0 {
            true => watch::State::Blocked,
            false => watch::State::Runnable,
        };
        Sample { cpu, state }
    }

    /// Who goes on; `None` when all have ended.
    pub fn next(&mut self) -> Result<Option<usize>, String> {
        if self.threads.iter().all(|thread| thread.state == State::Done) {
            return Ok(None);
        }
        if self.steps > STEPS {
            return Err(self.report(&format!("no end after {STEPS} steps")));
        }
        if self.hurry != u64::MAX && self.below(self.hurry) == 0 {
            self.pass_time();
        }
        let mut ready = self.ready();
        if ready.is_empty() && self.pass_time() {
            ready = self.ready();
        }
        if ready.is_empty() {
            let what = "deadlock: nobody can go on, and no time is waited for";
            return Err(self.report(what));
        }
        let number = match self.style {
            Style::Random { .. } => ready[self.below(ready.len() as u64) as usize],
            Style::Priorities { .. } => {
                let first = ready.iter().max_by_key(|&&number| self.threads[number].priority);
                *first.expect("not empty")
            }
        };
        self.goes_on(number);
        Ok(Some(number))
    }

    fn goes_on(&mut self, number: usize) {
        self.look = false;
        self.changes += 1;
        // FNV-1a, a word at a time.
        self.hash = (self.hash ^ number as u64 ^ (self.steps << 8)).wrapping_mul(0x100_0000_01b3);
        if number != self.current {
            if self.trace.len() == SHOWN {
                self.trace.pop_front();
            }
            self.trace.push_back((self.current, self.threads[self.current].at));
        }
        self.current = number;
    }

    fn ready(&self) -> Vec<usize> {
        let ready = |&number: &usize| self.threads[number].state == State::Ready;
        (0..self.threads.len()).filter(ready).collect()
    }

    /// Moves the clock to the first deadline. `false`: there is none.
    fn pass_time(&mut self) -> bool {
        let until = |thread: &Thread| match thread.state {
            State::Waits(Wait::Token { until }) => until,
            _ => None,
        };
        let Some(first) = self.threads.iter().filter_map(until).min() else { return false };
        self.now = self.now.max(first);
        let now = self.now;
        self.wake(|wait| matches!(wait, Wait::Token { until: Some(until) } if *until <= now));
        true
    }

    /// What went wrong, who waits for what, and who ran last.
    fn report(&self, what: &str) -> String {
        let mut text = format!("{what}, at {:?}", self.now);
        let mut say = |line: String| write!(text, "\n  {line}").expect("a string takes all");
        for (number, thread) in self.threads.iter().enumerate() {
            let does = match thread.state {
                State::Done => continue,
                State::Ready => "could go on".to_owned(),
                State::Waits(Wait::Token { until: None }) => "is parked".to_owned(),
                State::Waits(Wait::Token { until: Some(at) }) => format!("is parked until {at:?}"),
                State::Waits(Wait::End(other)) => format!("joins {:?}", self.threads[other].name),
                State::Waits(Wait::Lock(address)) => format!("waits for the lock at {address:#x}"),
            };
            say(format!("thread {number} {:?} {does}, at {}", thread.name, thread.at));
        }
        say("the last steps before changes of threads:".to_owned());
        for (number, at) in &self.trace {
            say(format!("  {number} {:?} {at}", self.threads[*number].name));
        }
        text
    }
}
