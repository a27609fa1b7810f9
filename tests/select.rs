//! `select!`: who is polled, dropped and run, and when.
#![cfg(feature = "macros")]
#![deny(warnings)]

mod support;

use reiver::select;
use std::cell::Cell;
use std::future::{Future, IntoFuture, pending, ready};
use std::pin::pin;
use std::task::Poll;
use support::{Log, Poller, block_on};

#[test]
fn the_losers_and_the_winner_are_dropped_before_the_handler_runs() {
    let log = Log::default();
    let (_never, waits) = log.future::<()>("waits");
    block_on(async {
        select! {
            biased;
            () = waits => unreachable!(),
            n = log.ready("wins", 1) => log.note(format!("handler {n}")),
            () = log.ready("unpolled", ()) => unreachable!(),
        }
    });
    let events = log.take();
    assert_eq!(events[..2], ["poll waits", "poll wins"]);
    assert_eq!(events.last().map(String::as_str), Some("handler 1"));
    let mut drops = events[2..5].to_vec();
    drops.sort();
    assert_eq!(drops, ["drop unpolled", "drop waits", "drop wins"]);
    assert_eq!(events.len(), 6);
}

#[test]
fn it_waits_and_is_woken_by_any_branch() {
    let log = Log::default();
    let poller = Poller::default();
    let (_a, first) = log.future::<u8>("first");
    let (b, second) = log.future::<u8>("second");
    let mut both = pin!(async {
        select! { biased; n = first => n, n = second => n + 10 }
    });
    assert!(poller.poll(both.as_mut()).is_pending());
    assert_eq!(poller.wakes(), 0);
    b.give(1);
    assert_eq!(poller.wakes(), 1);
    assert_eq!(poller.poll(both.as_mut()), Poll::Ready(11));
}

#[test]
fn a_value_that_does_not_match_disables_its_branch() {
    let log = Log::default();
    let poller = Poller::default();
    let (a, first) = log.future::<Option<u8>>("first");
    let (b, second) = log.future::<Result<u8, ()>>("second");
    let mut both = pin!(async {
        select! {
            biased;
            Some(n) = first => n,
            Ok(n) = second => n,
        }
    });
    a.give(None);
    assert!(poller.poll(both.as_mut()).is_pending());
    assert_eq!(log.take(), ["poll first", "poll second"]);
    b.give(Ok(3));
    assert_eq!(poller.poll(both.as_mut()), Poll::Ready(3));
    assert_eq!(log.take()[0], "poll second");
}

#[test]
fn the_expression_of_a_disabled_branch_is_evaluated_and_its_future_never_polled() {
    let log = Log::default();
    let made = Cell::new(0);
    let make = || {
        made.set(made.get() + 1);
        log.ready("off", 0)
    };
    let n = block_on(async {
        select! {
            biased;
            n = make(), if made.get() == 1 => n,
            n = ready(5), if made.get() == 0 => n,
        }
    });
    assert_eq!((n, made.get()), (5, 1));
    assert_eq!(log.take(), ["drop off"]);
}

#[test]
fn else_runs_when_every_branch_is_disabled() {
    let by = |on: bool, value: Option<u8>| {
        block_on(async move {
            select! {
                Some(n) = ready(value), if on => n,
                else => 99,
            }
        })
    };
    assert_eq!(by(true, Some(1)), 1);
    assert_eq!(by(true, None), 99);
    assert_eq!(by(false, Some(1)), 99);
    assert_eq!(
        block_on(async {
            select! { else => 4 }
        }),
        4
    );
    assert_eq!(
        block_on(async {
            select! { biased; else => 4, }
        }),
        4
    );
}

#[test]
#[should_panic(expected = "all branches of `select!` are disabled and there is no `else` branch")]
fn without_else_it_panics() {
    block_on(async {
        select! {
            Some(()) = ready(None) => {}
            () = pending(), if false => {}
        }
    });
}

