//! Channels and locks, each runtime's own, under the names that all three have for them; and what only
//! two of them have.

/// The cases on `$rt` with the `mpsc`, `Mutex` and `Semaphore` in `$names`.
macro_rules! common {
    ($rt:ty, $($names:tt)*) => {
        use crate::cases::{Case, crowd};
        use crate::measure::{Figures, Stopwatch, ops};
        use crate::rt::Rt;
        use std::future::{Future, ready};
        use std::sync::Arc;
        use $($names)*::{Mutex, Semaphore, mpsc};

        pub const CASES: &[Case] = &[
            ("mpsc_bounded_1", || bounded(1)),
            ("mpsc_bounded_4", || bounded(4)),
            ("mpsc_unbounded_1", || unbounded(1)),
            ("mpsc_unbounded_4", || unbounded(4)),
            ("mutex_free", || mutex(1, || ready(()))),
            ("mutex_8", || mutex(8, || ready(()))),
            ("mutex_8_yield", || mutex(8, <$rt>::yield_now)),
            ("semaphore_free", || semaphore(1, || ready(()))),
            ("semaphore_8", || semaphore(8, || ready(()))),
            ("semaphore_8_yield", || semaphore(8, <$rt>::yield_now)),
            ("semaphore_100k", semaphore_100k),
        ];

        fn bounded(senders: usize) -> Figures {
            let each = ops(1_000_000) / senders;
            <$rt>::run(async move {
                let (tx, mut rx) = mpsc::channel(128);
                let watch = Stopwatch::start();
                for _ in 0..senders {
                    let tx = tx.clone();
                    <$rt>::detach(async move {
                        for i in 0..each {
                            assert!(tx.send(i).await.is_ok());
                        }
                    });
                }
                drop(tx);
                let mut sum = 0;
                while let Some(i) = rx.recv().await {
                    sum += i;
                }
                assert_eq!(sum, senders * (each * (each - 1) / 2));
                watch.per_op(senders * each)
            })
        }

        /// The senders yield now and then: without a bound nothing else would let the receiver keep up.
        fn unbounded(senders: usize) -> Figures {
            let each = ops(1_000_000) / senders;
            <$rt>::run(async move {
                let (tx, mut rx) = mpsc::unbounded_channel();
                let watch = Stopwatch::start();
                for _ in 0..senders {
                    let tx = tx.clone();
                    <$rt>::detach(async move {
                        for i in 0..each {
                            assert!(tx.send(i).is_ok());
                            if i % 100 == 99 {
                                <$rt>::yield_now().await;
                            }
                        }
                    });
                }
                drop(tx);
                let mut sum = 0;
                while let Some(i) = rx.recv().await {
                    sum += i;
                }
                assert_eq!(sum, senders * (each * (each - 1) / 2));
                watch.per_op(senders * each)
            })
        }

        fn mutex<F>(tasks: usize, held: fn() -> F) -> Figures
        where
            F: Future<Output = ()> + Send + 'static,
        {
            let each = ops(400_000) / tasks;
            <$rt>::run(async move {
                let lock = Arc::new(Mutex::new(0));
                let watch = Stopwatch::start();
                let task = |_| {
                    let lock = lock.clone();
                    <$rt>::spawn(async move {
                        for _ in 0..each {
                            let mut guard = lock.lock().await;
                            held().await;
                            *guard += 1;
                        }
                    })
                };
                for task in (0..tasks).map(task).collect::<Vec<_>>() {
                    task.await;
                }
                assert_eq!(*lock.lock().await, tasks * each);
                watch.per_op(tasks * each)
            })
        }

        /// Three permits.
        fn semaphore<F>(tasks: usize, held: fn() -> F) -> Figures
        where
            F: Future<Output = ()> + Send + 'static,
        {
            let each = ops(400_000) / tasks;
            <$rt>::run(async move {
                let permits = Arc::new(Semaphore::new(3));
                let watch = Stopwatch::start();
                let task = |_| {
                    let permits = permits.clone();
                    <$rt>::spawn(async move {
                        for _ in 0..each {
                            let _permit = permits.acquire().await;
                            held().await;
                        }
                        each
                    })
                };
                let mut sum = 0;
                for task in (0..tasks).map(task).collect::<Vec<_>>() {
                    sum += task.await;
                }
                assert_eq!(sum, tasks * each);
                watch.per_op(tasks * each)
            })
        }

        /// As many tasks that wait for one permit, each of which hands it to the next.
        fn semaphore_100k() -> Figures {
            let permits = Arc::new(Semaphore::new(0));
            let all = permits.clone();
            let wait = move || {
                let permits = permits.clone();
                async move { drop(permits.acquire().await) }
            };
            crowd::<$rt, _, _>(wait, move |_| ready(all.add_permits(1)))
        }
    };
}

