//! Ten HTTP requests, one after another and then at once, by hyper on both ends.
//!
//! ```python
//! async with aiohttp.ClientSession() as session:
//!     pages = await asyncio.gather(*(fetch(session, url) for url in urls))
//! ```

// ci:

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use reiver::hyper::{HyperIo, HyperTimer};
use reiver::net::{TcpListener, TcpStream};
use reiver::task::gather;
use reiver::time::{Duration, Instant, sleep};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

/// How long the server thinks about each request.
const LATENCY: Duration = Duration::from_millis(100);

type Failure = Box<dyn Error + Send + Sync>;

async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    sleep(LATENCY).await;
    Ok(Response::new(Full::from(format!("this is {}", request.uri().path()))))
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        reiver::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(HyperTimer::new());
            http.serve_connection(HyperIo::new(stream), service_fn(page)).await
        });
    }
}

async fn fetch(server: SocketAddr, n: u32) -> Result<String, Failure> {
    let stream = HyperIo::new(TcpStream::connect(server).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = reiver::spawn(connection);
    let request = Request::get(Uri::try_from(format!("/page/{n}"))?)
        .header("host", server.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.await??;
    Ok(String::from_utf8(body.into())?)
}

#[reiver::main]
async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let serving = reiver::spawn(serve(listener));

    let begin = Instant::now();
    let mut pages = Vec::new();
    for n in 0..10 {
        pages.push(fetch(server, n).await?);
    }
    let one_by_one = begin.elapsed();
    println!("ten requests one after another: {one_by_one:.2?}");

    let begin = Instant::now();
    for (parallel, page) in
        gather((0..10).map(move |n| fetch(server, n))).await.into_iter().zip(&pages)
    {
        assert_eq!(&parallel?, page);
    }
    let at_once = begin.elapsed();
    println!("ten requests at once:           {at_once:.2?}");
    println!("that is {:.1} times as fast", one_by_one.as_secs_f64() / at_once.as_secs_f64());

    assert_eq!(pages[7], "this is /page/7");
    assert!(one_by_one >= 10 * LATENCY && at_once >= LATENCY);
    assert!(at_once < 8 * LATENCY, "they waited for each other");
    serving.abort();
    Ok(())
}
