//! The process of a model, and what it tells the one that started it.
//!
//! A failure inside loom often ends in an abort, which would take all other tests with it. So the test
//! starts itself again, by its name, and the child does the exploring. It tells what it found on its
//! standard output; the parent makes the report. A failure is explored a second time, up to the execution
//! that failed and with that one recorded: a model's executions come in the same order each time. Before
//! that it is looked for with lower bounds, which makes it as short as it can be: executions cannot be
//! shrunk, but there may be one with fewer interruptions.
//!
//! Two choices are not loom's, and make *rounds*. A model with futures that may be dropped is explored once
//! with none dropped, then once for each place in the order in which an execution comes to them. One with a
//! fair `select!` is explored once with the first branch looked at first, then once for each further one.

use super::choices::Policy;
use super::model::Model;
use super::still::BLOCKS;
use super::test_command;
use crate::primitive::explore;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::process::{Command, Output, exit};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Says to a child which model it is, its bound, and the one execution that is wanted, if it is one.
const CHILD: &str = "REIVER_MODEL_CHILD";
const BOUND: &str = "REIVER_MODEL_BOUND";
const SEED: &str = "REIVER_MODEL_SEED";
/// The steps one execution may take before loom calls it endless.
const STEPS: usize = 50_000;
const BEGIN: &str = "@reiver model ";
const LOG: &str = "@reiver log";
const END: &str = "@reiver end";

/// One execution of a model: the bound and the round that it is found in, and its number there. Other
/// bounds have other executions of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seed {
    bound: usize,
    round: Round,
    execution: u64,
}

/// What is the same in all executions of one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Round {
    /// Where a future is dropped.
    cut: Option<u32>,
    /// The branch at which every `select!` begins.
    start: u32,
}

impl Round {
    /// The one to explore after this, as far as is known of the model.
    fn next(self, counts: &Counts) -> Option<Self> {
        let cut = self.cut.map_or(0, |cut| cut + 1);
        if self.start == 0 && cut < counts.cuts {
            return Some(Self { cut: Some(cut), start: 0 });
        }
        let start = self.start + 1;
        (start < counts.starts).then_some(Self { cut: None, start })
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}e{}", self.bound, self.execution)?;
        self.round.cut.map_or(Ok(()), |cut| write!(f, "c{cut}"))?;
        if self.round.start > 0 { write!(f, "s{}", self.round.start) } else { Ok(()) }
    }
}

impl Seed {
    fn parse(text: &str) -> Option<Self> {
        let (bound, text) = text.trim().strip_prefix('b')?.split_once('e')?;
        let (text, start) = text.split_once('s').unwrap_or((text, "0"));
        let (execution, cut) = match text.split_once('c') {
            Some((execution, cut)) => (execution, Some(cut.parse().ok()?)),
            None => (text, None),
        };
        let round = Round { cut, start: start.parse().ok()? };
        Some(Self { bound: bound.parse().ok()?, round, execution: execution.parse().ok()? })
    }
}

/// Whether this is the seed of a model.
pub(super) fn is_seed(text: &str) -> bool {
    Seed::parse(text).is_some()
}

/// A failure that [`Model::find`] found.
#[derive(Clone, Debug)]
pub struct Found {
    message: String,
    seed: String,
    report: String,
}

impl Found {
    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What `REIVER_SEED` is set to, to see it again; empty if the whole model failed.
    pub fn seed(&self) -> &str {
        &self.seed
    }
}

impl fmt::Display for Found {
    /// Everything there is to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report)
    }
}

/// What a model without a failure did.
#[derive(Clone, Debug)]
pub struct Explored(String);

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a child says last.
pub(super) enum Said {
    Failed {
        text: String,
        log: String,
    },
    /// The model as a whole is at fault, not an execution.
    Refused(String),
    Finished(String),
}

/// What the child counts, over all executions.
#[derive(Debug, Default)]
struct Counts {
    executions: u64,
    /// Of the present round.
    in_round: u64,
    round: Round,
    cuts: u32,
    /// The most branches of a `select!`.
    starts: u32,
    tasks: usize,
    /// Timers that fired in one execution.
    fires: u32,
    reached: BTreeMap<String, u64>,
}

static COUNTS: crate::primitive::StaticMutex<Counts> = crate::primitive::StaticMutex::new(Counts {
    executions: 0,
    in_round: 0,
    round: Round { cut: None, start: 0 },
    cuts: 0,
    starts: 0,
    tasks: 0,
    fires: 0,
    reached: BTreeMap::new(),
});
static WANTED: OnceLock<Wanted> = OnceLock::new();

/// What a child is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    bound: usize,
    seed: Option<Seed>,
}

/// One execution, as far as the child cares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    seed: Seed,
    reported: bool,
}

impl Run {
    /// Whether this execution is the one to be told of.
    pub(super) fn is_reported(&self) -> bool {
        self.reported
    }

    pub(super) fn is_cut(&self, cut: u32) -> bool {
        self.seed.round.cut == Some(cut)
    }

