//! Channels that belong to no runtime, beside the `mpsc` of the runtimes: the same messages through
//! crossbeam's, between threads, and through flume's, between tasks of reiver.

use super::Case;
use crate::measure::{Figures, Stopwatch, ops};
use crate::rt::Rt;
use crate::rt::reiver::Reiver;

/// Of the bounded ones.
const PLACES: usize = 128;
/// After so many messages without a bound a sender gives way.
const STRETCH: usize = 100;

pub const CROSSBEAM: &[Case] = &[
    ("mpsc_bounded_1", || threads(1, true)),
    ("mpsc_bounded_4", || threads(4, true)),
    ("mpsc_unbounded_1", || threads(1, false)),
    ("mpsc_unbounded_4", || threads(4, false)),
];

pub const FLUME: &[Case] = &[
    ("mpsc_bounded_1", || tasks(1, true)),
    ("mpsc_bounded_4", || tasks(4, true)),
    ("mpsc_unbounded_1", || tasks(1, false)),
    ("mpsc_unbounded_4", || tasks(4, false)),
];

fn threads(senders: usize, bounded: bool) -> Figures {
    use crossbeam_channel as channel;
    let each = ops(1_000_000) / senders;
    let (tx, rx) = if bounded { channel::bounded(PLACES) } else { channel::unbounded() };
    let watch = Stopwatch::start();
    for _ in 0..senders {
        let tx = tx.clone();
        std::thread::spawn(move || {
            for i in 0..each {
                assert!(tx.send(i).is_ok());
                if !bounded && i % STRETCH == STRETCH - 1 {
                    std::thread::yield_now();
                }
            }
        });
    }
    drop(tx);
    let sum: usize = rx.iter().sum();
    assert_eq!(sum, senders * (each * (each - 1) / 2));
    watch.per_op(senders * each)
}

fn tasks(senders: usize, bounded: bool) -> Figures {
    let each = ops(1_000_000) / senders;
    Reiver::start(crate::workers());
    Reiver::run(async move {
        let (tx, rx) = if bounded { flume::bounded(PLACES) } else { flume::unbounded() };
        let watch = Stopwatch::start();
        for _ in 0..senders {
            let tx = tx.clone();
            Reiver::detach(async move {
                for i in 0..each {
                    assert!(tx.send_async(i).await.is_ok());
                    if !bounded && i % STRETCH == STRETCH - 1 {
                        Reiver::yield_now().await;
                    }
                }
            });
        }
        drop(tx);
        let mut sum = 0;
        while let Ok(i) = rx.recv_async().await {
            sum += i;
        }
        assert_eq!(sum, senders * (each * (each - 1) / 2));
        watch.per_op(senders * each)
    })
}
