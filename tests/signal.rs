//! Signals: the process raises them to itself.
//!
//! Each test has a signal of its own where it counts, since all tests are one process. Whoever drops the
//! last listener leaves the handler, so a signal that comes late kills nobody.

mod support;

use reiver::runtime::{Builder, Runtime};
use reiver::signal::unix::{Signal, SignalKind, signal};
use reiver::signal::{self, ctrl_c};
use rustix::process::{Signal as Known, getpid, kill_process};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use support::Poller;

fn runtimes() -> [Runtime; 3] {
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(1).build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ]
}

/// To the process: the system chooses the thread, and this one may go on before the handler runs.
fn raise(signal: Known) {
    kill_process(getpid(), signal).unwrap();
}

/// To this thread: the handler has run when it returns.
fn raise_here(signal: Known) {
    unsafe extern "C" {
        fn raise(signal: std::ffi::c_int) -> std::ffi::c_int;
    }
    // SAFETY: libc's, which takes any number.
    assert_eq!(unsafe { raise(signal.as_raw()) }, 0);
}

#[test]
fn a_signal_wakes_who_waits_for_it() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut listener = signal(SignalKind::user_defined1()).unwrap();
            for _ in 0..50 {
                let (started, has_started) = reiver::sync::oneshot::channel();
                let task = reiver::spawn(async move {
                    started.send(()).unwrap();
                    listener.recv().await.unwrap();
                    listener
                });
                has_started.await.unwrap();
                raise(Known::USR1);
                listener = task.await.unwrap();
            }
        });
    }
}

#[test]
fn ctrl_c_ends() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let mut wait = pin!(ctrl_c());
            // The first poll installs the handler.
            assert!(
                std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_pending())).await
            );
            raise(Known::INT);
            wait.await.unwrap();
        });
    }
}

#[test]
fn every_listener_of_every_runtime_gets_it() {
    let runtimes = runtimes();
    let (ready, is_ready) = mpsc::channel();
    let (heard, has_heard) = mpsc::channel();
    let listen = |heard: mpsc::Sender<usize>, runtime: usize| async move {
        let mut listener = signal(SignalKind::user_defined2()).unwrap();
        (listener.recv().await.unwrap(), heard.send(runtime).unwrap())
    };
    // The current-thread runtime is driven by a thread of its own.
    std::thread::scope(|scope| {
        for (n, runtime) in runtimes.iter().enumerate() {
            let (ready, heard) = (ready.clone(), heard.clone());
            scope.spawn(move || {
                runtime.block_on(async {
                    let mut tasks = Vec::new();
                    for _ in 0..100 {
                        let mut future = Box::pin(listen(heard.clone(), n));
                        let first =
                            std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
                        assert!(first.await.is_pending());
                        tasks.push(reiver::spawn(async move {
                            future.await;
                        }));
                    }
                    ready.send(()).unwrap();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            });
        }
        (0..3).for_each(|_| is_ready.recv().unwrap());
        raise(Known::USR2);
        let mut counts = [0; 3];
        (0..300).for_each(|_| counts[has_heard.recv().unwrap()] += 1);
        assert_eq!(counts, [100; 3]);
    });
    drop(heard);
    assert!(has_heard.recv().is_err(), "somebody heard it twice");
}

/// Polls once, with a waker that nobody uses.
fn look(listener: &mut Signal) -> Poll<Option<()>> {
    let poller = Poller::default();
    let mut recv = pin!(listener.recv());
    poller.poll(recv.as_mut())
}

#[test]
fn signals_between_two_looks_are_one() {
    // Another signal comes after those that count: when it is there, so are they.
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut counted = signal(SignalKind::window_change()).unwrap();
        let mut after = signal(SignalKind::quit()).unwrap();
        for _ in 0..100 {
            raise_here(Known::WINCH);
        }
        raise_here(Known::QUIT);
        after.recv().await.unwrap();
        assert_eq!(look(&mut counted), Poll::Ready(Some(())));
        assert_eq!(look(&mut counted), Poll::Pending);
        // One that was not there hears nothing of what came before.
        raise_here(Known::WINCH);
        let mut late = signal(SignalKind::window_change()).unwrap();
        raise_here(Known::QUIT);
        after.recv().await.unwrap();
        assert_eq!(look(&mut counted), Poll::Ready(Some(())));
        assert_eq!(look(&mut late), Poll::Pending);
    });
}

#[test]
fn nobody_hears_what_came_while_nobody_listened() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        drop(signal(SignalKind::hangup()).unwrap());
        // The handler stays, or this would be our end.
        raise_here(Known::HUP);
        let mut listener = signal(SignalKind::hangup()).unwrap();
        assert_eq!(look(&mut listener), Poll::Pending);
        raise_here(Known::HUP);
        listener.recv().await.unwrap();
    });
}

#[test]
fn another_runtime_delivers_for_one_that_sleeps() {
    // The listener's own runtime is driven by nobody.
    let idle = Builder::new_current_thread().build().unwrap();
    let busy = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut theirs = {
        let _guard = idle.enter();
        signal(SignalKind::alarm()).unwrap()
    };
    busy.block_on(async {
        let mut ours = signal(SignalKind::alarm()).unwrap();
        raise(Known::ALARM);
        ours.recv().await.unwrap();
        theirs.recv().await.unwrap();
    });
}

#[test]
fn a_listener_outlives_its_runtime_and_is_told() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut listener = {
        let _guard = runtime.enter();
        signal(SignalKind::io()).unwrap()
    };
    let other = Builder::new_current_thread().build().unwrap();
    assert_eq!(look(&mut listener), Poll::Pending);
    drop(runtime);
    other.block_on(async { assert_eq!(listener.recv().await, None) });
    // And a new one is refused by the runtime that is gone.
    let runtime = Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _guard = handle.enter();
    assert!(signal(SignalKind::io()).is_err());
}

#[test]
fn signals_that_cannot_be_listened_to_are_refused() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for number in
            [Known::KILL.as_raw(), Known::STOP.as_raw(), Known::SEGV.as_raw(), 0, -1, 127, 4000]
        {
            let error = signal(SignalKind::from_raw(number)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}: {error}");
        }
    });
    let panic = std::panic::catch_unwind(|| signal(SignalKind::hangup())).unwrap_err();
    let message = panic.downcast_ref::<&str>().unwrap();
    assert!(message.contains("outside a reiver runtime"), "{message}");
}

#[test]
fn kinds_are_numbers() {
    assert_eq!(SignalKind::terminate().as_raw_value(), Known::TERM.as_raw());
    assert_eq!(SignalKind::from(Known::CHILD.as_raw()), SignalKind::child());
    assert_eq!(i32::from(SignalKind::pipe()), Known::PIPE.as_raw());
    fn check<T: Send + Sync + std::fmt::Debug + 'static>() {}
    check::<signal::unix::Signal>();
}

#[test]
fn listeners_come_and_go_under_fire() {
    // Any order of listening, dropping and raising, from three runtimes: who listens before a raise
    // hears it.
    let runtimes = runtimes();
    std::thread::scope(|scope| {
        for runtime in &runtimes {
            scope.spawn(|| {
                runtime.block_on(async {
                    for n in 0..300 {
                        let mut listener = signal(SignalKind::terminate()).unwrap();
                        if n % 3 > 0 {
                            raise(Known::TERM);
                            listener.recv().await.unwrap();
                        }
                    }
                });
            });
        }
    });
}
