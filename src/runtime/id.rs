//! Which runtime.

use std::fmt;

/// The number of a runtime, or of a [`LocalSet`](crate::task::LocalSet): no other that lives has the same.
///
/// # Examples
///
/// ```
/// use reiver::runtime::{Handle, Runtime};
/// let (one, other) = (Runtime::new()?, Runtime::new()?);
/// assert_ne!(one.handle().id(), other.handle().id());
/// assert_eq!(one.block_on(async { Handle::current().id() }), one.handle().id());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(usize);

impl Id {
    /// That of whoever owns this address.
    pub(crate) fn of<T>(owned: *const T) -> Self {
        // Nothing of ours begins at an address that is not even.
        Self(owned.addr() >> 1)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
