//! Addresses to names: `addr.rs` the other way round, by the same resolver in the same lane of the pool.

use crate::blocking::Spec;
use crate::runtime::in_runtime;
use socket2::SockAddr;
use std::ffi::{CStr, c_int};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

/// The length of the longest name with its end, `NI_MAXHOST` of the systems' headers.
const LONGEST: usize = 1025;

/// The name of the host that has an address: asyncio's `getnameinfo`.
///
/// # Errors
///
/// `NotFound` if it has none; else those of the system's resolver.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Cancel safety
///
/// Dropping the future forgets the result; a lookup that has begun goes on in the pool.
///
/// # Examples
///
/// ```
/// use std::net::Ipv4Addr;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let name = reiver::net::lookup_addr(Ipv4Addr::LOCALHOST.into()).await?;
/// println!("I am {name}");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn lookup_addr(address: IpAddr) -> io::Result<String> {
    let lookup = in_runtime(|runtime| {
        let spec = Spec { name: Some(address.to_string().into()), ..Spec::runtime() };
        runtime.spawn_own(spec, move || name_of(address))
    })?;
    lookup.await?
}

/// Blocks the thread.
fn name_of(address: IpAddr) -> io::Result<String> {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    let mut name = [0_u8; LONGEST];
    // SAFETY: the address and its length are socket2's, the room and its length are `name`'s, and of the
    // service nothing is wanted.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            name.as_mut_ptr().cast(),
            // A `socklen_t` or a `size_t`, by the system.
            LONGEST as _,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if code != 0 {
        return Err(error(code));
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    let name = name.to_str().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    Ok(name.to_owned())
}

/// What an `EAI_…` says. On the same thread: `EAI_SYSTEM` leaves the rest in `errno`.
fn error(code: c_int) -> io::Error {
    let (kind, text) = match code {
        libc::EAI_SYSTEM => return io::Error::last_os_error(),
        libc::EAI_NONAME => (ErrorKind::NotFound, "the address has no name"),
        libc::EAI_AGAIN => (ErrorKind::TimedOut, "no name server has answered"),
        libc::EAI_MEMORY => (ErrorKind::OutOfMemory, "no memory to look up a name"),
        _ => (ErrorKind::Other, "the name of the address was not found out"),
    };
    io::Error::new(kind, format!("{text} (EAI {code})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(error(libc::EAI_NONAME).kind(), ErrorKind::NotFound);
        assert_eq!(error(libc::EAI_AGAIN).kind(), ErrorKind::TimedOut);
        assert_eq!(error(libc::EAI_FAIL).kind(), ErrorKind::Other);
    }
}
