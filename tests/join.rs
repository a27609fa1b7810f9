//! `join!` and `try_join!`: who is polled and dropped, and when.
#![deny(warnings)]

mod support;

use reiver::{join, try_join};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;
use support::{Log, Poller, block_on};

#[test]
fn all_outputs_in_the_order_of_the_branches() {
    assert_eq!(block_on(async { join!(ready(1), async { "two" }, ready(3.0)) }), (1, "two", 3.0));
    assert_eq!(block_on(async { join!(ready(1),) }), (1,));
    assert_eq!(block_on(async { join!(biased; ready(1), ready(2),) }), (1, 2));
    let () = block_on(async { join!() });
    let () = block_on(async { join!(biased;) });
}

#[test]
fn a_completed_branch_is_dropped_at_once_and_not_polled_again() {
    let log = Log::default();
    let poller = Poller::default();
    let (a, first) = log.future::<u8>("first");
    let (b, second) = log.future::<u8>("second");
    let mut both = pin!(async { join!(biased; first, second) });
    assert!(poller.poll(both.as_mut()).is_pending());
    assert_eq!(log.take(), ["poll first", "poll second"]);
    b.give(2);
    assert_eq!(poller.wakes(), 1);
    assert!(poller.poll(both.as_mut()).is_pending());
    assert_eq!(log.take(), ["poll first", "poll second", "drop second"]);
    a.give(1);
    assert_eq!(poller.poll(both.as_mut()), Poll::Ready((1, 2)));
    assert_eq!(log.take(), ["poll first", "drop first"]);
}

/// Polls a join of three that wait, four times.
fn orders(log: &Log, joined: impl Future) -> Vec<Vec<String>> {
    let poller = Poller::default();
    let mut joined = pin!(joined);
    (0..4)
        .map(|_| {
            assert!(poller.poll(joined.as_mut()).is_pending());
            log.take()
        })
        .collect()
}

#[test]
fn each_poll_begins_one_branch_further_unless_biased() {
    let log = Log::default();
    let new = |name| log.future::<Result<(), ()>>(name).1;
    let rotating = [
        ["poll a", "poll b", "poll c"],
        ["poll b", "poll c", "poll a"],
        ["poll c", "poll a", "poll b"],
        ["poll a", "poll b", "poll c"],
    ];
    let in_order = [rotating[0]; 4];
    assert_eq!(orders(&log, async { join!(new("a"), new("b"), new("c")) }), rotating);
    log.take();
    assert_eq!(orders(&log, async { try_join!(new("a"), new("b"), new("c")) }), rotating);
    log.take();
    assert_eq!(orders(&log, async { join!(biased; new("a"), new("b"), new("c")) }), in_order);
    log.take();
    assert_eq!(orders(&log, async { try_join!(biased; new("a"), new("b"), new("c")) }), in_order);
}

#[test]
fn dropping_a_join_drops_branches_and_outputs() {
    let log = Log::default();
    let (given, waits) = log.future::<()>("waits");
    let output = log.future::<()>("output").1;
    {
        let mut both = pin!(async { join!(biased; ready(output), waits) });
        assert!(Poller::default().poll(both.as_mut()).is_pending());
        assert_eq!(log.take(), ["poll waits"]);
    }
    drop(given);
    let mut drops = log.take();
    drops.sort();
    assert_eq!(drops, ["drop output", "drop waits"]);
}

#[test]
fn try_join_collects_the_oks() {
    assert_eq!(
        block_on(async { try_join!(ready(Ok::<_, ()>(1)), async { Ok("two") }) }),
        Ok((1, "two"))
    );
    assert_eq!(block_on(async { try_join!(biased; ready(Ok::<_, ()>(1)),) }), Ok((1,)));
    assert_eq!(block_on(async { try_join!() }), Ok::<(), ()>(()));
    assert_eq!(block_on(async { try_join!(biased;) }), Ok::<(), ()>(()));
    let Ok((n,)) = block_on(async { try_join!(ready(Ok::<_, Infallible>(5))) });
    assert_eq!(n, 5);
}

#[test]
fn try_join_ends_with_the_first_error() {
    let log = Log::default();
    let poller = Poller::default();
    let (a, first) = log.future::<Result<u8, &str>>("first");
    let (b, second) = log.future::<Result<u8, &str>>("second");
    let unpolled = log.ready("last", Err::<u8, _>("another"));
    let (_c, last) = (unpolled, log.future::<Result<u8, &str>>("third").1);
    let mut all = pin!(async { try_join!(biased; first, second, last) });
    a.give(Ok(1));
    assert!(poller.poll(all.as_mut()).is_pending());
    assert_eq!(log.take(), ["poll first", "drop first", "poll second", "poll third"]);
    b.give(Err("broken"));
    assert_eq!(poller.poll(all.as_mut()), Poll::Ready(Err("broken")));
    assert_eq!(log.take(), ["poll second", "drop second", "drop third"]);
}

#[test]
fn branches_may_borrow_and_use_question_marks_around() {
    async fn sum() -> Result<u32, std::num::ParseIntError> {
        let (left, right) = (String::from("4"), String::from("5"));
        let parse = |text| async move { str::parse::<u32>(text) };
        let (a, b) = try_join!(parse(&left), parse(&right))?;
        let (a, b) = (join!(ready(a)).0, b);
        Ok(a + b)
    }
    assert_eq!(block_on(sum()), Ok(9));
}

#[test]
fn by_reference_the_future_stays() {
    block_on(async {
        reiver::pin! {
            let kept = async { 3 };
        }
        let (three, ()) = join!(&mut kept, ready(()));
        assert_eq!(three, 3);
    });
}

#[test]
fn a_branch_may_need_several_polls() {
    let yields = |times: usize| {
        let mut left = times;
        poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(times);
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    assert_eq!(block_on(async { join!(yields(3), yields(0), yields(5)) }), (3, 0, 5));
}

#[test]
fn it_is_send_when_its_futures_are() {
    fn assert_send<F: Future + Send>(future: F) -> F {
        future
    }
    drop(assert_send(async { join!(pending::<()>(), ready(String::new())) }));
    drop(assert_send(async { try_join!(ready(Ok::<_, ()>(String::new()))) }));
}
