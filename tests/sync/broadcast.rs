use super::*;
use reiver::sync::broadcast::{self, error::*};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::AtomicIsize;

#[test]
fn every_receiver_gets_every_value_from_its_start_on() {
    let (tx, mut first) = broadcast::channel(4);
    assert_eq!(tx.send(1), Ok(1));
    let mut second = tx.subscribe();
    assert_eq!(tx.send(2), Ok(2));
    assert_eq!((first.try_recv(), first.try_recv()), (Ok(1), Ok(2)));
    assert_eq!((second.len(), tx.len()), (1, 1));
    assert_eq!(second.try_recv(), Ok(2));
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    let mut tasks = [task(assert_send(first.recv())), task(second.recv())];
    tasks.iter_mut().for_each(Task::pending);
    tx.send(3).unwrap();
    for task in &mut tasks {
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.ready(), Ok(3));
    }
}

#[test]
fn a_slow_receiver_is_told_what_it_missed() {
    let (tx, mut rx) = broadcast::channel(3);
    for n in 0..10 {
        tx.send(n).unwrap();
    }
    // Three is rounded up to four.
    assert_eq!(rx.try_recv(), Err(TryRecvError::Lagged(6)));
    assert_eq!(task(rx.recv()).ready(), Ok(6));
    let late = rx.resubscribe();
    drop(tx);
    assert_eq!([7, 8, 9].map(Ok), [rx.try_recv(), rx.try_recv(), rx.try_recv()]);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(task(rx.recv()).ready(), Err(RecvError::Closed));
    assert!(late.is_empty() && late.is_closed());
}

#[test]
fn ends_are_counted_and_hear_of_each_other() {
    let (tx, mut rx) = broadcast::channel::<u32>(1);
    let weak = tx.downgrade();
    assert_eq!((tx.strong_count(), rx.sender_weak_count()), (1, 1));
    let mut recv = task(rx.recv());
    recv.pending();
    drop(weak.upgrade().unwrap());
    assert_eq!(recv.wakes(), 0);
    drop(tx);
    assert_eq!(recv.wakes(), 1);
    assert_eq!(recv.ready(), Err(RecvError::Closed));
    assert!(weak.upgrade().is_none());

    let (tx, rx) = broadcast::channel(1);
    let mut closed = task(assert_send(tx.closed()));
    closed.pending();
    drop(rx);
    assert_eq!(closed.wakes(), 1);
    closed.ready();
    assert_eq!(tx.send(1), Err(SendError(1)));
    // A receiver may come again.
    let _rx = tx.subscribe();
    assert_eq!(tx.send(1), Ok(1));
}

/// Counts the living; its clone may meddle.
struct Living(Arc<AtomicIsize>, Option<broadcast::Sender<Living>>);

impl Living {
    fn new(count: &Arc<AtomicIsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone(), None)
    }
}

