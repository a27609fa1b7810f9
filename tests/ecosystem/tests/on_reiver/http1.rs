//! hyper's HTTP/1.1, client and server.

use crate::http::{Body, Gate, answer, body, get, post};
use crate::support::{Fallible, noise, on_reiver, pair};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use reiver::hyper::{HyperIo, HyperTimer};
use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::TcpStream;
use reiver::sync::oneshot;
use reiver::task::JoinHandle;
use reiver::time::{Duration, Instant};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

type Task = JoinHandle<Result<(), hyper::Error>>;

/// How long the server waits for a header where that is not the test.
const PATIENT: Duration = Duration::from_secs(60);

/// Serves one connection until it ends; `stop` asks it to end after the request it is in.
fn serve(
    stream: TcpStream,
    gate: Arc<Gate>,
    stop: Option<oneshot::Receiver<()>>,
    patience: Duration,
) -> Task {
    reiver::spawn(async move {
        let service = service_fn(move |request| answer(request, gate.clone()));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(HyperTimer::new())
            .header_read_timeout(patience)
            .serve_connection(HyperIo::new(stream), service);
        let mut connection = pin!(connection);
        let stop = async {
            match stop {
                Some(stop) => drop(stop.await),
                None => pending().await,
            }
        };
        reiver::select! {
            ended = connection.as_mut() => return ended,
            () = stop => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    })
}

async fn client(stream: TcpStream) -> Fallible<(SendRequest<Body>, Task)> {
    let (sender, connection) = hyper::client::conn::http1::handshake(HyperIo::new(stream)).await?;
    Ok((sender, reiver::spawn(connection)))
}

/// Both ends of a connection, with a request that is at the gate.
struct AtTheGate {
    gate: Arc<Gate>,
    server: Task,
    sender: SendRequest<Body>,
    connection: Task,
    asking: JoinHandle<Result<Response<Incoming>, hyper::Error>>,
}

async fn at_the_gate(stop: Option<oneshot::Receiver<()>>) -> Fallible<AtTheGate> {
    let (stream, accepted) = pair().await?;
    let gate = Gate::new();
    let server = serve(accepted, gate.clone(), stop, PATIENT);
    let (mut sender, connection) = client(stream).await?;
    let asking = reiver::spawn(sender.send_request(get("/gate")));
    gate.entered.acquire().await?.forget();
    Ok(AtTheGate { gate, server, sender, connection, asking })
}

#[test]
fn requests_in_turn_on_one_connection() {
    on_reiver(|| async {
        let (stream, accepted) = pair().await?;
        let server = serve(accepted, Gate::new(), None, PATIENT);
        let (mut sender, connection) = client(stream).await?;
        for size in [0, 1, 1000, 3 << 20] {
            assert_eq!(body(sender.send_request(get("/hello")).await?).await?, "hello");
            let sent = noise(size);
            let echo = sender.send_request(post("/echo", sent.clone())).await?;
            assert!(body(echo).await? == sent);
            let nothing = sender.send_request(get("/nothing")).await?;
            assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
            drop(nothing);
            sender.ready().await?;
        }
        drop(sender);
        connection.await??;
        Ok(server.await??)
    });
}

#[test]
fn a_client_that_drops_its_connection_in_the_middle() {
    on_reiver(|| async {
        let AtTheGate { gate, server, sender: _sender, connection, asking } =
            at_the_gate(None).await?;
        connection.abort();
        assert!(connection.await.unwrap_err().is_cancelled());
        let error = asking.await?.unwrap_err();
        assert!(error.is_canceled() || error.is_user(), "{error:?}");
        // The handler is dropped, the connection's task ends: nothing waits for a reply to nobody.
        gate.left.acquire().await?.forget();
        let _ = server.await?;
        Ok(())
    });
}

#[test]
fn a_server_that_drops_its_connection_in_the_middle() {
    on_reiver(|| async {
        let AtTheGate { gate, server, sender: _sender, connection, asking } =
            at_the_gate(None).await?;
        server.abort();
        assert!(asking.await?.unwrap_err().is_incomplete_message());
        let _ = connection.await?;
        gate.left.acquire().await?.forget();
        Ok(())
    });
}

#[test]
fn graceful_shutdown_finishes_the_request_it_is_in() {
    on_reiver(|| async {
        let (stop, stopped) = oneshot::channel();
        let AtTheGate { gate, server, sender, connection, asking } =
            at_the_gate(Some(stopped)).await?;
        stop.send(()).unwrap();
        reiver::task::yield_now().await;
        gate.open.add_permits(1);
        assert_eq!(body(asking.await??).await?, "through the gate");
        server.await??;
        connection.await??;
        assert!(sender.is_closed());
        Ok(())
    });
}

#[test]
fn a_header_that_never_ends_meets_the_timer() {
    on_reiver(|| async {
        let (mut stream, accepted) = pair().await?;
        let start = Instant::now();
        let server = serve(accepted, Gate::new(), None, Duration::from_millis(200));
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: ").await?;
        assert!(server.await?.unwrap_err().is_timeout());
        assert!(start.elapsed() >= Duration::from_millis(200));
        Ok(())
    });
}

#[test]
fn no_http_at_all() {
    on_reiver(|| async {
        let (mut stream, accepted) = pair().await?;
        let server = serve(accepted, Gate::new(), None, PATIENT);
        stream.write_all(b"what is this?\r\n\r\n").await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
        assert!(server.await?.unwrap_err().is_parse());
        Ok(())
    });
}
