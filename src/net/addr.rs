//! Names to addresses.
//!
//! What is an address already never leaves the thread and costs no allocation. Names are looked up
//! by the system's resolver, which blocks, on the blocking pool's lane for the runtime's own jobs: a
//! full queue of user jobs does not delay a `connect`.

use super::simulated;
use crate::blocking::Spec;
use crate::runtime::in_runtime;
use crate::task::JoinHandle;
use std::future::Future;
use std::io;
use std::net::ToSocketAddrs as StdToSocketAddrs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::option;
use std::vec;

/// What has socket addresses: addresses, pairs of host and port, strings `"host:port"`.
///
/// It cannot be implemented outside this crate. Pass a value to [`lookup_host`], or to the `bind` and
/// `connect` of a socket.
pub trait ToSocketAddrs: sealed::Sealed {}

impl<T: sealed::Sealed + ?Sized> ToSocketAddrs for T {}

/// The addresses of `host`, which may be a name.
///
/// # Errors
///
/// Those of the system's resolver.
///
/// # Panics
///
/// With a name, outside a runtime.
///
/// # Cancel safety
///
/// Dropping the future forgets the result; a lookup that has begun goes on in the pool.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut found = reiver::net::lookup_host("localhost:80").await?;
/// assert!(found.all(|address| address.ip().is_loopback()));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn lookup_host<T: ToSocketAddrs>(
    host: T,
) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let lookup = host.lookup();
    resolve(lookup).await
}

async fn resolve(lookup: Lookup) -> io::Result<Addresses> {
    match lookup {
        Lookup::Done(addresses) => Ok(addresses),
        Lookup::Named(name, port) => look_up(name, port)?.await?.map(Addresses::Many),
    }
}

/// Starts the lookup of a name. The port is in the name if none is given.
fn look_up(
    name: Box<str>,
    port: Option<u16>,
) -> io::Result<JoinHandle<io::Result<vec::IntoIter<SocketAddr>>>> {
    in_runtime(|runtime| {
        let spec = Spec { name: Some(name.clone()), ..Spec::runtime() };
        runtime.spawn_own(spec, move || match port {
            Some(port) => (&*name, port).to_socket_addrs(),
            None => name.to_socket_addrs(),
        })
    })
}

/// Tries `attempt` on each address of `host` until one works.
pub(super) async fn first<A, R, F>(
    host: A,
    mut attempt: impl FnMut(SocketAddr) -> F,
) -> io::Result<R>
where
    A: ToSocketAddrs,
    F: Future<Output = io::Result<R>>,
{
    let mut last = None;
    let lookup = host.lookup();
    for address in resolve(lookup).await? {
        match attempt(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(no_address))
}

/// The first address of `host`.
pub(super) async fn one_of<A: ToSocketAddrs>(host: A) -> io::Result<SocketAddr> {
    let lookup = host.lookup();
    resolve(lookup).await?.next().ok_or_else(no_address)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}

/// Where a lookup stands before anything has waited.
#[derive(Debug)]
pub enum Lookup {
    /// There was nothing to look up.
    Done(Addresses),
    /// A name, and the port if it is not part of it.
    Named(Box<str>, Option<u16>),
}

/// Addresses, one after the other.
#[derive(Debug)]
pub enum Addresses {
    /// One, without an allocation.
    One(option::IntoIter<SocketAddr>),
    /// Any number.
    Many(vec::IntoIter<SocketAddr>),
}

impl Iterator for Addresses {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        match self {
            Self::One(address) => address.next(),
            Self::Many(addresses) => addresses.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::One(address) => address.size_hint(),
            Self::Many(addresses) => addresses.size_hint(),
        }
    }
}

/// The address of an IP socket.
pub(super) fn ip(address: &socket2::SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .or_else(|| simulated::address(address))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the socket has no IP address"))
}

fn one(address: SocketAddr) -> Lookup {
    Lookup::Done(Addresses::One(Some(address).into_iter()))
}

mod sealed {
    pub trait Sealed {
        /// The addresses, or what must be looked up.
        #[doc(hidden)]
        fn lookup(&self) -> super::Lookup;
    }
}

use sealed::Sealed;

macro_rules! addresses {
    ($($ty:ty),*) => { $(
        impl Sealed for $ty {
            fn lookup(&self) -> Lookup {
                one(SocketAddr::from(*self))
            }
        }
    )* };
}

addresses!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl Sealed for [SocketAddr] {
    fn lookup(&self) -> Lookup {
        Lookup::Done(Addresses::Many(Vec::from(self).into_iter()))
    }
}

impl Sealed for str {
    fn lookup(&self) -> Lookup {
        match self.parse() {
            Ok(address) => one(address),
            Err(_) => Lookup::Named(self.into(), None),
        }
    }
}

impl Sealed for String {
    fn lookup(&self) -> Lookup {
        (**self).lookup()
    }
}

impl Sealed for (&str, u16) {
    fn lookup(&self) -> Lookup {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => one(SocketAddr::new(ip, port)),
            Err(_) => Lookup::Named(host.into(), Some(port)),
        }
    }
}

impl Sealed for (String, u16) {
    fn lookup(&self) -> Lookup {
        (self.0.as_str(), self.1).lookup()
    }
}

impl<T: Sealed + ?Sized> Sealed for &T {
    fn lookup(&self) -> Lookup {
        (**self).lookup()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(host: impl ToSocketAddrs) -> Option<Vec<String>> {
        match host.lookup() {
            Lookup::Done(found) => Some(found.map(|address| address.to_string()).collect()),
            Lookup::Named(..) => None,
        }
    }

    #[test]
    fn literals_are_not_looked_up() {
        let v4: SocketAddr = "1.2.3.4:5".parse().unwrap();
        let v6: SocketAddr = "[::1]:5".parse().unwrap();
        assert_eq!(literal("1.2.3.4:5").unwrap(), ["1.2.3.4:5"]);
        assert_eq!(literal(String::from("[::1]:5")).unwrap(), ["[::1]:5"]);
        assert_eq!(literal(("::1", 5)).unwrap(), ["[::1]:5"]);
        assert_eq!(literal((String::from("1.2.3.4"), 5)).unwrap(), ["1.2.3.4:5"]);
        assert_eq!(literal((v4.ip(), 5)).unwrap(), ["1.2.3.4:5"]);
        assert_eq!(literal(&[v4, v6][..]).unwrap(), ["1.2.3.4:5", "[::1]:5"]);
        assert_eq!(literal("localhost:5"), None);
        assert_eq!(literal((String::from("localhost"), 5)), None);
        // Left to the system's resolver, which knows what is an error.
        assert_eq!(literal("1.2.3.4"), None);
    }
}
