//! Linux and Android.

use super::Peer;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Who is at the other end of a stream, as it was when it connected.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and `cred` has room for `len` bytes, any of which make a `ucred`.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &mut len,
        )
    };
    match result {
        // Process 0 is one that this pid namespace does not know.
        0 => Ok(Peer {
            process: Some(cred.pid).filter(|&pid| pid != 0),
            user: cred.uid,
            group: cred.gid,
        }),
        _ => Err(io::Error::last_os_error()),
    }
}
