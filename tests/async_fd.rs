//! `AsyncFd`, seen from outside.

#[path = "support/net.rs"]
mod support;

use reiver::io::unix::AsyncFd;
use reiver::io::{Interest, Ready};
use reiver::net::UnixStream as Stream;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use support::{
    finish, in_child, no_more_descriptors_than, on_each, open_descriptors, runtimes, waits,
};

/// Two ends that do not block: one registered, one not.
fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (AsyncFd::new(a).unwrap(), b)
}

#[test]
fn guards_remember_until_told_otherwise() {
    on_each(|| async {
        let (mut fd, mut other) = pair();
        assert!(waits(fd.readable()));
        other.write_all(b"abc").unwrap();
        let mut guard = fd.readable().await.unwrap();
        assert_eq!(guard.ready(), Ready::READABLE);
        guard.retain_ready();
        assert_eq!(guard.try_io(|fd| fd.get_ref().read(&mut [0; 2])).unwrap().unwrap(), 2);
        // Still ready, as nobody said anything.
        let mut guard = fd.readable().await.unwrap();
        assert_eq!(guard.try_io(|fd| fd.get_ref().read(&mut [0; 2])).unwrap().unwrap(), 1);
        assert!(guard.try_io(|fd| fd.get_ref().read(&mut [0; 2])).is_err());
        assert_eq!(guard.get_inner().as_raw_fd(), guard.get_ref().as_raw_fd());
        assert!(waits(fd.readable()));
        // By `&mut`.
        other.write_all(b"d").unwrap();
        let mut guard = fd.readable_mut().await.unwrap();
        assert_eq!(guard.get_inner_mut().read(&mut [0; 2]).unwrap(), 1);
        guard.clear_ready();
        assert_eq!(guard.ready(), Ready::EMPTY);
        assert!(waits(fd.readable()));
        // In parts: what is cleared is gone, what is not stays.
        other.write_all(b"e").unwrap();
        fd.readable().await.unwrap().retain_ready();
        let both = Interest::READABLE | Interest::WRITABLE;
        let mut guard = fd.ready_mut(both).await.unwrap();
        assert_eq!(guard.ready(), Ready::READABLE | Ready::WRITABLE);
        guard.clear_ready_matching(Ready::READABLE);
        assert_eq!(guard.ready(), Ready::WRITABLE);
        assert!(waits(fd.readable()) && !waits(fd.writable()));
        fd.writable_mut().await.unwrap().retain_ready();
    });
}

#[test]
fn an_old_guard_clears_no_new_event() {
    on_each(|| async {
        let (fd, mut other) = pair();
        other.write_all(b"a").unwrap();
        let mut old = fd.readable().await.unwrap();
        other.write_all(b"b").unwrap();
        // The second write's event has come when its tick shows: wait for it by the other direction.
        fd.try_io(Interest::READABLE, |fd| (&*fd).read(&mut [0; 8])).unwrap();
        let again = fd.try_io(Interest::READABLE, |fd| (&*fd).read(&mut [0; 8]));
        assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
        other.write_all(b"c").unwrap();
        fd.readable().await.unwrap().retain_ready();
        old.clear_ready();
        assert_eq!(
            fd.async_io(Interest::READABLE, |mut fd| fd.read(&mut [0; 8])).await.unwrap(),
            1
        );
    });
}

#[test]
fn operations() {
    on_each(|| async {
        let (mut fd, mut other) = pair();
        let mut buf = [0; 4];
        let read = fd.async_io(Interest::READABLE, |mut fd| fd.read(&mut buf));
        let (read, written) = reiver::join!(read, async { other.write(b"ping") });
        assert_eq!((read.unwrap(), written.unwrap()), (4, 4));
        assert_eq!(&buf, b"ping");
        let none = fd.try_io(Interest::READABLE, |mut fd| fd.read(&mut [0; 1])).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::WouldBlock);
        assert_eq!(fd.async_io_mut(Interest::WRITABLE, |fd| fd.write(b"pong")).await.unwrap(), 4);
        assert_eq!(fd.try_io_mut(Interest::WRITABLE, |fd| fd.write(b"!")).unwrap(), 1);
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 5);
        poll_fn(|cx| fd.poll_write_ready(cx).map_ok(|mut g| g.retain_ready())).await.unwrap();
        poll_fn(|cx| fd.poll_write_ready_mut(cx).map_ok(|mut g| g.retain_ready())).await.unwrap();
        other.write_all(b"x").unwrap();
        poll_fn(|cx| fd.poll_read_ready(cx).map_ok(|mut g| g.retain_ready())).await.unwrap();
        poll_fn(|cx| fd.poll_read_ready_mut(cx).map_ok(|mut g| g.retain_ready())).await.unwrap();
        drop(other);
        let ready = loop {
            let guard = fd.readable().await.unwrap();
            if guard.ready().is_read_closed() {
                break guard.ready();
            }
            drop(guard);
            reiver::task::yield_now().await;
        };
        assert!(ready.contains(Ready::READ_CLOSED));
        assert_eq!(fd.get_mut().read(&mut buf).unwrap(), 1);
    });
}

