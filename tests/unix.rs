//! Unix sockets and pipes, seen from outside.

#[path = "support/net.rs"]
mod support;

use reiver::io::{AsyncReadExt, AsyncWriteExt, Interest, ReadBuf};
use reiver::net::unix::{self, pipe};
use reiver::net::{UnixDatagram, UnixListener, UnixSocket, UnixStream};
use reiver::time::timeout;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::{on_each, waits, waits_once_used_up};

/// A path that nobody else uses, removed when dropped.
struct TempPath(PathBuf);

impl TempPath {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("reiver-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        Self(std::env::temp_dir().join(name))
    }
}

impl AsRef<Path> for TempPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn echo_under_load() {
    const CONNECTIONS: usize = 16;
    const MESSAGES: usize = 300;
    on_each(|| async {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_ref()));
        let server = reiver::spawn(async move {
            for _ in 0..CONNECTIONS {
                let (stream, address) = listener.accept().await.unwrap();
                assert!(address.is_unnamed(), "{address:?}");
                reiver::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    reiver::io::copy(&mut read, &mut write).await.unwrap();
                });
            }
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                let path = path.0.clone();
                reiver::spawn(async move {
                    let mut stream = UnixStream::connect(path).await.unwrap();
                    let mut buf = [0; 100];
                    for message in 0..MESSAGES {
                        let byte = (n + message) as u8;
                        let len = 1 + (n * 7 + message) % buf.len();
                        stream.write_all(&vec![byte; len]).await.unwrap();
                        stream.read_exact(&mut buf[..len]).await.unwrap();
                        assert!(buf[..len].iter().all(|&b| b == byte));
                    }
                    stream.shutdown().await.unwrap();
                    assert_eq!(stream.read(&mut buf).await.unwrap(), 0);
                })
            })
            .collect();
        server.await.unwrap();
        for client in clients {
            client.await.unwrap();
        }
    });
}

