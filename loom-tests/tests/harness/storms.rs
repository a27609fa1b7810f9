//! Runs storms (`src/primitive/hybrid/storm/`): a body again and again, each time in the order of another seed.
//!
//! A test runs itself again in a child, as models do: a bug in the runtime's own code aborts. The child says
//! which seed comes next, so that one which dies without a word is known too.

use super::{LABELS, LIMIT, Model, facade, tail, watch};
use facade::storm;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How many storms of each kind there are in a plain `cargo test`.
const RUNS: u64 = 300;
/// Of so many, one is run twice, to see that its seed replays it.
const REPLAYED: u64 = 64;
/// What the child's lines with a seed begin with.
const SEED: &str = "storm from seed ";

/// Runs `body` in [`RUNS`] storms, or `REIVER_STORM`, or in that of `REIVER_SEED` alone. `name` is the name of
/// the test that calls this.
#[track_caller]
pub fn storm(name: &str, body: fn()) {
    let model = Model::new(name, super::Bound::None);
    if std::env::var(super::CHILD).is_ok_and(|child| child == name) {
        return storm_here(&model, body);
    }
    let output = model.run_child();
    let (out, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let finished = out.lines().find(|line| line.starts_with(&model.finished()));
    if let (true, Some(line)) = (output.status.success(), finished) {
        return super::tell(line);
    }
    let seed = said.lines().rev().find_map(|line| line.strip_prefix(SEED)).unwrap_or("?");
    let said: Vec<_> = said.lines().filter(|line| !line.starts_with(SEED)).collect();
    panic!(
        "storm {name} failed ({}). Again:\n  REIVER_SEED={seed} cargo test -p loom-tests --test storm {name}\n{}",
        output.status,
        tail(&said.join("\n"))
    );
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {value:?}")))
}

fn storm_here(model: &Model<'_>, body: fn()) {
    let runs = number("REIVER_STORM").unwrap_or(RUNS);
    let only = number("REIVER_SEED");
    let done = Arc::new(AtomicUsize::new(0));
    watch(LIMIT.max(Duration::from_millis(100 * runs)), done.clone());
    // What a process asks once (a switch in a static) is asked before the first that counts.
    eprintln!("{SEED}0");
    storm::run(0, body).unwrap_or_else(|what| panic!("{what}"));
    let start = Instant::now();
    let (mut steps, mut changes, mut threads) = (0, 0, 0);
    for seed in only.map_or(0..runs, |seed| seed..seed + 1) {
        eprintln!("{SEED}{seed}");
        let outcome = storm::run(seed, body).unwrap_or_else(|what| panic!("{what}"));
        if seed % REPLAYED == 0 {
            let again = storm::run(seed, body);
            assert_eq!(again, Ok(outcome), "a seed does not replay its storm");
        }
        steps += outcome.steps;
        changes += outcome.changes;
        threads = threads.max(outcome.threads);
        done.fetch_add(1, Relaxed);
    }
    let labels = std::mem::take(&mut *LABELS.lock().unwrap());
    let missed: Vec<_> = labels.iter().filter(|(_, met)| **met == 0).map(|(l, _)| l).collect();
    assert!(only.is_some() || missed.is_empty(), "never reached: {missed:?}");
    let runs = done.load(Relaxed) as u64;
    println!(
        "\n{}{runs} storms in {:.2?}, of {} steps, {} changes, at most {threads} threads; reached {labels:?}",
        model.finished(),
        start.elapsed(),
        steps / runs.max(1),
        changes / runs.max(1),
    );
}
