//! The reactor on real descriptors. Wakes are counted; nothing waits by the clock.

use super::source::{Source, Wait, Waiter};
use super::word::Watched;
use super::*;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task as the reactor sees it.
struct Task {
    count: std::sync::Arc<Count>,
    waker: Waker,
}

impl Task {
    fn new() -> Self {
        let count = std::sync::Arc::new(Count::default());
        Self { waker: Waker::from(count.clone()), count }
    }

    fn cx(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    fn wakes(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }

    /// How many references there are to the waker, this task's own two aside.
    fn held(&self) -> usize {
        std::sync::Arc::strong_count(&self.count) - 2
    }

    fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut self.cx())
    }
}

struct Fixture {
    reactor: Reactor,
    events: Events,
}

impl Fixture {
    fn new() -> Self {
        let reactor = Reactor::new(2, || ());
        reactor.open().unwrap();
        Self { reactor, events: Events::new() }
    }

    /// Dispatches what is there. Returns how many events met an owner.
    fn turn(&mut self) -> usize {
        self.reactor.turn(&mut self.events, Some(Duration::ZERO)).unwrap()
    }

    fn register<T: StableFd>(&self, io: T) -> Evented<T> {
        Evented::new(&self.reactor, io, 0, Interest::READABLE, Ready::EMPTY).unwrap()
    }

    fn pair(&self) -> (Evented<UnixStream>, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        (self.register(a), b)
    }
}

