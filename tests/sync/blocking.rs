//! The forms for threads that have no test among those of their type, and that each wait has one.

use super::*;
use reiver::sync::{CancellationToken, CapacityLimiter, OnceCell, RwLock, broadcast, mpsc, watch};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

/// Makes `call` on a thread of its own: it must not return before `grant`.
#[track_caller]
fn waits<T: Send>(call: impl FnOnce() -> T + Send, grant: impl FnOnce()) -> T {
    let granted = AtomicBool::new(false);
    let (begin, has_begun) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let granted = &granted;
        let thread = scope.spawn(move || {
            begin.send(()).unwrap();
            let value = call();
            assert!(granted.load(SeqCst), "it has not waited");
            value
        });
        has_begun.recv().unwrap();
        thread::yield_now();
        granted.store(true, SeqCst);
        grant();
        thread.join().unwrap()
    })
}

#[test]
fn a_thread_waits_for_a_token_of_a_limiter() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let token = limiter.blocking_acquire().unwrap();
    assert_eq!((token.borrower(), limiter.available_tokens()), (None, 0));
    let theirs = waits(|| limiter.blocking_acquire_on_behalf_of("a").unwrap(), || drop(token));
    assert_eq!(limiter.blocking_acquire_on_behalf_of("a").unwrap_err().0, "a".into());
    let owned = waits(|| limiter.clone().blocking_acquire_owned().unwrap(), || drop(theirs));
    waits(|| drop(limiter.blocking_acquire().unwrap()), || drop(owned));
    // A job of the pool is a borrower, and not twice.
    let runtime = reiver::runtime::Builder::new_current_thread().build().unwrap();
    let theirs = limiter.clone();
    let job = runtime.spawn_blocking(move || {
        let token = theirs.blocking_acquire().unwrap();
        assert_eq!(token.borrower(), Some(&reiver::task::id().into()));
        assert!(theirs.blocking_acquire().is_err());
    });
    runtime.block_on(job).unwrap();
    assert_eq!(limiter.available_tokens(), 1);
}

#[test]
fn a_thread_waits_for_a_request_to_stop() {
    let token = CancellationToken::new();
    let below = token.child_token();
    waits(|| below.blocking_cancelled(), || token.cancel());
    token.blocking_cancelled();
}

#[test]
fn threads_initialise_a_cell_once() {
    let cell = OnceCell::new();
    assert_eq!(cell.blocking_get_or_try_init(|| Err("no")), Err("no"));
    let begun = AtomicUsize::new(0);
    // Who finds it being initialised waits for that, by whichever form.
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let (cell, begun) = (&cell, &begun);
                scope.spawn(move || {
                    let init = || {
                        begun.fetch_add(1, SeqCst);
                        thread::yield_now();
                        n
                    };
                    *cell.blocking_get_or_init(init)
                })
            })
            .collect();
        for thread in threads {
            let value = thread.join().unwrap();
            assert_eq!(Some(&value), cell.get());
        }
    });
    assert_eq!(begun.load(SeqCst), 1);
    assert_eq!(cell.blocking_get_or_try_init(|| Err("no")), Ok(cell.get().unwrap()));

    let cell = OnceCell::new();
    let (tx, rx) = reiver::sync::oneshot::channel();
    let mut first = task(cell.get_or_init(|| async { rx.await.unwrap() }));
    first.pending();
    let grant = || {
        tx.send(7).unwrap();
        first.ready();
    };
    assert_eq!(waits(|| *cell.blocking_get_or_init(|| 8), grant), 7);
}

#[test]
fn threads_take_owned_guards_of_a_rwlock() {
    let lock = Arc::new(RwLock::new(1));
    let read = lock.clone().blocking_read_owned();
    assert_eq!(*lock.clone().blocking_read_owned(), 1);
    let mut write = waits(|| lock.clone().blocking_write_owned(), || drop(read));
    *write = 2;
    let read = waits(|| lock.clone().blocking_read_owned(), || drop(write));
    assert_eq!(*read, 2);
}

#[test]
fn threads_reserve_places_and_hear_of_the_close() {
    let (tx, mut rx) = mpsc::channel(2);
    let place = tx.blocking_reserve().unwrap();
    let places = waits(|| tx.blocking_reserve_many(2).unwrap(), || drop(place));
    assert_eq!(places.len(), 2);
    let owned = waits(|| tx.clone().blocking_reserve_owned().unwrap(), || drop(places));
    owned.send(1);
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(tx.blocking_reserve_many(3).is_err(), "never so many");
    waits(|| tx.blocking_closed(), || rx.close());
    assert!(tx.blocking_reserve().is_err() && tx.blocking_reserve_owned().is_err());

    let (tx, rx) = mpsc::unbounded_channel::<()>();
    waits(|| tx.blocking_closed(), || drop(rx));
    let (tx, rx) = watch::channel(());
    waits(|| tx.blocking_closed(), || drop(rx));
    let (tx, rx) = broadcast::channel::<()>(1);
    waits(|| tx.blocking_closed(), || drop(rx));
    let (mut tx, rx) = reiver::sync::oneshot::channel::<()>();
    waits(|| tx.blocking_closed(), || drop(rx));
}

/// By the sources.
#[test]
fn every_wait_has_a_form_for_threads() {
    /// They run a future of the user's, or differ from one that is there by who keeps the token.
    const OTHERS: [&str; 3] =
        ["run_until_cancelled", "run_until_cancelled_owned", "cancelled_owned"];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sync")];
    let (mut waits, mut missing) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let is_broadcast = path.to_string_lossy().contains("/broadcast");
            for name in waiting_methods(&text) {
                waits += 1;
                let has_form =
                    ['(', '<'].iter().any(|c| text.contains(&format!("pub fn blocking_{name}{c}")));
                // That a broadcast has no receivers any more is a wait of tasks only.
                let is_other = OTHERS.contains(&name) || (is_broadcast && name == "closed");
                if !has_form && !is_other {
                    missing.push(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(waits > 30, "{waits}");
    assert!(missing.is_empty(), "{missing:#?}");
}

fn waiting_methods(text: &str) -> impl Iterator<Item = &str> {
    let end = |c: char| !c.is_alphanumeric() && c != '_';
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("pub async fn "));
    lines.map(move |rest| rest.split(end).next().unwrap())
}
