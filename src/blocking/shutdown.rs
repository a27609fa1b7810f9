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

use super::shared::Shared;
use super::stats::Report;
use super::worker::Signal;
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
                if job.is_mandatory() { mandatory.push(job) } else { job.cancel() }
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

    /// Waits until all threads but the calling one have ended; gives what is left at the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Report {
        let me = thread::current();
        let left = loop {
            {
                let mut threads = self.threads.lock();
                let own = threads.all.iter().any(|worker| worker.thread.id() == me.id());
                let now = self.word.peek();
                let left = now.threads() - usize::from(own);
                let done = now.is_closed() && left == 0;
                threads.closers.retain(|closer| closer.id() != me.id());
                if done || deadline.is_some_and(|at| at <= clock::now()) {
                    break left;
                }
                threads.closers.push(me.clone());
            }
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
