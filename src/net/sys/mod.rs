//! What differs between systems, chosen as whole files: both have
//!
//! * `accept`: takes a connection from a listener; it is nonblocking and is not inherited by
//!   children. On Linux that is one system call instead of two or three.
//! * `socket`, `pipe`: a new socket and a new pipe with the same properties.
//! * `abstract_bytes`, `abstract_name`, `from_abstract_name`: names of Unix sockets outside the file system,
//!   if the system `HAS_ABSTRACT_NAMES`.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::{
    HAS_ABSTRACT_NAMES, abstract_bytes, abstract_name, accept, from_abstract_name, pipe, socket,
};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use other::{
    HAS_ABSTRACT_NAMES, abstract_bytes, abstract_name, accept, from_abstract_name, pipe, socket,
};
