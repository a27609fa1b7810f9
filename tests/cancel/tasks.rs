//! Tasks, groups of tasks, jobs.

use super::support::task;
use super::{rows, until};
use reiver::sync::oneshot;
use reiver::task::blocking::Pool;
use reiver::task::{
    self, Group, JoinHandle, JoinMap, JoinSet, LocalSet, Started, When, spawn_blocking,
};
use reiver::time::{Duration, Instant};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::mpsc;

const HOUR: Duration = Duration::from_secs(3600);

reiver::task_local! {
    static LOCAL: u8;
    static inherit INHERITED: u8;
}

/// A value that comes when it is sent.
fn value() -> (oneshot::Sender<u8>, impl Future<Output = u8> + Send + Unpin + 'static) {
    let (tx, rx) = oneshot::channel();
    (tx, Box::pin(async { rx.await.unwrap_or(0) }))
}

/// Takes the one thread and the one place of a pool. Gives what frees them, and both jobs.
async fn fill(pool: &Pool) -> (mpsc::Sender<()>, JoinHandle<()>, JoinHandle<u8>) {
    let (free, blocked) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let running = pool.spawn(move || {
        begun.send(()).unwrap();
        blocked.recv().unwrap();
    });
    has_begun.await.unwrap();
    let queued = pool.try_spawn(|| 1).unwrap();
    assert!(pool.try_spawn(|| 2).unwrap_err().is_full());
    (free, running, queued)
}

/// Sends it to whoever is left: perhaps nobody.
async fn give(tx: oneshot::Sender<u8>) {
    let _ = tx.send(7);
}

