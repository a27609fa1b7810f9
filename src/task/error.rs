//! Why a task has no output.

use super::cell::Reason;
use super::{Id, panics};
use std::any::Any;
use std::{fmt, io};

/// The task did not end with an output: it was cancelled, or it panicked.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let handle = reiver::spawn(async { panic!("no more beer") });
/// let error = handle.await.unwrap_err();
/// assert!(error.is_panic());
/// assert!(error.to_string().contains("no more beer"));
/// # });
/// ```
pub struct JoinError {
    id: Id,
    reason: Reason,
}

// SAFETY: the payload of a panic is `Send` but perhaps not `Sync`. Through a shared reference it is
// only looked at as `&str` or `String` (`message`), which are `Sync`; everything else takes `self`.
unsafe impl Sync for JoinError {}

impl JoinError {
    pub(super) fn new(id: Id, reason: Reason) -> Self {
        Self { id, reason }
    }

    /// Whether the task was aborted, or its runtime shut down, before it ended.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.reason, Reason::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panic(_))
    }

    /// The payload of the panic, as [`std::panic::resume_unwind`] takes it.
    ///
    /// # Panics
    ///
    /// If the task did not panic.
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("`JoinError::into_panic` on a task that did not panic: {error}"),
        }
    }

    /// The payload of the panic, or this error again if the task did not panic.
    ///
    /// # Errors
    ///
    /// `self`, if the task was cancelled.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, Self> {
        match self.reason {
            Reason::Panic(payload) => Ok(*payload),
            Reason::Cancelled => Err(self),
        }
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.id
    }

    fn message(&self) -> Option<&str> {
        match &self.reason {
            Reason::Panic(payload) => panics::message(&***payload),
            Reason::Cancelled => None,
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.reason, self.message()) {
            (Reason::Cancelled, _) => write!(f, "task {} was cancelled", self.id),
            (Reason::Panic(_), Some(message)) => {
                write!(f, "task {} panicked with message {message:?}", self.id)
            }
            (Reason::Panic(_), None) => write!(f, "task {} panicked", self.id),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.reason, self.message()) {
            (Reason::Cancelled, _) => write!(f, "JoinError::Cancelled({:?})", self.id),
            (Reason::Panic(_), Some(message)) => {
                write!(f, "JoinError::Panic({:?}, {message:?}, ...)", self.id)
            }
            (Reason::Panic(_), None) => write!(f, "JoinError::Panic({:?}, ...)", self.id),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        io::Error::other(error.to_string())
    }
}
