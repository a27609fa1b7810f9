//! How a group can fail.

use crate::task::{JoinError, TaskInfo};
use std::error::Error;
use std::fmt;

/// Why a [`scope`](super::scope) gave no value: all that failed, in the order in which it did.
pub struct GroupError<E> {
    pub(super) failures: Vec<Failure<E>>,
    pub(super) cancelled: Vec<TaskInfo>,
}

/// One thing that failed in a group.
#[non_exhaustive]
pub enum Failure<E> {
    /// The body or a task gave an error.
    Error(E),
    /// A task panicked.
    Panic(JoinError),
    /// The deadline came first.
    Deadline,
}

impl<E> GroupError<E> {
    /// What failed. The first one cancelled the others; it is empty if the group was only
    /// [cancelled](super::Group::cancel).
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// What failed, owned.
    pub fn into_failures(self) -> Vec<Failure<E>> {
        self.failures
    }

    /// The errors among the failures.
    pub fn errors(&self) -> impl Iterator<Item = &E> {
        self.failures.iter().filter_map(|failure| match failure {
            Failure::Error(error) => Some(error),
            _ => None,
        })
    }

    /// The tasks that were dropped because they had not ended when the grace period was over.
    pub fn cancelled(&self) -> &[TaskInfo] {
        &self.cancelled
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panic(error) => error.fmt(f),
            Self::Deadline => f.write_str("deadline has elapsed"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
            Self::Panic(error) => f.debug_tuple("Panic").field(error).finish(),
            Self::Deadline => f.write_str("Deadline"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.failures.split_first() else {
            return write!(f, "the group was cancelled");
        };
        first.fmt(f)?;
        others.iter().try_for_each(|other| write!(f, "; then: {other}"))
    }
}

impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupError")
            .field("failures", &self.failures)
            .field("cancelled", &self.cancelled)
            .finish()
    }
}

impl<E: fmt::Debug + fmt::Display> Error for GroupError<E> {}

/// The task gave no value: it failed, panicked or was cancelled. Its group says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildFailed(pub(super) ());

impl fmt::Display for ChildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task ended without a value")
    }
}

impl Error for ChildFailed {}

/// Why [`Group::start`](super::Group::start) gave no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError<E> {
    /// The task failed before it had started.
    Failed(E),
    /// The task ended otherwise before it had started: well, or cancelled, or by a panic, which its
    /// group reports.
    NotStarted,
}

impl<E: fmt::Display> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "failed to start: {error}"),
            Self::NotStarted => f.write_str("the task ended before it had started"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for StartError<E> {}
