//! Many tasks on one primitive: all come through, those that are promised an order in that order, and
//! nothing is left.

use reiver::runtime::{Builder, Runtime};
use reiver::sync::{
    Barrier, CapacityLimiter, Condition, Event, Mutex, Notify, Queue, RwLock, Semaphore,
};
use reiver::task::{JoinSet, gather, yield_now};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

const CROWD: usize = 100_000;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[track_caller]
fn nobody_is_left(runtime: &Runtime) {
    assert_eq!(runtime.handle().dump().len(), 0);
    assert_eq!(runtime.metrics().num_timers(), 0);
}

#[test]
fn a_semaphore_and_a_limiter_let_no_more_than_three_in() {
    let runtime = runtime();
    runtime.block_on(async {
        let semaphore = Arc::new(Semaphore::new(3));
        let limiter = Arc::new(CapacityLimiter::new(3));
        let inside = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        gather((0..CROWD).map(|_| {
            let (semaphore, limiter, inside) = (semaphore.clone(), limiter.clone(), inside.clone());
            async move {
                let permit = semaphore.acquire().await.unwrap();
                assert!(inside[0].fetch_add(1, SeqCst) < 3);
                yield_now().await;
                inside[0].fetch_sub(1, SeqCst);
                drop(permit);
                let token = limiter.acquire().await.unwrap();
                assert!(inside[1].fetch_add(1, SeqCst) < 3);
                inside[1].fetch_sub(1, SeqCst);
                drop(token);
            }
        }))
        .await;
        assert_eq!((semaphore.available_permits(), limiter.available_tokens()), (3, 3));
        assert!(limiter.statistics().borrowers.is_empty());
    });
    nobody_is_left(&runtime);
}

/// What a crowd does in [`in_turn`]: the order in which it asked, and that in which it was served.
#[derive(Default)]
struct Orders {
    asked: std::sync::Mutex<Vec<usize>>,
    served: std::sync::Mutex<Vec<usize>>,
}

/// One of a crowd that has its turn.
struct Turn(usize, Arc<Orders>);

impl Turn {
    fn comes(self) {
        self.1.served.lock().unwrap().push(self.0);
    }
}

/// A crowd of tasks waits, each by `wait`, which passes the turn on when it has come; `begin` gives it to the first.
async fn in_turn<F>(wait: impl Fn(Turn) -> F, begin: impl FnOnce()) -> Arc<Orders>
where
    F: Future<Output = ()> + Send + 'static,
{
    let orders = Arc::new(Orders::default());
    let mut set = JoinSet::new();
    for n in 0..CROWD {
        let (theirs, waiting) = (orders.clone(), wait(Turn(n, orders.clone())));
        set.spawn(async move {
            theirs.asked.lock().unwrap().push(n);
            waiting.await;
        });
    }
    while orders.asked.lock().unwrap().len() < CROWD {
        yield_now().await;
    }
    begin();
    while let Some(ended) = set.join_next().await {
        ended.unwrap();
    }
    orders
}

/// A crowd on each of those that serve in the order of asking.
async fn on_each_in_turn() -> Vec<(&'static str, Arc<Orders>)> {
    let mut all = Vec::new();

    let mutex = Arc::new(Mutex::new(()));
    let held = mutex.clone().lock_owned().await;
    let wait = |turn: Turn| {
        let mutex = mutex.clone();
        async move {
            let _held = mutex.lock().await;
            turn.comes();
        }
    };
    all.push(("Mutex", in_turn(wait, || drop(held)).await));

    let lock = Arc::new(RwLock::new(()));
    let held = lock.clone().read_owned().await;
    let wait = |turn: Turn| {
        let lock = lock.clone();
        async move {
            let _held = lock.write().await;
            turn.comes();
        }
    };
    all.push(("RwLock", in_turn(wait, || drop(held)).await));

    let semaphore = Arc::new(Semaphore::new(0));
    let wait = |turn: Turn| {
        let semaphore = semaphore.clone();
        async move {
            let _permit = semaphore.acquire().await.unwrap();
            turn.comes();
        }
    };
    all.push(("Semaphore", in_turn(wait, || semaphore.add_permits(1)).await));

    let limiter = Arc::new(CapacityLimiter::new(1));
    let held = limiter.acquire_nowait().unwrap();
    let wait = |turn: Turn| {
        let limiter = limiter.clone();
        async move {
            let _token = limiter.acquire().await.unwrap();
            turn.comes();
        }
    };
    all.push(("CapacityLimiter", in_turn(wait, || drop(held)).await));

    let notify = Arc::new(Notify::new());
    let wait = |turn: Turn| {
        let notify = notify.clone();
        async move {
            notify.notified().await;
            turn.comes();
            notify.notify_one();
        }
    };
    all.push(("Notify", in_turn(wait, || notify.notify_one()).await));

    let queue = Arc::new(Queue::new(0));
    let wait = |turn: Turn| {
        let queue = queue.clone();
        async move {
            queue.get().await.unwrap();
            turn.comes();
            queue.put_nowait(()).unwrap();
        }
    };
    all.push(("Queue::get", in_turn(wait, || queue.put_nowait(()).unwrap()).await));

    let queue = Arc::new(Queue::new(1));
    queue.put_nowait(()).unwrap();
    let wait = |turn: Turn| {
        let queue = queue.clone();
        async move {
            queue.put(()).await.unwrap();
            turn.comes();
            queue.get_nowait().unwrap();
        }
    };
    all.push(("Queue::put", in_turn(wait, || queue.get_nowait().unwrap()).await));
    all
}

