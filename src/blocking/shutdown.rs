//! The end of a pool: refuse, cancel, let the threads end, wait, report.
//!
//! 1. The registry is closed: a job is listed before that, or refused.
//! 2. What is queued is cancelled, here, so that it does not wait for busy threads. Mandatory jobs
//!    are put back and threads woken for them as for new ones.
//! 3. CLOSED is set, under the lock, and all sleepers are woken. From here on a thread that finds
//!    the queues empty ends; nobody lies down any more.
//! 4. A spawn that was between its listing (1) and its push may push now. It, or the last thread to
//!    end, sees the other (each has a fence between its step and its look): a live thread cancels the
//!    job, and where there is none the spawner itself does.

use super::shared::{Shared, Threads};
use super::stats::Report;
use super::worker::{Signal, Worker};
use super::{Crew, LANES};
use crate::primitive::atomic::{Ordering::SeqCst, fence};
use crate::primitive::{Arc, clock, thread};
use std::time::Instant;

impl Shared {
    /// Begins the shutdown; only the first call does something.
    pub(super) fn close(self: &Arc<Self>) {
        if std::mem::replace(&mut self.threads.lock().closing, true) {
            return;
        }
        self.registry.close();
        for lane in LANES {
            let mut mandatory = Vec::new();
            while let Some(job) = self.take(lane) {
                if job.is_mandatory() { mandatory.push(job) } else { self.cancel(job) }
            }
            for job in mandatory {
                self.take_place(lane);
                self.push(lane, job);
            }
        }
        let (sleepers, closers) = {
            let mut threads = self.threads.lock();
            self.word.close();
            let mut sleepers = Vec::new();
            for crew in [Crew::Common, Crew::Reserve] {
                let idle = std::mem::take(&mut threads.idle[crew as usize]);
                self.word.get_up(crew, idle.len());
                sleepers.extend(idle);
            }
            sleepers.iter().for_each(|worker| worker.signal(Signal::Close));
            (sleepers, threads.closers.clone())
        };
        // Pairs with the fence in `push`: a submitter that did not see CLOSED is seen here.
        fence(SeqCst);
        self.cancel_deserted();
        sleepers.iter().for_each(|worker| worker.unpark());
        closers.iter().for_each(thread::Thread::unpark);
    }

    /// Waits until all threads have ended; gives what is left at the deadline. A job that waits here
    /// does not wait for its own thread, nor for the threads of other jobs that wait here.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Report {
        let me = thread::current();
        let mut others = None;
        let left = loop {
            {
                let mut threads = self.threads.lock();
                threads.closers.retain(|closer| closer.id() != me.id());
                let now = self.word.peek();
                let left = now.threads() - threads.waiting_with(&me);
                let done = now.is_closed() && left == 0;
                if done || deadline.is_some_and(|at| at <= clock::now()) {
                    break left;
                }
                // If this thread is one that they do not wait for any more, they look again.
                others.get_or_insert_with(|| threads.closers.clone());
                threads.closers.push(me.clone());
            }
            others.iter_mut().flat_map(|others| others.drain(..)).for_each(|other| other.unpark());
            match deadline.map(|at| at.saturating_duration_since(clock::now())) {
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        };
        if left == 0 {
            return Report::default();
        }
        Report { jobs: self.jobs(), threads: left }
    }
}

impl Threads {
    /// How many threads of the pool wait in `shutdown` together with `me`; none if `me` is not one.
    fn waiting_with(&self, me: &thread::Thread) -> usize {
        let is = |worker: &Arc<Worker>, thread: &thread::Thread| worker.thread.id() == thread.id();
        if !self.all.iter().any(|worker| is(worker, me)) {
            return 0;
        }
        let waits = |worker: &&Arc<Worker>| self.closers.iter().any(|closer| is(worker, closer));
        1 + self.all.iter().filter(waits).count()
    }
}
