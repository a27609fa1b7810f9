//! The process of a model, and what it tells the one that started it.
//!
//! A failure inside loom often ends in an abort, which would take all other tests with it. So the test
//! starts itself again, by its name, and the child does the exploring. It tells what it found on its
//! standard output; the parent makes the report. A failure is explored a second time, up to the execution
//! that failed and with that one recorded: a model's executions come in the same order each time.
//!
//! A model with futures that may be dropped is explored once with none dropped, then once for each place
//! in the order in which an execution comes to them.

use super::model::Model;
use crate::primitive::explore;
use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, Output, exit};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Says to a child which model it is, and which seed it has.
const CHILD: &str = "REIVER_MODEL_CHILD";
const SEED: &str = "REIVER_MODEL_SEED";
/// The steps one execution may take before loom calls it endless.
const STEPS: usize = 50_000;
/// A model in which nothing moves for so long is blocked.
const STILL: Duration = Duration::from_secs(5);
const BEGIN: &str = "@reiver model ";
const LOG: &str = "@reiver log";
const END: &str = "@reiver end";

/// One execution of a model: where a future is dropped in it, and its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seed {
    cut: Option<u32>,
    execution: u64,
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.execution)?;
        self.cut.map_or(Ok(()), |cut| write!(f, "c{cut}"))
    }
}

impl Seed {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix('e')?;
        let (execution, cut) = match text.split_once('c') {
            Some((execution, cut)) => (execution, Some(cut.parse().ok()?)),
            None => (text, None),
        };
        Some(Self { cut, execution: execution.parse().ok()? })
    }
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
    /// Of the present round, which has one place where a future is dropped.
    round: u64,
    cut: Option<u32>,
    cuts: u32,
    tasks: usize,
    /// Timers that fired in one execution.
    fires: u32,
    reached: BTreeMap<String, u64>,
}

static COUNTS: crate::primitive::StaticMutex<Counts> = crate::primitive::StaticMutex::new(Counts {
    executions: 0,
    round: 0,
    cut: None,
    cuts: 0,
    tasks: 0,
    fires: 0,
    reached: BTreeMap::new(),
});
static WANTED: OnceLock<Wanted> = OnceLock::new();

/// What a child is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted(Option<Seed>);

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
        self.seed.cut == Some(cut)
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
        let seed = std::env::var(SEED).ok().and_then(|seed| Seed::parse(&seed));
        *WANTED.get_or_init(|| Wanted(seed))
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
    let thorough = std::env::var("REIVER_MODEL").is_ok_and(|value| value == "thorough");
    let bound = model.bound + usize::from(thorough);
    let mut cut = wanted.0.and_then(|seed| seed.cut);
    loop {
        {
            let mut counts = COUNTS.lock();
            (counts.round, counts.cut) = (0, cut);
        }
        let execute = execute.clone();
        explore::run_model(bound, STEPS, move || {
            let mut counts = COUNTS.lock();
            counts.executions += 1;
            counts.round += 1;
            let seed = Seed { cut: counts.cut, execution: counts.round };
            drop(counts);
            execute(Run { seed, reported: wanted.0 == Some(seed) });
        });
        let next = cut.map_or(0, |cut| cut + 1);
        if next >= COUNTS.lock().cuts || wanted.0.is_some() {
            break;
        }
        cut = Some(next);
    }
    let said = match wanted.0 {
        Some(seed) => Said::Refused(format!("REIVER_SEED={seed}: there is no such execution")),
        None => verdict(model, &COUNTS.lock(), start.elapsed()),
    };
    say(&said, None)
}

fn verdict(model: &Model, counts: &Counts, took: Duration) -> Said {
    let Counts { executions, tasks, fires, reached, cuts, .. } = counts;
    let missed: Vec<_> =
        model.must_reach.iter().filter(|label| !reached.contains_key(**label)).collect();
    if !missed.is_empty() {
        return Said::Refused(format!("never reached in {executions} executions: {missed:?}"));
    }
    // The end of the only task races with the clock thread, but with nothing of the user's.
    if *executions < 2 || *tasks < 2 && *fires == 0 && *cuts == 0 {
        return Said::Refused(format!(
            "nothing to interleave: {tasks} task and no timer. A model sees reiver's tasks, locks, \
             channels, timers and wakers, and what is in `reiver::model`; not std's threads and locks"
        ));
    }
    let Model { name, bound, .. } = model;
    Said::Finished(format!(
        "model {name}: {executions} executions with {bound} preemptions in {took:.2?}, {tasks} tasks, \
         {cuts} places to drop a future at, reached {reached:?}"
    ))
}

/// Ends the process when it takes too long, or stands still.
fn watch(limit: Duration) {
    explore::watch(move |since| {
        let now = COUNTS.lock().executions;
        if since.elapsed_still(now) > STILL {
            let text = format!(
                "nothing has moved for {STILL:?} in execution {now}: the body blocks its thread, by a \
                 std lock that another task holds, a std channel or a loop that waits for somebody. \
                 Use reiver's"
            );
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
    let first = run_child(&model.name, seed);
    match first {
        Heard::Finished(text) => Ok(Explored(text)),
        Heard::Failed { text, seed, log } => {
            // A second time for the record, unless this was it.
            let again =
                (seed != "-" && log.is_empty()).then(|| run_child(&model.name, Some(&seed)));
            let (text, log) = match again {
                Some(Heard::Failed { text, log, .. }) => (text, log),
                _ => (text, log),
            };
            Err(report(model, text, seed, &log))
        }
        Heard::Nothing(text) => Err(report(model, text, "-".to_owned(), "")),
    }
}

fn report(model: &Model, message: String, seed: String, log: &str) -> Found {
    let name = model.name.rsplit("::").next().unwrap_or_default();
    let mut report = format!("model {} failed: {message}\n", model.name);
    if !log.is_empty() {
        report.push_str(&format!("\nwhat happened, in virtual time:\n{log}\n"));
    }
    let seed = if seed == "-" { String::new() } else { seed };
    if !seed.is_empty() {
        report.push_str(&format!("\nto see it again: REIVER_SEED={seed} cargo test {name}\n"));
    }
    Found { message, seed, report }
}

enum Heard {
    Finished(String),
    Failed {
        text: String,
        seed: String,
        log: String,
    },
    /// It ended without a word.
    Nothing(String),
}

fn run_child(name: &str, seed: Option<&str>) -> Heard {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its program"));
    command
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .env_remove(SEED)
        // Reaching one of these would be a pass.
        .env_remove("LOOM_MAX_PERMUTATIONS")
        .env_remove("LOOM_MAX_DURATION");
    if let Some(seed) = seed {
        assert!(Seed::parse(seed).is_some(), "REIVER_SEED={seed} is no seed of a model");
        command.env(SEED, seed);
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
        _ => Heard::Failed { text, seed: seed.to_owned(), log },
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
