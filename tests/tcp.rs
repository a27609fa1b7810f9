//! TCP sockets, seen from outside.

#[path = "support/net.rs"]
mod support;

use reiver::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest, Ready};
use reiver::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use reiver::net::{TcpListener, TcpSocket, TcpStream, lookup_addr, lookup_host};
use reiver::runtime::{Builder, Rescue};
use reiver::time::{Duration, timeout};
use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use support::{
    finish, in_child, limit_descriptors, no_more_descriptors_than, on_each, open_descriptors,
    runtimes, waits, waits_once_used_up,
};

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Both ends of a connection: the client's, the server's.
async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen().await;
    let client = TcpStream::connect(address).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), peer);
    (client, server)
}

#[test]
fn echo_under_load() {
    const CONNECTIONS: usize = 64;
    const MESSAGES: usize = 1000;
    on_each(|| async {
        let (listener, address) = listen().await;
        let server = reiver::spawn(async move {
            for _ in 0..CONNECTIONS {
                let (mut stream, _) = listener.accept().await.unwrap();
                reiver::spawn(async move {
                    let mut buf = [0; 256];
                    loop {
                        let n = stream.read(&mut buf).await.unwrap();
                        if n == 0 {
                            return;
                        }
                        stream.write_all(&buf[..n]).await.unwrap();
                    }
                });
            }
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                reiver::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut buf = [0; 100];
                    for message in 0..MESSAGES {
                        let byte = (n + message) as u8;
                        // Of different lengths, so that reads are short and long.
                        let len = 1 + (n * 7 + message) % buf.len();
                        stream.write_all(&vec![byte; len]).await.unwrap();
                        stream.read_exact(&mut buf[..len]).await.unwrap();
                        assert!(buf[..len].iter().all(|&b| b == byte));
                    }
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
fn large_transfers_both_ways_at_once() {
    const SIZE: usize = 8 << 20;
    on_each(|| async {
        let (client, server) = pair().await;
        let ends: Vec<_> = [client, server]
            .into_iter()
            .map(|stream| {
                let (mut read, mut write) = stream.into_split();
                let writer = reiver::spawn(async move {
                    let data: Vec<u8> = (0..SIZE).map(|i| (i / 251) as u8).collect();
                    write.write_all(&data).await.unwrap();
                    // Dropping the half ends the output.
                });
                let reader = reiver::spawn(async move {
                    let mut data = Vec::new();
                    read.read_to_end(&mut data).await.unwrap();
                    assert_eq!(data.len(), SIZE);
                    assert!(data.iter().enumerate().all(|(i, &b)| b == (i / 251) as u8));
                });
                [writer, reader]
            })
            .collect();
        for task in ends.into_iter().flatten() {
            task.await.unwrap();
        }
    });
}

#[test]
fn half_close() {
    on_each(|| async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        // The other direction is open still.
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_end_comes_after_a_short_read() {
    // Bytes and end come in one event, in two, and before and after the registration.
    on_each(|| async {
        for round in 0..200 {
            let (listener, address) = listen().await;
            let mut client = std::net::TcpStream::connect(address).unwrap();
            if round % 2 == 0 {
                client.write_all(&[7; 10]).unwrap();
            }
            let (mut server, _) = listener.accept().await.unwrap();
            if round % 2 == 1 {
                client.write_all(&[7; 10]).unwrap();
            }
            let mut buf = [0; 100];
            if round % 3 == 0 {
                drop(client);
                assert_eq!(server.read(&mut buf).await.unwrap(), 10);
            } else {
                assert_eq!(server.read(&mut buf).await.unwrap(), 10);
                let task = reiver::spawn(async move {
                    assert_eq!(server.read(&mut [0; 100]).await.unwrap(), 0);
                });
                drop(client);
                task.await.unwrap();
                continue;
            }
            assert_eq!(server.read(&mut buf).await.unwrap(), 0);
            assert_eq!(server.read(&mut buf).await.unwrap(), 0);
        }
    });
}

#[test]
fn a_refused_connection_and_a_port_in_use() {
    on_each(|| async {
        let (listener, address) = listen().await;
        let error = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(listener);
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Of several addresses, the first that works.
        let (listener, good) = listen().await;
        let stream = TcpStream::connect(&[address, good][..]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        drop(listener);
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_reset_is_an_error_of_the_reader() {
    on_each(|| async {
        let (client, mut server) = pair().await;
        let reader = reiver::spawn(async move {
            let error = server.read(&mut [0; 10]).await.unwrap_err();
            // Nothing is left to shut down, and that is no error; for a half neither.
            server.shutdown().await.unwrap();
            server.into_split().1.shutdown().await.unwrap();
            error.kind()
        });
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(reader.await.unwrap(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn names_are_resolved() {
    on_each(|| async {
        let (_listener, address) = listen().await;
        let port = address.port();
        let stream = TcpStream::connect(("localhost", port)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        TcpStream::connect(format!("localhost:{port}")).await.unwrap();
        let found: Vec<_> = lookup_host(("localhost", 7)).await.unwrap().collect();
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7) && !found.is_empty());
        assert!(lookup_host("no port").await.is_err());
    });
}

/// What the machine calls itself is its own affair: only that the name leads back is certain.
#[test]
fn addresses_have_names() {
    on_each(|| async {
        let address = IpAddr::from([127, 0, 0, 1]);
        let name = lookup_addr(address).await.unwrap();
        assert_ne!(name, address.to_string());
        let found: Vec<_> = lookup_host((&*name, 0)).await.unwrap().collect();
        assert!(found.iter().any(|found| found.ip().is_loopback()), "{name} is {found:?}");
    });
}

#[test]
fn a_cancelled_accept_takes_no_connection() {
    on_each(|| async {
        let (listener, address) = listen().await;
        for _ in 0..50 {
            assert!(waits(listener.accept()));
            // Cancelled at any moment of a connection's arrival.
            let client = reiver::spawn(TcpStream::connect(address));
            let mut accepted = None;
            while accepted.is_none() {
                reiver::select! {
                    biased;
                    connection = listener.accept() => accepted = Some(connection.unwrap()),
                    _ = reiver::task::yield_now() => {}
                }
            }
            let client = client.await.unwrap().unwrap();
            assert_eq!(accepted.unwrap().1, client.local_addr().unwrap());
        }
        assert!(waits(listener.accept()));
    });
}

#[test]
fn cancelled_reads_and_writes_lose_nothing() {
    const SIZE: usize = 1 << 20;
    on_each(|| async {
        let (mut client, mut server) = pair().await;
        let data: Vec<u8> = (0..SIZE).map(|i| (i % 253) as u8).collect();
        let expected = data.clone();
        let writer = reiver::spawn(async move {
            let mut sent = 0;
            while sent < data.len() {
                reiver::select! {
                    biased;
                    n = client.write(&data[sent..(sent + 5000).min(SIZE)]) => sent += n.unwrap(),
                    _ = reiver::task::yield_now() => {}
                }
            }
        });
        let mut received = Vec::new();
        while received.len() < SIZE {
            let mut buf = [0; 3000];
            reiver::select! {
                biased;
                n = server.read(&mut buf) => received.extend_from_slice(&buf[..n.unwrap()]),
                _ = reiver::task::yield_now() => {}
            }
        }
        writer.await.unwrap();
        assert_eq!(received, expected);
    });
}

#[test]
fn a_timeout_around_a_read() {
    on_each(|| async {
        let (mut client, mut server) = pair().await;
        let mut buf = [0; 10];
        assert!(timeout(Duration::from_millis(5), server.read(&mut buf)).await.is_err());
        client.write_all(b"late").await.unwrap();
        assert_eq!(server.read(&mut buf).await.unwrap(), 4);
    });
}

#[test]
fn halves() {
    on_each(|| async {
        let (mut client, mut server) = pair().await;
        {
            let (mut read, mut write) = server.split();
            let (mut a, mut b) = client.split();
            let mut line = String::new();
            let mut lines = BufReader::new(&mut read);
            let (read, written) = reiver::join!(lines.read_line(&mut line), b.write_all(b"one\n"));
            assert_eq!((read.unwrap(), line.as_str()), (4, "one\n"));
            written.unwrap();
            write.write_all(b"two").await.unwrap();
            let mut buf = [0; 3];
            a.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"two");
            assert_eq!(a.peer_addr().unwrap(), b.peer_addr().unwrap());
        }
        let (read, write) = client.into_split();
        let (other_read, mut other_write) = server.into_split();
        // Halves of two streams do not make one.
        let error = read.reunite(other_write).unwrap_err();
        let (read, back): (OwnedReadHalf, OwnedWriteHalf) = (error.0, error.1);
        other_write = back;
        let client = write.reunite(read).unwrap();
        // Reuniting has not ended the output, and forgetting does not.
        let (mut read, write) = client.into_split();
        write.forget();
        assert!(waits(other_read.as_ref().peek(&mut [0; 1])));
        other_write.write_all(b"three").await.unwrap();
        let mut buf = [0; 5];
        assert_eq!(read.peek(&mut buf).await.unwrap(), 5);
        read.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"three");
        // Dropping it does.
        drop(other_write);
        assert_eq!(read.read(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn immediate_operations() {
    on_each(|| async {
        let (client, server) = pair().await;
        let mut buf = [0; 16];
        // An accepted stream is taken for readable until a read has found nothing.
        let nothing =
            || assert_eq!(server.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(waits_once_used_up(nothing, || server.readable()));
        server.writable().await.unwrap();
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(server.try_write_vectored(&slices).unwrap(), 5);
        let ready = client.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap();
        assert!(ready.is_writable() && !ready.is_read_closed());
        client.readable().await.unwrap();
        let (mut x, mut y) = ([0; 1], [0; 3]);
        let mut into = [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)];
        assert_eq!(client.try_read_vectored(&mut into).unwrap(), 4);
        assert_eq!((&x, &y), (b"a", b"bcd"));
        let mut more = Vec::with_capacity(8);
        assert_eq!(client.try_read_buf(&mut more).unwrap(), 1);
        assert_eq!(more, b"e");
        let nothing =
            || assert_eq!(client.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(waits_once_used_up(nothing, || client.readable()));
        // Any operation of the user's on the descriptor.
        let read = |stream: &TcpStream| Ok(rustix::io::read(stream.as_fd(), &mut [0; 8])?);
        let would_block = client.try_io(Interest::READABLE, || read(&client)).unwrap_err();
        assert_eq!(would_block.kind(), ErrorKind::WouldBlock);
        let waiting = client.async_io(Interest::READABLE, || read(&client));
        let (read, ()) =
            reiver::join!(waiting, async { assert_eq!(server.try_write(b"xyz").unwrap(), 3) });
        assert_eq!(read.unwrap(), 3);
        // What was read was not all there was room for, but only `WouldBlock` says so here.
        assert_eq!(client.ready(Interest::READABLE).await.unwrap(), Ready::READABLE);
        assert!(client.try_read(&mut buf).is_err_and(|e| e.kind() == ErrorKind::WouldBlock));
        drop(server);
        let ready = client.ready(Interest::READABLE).await.unwrap();
        assert!(ready.is_read_closed() && ready.contains(Ready::READ_CLOSED));
        assert_eq!(client.try_read(&mut buf).unwrap(), 0);
        poll_fn(|cx| client.poll_read_ready(cx)).await.unwrap();
        poll_fn(|cx| client.poll_write_ready(cx)).await.unwrap();
    });
}

#[test]
fn a_full_send_buffer_makes_the_writer_wait() {
    on_each(|| async {
        let (client, server) = pair().await;
        let chunk = [1; 65536];
        let sent = Cell::new(0);
        let fill = || {
            while let Ok(n) = client.try_write(&chunk) {
                sent.set(sent.get() + n);
            }
        };
        assert!(waits_once_used_up(fill, || client.writable()));
        let reader = reiver::spawn(async move {
            let mut server = server;
            let mut received = 0;
            let mut buf = vec![0; 65536];
            loop {
                match server.read(&mut buf).await.unwrap() {
                    0 => return received,
                    n => received += n,
                }
            }
        });
        client.writable().await.unwrap();
        drop(client);
        assert_eq!(reader.await.unwrap(), sent.get());
    });
}

#[test]
fn many_tasks_wait_for_one_stream() {
    on_each(|| async {
        let (client, server) = pair().await;
        // Used up, so that everybody waits.
        assert!(server.try_read(&mut [0; 1]).is_err());
        let server = Arc::new(server);
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let server = server.clone();
                reiver::spawn(async move { server.readable().await.unwrap() })
            })
            .collect();
        reiver::task::yield_now().await;
        client.try_write(b"x").unwrap();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn many_tasks_accept_from_one_listener() {
    on_each(|| async {
        let (listener, address) = listen().await;
        let listener = Arc::new(listener);
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let listener = listener.clone();
                reiver::spawn(async move { listener.accept().await.unwrap().1 })
            })
            .collect();
        let mut expected = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..20 {
            let client = TcpStream::connect(address).await.unwrap();
            expected.push(client.local_addr().unwrap());
            clients.push(client);
        }
        let mut accepted = Vec::new();
        for task in tasks {
            accepted.push(task.await.unwrap());
        }
        accepted.sort();
        expected.sort();
        assert_eq!(accepted, expected);
    });
}

#[test]
fn poll_accept_and_poll_peek() {
    on_each(|| async {
        let (listener, address) = listen().await;
        assert!(waits(poll_fn(|cx| listener.poll_accept(cx))));
        let mut client = TcpStream::connect(address).await.unwrap();
        let (server, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        let mut memory = [0; 8];
        let mut buf = reiver::io::ReadBuf::new(&mut memory);
        client.write_all(b"peek").await.unwrap();
        assert_eq!(poll_fn(|cx| server.poll_peek(cx, &mut buf)).await.unwrap(), 4);
        assert_eq!(buf.filled(), b"peek");
    });
}

#[test]
fn a_thousand_connects_at_once() {
    in_child("a_thousand_connects_at_once", || {
        limit_descriptors(4096);
        on_each(|| async {
            let (listener, address) = listen().await;
            let server = reiver::spawn(async move {
                let mut held = Vec::new();
                for _ in 0..1000 {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    stream.write_all(b"!").await.unwrap();
                    held.push(stream);
                }
                held
            });
            let clients: Vec<_> = (0..1000)
                .map(|_| {
                    reiver::spawn(async move {
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        stream.read_u8().await.unwrap()
                    })
                })
                .collect();
            for client in clients {
                assert_eq!(client.await.unwrap(), b'!');
            }
            assert_eq!(server.await.unwrap().len(), 1000);
        });
    });
}

#[test]
fn no_descriptor_is_leaked() {
    in_child("no_descriptor_is_leaked", || {
        let before = open_descriptors();
        for runtime in runtimes() {
            finish(&runtime, async {
                // The first socket brings the poller, which stays.
                drop(pair().await);
                let open = open_descriptors();
                let (listener, address) = listen().await;
                for _ in 0..50 {
                    let (client, server) = pair().await;
                    // Given up, or ended, whatever the other threads did meanwhile.
                    let _ = waits(TcpStream::connect(address));
                    let _ = waits(listener.accept());
                    let (read, write) = client.into_split();
                    drop(write);
                    let std = server.into_std().unwrap();
                    std.set_nonblocking(false).unwrap();
                    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
                    assert!(TcpStream::connect(nobody).await.is_err());
                    drop((read, std));
                }
                drop(listener);
                no_more_descriptors_than(open);
            });
            // Open streams in tasks that never end.
            let (client, server) = finish(&runtime, pair());
            runtime.spawn(async move {
                let mut streams = (client, server);
                let _ = streams.0.read(&mut [0; 1]).await;
                pending::<()>().await;
            });
            drop(runtime);
        }
        no_more_descriptors_than(before);
    });
}

#[test]
fn out_of_descriptors() {
    in_child("out_of_descriptors", || {
        for workers in [0, 1, 2] {
            let mut builder = match workers {
                0 => Builder::new_current_thread(),
                _ => Builder::new_multi_thread(),
            };
            // The monitor opens and closes files of its own.
            let runtime = builder.worker_threads(workers.max(1)).rescue(Rescue::Off).build();
            let runtime = runtime.unwrap();
            finish(&runtime, async {
                let (listener, address) = listen().await;
                let mut client = std::net::TcpStream::connect(address).unwrap();
                let hard_limit = 1024;
                limit_descriptors(open_descriptors() as u64);
                let mut held = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    held.push(file);
                }
                let error = listener.accept().await.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
                assert!(error.to_string().contains("Too many open files"), "{error}");
                assert!(TcpStream::connect(address).await.is_err());
                assert!(TcpListener::bind("127.0.0.1:0").await.is_err());
                // The connection waits for better times, and so does who accepts it.
                limit_descriptors(hard_limit);
                drop(held);
                let (mut server, _) = listener.accept().await.unwrap();
                server.write_all(b"at last").await.unwrap();
                drop(server);
                let mut text = String::new();
                client.read_to_string(&mut text).unwrap();
                assert_eq!(text, "at last");
            });
        }
    });
}

/// Without a split: one task reads what another writes, each by a reference of its own.
#[test]
fn a_shared_stream_is_read_and_written_at_once() {
    on_each(|| async {
        let (client, server) = pair().await;
        let client = Arc::new(client);
        let reader = client.clone();
        let reader = reiver::spawn(async move {
            let mut text = String::new();
            (&*reader).read_to_string(&mut text).await.map(|_| text)
        });
        let echo = reiver::spawn(async move {
            let (mut from, mut to) = (&server, &server);
            reiver::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await
        });
        for _ in 0..100 {
            (&*client).write_all(b"hello").await.unwrap();
        }
        (&*client).shutdown().await.unwrap();
        echo.await.unwrap().unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), "hello".repeat(100));
    });
}

#[test]
fn outside_a_runtime() {
    let message = |f: Box<dyn FnOnce() + std::panic::UnwindSafe>| {
        *std::panic::catch_unwind(f).unwrap_err().downcast::<String>().unwrap()
    };
    for message in [
        message(Box::new(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let _ = TcpListener::from_std(listener);
        })),
        message(Box::new(|| assert!(waits(TcpListener::bind("127.0.0.1:0"))))),
        message(Box::new(|| assert!(waits(TcpStream::connect("127.0.0.1:1"))))),
        message(Box::new(|| assert!(waits(lookup_host("localhost:1"))))),
    ] {
        assert!(message.contains("no reiver runtime"), "{message}");
        assert!(message.contains("Runtime::enter"), "{message}");
    }
    // Under the guard, the runtime's other threads do the waiting.
    let [_, _, runtime] = runtimes();
    let guard = runtime.enter();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    drop(guard);
    let address = listener.local_addr().unwrap();
    let server = runtime.spawn(async move { listener.accept().await.unwrap().1 });
    let client = std::net::TcpStream::connect(address).unwrap();
    assert_eq!(finish(&runtime, server).unwrap(), client.local_addr().unwrap());
}

#[test]
fn sockets_may_outlive_their_runtime() {
    let [other, ..] = runtimes();
    for runtime in runtimes() {
        let (client, mut server) = finish(&runtime, pair());
        let listener = finish(&runtime, listen()).0;
        assert!(server.try_read(&mut [0; 1]).is_err());
        // One waits already when the runtime ends, on a runtime that goes on.
        let waiting = Arc::new(AtomicBool::new(false));
        let reader = other.spawn({
            let waiting = waiting.clone();
            async move {
                let mut buf = [0; 1];
                let mut read = pin!(server.read(&mut buf));
                poll_fn(|cx| {
                    let poll = read.as_mut().poll(cx);
                    waiting.store(true, SeqCst);
                    poll
                })
                .await
            }
        });
        finish(&other, async {
            while !waiting.load(SeqCst) {
                reiver::task::yield_now().await;
            }
        });
        drop(runtime);
        for error in [
            finish(&other, reader).unwrap().unwrap_err(),
            finish(&other, client.readable()).unwrap_err(),
            finish(&other, listener.accept()).map(drop).unwrap_err(),
        ] {
            assert!(error.to_string().contains("shut down"), "{error}");
        }
    }
}

#[test]
fn a_runtime_ends_with_open_sockets() {
    for runtime in runtimes() {
        let ended = Arc::new(AtomicUsize::new(0));
        finish(&runtime, async {
            let (listener, address) = listen().await;
            for _ in 0..50 {
                let mut client = TcpStream::connect(address).await.unwrap();
                let (server, _) = listener.accept().await.unwrap();
                let ended = CountDrop(ended.clone());
                reiver::spawn(async move {
                    let _ended = ended;
                    let (_read, _write) = server.into_split();
                    client.read_u8().await
                });
            }
            reiver::spawn(async move { listener.accept().await.map(drop) });
            reiver::task::yield_now().await;
        });
        drop(runtime);
        assert_eq!(ended.load(SeqCst), 50);
    }
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_stream_that_is_always_ready_gives_way() {
    let [runtime, ..] = runtimes();
    finish(&runtime, async {
        let (client, server) = pair().await;
        client.try_write(b"x").unwrap();
        server.readable().await.unwrap();
        let other = Arc::new(AtomicBool::new(false));
        reiver::spawn({
            let other = other.clone();
            async move { other.store(true, SeqCst) }
        });
        // Nothing here ever waits; without a budget it would go on to the end.
        let task = reiver::spawn(async move {
            for _ in 0..1_000_000 {
                if other.load(SeqCst) {
                    return true;
                }
                assert_eq!(server.peek(&mut [0; 1]).await.unwrap(), 1);
            }
            false
        });
        assert!(task.await.unwrap());
    });
}

#[test]
fn options() {
    on_each(|| async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        socket.set_keepalive(true).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_linger(Some(Duration::from_secs(0))).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.set_send_buffer_size(16 << 10).unwrap();
        assert!(socket.reuseaddr().unwrap() && socket.reuseport().unwrap());
        assert!(socket.keepalive().unwrap() && socket.nodelay().unwrap());
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        assert!(socket.recv_buffer_size().unwrap() >= 16 << 10);
        assert!(socket.send_buffer_size().unwrap() >= 16 << 10);
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = socket.listen(8).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        listener.set_ttl(60).unwrap();
        assert_eq!(listener.ttl().unwrap(), 60);
        let client = TcpSocket::new_v4().unwrap();
        client.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = client.connect(address).await.unwrap();
        client.set_nodelay(true).unwrap();
        client.set_ttl(61).unwrap();
        assert!(client.nodelay().unwrap());
        assert_eq!((client.ttl().unwrap(), client.linger().unwrap()), (61, None));
        assert!(client.take_error().unwrap().is_none());
        let raw = client.as_raw_fd();
        let std = client.into_std().unwrap();
        assert_eq!(std.as_raw_fd(), raw);
        let client = TcpStream::from_std(std).unwrap();
        assert!(format!("{client:?}").contains(&raw.to_string()));
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
        if let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await {
            let client = TcpSocket::new_v6().unwrap();
            let client = client.connect(listener.local_addr().unwrap()).await.unwrap();
            assert!(client.peer_addr().unwrap().is_ipv6());
        }
    });
}

/// What programs rely on without saying so.
#[test]
fn types_are_send_and_sync() {
    fn send_sync<T: Send + Sync + Unpin + 'static>() {}
    fn send(_: impl Send) {}
    send_sync::<TcpStream>();
    send_sync::<TcpListener>();
    send_sync::<OwnedReadHalf>();
    send(TcpStream::connect("a:1"));
    send(TcpListener::bind(String::new()));
    send(lookup_host(std::cell::Cell::new(0).get().to_string()));
}
