//! Addresses of Unix sockets.

use crate::net::sys;
use socket2::SockAddr;
use std::os::unix::net;
use std::path::Path;
use std::{fmt, io};

/// The address of a Unix socket: a path, on Linux a name outside the file system, or nothing.
#[derive(Clone)]
pub struct SocketAddr(SockAddr);

/// The address of a path.
///
/// # Errors
///
/// `InvalidInput` if it is too long, or has a zero byte: what is behind it would be cut off. A zero byte at the
/// beginning makes it a name outside the file system, which may have more.
pub(super) fn address(path: impl AsRef<Path>) -> io::Result<SockAddr> {
    let bytes = path.as_ref().as_os_str().as_bytes();
    if bytes.first() != Some(&0) && bytes.contains(&0) {
        let text = "the path of a socket must not have a zero byte";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    SockAddr::unix(path)
}

impl SocketAddr {
    /// The address of a socket, which is no failure: the system gave it.
    pub(super) fn new(address: &SockAddr) -> io::Result<Self> {
        Ok(Self(address.clone()))
    }

    pub(super) fn inner(&self) -> &SockAddr {
        &self.0
    }

    /// Whether there is no name at all.
    pub fn is_unnamed(&self) -> bool {
        // A connection from a socket without a name comes with no address, not even a family.
        self.as_pathname().is_none() && self.as_abstract_name().is_none()
    }

    /// The path, if it is one.
    pub fn as_pathname(&self) -> Option<&Path> {
        self.0.as_pathname()
    }

    /// The name without its leading zero, if it is one outside the file system.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.0.as_abstract_namespace()
    }
}

impl fmt::Debug for SocketAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_pathname(), self.as_abstract_name()) {
            (Some(path), _) => write!(f, "{path:?} (pathname)"),
            (None, Some(name)) => write!(f, "\"{}\" (abstract)", name.escape_ascii()),
            (None, None) => f.write_str("(unnamed)"),
        }
    }
}

/// What stands for an address that cannot be made. Another program may have bound a path that fills the whole
/// room, which the system allows: it has no end, and neither std nor `socket2` makes such a one.
fn unnamed() -> SockAddr {
    SockAddr::unix("").expect("it has no length")
}

/// A path of 108 bytes, which can only come from another program, gives an address without a name.
impl From<net::SocketAddr> for SocketAddr {
    fn from(address: net::SocketAddr) -> Self {
        let mut name = Vec::new();
        let path = match (address.as_pathname(), sys::abstract_name(&address)) {
            (Some(path), _) => path,
            (None, Some(abstract_name)) => {
                name.push(0);
                name.extend_from_slice(abstract_name);
                Path::new(std::ffi::OsStr::from_bytes(&name))
            }
            (None, None) => Path::new(""),
        };
        Self(SockAddr::unix(path).unwrap_or_else(|_| unnamed()))
    }
}

/// A path of 108 bytes, which can only come from another program, gives an address without a name.
impl From<SocketAddr> for net::SocketAddr {
    fn from(address: SocketAddr) -> Self {
        let std = match (address.as_pathname(), address.as_abstract_name()) {
            (None, Some(name)) => sys::from_abstract_name(name),
            (path, _) => net::SocketAddr::from_pathname(path.unwrap_or(Path::new(""))),
        };
        let unnamed = |_| net::SocketAddr::from_pathname("");
        std.or_else(unnamed).expect("it has no length")
    }
}

use std::os::unix::ffi::OsStrExt;
