//! Bytes on their way to something that takes its time, such as a file: a writer puts them in, a job on
//! another thread writes them out.
//!
//! ```text
//! writer:  lock; a job is at work and there is room: append          → taken: the job will write it
//!                a job is at work and there is no room               → wait for its end
//!                no job is: append, say that one is; unlock          → taken, and a job must be started
//! job:     loop { lock; nothing there: say that none is at work, end; take all; unlock; write it }
//! ```
//!
//! So a stream of small writes costs a job only when the last one has caught up, and a job that was started
//! writes everything. All of it is one short critical section each, with no system call in it. *Proof*: "at
//! work" is set where the job is owed, and cleared where the job has found nothing, both under the lock; so
//! bytes that are there have a job that will look again. *Model*: `outbox_writer_vs_job`.
//!
//! An error ends the job and drops what came in behind it: nothing is written behind a hole. The next who
//! looks gets it. When nobody will look any more, whoever comes second, the error or the end of the
//! writer, is given it to report. *Model*: `outbox_error_vs_leave`.
//!
//! Rejected: one buffer (tokio's way: each small write is a job, and waits for the one before).

use crate::primitive::Mutex;
use std::io::{self, IoSlice};

/// The bytes on their way, shared by a writer and its jobs.
#[derive(Debug)]
pub struct Outbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// A job takes what is there, or will.
    at_work: bool,
    /// That of the last job, until somebody looks.
    error: Option<io::Error>,
    /// Nobody will look.
    left: bool,
}

/// What became of bytes to write.
#[derive(Debug)]
#[must_use]
pub enum Put {
    /// So many will be written.
    Taken(usize),
    /// So many will be written by a job that the caller must start now.
    Start(usize),
    /// None: the job has to end first.
    Wait,
    /// The last job failed.
    Failed(io::Error),
}

impl State {
    fn append(&mut self, bufs: &[IoSlice<'_>], most: usize) -> usize {
        let before = self.bytes.len();
        for buf in bufs {
            let room = most.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        self.bytes.len() - before
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self(Mutex::new(State::default()))
    }
}

impl Outbox {
    /// Takes bytes up to a total of `most`.
    pub fn put(&self, bufs: &[IoSlice<'_>], most: usize) -> Put {
        let mut state = self.0.lock();
        if let Some(error) = state.error.take() {
            return Put::Failed(error);
        }
        if state.at_work && state.bytes.len() >= most {
            return Put::Wait;
        }
        let taken = state.append(bufs, most);
        if state.at_work || taken == 0 {
            return Put::Taken(taken);
        }
        state.at_work = true;
        Put::Start(taken)
    }

    /// As [`put`](Self::put) while a job is at work; else [`Put::Wait`].
    pub fn join(&self, bufs: &[IoSlice<'_>], most: usize) -> Put {
        let mut state = self.0.lock();
        if let Some(error) = state.error.take() {
            return Put::Failed(error);
        }
        if !state.at_work || state.bytes.len() >= most {
            return Put::Wait;
        }
        Put::Taken(state.append(bufs, most))
    }

    /// The error that nobody has seen.
    pub fn take_error(&self) -> Option<io::Error> {
        self.0.lock().error.take()
    }

    /// Whether there is nothing to write, and nothing being written.
    pub fn is_idle(&self) -> bool {
        !self.0.lock().at_work
    }

    /// The job's: exchanges what it has written for what comes next. `false` ends the job.
    #[must_use = "`false` ends the job"]
    pub fn next(&self, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let mut state = self.0.lock();
        state.at_work = !state.bytes.is_empty();
        std::mem::swap(&mut state.bytes, bytes);
        state.at_work
    }

    /// The job's: it ends with an error, which is given back if nobody will look.
    #[must_use = "nobody else will report it"]
    pub fn fail(&self, error: io::Error) -> Option<io::Error> {
        let mut state = self.0.lock();
        let _dropped_unlocked = std::mem::take(&mut state.bytes);
        state.at_work = false;
        if state.left { Some(error) } else { state.error.replace(error) }
    }

    /// The writer ends: nobody will look. Gives the error that nobody has seen.
    #[must_use = "nobody else will report it"]
    pub fn leave(&self) -> Option<io::Error> {
        let mut state = self.0.lock();
        state.left = true;
        state.error.take()
    }
}