    /// Where a `select!` with `n` branches begins.
    pub(super) fn start(&self, n: u32) -> u32 {
        let mut counts = COUNTS.lock();
        counts.starts = counts.starts.max(n);
        self.seed.round.start % n
    }

    /// Tells the parent, and ends.
    pub(super) fn say(&self, said: &Said) -> ! {
        say(said, Some(self.seed))
    }

    /// The execution has ended well.
    pub(super) fn done(
        &self,
        tasks: usize,
        fires: u32,
        cuts: u32,
        reached: BTreeMap<&'static str, u64>,
    ) {
        let mut counts = COUNTS.lock();
        counts.tasks = counts.tasks.max(tasks);
        counts.fires = counts.fires.max(fires);
        counts.cuts = counts.cuts.max(cuts);
        for (label, times) in reached {
            *counts.reached.entry(label.to_owned()).or_default() += times;
        }
        drop(counts);
        if self.reported {
            self.say(&Said::Finished(format!("execution {} passes", self.seed)));
        }
    }
}

fn say(said: &Said, seed: Option<Seed>) -> ! {
    let seed = seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
    // On a line of its own: libtest has begun one.
    match said {
        Said::Failed { text, log } => {
            println!("\n{BEGIN}failed {seed}\n{text}\n{LOG}\n{log}\n{END}");
        }
        Said::Refused(text) => println!("\n{BEGIN}failed -\n{text}\n{LOG}\n\n{END}"),
        Said::Finished(text) => println!("\n{BEGIN}finished -\n{text}\n{LOG}\n\n{END}"),
    }
    exit(i32::from(!matches!(said, Said::Finished(_))))
}

/// In a child that is to explore the model `name`: what is wanted of it.
pub(super) fn wanted(name: &str) -> Option<Wanted> {
    std::env::var(CHILD).is_ok_and(|child| child == name).then(|| {
        let bound = std::env::var(BOUND).ok().and_then(|bound| bound.parse().ok());
        let seed = std::env::var(SEED).ok().and_then(|seed| Seed::parse(&seed));
        let bound = bound.expect("who starts a child gives it a bound");
        *WANTED.get_or_init(|| Wanted { bound, seed })
    })
}

/// Explores, tells the parent, and ends the process.
pub(super) fn check<R>(
    model: &Model,
    wanted: Wanted,
    execute: impl Fn(Run) + Send + Sync + Clone + 'static,
) -> R {
    let start = Instant::now();
    watch(Duration::from_secs(model.seconds));
    let Wanted { bound, seed: wanted } = wanted;
    let mut round = Some(wanted.map_or(Round::default(), |seed| seed.round));
    while let Some(now) = round {
        {
            let mut counts = COUNTS.lock();
            (counts.in_round, counts.round) = (0, now);
        }
        let execute = execute.clone();
        explore::run_model(bound, STEPS, move || {
            let mut counts = COUNTS.lock();
            counts.executions += 1;
            counts.in_round += 1;
            let seed = Seed { bound, round: counts.round, execution: counts.in_round };
            drop(counts);
            execute(Run { seed, reported: wanted == Some(seed) });
        });
        round = now.next(&COUNTS.lock()).filter(|_| wanted.is_none());
    }
    let said = match wanted {
        Some(seed) => Said::Refused(format!("REIVER_SEED={seed}: there is no such execution")),
        None => verdict(model, bound, &COUNTS.lock(), start.elapsed()),
    };
    say(&said, None)
}

fn verdict(model: &Model, bound: usize, counts: &Counts, took: Duration) -> Said {
    let Counts { executions, tasks, fires, reached, cuts, starts, .. } = counts;
    let missed: Vec<_> =
        model.must_reach.iter().filter(|label| !reached.contains_key(**label)).collect();
    if !missed.is_empty() {
        return Said::Refused(format!("never reached in {executions} executions: {missed:?}"));
    }
    // The end of the only task races with the clock thread, but with nothing of the user's.
    if *executions < 2 || *tasks < 2 && *fires == 0 && *cuts == 0 && *starts < 2 {
        return Said::Refused(format!(
            "nothing to interleave: {tasks} task and no timer. A model sees reiver's tasks, locks, \
             channels, timers and wakers, and what is in `reiver::model`; not std's threads and locks"
        ));
    }
    let name = &model.name;
    Said::Finished(format!(
        "model {name}: {executions} executions with {bound} preemptions in {took:.2?}, {tasks} tasks, \
         {cuts} places to drop a future at, reached {reached:?}"
    ))
}

/// Told of a panic outside of what is explored. loom panics when a thread that is none of a model's touches
/// its objects, which says nothing to somebody who knows no loom.
pub(super) fn stranger(at: Option<&Location<'_>>) {
    let is_looms = at.is_some_and(|at| {
        let file = at.file();
        file.contains("/loom-0.") && file.ends_with("/rt/scheduler.rs")
    });
    if is_looms && WANTED.get().is_some() {
        let text = "a lock, channel or waker of the model was used by a thread that is no part of it: use \
                    `spawn` and `spawn_blocking` instead of std's threads and other runtimes";
        say(&Said::Refused(text.to_owned()), None);
    }
}

