//! smol: its executor on as many threads as the others have workers. Its channels and locks, in [`names`],
//! under the names that the others have for theirs.

use super::Rt;
use ::smol::io::{AsyncReadExt, AsyncWriteExt};
use ::smol::stream::StreamExt;
use ::smol::{Async, Timer, future};
use async_executor::Executor;
use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

pub struct Smol;

static EXECUTOR: Executor<'static> = Executor::new();

impl Rt for Smol {
    type Join<T: Send + 'static> = ::smol::Task<T>;

    fn own_cases() -> Vec<crate::cases::Case> {
        crate::cases::of_smol()
    }

    fn start(workers: usize) {
        for _ in 0..workers {
            std::thread::spawn(|| ::smol::block_on(EXECUTOR.run(future::pending::<()>())));
        }
    }

    fn enter<T>(f: impl FnOnce() -> T) -> T {
        f()
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

    async fn every(period: Duration, count: usize, mut tick: impl FnMut() + Send) {
        let mut interval = Timer::interval(period);
        for _ in 0..count {
            interval.next().await;
            tick();
        }
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
                let mut buffer = [0; super::BUFFER];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    }

    async fn udp_echo(socket: UdpSocket) {
        let socket = Async::new(socket).expect("registers");
        let mut buffer = [0; super::BUFFER];
        loop {
            let (n, from) = socket.recv_from(&mut buffer).await.expect("receives");
            socket.send_to(&buffer[..n], from).await.expect("sends");
        }
    }

    async fn http(listener: TcpListener) {
        let listener = Async::new(listener).expect("registers");
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            stream.get_ref().set_nodelay(true).expect("a socket");
            Self::detach(super::hello(smol_hyper::rt::FuturesIo::new(stream)));
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

/// What of `sync` smol has.
pub mod names {
    pub use ::smol::lock::{Mutex, Semaphore};

    pub mod mpsc {
        use ::smol::channel;

        pub struct Sender<T>(channel::Sender<T>);
        pub struct UnboundedSender<T>(channel::Sender<T>);
        pub struct Receiver<T>(channel::Receiver<T>);

        pub fn channel<T>(places: usize) -> (Sender<T>, Receiver<T>) {
            let (tx, rx) = channel::bounded(places);
            (Sender(tx), Receiver(rx))
        }

        pub fn unbounded_channel<T>() -> (UnboundedSender<T>, Receiver<T>) {
            let (tx, rx) = channel::unbounded();
            (UnboundedSender(tx), Receiver(rx))
        }

        impl<T> Sender<T> {
            pub fn send(&self, value: T) -> channel::Send<'_, T> {
                self.0.send(value)
            }
        }

        impl<T> UnboundedSender<T> {
            pub fn send(&self, value: T) -> Result<(), channel::TrySendError<T>> {
                self.0.try_send(value)
            }
        }

        impl<T> Clone for Sender<T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T> Clone for UnboundedSender<T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T> Receiver<T> {
            pub async fn recv(&mut self) -> Option<T> {
                self.0.recv().await.ok()
            }
        }
    }
}
