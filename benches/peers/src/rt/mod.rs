//! What every runtime must offer to be compared: the same code runs on all through [`Rt`].

pub mod reiver;
pub mod smol;
pub mod tokio;

use std::future::Future;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

/// One multi-thread runtime per process.
pub trait Rt: 'static {
    /// Gives the output of a task.
    type Join<T: Send + 'static>: Future<Output = T> + Send + 'static;

    /// Starts the runtime of this process.
    fn start(workers: usize);
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
    fn timeout<F: Future + Send>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + Send;
    fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Join<T>;
    /// Serves connections for ever: whatever comes goes back, in chunks of at most 4096 bytes.
    fn echo(listener: TcpListener) -> impl Future<Output = ()> + Send;
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
