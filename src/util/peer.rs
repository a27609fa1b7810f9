//! Who is at the other end of a Unix stream, by the kernel's word.

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "peer_linux.rs"]
mod sys;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "peer_other.rs"]
mod sys;

pub(crate) use sys::peer;

/// A process's user and group and, where the system tells it, its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) process: Option<i32>,
    pub(crate) user: u32,
    pub(crate) group: u32,
}
