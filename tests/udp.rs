//! UDP sockets, seen from outside.

#[path = "support/net.rs"]
mod support;

use reiver::io::{Interest, ReadBuf};
use reiver::net::UdpSocket;
use reiver::time::{Duration, timeout};
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use support::{finish, on_each, runtimes, waits};

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn messages_go_back_and_forth() {
    on_each(|| async {
        let (server, address) = socket().await;
        let server = reiver::spawn(async move {
            let mut buf = [0; 64];
            for _ in 0..8 * 500 {
                let (len, sender) = server.recv_from(&mut buf).await.unwrap();
                assert_eq!(server.send_to(&buf[..len], sender).await.unwrap(), len);
            }
        });
        let clients: Vec<_> = (0..8u8)
            .map(|n| {
                reiver::spawn(async move {
                    let (client, _) = socket().await;
                    client.connect(address).await.unwrap();
                    assert_eq!(client.peer_addr().unwrap(), address);
                    let mut buf = [0; 64];
                    for i in 0..500usize {
                        let message = vec![n; 1 + i % 64];
                        assert_eq!(client.send(&message).await.unwrap(), message.len());
                        let len = client.recv(&mut buf).await.unwrap();
                        assert_eq!(&buf[..len], &message);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        server.await.unwrap();
    });
}

#[test]
fn many_tasks_wait_for_one_socket() {
    on_each(|| async {
        let (receiver, address) = socket().await;
        let receiver = Arc::new(receiver);
        let waiting = Arc::new(AtomicUsize::new(0));
        // Some wait for readiness, and all of those are woken by one message; nobody takes it.
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let (receiver, waiting) = (receiver.clone(), waiting.clone());
                reiver::spawn(async move {
                    let mut wait = pin!(receiver.readable());
                    poll_fn(|cx| {
                        let poll = wait.as_mut().poll(cx);
                        if poll.is_pending() {
                            waiting.fetch_add(1, SeqCst);
                        }
                        poll
                    })
                    .await
                })
            })
            .collect();
        while waiting.load(SeqCst) < 40 {
            reiver::task::yield_now().await;
        }
        let (sender, _) = socket().await;
        sender.send_to(b"x", address).await.unwrap();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        // Others receive, and each message goes to one of them.
        assert_eq!(receiver.recv(&mut [0; 8]).await.unwrap(), 1);
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let receiver = receiver.clone();
                reiver::spawn(async move {
                    let mut buf = [0; 8];
                    let len = receiver.recv(&mut buf).await.unwrap();
                    assert_eq!(len, 1);
                    buf[0]
                })
            })
            .collect();
        for n in 0..40 {
            sender.send_to(&[n], address).await.unwrap();
        }
        let mut received = Vec::new();
        for task in tasks {
            received.push(task.await.unwrap());
        }
        received.sort();
        assert_eq!(received, (0..40).collect::<Vec<u8>>());
    });
}

#[test]
fn a_cancelled_receive_takes_no_message() {
    on_each(|| async {
        let (receiver, address) = socket().await;
        let (sender, _) = socket().await;
        assert!(waits(receiver.recv_from(&mut [0; 8])));
        for n in 0..100u8 {
            let mut buf = [0; 8];
            let mut received = None;
            let sending = reiver::spawn({
                let sender = UdpSocket::from_std(sender_clone(&sender)).unwrap();
                async move { sender.send_to(&[n], address).await.unwrap() }
            });
            while received.is_none() {
                reiver::select! {
                    biased;
                    len = receiver.recv(&mut buf) => received = Some(len.unwrap()),
                    _ = reiver::task::yield_now() => {}
                }
            }
            sending.await.unwrap();
            assert_eq!((received, buf[0]), (Some(1), n));
        }
    });
}

/// A second descriptor of the same socket, registered beside the first.
fn sender_clone(sender: &UdpSocket) -> std::net::UdpSocket {
    use std::os::fd::AsFd;
    sender.as_fd().try_clone_to_owned().unwrap().into()
}

#[test]
fn immediate_and_polled_operations() {
    on_each(|| async {
        let ((a, to_a), (b, to_b)) = (socket().await, socket().await);
        let mut buf = [0; 16];
        assert_eq!(b.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(a.try_send_to(b"one", to_b).unwrap(), 3);
        b.readable().await.unwrap();
        assert_eq!(b.try_peek_from(&mut buf).unwrap(), (3, to_a));
        assert_eq!(b.peek_from(&mut buf).await.unwrap(), (3, to_a));
        assert_eq!((b.peek(&mut buf).await.unwrap(), b.try_peek(&mut buf).unwrap()), (3, 3));
        assert_eq!(b.peek_sender().await.unwrap(), to_a);
        assert_eq!(b.try_peek_sender().unwrap(), to_a);
        assert_eq!(poll_fn(|cx| b.poll_peek_sender(cx)).await.unwrap(), to_a);
        let mut memory = [0; 2];
        let mut short = ReadBuf::new(&mut memory);
        // What does not fit is lost.
        assert_eq!(poll_fn(|cx| b.poll_recv_from(cx, &mut short)).await.unwrap(), to_a);
        assert_eq!(short.filled(), b"on");
        assert_eq!(b.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(waits(b.readable()));

        a.connect(to_b).await.unwrap();
        assert_eq!(poll_fn(|cx| a.poll_send(cx, b"two")).await.unwrap(), 3);
        let mut more = Vec::with_capacity(16);
        assert_eq!(b.recv_buf_from(&mut more).await.unwrap(), (3, to_a));
        assert_eq!(a.try_send(b"three").unwrap(), 5);
        assert_eq!(b.recv_buf(&mut more).await.unwrap(), 5);
        assert_eq!(more, b"twothree");
        assert_eq!(poll_fn(|cx| a.poll_send_to(cx, b"", to_b)).await.unwrap(), 0);
        poll_fn(|cx| b.poll_recv_ready(cx)).await.unwrap();
        poll_fn(|cx| b.poll_send_ready(cx)).await.unwrap();
        // An empty message is one.
        assert_eq!(b.recv_from(&mut buf).await.unwrap(), (0, to_a));
        assert!(a.ready(Interest::WRITABLE).await.unwrap().is_writable());
        let none = b.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(none.unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn an_unreachable_port_is_an_error_of_the_receiver() {
    on_each(|| async {
        let (a, _) = socket().await;
        let (b, to_b) = socket().await;
        drop(b);
        a.connect(to_b).await.unwrap();
        a.send(b"anybody?").await.unwrap();
        let error = timeout(Duration::from_secs(20), a.recv(&mut [0; 8])).await.unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn options() {
    on_each(|| async {
        let (a, _) = socket().await;
        a.set_broadcast(true).unwrap();
        a.set_ttl(9).unwrap();
        a.set_multicast_ttl_v4(7).unwrap();
        a.set_multicast_loop_v4(false).unwrap();
        a.set_tos_v4(16).unwrap();
        assert!(a.broadcast().unwrap() && !a.multicast_loop_v4().unwrap());
        assert_eq!((a.ttl().unwrap(), a.multicast_ttl_v4().unwrap()), (9, 7));
        assert_eq!(a.tos_v4().unwrap(), 16);
        let group = Ipv4Addr::new(224, 0, 0, 123);
        a.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        a.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        assert!(a.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err());
        if let Ok(six) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await {
            six.set_multicast_loop_v6(false).unwrap();
            assert!(!six.multicast_loop_v6().unwrap());
        }
        assert!(a.take_error().unwrap().is_none());
        let taken = a.local_addr().unwrap();
        assert_eq!(UdpSocket::bind(taken).await.unwrap_err().kind(), ErrorKind::AddrInUse);
        let std = a.into_std().unwrap();
        assert_eq!(UdpSocket::from_std(std).unwrap().local_addr().unwrap(), taken);
    });
}

#[test]
fn sockets_may_outlive_their_runtime() {
    let [other, ..] = runtimes();
    for runtime in runtimes() {
        let (socket, _) = finish(&runtime, socket());
        drop(runtime);
        let error = finish(&other, socket.recv(&mut [0; 1])).unwrap_err();
        assert!(error.to_string().contains("shut down"), "{error}");
    }
}