#[test]
fn many_waiters() {
    on_each(|| async {
        let (fd, mut other) = pair();
        let fd = Arc::new(fd);
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let fd = fd.clone();
                reiver::spawn(async move { fd.readable().await.unwrap().ready() })
            })
            .collect();
        reiver::task::yield_now().await;
        other.write_all(b"x").unwrap();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ready::READABLE);
        }
    });
}

/// The number alone: what a C library gives.
#[derive(Debug)]
struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[test]
fn bad_descriptors() {
    on_each(|| async {
        let (fd, _other) = pair();
        let error = AsyncFd::new(Number(fd.as_raw_fd())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("registered with the runtime already"), "{error}");
        // The first registration is as good as before.
        fd.writable().await.unwrap().retain_ready();
        let (number, error) = AsyncFd::try_new(Number(-1)).unwrap_err().into_parts();
        let bad = rustix::io::Errno::BADF.raw_os_error();
        assert_eq!((number.0, error.raw_os_error()), (-1, Some(bad)));
        assert_eq!(AsyncFd::new(Number(1 << 20)).unwrap_err().raw_os_error(), Some(bad));
        if cfg!(target_os = "linux") {
            let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let error = AsyncFd::with_interest(file, Interest::READABLE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("always ready"), "{error}");
        }
        // A socket of ours has a registration already; what it was made of can be had back.
        let (a, _b) = Stream::pair().unwrap();
        assert!(AsyncFd::new(Number(a.as_raw_fd())).is_err());
        AsyncFd::new(a.into_std().unwrap()).unwrap();
        let again = fd.into_inner();
        let again = AsyncFd::try_with_interest(again, Interest::WRITABLE).unwrap().into_inner();
        // SAFETY: a socket, which is moved in.
        let again = unsafe { AsyncFd::register(again) }.unwrap().into_inner();
        // SAFETY: as above.
        unsafe { AsyncFd::register_with_interest(again, Interest::WRITABLE) }.unwrap();
    });
}

#[test]
fn the_other_direction_is_watched_when_somebody_waits() {
    on_each(|| async {
        let (a, mut b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        let fd = AsyncFd::with_interest(a, Interest::WRITABLE).unwrap();
        let read = fd.async_io(Interest::READABLE, |mut fd| fd.read(&mut [0; 8]));
        let (read, written) = reiver::join!(read, async { b.write(b"abc") });
        assert_eq!((read.unwrap(), written.unwrap()), (3, 3));
    });
}

#[test]
fn outside_a_runtime_and_after_it() {
    let panic = std::panic::catch_unwind(pair).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("no reiver runtime"), "{message}");
    let [other, ..] = runtimes();
    for runtime in runtimes() {
        let (fd, _other_end) = finish(&runtime, async { pair() });
        drop(runtime);
        let error = finish(&other, async { fd.readable().await.map(drop) }).unwrap_err();
        assert!(error.to_string().contains("shut down"), "{error}");
    }
}

#[test]
fn descriptors_are_closed_once() {
    in_child("descriptors_are_closed_once", || {
        for runtime in runtimes() {
            finish(&runtime, async {
                // The first socket brings the poller, which stays.
                drop(pair());
                let before = open_descriptors();
                for _ in 0..100 {
                    let (fd, other) = pair();
                    let inner = fd.into_inner();
                    drop(AsyncFd::new(inner).unwrap());
                    drop(other);
                }
                no_more_descriptors_than(before);
            });
        }
    });
}

/// What is inside may be of one thread at a time: then `&mut` is enough.
#[test]
fn exclusive_waits_are_send_although_the_inner_value_is_not_sync() {
    struct One(UnixStream, #[allow(dead_code)] std::cell::Cell<u8>);

    impl AsRawFd for One {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }
    }

    fn assert_send<F: Send>(future: F) -> F {
        future
    }

    on_each(|| async {
        let (a, mut b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.write_all(b"!").unwrap();
        let mut fd = AsyncFd::new(One(a, std::cell::Cell::new(0))).unwrap();
        drop(assert_send(fd.writable_mut()).await.unwrap());
        assert_send(fd.async_io_mut(Interest::READABLE, |one| one.0.read(&mut [0]))).await.unwrap();
        drop(assert_send(fd.readable_mut()));
    });
}
