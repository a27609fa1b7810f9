//! What a runtime promises about descriptors, whoever waits in the poller.

use super::{Builder, Runtime};
use crate::reactor::{Evented, Interest, Ready};
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

/// A task that waits until the other end is written to, and then says so.
fn reader(runtime: &Runtime) -> (UnixStream, mpsc::Receiver<()>) {
    let (here, there) = UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    let reactor = &runtime.handle().shared().driver.reactor;
    let io = Evented::new(reactor, here, 0, Interest::READABLE, Ready::EMPTY).unwrap();
    let (send, receive) = mpsc::channel();
    runtime.spawn(async move {
        poll_fn(|cx| io.registration().poll_read_ready(cx)).await.unwrap();
        send.send(()).unwrap();
    });
    (there, receive)
}

const LONG: Duration = Duration::from_secs(20);

/// The thread in `block_on` waits in the poller, and the workers elsewhere. When it leaves, nothing
/// happens that would wake them by itself.
#[test]
fn somebody_waits_in_the_poller_when_block_on_has_returned() {
    for workers in [1, 2] {
        let runtime = Builder::new_multi_thread().worker_threads(workers).build().unwrap();
        for _ in 0..50 {
            let (mut there, receive) = reader(&runtime);
            let mut yields = 0;
            runtime.block_on(poll_fn(|cx| {
                // Woken by a thread, so that this one has gone to sleep meanwhile.
                yields += 1;
                let waker = cx.waker().clone();
                std::thread::spawn(move || waker.wake());
                if yields > 5 { Poll::Ready(()) } else { Poll::Pending }
            }));
            there.write_all(b"x").unwrap();
            receive.recv_timeout(LONG).expect("nobody waits in the poller");
        }
    }
}

#[test]
fn somebody_waits_in_the_poller_while_a_worker_blocks_in_place() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for _ in 0..50 {
        let (mut there, receive) = reader(&runtime);
        let task = runtime.spawn(async move {
            crate::scheduler::block_in_place(|| {
                there.write_all(b"x").unwrap();
                receive.recv_timeout(LONG).expect("nobody waits in the poller");
            });
        });
        runtime.handle().block_on(task).unwrap();
    }
}
