//! Task ids.

use std::fmt;
use std::num::NonZeroU64;

/// Identifies a task among all that this process ever started.
///
/// Ids are given in the order of spawning on each worker, not across workers.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let handle = reiver::spawn(async { reiver::task::id() });
/// let id = handle.id();
/// assert_eq!(handle.await.unwrap(), id);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(NonZeroU64);

impl Id {
    /// What a task has until its registry gives it an id.
    pub(super) const NONE: Self = Self(NonZeroU64::MAX);

    /// # Panics
    ///
    /// If `number` is 0.
    pub(crate) fn new(number: u64) -> Self {
        Self(NonZeroU64::new(number).expect("task ids start at 1"))
    }

    /// The number, never 0.
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}