#[test]
fn a_pair_of_streams() {
    on_each(|| async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        assert!(a.local_addr().unwrap().is_unnamed());
        assert!(waits(b.readable()));
        assert_eq!(a.try_write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"yz")]).unwrap(), 3);
        b.readable().await.unwrap();
        let mut buf = [0; 3];
        assert_eq!(b.try_read(&mut buf).unwrap(), 3);
        assert_eq!(&buf, b"xyz");
        assert_eq!(b.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        let (reading, writing) = reiver::join!(b.read_u8(), a.write_all(b"!"));
        assert_eq!((reading.unwrap(), writing.unwrap()), (b'!', ()));
        let cred = a.peer_cred().unwrap();
        assert_eq!(cred.uid(), rustix::process::getuid().as_raw());
        assert_eq!(cred.gid(), rustix::process::getgid().as_raw());
        if cfg!(target_os = "linux") {
            assert_eq!(cred.pid(), Some(std::process::id() as unix::pid_t));
        }
        {
            let (mut read, mut write) = b.split();
            write.write_all(b"half").await.unwrap();
            assert!(waits(read.read(&mut buf)));
        }
        let (read, write) = a.into_split();
        let (other, _) = UnixStream::pair().unwrap().0.into_split();
        let write = other.reunite(write).unwrap_err().1;
        let mut a = read.reunite(write).unwrap();
        let mut buf = [0; 4];
        a.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"half");
        drop(b);
        assert_eq!(a.read(&mut buf).await.unwrap(), 0);
        assert_eq!(a.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// A message with descriptors ends a read, though there are more bytes: a short read proves nothing.
#[test]
fn descriptors_among_the_bytes() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    on_each(|| async {
        let (a, mut b) = UnixStream::pair().unwrap();
        let fds = [a.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let message = [IoSlice::new(b"one")];
        rustix::net::sendmsg(a.as_fd(), &message, &mut control, SendFlags::empty()).unwrap();
        a.try_write(b"two").unwrap();
        let mut received = Vec::new();
        while received.len() < 6 {
            let mut buf = [0; 64];
            let len = b.read(&mut buf).await.unwrap();
            received.extend_from_slice(&buf[..len]);
        }
        assert_eq!(received, b"onetwo");
    });
}

#[test]
fn errors_and_addresses() {
    on_each(|| async {
        let path = TempPath::new();
        let connect = |path: &TempPath| UnixStream::connect(path.0.clone());
        assert_eq!(connect(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        // By address, there and back through std's.
        let address = listener.local_addr().unwrap();
        let std = std::os::unix::net::SocketAddr::from(address.clone());
        assert_eq!(std.as_pathname(), address.as_pathname());
        let address = unix::SocketAddr::from(std);
        let client = UnixStream::connect_addr(&address).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(path.as_ref()));
        assert!(format!("{address:?}").ends_with("(pathname)"));
        poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert!(waits(listener.accept()));
        assert!(listener.take_error().unwrap().is_none());
        let listener = UnixListener::from_std(listener.into_std().unwrap()).unwrap();
        let (client, server) = reiver::join!(connect(&path), listener.accept());
        let client = UnixStream::from_std(client.unwrap().into_std().unwrap()).unwrap();
        server.unwrap().0.try_write(b"x").unwrap();
        client.readable().await.unwrap();
        drop(listener);
        assert_eq!(connect(&path).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(UnixListener::bind("x".repeat(200)).is_err());
        let unnamed = std::os::unix::net::SocketAddr::from(client.local_addr().unwrap());
        assert!(unnamed.is_unnamed() && unix::SocketAddr::from(unnamed).is_unnamed());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn names_outside_the_file_system() {
    on_each(|| async {
        let name = format!("\0reiver-{}-{:p}", std::process::id(), &0);
        let listener = UnixListener::bind(&name).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.as_abstract_name(), Some(&name.as_bytes()[1..]));
        let std = std::os::unix::net::SocketAddr::from(address.clone());
        let again = unix::SocketAddr::from(std);
        assert_eq!(again.as_abstract_name(), address.as_abstract_name());
        drop(listener);
        let listener = UnixListener::bind_addr(&again).unwrap();
        UnixStream::connect(&name).await.unwrap();
        listener.accept().await.unwrap();
    });
}

#[test]
fn sockets_before_their_use() {
    on_each(|| async {
        let path = TempPath::new();
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(4).unwrap();
        let client = UnixSocket::new_stream().unwrap().connect(&path).await.unwrap();
        listener.accept().await.unwrap();
        drop(client);
        let wrong = UnixSocket::new_stream().unwrap().datagram().unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        let wrong = UnixSocket::new_datagram().unwrap().connect(&path).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        UnixSocket::new_datagram().unwrap().datagram().unwrap();
    });
}

#[test]
fn datagrams() {
    on_each(|| async {
        let (path, other) = (TempPath::new(), TempPath::new());
        let server = UnixDatagram::bind(&path).unwrap();
        let client = UnixDatagram::bind(&other).unwrap();
        let mut buf = [0; 16];
        assert!(waits(server.recv(&mut buf)));
        client.send_to(b"one", &path).await.unwrap();
        let (len, from) = server.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..len], from.as_pathname()), (&b"one"[..], Some(other.as_ref())));
        client.connect(&path).unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(path.as_ref()));
        client.send(b"two").await.unwrap();
        let mut more = Vec::with_capacity(8);
        let (len, from) = server.recv_buf_from(&mut more).await.unwrap();
        assert_eq!((len, from.as_pathname()), (3, Some(other.as_ref())));
        assert_eq!(server.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        let unbound = UnixDatagram::unbound().unwrap();
        assert_eq!(unbound.try_send_to(b"three", &path).unwrap(), 5);
        poll_fn(|cx| unbound.poll_send_to(cx, b"four", &path)).await.unwrap();
        let mut memory = [0; 8];
        let mut room = ReadBuf::new(&mut memory);
        let from = poll_fn(|cx| server.poll_recv_from(cx, &mut room)).await.unwrap();
        assert_eq!((room.filled(), from.is_unnamed()), (&b"three"[..], true));
        assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
        assert!(unbound.send_to(b"x", "/nonexistent/socket").await.is_err());
    });
}

#[test]
fn a_full_datagram_queue_makes_the_sender_wait() {
    on_each(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut sent = 0;
        while a.try_send(&[0; 100]).is_ok() {
            sent += 1;
        }
        assert!(waits(a.send(&[1; 100])));
        let receiver = reiver::spawn(async move {
            for n in 0..=sent {
                let mut buf = [0; 100];
                b.recv(&mut buf).await.unwrap();
                assert_eq!(buf[0], u8::from(n == sent));
            }
            b
        });
        a.send(&[1; 100]).await.unwrap();
        let b = receiver.await.unwrap();
        // Messages have no end: a wait goes on after it, without spinning.
        b.shutdown(Shutdown::Read).unwrap();
        assert!(waits(b.recv(&mut [0; 1])));
        assert_eq!(a.send(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// It is no connection of which the system would tell.
#[test]
fn a_full_receiver_makes_an_unconnected_sender_wait() {
    on_each(|| async {
        let path = TempPath::new();
        let server = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let mut sent = 0;
        while sender.try_send_to(b"x", &path).is_ok() {
            sent += 1;
        }
        let start = Instant::now();
        let mut polls = 0;
        let mut send = pin!(sender.send_to(b"last", &path));
        let counted = poll_fn(|cx| {
            polls += 1;
            send.as_mut().poll(cx)
        });
        assert!(timeout(Duration::from_millis(100), counted).await.is_err());
        // At last it looks each 32 ms.
        let most = 10 + start.elapsed().as_millis() / 16;
        assert!(polls <= most, "{polls} polls, at most {most} are expected");
        let mut buf = [0; 8];
        for _ in 0..sent {
            assert_eq!(server.recv(&mut buf).await.unwrap(), 1);
        }
        assert_eq!(send.await.unwrap(), 4);
        assert_eq!(server.recv(&mut buf).await.unwrap(), 4);
    });
}

#[test]
fn a_zero_byte_ends_no_path() {
    on_each(|| async {
        let path = TempPath::new();
        let long = path.0.with_extension("x\0y");
        let refused = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::InvalidInput);
        refused(UnixListener::bind(&long).unwrap_err());
        refused(UnixStream::connect(&long).await.unwrap_err());
        refused(UnixSocket::new_stream().unwrap().bind(&long).unwrap_err());
        refused(UnixSocket::new_stream().unwrap().connect(&long).await.unwrap_err());
        refused(UnixDatagram::bind(&long).unwrap_err());
        let socket = UnixDatagram::unbound().unwrap();
        refused(socket.connect(&long).unwrap_err());
        refused(socket.send_to(b"x", &long).await.unwrap_err());
        refused(socket.try_send_to(b"x", &long).unwrap_err());
        assert!(!path.0.with_extension("x").exists());
    });
}

/// Another program may bind a path that fills all of the 108 bytes that there are.
#[cfg(target_os = "linux")]
#[test]
fn the_longest_path_of_another_program_is_an_address() {
    on_each(|| async {
        let path = TempPath::new();
        let server = UnixDatagram::bind(&path).unwrap();
        let other = std::os::unix::net::UnixDatagram::unbound().unwrap();
        // SAFETY: all zeros is an address.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let long = path.0.to_str().unwrap().bytes().chain(std::iter::repeat(b'y'));
        for (place, byte) in address.sun_path.iter_mut().zip(long) {
            *place = byte as libc::c_char;
        }
        let name: String = address.sun_path.iter().map(|&c| c as u8 as char).collect();
        let long = TempPath(name.into());
        let len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is of this length.
        let bound = unsafe { libc::bind(other.as_raw_fd(), (&raw const address).cast(), len) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        other.send_to(b"x", &path).unwrap();
        other.send_to(b"y", &path).unwrap();
        let (_, from) = server.recv_from(&mut [0]).await.unwrap();
        assert_eq!(from.as_pathname(), Some(long.as_ref()));
        assert!(std::os::unix::net::SocketAddr::from(from).is_unnamed());
        let server = server.into_std().unwrap();
        let (_, from) = server.recv_from(&mut [0]).unwrap();
        assert_eq!(from.as_pathname(), Some(long.as_ref()));
        assert!(unix::SocketAddr::from(from).is_unnamed());
    });
}

#[test]
fn pipes() {
    const SIZE: usize = 1 << 20;
    on_each(|| async {
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        assert!(waits(receiver.readable()));
        let writer = reiver::spawn(async move {
            sender
                .write_all(&(0..SIZE).map(|i| (i % 251) as u8).collect::<Vec<_>>())
                .await
                .unwrap();
            sender.shutdown().await.unwrap();
            sender
        });
        let mut data = vec![0; SIZE];
        receiver.read_exact(&mut data).await.unwrap();
        assert!(data.iter().enumerate().all(|(i, &b)| b == (i % 251) as u8));
        let sender = writer.await.unwrap();
        let mut byte = [0; 1];
        assert_eq!(receiver.try_read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(sender);
        assert_eq!(receiver.read(&mut byte).await.unwrap(), 0);
        // The other way round.
        let (mut sender, receiver) = pipe::pipe().unwrap();
        let fill = || while sender.try_write(&[0; 4096]).is_ok() {};
        assert!(waits_once_used_up(fill, || sender.writable()));
        let task = reiver::spawn(async move { sender.write_all(&[0; 4096]).await });
        reiver::task::yield_now().await;
        drop(receiver);
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn named_pipes() {
    on_each(|| async {
        let path = TempPath::new();
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            path.as_ref(),
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .unwrap();
        let nobody = pipe::OpenOptions::new().open_sender(&path).unwrap_err();
        assert_eq!(nobody.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()));
        let mut receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let mut buf = [0; 8];
        assert!(waits(receiver.read(&mut buf)), "nobody has come yet");
        // One sender after the other: the end is not for ever.
        for round in 0..3 {
            let mut sender = pipe::OpenOptions::new().open_sender(&path).unwrap();
            let waiting = receiver.read(&mut buf);
            let (read, written) = reiver::join!(waiting, sender.write_all(b"x"));
            assert_eq!((read.unwrap(), written.unwrap()), (1, ()), "round {round}");
            drop(sender);
            assert_eq!(receiver.read(&mut buf).await.unwrap(), 0);
        }
        let mut both = pipe::OpenOptions::new();
        let sender = both.read_write(true).open_sender(&path).unwrap();
        assert_eq!(sender.try_write(b"y").unwrap(), 1);
        assert_eq!(receiver.read(&mut buf).await.unwrap(), 1);
        assert!(waits(receiver.read(&mut buf)));
    });
}

#[test]
fn ends_of_pipes_from_elsewhere() {
    on_each(|| async {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let clone = |fd: &OwnedFd| fd.try_clone().unwrap();
        let wrong = pipe::Receiver::from_owned_fd(clone(&write)).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        let wrong = pipe::Sender::from_owned_fd(clone(&read)).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        let file = std::fs::File::open("/dev/null").unwrap();
        let wrong = pipe::Receiver::from_file(file).unwrap_err();
        assert!(wrong.to_string().contains("no pipe"), "{wrong}");
        let receiver = pipe::Receiver::from_owned_fd(read).unwrap();
        let sender = pipe::Sender::from_file(write.into()).unwrap();
        assert_eq!(sender.try_write(b"abc").unwrap(), 3);
        let ready = receiver.ready(Interest::READABLE).await.unwrap();
        assert!(ready.is_readable() && !ready.is_read_closed());
        let read = |fd: &OwnedFd| Ok(rustix::io::read(fd, &mut [0; 8])?);
        let owned = clone(&receiver.as_fd().try_clone_to_owned().unwrap());
        assert_eq!(receiver.try_io(|| read(&owned)).unwrap(), 3);
        // Blocking again, for a thread or a child.
        let mut file = std::fs::File::from(receiver.into_blocking_fd().unwrap());
        let thread = std::thread::spawn(move || {
            let mut buf = [0; 8];
            file.read(&mut buf).unwrap()
        });
        let mut file = std::fs::File::from(sender.into_nonblocking_fd().unwrap());
        file.write_all(b"four").unwrap();
        assert_eq!(thread.join().unwrap(), 4);
    });
}
