//! The cases: each a function over [`Rt`] that does a fixed number of operations, checks what came
//! out, and gives its figures. What each stands for is in the table of `benches/compare.rs`.

mod blocking;
mod life;
pub mod net;
mod spawn;
mod switch;
mod timer;

use crate::measure::Figures;
use crate::rt::Rt;

/// A case's name and what runs it.
type Case = (&'static str, fn() -> Figures);

/// All cases of one runtime by name.
pub fn all<R: Rt>() -> Vec<Case> {
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
        ("sleeps_10k", timer::sleeps_10k::<R>),
        ("sleeps_100k", timer::sleeps_100k::<R>),
        ("sleeps_sparse", timer::sleeps_sparse::<R>),
        ("ticker_8_busy", timer::ticker_8_busy::<R>),
        ("ticker_64_busy", timer::ticker_64_busy::<R>),
        ("blocking_batch", blocking::batch::<R>),
        ("blocking_8", blocking::eight::<R>),
        ("blocking_round_trip", blocking::round_trip::<R>),
        ("blocking_sleeps", blocking::sleeps::<R>),
        ("echo_1", net::echo_1::<R>),
        ("echo_16", net::echo_16::<R>),
        ("echo_64", net::echo_64::<R>),
        ("memory_parked", life::memory_parked::<R>),
        ("memory_sleeping", life::memory_sleeping::<R>),
        ("start_stop", life::start_stop::<R>),
        ("idle", life::idle::<R>),
    ]
}
