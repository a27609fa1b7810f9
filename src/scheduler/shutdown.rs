//! The workers' threads: their start and their end.
//!
//! # Shutdown, in steps
//!
//! 1. Every registry list is closed, so that no task is accepted any more, and then `closed` is set.
//!    In the other order a worker could find all lists empty and end while one still took a task.
//! 2. Every listed task is asked to end; those that wait are put into the injector.
//! 3. Everybody is woken. Workers go on with the ordinary loop, in which a cancelled task is dropped
//!    instead of polled.
//! 4. A worker with nothing to do that finds the registry empty wakes the others and ends. So does a
//!    guest that leaves. Whoever ended the last task comes to one of these points after it, so nobody
//!    sleeps for ever.
//! 5. The thread that shuts down waits for the count of live workers to reach zero, or for the
//!    deadline. A worker that is stuck inside a task ends by itself when the task returns.

use super::block_on::Guest;
use super::worker::{Root, Worker};
use super::{Seats, Shared, current};
use crate::primitive::atomic::Ordering::*;
use crate::primitive::{Arc, Mutex, clock, poll, thread};
use crate::util::abort::AbortOnUnwind;
use std::io;
use std::ops::ControlFlow;
use std::time::Instant;

/// The permanent workers' threads.
#[derive(Debug, Default)]
pub(crate) struct Threads(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    live: usize,
    handles: Vec<thread::JoinHandle<()>>,
    /// Who waits for `live` to reach zero.
    waiting: Vec<thread::Thread>,
}

/// The root of a permanent worker: nothing but tasks, until the runtime has ended.
struct Forever;

impl Root for Forever {
    fn step(&mut self, _: &Worker) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn ends_with_runtime(&self) -> bool {
        true
    }
}

impl Shared {
    /// Starts the threads of the permanent workers. `around` gets each worker's body and runs it.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started; those that were are told to end.
    pub(crate) fn start(
        self: &Arc<Self>,
        seats: Seats,
        mut builder: impl FnMut(usize) -> thread::Builder,
        around: impl Fn(&mut dyn FnMut()) + Send + Sync + Clone + 'static,
    ) -> io::Result<()> {
        for (seat, deque) in seats.0.into_iter().enumerate() {
            let (shared, around) = (self.clone(), around.clone());
            self.start_thread(builder(seat), move || {
                let _abort = AbortOnUnwind::new("a thread hook of the runtime");
                let _entered = current::enter(shared.clone());
                // Guests' threads are their callers'.
                poll::end_waits_on_time();
                let worker = Worker::new(shared.clone(), seat, deque);
                around(&mut || worker.run(&mut Forever));
            })?;
        }
        self.rescue.rounds.join(self).inspect_err(|_| self.close())
    }

    /// Starts a thread that [`join`](Self::join) waits for.
    fn start_thread(
        self: &Arc<Self>,
        builder: thread::Builder,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        // Counted before it runs: it may end before `spawn` returns.
        self.threads.0.lock().live += 1;
        let shared = self.clone();
        let started = builder.spawn(move || {
            body();
            shared.threads.one_ended();
        });
        match started {
            Ok(handle) => self.threads.0.lock().handles.push(handle),
            Err(error) => {
                self.threads.one_ended();
                self.close();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Refuses new tasks and asks all others to end.
    pub(crate) fn close(&self) {
        self.registry.close();
        // Release: pairs with the Acquire in `is_closed`: who sees it finds the lists closed.
        self.closed.store(true, Release);
        self.registry.abort_all(|task| match self.explored.get() {
            Some(engine) => engine.ready(task),
            None => self.injector.push(task),
        });
        self.driver.reactor.shutdown();
        self.unpark_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.closed.load(Acquire)
    }

    /// Whether this runtime is closed and its last task is gone. The worker that sees it tells the
    /// others.
    pub(super) fn has_ended(&self) -> bool {
        let ended = self.is_closed() && self.registry.is_empty();
        if ended {
            self.unpark_all();
        }
        ended
    }

    /// Waits until the workers have ended, at most until `deadline`. Says whether they have.
    pub(crate) fn join(self: &Arc<Self>, deadline: Option<Instant>) -> bool {
        if self.workers == 0 {
            // Nobody else does it. Without a free slot a `block_on` on another thread will.
            if let Some(guest) = Guest::new(self) {
                let _outside = current::set_worker(None);
                let _entered = current::enter(self.clone());
                guest.run(&mut Forever);
            }
            self.rescue.rounds.leave(self);
            return self.registry.is_empty();
        }
        loop {
            let mut state = self.threads.0.lock();
            if state.live == 0 {
                let handles = std::mem::take(&mut state.handles);
                drop(state);
                self.rescue.rounds.leave(self);
                // They are past their last look at anything shared; a panic in a thread hook of the
                // user's was reported when it happened.
                handles.into_iter().for_each(|handle| drop(handle.join()));
                return true;
            }
            state.waiting.push(thread::current());
            drop(state);
            match deadline {
                None => thread::park(),
                Some(deadline) => match deadline.checked_duration_since(clock::now()) {
                    Some(left) if !left.is_zero() => thread::park_timeout(left),
                    _ => return false,
                },
            }
        }
    }
}

impl Threads {
    /// A worker's thread is about to end.
    fn one_ended(&self) {
        let mut state = self.0.lock();
        state.live -= 1;
        let waiting = if state.live == 0 { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        waiting.iter().for_each(thread::Thread::unpark);
    }
}
