//! What a descriptor is, for people: what `/proc` says, which on other systems is nothing.
//!
//! A link says "socket:[4711]", and the kernel's lists of sockets which address that is. Asking the descriptor itself
//! would need a borrow of what another thread may close meanwhile.

use std::fs::{read_link, read_to_string};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The lists of sockets with addresses, and what they are lists of.
const LISTS: [(&str, &str); 4] = [("tcp", "TCP"), ("tcp6", "TCP"), ("udp", "UDP"), ("udp6", "UDP")];

/// "UDP socket at 127.0.0.1:4711", "pipe:[12]", a path.
pub(super) fn describe(descriptor: i32) -> String {
    let Ok(link) = read_link(format!("/proc/self/fd/{descriptor}")) else {
        return "of unknown kind".to_owned();
    };
    let link = link.to_string_lossy().into_owned();
    let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
    inode.and_then(socket).unwrap_or(link)
}

/// The socket with this number.
fn socket(inode: &str) -> Option<String> {
    for (list, protocol) in LISTS {
        let text = read_to_string(format!("/proc/self/net/{list}")).unwrap_or_default();
        let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        if let Some(fields) = fields.into_iter().find(|fields| fields.get(9) == Some(&inode)) {
            let local = address(fields[1])?;
            return Some(match address(fields[2]).filter(|peer| peer.port() != 0) {
                Some(peer) => format!("{protocol} socket at {local}, to {peer}"),
                None => format!("{protocol} socket at {local}"),
            });
        }
    }
    let text = read_to_string("/proc/self/net/unix").ok()?;
    let line = text.lines().find(|line| line.split_whitespace().nth(6) == Some(inode))?;
    Some(match line.split_whitespace().nth(7) {
        Some(path) => format!("Unix socket at {path}"),
        None => format!("Unix socket without a name (inode {inode})"),
    })
}

/// "0100007F:1F90": words in the machine's order of bytes, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..words.len()).step_by(8) {
        let word = u32::from_str_radix(words.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(&*bytes) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_are_told_by_their_addresses() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let here = udp.local_addr().unwrap();
        assert_eq!(describe(udp.as_raw_fd()), format!("UDP socket at {here}"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        assert_eq!(describe(listener.as_raw_fd()), format!("TCP socket at {here}"));
        let stream = TcpStream::connect(here).unwrap();
        let from = stream.local_addr().unwrap();
        assert_eq!(describe(stream.as_raw_fd()), format!("TCP socket at {from}, to {here}"));
        let (unix, _other) = UnixStream::pair().unwrap();
        assert!(describe(unix.as_raw_fd()).starts_with("Unix socket without a name"));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(describe(file.as_raw_fd()), "/dev/null");
        assert_eq!(describe(-1), "of unknown kind");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read() {
        assert_eq!(address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        let text = "00000000000000000000000001000000:0050";
        assert_eq!(address(text), Some("[::1]:80".parse().unwrap()));
        assert_eq!(address("no"), None);
    }
}
