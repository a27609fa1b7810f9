//! Sockets, pipes, descriptors, names.

use super::support::task;
use super::{rows, until};
use reiver::io::unix::AsyncFd;
use reiver::io::{AsyncReadExt, AsyncWriteExt, Interest};
use reiver::net::unix::pipe;
use reiver::net::{
    TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixSocket,
    UnixStream, lookup_addr, lookup_host,
};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdStream;

const LOCAL: &str = "127.0.0.1:0";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn tcp() -> (TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let (client, server) = reiver::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

async fn udp() -> (UdpSocket, UdpSocket, SocketAddr) {
    let (here, there) =
        (UdpSocket::bind(LOCAL).await.unwrap(), UdpSocket::bind(LOCAL).await.unwrap());
    let address = here.local_addr().unwrap();
    there.connect(address).await.unwrap();
    (here, there, address)
}

fn fd() -> (AsyncFd<StdStream>, StdStream) {
    let (here, there) = StdStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    there.set_nonblocking(true).unwrap();
    (AsyncFd::new(here).unwrap(), there)
}

/// Writes until there is no room. Says how much that was.
fn fill(mut write: impl FnMut(&[u8]) -> std::io::Result<usize>) -> usize {
    let mut filled = 0;
    loop {
        match write(&[7; 1 << 14]) {
            Ok(len) => filled += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return filled,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Writes until there is no room and nothing moves any more: the kernel may say that there is room for as long
/// as there was, and later.
async fn fill_up(mut write: impl FnMut(&[u8]) -> std::io::Result<usize>) -> usize {
    let mut filled = fill(&mut write);
    loop {
        reiver::time::sleep(std::time::Duration::from_millis(5)).await;
        match fill(&mut write) {
            0 => return filled,
            more => filled += more,
        }
    }
}

async fn drain(mut stream: impl reiver::io::AsyncRead + Unpin, len: usize) {
    stream.read_exact(&mut vec![0; len]).await.unwrap();
}

/// A path for a socket, which goes when it is dropped.
struct Name(std::path::PathBuf);

impl Name {
    fn new() -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("reiver-cancel-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

rows! {
    "net/addr::lookup_host" => |cut| {
        cut.job(lookup_host("localhost:80")).await;
        assert!(lookup_host("localhost:80").await.unwrap().count() > 0);
    }
    "net/name::lookup_addr" => |cut| {
        let address = "127.0.0.1".parse().unwrap();
        cut.job(lookup_addr(address)).await;
        assert!(!lookup_addr(address).await.unwrap().is_empty());
    }
    "net/tcp/listener::bind" => |cut| {
        let (listener, address) = listener().await;
        drop(listener);
        cut.job(TcpListener::bind(address)).await;
        // Whatever it had made is closed.
        TcpListener::bind(address).await.unwrap();
    }
    "net/tcp/listener::accept" => |cut| {
        let (listener, address) = listener().await;
        let mut client = None;
        cut.of(listener.accept(), async {
            client = Some(TcpStream::connect(address).await.unwrap());
        })
        .await;
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.unwrap().local_addr().unwrap());
    }
    "net/tcp/stream::connect" => |cut| {
        let (listener, address) = listener().await;
        cut.job(TcpStream::connect(address)).await;
        let client = TcpStream::connect(address).await.unwrap();
        // One that was given up half-way is closed.
        loop {
            let (mut server, peer) = listener.accept().await.unwrap();
            if peer == client.local_addr().unwrap() {
                break;
            }
            let read = server.read(&mut [0; 1]).await;
            assert!(matches!(read, Ok(0)) || read.is_err(), "{read:?}");
        }
    }
    "net/tcp/socket::connect" => |cut| {
        let (listener, address) = listener().await;
        cut.job(TcpSocket::new_v4().unwrap().connect(address)).await;
        let client = TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
        while listener.accept().await.unwrap().1 != client.local_addr().unwrap() {}
    }
    "net/tcp/stream::peek" => |cut| {
        let (here, mut there) = tcp().await;
        cut.of(here.peek(&mut [0; 8]), async { there.write_all(b"x").await.unwrap() }).await;
        assert_eq!(here.peek(&mut [0; 8]).await.unwrap(), 1);
    }
    "net/tcp/stream::AsyncRead" => |cut| {
        let (mut here, mut there) = tcp().await;
        cut.of(here.read(&mut [0; 8]), async { there.write_all(b"x").await.unwrap() }).await;
        assert_eq!(here.read_u8().await.unwrap(), b'x');
    }
    "net/tcp/stream::AsyncWrite" => |cut| {
        let (mut here, mut there) = tcp().await;
        let filled = fill_up(|bytes| here.try_write(bytes)).await;
        cut.of(here.write(b"x"), drain(&mut there, filled)).await;
        here.write_all(b"y").await.unwrap();
        assert_eq!(there.read_u8().await.unwrap(), b'y', "what was given up was not written");
    }
    "net/tcp/split::peek" => |cut| {
        let (mut here, mut there) = tcp().await;
        let (mut read, _) = here.split();
        cut.of(read.peek(&mut [0; 8]), async { there.write_all(b"x").await.unwrap() }).await;
        assert_eq!(read.read_u8().await.unwrap(), b'x');
    }
    "net/methods::ready" => |cut| {
        let (mut here, mut there) = tcp().await;
        let ready = here.ready(Interest::READABLE);
        cut.of(ready, async { there.write_all(b"x").await.unwrap() }).await;
        assert!(here.ready(Interest::READABLE).await.unwrap().is_readable());
        assert_eq!(here.read_u8().await.unwrap(), b'x');
    }
    "net/methods::readable" => |cut| {
        let (here, mut there) = tcp().await;
        cut.of(here.readable(), async { there.write_all(b"x").await.unwrap() }).await;
        here.readable().await.unwrap();
        assert_eq!(here.try_read(&mut [0; 8]).unwrap(), 1);
    }
    "net/methods::writable" => |cut| {
        let (here, there) = tcp().await;
        let filled = fill_up(|bytes| here.try_write(bytes)).await;
        cut.of(here.writable(), drain(there, filled)).await;
        here.writable().await.unwrap();
    }
    "net/methods::async_io" => |cut| {
        let (here, mut there) = tcp().await;
        let read = || here.async_io(Interest::READABLE, || here.try_read(&mut [0; 8]));
        cut.of(read(), async { there.write_all(b"x").await.unwrap() }).await;
        assert_eq!(read().await.unwrap(), 1);
    }
    "net/split::ready" => |cut| {
        let (here, mut there) = tcp().await;
        let (read, _write) = here.into_split();
        let ready = read.ready(Interest::READABLE);
        cut.of(ready, async { there.write_all(b"x").await.unwrap() }).await;
        assert!(read.ready(Interest::READABLE).await.unwrap().is_readable());
    }
    "net/split::readable" => |cut| {
        let (here, mut there) = tcp().await;
        let (mut read, _write) = here.into_split();
        cut.of(read.readable(), async { there.write_all(b"x").await.unwrap() }).await;
        assert_eq!(read.read_u8().await.unwrap(), b'x');
    }
    "net/split::writable" => |cut| {
        let (here, there) = tcp().await;
        let filled = fill_up(|bytes| here.try_write(bytes)).await;
        let (_read, write) = here.into_split();
        cut.of(write.writable(), drain(there, filled)).await;
        write.writable().await.unwrap();
    }
    "net/udp::bind" => |cut| {
        let (here, _, address) = udp().await;
        drop(here);
        cut.job(UdpSocket::bind(address)).await;
        UdpSocket::bind(address).await.unwrap();
    }
    "net/udp::connect" => |cut| {
        let (here, there, _) = udp().await;
        cut.job(here.connect(there.local_addr().unwrap())).await;
        assert_eq!(here.peer_addr().is_ok(), cut.has_begun());
    }
    "net/udp::send_to" => |cut| {
        let (here, there, address) = udp().await;
        let other = UdpSocket::bind(LOCAL).await.unwrap();
        cut.job(other.send_to(b"x", address)).await;
        there.send(b"y").await.unwrap();
        let mut first = [0; 8];
        here.recv(&mut first).await.unwrap();
        assert_eq!(first[0], if cut.has_begun() { b'x' } else { b'y' }, "whole or not at all");
    }
    "net/datagram::send" => |cut| {
        // Unix datagrams have a queue that can be full.
        let (here, there) = UnixDatagram::pair().unwrap();
        let mut sent = 0;
        while here.try_send(b"x").is_ok() {
            sent += 1;
        }
        cut.of(here.send(b"lost"), async {
            for _ in 0..sent {
                assert_eq!(there.recv(&mut [0; 8]).await.unwrap(), 1);
            }
        })
        .await;
        here.send(b"yy").await.unwrap();
        assert_eq!(there.recv(&mut [0; 8]).await.unwrap(), 2);
    }
    "net/datagram::recv" => |cut| {
        let (here, there, _) = udp().await;
        cut.of(here.recv(&mut [0; 8]), async { _ = there.send(b"x").await.unwrap() }).await;
        assert_eq!(here.recv(&mut [0; 8]).await.unwrap(), 1);
    }
    "net/datagram::recv_buf" => |cut| {
        let (here, there, _) = udp().await;
        let mut buffer = Vec::with_capacity(8);
        cut.of(here.recv_buf(&mut buffer), async { _ = there.send(b"x").await.unwrap() }).await;
        assert!(buffer.is_empty());
        assert_eq!(here.recv_buf(&mut buffer).await.unwrap(), 1);
    }
    "net/datagram::recv_from" => |cut| {
        let (here, there, _) = udp().await;
        cut.of(here.recv_from(&mut [0; 8]), async { _ = there.send(b"x").await.unwrap() }).await;
        let (len, from) = here.recv_from(&mut [0; 8]).await.unwrap();
        assert_eq!((len, from), (1, there.local_addr().unwrap()));
    }
    "net/datagram::recv_buf_from" => |cut| {
        let (here, there, _) = udp().await;
        let mut buffer = Vec::with_capacity(8);
        let received = here.recv_buf_from(&mut buffer);
        cut.of(received, async { _ = there.send(b"x").await.unwrap() }).await;
        assert!(buffer.is_empty());
        assert_eq!(here.recv_buf_from(&mut buffer).await.unwrap().0, 1);
    }
    "net/udp::peek" => |cut| {
        let (here, there, _) = udp().await;
        cut.of(here.peek(&mut [0; 8]), async { _ = there.send(b"x").await.unwrap() }).await;
        assert_eq!(here.recv(&mut [0; 8]).await.unwrap(), 1);
    }
    "net/udp::peek_from" => |cut| {
        let (here, there, _) = udp().await;
        cut.of(here.peek_from(&mut [0; 8]), async { _ = there.send(b"x").await.unwrap() }).await;
        assert_eq!(here.recv(&mut [0; 8]).await.unwrap(), 1);
    }
    "net/udp::peek_sender" => |cut| {
        let (here, there, _) = udp().await;
        cut.of(here.peek_sender(), async { _ = there.send(b"x").await.unwrap() }).await;
        assert_eq!(here.peek_sender().await.unwrap(), there.local_addr().unwrap());
        assert_eq!(here.recv(&mut [0; 8]).await.unwrap(), 1);
    }
    "net/unix/listener::accept" => |cut| {
        let name = Name::new();
        let listener = UnixListener::bind(&name.0).unwrap();
        let mut client = None;
        cut.of(listener.accept(), async {
            client = Some(UnixStream::connect(&name.0).await.unwrap());
        })
        .await;
        let (mut server, _) = listener.accept().await.unwrap();
        client.unwrap().write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    }
    "net/unix/stream::connect" => |cut| {
        let name = Name::new();
        let listener = UnixListener::bind(&name.0).unwrap();
        cut.job(UnixStream::connect(&name.0)).await;
        let mut client = UnixStream::connect(&name.0).await.unwrap();
        client.write_all(b"x").await.unwrap();
        while listener.accept().await.unwrap().0.read_u8().await.is_err() {}
    }
    "net/unix/stream::connect_addr" => |cut| {
        let name = Name::new();
        let listener = UnixListener::bind(&name.0).unwrap();
        let address = listener.local_addr().unwrap();
        cut.job(UnixStream::connect_addr(&address)).await;
        let mut client = UnixStream::connect_addr(&address).await.unwrap();
        client.write_all(b"x").await.unwrap();
        while listener.accept().await.unwrap().0.read_u8().await.is_err() {}
    }
    "net/unix/socket::connect" => |cut| {
        let name = Name::new();
        let listener = UnixListener::bind(&name.0).unwrap();
        cut.job(UnixSocket::new_stream().unwrap().connect(&name.0)).await;
        let mut client = UnixSocket::new_stream().unwrap().connect(&name.0).await.unwrap();
        client.write_all(b"x").await.unwrap();
        while listener.accept().await.unwrap().0.read_u8().await.is_err() {}
    }
    "net/unix/datagram::send_to" => |cut| {
        let name = Name::new();
        let there = UnixDatagram::bind(&name.0).unwrap();
        let here = UnixDatagram::unbound().unwrap();
        let mut sent = 0;
        while here.try_send_to(b"x", &name.0).is_ok() {
            sent += 1;
        }
        cut.of(here.send_to(b"lost", &name.0), async {
            for _ in 0..sent {
                assert_eq!(there.recv(&mut [0; 8]).await.unwrap(), 1);
            }
        })
        .await;
        here.send_to(b"yy", &name.0).await.unwrap();
        assert_eq!(there.recv(&mut [0; 8]).await.unwrap(), 2);
    }
    "net/unix/pipe::ready" => |cut| {
        let (mut tx, mut rx) = pipe::pipe().unwrap();
        let ready = rx.ready(Interest::READABLE);
        cut.of(ready, async { tx.write_all(b"x").await.unwrap() }).await;
        assert_eq!(rx.read_u8().await.unwrap(), b'x');
    }
    "net/unix/pipe::readable" => |cut| {
        let (mut tx, mut rx) = pipe::pipe().unwrap();
        cut.of(rx.readable(), async { tx.write_all(b"x").await.unwrap() }).await;
        assert_eq!(rx.read_u8().await.unwrap(), b'x');
    }
    "net/unix/pipe::writable" => |cut| {
        let (mut tx, rx) = pipe::pipe().unwrap();
        let filled = fill_up(|bytes| tx.try_write(bytes)).await;
        cut.of(tx.writable(), drain(rx, filled)).await;
        tx.writable().await.unwrap();
        // Its reader is gone.
        assert_eq!(tx.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
    "net/async_fd::ready" => |cut| {
        let (fd, mut there) = fd();
        cut.of(fd.ready(Interest::READABLE), async { there.write_all(b"x").unwrap() }).await;
        assert!(fd.ready(Interest::READABLE).await.unwrap().ready().is_readable());
    }
    "net/async_fd::ready_mut" => |cut| {
        let (mut fd, mut there) = fd();
        cut.of(fd.ready_mut(Interest::READABLE), async { there.write_all(b"x").unwrap() }).await;
        assert!(fd.ready_mut(Interest::READABLE).await.unwrap().ready().is_readable());
    }
    "net/async_fd::readable" => |cut| {
        let (fd, mut there) = fd();
        cut.of(fd.readable(), async { there.write_all(b"x").unwrap() }).await;
        fd.readable().await.unwrap().retain_ready();
    }
    "net/async_fd::readable_mut" => |cut| {
        let (mut fd, mut there) = fd();
        cut.of(fd.readable_mut(), async { there.write_all(b"x").unwrap() }).await;
        fd.readable_mut().await.unwrap().retain_ready();
    }
    "net/async_fd::writable" => |cut| {
        let (fd, mut there) = fd();
        let write = |bytes: &[u8]| fd.try_io(Interest::WRITABLE, |mut fd| fd.write(bytes));
        let filled = fill_up(write).await;
        cut.of(fd.writable(), async { there.read_exact(&mut vec![0; filled]).unwrap() }).await;
        fd.writable().await.unwrap().retain_ready();
    }
    "net/async_fd::writable_mut" => |cut| {
        let (mut fd, mut there) = fd();
        let write = |bytes: &[u8]| fd.try_io(Interest::WRITABLE, |mut fd| fd.write(bytes));
        let filled = fill_up(write).await;
        cut.of(fd.writable_mut(), async { there.read_exact(&mut vec![0; filled]).unwrap() }).await;
        fd.writable_mut().await.unwrap().retain_ready();
    }
    "net/async_fd::async_io" => |cut| {
        let (fd, mut there) = fd();
        let read = || fd.async_io(Interest::READABLE, |mut fd| fd.read(&mut [0; 8]));
        cut.of(read(), async { there.write_all(b"x").unwrap() }).await;
        assert_eq!(read().await.unwrap(), 1);
    }
    "net/async_fd::async_io_mut" => |cut| {
        let (mut fd, mut there) = fd();
        let read = fd.async_io_mut(Interest::READABLE, |fd| fd.read(&mut [0; 8]));
        cut.of(read, async { there.write_all(b"x").unwrap() }).await;
        let mut again = task(fd.async_io_mut(Interest::READABLE, |fd| fd.read(&mut [0; 8])));
        let mut read = None;
        until(|| match again.poll() {
            std::task::Poll::Ready(len) => {
                read = Some(len.unwrap());
                true
            }
            std::task::Poll::Pending => false,
        })
        .await;
        assert_eq!(read, Some(1));
    }
}
