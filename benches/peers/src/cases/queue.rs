//! A queue from which many take: what each of the three has that comes closest to asyncio's.

use super::{Case, crowd};
use crate::measure::{Figures, Stopwatch, ops};
use crate::rt::Rt;
use std::future::Future;
use std::sync::Arc;

/// As many tasks put as take.
const TASKS: usize = 4;
const PLACES: usize = 128;

trait Queue: Clone + Send + Sync + 'static {
    fn new(places: usize) -> Self;
    fn put(&self, item: usize) -> impl Future<Output = ()> + Send;
    fn get(&self) -> impl Future<Output = usize> + Send;
}

type ReiverQueue = Arc<reiver::sync::Queue<usize>>;

impl Queue for ReiverQueue {
    fn new(places: usize) -> Self {
        Arc::new(reiver::sync::Queue::new(places))
    }

    async fn put(&self, item: usize) {
        reiver::sync::Queue::put(self, item).await.expect("it is not shut down");
    }

    async fn get(&self) -> usize {
        reiver::sync::Queue::get(self).await.expect("it is not shut down")
    }
}

/// tokio has a channel for one receiver only; several share it by a lock, as its users do.
#[derive(Clone)]
struct Locked {
    tx: tokio::sync::mpsc::Sender<usize>,
    rx: Arc<tokio::sync::Mutex<tokio::sync::mpsc::Receiver<usize>>>,
}

impl Queue for Locked {
    fn new(places: usize) -> Self {
        let (tx, rx) = tokio::sync::mpsc::channel(places);
        Self { tx, rx: Arc::new(tokio::sync::Mutex::new(rx)) }
    }

    async fn put(&self, item: usize) {
        self.tx.send(item).await.expect("the receiver is there");
    }

    async fn get(&self) -> usize {
        self.rx.lock().await.recv().await.expect("a sender is there")
    }
}

type Channel = (smol::channel::Sender<usize>, smol::channel::Receiver<usize>);

impl Queue for Channel {
    fn new(places: usize) -> Self {
        smol::channel::bounded(places)
    }

    async fn put(&self, item: usize) {
        self.0.send(item).await.expect("a receiver is there");
    }

    async fn get(&self) -> usize {
        self.1.recv().await.expect("a sender is there")
    }
}

fn four<R: Rt, Q: Queue>() -> Figures {
    let each = ops(400_000) / TASKS;
    R::run(async move {
        let queue = Q::new(PLACES);
        let watch = Stopwatch::start();
        for _ in 0..TASKS {
            let queue = queue.clone();
            R::detach(async move {
                for item in 0..each {
                    queue.put(item).await;
                }
            });
        }
        let take = |_| {
            let queue = queue.clone();
            R::spawn(async move {
                let mut sum = 0;
                for _ in 0..each {
                    sum += queue.get().await;
                }
                sum
            })
        };
        let mut sum = 0;
        for task in (0..TASKS).map(take).collect::<Vec<_>>() {
            sum += task.await;
        }
        assert_eq!(sum, TASKS * (each * (each - 1) / 2));
        watch.per_op(TASKS * each)
    })
}

/// As many tasks that wait for an item each.
fn hundred_thousand<R: Rt, Q: Queue>() -> Figures {
    let queue = Q::new(PLACES);
    let all = queue.clone();
    let wait = move || {
        let queue = queue.clone();
        async move { _ = queue.get().await }
    };
    crowd::<R, _, _>(wait, move |count| async move {
        for item in 0..count {
            all.put(item).await;
        }
    })
}

pub const REIVER: &[Case] = &[
    ("queue_4", four::<crate::rt::reiver::Reiver, ReiverQueue>),
    ("queue_100k", hundred_thousand::<crate::rt::reiver::Reiver, ReiverQueue>),
];
pub const TOKIO: &[Case] = &[
    ("queue_4", four::<crate::rt::tokio::Tokio, Locked>),
    ("queue_100k", hundred_thousand::<crate::rt::tokio::Tokio, Locked>),
];
pub const SMOL: &[Case] = &[
    ("queue_4", four::<crate::rt::smol::Smol, Channel>),
    ("queue_100k", hundred_thousand::<crate::rt::smol::Smol, Channel>),
];
