//! What every runtime must offer to be compared: the same code runs on all through [`Rt`].

mod named;
pub mod reiver;
pub mod smol;
pub mod tokio;

use crate::cases::Case;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use std::convert::Infallible;
use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

/// Bytes that an echo task reads at a time.
const BUFFER: usize = 256;

/// The body of every HTTP response.
pub const HELLO: &str = "hello, world\n";

/// Answers every request of a connection, on any runtime.
async fn hello<I: hyper::rt::Read + hyper::rt::Write + Unpin + Send>(io: I) {
    let answer = |_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(HELLO.as_bytes()))))
    };
    // An error is a client that has gone.
    let _ = http1::Builder::new().serve_connection(io, service_fn(answer)).await;
}

/// One multi-thread runtime per process.
pub trait Rt: 'static {
    /// Gives the output of a task.
    type Join<T: Send + 'static>: Future<Output = T> + Send + 'static;

    /// The cases that are written for it alone.
    fn own_cases() -> Vec<Case>;
    /// Starts the runtime of this process.
    fn start(workers: usize);
    /// Runs a function on this thread with the runtime at hand.
    fn enter<T>(f: impl FnOnce() -> T) -> T;
    /// Spawns from inside a task.
    fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(
        future: F,
    ) -> Self::Join<F::Output>;
    /// Spawns from inside a task; nobody waits.
    fn detach(future: impl Future<Output = ()> + Send + 'static);
    /// Spawns from any thread; nobody waits.
    fn remote(future: impl Future<Output = ()> + Send + 'static);
    /// Runs a future on the calling thread.
    fn block_on<F: Future>(future: F) -> F::Output;
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send;
    /// Calls `tick` at every period, so many times, by the runtime's own interval.
    fn every(
        period: Duration,
        count: usize,
        tick: impl FnMut() + Send,
    ) -> impl Future<Output = ()> + Send;
    fn timeout<F: Future + Send>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + Send;
    fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Join<T>;
    /// Serves connections for ever: whatever comes goes back, in chunks of at most [`BUFFER`].
    fn echo(listener: TcpListener) -> impl Future<Output = ()> + Send;
    /// The same for datagrams.
    fn udp_echo(socket: UdpSocket) -> impl Future<Output = ()> + Send;
    /// Serves [`HELLO`] over HTTP/1.1 for ever.
    fn http(listener: TcpListener) -> impl Future<Output = ()> + Send;
    /// Starts another runtime, runs an empty future on it, and ends it.
    fn start_and_stop(workers: usize);

    /// Runs a future as a task and waits for it without taking part: as many threads work as there
    /// are workers, in every runtime.
    fn run<F: Future<Output: Send + 'static> + Send + 'static>(future: F) -> F::Output {
        let (send, receive) = mpsc::channel();
        Self::remote(async move {
            let _ = send.send(future.await);
        });
        receive.recv().expect("the task sends")
    }
}
