//! tokio's multi-thread runtime.

use super::Rt;
use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::{net, runtime, task, time};
use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

pub struct Tokio;

static RUNTIME: OnceLock<runtime::Runtime> = OnceLock::new();

fn build(workers: usize) -> runtime::Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).enable_all().build().expect("starts")
}

fn here() -> &'static runtime::Runtime {
    RUNTIME.get().expect("started")
}

/// A handle that panics as its task did.
pub struct Join<T>(task::JoinHandle<T>);

impl<T> Future for Join<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|output| output.expect("the task ended well"))
    }
}

impl Rt for Tokio {
    type Join<T: Send + 'static> = Join<T>;

    fn start(workers: usize) {
        RUNTIME.get_or_init(|| build(workers));
    }

    fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(future: F) -> Join<F::Output> {
        Join(::tokio::spawn(future))
    }

    fn detach(future: impl Future<Output = ()> + Send + 'static) {
        drop(::tokio::spawn(future));
    }

    fn remote(future: impl Future<Output = ()> + Send + 'static) {
        drop(here().spawn(future));
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        here().block_on(future)
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
        time::sleep(duration)
    }

    async fn timeout<F: Future + Send>(duration: Duration, future: F) -> Option<F::Output> {
        time::timeout(duration, future).await.ok()
    }

    fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Join<T> {
        Join(task::spawn_blocking(f))
    }

    async fn echo(listener: TcpListener) {
        listener.set_nonblocking(true).expect("a socket");
        let listener = net::TcpListener::from_std(listener).expect("registers");
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            stream.set_nodelay(true).expect("a socket");
            Self::detach(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    }

    fn start_and_stop(workers: usize) {
        build(workers).block_on(async {});
    }
}
