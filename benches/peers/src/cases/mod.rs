//! The cases: each a function over [`Rt`] that does a fixed number of operations, checks what came
//! out, and gives its figures. What each stands for is in the table of `benches/table.rs`.

mod blocking;
pub mod channels;
mod epoll;
pub mod foreign;
mod life;
pub mod net;
mod queue;
mod spawn;
mod stuck;
mod switch;
mod sync;
mod timer;

use crate::measure::{Figures, Stopwatch, ops};
use crate::rt::Rt;
use crate::slot::Countdown;
use std::future::Future;

/// A case's name and what runs it.
pub type Case = (&'static str, fn() -> Figures);

/// All cases of one runtime by name: those that are the same function for each, and its own.
pub fn all<R: Rt>() -> Vec<Case> {
    [general::<R>(), R::own_cases()].concat()
}

pub fn of_reiver() -> Vec<Case> {
    [sync::reiver::CASES, sync::reiver::named::CASES, queue::REIVER].concat()
}

pub fn of_tokio() -> Vec<Case> {
    [sync::tokio::CASES, sync::tokio::named::CASES, queue::TOKIO].concat()
}

pub fn of_smol() -> Vec<Case> {
    [sync::smol::CASES, queue::SMOL].concat()
}

/// 100,000 tasks that wait, from their spawn on until all have: `go` makes the first of them go on, or all.
fn crowd<R: Rt, W, G>(
    wait: impl Fn() -> W + Send + 'static,
    go: impl FnOnce(usize) -> G + Send + 'static,
) -> Figures
where
    W: Future<Output = ()> + Send + 'static,
    G: Future<Output = ()> + Send,
{
    let count = ops(100_000);
    R::run(async move {
        let (begun, ended) = (Countdown::new(count), Countdown::new(count));
        let watch = Stopwatch::start();
        for _ in 0..count {
            let (waited, begun, ended) = (wait(), begun.clone(), ended.clone());
            R::detach(async move {
                begun.one();
                waited.await;
                ended.one();
            });
        }
        begun.wait().await;
        go(count).await;
        ended.wait().await;
        watch.per_op(count)
    })
}

fn general<R: Rt>() -> Vec<Case> {
    vec![
        ("spawn_many_local", spawn::many_local::<R>),
        ("spawn_many_remote_idle", spawn::many_remote_idle::<R>),
        ("spawn_many_remote_busy", spawn::many_remote_busy::<R>),
        ("spawn_join_local", spawn::join_local::<R>),
        ("spawn_join_one", spawn::join_one::<R>),
        ("chained_spawn", spawn::chained::<R>),
        ("yield_many", switch::yield_many::<R>),
        ("yield_one", switch::yield_one::<R>),
        ("ping_pong", switch::ping_pong::<R>),
        ("ping_pong_1000", switch::ping_pong_1000::<R>),
        ("block_on_round_trip", switch::block_on_round_trip::<R>),
        ("wake_from_thread", switch::wake_from_thread::<R>),
        ("timeout_ready", timer::timeout_ready::<R>),
        ("timeout_pending", timer::timeout_pending::<R>),
        ("timeout_pending_2", timer::timeout_pending_2::<R>),
        ("timeout_cancelled_2", timer::timeout_cancelled_2::<R>),
        ("sleeps_10k", timer::sleeps_10k::<R>),
        ("sleeps_100k", timer::sleeps_100k::<R>),
        ("sleeps_sparse", timer::sleeps_sparse::<R>),
        ("interval", timer::interval::<R>),
        ("ticker_8_busy", timer::ticker_8_busy::<R>),
        ("ticker_64_busy", timer::ticker_64_busy::<R>),
        ("blocking_batch", blocking::batch::<R>),
        ("blocking_8", blocking::eight::<R>),
        ("blocking_submitters", blocking::submitters::<R>),
        ("blocking_round_trip", blocking::round_trip::<R>),
        ("blocking_sleeps", blocking::sleeps::<R>),
        ("blocking_beside_busy", blocking::beside_busy::<R>),
        ("echo_1", net::echo_1::<R>),
        ("echo_16", net::echo_16::<R>),
        ("echo_64", net::echo_64::<R>),
        ("echo_1000", net::echo_1000::<R>),
        ("udp_echo", net::udp_echo::<R>),
        ("http_keep_alive", net::http_keep_alive::<R>),
        ("http_churn", net::http_churn::<R>),
        ("memory_connection", net::memory_connection::<R>),
        ("memory_parked", life::memory_parked::<R>),
        ("memory_sleeping", life::memory_sleeping::<R>),
        ("start_stop", life::start_stop::<R>),
        ("idle", life::idle::<R>),
        ("blocked_5s", stuck::blocked_5s::<R>),
        ("blockers_8", stuck::blockers_8::<R>),
        ("spinners_2", stuck::spinners_2::<R>),
        ("block_after_spawn", stuck::block_after_spawn::<R>),
    ]
}
