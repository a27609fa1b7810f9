//! smol: its executor on as many threads as the others have workers.

use super::Rt;
use ::smol::io::{AsyncReadExt, AsyncWriteExt};
use ::smol::{Async, Timer, future};
use async_executor::Executor;
use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

pub struct Smol;

static EXECUTOR: Executor<'static> = Executor::new();

impl Rt for Smol {
    type Join<T: Send + 'static> = ::smol::Task<T>;

    fn start(workers: usize) {
        for _ in 0..workers {
            std::thread::spawn(|| ::smol::block_on(EXECUTOR.run(future::pending::<()>())));
        }
    }

    fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(
        future: F,
    ) -> ::smol::Task<F::Output> {
        EXECUTOR.spawn(future)
    }

    fn detach(future: impl Future<Output = ()> + Send + 'static) {
        EXECUTOR.spawn(future).detach();
    }

    fn remote(future: impl Future<Output = ()> + Send + 'static) {
        EXECUTOR.spawn(future).detach();
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        ::smol::block_on(future)
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }

    async fn sleep(duration: Duration) {
        Timer::after(duration).await;
    }

    async fn timeout<F: Future + Send>(duration: Duration, future: F) -> Option<F::Output> {
        future::or(async { Some(future.await) }, async {
            Timer::after(duration).await;
            None
        })
        .await
    }

    fn spawn_blocking<T: Send + 'static>(
        f: impl FnOnce() -> T + Send + 'static,
    ) -> ::smol::Task<T> {
        ::smol::unblock(f)
    }

    async fn echo(listener: TcpListener) {
        let listener = Async::new(listener).expect("registers");
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            stream.get_ref().set_nodelay(true).expect("a socket");
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
        let executor = Executor::new();
        let (stop, stopped) = ::smol::channel::bounded::<()>(1);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| ::smol::block_on(executor.run(stopped.recv())));
            }
            ::smol::block_on(executor.run(async {}));
            drop(stop);
        });
    }
}
