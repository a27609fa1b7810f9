//! macOS and the BSDs, which do not say which process it is.

use super::Peer;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Who is at the other end of a stream, as it was when it connected.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: both pointers are good for one write each, and the descriptor is open.
    match unsafe { libc::getpeereid(stream.as_raw_fd(), &mut user, &mut group) } {
        0 => Ok(Peer { process: None, user, group }),
        _ => Err(io::Error::last_os_error()),
    }
}
