//! Who has a job that was given to a worker ahead of its turn: the worker, or again the pool.
//!
//! Each job has a number, which counts what this worker was given, and one word in memory that both processes see:
//!
//! | phase | who leaves it | by |
//! |---|---|---|
//! | offered | the worker, just before it calls the function | [`take`](Cell::take): taken |
//! | offered | the parent, when the job is to go to another worker | [`withdraw`](Cell::withdraw): withdrawn |
//! | taken, withdrawn | the parent, when the word is used for a later job | [`offer`](Cell::offer): offered |
//!
//! The number is part of the word: a message that is read late finds the word of a later job, and changes nothing.
//! The proof is in `README.md`, "A job is taken once".
//!
//! Every access is Relaxed: the word says who has the job, and the job itself goes through the socket, which orders
//! what it must. That an offer is there before its message is read is the socket's doing, too.

use super::Word;
use crate::primitive::atomic::Ordering::Relaxed;

/// What has become of an offer: the low bits of the word, below the job's number.
const OFFERED: u64 = 1;
const TAKEN: u64 = 2;
const WITHDRAWN: u64 = 3;

/// How many cells there are: job *n* has cell *n* modulo this, and the parent gives so many jobs at most.
pub const CELLS: u64 = 512;

/// What a worker is to do with a job that it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// To run it.
    Ours,
    /// To forget it: the parent has it again.
    Withdrawn,
    /// To end. The word is none that a parent writes, so somebody here has written to what is not his; the parent
    /// may wait for this job.
    Damaged,
}

/// One job's word.
#[derive(Debug)]
#[repr(transparent)]
pub struct Cell(Word);

fn word(job: u64, phase: u64) -> u64 {
    job << 2 | phase
}

impl Cell {
    /// A cell that was never used. (In shared memory a cell begins as zeros, which is the same.)
    #[allow(dead_code, clippy::new_without_default)] // For the model.
    pub fn new() -> Self {
        Self(Word::new(0))
    }

    /// Parent: offers a job, before its message is sent. The last job of this cell is decided.
    ///
    /// A swap, since a late `take` of that job may come at the same time.
    pub fn offer(&self, job: u64) {
        self.0.swap(word(job, OFFERED), Relaxed);
    }

    /// Worker: whether the job is offered. A hint.
    pub fn is_offered(&self, job: u64) -> bool {
        self.0.load(Relaxed) == word(job, OFFERED)
    }

    /// Worker: takes the job that it has read.
    pub fn take(&self, job: u64) -> Taken {
        match self.decide(job, TAKEN) {
            Ok(_) => Taken::Ours,
            Err(found) if found == word(job, WITHDRAWN) => Taken::Withdrawn,
            // The next job of this cell. One after that is not given before this message is read: `README.md`.
            Err(found) if found >> 2 == job + CELLS => Taken::Withdrawn,
            Err(_) => Taken::Damaged,
        }
    }

    /// Parent: whether the job is its own again. If not, it has begun, or somebody has damaged the word.
    #[must_use = "`true`: the job is to be queued again"]
    pub fn withdraw(&self, job: u64) -> bool {
        self.decide(job, WITHDRAWN).is_ok()
    }

    /// Ends an offer, once. On an error it gives what was found instead.
    fn decide(&self, job: u64, phase: u64) -> Result<u64, u64> {
        self.0.compare_exchange(word(job, OFFERED), word(job, phase), Relaxed, Relaxed)
    }
}
