//! reiver and tokio, which have the same names for the same things: one text for both.

/// `$rt` for the runtime of the crate `$krate`, whose streams `$io` makes hyper's; `$tune` has the last word
/// on how it is built.
macro_rules! runtime {
    ($rt:ident, $krate:ident, $own_cases:path, $io:expr, $tune:expr) => {
        use super::Rt;
        use ::$krate::io::{AsyncReadExt, AsyncWriteExt};
        use ::$krate::{net, runtime, task, time};
        use std::future::Future;
        use std::net::{TcpListener, UdpSocket};
        use std::pin::Pin;
        use std::sync::OnceLock;
        use std::task::{Context, Poll};
        use std::time::Duration;

        pub struct $rt;

        static RUNTIME: OnceLock<runtime::Runtime> = OnceLock::new();

        fn build(workers: usize) -> runtime::Runtime {
            let mut builder = runtime::Builder::new_multi_thread();
            let tune: fn(&mut runtime::Builder) = $tune;
            tune(&mut builder);
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

        fn listen(listener: TcpListener) -> net::TcpListener {
            listener.set_nonblocking(true).expect("a socket");
            net::TcpListener::from_std(listener).expect("registers")
        }

        impl Rt for $rt {
            type Join<T: Send + 'static> = Join<T>;

            fn own_cases() -> Vec<crate::cases::Case> {
                $own_cases()
            }

            fn start(workers: usize) {
                RUNTIME.get_or_init(|| build(workers));
            }

            fn enter<T>(f: impl FnOnce() -> T) -> T {
                let _here = here().enter();
                f()
            }

            fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(
                future: F,
            ) -> Join<F::Output> {
                Join(::$krate::spawn(future))
            }

            fn detach(future: impl Future<Output = ()> + Send + 'static) {
                drop(::$krate::spawn(future));
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

            async fn every(period: Duration, count: usize, mut tick: impl FnMut() + Send) {
                let mut interval = time::interval(period);
                interval.tick().await;
                for _ in 0..count {
                    interval.tick().await;
                    tick();
                }
            }

            async fn timeout<F: Future + Send>(duration: Duration, future: F) -> Option<F::Output> {
                time::timeout(duration, future).await.ok()
            }

            fn spawn_blocking<T: Send + 'static>(
                f: impl FnOnce() -> T + Send + 'static,
            ) -> Join<T> {
                Join(task::spawn_blocking(f))
            }

            async fn echo(listener: TcpListener) {
                let listener = listen(listener);
                loop {
                    let (mut stream, _) = listener.accept().await.expect("accepts");
                    stream.set_nodelay(true).expect("a socket");
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
                socket.set_nonblocking(true).expect("a socket");
                let socket = net::UdpSocket::from_std(socket).expect("registers");
                let mut buffer = [0; super::BUFFER];
                loop {
                    let (n, from) = socket.recv_from(&mut buffer).await.expect("receives");
                    socket.send_to(&buffer[..n], from).await.expect("sends");
                }
            }

            async fn http(listener: TcpListener) {
                let listener = listen(listener);
                loop {
                    let (stream, _) = listener.accept().await.expect("accepts");
                    stream.set_nodelay(true).expect("a socket");
                    Self::detach(super::hello($io(stream)));
                }
            }

            fn start_and_stop(workers: usize) {
                build(workers).block_on(async {});
            }
        }
    };
}
pub(super) use runtime;