rows! {
    "task/join::JoinHandle" => |cut| {
        let (tx, seven) = value();
        let mut handle = reiver::spawn(seven);
        cut.of(&mut handle, give(tx)).await;
        assert_eq!(handle.await.unwrap(), 7);
    }
    "tasks/join_set::join_next" => |cut| {
        let (tx, seven) = value();
        let mut set = JoinSet::new();
        set.spawn(seven);
        cut.of(set.join_next(), give(tx)).await;
        assert_eq!(set.join_next().await.unwrap().unwrap(), 7);
    }
    "tasks/join_set::join_next_with_id" => |cut| {
        let (tx, seven) = value();
        let mut set = JoinSet::new();
        let id = set.spawn(seven).id();
        cut.of(set.join_next_with_id(), give(tx)).await;
        assert_eq!(set.join_next_with_id().await.unwrap().unwrap(), (id, 7));
    }
    "tasks/join_set::join_all" => |cut| {
        let (tx, seven) = value();
        let mut set = JoinSet::new();
        set.spawn(seven);
        set.spawn(pending());
        cut.of(set.join_all(), async {
            give(tx).await;
            // The wait ends when both have; it is dropped before that, with all tasks.
            task::yield_now().await;
        })
        .await;
    }
    "tasks/join_set::shutdown" => |cut| {
        let mut set = JoinSet::new();
        set.spawn(pending::<()>());
        cut.job(set.shutdown()).await;
        set.shutdown().await;
        assert!(set.is_empty());
    }
    "tasks/join_map::join_next" => |cut| {
        let (tx, seven) = value();
        let mut map = JoinMap::new();
        map.spawn("key", seven);
        cut.of(map.join_next(), give(tx)).await;
        let (key, output) = map.join_next().await.unwrap();
        assert_eq!((key, output.unwrap()), ("key", 7));
    }
    "tasks/join_map::shutdown" => |cut| {
        let mut map = JoinMap::new();
        map.spawn("key", pending::<()>());
        cut.job(map.shutdown()).await;
        map.shutdown().await;
        assert!(map.is_empty());
    }
    "tasks/gather::Gather" => |cut| {
        let (tx, seven) = value();
        cut.of(task::gather([seven]), give(tx)).await;
    }
    "tasks/gather::next" => |cut| {
        let (tx, seven) = value();
        let mut all = task::as_completed([seven]);
        cut.of(all.next(), give(tx)).await;
        assert!(matches!(all.next().await, Some((0, Ok(7)))));
    }
    "tasks/gather::wait" => |cut| {
        let (tx, seven) = value();
        let mut tasks = vec![reiver::spawn(seven)];
        cut.of(task::wait(&mut tasks, When::All), give(tx)).await;
        assert_eq!(tasks.len(), 1);
        assert_eq!(*task::wait(&mut tasks, When::All).await[0].1.as_ref().unwrap(), 7);
    }
    "tasks/gather::wait_until" => |cut| {
        let (tx, seven) = value();
        let mut tasks = vec![reiver::spawn(seven)];
        cut.of(task::wait_until(&mut tasks, |_| true), give(tx)).await;
        assert_eq!(tasks.len(), 1);
        assert_eq!(*task::wait(&mut tasks, When::All).await[0].1.as_ref().unwrap(), 7);
    }
    "tasks/abort_on_drop::AbortOnDropHandle" => |cut| {
        let (tx, seven) = value();
        let handle = task::AbortOnDropHandle::new(reiver::spawn(seven));
        cut.of(handle, give(tx)).await;
    }
    "tasks/shield::shield" => |cut| {
        let (tx, seven) = value();
        let (done, mut is_done) = oneshot::channel();
        let shielded = task::shield(async move { done.send(seven.await) });
        cut.of(shielded, give(tx)).await;
        if cut.has_begun() {
            assert_eq!(is_done.await, Ok(7), "it goes on");
        } else {
            assert!(is_done.try_recv().is_err(), "it never ran");
        }
    }
    "tasks/local_set::LocalSet" => |cut| {
        let (tx, seven) = value();
        let mut set = LocalSet::new();
        let handle = set.spawn_local(seven);
        cut.of(&mut set, give(tx)).await;
        set.await;
        assert_eq!(handle.await.unwrap(), 7);
    }
    "tasks/local_set::run_until" => |cut| {
        let (tx, seven) = value();
        let set = LocalSet::new();
        let handle = set.spawn_local(seven);
        cut.of(set.run_until(pending::<()>()), give(tx)).await;
        assert_eq!(set.run_until(handle).await.unwrap(), 7);
    }
    "tasks/coop::consume_budget" => |cut| {
        cut.job(task::consume_budget()).await;
    }
    "tasks/coop::Unconstrained" => |cut| {
        let (tx, mut rx) = oneshot::channel();
        cut.of(task::unconstrained(&mut rx), give(tx)).await;
        assert_eq!(rx.try_recv(), Ok(7));
    }
    "tasks/coop::Coop" => |cut| {
        let (tx, mut rx) = oneshot::channel();
        cut.of(task::coop::cooperative(&mut rx), give(tx)).await;
        assert_eq!(rx.try_recv(), Ok(7));
    }
    "tasks/yield_now::yield_now" => |cut| {
        cut.job(task::yield_now()).await;
    }
    "tasks/task_local::TaskLocalFuture" => |cut| {
        let (tx, mut rx) = oneshot::channel();
        cut.of(LOCAL.scope(1, &mut rx), give(tx)).await;
        assert!(LOCAL.try_with(|_| ()).is_err(), "the value went with its future");
        assert_eq!(rx.try_recv(), Ok(7));
    }
    "tasks/inherited::InheritedFuture" => |cut| {
        let (tx, mut rx) = oneshot::channel();
        cut.of(INHERITED.scope(1, &mut rx), give(tx)).await;
        assert!(INHERITED.try_with(|_| ()).is_err(), "the value went with its future");
        assert_eq!(rx.try_recv(), Ok(7));
    }
    "tasks/blocking::submit_blocking" => |cut| {
        // The pool has one thread and one place: both are taken.
        let (free, blocked) = mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let running = spawn_blocking(move || {
            begun.send(()).unwrap();
            blocked.recv().unwrap();
        });
        has_begun.await.unwrap();
        let queued = task::try_spawn_blocking(|| 1).unwrap();
        assert!(task::try_spawn_blocking(|| 2).unwrap_err().is_full());
        cut.of(task::submit_blocking(|| panic!("nobody submits it")), async {
            free.send(()).unwrap();
            running.await.unwrap();
            assert_eq!(queued.await.unwrap(), 1);
        })
        .await;
        assert_eq!(task::try_spawn_blocking(|| 3).unwrap().await.unwrap(), 3);
    }

    "tasks/blocking/pool::submit" => |cut| {
        let pool = Pool::builder().max_threads(1).max_queue(1).build();
        let (free, running, queued) = fill(&pool).await;
        let mut behind = super::task(pool.submit(|| 3));
        cut.of(pool.submit(|| panic!("nobody submits it")), async {
            // Waiting behind it: whom the free place is for if nobody else takes it.
            behind.pending();
            free.send(()).unwrap();
            running.await.unwrap();
            assert_eq!(queued.await.unwrap(), 1);
        })
        .await;
        until(|| behind.wakes() > 0).await;
        assert_eq!(behind.ready().await.unwrap(), 3);
    }
    "tasks/blocking/pool::run" => |cut| {
        let pool = Pool::builder().max_threads(1).max_queue(1).build();
        // Waiting for room.
        let (free, running, queued) = fill(&pool).await;
        cut.of(pool.run(|| panic!("nobody submits it")), async {
            free.send(()).unwrap();
            running.await.unwrap();
            assert_eq!(queued.await.unwrap(), 1);
        })
        .await;
        // Running: it is told, and its thread is free.
        let (begun, has_begun) = mpsc::channel();
        let job = move || {
            begun.send(()).unwrap();
            while !task::stop_requested() {
                std::thread::yield_now();
            }
        };
        if cut.has_begun() {
            let mut run = task(pool.run(job));
            run.pending();
            has_begun.recv().unwrap();
            drop(run);
        }
        assert_eq!(pool.run(|| 3).await.unwrap(), 3);
    }

    "group::Child" => |cut| {
        let (tx, seven) = value();
        let body = async |group: Group<Infallible>| {
            let mut child = group.spawn(async { Ok(seven.await) });
            cut.of(&mut child, give(tx)).await;
            assert_eq!(child.await.unwrap(), 7);
            Ok(())
        };
        task::scope(body).await.unwrap();
    }
    "group/driver::scope" => |cut| {
        let (tx, seven) = value();
        let body = async |group: Group<Infallible>| {
            drop(group.spawn(pending::<Result<(), _>>()));
            Ok(seven.await)
        };
        // It would not end: its child does not. All it has is gone with it.
        cut.of(task::scope(body), give(tx)).await;
    }
    "group/driver::run" => |cut| {
        let scope = Group::builder().timeout(Duration::from_millis(1));
        let body = async |group: Group<Infallible>| {
            drop(group.spawn(pending::<Result<(), _>>()));
            pending::<()>().await;
            Ok(())
        };
        cut.of(scope.run(body), reiver::time::sleep(Duration::from_millis(2))).await;
    }
    "group::start" => |cut| {
        let (tx, seven) = value();
        let body = async |group: Group<Infallible>| {
            let started = group.start(async |started: Started<u8>| {
                started.set(seven.await);
                pending().await
            });
            cut.of(started, give(tx)).await;
            // A child that nobody waits to see started is aborted.
            until(|| group.is_empty()).await;
            Ok(())
        };
        task::scope(body).await.unwrap();
    }
    "group/ambient::cancelled" => |cut| {
        let body = async |group: Group<Infallible>| {
            cut.of(task::cancelled(), async { group.cancel() }).await;
            task(task::cancelled()).ready();
            Ok(())
        };
        let _ = Group::builder().grace(HOUR).run(body).await;
    }
    "group/ambient::timeout_scope" => |cut| {
        let (tx, mut rx) = oneshot::channel();
        cut.of(task::timeout_scope(HOUR, &mut rx), give(tx)).await;
        assert_eq!((task::deadline(), rx.try_recv()), (None, Ok(7)));
    }
    "group/ambient::timeout_scope_at" => |cut| {
        let (tx, mut rx) = oneshot::channel();
        cut.of(task::timeout_scope_at(Instant::now() + HOUR, &mut rx), give(tx)).await;
        assert_eq!((task::deadline(), rx.try_recv()), (None, Ok(7)));
    }
}
