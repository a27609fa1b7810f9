//! The way of a signal from its handler to the tasks: the one mutable static of this module.
//!
//! ```text
//! handler          set the signal's bit; if it was not set: write one byte into the pipe
//! relay, woken     empty the pipe; wait for the next byte; take all bits; deliver them
//! deliver          lock; mark all who listen and take their wakers; unlock; wake
//! listener         lock; marked? take the mark: leave the waker; unlock
//! ```
//!
//! A handler may interrupt anything, a lock's holder as well. It does one read-modify-write and one
//! `write`, both async-signal-safe, and knows nothing of runtimes. The pipe (a socket pair: one that
//! always makes an edge) is the process's. Each runtime in which somebody listens watches a duplicate
//! of its reading end, edge-triggered, in its own reactor: the *relay*. A relay is no task: it is a
//! waker which does the work when the reactor calls it. So it costs nothing while no signal comes,
//! shows up in no dump, keeps no runtime from ending, and delivers from a worker that is awake anyway.
//! It lives as long as a listener of its runtime does.
//!
//! # Why nothing is lost
//!
//! **A bit that is set is taken.** Look at the handler that set it. Its byte is written after. The
//! write makes an edge for every relay, and some relay runs after it (each one waits for the
//! next byte before it takes the bits, so an edge after its wait wakes it, and an edge before its wait
//! is found by it). That relay empties the pipe, *then* takes: it sees the bit, or somebody else has
//! taken it since. If a relay emptied the pipe of our byte between our write and its own take, it takes
//! the bit as well. A handler that finds its bit set writes nothing, since the one that set it has
//! written or will; and its signal is not lost, since the take comes after both in the order of the word.
//! *Models*: `signal_raise_vs_relay`, `signal_two_relays`, `signal_two_raises`.
//!
//! **A full pipe loses nothing.** It cannot well be full: between two takes there is one byte a signal, and
//! before a take the pipe is emptied. Were it full, the write would fail, and the bytes in it would be news for
//! every relay: the one that comes to empty it takes the bit afterwards.
//!
//! **A bit that is taken reaches everybody who listens.** Whoever took it delivers it to the table, which
//! has the listeners of all runtimes. A listener looks and leaves its waker under the lock: before
//! the delivery's critical section (then its waker is taken and called) or after (then it finds the
//! mark). *Model*: `signal_raise_vs_listener`.
//!
//! **A new listener gets what comes after [`listen`] returned, and what came long before it was called it does
//! not get.** First the relay runs, and so bits set before are taken and delivered to the others; then the
//! listener is added, then the handler installed, then the relay runs again. Only bits that another thread has
//! taken just before, and is about to deliver, may reach the new listener too.
//!
//! **A listener whose runtime ends is told.** The reactor's shutdown wakes the relay, whose wait then
//! fails; it marks the listeners that came by it. One that comes later runs the relay
//! itself, after it was added, and gets the error.
//!
//! A child by `fork` has the pipe and the handlers, and a handler looks for the hub of its process: there it does
//! nothing until somebody listens, who makes a hub. The handlers stay: to install them again would wait for one that
//! ran at the fork, in a thread that is not here.
//!
//! # Rejected
//!
//! * A thread that reads the pipe: simpler, but a current-thread runtime has no threads, and a hop more.
//! * An eventfd and an action in the registry for each listener: a thousand listeners cost a thousand
//!   descriptors, and the handler walks over all of them.
//! * A task of each runtime: it must be spawned, counted, kept out of dumps and ended.
//! * `signalfd`: signals must be blocked in every thread, those of others too, and in children not.

use super::listeners::Key;
use super::pending::{Number, Set};
use super::post::Post;
use crate::primitive::{Arc, StaticMutex};
use crate::reactor::{Direction, Evented, Interest, Ready, ShutDown};
use crate::scheduler::{self, Shared};
use crate::util::of_process::OfProcess;
use signal_hook_registry::{FORBIDDEN, register};
use std::ffi::c_int;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Weak;
use std::task::{Context, Poll, Wake, Waker};

/// What handlers write to and relays read from. It is made by the first listener of the process and stays.
static HUB: OfProcess<Hub> = OfProcess::new();

struct Hub {
    post: Post,
    /// Where handlers write.
    writer: UnixStream,
    /// The end that relays have duplicates of.
    reader: UnixStream,
    setup: StaticMutex<Setup>,
}

/// What listeners set up for those who come after.
struct Setup {
    /// The signals whose handlers are installed.
    installed: Set,
    relays: Vec<Weak<Relay>>,
    /// The number of the next relay.
    next: u64,
}

/// The hub, made if there is none.
fn hub() -> io::Result<&'static Hub> {
    if let Some(hub) = HUB.get() {
        return Ok(hub);
    }
    let (writer, reader) = UnixStream::pair()?;
    writer.set_nonblocking(true)?;
    reader.set_nonblocking(true)?;
    // A child has its parent's handlers. Not known if somebody held the lock at the fork: then it installs them
    // twice, which does no harm.
    let parents = HUB.parents().and_then(|hub| Some(hub.setup.try_lock()?.installed));
    let setup = Setup { installed: parents.unwrap_or_default(), relays: Vec::new(), next: 0 };
    let hub = Hub { post: Post::new(), writer, reader, setup: StaticMutex::new(setup) };
    // Two may come at once; the pipe of one of them is closed again.
    Ok(HUB.get_or_init(move || hub))
}

