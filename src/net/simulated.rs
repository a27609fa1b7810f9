//! The network of a simulation: TCP without a network.
//!
//! A simulated socket is a Unix socket with a name outside the file system, in which its address stands. So
//! listening, connecting, addresses that are taken or refused, and all that streams can do are the kernel's, and
//! behave alike each time: what is written to a Unix socket can be read at once, and nothing else is under way.
//! A simulation asks the poller at each of its steps.
//!
//! Rejected: listeners and streams of our own behind the types of `net`, in memory (each method twice); sockets of
//! the loopback device, whose data and acknowledgements may be under way when the sender's call has returned.

use super::sys;
use crate::primitive::explore;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::process::id;

const PREFIX: &str = "\0reiver simulation ";
/// Where ports come from that nobody has asked for.
const EPHEMERAL: RangeInclusive<u16> = 49152..=65535;

/// The network that this code is in, if it is simulated and has one.
#[inline]
pub(super) fn network() -> Option<u64> {
    explore::network().filter(|_| sys::HAS_ABSTRACT_NAMES)
}

/// The name of an address. Simulations run beside each other, in this process and in others.
fn name(network: u64, address: SocketAddr) -> io::Result<SockAddr> {
    SockAddr::unix(format!("{PREFIX}{}/{network}/{address}", id()))
}

/// The address that is in a name.
pub(super) fn address(name: &SockAddr) -> Option<SocketAddr> {
    let name = std::str::from_utf8(sys::abstract_bytes(name)?).ok()?;
    let (_, address) = name.strip_prefix(&PREFIX[1..])?.rsplit_once('/')?;
    address.parse().ok()
}

fn bound(network: u64, address: SocketAddr) -> io::Result<Socket> {
    let socket = sys::socket(Domain::UNIX, Type::STREAM)?;
    if address.port() > 0 {
        socket.bind(&name(network, address)?)?;
        return Ok(socket);
    }
    for port in EPHEMERAL {
        match socket.bind(&name(network, SocketAddr::new(address.ip(), port))?) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result.map(|()| socket),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// A listener at `address`.
pub(super) fn listen(network: u64, address: SocketAddr) -> io::Result<Socket> {
    let socket = bound(network, address)?;
    socket.listen(super::socket::BACKLOG)?;
    Ok(socket)
}

/// A connection to `address`: to who listens there, or at all addresses of the host.
pub(super) fn connect(network: u64, address: SocketAddr) -> io::Result<Socket> {
    let (here, anywhere) = match address.ip() {
        IpAddr::V4(_) => (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        IpAddr::V6(_) => (IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = bound(network, SocketAddr::new(here, 0))?;
    let result = socket.connect(&name(network, address)?);
    match result {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            socket.connect(&name(network, SocketAddr::new(anywhere, address.port()))?)?;
        }
        result => result?,
    }
    Ok(socket)
}
