//! What differs between systems, chosen as whole files: both have
//!
//! * `accept`: takes a connection from a listener; it is nonblocking and is not inherited by
//!   children. On Linux that is one system call instead of two or three.
//! * `socket`: a new socket with the same properties.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::{accept, socket};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use other::{accept, socket};