/// With one worker it is known who asked first.
#[test]
fn a_crowd_is_served_in_the_order_of_asking() {
    let runtime = Builder::new_current_thread().build().unwrap();
    for (what, orders) in runtime.block_on(on_each_in_turn()) {
        let (asked, served) = (orders.asked.lock().unwrap(), orders.served.lock().unwrap());
        assert_eq!(served.len(), CROWD, "{what}");
        // Without printing a hundred thousand numbers.
        assert!(*asked == *served, "{what}");
    }
    nobody_is_left(&runtime);
}

/// Counts what is allocated. What the system's allocator keeps of what was freed is its affair, and no two runs of it
/// agree on that.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// In a process of its own: the other tests allocate meanwhile.
#[test]
fn a_crowd_that_comes_again_takes_no_more_memory() {
    const NAME: &str = "a_crowd_that_comes_again_takes_no_more_memory";
    if std::env::var_os("REIVER_CROWD_CHILD").is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([NAME, "--exact", "--nocapture"]).env("REIVER_CROWD_CHILD", "1");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let runtime = runtime();
    let left: Vec<usize> = (0..2)
        .map(|_| {
            drop(runtime.block_on(on_each_in_turn()));
            nobody_is_left(&runtime);
            LIVE.load(Relaxed)
        })
        .collect();
    // What a first crowd leaves is room for the next, such as the queues of the workers, of which one may be twice as
    // long the next time. A word that each of a crowd leaves on each of these would be more.
    assert!(left[1] < left[0] + 40 * CROWD, "{left:?}");
}

#[test]
fn everybody_hears_a_notification_and_an_event() {
    let runtime = runtime();
    runtime.block_on(async {
        let shared = Arc::new((Notify::new(), Event::new(), AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..CROWD {
            let shared = shared.clone();
            set.spawn(async move {
                let notified = shared.0.notified();
                shared.2.fetch_add(1, SeqCst);
                notified.await;
                shared.1.wait().await;
            });
        }
        while shared.2.load(SeqCst) < CROWD {
            yield_now().await;
        }
        shared.0.notify_waiters();
        shared.1.set();
        while let Some(ended) = set.join_next().await {
            ended.unwrap();
        }
    });
    nobody_is_left(&runtime);
}

#[test]
fn a_queue_serves_a_crowd_at_both_ends() {
    let runtime = runtime();
    runtime.block_on(async {
        let queue = Arc::new(Queue::new(10));
        let getters = queue.clone();
        let getters = reiver::spawn(gather((0..CROWD).map(move |_| {
            let queue = getters.clone();
            async move {
                let item = queue.get().await.unwrap();
                queue.task_done();
                item
            }
        })));
        let putters = queue.clone();
        gather((0..CROWD).map(move |n| {
            let queue = putters.clone();
            async move { queue.put(n).await.unwrap() }
        }))
        .await;
        queue.join().await;
        let mut items = getters.await.unwrap();
        items.sort();
        assert!(items.into_iter().eq(0..CROWD));
        assert!(queue.is_empty());
    });
    nobody_is_left(&runtime);
}

#[test]
fn a_condition_and_a_barrier_let_everybody_through() {
    let runtime = runtime();
    runtime.block_on(async {
        let shared = Arc::new((Mutex::new(0), Condition::new(), Barrier::new(1000)));
        let leaders = gather((0..CROWD / 10).map(|_| {
            let shared = shared.clone();
            async move {
                let (turns, changed, barrier) = &*shared;
                // A token goes round: each waits for one and leaves one.
                let mut turns = changed.wait_for(turns.lock().await, |turns| *turns > 0).await;
                *turns -= 1;
                drop(turns);
                *shared.0.lock().await += 1;
                changed.notify_one();
                usize::from(barrier.wait().await.is_leader())
            }
        }));
        let leaders = reiver::spawn(leaders);
        *shared.0.lock().await += 1;
        shared.1.notify_one();
        assert_eq!(leaders.await.unwrap().into_iter().sum::<usize>(), CROWD / 10 / 1000);
    });
    nobody_is_left(&runtime);
}