/// A read as a stream does it: a short one is taken as a hint.
fn read(
    io: &Evented<UnixStream>,
    task: &Task,
    buffer: &mut [u8],
    calls: &mut usize,
) -> Poll<io::Result<usize>> {
    let registration = io.registration();
    let mut seen = None;
    loop {
        let event = match seen {
            None => std::task::ready!(registration.poll_read_ready(&mut task.cx()))?,
            Some(event) => event,
        };
        *calls += 1;
        match io.get_ref().read(buffer) {
            Ok(n) => {
                if n > 0 && n < buffer.len() {
                    registration.drained(event);
                }
                return Poll::Ready(Ok(n));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                registration.clear_ready(event);
                seen = None;
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

fn is<T>(poll: Poll<io::Result<T>>) -> Option<T> {
    match poll {
        Poll::Ready(result) => Some(result.unwrap()),
        Poll::Pending => None,
    }
}

#[test]
fn what_crosses_threads_may() {
    fn both<T: Send + Sync>() {}
    both::<Reactor>();
    both::<Evented<UnixStream>>();
    both::<readiness::Readiness<'_>>();
    fn sent<T: Send>() {}
    sent::<Events>();
}

#[test]
fn a_read_waits_for_its_event_and_a_short_one_needs_no_second_call() {
    let mut f = Fixture::new();
    let (a, mut b) = f.pair();
    let task = Task::new();
    let (mut buffer, mut calls) = ([0; 64], 0);
    assert!(is(read(&a, &task, &mut buffer, &mut calls)).is_none());
    assert_eq!((f.turn(), task.wakes(), calls), (0, 0, 0));
    for round in 1..=3 {
        b.write_all(b"ping").unwrap();
        assert_eq!((f.turn(), task.wakes()), (1, round));
        assert_eq!(is(read(&a, &task, &mut buffer, &mut calls)), Some(4));
        assert!(is(read(&a, &task, &mut buffer, &mut calls)).is_none());
        assert_eq!((calls, task.held()), (round, 1), "the short read was the last");
    }
}

#[test]
fn the_end_comes_after_a_short_read() {
    let mut f = Fixture::new();
    let (a, mut b) = f.pair();
    let task = Task::new();
    let (mut buffer, mut calls) = ([0; 64], 0);
    assert!(is(read(&a, &task, &mut buffer, &mut calls)).is_none());
    b.write_all(b"last words").unwrap();
    b.shutdown(Shutdown::Write).unwrap();
    assert_eq!((f.turn(), task.wakes()), (1, 1), "both in one event");
    assert_eq!(is(read(&a, &task, &mut buffer, &mut calls)), Some(10));
    assert_eq!(is(read(&a, &task, &mut buffer, &mut calls)), Some(0));
    assert_eq!(f.turn(), 0);
    assert_eq!(is(read(&a, &task, &mut buffer, &mut calls)), Some(0), "and stays");
}

#[test]
fn a_half_closed_stream_still_writes() {
    let mut f = Fixture::new();
    let (a, mut b) = f.pair();
    let (reader, writer) = (Task::new(), Task::new());
    b.shutdown(Shutdown::Write).unwrap();
    f.turn();
    let ready = a.registration().poll_read_ready(&mut reader.cx());
    assert!(is(ready).unwrap().ready().is_read_closed());
    // Output was not watched: the wait for it begins the watch, whose first event says ready.
    let registration = a.registration();
    assert!(registration.poll_write_ready(&mut writer.cx()).is_pending());
    assert_eq!((f.turn(), writer.wakes()), (1, 1));
    let write = || {
        registration.poll_io(&mut writer.cx(), Direction::Write, || a.get_ref().write(b"answer"))
    };
    assert_eq!(is(write()), Some(6));
    let mut answer = [0; 6];
    b.read_exact(&mut answer).unwrap();
    // Fill the pipe: the last call would block, clears and waits in one step.
    while is(write()).is_some() {}
    f.turn();
    assert_eq!((writer.wakes(), writer.held()), (1, 1));
    let mut sink = vec![0; 1 << 20];
    while b.read(&mut sink).is_ok() {}
    assert_eq!((f.turn(), writer.wakes(), writer.held()), (1, 2, 0));
    assert_eq!(is(write()), Some(6));
}

#[test]
fn two_tasks_in_one_slot_the_last_is_woken() {
    let mut f = Fixture::new();
    let (a, mut b) = f.pair();
    let (first, second) = (Task::new(), Task::new());
    assert!(a.registration().poll_read_ready(&mut first.cx()).is_pending());
    assert!(a.registration().poll_read_ready(&mut second.cx()).is_pending());
    assert_eq!((first.held(), second.held()), (0, 1), "the first waker is not kept");
    b.write_all(b"x").unwrap();
    f.turn();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn any_number_of_futures_wait_in_each_direction() {
    let mut f = Fixture::new();
    let (a, mut b) = f.pair();
    let r = a.registration();
    // More than a batch of wakers.
    let tasks: Vec<Task> = (0..70).map(|_| Task::new()).collect();
    let mut futures: Vec<_> = tasks
        .iter()
        .map(|task| {
            let mut future = Box::pin(r.readiness(Interest::READABLE));
            assert!(task.poll(future.as_mut()).is_pending());
            assert!(task.poll(future.as_mut()).is_pending(), "polled again, linked once");
            future
        })
        .collect();
    let both = Task::new();
    let mut slot_and_list = pin!(r.readiness(Interest::READABLE | Interest::PRIORITY));
    assert!(both.poll(slot_and_list.as_mut()).is_pending());
    assert!(r.poll_read_ready(&mut both.cx()).is_pending());
    let urgent = Task::new();
    let mut priority = pin!(r.readiness(Interest::PRIORITY));
    assert!(urgent.poll(priority.as_mut()).is_pending());

    // One of them is cancelled.
    drop(futures.remove(3));
    assert_eq!(tasks[3].held(), 0);
    b.write_all(b"x").unwrap();
    f.turn();
    for (index, task) in tasks.iter().enumerate() {
        assert_eq!((task.wakes(), task.held()), (usize::from(index != 3), 0));
    }
    assert_eq!((both.wakes(), urgent.wakes(), urgent.held()), (2, 0, 1));
    assert!(is(both.poll(slot_and_list)).unwrap().ready().is_readable());

    // The first consumes it; the others find nothing, and wait on.
    assert!(is(tasks[0].poll(futures[0].as_mut())).is_some());
    let got = r.try_io(Interest::READABLE, || a.get_ref().read(&mut [0; 8]));
    assert_eq!(got.unwrap(), 1);
    let again = r.try_io(Interest::READABLE, || a.get_ref().read(&mut [0; 8]));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut called = false;
    let third = r.try_io(Interest::READABLE, || {
        called = true;
        Ok(())
    });
    assert_eq!(third.unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!called, "known to be empty");
    assert!(tasks[1].poll(futures[1].as_mut()).is_pending());
    b.write_all(b"y").unwrap();
    f.turn();
    assert_eq!(tasks[1].wakes(), 2);
    assert!(is(tasks[1].poll(futures[1].as_mut())).is_some());

    // The end concerns those who wait for urgent data, which will not come.
    b.shutdown(Shutdown::Write).unwrap();
    f.turn();
    assert_eq!(urgent.wakes(), 1);
    assert!(is(urgent.poll(priority)).unwrap().ready().is_read_closed());
}

#[test]
fn an_operation_of_any_number_of_tasks() {
    let mut f = Fixture::new();
    let (a, mut b) = f.pair();
    let r = a.registration();
    let (first, second) = (Task::new(), Task::new());
    let op = || a.get_ref().read(&mut [0; 1]);
    let run = || async {
        loop {
            r.readiness(Interest::READABLE).await?;
            match r.try_io(Interest::READABLE, op) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    };
    let mut one = pin!(run());
    let mut two = pin!(run());
    assert!(first.poll(one.as_mut()).is_pending());
    assert!(second.poll(two.as_mut()).is_pending());
    b.write_all(b"x").unwrap();
    f.turn();
    assert_eq!(is(first.poll(one)), Some(1));
    assert!(second.poll(two.as_mut()).is_pending(), "the other took it");
    b.write_all(b"y").unwrap();
    f.turn();
    assert_eq!(is(second.poll(two)), Some(1));
}

#[test]
fn a_named_pipe_that_gets_a_new_writer_is_waited_for() {
    // A pipe's end is not final while somebody can open it for writing again. WouldBlock says so,
    // and an operation that loops on a stale "closed" would spin.
    let dir = std::env::temp_dir().join(format!("reiver-fifo-{}", std::process::id()));
    let path = dir.with_extension("pipe");
    let _ = std::fs::remove_file(&path);
    let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(status.success());
    let mut f = Fixture::new();
    let reader = open(&path, false);
    let reader = f.register(reader);
    let task = Task::new();
    let r = reader.registration();
    let mut calls = 0;
    let mut read = || {
        r.poll_io(&mut task.cx(), Direction::Read, || {
            calls += 1;
            assert!(calls < 50, "it spins");
            Ok(rustix::io::read(reader.get_ref(), &mut [0; 8])?)
        })
    };
    assert!(is(read()).is_none());
    let writer = open(&path, true);
    rustix::io::write(&writer, b"abc").unwrap();
    f.turn();
    assert_eq!(is(read()), Some(3));
    drop(writer);
    // A process that another test starts may have the writer, too, until it executes its program.
    let start = Instant::now();
    let end = loop {
        f.turn();
        let end = is(read());
        if end.is_some() || start.elapsed() > Duration::from_secs(10) {
            break end;
        }
    };
    assert_eq!(end, Some(0), "the end, for now");
    let writer = open(&path, true);
    assert!(is(read()).is_none(), "no end any more, and nothing to read");
    rustix::io::write(&writer, b"de").unwrap();
    f.turn();
    assert_eq!(is(read()), Some(2));
    std::fs::remove_file(&path).unwrap();
}

fn open(path: &std::path::Path, write: bool) -> OwnedFd {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::net::SocketFlags::NONBLOCK.bits() as i32;
    let mut options = std::fs::OpenOptions::new();
    options.read(!write).write(write).custom_flags(flags).open(path).unwrap().into()
}

#[test]
fn registering_twice_is_an_error_that_says_so() {
    let f = Fixture::new();
    let (a, _b) = f.pair();
    // SAFETY: `a` stays open while the registration, if there were one, exists.
    let again =
        unsafe { f.reactor.register(a.get_ref().as_fd(), 0, Interest::READABLE, Ready::EMPTY) };
    let error = again.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("registered with the runtime already"), "{error}");
    // The failed try used up nothing: the same descriptor may be registered after it is taken out.
    let a = a.into_inner();
    drop(f.register(a));

    let file = OwnedFd::from(std::fs::File::open("Cargo.toml").unwrap());
    let error = Evented::new(&f.reactor, file, 0, Interest::READABLE, Ready::EMPTY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("regular file"), "{error}");
}

#[test]
fn an_event_for_a_former_owner_reaches_nobody() {
    let mut f = Fixture::new();
    let (a, mut b) = f.pair();
    b.write_all(b"x").unwrap();
    // The event is taken out of the poller, and before it is dispatched the slot changes hands.
    f.reactor.shared.poller().unwrap().wait(&mut f.events.found, Some(Duration::ZERO)).unwrap();
    let key = f.events.found.iter().next().unwrap().key;
    let old = Task::new();
    drop(a);
    let (c, _d) = f.pair();
    let (chunk, slot, generation) = registration::split_key(key);
    f.reactor.copy_directory(&mut f.events.chunks);
    let source = &f.events.chunks[chunk].sources()[slot];
    assert!(std::ptr::eq(source, c.registration().source()), "the slot is reused");
    let new = Task::new();
    assert!(c.registration().poll_read_ready(&mut new.cx()).is_pending());
    assert!(!source.dispatch(generation, Ready::ALL));
    assert_eq!((old.wakes(), new.wakes()), (0, 0));
    assert!(c.registration().poll_read_ready(&mut new.cx()).is_pending());
    assert!(source.dispatch(generation + 1, Ready::READABLE));
    assert_eq!(new.wakes(), 1);
}

#[test]
fn a_dropped_socket_keeps_no_waker() {
    let f = Fixture::new();
    let (a, _b) = f.pair();
    let task = Task::new();
    assert!(a.registration().poll_read_ready(&mut task.cx()).is_pending());
    assert!(a.registration().poll_write_ready(&mut task.cx()).is_pending());
    let mut leaked = Box::pin(a.registration().readiness(Interest::READABLE));
    assert!(task.poll(leaked.as_mut()).is_pending());
    assert_eq!(task.held(), 3);
    std::mem::forget(leaked);
    drop(a);
    assert_eq!((task.held(), task.wakes()), (1, 0), "only the leaked future's is left");
    // Nor does the next owner of the slot meet it.
    let mut f = f;
    let (_c, mut d) = f.pair();
    d.write_all(b"x").unwrap();
    assert_eq!((f.turn(), task.wakes()), (1, 0));
}

#[test]
fn the_shutdown_ends_all_waits_and_a_socket_outlives_it() {
    let f = Fixture::new();
    let (a, b) = f.pair();
    let (slot, list, late) = (Task::new(), Task::new(), Task::new());
    let r = a.registration();
    assert!(r.poll_read_ready(&mut slot.cx()).is_pending());
    let mut future = Box::pin(r.readiness(Interest::READABLE));
    assert!(list.poll(future.as_mut()).is_pending());
    let Fixture { reactor, events } = f;
    reactor.shutdown();
    assert_eq!((slot.wakes(), list.wakes(), slot.held(), list.held()), (1, 1, 0, 0));
    let told = |poll: Poll<io::Result<ReadyEvent>>| matches!(poll, Poll::Ready(Err(error)) if error.to_string() == "the runtime is shut down");
    assert!(told(r.poll_read_ready(&mut slot.cx())));
    assert!(told(list.poll(future.as_mut())));
    drop(future);
    assert!(told(late.poll(pin!(r.readiness(Interest::WRITABLE)))));
    assert_eq!(late.held(), 0);
    let refused = Evented::new(&reactor, b, 0, Interest::READABLE, Ready::EMPTY);
    assert_eq!(refused.unwrap_err().to_string(), "the runtime is shut down");
    let shared = Arc::downgrade(&reactor.shared);
    drop((reactor, events));
    assert!(shared.upgrade().is_some(), "the socket keeps the poller");
    drop(a);
    assert!(shared.upgrade().is_none(), "and nothing else does");
}

#[test]
fn sockets_come_and_go_without_another_chunk() {
    let f = Fixture::new();
    for _ in 0..500 {
        let (_a, _b) = f.pair();
    }
    let pairs: Vec<_> = (0..200).map(|_| f.pair()).collect();
    let chunks = || f.reactor.directory.lock().chunks.len();
    assert_eq!(chunks(), 200usize.div_ceil(slab::SLOTS));
    drop(pairs);
    let _again: Vec<_> = (0..200).map(|_| f.pair()).collect();
    assert_eq!(chunks(), 200usize.div_ceil(slab::SLOTS));
}

#[test]
fn threads_exchange_a_byte_through_one_turn() {
    // Two threads answer each other through the reactor, with a third in the turn: no message is
    // lost, whatever the order. The end of the rounds is the assertion.
    const ROUNDS: usize = 2000;
    let f = Fixture::new();
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    let (a, b) = (f.register(a), f.register(b));
    let (reactor, mut events) = (&f.reactor, f.events);
    let done = AtomicUsize::new(0);
    let party = |io: &Evented<UnixStream>, first: bool| {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut step = |direction, mut op: &mut dyn FnMut() -> io::Result<usize>| loop {
            match io.registration().poll_io(&mut cx, direction, &mut op) {
                Poll::Ready(result) => return assert_eq!(result.unwrap(), 1),
                Poll::Pending => std::thread::park(),
            }
        };
        for _ in 0..ROUNDS {
            if first {
                step(Direction::Write, &mut || io.get_ref().write(b"x"));
            }
            step(Direction::Read, &mut || io.get_ref().read(&mut [0; 4]));
            if !first {
                step(Direction::Write, &mut || io.get_ref().write(b"y"));
            }
        }
        done.fetch_add(1, Ordering::SeqCst);
        reactor.notify().unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| party(&a, true));
        scope.spawn(|| party(&b, false));
        while done.load(Ordering::SeqCst) < 2 {
            reactor.turn(&mut events, None).unwrap();
        }
    });
}

/// Somebody waits for output, and finds it watched, as the poller is about to refuse that.
#[test]
fn a_refused_watch_wakes_who_trusted_in_it() {
    let source = Source::new();
    let _ = source.word().open(Ready::EMPTY, Watched::of(Ready::READABLE));
    let (output, trusts) = (Watched::of(Direction::Write.mask()), Task::new());
    let waiter = pin!(Waiter::new(Ready::WRITABLE));
    let listed = Task::new();
    let refused = source.watch(output, |_| {
        let waits = [
            source.poll_slot(Direction::Write, None, &mut trusts.cx()),
            source.poll_waiter(waiter.as_ref(), &mut listed.cx()),
        ];
        for wait in waits {
            let Wait::Pending(now) = wait else { panic!("{wait:?}") };
            assert!(now.watched().contains(output));
        }
        Err(())
    });
    assert_eq!((refused, trusts.wakes(), listed.wakes()), (Err(()), 1, 1));
    // It looks again, and sees to it itself.
    let wait = source.poll_slot(Direction::Write, None, &mut trusts.cx());
    assert!(matches!(wait, Wait::Pending(now) if !now.watched().contains(output)), "{wait:?}");
}
