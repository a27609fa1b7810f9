//! Going from one task to another: yields and messages, on a worker, across `block_on` and threads.

use crate::measure::{Figures, Stopwatch, ops};
use crate::rt::Rt;
use crate::slot::{Countdown, Slot};
use std::sync::mpsc;

pub fn yield_many<R: Rt>() -> Figures {
    const TASKS: usize = 200;
    let yields = ops(5000);
    R::run(async move {
        let watch = Stopwatch::start();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                R::spawn(async move {
                    for _ in 0..yields {
                        R::yield_now().await;
                    }
                    yields
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        assert_eq!(sum, TASKS * yields);
        watch.per_op(TASKS * yields)
    })
}

pub fn yield_one<R: Rt>() -> Figures {
    let yields = ops(300_000);
    R::run(async move {
        let watch = Stopwatch::start();
        for _ in 0..yields {
            R::yield_now().await;
        }
        watch.per_op(yields)
    })
}

pub fn ping_pong<R: Rt>() -> Figures {
    let trips = ops(100_000);
    R::run(async move {
        let (there, back) = (Slot::new(), Slot::new());
        let (far_there, far_back) = (there.clone(), back.clone());
        let far = R::spawn(async move {
            for _ in 0..=trips {
                far_back.send(far_there.recv().await + 1);
            }
        });
        there.send(0);
        let mut value = back.recv().await;
        let watch = Stopwatch::start();
        for _ in 0..trips {
            there.send(value);
            value = back.recv().await;
        }
        let figures = watch.per_op(trips);
        far.await;
        assert_eq!(value, trips + 1);
        figures
    })
}

/// tokio's own form: a thousand tasks, each of which spawns a partner for one round trip.
pub fn ping_pong_1000<R: Rt>() -> Figures {
    const PAIRS: usize = 1000;
    let rounds = ops(50);
    R::run(async move {
        let watch = Stopwatch::start();
        for _ in 0..rounds {
            let countdown = Countdown::new(PAIRS);
            for _ in 0..PAIRS {
                let countdown = countdown.clone();
                R::detach(async move {
                    let (there, back) = (Slot::new(), Slot::new());
                    let (far_there, far_back) = (there.clone(), back.clone());
                    R::detach(async move {
                        let value = far_there.recv().await;
                        far_back.send(value);
                    });
                    there.send(());
                    back.recv().await;
                    countdown.one();
                });
            }
            countdown.wait().await;
        }
        watch.per_op(rounds * PAIRS)
    })
}

/// `block_on` sends to a task and waits for the answer.
pub fn block_on_round_trip<R: Rt>() -> Figures {
    let trips = ops(10_000);
    let (there, back) = (Slot::new(), Slot::new());
    let (far_there, far_back) = (there.clone(), back.clone());
    R::remote(async move {
        for _ in 0..trips {
            far_back.send(far_there.recv().await + 1);
        }
    });
    R::block_on(async move {
        let mut value = 0;
        let watch = Stopwatch::start();
        for _ in 0..trips {
            there.send(value);
            value = back.recv().await;
        }
        assert_eq!(value, trips);
        watch.per_op(trips)
    })
}

/// A thread that is no worker wakes a task and waits for its answer.
pub fn wake_from_thread<R: Rt>() -> Figures {
    let trips = ops(10_000);
    let there = Slot::new();
    let (answer, answers) = mpsc::sync_channel(1);
    let far_there = there.clone();
    R::remote(async move {
        for _ in 0..trips {
            let value: usize = far_there.recv().await;
            answer.send(value + 1).expect("the thread waits");
        }
    });
    let mut value = 0;
    let watch = Stopwatch::start();
    for _ in 0..trips {
        there.send(value);
        value = answers.recv().expect("the task answers");
    }
    assert_eq!(value, trips);
    watch.per_op(trips)
}
