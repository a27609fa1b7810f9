//! The bound of the user lane.

use super::*;

#[test]
fn a_full_lane_refuses_and_makes_wait() {
    let bench = Bench::new(Config { max_queue: Some(2), ..config(1) });
    let (end, _busy) = bench.occupy(Spec::user());
    let queued: Vec<_> =
        (0..2).map(|n| bench.pool.try_spawn(Spec::user(), move || n).unwrap()).collect();
    let refused = bench.pool.try_spawn(Spec::user(), || 9).unwrap_err();
    assert!(matches!(refused, Refused::Full(_)));
    assert_eq!(refused.into_closure()(), 9);
    // Not for the runtime, and not for who insists.
    let anyway = bench.spawn(|| 2);
    let runtime = bench.pool.try_spawn(Spec::runtime(), || 3).unwrap();

    let mut dropped = Box::pin(bench.pool.place());
    assert!(poll_once(&mut dropped).is_pending());
    let mut waits = Box::pin(bench.pool.place());
    assert!(poll_once(&mut waits).is_pending());
    drop(dropped);
    drop(end);
    let last = block_on(waits).spawn(Spec::user(), || 4).unwrap();
    for (n, handle) in queued.into_iter().chain([anyway, runtime, last]).enumerate() {
        assert_eq!(block_on(handle).unwrap(), n);
    }
    // All places are back.
    let places = [block_on(bench.pool.place()), block_on(bench.pool.place())];
    assert!(matches!(bench.pool.try_spawn(Spec::user(), || 5), Err(Refused::Full(_))));
    drop(places);
    assert_eq!(block_on(bench.pool.try_spawn(Spec::user(), || 6).unwrap()).unwrap(), 6);
}

/// Counts wakes.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Count {
    fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        let waker = Waker::from(self.clone());
        std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker))
    }
}

#[test]
fn waiters_keep_their_order() {
    let room = Room::new(1);
    room.take();
    let counts = [0; 3].map(|_| Arc::<Count>::default());
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(room.wait())).collect();
    for (wait, count) in waits.iter_mut().zip(&counts) {
        assert!(count.poll(wait).is_pending());
    }
    let woken = || counts.each_ref().map(|c| c.0.load(SeqCst));
    room.give_back();
    assert_eq!(woken(), [1, 0, 0]);
    // A newcomer is faster.
    assert!(room.try_take());
    assert!(counts[0].poll(&mut waits[0]).is_pending());
    room.give_back();
    assert_eq!(woken(), [2, 0, 0], "it has lost its place");
    assert!(counts[0].poll(&mut waits[0]).is_ready());
    assert_eq!(woken(), [2, 0, 0], "there is no room to wake anybody for");
    room.give_back();
    assert_eq!(woken(), [2, 1, 0]);
    assert!(counts[1].poll(&mut waits[1]).is_ready());
    room.give_back();
    assert_eq!(woken(), [2, 1, 1]);
}

#[test]
fn a_woken_waiter_that_is_dropped_passes_the_room_on() {
    let room = Room::new(1);
    room.take();
    let counts = [0, 1].map(|_| Arc::<Count>::default());
    let mut waits: Vec<_> = (0..2).map(|_| Box::pin(room.wait())).collect();
    for (wait, count) in waits.iter_mut().zip(&counts) {
        assert!(count.poll(wait).is_pending());
    }
    let woken = || counts.each_ref().map(|c| c.0.load(SeqCst));
    room.give_back();
    assert_eq!(woken(), [1, 0]);
    drop(waits.remove(0));
    assert_eq!(woken(), [1, 1]);
    assert!(poll_once(&mut waits[0]).is_ready());
    assert!(!room.try_take());
}

#[test]
fn four_submitters_wait_for_room() {
    let bench = Bench::new(Config { max_queue: Some(3), ..config(2) });
    let done = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let place = block_on(bench.pool.place());
                    let done = done.clone();
                    drop(place.spawn(Spec::user(), move || done.fetch_add(1, SeqCst)).unwrap());
                }
            });
        }
    });
    bench.until(|m| m.jobs == 4_000);
    assert_eq!(done.load(SeqCst), 4_000);
}