/// The cases on `$rt`, whose crate has tokio's names.
macro_rules! named {
    ($rt:ty, $krate:ident) => {
        pub mod named {
            use crate::cases::{Case, crowd};
            use crate::measure::{Figures, Stopwatch, ops};
            use crate::rt::Rt;
            use crate::slot::Countdown;
            use ::$krate::sync::{Notify, broadcast, mpsc, oneshot, watch};
            use ::$krate::task::JoinSet;
            use std::future::ready;
            use std::sync::Arc;

            pub const CASES: &[Case] = &[
                ("oneshot", local),
                ("oneshot_request", request),
                ("broadcast_4", broadcast_4),
                ("watch_4", watch_4),
                ("notify", notify),
                ("notify_100k", notify_100k),
                ("join_set_10k", join_set),
            ];

            /// One task does all.
            fn local() -> Figures {
                let count = ops(1_000_000);
                <$rt>::run(async move {
                    let mut sum = 0;
                    let watch = Stopwatch::start();
                    for i in 0..count {
                        let (tx, rx) = oneshot::channel();
                        assert!(tx.send(i).is_ok());
                        sum += rx.await.expect("sent");
                    }
                    assert_eq!(sum, count * (count - 1) / 2);
                    watch.per_op(count)
                })
            }

            /// A request over a channel, with the place for its answer in it.
            fn request() -> Figures {
                let count = ops(200_000);
                <$rt>::run(async move {
                    let (tx, mut rx) = mpsc::channel::<(usize, oneshot::Sender<usize>)>(16);
                    let server = <$rt>::spawn(async move {
                        while let Some((i, answer)) = rx.recv().await {
                            assert!(answer.send(i + 1).is_ok());
                        }
                    });
                    let mut value = 0;
                    let watch = Stopwatch::start();
                    for _ in 0..count {
                        let (answer, answered) = oneshot::channel();
                        assert!(tx.send((value, answer)).await.is_ok());
                        value = answered.await.expect("the server answers");
                    }
                    let figures = watch.per_op(count);
                    drop(tx);
                    server.await;
                    assert_eq!(value, count);
                    figures
                })
            }

            /// A message to four tasks, 32 at a time.
            fn broadcast_4() -> Figures {
                const BATCH: usize = 32;
                let rounds = ops(320);
                <$rt>::run(async move {
                    let (tx, _) = broadcast::channel(64);
                    let all: Vec<_> = (0..rounds).map(|_| Countdown::new(4)).collect();
                    let all = Arc::new(all);
                    let receiver = |_| {
                        let (mut rx, all) = (tx.subscribe(), all.clone());
                        <$rt>::spawn(async move {
                            for round in &*all {
                                for i in 0..BATCH {
                                    assert_eq!(rx.recv().await.expect("in time"), i);
                                }
                                round.one();
                            }
                        })
                    };
                    let receivers: Vec<_> = (0..4).map(receiver).collect();
                    let watch = Stopwatch::start();
                    for round in &*all {
                        for i in 0..BATCH {
                            tx.send(i).expect("they listen");
                        }
                        round.wait().await;
                    }
                    let figures = watch.per_op(rounds * BATCH);
                    for receiver in receivers {
                        receiver.await;
                    }
                    figures
                })
            }

            /// A value that four tasks wait for.
            fn watch_4() -> Figures {
                let count = ops(20_000);
                <$rt>::run(async move {
                    let (tx, _) = watch::channel(0);
                    let all: Vec<_> = (0..count).map(|_| Countdown::new(4)).collect();
                    let all = Arc::new(all);
                    let receiver = |_| {
                        let (mut rx, all) = (tx.subscribe(), all.clone());
                        <$rt>::spawn(async move {
                            for (i, round) in all.iter().enumerate() {
                                rx.changed().await.expect("the sender is there");
                                assert_eq!(*rx.borrow_and_update(), i + 1);
                                round.one();
                            }
                        })
                    };
                    let receivers: Vec<_> = (0..4).map(receiver).collect();
                    let watch = Stopwatch::start();
                    for (i, round) in all.iter().enumerate() {
                        tx.send(i + 1).expect("they listen");
                        round.wait().await;
                    }
                    let figures = watch.per_op(count);
                    for receiver in receivers {
                        receiver.await;
                    }
                    figures
                })
            }

            /// There and back by two of them.
            fn notify() -> Figures {
                let count = ops(200_000);
                <$rt>::run(async move {
                    let (there, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
                    let (far_there, far_back) = (there.clone(), back.clone());
                    let far = <$rt>::spawn(async move {
                        for _ in 0..count {
                            far_there.notified().await;
                            far_back.notify_one();
                        }
                        count
                    });
                    let watch = Stopwatch::start();
                    for _ in 0..count {
                        there.notify_one();
                        back.notified().await;
                    }
                    let figures = watch.per_op(count);
                    assert_eq!(far.await, count);
                    figures
                })
            }

            /// As many tasks that wait, each of which notifies the next.
            fn notify_100k() -> Figures {
                let notify = Arc::new(Notify::new());
                let all = notify.clone();
                let wait = move || {
                    let notify = notify.clone();
                    async move {
                        notify.notified().await;
                        notify.notify_one();
                    }
                };
                crowd::<$rt, _, _>(wait, move |_| ready(all.notify_one()))
            }

            fn join_set() -> Figures {
                const TASKS: usize = 10_000;
                let rounds = ops(20);
                <$rt>::run(async move {
                    let mut set = JoinSet::new();
                    let mut sum = 0;
                    let watch = Stopwatch::start();
                    for _ in 0..rounds {
                        for i in 0..TASKS {
                            set.spawn(async move { i });
                        }
                        while let Some(done) = set.join_next().await {
                            sum += done.expect("the task ended well");
                        }
                    }
                    assert_eq!(sum, rounds * (TASKS * (TASKS - 1) / 2));
                    watch.per_op(rounds * TASKS)
                })
            }
        }
    };
}

pub mod reiver {
    common!(crate::rt::reiver::Reiver, ::reiver::sync);
    named!(crate::rt::reiver::Reiver, reiver);
}

pub mod tokio {
    common!(crate::rt::tokio::Tokio, ::tokio::sync);
    named!(crate::rt::tokio::Tokio, tokio);
}

pub mod smol {
    common!(crate::rt::smol::Smol, crate::rt::smol::names);
}
