//! Models of the reactor: checks `src/reactor/README.md`, "Why nothing is lost".
//!
//! The kernel's side of a descriptor is a counter or a cell that is written *before* the event, by
//! plain or relaxed writes: who acts on an event must see what caused it.

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicU64, Ordering::Relaxed};
use reiver_model::internals::primitive::{Arc, Mutex, UnsafeCell};
use reiver_model::internals::reactor::slab::FreeSet;
use reiver_model::internals::reactor::source::{Direction, Source, Wait, Waiter};
use reiver_model::internals::reactor::word::{ReadyEvent, Watched};
use reiver_model::internals::reactor::{Interest, Ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

/// Counts its wakes. (The standard atomic: what is counted is no part of the protocol.)
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Default)]
struct Task(Arc<Count>);

impl Task {
    fn wakes(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }

    fn poll(&self, source: &Source, seen: Option<ReadyEvent>) -> Wait {
        let waker = Waker::from(self.0.clone());
        source.poll_slot(Direction::Read, seen, &mut Context::from_waker(&waker))
    }

    fn poll_write(&self, source: &Source) -> Wait {
        let waker = Waker::from(self.0.clone());
        source.poll_slot(Direction::Write, None, &mut Context::from_waker(&waker))
    }

    fn wait(&self, source: &Source, waiter: Pin<&Waiter>) -> Wait {
        let waker = Waker::from(self.0.clone());
        source.poll_waiter(waiter, &mut Context::from_waker(&waker))
    }

    /// Whether somebody keeps a waker of this task.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// A descriptor: its source, and how many messages the kernel holds.
struct Socket {
    source: Source,
    arrived: AtomicU64,
}

impl Socket {
    fn new(assumed: Ready) -> Arc<Self> {
        let source = Source::new();
        let _ = source.word().open(assumed, Watched::of(Ready::ALL));
        Arc::new(Self { source, arrived: AtomicU64::new(0) })
    }

