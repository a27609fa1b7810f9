//! The decisions of simulations: `src/explore/choices.rs`.

use reiver_model::internals::explore::choices::*;
use reiver_model::internals::primitive::explore::Pick;

/// Two decisions among 3 and one among 2.
fn run(policy: &Policy) -> Vec<Taken> {
    let mut choices = Choices::new(policy);
    choices.pick(Pick::Task, 3);
    choices.pick(Pick::Task, 1);
    choices.pick(Pick::Task, 3);
    choices.pick(Pick::User, 2);
    choices.taken
}

fn count(bound: usize) -> usize {
    let mut first = Some(Vec::new());
    let mut runs = std::collections::HashSet::new();
    while let Some(prefix) = first {
        let taken = run(&Policy::Systematic(prefix));
        assert!(runs.insert(taken.iter().map(|taken| taken.pick).collect::<Vec<_>>()));
        first = next_systematic(&taken, bound).0;
    }
    runs.len()
}

#[test]
fn a_systematic_search_meets_each_schedule_once() {
    // The user's choice is free; the others cost one each.
    assert_eq!([count(0), count(1), count(2), count(9)], [2, 10, 18, 18]);
}

#[test]
fn policies_are_read_as_they_are_written() {
    for text in ["s17", "t", "t3:1,17:2"] {
        assert_eq!(Policy::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Policy::parse("5"), Some(Policy::Random(5)));
    assert_eq!([Policy::parse("t3"), Policy::parse("x")], [None, None]);
}

#[test]
fn shrinking_keeps_what_it_takes() {
    let schedule = Schedule((0..40).map(|at| (at, 1)).collect());
    let small = shrink(schedule, 1000, |s| s.0.contains_key(&3) && s.0.contains_key(&31));
    assert_eq!(small.0.keys().copied().collect::<Vec<_>>(), [3, 31]);
}

#[test]
fn a_replay_of_a_random_run_takes_the_same_decisions() {
    for seed in 0..200 {
        let mut choices = Choices::new(&Policy::Random(seed));
        (0..50).for_each(|n| {
            choices.pick_task(&[0, n, n + 1], n % 2 == 0);
            choices.pick(Pick::Preempt, 2);
        });
        let mut again = Choices::new(&Policy::Replay(choices.schedule()));
        (0..50).for_each(|n| {
            again.pick_task(&[0, n, n + 1], n % 2 == 0);
            again.pick(Pick::Preempt, 2);
        });
        assert_eq!(
            (choices.hash(), difference(&choices.taken, &again.taken)),
            (again.hash(), None)
        );
    }
}

/// Tasks that run by priority change places where one loses its own: the first of them runs for a while,
/// and then another from there on.
#[test]
fn a_task_may_lose_its_priority() {
    let demoted = (0..400).filter(|seed| {
        let mut choices = Choices::new(&Policy::Random(*seed));
        let picks: Vec<_> = (0..64).map(|_| choices.pick_task(&[7, 8, 9], false)).collect();
        let changes: Vec<_> = (1..64).filter(|at| picks[*at] != picks[at - 1]).collect();
        matches!(changes[..], [at] if (8..56).contains(&at))
    });
    assert!(demoted.count() > 0);
}