impl Clone for Living {
    fn clone(&self) -> Self {
        if let Some(tx) = &self.1 {
            // Takes the ring's lock: a deadlock if it is held.
            assert!(tx.len() <= 8);
        }
        Self::new(&self.0)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn values_are_cloned_but_for_the_last_and_dropped_when_nobody_is_left() {
    let count = Arc::new(AtomicIsize::new(0));
    let living = || count.load(SeqCst);
    let (tx, mut first) = broadcast::channel(8);
    let mut second = tx.subscribe();
    let value = Living(count.clone(), Some(tx.clone()));
    count.fetch_add(1, SeqCst);
    assert!(tx.send(value).is_ok());
    let a = first.try_recv().ok().unwrap();
    assert_eq!(living(), 2);
    let b = second.try_recv().ok().unwrap();
    assert_eq!(living(), 2, "the last receiver takes the value itself");
    drop((a, b));
    for _ in 0..20 {
        assert!(tx.send(Living::new(&count)).is_ok());
    }
    assert_eq!(living(), 8);
    drop(first);
    assert_eq!(living(), 8);
    drop(second);
    assert_eq!(living(), 0);
    assert!(tx.is_empty());
}

/// Counts how many of it there are, and laps its channel while it is cloned.
struct Lapping {
    number: usize,
    alive: Arc<AtomicIsize>,
    again: Option<broadcast::Sender<Lapping>>,
}

impl Lapping {
    fn new(number: usize, alive: &Arc<AtomicIsize>) -> Self {
        alive.fetch_add(1, SeqCst);
        Self { number, alive: alive.clone(), again: None }
    }
}

impl Clone for Lapping {
    fn clone(&self) -> Self {
        if let Some(tx) = &self.again {
            for number in 10..14 {
                assert_eq!(tx.send(Self::new(number, &self.alive)).ok(), Some(2));
            }
        }
        Self::new(self.number, &self.alive)
    }
}

impl Drop for Lapping {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

#[test]
fn a_value_that_is_overwritten_while_it_is_cloned_is_kept_for_the_clone() {
    let alive = Arc::new(AtomicIsize::new(0));
    let (tx, mut first) = broadcast::channel(2);
    let mut second = tx.subscribe();
    let mut lapping = Lapping::new(1, &alive);
    lapping.again = Some(tx.clone());
    assert_eq!(tx.send(lapping).ok(), Some(2));
    // Its clone sends four more, two of which overwrite others that nobody has seen.
    assert_eq!(first.try_recv().ok().map(|value| value.number), Some(1));
    assert_eq!(alive.load(SeqCst), 2);
    for receiver in [&mut first, &mut second] {
        assert!(matches!(receiver.try_recv(), Err(TryRecvError::Lagged(_))));
        let numbers = [(); 2].map(|()| receiver.try_recv().ok().map(|value| value.number));
        assert_eq!(numbers, [Some(12), Some(13)]);
    }
    assert_eq!(alive.load(SeqCst), 0);
    // The places are used again, and what is left in them goes with its receivers.
    (20..26).for_each(|number| drop(tx.send(Lapping::new(number, &alive))));
    assert_eq!(alive.load(SeqCst), 2);
    drop(first);
    assert_eq!(alive.load(SeqCst), 2);
    drop(second);
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn threads_get_all_in_order() {
    let (tx, _) = broadcast::channel(1 << 15);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut rx = tx.subscribe();
            std::thread::spawn(move || {
                let mut next = 0;
                while let Ok(n) = rx.blocking_recv() {
                    assert_eq!(n, next);
                    next += 1;
                }
                assert_eq!(next, 20_000);
            })
        })
        .collect();
    (0..20_000).for_each(|n| assert_eq!(tx.send(n), Ok(3)));
    drop(tx);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

/// `Send`, and not `Sync`: two clones at once would lose a step of the count.
struct Alone {
    clones: Cell<usize>,
    inside: Arc<AtomicIsize>,
}

impl Clone for Alone {
    fn clone(&self) -> Self {
        assert_eq!(self.inside.fetch_add(1, SeqCst), 0, "somebody else clones this value");
        self.clones.set(self.clones.get() + 1);
        std::thread::yield_now();
        self.inside.fetch_sub(1, SeqCst);
        Self { clones: self.clones.clone(), inside: self.inside.clone() }
    }
}

#[test]
fn values_that_are_not_sync_are_cloned_one_after_the_other() {
    const READERS: usize = 4;
    const VALUES: usize = 2_000;
    let (tx, _) = broadcast::channel::<Alone>(1 << 11);
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut rx = tx.subscribe();
            // Receivers go to other threads, and are awaited in tasks, without `Sync`.
            std::thread::spawn(move || {
                let mut clones = 0;
                while let Ok(value) = rx.blocking_recv() {
                    clones = value.clones.get().max(clones);
                }
                clones
            })
        })
        .collect();
    for _ in 0..VALUES {
        let value = Alone { clones: Cell::new(0), inside: Arc::new(AtomicIsize::new(0)) };
        assert!(tx.send(value).is_ok());
    }
    drop(tx);
    let most = readers.into_iter().map(|reader| reader.join().unwrap()).max();
    // One or more have cloned a value before the last one got it, or a clone of its own.
    assert!((1..=READERS).contains(&most.unwrap()), "{most:?}");
}

/// What its clone does is up to the test.
struct Acting {
    number: usize,
    act: Arc<Mutex<Act>>,
}

type Act = Box<dyn FnMut() + Send>;

impl Acting {
    fn new(number: usize, act: impl FnMut() + Send + 'static) -> Self {
        Self { number, act: Arc::new(Mutex::new(Box::new(act))) }
    }
}

impl Clone for Acting {
    fn clone(&self) -> Self {
        (self.act.lock().unwrap())();
        Self { number: self.number, act: self.act.clone() }
    }
}

#[test]
fn who_waits_for_a_clone_gives_way_and_is_woken() {
    let (tx, mut first) = broadcast::channel::<Acting>(1);
    let mut second = tx.subscribe();
    let _third = tx.subscribe();
    let recv = async move { second.recv().await.ok().map(|value| value.number) };
    let waiting = Arc::new(Mutex::new(task(recv)));
    let within = waiting.clone();
    let mut done = false;
    let act = move || {
        if !std::mem::replace(&mut done, true) {
            // A clone is under way, of this thread even: neither a deadlock nor a second one.
            within.lock().unwrap().pending();
        }
    };
    assert!(tx.send(Acting::new(7, act)).is_ok());
    assert_eq!(first.try_recv().ok().map(|value| value.number), Some(7));
    let mut waiting = waiting.lock().unwrap();
    assert_eq!(waiting.wakes(), 1);
    assert_eq!(waiting.ready(), Some(7));
}

#[test]
fn who_waits_for_the_clone_of_an_overwritten_value_hears_of_it() {
    let (tx, mut first) = broadcast::channel::<Acting>(1);
    let mut second = tx.subscribe();
    let recv = async move { (second.recv().await.map(|value| value.number), second) };
    let waiting = Arc::new(Mutex::new(task(recv)));
    let (within, sender) = (waiting.clone(), tx.clone());
    let act = move || {
        within.lock().unwrap().pending();
        assert!(sender.send(Acting::new(8, || {})).is_ok());
        assert_eq!(within.lock().unwrap().wakes(), 1);
    };
    assert!(tx.send(Acting::new(7, act)).is_ok());
    assert_eq!(first.try_recv().ok().map(|value| value.number), Some(7));
    let (missed, mut second) = waiting.lock().unwrap().ready();
    assert_eq!(missed, Err(RecvError::Lagged(1)));
    for receiver in [&mut first, &mut second] {
        assert_eq!(receiver.try_recv().ok().map(|value| value.number), Some(8));
    }
    assert!(tx.is_empty());
}

#[test]
fn a_receiver_that_blocks_waits_for_a_slow_clone() {
    let (tx, mut first) = broadcast::channel::<Acting>(1);
    let mut second = tx.subscribe();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let mut threads = Vec::new();
    let act = move || {
        begun.send(()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(tx.send(Acting::new(7, act)).is_ok());
    threads.push(std::thread::spawn(move || first.try_recv().ok().map(|value| value.number)));
    has_begun.recv().unwrap();
    threads.push(std::thread::spawn(move || second.try_recv().ok().map(|value| value.number)));
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Some(7));
    }
}

#[test]
fn a_clone_that_panics_has_taken_its_value_and_leaves_it_to_the_others() {
    let (tx, mut first) = broadcast::channel::<Acting>(2);
    let mut others = [tx.subscribe(), tx.subscribe()];
    let mut first_time = true;
    let act = move || assert!(!std::mem::replace(&mut first_time, false), "the first clone");
    let value = Acting::new(1, act);
    let act = Arc::downgrade(&value.act);
    assert!(tx.send(value).is_ok());
    assert!(tx.send(Acting::new(2, || {})).is_ok());
    let panicked = catch_unwind(AssertUnwindSafe(|| first.try_recv().map(drop)));
    assert!(panicked.is_err());
    // Neither the mutex of the test's own value, which the panic poisoned.
    act.upgrade().unwrap().clear_poison();
    let numbers = |rx: &mut broadcast::Receiver<Acting>| {
        std::iter::from_fn(|| rx.try_recv().ok().map(|value| value.number)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&mut first), [2]);
    for other in &mut others {
        assert_eq!(numbers(other), [1, 2]);
    }
    assert!(tx.is_empty() && act.upgrade().is_none());
}

/// Panics when it is dropped, if it is to.
#[derive(Clone)]
struct Grenade {
    armed: bool,
    _count: Arc<()>,
}

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(!self.armed, "the drop");
    }
}