#[test]
fn a_fair_select_begins_anywhere_and_goes_on_in_order() {
    let mut firsts = [0; 3];
    for _ in 0..600 {
        let log = Log::default();
        let mut one = pin!(async {
            let (_a, a) = log.future::<()>("0");
            let (_b, b) = log.future::<()>("1");
            let (_c, c) = log.future::<()>("2");
            select! { () = a => {}, () = b => {}, () = c => {} }
        });
        assert!(Poller::default().poll(one.as_mut()).is_pending());
        let order = log.take();
        let first: usize = order[0].trim_start_matches("poll ").parse().expect("a number");
        firsts[first] += 1;
        for (i, event) in order.iter().enumerate() {
            assert_eq!(*event, format!("poll {}", (first + i) % 3));
        }
        assert_eq!(order.len(), 3);
    }
    assert!(firsts.iter().all(|&n| n > 100), "{firsts:?}");
}

#[test]
fn a_biased_select_always_takes_the_first() {
    for _ in 0..100 {
        let n = block_on(async {
            select! { biased; n = ready(1) => n, n = ready(2) => n }
        });
        assert_eq!(n, 1);
    }
}

#[test]
fn a_future_by_reference_goes_on_in_the_next_select() {
    let log = Log::default();
    let poller = Poller::default();
    let (given, kept) = log.future::<&str>("kept");
    let mut task = pin!(async {
        reiver::pin!(kept);
        let mut turns = 0;
        loop {
            select! {
                biased;
                text = &mut kept => return (turns, text),
                () = ready(()), if turns < 3 => turns += 1,
            }
        }
    });
    assert!(poller.poll(task.as_mut()).is_pending());
    given.give("done");
    assert_eq!(poller.poll(task.as_mut()), Poll::Ready((3, "done")));
    assert_eq!(log.take().iter().filter(|e| *e == "drop kept").count(), 1);
}

#[test]
fn handlers_are_code_of_the_enclosing_function() {
    async fn question(text: &str) -> Result<u8, std::num::ParseIntError> {
        select! {
            parsed = ready(text.parse::<u8>()) => {
                let n = parsed?;
                Ok(ready(n).await + 1)
            }
        }
    }
    assert_eq!(block_on(question("4")), Ok(5));
    assert!(block_on(question("x")).is_err());

    let rounds = block_on(async {
        let mut rounds = 0;
        'outer: loop {
            loop {
                rounds += 1;
                select! {
                    () = ready(()), if rounds < 3 => continue,
                    () = ready(()), if rounds == 3 => break,
                    else => break 'outer rounds,
                }
            }
        }
    });
    assert_eq!(rounds, 4);
}

#[test]
fn a_handler_may_use_what_the_futures_borrowed() {
    async fn push(to: &mut Vec<u8>, n: u8) {
        to.push(n);
    }
    let list = block_on(async {
        let mut list = vec![];
        let mut other = vec![];
        select! {
            biased;
            () = push(&mut list, 1) => { list.push(2); other.push(3); }
            () = push(&mut other, 4) => unreachable!(),
        }
        list.append(&mut other);
        list
    });
    assert_eq!(list, [1, 2, 3]);
}

#[test]
fn temporaries_of_a_future_expression_live_as_long_as_in_a_let() {
    struct Later(u8);
    impl IntoFuture for &mut Later {
        type Output = u8;
        type IntoFuture = std::future::Ready<u8>;
        fn into_future(self) -> Self::IntoFuture {
            ready(self.0)
        }
    }
    assert_eq!(
        block_on(async {
            select! { n = &mut Later(7) => n }
        }),
        7
    );
}

#[derive(Debug, PartialEq)]
struct Point {
    x: u8,
    name: String,
}

enum Shape {
    #[allow(dead_code)]
    Empty,
    Named(Point, Option<String>),
}

const LIMIT: u8 = 9;

