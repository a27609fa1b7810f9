//! Locks, signals, channels, and time.

use super::rows;
use super::support::task;
use reiver::sync::*;
use reiver::time::{self, Duration, Instant, interval_at, sleep, timeout};
use std::future::pending;
use std::sync::Arc;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

rows! {
    "sync/mutex::lock" => |cut| {
        let lock = Mutex::new(());
        let held = lock.try_lock().unwrap();
        cut.of(lock.lock(), async { drop(held) }).await;
        assert!(lock.try_lock().is_ok());
    }
    "sync/mutex::lock_owned" => |cut| {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.try_lock().unwrap();
        cut.of(lock.clone().lock_owned(), async { drop(held) }).await;
        assert!(lock.try_lock().is_ok());
    }
    "sync/rwlock::read" => |cut| {
        let lock = RwLock::new(());
        let held = lock.try_write().unwrap();
        cut.of(lock.read(), async { drop(held) }).await;
        assert!(lock.try_write().is_ok());
    }
    "sync/rwlock::write" => |cut| {
        let lock = RwLock::new(());
        let held = lock.try_read().unwrap();
        let mut reader = task(lock.read());
        cut.of(lock.write(), async { drop(held) }).await;
        // Readers that stood behind it go on.
        drop(reader.ready());
        assert!(lock.try_write().is_ok());
    }
    "sync/rwlock::read_owned" => |cut| {
        let lock = Arc::new(RwLock::new(()));
        let held = lock.try_write().unwrap();
        cut.of(lock.clone().read_owned(), async { drop(held) }).await;
        assert!(lock.try_write().is_ok());
    }
    "sync/rwlock::write_owned" => |cut| {
        let lock = Arc::new(RwLock::new(()));
        let held = lock.try_read().unwrap();
        cut.of(lock.clone().write_owned(), async { drop(held) }).await;
        assert!(lock.try_write().is_ok());
    }
    "sync/semaphore::acquire" => |cut| {
        let semaphore = Semaphore::new(1);
        let held = semaphore.try_acquire().unwrap();
        cut.of(semaphore.acquire(), async { drop(held) }).await;
        assert_eq!(semaphore.available_permits(), 1);
    }
    "sync/semaphore::acquire_many" => |cut| {
        let semaphore = Semaphore::new(2);
        let held = semaphore.try_acquire().unwrap();
        let mut behind = None;
        cut.of(semaphore.acquire_many(2), async {
            // One behind it that is satisfied with what it waits beside.
            behind = Some(task(semaphore.acquire()));
            let _ = behind.as_mut().unwrap().poll();
            drop(held);
        })
        .await;
        drop(behind);
        assert_eq!(semaphore.available_permits(), 2);
    }
    "sync/semaphore::acquire_owned" => |cut| {
        let semaphore = Arc::new(Semaphore::new(1));
        let held = semaphore.try_acquire().unwrap();
        cut.of(semaphore.clone().acquire_owned(), async { drop(held) }).await;
        assert_eq!(semaphore.available_permits(), 1);
    }
    "sync/semaphore::acquire_many_owned" => |cut| {
        let semaphore = Arc::new(Semaphore::new(3));
        let held = semaphore.try_acquire_many(2).unwrap();
        cut.of(semaphore.clone().acquire_many_owned(2), async { drop(held) }).await;
        assert_eq!(semaphore.available_permits(), 3);
    }
    "sync/notify::Notified" => |cut| {
        let notify = Notify::new();
        cut.of(notify.notified(), async { notify.notify_one() }).await;
        task(notify.notified()).ready();
        task(notify.notified()).pending();
    }
    "sync/notify::OwnedNotified" => |cut| {
        let notify = Arc::new(Notify::new());
        cut.of(notify.clone().notified_owned(), async { notify.notify_one() }).await;
        task(notify.notified()).ready();
    }
    "sync/barrier::wait" => |cut| {
        let barrier = Barrier::new(2);
        let mut other = task(barrier.wait());
        cut.of(barrier.wait(), async { drop(other.poll()) }).await;
        drop(other);
        let both = reiver::join!(barrier.wait(), barrier.wait());
        assert_ne!(both.0.is_leader(), both.1.is_leader());
    }
    "sync/once_cell::get_or_init" => |cut| {
        let cell = OnceCell::new();
        let mut first = task(cell.get_or_init(pending));
        first.pending();
        cut.of(cell.get_or_init(|| async { 2 }), async { drop(first) }).await;
        assert_eq!(*task(cell.get_or_init(|| async { 3 })).ready(), 3);
    }
    "sync/once_cell::get_or_try_init" => |cut| {
        let cell = OnceCell::new();
        let mut first = task(cell.get_or_try_init(pending::<Result<i32, ()>>));
        first.pending();
        cut.of(cell.get_or_try_init(|| async { Ok::<_, ()>(2) }), async { drop(first) }).await;
        assert_eq!(task(cell.get_or_try_init(|| async { Ok::<_, ()>(3) })).ready(), Ok(&3));
    }
    "sync/once_cell::wait" => |cut| {
        let cell = SetOnce::new();
        cut.of(cell.wait(), async { cell.set(1).unwrap() }).await;
        assert_eq!(task(cell.wait()).ready(), &1);
    }
    "sync/event::wait" => |cut| {
        let event = Event::new();
        cut.of(event.wait(), async { event.set() }).await;
        task(event.wait()).ready();
    }
    "sync/condition::wait" => |cut| {
        let (lock, condition) = (Mutex::new(()), Condition::new());
        let guard = lock.try_lock().unwrap();
        let mut behind = None;
        cut.of(condition.wait(guard), async {
            let mut waiting = task(condition.wait(lock.lock().await));
            waiting.pending();
            behind = Some(waiting);
            condition.notify(1);
        })
        .await;
        // The notification goes to the next one.
        drop(behind.unwrap().ready());
        assert!(lock.try_lock().is_ok());
    }
    "sync/condition::wait_for" => |cut| {
        let (lock, condition) = (Mutex::new(0), Condition::new());
        let guard = lock.try_lock().unwrap();
        let mut behind = None;
        cut.of(condition.wait_for(guard, |value| *value == 1), async {
            let mut waiting = task(condition.wait_for(lock.lock().await, |value| *value == 1));
            waiting.pending();
            behind = Some(waiting);
            *lock.lock().await = 1;
            condition.notify(1);
        })
        .await;
        assert_eq!(*behind.unwrap().ready(), 1);
    }
    "sync/limiter::acquire" => |cut| {
        let limiter = CapacityLimiter::new(1);
        let held = limiter.acquire_nowait().unwrap();
        cut.of(limiter.acquire(), async { drop(held) }).await;
        let now = limiter.statistics();
        assert_eq!((now.borrowed_tokens, now.tasks_waiting), (0, 0));
        assert!(limiter.acquire_nowait().is_ok());
    }
    "sync/limiter::acquire_on_behalf_of" => |cut| {
        let limiter = CapacityLimiter::new(1);
        let held = limiter.acquire_nowait().unwrap();
        cut.of(limiter.acquire_on_behalf_of("me"), async { drop(held) }).await;
        assert!(task(limiter.acquire_on_behalf_of("me")).ready().is_ok());
        assert_eq!(limiter.statistics().tasks_waiting, 0);
    }
    "sync/limiter::acquire_owned" => |cut| {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let held = limiter.acquire_nowait().unwrap();
        cut.of(limiter.clone().acquire_owned(), async { drop(held) }).await;
        assert!(limiter.acquire_nowait().is_ok());
    }
    "sync/cancellation::cancelled" => |cut| {
        let token = CancellationToken::new();
        let child = token.child_token();
        cut.of(child.cancelled(), async { token.cancel() }).await;
        task(child.cancelled()).ready();
    }
    "sync/cancellation::cancelled_owned" => |cut| {
        let token = CancellationToken::new();
        cut.of(token.clone().cancelled_owned(), async { token.cancel() }).await;
        task(token.cancelled()).ready();
    }
    "sync/cancellation::run_until_cancelled" => |cut| {
        let token = CancellationToken::new();
        let (tx, mut rx) = oneshot::channel();
        cut.of(token.run_until_cancelled(&mut rx), async { tx.send(1).unwrap() }).await;
        assert_eq!(task(token.run_until_cancelled(rx)).ready(), Some(Ok(1)));
    }
    "sync/cancellation::run_until_cancelled_owned" => |cut| {
        let token = CancellationToken::new();
        let waiting = token.clone().run_until_cancelled_owned(pending::<()>());
        cut.of(waiting, async { token.cancel() }).await;
        assert_eq!(task(token.run_until_cancelled_owned(pending::<()>())).ready(), None);
    }
    "sync/oneshot::Receiver" => |cut| {
        let (tx, mut rx) = oneshot::channel();
        cut.of(&mut rx, async { tx.send(1).unwrap() }).await;
        assert_eq!(rx.try_recv(), Ok(1));
    }
    "sync/oneshot::closed" => |cut| {
        let (mut tx, rx) = oneshot::channel::<()>();
        cut.of(tx.closed(), async { drop(rx) }).await;
        task(tx.closed()).ready();
    }
    "sync/mpsc/bounded::send" => |cut| {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(1).unwrap();
        cut.of(tx.send(2), async { assert_eq!(rx.try_recv(), Ok(1)) }).await;
        assert_eq!(tx.capacity(), 1);
        tx.try_send(3).unwrap();
        assert_eq!(rx.try_recv(), Ok(3));
    }
    "sync/mpsc/bounded::reserve" => |cut| {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(1).unwrap();
        cut.of(tx.reserve(), async { assert_eq!(rx.try_recv(), Ok(1)) }).await;
        assert_eq!(tx.capacity(), 1);
    }
    "sync/mpsc/bounded::reserve_many" => |cut| {
        let (tx, mut rx) = mpsc::channel(2);
        tx.try_send(1).unwrap();
        cut.of(tx.reserve_many(2), async { assert_eq!(rx.try_recv(), Ok(1)) }).await;
        assert_eq!(tx.capacity(), 2);
    }
    "sync/mpsc/bounded::reserve_owned" => |cut| {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(1).unwrap();
        cut.of(tx.clone().reserve_owned(), async { assert_eq!(rx.try_recv(), Ok(1)) }).await;
        assert_eq!(tx.capacity(), 1);
        drop(tx);
        assert_eq!(task(rx.recv()).ready(), None, "its sender is gone too");
    }
    "sync/mpsc::recv" => |cut| {
        let (tx, mut rx) = mpsc::channel(1);
        cut.of(rx.recv(), async { tx.try_send(1).unwrap() }).await;
        assert_eq!(rx.try_recv(), Ok(1));
        let (tx, mut rx) = mpsc::unbounded_channel();
        cut.of(rx.recv(), async { tx.send(1).unwrap() }).await;
        assert_eq!(rx.try_recv(), Ok(1));
    }
    "sync/mpsc::recv_many" => |cut| {
        let (tx, mut rx) = mpsc::channel(1);
        let mut values = Vec::new();
        cut.of(rx.recv_many(&mut values, 4), async { tx.try_send(1).unwrap() }).await;
        assert_eq!((values.len(), rx.try_recv()), (0, Ok(1)));
    }
    "sync/mpsc::closed" => |cut| {
        let (tx, rx) = mpsc::channel::<()>(1);
        cut.of(tx.closed(), async { drop(rx) }).await;
        task(tx.closed()).ready();
    }
    "sync/queue::put" => |cut| {
        let queue = Queue::new(1);
        queue.put_nowait(1).unwrap();
        cut.of(queue.put(2), async { assert_eq!(queue.get_nowait().unwrap(), 1) }).await;
        queue.put_nowait(3).unwrap();
        assert_eq!(queue.get_nowait().unwrap(), 3);
    }
    "sync/queue::get" => |cut| {
        let queue = Queue::new(1);
        cut.of(queue.get(), async { queue.put_nowait(1).unwrap() }).await;
        assert_eq!(queue.get_nowait().unwrap(), 1);
        queue.put_nowait(2).unwrap();
    }
    "sync/queue::join" => |cut| {
        let queue = Queue::new(1);
        queue.put_nowait(1).unwrap();
        queue.get_nowait().unwrap();
        cut.of(queue.join(), async { queue.task_done() }).await;
        task(queue.join()).ready();
    }
    "sync/broadcast::recv" => |cut| {
        let (tx, mut rx) = broadcast::channel(2);
        cut.of(rx.recv(), async { assert_eq!(tx.send(1), Ok(1)) }).await;
        assert_eq!(rx.try_recv(), Ok(1));
        assert!(tx.is_empty());
    }
    "sync/broadcast::closed" => |cut| {
        let (tx, rx) = broadcast::channel::<()>(1);
        cut.of(tx.closed(), async { drop(rx) }).await;
        task(tx.closed()).ready();
    }
    "sync/watch::changed" => |cut| {
        let (tx, mut rx) = watch::channel(0);
        cut.of(rx.changed(), async { tx.send(1).unwrap() }).await;
        assert!(rx.has_changed().unwrap());
        task(rx.changed()).ready().unwrap();
    }
    "sync/watch::wait_for" => |cut| {
        let (tx, mut rx) = watch::channel(0);
        cut.of(rx.wait_for(|value| *value == 1), async { tx.send(1).unwrap() }).await;
        assert!(rx.has_changed().unwrap());
        assert_eq!(*task(rx.wait_for(|value| *value == 1)).ready().unwrap(), 1);
    }
    "sync/watch::closed" => |cut| {
        let (tx, rx) = watch::channel(0);
        cut.of(tx.closed(), async { drop(rx) }).await;
        task(tx.closed()).ready();
    }

    "time/sleep::Sleep" => |cut| {
        cut.of(sleep(MS), sleep(2 * MS)).await;
    }
    "time/timeout::Timeout" => |cut| {
        cut.of(timeout(MS, pending::<()>()), sleep(2 * MS)).await;
        let (tx, mut rx) = oneshot::channel();
        cut.of(timeout(HOUR, &mut rx), async { tx.send(1).unwrap() }).await;
        assert_eq!(rx.try_recv(), Ok(1));
    }
    "time/interval::tick" => |cut| {
        let first = Instant::now() + MS;
        let mut interval = interval_at(first, HOUR);
        cut.of(interval.tick(), sleep(2 * MS)).await;
        assert_eq!(interval.tick().await, first);
    }
    "time/clock::advance" => |cut| {
        time::pause();
        let before = Instant::now();
        cut.job(time::advance(HOUR)).await;
        // The step is made by the first poll, or not.
        assert_eq!(before.elapsed() >= HOUR, cut.has_begun());
        time::resume();
    }
    "time/send_timeout::send_timeout" => |cut| {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(1).unwrap();
        cut.of(tx.send_timeout(2, HOUR), async { assert_eq!(rx.try_recv(), Ok(1)) }).await;
        assert_eq!(tx.capacity(), 1);
        assert!(rx.try_recv().is_err());
    }
}
