//! Every decision of a simulation, made by a policy, written down, and made again for a replay.
//!
//! A simulation asks only here when something may go one way or another, so the list of answers is the
//! whole schedule. 0 is always what happens when nothing special does: the task that waits longest is
//! polled, nobody is interrupted, timers are on time. So a schedule is told by its *deviations*, the
//! answers that are not 0, and [`shrink`] looks for the fewest that still fail.
//!
//! | policy | answers |
//! |---|---|
//! | random | by a generator, in one of three styles: any task; nearly always the next one; priorities that change a few times (PCT, Burckhardt et al. 2010) |
//! | systematic | all schedules with 0 deviations, then all with 1, and so on |
//! | replay | the deviations that it is given |
//!
//! None of them is the best: of four bugs tried, each policy was the slowest for one.

use crate::primitive::explore::Pick;
use crate::util::rng::Rng;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Deviations of one schedule: the number of the decision, and the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub BTreeMap<usize, u32>);

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    Random(u64),
    /// The first answers of a systematic search; 0 follows.
    Systematic(Vec<u32>),
    Replay(Schedule),
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    what: Pick,
    pub pick: u32,
    of: u32,
}

impl Taken {
    /// Whether a systematic search tries the other answers, and whether they count as deviations.
    fn is_explored(self) -> bool {
        self.what != Pick::Swarm
    }

    fn cost(self) -> usize {
        usize::from(self.what != Pick::User && self.what != Pick::Swarm && self.pick > 0)
    }
}

/// The decisions of one run.
pub struct Choices {
    answer: Answer,
    pub taken: Vec<Taken>,
    hash: u64,
}

enum Answer {
    Random(Random),
    Systematic(Vec<u32>),
    Replay(Schedule),
}

impl Choices {
    pub fn new(policy: &Policy) -> Self {
        let answer = match policy {
            Policy::Random(seed) => Answer::Random(Random::new(*seed)),
            Policy::Systematic(first) => Answer::Systematic(first.clone()),
            Policy::Replay(schedule) => Answer::Replay(schedule.clone()),
        };
        Self { answer, taken: Vec::new(), hash: 0xcbf2_9ce4_8422_2325 }
    }

    /// Decides: a number below `of`.
    pub fn pick(&mut self, what: Pick, of: u32) -> u32 {
        self.decide(what, of, |random| random.pick(what, of))
    }

    /// Decides which of the ready tasks runs; `tasks.len()`: the clock moves first, if it `may`.
    pub fn pick_task(&mut self, tasks: &[u32], clock_may: bool) -> u32 {
        let of = tasks.len() as u32 + u32::from(clock_may);
        self.decide(Pick::Task, of, |random| random.pick_task(tasks, clock_may))
    }

    fn decide(&mut self, what: Pick, of: u32, random: impl FnOnce(&mut Random) -> u32) -> u32 {
        if of <= 1 {
            return 0;
        }
        let at = self.taken.len();
        let pick = match &mut self.answer {
            Answer::Random(it) => random(it),
            // With every disturbance there is: each of them is a deviation then, and without them there
            // are no schedules that there are not with them.
            Answer::Systematic(_) if what == Pick::Swarm => 1,
            Answer::Systematic(first) => first.get(at).copied().unwrap_or(0),
            Answer::Replay(schedule) => schedule.0.get(&at).copied().unwrap_or(0),
        };
        let pick = pick.min(of - 1);
        self.taken.push(Taken { what, pick, of });
        self.note((u64::from(pick) << 32) | (u64::from(of) << 8) | what as u64);
        pick
    }