impl Hub {
    /// The handler.
    fn raise(&self, number: Number) {
        self.post.raise(number, || {
            // A full pipe does no harm; see the head.
            while let Err(error) = (&self.writer).write(&[0]) {
                if error.kind() != io::ErrorKind::Interrupted {
                    return;
                }
            }
        });
    }

    /// Installs the handler of a signal, once.
    fn install(&'static self, number: Number, signal: c_int) -> io::Result<()> {
        let mut setup = self.setup.lock();
        if !setup.installed.contains(number) {
            // SAFETY: the action is async-signal-safe: a look at the process's number, atomic operations, and a
            // write to a descriptor that is never closed. It does not panic. `errno` is saved by the registry.
            unsafe {
                register(signal, move || HUB.get().into_iter().for_each(|hub| hub.raise(number)))?
            };
            setup.installed.insert(number);
        }
        Ok(())
    }

    /// The relay of a runtime, made if there is none.
    fn relay(&'static self, runtime: &Arc<Shared>) -> io::Result<Arc<Relay>> {
        // An old relay may be dropped by us, being the last who holds it: after the lock.
        let mut others = Vec::new();
        let mut setup = self.setup.lock();
        for relay in setup.relays.iter().filter_map(Weak::upgrade) {
            if std::ptr::eq(relay.runtime.as_ptr(), Arc::as_ptr(runtime)) {
                return Ok(relay);
            }
            others.push(relay);
        }
        let relay = Relay::new(self, setup.next, runtime)?;
        setup.next += 1;
        setup.relays = others.iter().chain([&relay]).map(Arc::downgrade).collect();
        drop(setup);
        Ok(relay)
    }
}

/// A runtime's ear at the pipe.
struct Relay {
    hub: &'static Hub,
    number: u64,
    /// Only compared; it keeps the address from being used again.
    runtime: Weak<Shared>,
    pipe: Evented<UnixStream>,
    /// Calls `run`.
    waker: Waker,
}

/// The relay's waker. It does not keep the relay, which has it registered: that would be a circle.
struct Ear(Weak<Relay>);

impl Wake for Ear {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(relay) = self.0.upgrade() {
            // An error means the end, of which the listeners know by now.
            let _ = relay.run();
        }
    }
}

impl Relay {
    fn new(hub: &'static Hub, number: u64, runtime: &Arc<Shared>) -> io::Result<Arc<Self>> {
        let reactor = &runtime.driver.reactor;
        let pipe = hub.reader.try_clone()?;
        let pipe = Evented::new(reactor, pipe, runtime.home(), Interest::READABLE, Ready::EMPTY)?;
        Ok(Arc::new_cyclic(|relay| Self {
            hub,
            number,
            runtime: Arc::downgrade(runtime),
            pipe,
            waker: Waker::from(Arc::new(Ear(relay.clone()))),
        }))
    }

    /// Empties the pipe, waits for the next byte, and delivers what has come. Any number of threads
    /// may do it at once.
    fn run(&self) -> io::Result<()> {
        self.hub.post.fetch(self.number, || self.wait())
    }

    /// Reads until there is nothing, and is woken when there is.
    fn wait(&self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            let read = || empty(self.pipe.get_ref());
            match self.pipe.registration().poll_io(&mut cx, Direction::Read, read) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(()),
            }
        }
    }
}

/// Reads some bytes.
fn empty(mut pipe: &UnixStream) -> io::Result<()> {
    match pipe.read(&mut [0; 128]) {
        // The other end is never closed by us.
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error),
    }
}

/// One who listens to one signal.
pub(super) struct Listener {
    hub: &'static Hub,
    key: Key,
    /// Kept, so that the runtime looks at the pipe.
    relay: Arc<Relay>,
}

/// Listens to a signal from now on, by the current runtime.
///
/// # Errors
///
/// If the signal may not be handled, or does not exist; if there are no descriptors left; if the runtime
/// is shut down.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub(super) fn listen(signal: c_int) -> io::Result<Listener> {
    let Some(runtime) = scheduler::runtime() else {
        panic!(
            "a listener of a signal was made outside a reiver runtime: do it inside \
             `Runtime::block_on`, a spawned task or `#[reiver::main]`, or under the guard of \
             `Runtime::enter`"
        )
    };
    let number = Number::new(signal).filter(|_| !FORBIDDEN.contains(&signal)).ok_or_else(|| {
        let text = format!("signal {signal} does not exist, or is one that cannot be listened to");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let hub = hub()?;
    let relay = hub.relay(&runtime)?;
    // What has come before is for the others.
    relay.run()?;
    let key = hub.post.listeners.add(number, relay.number);
    let listener = Listener { hub, key, relay };
    hub.install(number, signal)?;
    listener.relay.run()?;
    Ok(listener)
}

impl Listener {
    /// Waits for the signal; `None` when no more will come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.hub.post.listeners.poll(&mut self.key, cx)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.post.listeners.remove(&mut self.key);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.key).finish()
    }
}

pub(super) fn shut_down_error() -> io::Error {
    io::Error::other(ShutDown("the runtime that listened to this signal is shut down"))
}
