//! Models of the way of a signal: checks `src/signal/hub.rs`, "Why nothing is lost".
//!
//! The pipe is a counter of bytes that orders nothing by itself, and the reactor's own readiness
//! source of each relay's end of it; its edge comes after the byte, as the kernel's does.

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::Arc;
use reiver_model::internals::primitive::atomic::{AtomicUsize, Ordering::Relaxed};
use reiver_model::internals::reactor::Ready;
use reiver_model::internals::reactor::source::{Direction, Source, Wait};
use reiver_model::internals::reactor::word::Watched;
use reiver_model::internals::signal::{Key, Number, Post};
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize as Counter, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Counts its wakes. (The standard atomic: what is counted is no part of the protocol.)
#[derive(Default)]
struct Count(Counter);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One who listens: the key and the task's wakes.
struct Listener {
    key: Key,
    wakes: Arc<Count>,
}

impl Listener {
    fn new(post: &Post, relay: u64) -> Self {
        Self { key: post.listeners.add(usr1(), relay), wakes: Arc::default() }
    }

    fn poll(&mut self, post: &Post) -> Poll<Option<()>> {
        let waker = Waker::from(self.wakes.clone());
        post.listeners.poll(&mut self.key, &mut Context::from_waker(&waker))
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

fn usr1() -> Number {
    Number::new(10).unwrap()
}

/// The process: the post, the pipe, and the relays' sources of readiness.
struct Process {
    post: Post,
    bytes: AtomicUsize,
    relays: Vec<Arc<Relay>>,
    /// What was done before the last signal.
    done: AtomicUsize,
}

struct Relay {
    process: Weak<Process>,
    source: Source,
    number: u64,
}

impl Process {
    fn new(relays: usize) -> Arc<Self> {
        Arc::new_cyclic(|process: &Weak<Process>| Self {
            post: Post::new(),
            bytes: AtomicUsize::new(0),
            relays: (0..relays)
                .map(|number| {
                    let source = Source::new();
                    let _ = source.word().open(Ready::EMPTY, Watched::of(Ready::ALL));
                    let (process, number) = (process.clone(), number as u64);
                    Arc::new(Relay { process, source, number })
                })
                .collect(),
            done: AtomicUsize::new(0),
        })
    }

    /// A signal comes. The handler's thread then also plays the reactors that see the edge.
    fn signal(&self) {
        self.post.raise(usr1(), || {
            // Relaxed: the model asks no more of a pipe than that it counts.
            self.bytes.fetch_add(1, Relaxed);
            for relay in &self.relays {
                relay.source.dispatch(0, Ready::READABLE);
            }
        });
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        let _ = self.run();
    }
}

impl Relay {
    /// As `hub.rs`'s, with a pipe of the model.
    fn run(self: &Arc<Self>) -> Result<(), ()> {
        let Some(process) = self.process.upgrade() else { return Ok(()) };
        process.post.fetch(self.number, || self.wait(&process))
    }

    fn wait(self: &Arc<Self>, process: &Process) -> Result<(), ()> {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        let mut seen = None;
        loop {
            match self.source.poll_slot(Direction::Read, seen.take(), &mut cx) {
                Wait::Ready(event) => {
                    if process.bytes.swap(0, Relaxed) == 0 {
                        seen = Some(event); // it would block
                    }
                }
                Wait::Pending(_) => return Ok(()),
                Wait::ShutDown => return Err(()),
            }
        }
    }
}

/// Empties the sources, which hold the relays' wakers.
fn close(process: &Process) {
    process.relays.iter().for_each(|relay| relay.source.close());
}

/// A signal comes while the relay begins to wait.
#[test]
fn signal_raise_vs_relay() {
    must_reach(&["delivered by the relay's own run", "delivered by the edge"]);
    model("signal_raise_vs_relay", Bound::None, || {
        let process = Process::new(1);
        let mut listener = Listener::new(&process.post, 0);
        assert!(listener.poll(&process.post).is_pending());
        let other = process.clone();
        let raises = spawn(move || other.signal());
        process.relays[0].run().unwrap();
        let early = listener.wakes() == 1;
        raises.join().unwrap();
        assert_eq!(listener.wakes(), 1, "the signal is lost, or told twice");
        assert_eq!(listener.poll(&process.post), Poll::Ready(Some(())));
        assert!(listener.poll(&process.post).is_pending(), "there was one signal");
        reached(if early { "delivered by the relay's own run" } else { "delivered by the edge" });
        close(&process);
    });
}

/// Two relays, one of which empties the pipe of what the other comes for.
#[test]
fn signal_two_relays() {
    must_reach(&["delivered"]);
    model("signal_two_relays", Bound::Preemptions(3), || {
        let process = Process::new(2);
        let mut listener = Listener::new(&process.post, 1);
        assert!(listener.poll(&process.post).is_pending());
        let (one, two) = (process.clone(), process.clone());
        let raises = spawn(move || one.signal());
        let runs = spawn(move || two.relays[1].run().unwrap());
        process.relays[0].run().unwrap();
        raises.join().unwrap();
        runs.join().unwrap();
        assert_eq!(listener.poll(&process.post), Poll::Ready(Some(())), "the signal is lost");
        assert_eq!(listener.wakes(), 1);
        reached("delivered");
        close(&process);
    });
}

/// A second signal finds the first one's bit set: who is told of both by one delivery sees what the
/// second one's sender did before.
#[test]
fn signal_two_raises() {
    must_reach(&["one look for both", "two looks"]);
    model("signal_two_raises", Bound::None, || {
        let process = Process::new(1);
        let mut listener = Listener::new(&process.post, 0);
        process.relays[0].run().unwrap();
        let other = process.clone();
        let raises = spawn(move || {
            other.done.store(1, Relaxed); // Relaxed: the signal publishes it
            other.signal();
        });
        process.signal();
        let first = listener.poll(&process.post);
        let seen = process.done.load(Relaxed);
        raises.join().unwrap();
        let second = listener.poll(&process.post);
        assert!(first.is_ready() || second.is_ready(), "both signals are lost");
        match (first, second) {
            (Poll::Ready(_), Poll::Pending) => {
                assert_eq!(seen, 1, "told of a signal, and not of what came before it");
                reached("one look for both");
            }
            (Poll::Ready(_), Poll::Ready(_)) => reached("two looks"),
            (Poll::Pending, _) => {}
        }
        close(&process);
    });
}

/// A signal is delivered while the listener looks.
#[test]
fn signal_raise_vs_listener() {
    must_reach(&["found by the look", "woken"]);
    model("signal_raise_vs_listener", Bound::None, || {
        let process = Process::new(1);
        process.relays[0].run().unwrap();
        let mut listener = Listener::new(&process.post, 0);
        let other = process.clone();
        let raises = spawn(move || other.signal());
        let first = listener.poll(&process.post);
        raises.join().unwrap();
        match first {
            Poll::Ready(got) => {
                assert_eq!(got, Some(()));
                reached("found by the look");
                assert!(listener.poll(&process.post).is_pending());
            }
            Poll::Pending => {
                assert_eq!(listener.wakes(), 1, "it waits for ever");
                assert_eq!(listener.poll(&process.post), Poll::Ready(Some(())));
                reached("woken");
            }
        }
        close(&process);
    });
}

/// The runtime is shut down while a listener is made.
#[test]
fn signal_listen_vs_shutdown() {
    must_reach(&["refused", "told"]);
    model("signal_listen_vs_shutdown", Bound::None, || {
        let process = Process::new(1);
        process.relays[0].run().unwrap();
        let other = process.clone();
        let shutdown = spawn(move || other.relays[0].source.shut_down());
        let mut listener = Listener::new(&process.post, 0);
        let refused = process.relays[0].run().is_err();
        let first = (!refused).then(|| listener.poll(&process.post));
        shutdown.join().unwrap();
        match first {
            None => reached("refused"),
            Some(Poll::Ready(end)) => assert_eq!(end, None),
            Some(Poll::Pending) => {
                assert_eq!(listener.wakes(), 1, "it waits for ever");
                assert_eq!(listener.poll(&process.post), Poll::Ready(None));
                reached("told");
            }
        }
        close(&process);
    });
}

/// A signal of another number, and a listener that goes.
#[test]
fn signal_remove_vs_deliver() {
    must_reach(&["gone first", "woken first"]);
    model("signal_remove_vs_deliver", Bound::None, || {
        let process = Process::new(1);
        process.relays[0].run().unwrap();
        let mut goes = Listener::new(&process.post, 0);
        let mut stays = Listener::new(&process.post, 0);
        assert!(goes.poll(&process.post).is_pending() && stays.poll(&process.post).is_pending());
        let other = process.clone();
        let raises = spawn(move || other.signal());
        process.post.listeners.remove(&mut goes.key);
        raises.join().unwrap();
        assert_eq!(Arc::strong_count(&goes.wakes), 1, "a waker is kept");
        assert_eq!(stays.wakes(), 1);
        assert_eq!(stays.poll(&process.post), Poll::Ready(Some(())));
        reached(if goes.wakes() == 0 { "gone first" } else { "woken first" });
        close(&process);
    });
}
