//! The contract of the seam, run against both implementations on Linux.

use super::{Event, Watch};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const READ: Watch = Watch { read: true, write: false };
const BOTH: Watch = Watch { read: true, write: true };

macro_rules! contract {
    ($name:ident) => {
        mod $name {
            use super::super::$name::{Events, Poller};
            use super::*;

            /// The events there are now.
            fn now(poller: &Poller) -> Vec<Event> {
                let mut events = Events::with_capacity(8);
                poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
                events.iter().collect()
            }

            fn pair() -> (UnixStream, UnixStream) {
                let (a, b) = UnixStream::pair().unwrap();
                a.set_nonblocking(true).unwrap();
                (a, b)
            }

            #[test]
            fn an_edge_is_reported_once() {
                let poller = Poller::new().unwrap();
                let (mut a, mut b) = pair();
                // SAFETY: deleted below.
                unsafe { poller.add(a.as_fd(), 1 << 40 | 7, READ) }.unwrap();
                assert_eq!(now(&poller), []);
                b.write_all(b"x").unwrap();
                let events = now(&poller);
                assert_eq!(events.len(), 1);
                assert_eq!(events[0].key, 1 << 40 | 7);
                assert!(events[0].readable && !events[0].writable && !events[0].read_closed);
                assert_eq!(now(&poller), [], "not reported twice");
                b.write_all(b"y").unwrap();
                assert_eq!(now(&poller).len(), 1, "a new edge, though nothing was read");
                let mut buffer = [0; 8];
                assert_eq!(a.read(&mut buffer).unwrap(), 2);
                poller.delete(a.as_fd()).unwrap();
                b.write_all(b"z").unwrap();
                assert_eq!(now(&poller), []);
            }

            #[test]
            fn output_is_watched_when_asked_for() {
                let poller = Poller::new().unwrap();
                let (a, _b) = pair();
                // SAFETY: deleted below.
                unsafe { poller.add(a.as_fd(), 3, READ) }.unwrap();
                assert_eq!(now(&poller), []);
                poller.modify(a.as_fd(), 3, BOTH).unwrap();
                let events = now(&poller);
                assert_eq!(events.len(), 1);
                assert!(events[0].writable && !events[0].readable);
                poller.delete(a.as_fd()).unwrap();
            }

            #[test]
            fn adding_twice_is_an_error() {
                let poller = Poller::new().unwrap();
                let (a, _b) = pair();
                // SAFETY: deleted below.
                unsafe { poller.add(a.as_fd(), 3, READ) }.unwrap();
                // SAFETY: as above.
                let error = unsafe { poller.add(a.as_fd(), 4, READ) }.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
                poller.delete(a.as_fd()).unwrap();
            }

            #[test]
            fn a_notification_waits_for_the_wait() {
                let poller = Poller::new().unwrap();
                let mut events = Events::with_capacity(8);
                for _ in 0..3 {
                    poller.notify().unwrap();
                    poller.notify().unwrap();
                    let start = Instant::now();
                    poller.wait(&mut events, Some(Duration::from_secs(30))).unwrap();
                    assert!(start.elapsed() < Duration::from_secs(10));
                    assert_eq!(events.iter().count(), 0, "the wake-up is not an event");
                }
                let start = Instant::now();
                poller.wait(&mut events, Some(Duration::from_millis(2))).unwrap();
                assert!(start.elapsed() >= Duration::from_millis(2), "it woke only once");
            }

            #[test]
            fn a_notification_reaches_a_blocked_thread() {
                let poller = Poller::new().unwrap();
                std::thread::scope(|scope| {
                    let waiter = scope.spawn(|| {
                        let mut events = Events::with_capacity(8);
                        poller.wait(&mut events, None)
                    });
                    poller.notify().unwrap();
                    waiter.join().unwrap().unwrap();
                });
            }

            #[test]
            fn a_timeout_is_not_early() {
                let poller = Poller::new().unwrap();
                let mut events = Events::with_capacity(8);
                for timeout in [Duration::from_nanos(1), Duration::from_micros(1500)] {
                    let start = Instant::now();
                    poller.wait(&mut events, Some(timeout)).unwrap();
                    assert!(start.elapsed() >= timeout);
                }
            }

            #[test]
            fn more_events_than_room_come_with_the_next_wait() {
                let poller = Poller::new().unwrap();
                let mut pairs: Vec<_> = (0..10).map(|_| pair()).collect();
                for (key, (a, b)) in pairs.iter_mut().enumerate() {
                    // SAFETY: deleted below.
                    unsafe { poller.add(a.as_fd(), key as u64, READ) }.unwrap();
                    b.write_all(b"x").unwrap();
                }
                let mut seen = [0; 10];
                for _ in 0..10 {
                    for event in now(&poller) {
                        seen[event.key as usize] += 1;
                    }
                }
                assert_eq!(seen, [1; 10]);
                for (a, _) in &pairs {
                    poller.delete(a.as_fd()).unwrap();
                }
            }
        }
    };
}

#[cfg(any(target_os = "linux", target_os = "android"))]
contract!(epoll);
contract!(portable);

#[cfg(any(target_os = "linux", target_os = "android"))]
mod only_epoll {
    use super::super::epoll::{Events, Poller};
    use super::*;
    use std::net::Shutdown;

    /// What a short read may be trusted for: the end that comes with the data is in the same event.
    #[test]
    fn the_end_is_seen_with_the_data() {
        let poller = Poller::new().unwrap();
        let (a, mut b) = UnixStream::pair().unwrap();
        // SAFETY: deleted below.
        unsafe { poller.add(a.as_fd(), 9, READ) }.unwrap();
        b.write_all(b"last words").unwrap();
        b.shutdown(Shutdown::Write).unwrap();
        let mut events = Events::with_capacity(8);
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        let event = events.iter().next().unwrap();
        assert!(event.readable && event.read_closed && !event.write_closed);
        poller.delete(a.as_fd()).unwrap();
    }

    #[test]
    fn a_writer_without_readers_is_told() {
        let poller = Poller::new().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        // SAFETY: deleted below.
        unsafe { poller.add(writer.as_fd(), 9, Watch { read: false, write: true }) }.unwrap();
        let mut events = Events::with_capacity(8);
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        drop(reader);
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        let event = events.iter().next().unwrap();
        assert!(event.writable && event.error);
        poller.delete(writer.as_fd()).unwrap();
    }
}
