//! hyper's HTTP/2, client and server: many streams over one connection.

use crate::http::{Body, Gate, answer, body, get, post};
use crate::support::{Fallible, noise, on_reiver, pair};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Response, body::Incoming};
use reiver::hyper::{HyperExecutor, HyperIo, HyperTimer};
use reiver::net::TcpStream;
use reiver::sync::oneshot;
use reiver::task::{JoinHandle, JoinSet};
use reiver::time::Duration;
use std::pin::pin;
use std::sync::Arc;

type Task = JoinHandle<Result<(), hyper::Error>>;
/// A request that is under way.
type Asking = JoinHandle<Result<Response<Incoming>, hyper::Error>>;

fn serve(stream: TcpStream, gate: Arc<Gate>, stop: oneshot::Receiver<()>) -> Task {
    reiver::spawn(async move {
        let service = service_fn(move |request| answer(request, gate.clone()));
        let connection = hyper::server::conn::http2::Builder::new(HyperExecutor::new())
            .timer(HyperTimer::new())
            .keep_alive_interval(Duration::from_millis(20))
            .serve_connection(HyperIo::new(stream), service);
        let mut connection = pin!(connection);
        reiver::select! {
            ended = connection.as_mut() => return ended,
            Ok(()) = stop => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    })
}

async fn client(stream: TcpStream) -> Fallible<(SendRequest<Body>, Task)> {
    let (sender, connection) = hyper::client::conn::http2::Builder::new(HyperExecutor::new())
        .timer(HyperTimer::new())
        .handshake(HyperIo::new(stream))
        .await?;
    Ok((sender, reiver::spawn(connection)))
}

/// Both ends of a connection.
struct Connected {
    gate: Arc<Gate>,
    stop: oneshot::Sender<()>,
    server: Task,
    sender: SendRequest<Body>,
    connection: Task,
}

async fn connected() -> Fallible<Connected> {
    let (stream, accepted) = pair().await?;
    let gate = Gate::new();
    let (stop, stopped) = oneshot::channel();
    let server = serve(accepted, gate.clone(), stopped);
    let (sender, connection) = client(stream).await?;
    Ok(Connected { gate, stop, server, sender, connection })
}

impl Connected {
    /// Begins ten requests, and waits until all are at the gate.
    async fn ten_at_the_gate(&mut self) -> Fallible<Vec<Asking>> {
        let sender = &mut self.sender;
        let asking = (0..10).map(|_| reiver::spawn(sender.send_request(get("/gate")))).collect();
        self.gate.entered.acquire_many(10).await?.forget();
        Ok(asking)
    }
}

#[test]
fn many_streams() {
    const STREAMS: usize = 200;
    on_reiver(|| async {
        let Connected { gate, stop: _stop, server, sender, connection } = connected().await?;
        let mut streams = JoinSet::new();
        for n in 0..STREAMS {
            let mut sender = sender.clone();
            streams.spawn(async move {
                sender.ready().await?;
                match n % 3 {
                    0 => {
                        assert_eq!(body(sender.send_request(get("/hello")).await?).await?, "hello");
                    }
                    1 => {
                        // Beyond one window: both flow controls have to give way to each other.
                        let sent = noise(100_000 + n);
                        let echo = sender.send_request(post("/echo", sent.clone())).await?;
                        assert!(body(echo).await? == sent);
                    }
                    _ => {
                        let reply = sender.send_request(get("/gate")).await?;
                        assert_eq!(body(reply).await?, "through the gate");
                    }
                }
                Fallible::Ok(())
            });
        }
        // All that wait at the gate are there at once, over the one connection.
        let gated = (0..STREAMS).filter(|n| n % 3 == 2).count();
        gate.entered.acquire_many(gated as u32).await?.forget();
        gate.open.add_permits(gated);
        while let Some(ended) = streams.join_next().await {
            ended??;
        }
        drop(sender);
        connection.await??;
        Ok(server.await??)
    });
}

#[test]
fn one_stream_that_is_dropped_leaves_the_others() {
    on_reiver(|| async {
        let Connected { gate, stop: _stop, server, mut sender, connection } = connected().await?;
        let asking = reiver::spawn(sender.send_request(get("/gate")));
        gate.entered.acquire().await?.forget();
        asking.abort();
        gate.left.acquire().await?.forget();
        assert_eq!(body(sender.send_request(get("/hello")).await?).await?, "hello");
        drop(sender);
        connection.await??;
        Ok(server.await??)
    });
}

#[test]
fn a_connection_that_is_dropped_ends_all_its_streams() {
    on_reiver(|| async {
        let mut all = connected().await?;
        let asking = all.ten_at_the_gate().await?;
        all.server.abort();
        for asking in asking {
            asking.await?.map(drop).unwrap_err();
        }
        all.gate.left.acquire_many(10).await?.forget();
        let _ = all.connection.await?;
        Ok(())
    });
}

#[test]
fn graceful_shutdown_finishes_the_streams_that_are_open() {
    on_reiver(|| async {
        let mut all = connected().await?;
        let asking = all.ten_at_the_gate().await?;
        all.stop.send(()).unwrap();
        reiver::task::yield_now().await;
        all.gate.open.add_permits(10);
        for asking in asking {
            assert_eq!(body(asking.await??).await?, "through the gate");
        }
        all.server.await??;
        Ok(all.connection.await??)
    });
}