/// Ends the process when it takes too long, or stands still.
fn watch(limit: Duration) {
    explore::watch(move |since| {
        let now = COUNTS.lock().executions;
        if since.stands_still(now) {
            let still = explore::STILL;
            let text =
                format!("nothing has moved for {still:?} in execution {now}: a task {BLOCKS}");
            say(&Said::Refused(text), None);
        }
        if since.elapsed() > limit {
            let text = format!(
                "not finished after {limit:?} and {now} executions: fewer tasks or operations, a lower \
                 `bound`, or more `seconds`"
            );
            say(&Said::Refused(text), None);
        }
    });
}

/// In the parent: starts a child, and makes a report of what it says.
pub(super) fn explore(model: &Model, seed: Option<&str>) -> Result<Explored, Found> {
    let seed = seed.map(|seed| match Seed::parse(seed) {
        Some(seed) => seed,
        None => panic!("{}", no_seed(model, seed)),
    });
    let thorough = std::env::var("REIVER_MODEL").is_ok_and(|value| value == "thorough");
    let bound = seed.map_or(model.bound + usize::from(thorough), |seed| seed.bound);
    match (run_child(&model.name, bound, seed), seed) {
        (Heard::Finished(text), _) => Ok(Explored(text)),
        (Heard::Failed { text, seed: Some(found), .. }, None) => Err(shortest(model, text, found)),
        (Heard::Failed { text, seed, log }, _) => Err(report(model, text, seed, &log)),
        (Heard::Nothing(text), _) => Err(report(model, text, None, "")),
    }
}

fn no_seed(model: &Model, seed: &str) -> String {
    let what = match Policy::parse(seed.trim()) {
        Some(_) => "is the seed of a simulation, and this is a model",
        None => "is no seed",
    };
    format!("REIVER_SEED={seed} {what}: {} takes one like b2e17", model.name)
}

/// The failure with the fewest interruptions, recorded.
fn shortest(model: &Model, text: String, found: Seed) -> Found {
    let lower = (0..found.bound).find_map(|bound| match run_child(&model.name, bound, None) {
        Heard::Failed { text, seed: Some(seed), .. } => Some((text, seed)),
        _ => None,
    });
    let (text, seed) = lower.unwrap_or((text, found));
    match run_child(&model.name, seed.bound, Some(seed)) {
        Heard::Failed { text, log, .. } => report(model, text, Some(seed), &log),
        _ => report(model, text, Some(seed), ""),
    }
}

fn report(model: &Model, message: String, seed: Option<Seed>, log: &str) -> Found {
    let mut report = format!("model {} failed: {message}\n", model.name);
    if !log.is_empty() {
        report.push_str(&format!("\nwhat happened, in virtual time:\n{log}\n"));
    }
    if let Some(seed) = seed {
        let command = test_command(&model.name);
        report.push_str(&format!(
            "\nto see it again (with at most {} interruptions): REIVER_SEED={seed} {command}\n",
            seed.bound
        ));
    }
    let seed = seed.map_or_else(String::new, |seed| seed.to_string());
    Found { message, seed, report }
}

enum Heard {
    Finished(String),
    Failed {
        text: String,
        /// Of an execution; a model may also fail as a whole.
        seed: Option<Seed>,
        log: String,
    },
    /// It ended without a word.
    Nothing(String),
}

fn run_child(name: &str, bound: usize, seed: Option<Seed>) -> Heard {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its program"));
    command
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .env(BOUND, bound.to_string())
        .env("RUST_BACKTRACE", "0")
        .env_remove(SEED)
        // Reaching one of these would be a pass.
        .env_remove("LOOM_MAX_PERMUTATIONS")
        .env_remove("LOOM_MAX_DURATION");
    if let Some(seed) = seed {
        command.env(SEED, seed.to_string());
    }
    let output = command.output().expect("a test can start itself");
    hear(&output).unwrap_or_else(|| silent(name, &output))
}

fn hear(output: &Output) -> Option<Heard> {
    let text = String::from_utf8_lossy(&output.stdout);
    let (head, rest) = text.split_once(BEGIN)?.1.split_once('\n')?;
    let (body, _) = rest.split_once(END)?;
    let (text, log) = body.split_once(LOG)?;
    let (text, log) = (text.trim_end().to_owned(), log.trim_matches('\n').to_owned());
    let (what, seed) = head.split_once(' ')?;
    Some(match what {
        "finished" => Heard::Finished(text),
        _ => Heard::Failed { text, seed: Seed::parse(seed), log },
    })
}

fn silent(name: &str, output: &Output) -> Heard {
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let start = said.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
    let why = match output.status.success() {
        true => format!("no model ran: the test must be known as {name:?}, modules included"),
        false => format!("its process ended ({}) with", output.status),
    };
    Heard::Nothing(format!("{why}\n{}", &said[start..]))
}