    /// A message arrives, and its event is dispatched.
    fn message(&self) {
        // Relaxed: the event is what publishes it.
        self.arrived.fetch_add(1, Relaxed);
        assert!(self.source.dispatch(0, Ready::READABLE));
    }
}

fn waiter(interest: Interest) -> Pin<Box<Waiter>> {
    Box::pin(Waiter::new(Ready::from_interest(interest)))
}

/// A reader finds nothing and clears the readiness as a message arrives.
#[test]
fn io_ready_vs_clear() {
    must_reach(&["waits, and is woken", "the clear was refused", "read at once"]);
    model("io_ready_vs_clear", Bound::None, || {
        let socket = Socket::new(Ready::READABLE);
        let theirs = socket.clone();
        let kernel = spawn(move || theirs.message());
        let task = Task::default();
        let mut seen = None;
        let mut rounds = 0;
        let waiting = loop {
            match task.poll(&socket.source, seen) {
                Wait::Ready(event) if socket.arrived.load(Relaxed) == 0 => seen = Some(event),
                Wait::Ready(_) => break false,
                Wait::Pending(_) => break true,
                Wait::ShutDown => unreachable!("nobody shuts down"),
            }
            rounds += 1;
            assert!(rounds < 3, "one message, and three times readiness without it");
        };
        kernel.join().unwrap();
        assert_eq!(task.wakes(), usize::from(waiting), "readiness is lost, or woken twice");
        match (waiting, rounds) {
            (true, _) => reached("waits, and is woken"),
            (false, 0) => reached("read at once"),
            (false, _) => reached("the clear was refused"),
        }
    });
}

/// The same by `clear` and a wait in two steps, as `try_io` and the futures do it.
#[test]
fn io_ready_vs_two_step_clear() {
    must_reach(&["woken", "ready again"]);
    model("io_ready_vs_two_step_clear", Bound::None, || {
        let socket = Socket::new(Ready::READABLE);
        let theirs = socket.clone();
        let kernel = spawn(move || theirs.message());
        let task = Task::default();
        let node = waiter(Interest::READABLE);
        let Wait::Ready(event) = task.wait(&socket.source, node.as_ref()) else {
            panic!("readiness is assumed")
        };
        if socket.arrived.load(Relaxed) == 0 {
            socket.source.word().clear(event);
        }
        let wait = task.wait(&socket.source, node.as_ref());
        kernel.join().unwrap();
        match wait {
            Wait::Ready(_) => reached("ready again"),
            _ => {
                assert_eq!(task.wakes(), 1, "readiness is lost");
                reached("woken");
            }
        }
        socket.source.cancel(node.as_ref());
        assert!(!task.is_held());
    });
}

/// A reader leaves its waker as the event comes. What made the event is visible after it.
#[test]
fn io_waker_vs_event() {
    struct Data(UnsafeCell<u32>);
    // SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
    unsafe impl Sync for Data {}

    must_reach(&["in time", "woken"]);
    model("io_waker_vs_event", Bound::None, || {
        let socket = Socket::new(Ready::EMPTY);
        let data = Arc::new(Data(UnsafeCell::new(0)));
        let (their_socket, their_data) = (socket.clone(), data.clone());
        let kernel = spawn(move || {
            // SAFETY: loom checks that the reader has not begun.
            their_data.0.with_mut(|cell| unsafe { *cell = 7 });
            assert!(their_socket.source.dispatch(0, Ready::READABLE));
        });
        let task = Task::default();
        // Twice: the first to leave the waker, the second to be refused.
        let (first, second) = (task.poll(&socket.source, None), task.poll(&socket.source, None));
        if let Wait::Ready(_) = second {
            // SAFETY: loom checks that the writer is done.
            data.0.with(|cell| assert_eq!(unsafe { *cell }, 7));
        }
        kernel.join().unwrap();
        match (first, second) {
            (Wait::Ready(_), Wait::Ready(_)) => {
                assert_eq!(task.wakes(), 0);
                reached("in time");
            }
            (Wait::Pending(_), _) => {
                assert_eq!(task.wakes(), 1, "the waker is forgotten");
                reached("woken");
            }
            other => panic!("readiness went away by itself: {other:?}"),
        }
        assert!(!task.is_held());
    });
}

/// Two tasks poll one direction: the last in place is woken, and no waker is kept.
#[test]
fn io_two_wakers() {
    must_reach(&["both in time", "one waits", "one is displaced"]);
    model("io_two_wakers", Bound::Preemptions(3), || {
        let socket = Socket::new(Ready::EMPTY);
        let tasks: [Task; 2] = Default::default();
        let poll = |task: &Task| {
            let (socket, task) = (socket.clone(), task.clone());
            move || matches!(task.poll(&socket.source, None), Wait::Pending(_))
        };
        let other = spawn(poll(&tasks[1]));
        let kernel_socket = socket.clone();
        let kernel = spawn(move || kernel_socket.message());
        let waits = [poll(&tasks[0])(), other.join().unwrap()];
        kernel.join().unwrap();
        let wakes = [tasks[0].wakes(), tasks[1].wakes()];
        for (index, task) in tasks.iter().enumerate() {
            assert!(wakes[index] <= usize::from(waits[index]));
            assert!(!task.is_held());
        }
        match (waits, wakes) {
            ([true, true], [0, 1] | [1, 0]) => reached("one is displaced"),
            ([true, false], [1, 0]) | ([false, true], [0, 1]) => reached("one waits"),
            ([false, false], [0, 0]) => reached("both in time"),
            wrong => panic!("waits and wakes: {wrong:?}"),
        }
    });
}

/// A reader consumes the first message and waits again, with another waker, while the dispatcher of
/// the first still wakes; the second message must reach the new waker.
#[test]
fn io_rearm_vs_wake() {
    must_reach(&["waits behind both", "the second wakes"]);
    model("io_rearm_vs_wake", Bound::Preemptions(3), || {
        let socket = Socket::new(Ready::EMPTY);
        let first = Task::default();
        assert!(matches!(first.poll(&socket.source, None), Wait::Pending(_)));
        let theirs = socket.clone();
        let kernel = spawn(move || {
            theirs.message();
            theirs.message();
        });
        let second = Task::default();
        let (mut seen, mut consumed) = (None, 0);
        // Returns with the waker of the second task in place.
        let rounds = (0..4).find(|_| match second.poll(&socket.source, seen) {
            Wait::Pending(_) => true,
            Wait::Ready(event) => {
                consumed = socket.arrived.load(Relaxed);
                assert!(consumed > 0, "an event without its message");
                seen = Some(event);
                false
            }
            Wait::ShutDown => unreachable!("nobody shuts down"),
        });
        assert!(rounds.is_some(), "two messages, four times readiness");
        kernel.join().unwrap();
        assert!(second.wakes() > 0 || consumed == 2, "the second message is lost");
        if second.wakes() == 0 {
            reached("waits behind both");
            assert!(second.is_held());
        } else {
            reached("the second wakes");
        }
        socket.source.close();
        assert!(!first.is_held() && !second.is_held());
    });
}

/// A slot changes hands as an event for its former owner is dispatched: the next owner is not woken
/// by it, not ready by it, and no waker of the former one is kept.
#[test]
fn io_deregister_vs_event() {
    must_reach(&["the event came first", "the event was stale", "drained before the wake"]);
    model("io_deregister_vs_event", Bound::None, || {
        let source = Arc::new(Source::new());
        let old = source.word().open(Ready::EMPTY, Watched::of(Ready::ALL)).generation();
        let (former, next) = (Task::default(), Task::default());
        assert!(matches!(former.poll(&source, None), Wait::Pending(_)));
        // This one waits where the next owner does not.
        let writer = Task::default();
        assert!(matches!(writer.poll_write(&source), Wait::Pending(_)));
        let theirs = source.clone();
        let kernel = spawn(move || theirs.dispatch(old, Ready::READABLE));
        source.close();
        let new = source.word().open(Ready::EMPTY, Watched::of(Ready::ALL)).generation();
        assert_ne!(old, new);
        assert!(matches!(next.poll(&source, None), Wait::Pending(_)), "the former owner's event");
        let met = kernel.join().unwrap();
        assert_eq!(next.wakes(), 0, "woken by the former owner's event");
        assert!(!former.is_held() && !writer.is_held());
        match (met, former.wakes()) {
            (true, 1) => reached("the event came first"),
            (true, 0) => reached("drained before the wake"),
            (false, 0) => reached("the event was stale"),
            wrong => panic!("{wrong:?}"),
        }
        assert!(source.dispatch(new, Ready::READABLE));
        assert_eq!(next.wakes(), 1, "the waker was taken away");
    });
}

/// One future of two is dropped as the event comes: the other is woken, and the list is whole.
#[test]
fn io_cancel_vs_event() {
    must_reach(&["cancelled before", "cancelled after"]);
    model("io_cancel_vs_event", Bound::None, || {
        let socket = Socket::new(Ready::EMPTY);
        let (leaving, staying) = (Task::default(), Task::default());
        let (gone, kept) = (waiter(Interest::READABLE), waiter(Interest::READABLE));
        assert!(matches!(leaving.wait(&socket.source, gone.as_ref()), Wait::Pending(_)));
        assert!(matches!(staying.wait(&socket.source, kept.as_ref()), Wait::Pending(_)));
        let theirs = socket.clone();
        let kernel = spawn(move || theirs.message());
        socket.source.cancel(gone.as_ref());
        assert!(!leaving.is_held() || leaving.wakes() == 0, "in the batch at most");
        // Nobody may touch it from here on.
        drop(gone);
        kernel.join().unwrap();
        assert_eq!(staying.wakes(), 1);
        assert!(!leaving.is_held() && !staying.is_held());
        reached(if leaving.wakes() == 0 { "cancelled before" } else { "cancelled after" });
        // The list is empty and works, also when one that the event took out is cancelled late.
        let before = leaving.wakes();
        let again = waiter(Interest::PRIORITY);
        assert!(matches!(leaving.wait(&socket.source, again.as_ref()), Wait::Pending(_)));
        socket.source.cancel(kept.as_ref());
        assert!(socket.source.dispatch(0, Ready::PRIORITY));
        assert_eq!((leaving.wakes(), staying.wakes()), (before + 1, 1));
        socket.source.cancel(again.as_ref());
        assert!(!leaving.is_held());
    });
}

/// A future begins to wait as the event comes.
#[test]
fn io_future_vs_event() {
    must_reach(&["in time", "woken"]);
    model("io_future_vs_event", Bound::None, || {
        let socket = Socket::new(Ready::EMPTY);
        let theirs = socket.clone();
        let kernel = spawn(move || theirs.message());
        let task = Task::default();
        let node = waiter(Interest::READABLE | Interest::WRITABLE);
        let wait = task.wait(&socket.source, node.as_ref());
        kernel.join().unwrap();
        match wait {
            Wait::Pending(_) => {
                assert_eq!(task.wakes(), 1, "the waker is forgotten");
                reached("woken");
            }
            _ => reached("in time"),
        }
        assert!(matches!(task.wait(&socket.source, node.as_ref()), Wait::Ready(_)));
        socket.source.cancel(node.as_ref());
    });
}

/// The shutdown comes as a reader and a future begin to wait: both are told, now or by a wake.
#[test]
fn io_shutdown_vs_wait() {
    must_reach(&["told at once", "woken"]);
    model("io_shutdown_vs_wait", Bound::None, || {
        let socket = Socket::new(Ready::EMPTY);
        let theirs = socket.clone();
        let closer = spawn(move || theirs.source.shut_down());
        let (slot, list) = (Task::default(), Task::default());
        let node = waiter(Interest::WRITABLE);
        let waits = [slot.poll(&socket.source, None), list.wait(&socket.source, node.as_ref())];
        closer.join().unwrap();
        for (task, wait) in [&slot, &list].into_iter().zip(waits) {
            match wait {
                Wait::Pending(_) => {
                    assert_eq!(task.wakes(), 1, "waits for ever");
                    reached("woken");
                }
                Wait::ShutDown => reached("told at once"),
                Wait::Ready(event) => panic!("ready: {event:?}"),
            }
            assert!(!task.is_held());
        }
        assert_eq!(slot.poll(&socket.source, None), Wait::ShutDown);
    });
}

/// A slot is registered as the reactor is shut down: its owner is told.
#[test]
fn io_shutdown_vs_open() {
    model("io_shutdown_vs_open", Bound::None, || {
        let source = Arc::new(Source::new());
        let theirs = source.clone();
        let closer = spawn(move || theirs.shut_down());
        // The slot is opened, closed and opened again; none of it takes the mark away.
        let _ = source.word().open(Ready::READABLE, Watched::of(Ready::ALL));
        source.close();
        let _ = source.word().open(Ready::EMPTY, Watched::of(Ready::ALL));
        let task = Task::default();
        let wait = task.poll(&source, None);
        closer.join().unwrap();
        assert!(wait == Wait::ShutDown || task.wakes() == 1);
        assert_eq!(task.poll(&source, None), Wait::ShutDown);
    });
}

/// Two waits add a direction each to what the poller watches; it ends up watching both, though the
/// calls to it may come in either order.
#[test]
fn io_watch_both() {
    must_reach(&["told again"]);
    model("io_watch_both", Bound::None, || {
        let source = Arc::new(Source::new());
        let _ = source.word().open(Ready::EMPTY, Watched::of(Ready::ERROR));
        let kernel = Arc::new(AtomicU64::new(0));
        let add = |direction: Direction| {
            let (source, kernel) = (source.clone(), kernel.clone());
            move || {
                let mut calls = 0;
                let told = source.word().watch(Watched::of(direction.mask()), |all| {
                    calls += 1;
                    kernel.swap(u64::from(all.read()) | u64::from(all.write()) << 1, Relaxed);
                    Ok::<_, ()>(())
                });
                assert_eq!(told, Ok(()));
                calls
            }
        };
        let other = spawn(add(Direction::Write));
        let calls = add(Direction::Read)() + other.join().unwrap();
        assert_eq!(kernel.load(Relaxed), 0b11, "a direction is not watched");
        if calls > 2 {
            reached("told again");
        }
    });
}

/// Slots come back as others are taken: a chunk with a free slot is listed once, a full one is not,
/// and the next owner of a slot sees the last one gone.
#[test]
fn io_slots() {
    struct Cells([UnsafeCell<u32>; 2]);
    // SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
    unsafe impl Sync for Cells {}

    struct Chunk {
        free: FreeSet,
        listed: Mutex<u32>,
        cells: Cells,
    }

    impl Chunk {
        /// As `Shared::slot`.
        fn take(&self) -> Option<usize> {
            let mut listed = self.listed.lock();
            if *listed == 0 {
                return None;
            }
            let (index, was_last) = self.free.take();
            *listed -= u32::from(was_last);
            assert!(*listed < 2, "listed twice");
            Some(index)
        }

        /// As `Slot::drop`.
        fn give(&self, index: usize) {
            if self.free.give(index) {
                *self.listed.lock() += 1;
            }
        }

        fn use_it(&self, index: usize) {
            // SAFETY: loom checks that nobody else uses the slot.
            self.cells.0[index].with_mut(|cell| unsafe { *cell += 1 });
        }
    }

    must_reach(&["the returned slot is taken", "full"]);
    model("io_slots", Bound::None, || {
        // Slot 0 is free, slot 1 has an owner, who leaves.
        let chunk = Arc::new(Chunk {
            free: FreeSet::new(0b01),
            listed: Mutex::new(1),
            cells: Cells([UnsafeCell::new(0), UnsafeCell::new(0)]),
        });
        let theirs = chunk.clone();
        let leaver = spawn(move || {
            theirs.use_it(1);
            theirs.give(1);
        });
        let taken: Vec<usize> = (0..2).filter_map(|_| chunk.take()).collect();
        for &index in &taken {
            chunk.use_it(index);
        }
        leaver.join().unwrap();
        let left = chunk.take();
        assert!(chunk.take().is_none());
        let mut all: Vec<usize> = taken.iter().copied().chain(left).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1], "a slot is lost or taken twice");
        reached(if taken.len() == 2 { "the returned slot is taken" } else { "full" });
    });
}