/// Values that cannot be copied, so that a pattern test that moved them would not compile.
#[test]
fn every_kind_of_pattern_tests_without_moving() {
    macro_rules! first {
        ($value:expr, $pat:pat => $handler:expr) => {
            block_on(async {
                select! { $pat = ready($value) => Some($handler), else => None }
            })
        };
    }
    let text = || String::from("text");
    let some = Some(text());
    let point = || Point { x: 1, name: text() };

    assert_eq!(first!(text(), s => s), Some(text()));
    assert_eq!(first!(text(), mut s => { s.push('!'); s }).as_deref(), Some("text!"));
    assert_eq!(first!(text(), ref s => s.len()), Some(4));
    assert_eq!(first!(text(), ref mut s => { s.clear(); s.len() }), Some(0));
    assert_eq!(first!((text(), Some(text())), (a, Some(mut b)) => { b += &a; b.len() }), Some(8));
    assert_eq!(
        first!(point(), Point { x, mut name } => { name.push('!'); (x, name.len()) }),
        Some((1, 5))
    );
    assert_eq!(first!(point(), Point { name: n, .. } => n), Some(text()));
    assert_eq!(first!(point(), Point { x: 2..=9, ref name } => name.len()), None);
    assert_eq!(first!(point(), whole @ Point { x: 1, .. } => whole), Some(point()));
    assert_eq!(
        first!(Some(point()), Some(ref p @ Point { ref name, .. }) => p.name == *name),
        Some(true)
    );
    assert_eq!(
        first!(Shape::Named(point(), None), Shape::Named(Point { x: _, name }, None) => name),
        Some(text())
    );
    assert_eq!(first!(Shape::Named(point(), None), self::Shape::Named(.., Some(s)) => s), None);
    assert_eq!(first!(Err::<u8, _>(text()), Err(s) => s), Some(text()));
    assert_eq!(first!(Err::<String, _>(text()), Ok(s) | Err(s) => s), Some(text()));
    assert_eq!(first!(9u8, LIMIT => true), Some(true));
    assert_eq!(first!(8u8, LIMIT => true), None);
    assert_eq!(first!(8u8, n @ (0..LIMIT | 20..) => n), Some(8));
    assert_eq!(first!(10u8, 0..LIMIT | 20.. => true), None);
    assert_eq!(first!(u8::MAX, u8::MAX => 1), Some(1));
    assert_eq!(first!(3u8, <u8>::MAX => 1), None);
    assert_eq!(first!(Option::<u8>::None, None::<u8> => 1), Some(1));
    assert_eq!(first!(Some(&7u8), Some(&n) => n), Some(7));
    assert_eq!(first!(Box::leak(Box::new(7u8)), &mut n => n), Some(7));
    assert_eq!(first!(&some, Some(s) => s.len()), Some(4));
    assert_eq!(first!([text(), text(), text()], [head, .., _] => head), Some(text()));
    assert_eq!(first!([text(), text()], [_, rest @ ..] => rest.len()), Some(1));
    assert_eq!(first!("a", "b" => 1), None);
    assert_eq!(first!(-1i8, -1 => 1), Some(1));
    assert_eq!(first!(Box::new(text()), b => *b), Some(text()));
    assert_eq!(first!(Some(r#"x"#), Some(r#match) => r#match), Some("x"));
}

#[test]
fn fragments_and_separators() {
    macro_rules! by_fragments {
        ($p:pat, $e:expr, $c:expr, $h:expr) => {
            block_on(async {
                select! { $p = $e, if $c => $h, else => 0 }
            })
        };
    }
    assert_eq!(by_fragments!(Some(_), ready(Some(1)), 1 + 1 == 2, 5), 5);

    macro_rules! by_block {
        ($h:block) => {
            block_on(async {
                select! { () = pending() => $h _ = ready(1) => $h }
            })
        };
    }
    assert_eq!(by_block!({ 6 }), 6);

    fn n_of(n: u8) -> u8 {
        n
    }
    // Blocks need no comma; expressions may hold commas, generics and closures.
    let n: usize = block_on(async {
        select! {
            _ = pending::<()>() => { 1 }
            _ = pending::<()>(), if true => { 2 },
            (a, b) = ready::<(usize, usize)>((1, 2)) => std::iter::once((a, b)).map(|(a, b)| a + b).sum::<usize>(),
            _ = async { match n_of(2) { 1 => {}, _ => pending().await } } => 4
        }
    });
    assert_eq!(n, 3);
}

#[test]
fn selects_nest() {
    let n = block_on(async {
        select! {
            n = async { select! { n = ready(1) => n, () = pending() => 0 } } => {
                select! { m = ready(n) => m + 1, else => 0 }
            }
            () = pending() => 0,
        }
    });
    assert_eq!(n, 2);
}

#[test]
fn sixty_four_branches() {
    let n = block_on(async {
        select! {
            _ = pending::<()>() => 0, _ = pending::<()>() => 1, _ = pending::<()>() => 2, _ = pending::<()>() => 3,
            _ = pending::<()>() => 4, _ = pending::<()>() => 5, _ = pending::<()>() => 6, _ = pending::<()>() => 7,
            _ = pending::<()>() => 8, _ = pending::<()>() => 9, _ = pending::<()>() => 10, _ = pending::<()>() => 11,
            _ = pending::<()>() => 12, _ = pending::<()>() => 13, _ = pending::<()>() => 14, _ = pending::<()>() => 15,
            _ = pending::<()>() => 16, _ = pending::<()>() => 17, _ = pending::<()>() => 18, _ = pending::<()>() => 19,
            _ = pending::<()>() => 20, _ = pending::<()>() => 21, _ = pending::<()>() => 22, _ = pending::<()>() => 23,
            _ = pending::<()>() => 24, _ = pending::<()>() => 25, _ = pending::<()>() => 26, _ = pending::<()>() => 27,
            _ = pending::<()>() => 28, _ = pending::<()>() => 29, _ = pending::<()>() => 30, _ = pending::<()>() => 31,
            _ = pending::<()>() => 32, _ = pending::<()>() => 33, _ = pending::<()>() => 34, _ = pending::<()>() => 35,
            _ = pending::<()>() => 36, _ = pending::<()>() => 37, _ = pending::<()>() => 38, _ = pending::<()>() => 39,
            _ = pending::<()>() => 40, _ = pending::<()>() => 41, _ = pending::<()>() => 42, _ = pending::<()>() => 43,
            _ = pending::<()>() => 44, _ = pending::<()>() => 45, _ = pending::<()>() => 46, _ = pending::<()>() => 47,
            _ = pending::<()>() => 48, _ = pending::<()>() => 49, _ = pending::<()>() => 50, _ = pending::<()>() => 51,
            _ = pending::<()>() => 52, _ = pending::<()>() => 53, _ = pending::<()>() => 54, _ = pending::<()>() => 55,
            _ = pending::<()>() => 56, _ = pending::<()>() => 57, _ = pending::<()>() => 58, _ = pending::<()>() => 59,
            _ = pending::<()>() => 60, _ = pending::<()>() => 61, _ = pending::<()>() => 62, _ = ready(()) => 63,
        }
    });
    assert_eq!(n, 63);
}

#[test]
fn it_is_send_when_its_futures_are_and_not_much_larger() {
    async fn one() -> [u8; 1000] {
        let kept = [1u8; 1000];
        std::future::poll_fn(|_| if kept[0] == 1 { Poll::Ready(()) } else { Poll::Pending }).await;
        kept
    }
    fn assert_send<F: Future + Send>(_: &F) {}
    let branch = size_of_val(&one());
    let whole = async {
        select! {
            mut array = one() => { array[0] += 1; array.len() }
            array = one(), if size_of::<usize>() > 1 => array.len(),
        }
    };
    assert_send(&whole);
    let size = size_of_val(&whole);
    assert!(size <= 2 * branch + 1100, "{size} bytes for two branches of {branch}");
    assert_eq!(block_on(whole), 1000);
}