#[test]
fn a_drop_that_panics_keeps_no_other_value() {
    let count = Arc::new(());
    let (tx, rx) = broadcast::channel(4);
    for armed in [false, true, false, false] {
        assert!(tx.send(Grenade { armed, _count: count.clone() }).is_ok());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert!(tx.is_empty());
    assert_eq!(Arc::strong_count(&count), 1);
    // A sender that overwrites such a value has sent its own.
    let mut rx = tx.subscribe();
    let send = |armed| tx.send(Grenade { armed, _count: count.clone() }).is_ok();
    assert!([true, false, false, false].map(send).iter().all(|sent| *sent));
    assert!(catch_unwind(AssertUnwindSafe(|| send(false))).is_err());
    assert!(matches!(rx.try_recv(), Err(TryRecvError::Lagged(1))));
    assert_eq!(std::iter::from_fn(|| rx.try_recv().ok()).count(), 4);
}

#[test]
fn a_waker_that_panics_keeps_no_values_alive() {
    let (tx, rx) = broadcast::channel(8);
    let value = std::sync::Arc::new(());
    (0..8).for_each(|_| assert_eq!(tx.send(value.clone()).unwrap(), 1));
    let mut closed = std::pin::pin!(tx.closed());
    assert!(closed.as_mut().poll(&mut Context::from_waker(&panicker())).is_pending());
    assert_eq!(panics(|| drop(rx)), "a waker panics");
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}
