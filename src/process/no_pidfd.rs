//! Systems without descriptors for processes.

use std::io;
use std::os::fd::OwnedFd;

/// There is none.
///
/// # Errors
///
/// Always.
pub(super) fn open(_pid: u32) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