    /// Makes something that happened part of the run's hash.
    pub fn note(&mut self, what: u64) {
        for byte in what.to_le_bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// What was decided, as deviations.
    pub fn schedule(&self) -> Schedule {
        let picks = self.taken.iter().enumerate();
        Schedule(picks.filter(|(_, t)| t.pick > 0).map(|(at, t)| (at, t.pick)).collect())
    }
}

/// Where two runs of one policy part: the number of the decision, and the two questions.
pub fn difference(a: &[Taken], b: &[Taken]) -> Option<String> {
    let question = |taken: Option<&Taken>| match taken {
        Some(t) => format!("{:?} among {}", t.what, t.of),
        None => "the end".to_owned(),
    };
    let at = (0..a.len().max(b.len())).find(|&at| a.get(at) != b.get(at))?;
    Some(format!("at decision {at}: {}, then {}", question(a.get(at)), question(b.get(at))))
}

/// The first answers of the next schedule with at most `bound` deviations, after a run that took these.
/// And whether schedules were passed over because they have more.
pub fn next_systematic(taken: &[Taken], bound: usize) -> (Option<Vec<u32>>, bool) {
    let mut passed_over = false;
    let mut before: usize = taken.iter().map(|t| t.cost()).sum();
    for (at, t) in taken.iter().enumerate().rev() {
        before -= t.cost();
        let free = usize::from(t.what != Pick::User);
        if !t.is_explored() || t.pick + 1 == t.of {
            continue;
        }
        if before + free <= bound {
            let first = taken[..at].iter().map(|t| t.pick);
            return (Some(first.chain([t.pick + 1]).collect()), passed_over);
        }
        passed_over = true;
    }
    (None, passed_over)
}

/// Looks for fewer deviations that still fail, with at most `runs` runs.
pub fn shrink(
    schedule: Schedule,
    mut runs: usize,
    mut fails: impl FnMut(&Schedule) -> bool,
) -> Schedule {
    let mut best = schedule;
    let mut size = best.0.len();
    while size > 0 {
        let mut start = 0;
        while start < best.0.len() && runs > 0 {
            let dropped: Vec<usize> = best.0.keys().skip(start).take(size).copied().collect();
            let mut fewer = best.clone();
            dropped.iter().for_each(|at| {
                fewer.0.remove(at);
            });
            runs -= 1;
            if fails(&fewer) { best = fewer } else { start += size }
        }
        size /= 2;
    }
    best
}

impl fmt::Display for Policy {
    /// What [`Policy::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(seed) => write!(f, "s{seed}"),
            Self::Systematic(first) => {
                let picks = first.iter().copied().enumerate().filter(|(_, pick)| *pick > 0);
                Self::Replay(Schedule(picks.collect())).fmt(f)
            }
            Self::Replay(schedule) => {
                let parts: Vec<_> =
                    schedule.0.iter().map(|(at, pick)| format!("{at}:{pick}")).collect();
                write!(f, "t{}", parts.join(","))
            }
        }
    }
}

impl Policy {
    /// Reads `s<seed>` or `t<at>:<pick>,…`; a bare number is a seed.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(deviations) = text.strip_prefix('t') {
            let parts = deviations.split(',').filter(|part| !part.is_empty());
            let read = parts.map(|part| {
                let (at, pick) = part.split_once(':')?;
                Some((at.parse().ok()?, pick.parse().ok()?))
            });
            return read.collect::<Option<_>>().map(|picks| Self::Replay(Schedule(picks)));
        }
        text.strip_prefix('s').unwrap_or(text).parse().ok().map(Self::Random)
    }
}

/// Answers by a generator.
struct Random {
    rng: Rng,
    style: Style,
    priorities: HashMap<u32, u64>,
    decided: u32,
}

enum Style {
    Uniform,
    /// The next one, except once in so many times.
    Sticky(u32),
    /// The task with the highest priority; at these decisions it loses it.
    Priorities(Vec<u32>),
}

impl Random {
    fn new(seed: u64) -> Self {
        let rng = Rng::new(seed.wrapping_add(0x5eed));
        let style = match rng.below(4) {
            0 => Style::Uniform,
            1 => Style::Sticky(2 + rng.below(14)),
            // The changes are early or late in runs of all lengths.
            _ => {
                let changes = (0..1 + rng.below(4)).map(|_| 1 << rng.below(10));
                Style::Priorities(changes.map(|most: u32| rng.below(most + 1)).collect())
            }
        };
        Self { rng, style, priorities: HashMap::new(), decided: 0 }
    }

    fn one_in(&self, n: u32) -> bool {
        self.rng.below(n) == 0
    }

    fn pick(&mut self, what: Pick, of: u32) -> u32 {
        let rarely = match what {
            Pick::Preempt | Pick::Refuse => 8,
            Pick::Cancel => 4,
            Pick::Short | Pick::Late => 2,
            Pick::Start | Pick::User | Pick::Task | Pick::Swarm => return self.rng.below(of),
        };
        if self.one_in(rarely) { 1 + self.rng.below(of - 1) } else { 0 }
    }

    fn pick_task(&mut self, tasks: &[u32], clock_may: bool) -> u32 {
        self.decided += 1;
        let n = tasks.len() as u32;
        if clock_may && self.one_in(16) {
            return n;
        }
        match &self.style {
            Style::Uniform => self.rng.below(n),
            Style::Sticky(times) => match self.one_in(*times) {
                true => self.rng.below(n),
                false => 0,
            },
            Style::Priorities(changes) => {
                let (rng, priorities) = (&self.rng, &mut self.priorities);
                let mut highest = 0;
                for (at, task) in tasks.iter().enumerate() {
                    // In the upper half, so that who lost it is below all others.
                    let priority = *priorities.entry(*task).or_insert_with(|| rng.next() | 1 << 63);
                    if at == 0 || priority > priorities[&tasks[highest as usize]] {
                        highest = at as u32;
                    }
                }
                if changes.contains(&self.decided) {
                    priorities.insert(tasks[highest as usize], u64::from(u32::MAX - self.decided));
                }
                highest
            }
        }
    }
}
