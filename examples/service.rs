//! An HTTP service with asynchronous, blocking and CPU-bound endpoints side by side, and the load that
//! shows that they do not disturb each other.
//!
//! ```text
//! cargo run --release --example service                    serve, load, print a table, exit
//! cargo run --release --example service -- --json          the table as JSON
//! cargo run --release --example service -- --trace FILE    the same, and FILE is the timeline beside `/bad`
//! cargo run --release --example service -- --serve [ADDR]  serve until Ctrl-C (127.0.0.1:8080)
//! ```
//!
//! | path | does | where |
//! |---|---|---|
//! | `/hello` | says hello | in the task |
//! | `/async` | sleeps 100 ms | in the task: a timer |
//! | `/blocking` | blocks a thread for 100 ms | `spawn_blocking` |
//! | `/cpu?n=100000` | sorts n numbers by their square | `spawn_blocking` |
//! | `/process?n=100000` | the same as `/cpu` | a worker process: `#[reiver::offload]` |
//! | `/crash` | aborts | a worker process, which takes the blame alone |
//! | `/aggregate` | asks `/async` and `/blocking` over HTTP, both at once | in the task: `try_join!` |
//! | `/bad` | blocks a thread for 5 s | in the task, as nobody should |
//! | `/tasks` | shows the live tasks and the runtime's counters | |
//!
//! <https://ui.perfetto.dev> opens the timeline. The README has a picture of it.

// ci:

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use reiver::hyper::{HyperIo, HyperTimer};
use reiver::net::{TcpListener, TcpStream};
use reiver::runtime::{Builder, Handle};
use reiver::signal::unix::{SignalKind, signal};
use reiver::task::{self, JoinSet, spawn_blocking};
use reiver::time::{Duration, Instant, sleep, timeout};
use std::convert::Infallible;
use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;

type Reply = Response<Full<Bytes>>;
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long a request sleeps or blocks: the tutorials' figure.
const PAUSE: Duration = Duration::from_millis(100);
/// How long `/bad` blocks the worker that it runs on.
const BAD: Duration = Duration::from_secs(5);
/// How many of those there are while the load goes on: more than most machines have workers.
const BAD_REQUESTS: usize = 16;
/// How many requests at once the load makes for each endpoint.
const REQUESTS: usize = 100;
/// How long the load waits for a reply: a bound on hangs, far above what a slow machine takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the service waits for open connections when it ends.
const GRACE: Duration = Duration::from_secs(5);
/// How many events of each worker a timeline has: all since `/bad` began.
const EVENTS: usize = 1 << 14;
/// The most numbers that `/cpu` sorts.
const MAX_N: usize = 10_000_000;

enum Mode {
    Load { json: bool, trace: Option<String> },
    Serve(String),
}

fn main() -> ExitCode {
    let result = parse(std::env::args().skip(1)).and_then(|mode| {
        let mut builder = Builder::new_multi_thread();
        if let Mode::Load { trace: Some(_), .. } = mode {
            // Every report, not one for each place.
            builder.flight_recorder(EVENTS).on_slow_poll(|slow| eprintln!("reiver: {slow}"));
        }
        let runtime = builder.build()?;
        // A task, since a future in `block_on` stays on its thread: it could not be rescued from `/bad`.
        let run = runtime.spawn(run(mode));
        runtime.block_on(run)?
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("service: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Fallible<Mode> {
    let mode = match args.next().as_deref() {
        None => Mode::Load { json: false, trace: None },
        Some("--json") => Mode::Load { json: true, trace: None },
        Some("--trace") => {
            Mode::Load { json: false, trace: Some(args.next().ok_or("--trace needs a file")?) }
        }
        Some("--serve") => Mode::Serve(args.next().unwrap_or_else(|| "127.0.0.1:8080".into())),
        Some(other) => {
            return Err(format!(
                "unknown argument {other}; try --json, --trace FILE or --serve [ADDR]"
            )
            .into());
        }
    };
    match args.next() {
        Some(extra) => Err(format!("unexpected argument {extra}").into()),
        None => Ok(mode),
    }
}

/// Whether everything succeeded.
async fn run(mode: Mode) -> Fallible<bool> {
    match mode {
        Mode::Serve(address) => {
            let (listener, address) = bind(&address).await?;
            // From here on Ctrl-C ends the service in order, whenever it comes.
            let mut interrupt = signal(SignalKind::interrupt())?;
            println!("listening on http://{address}; Ctrl-C ends");
            serve(listener, address, async { _ = interrupt.recv().await }).await;
            println!("ended");
            Ok(true)
        }
        Mode::Load { json, trace } => {
            let (listener, address) = bind("127.0.0.1:0").await?;
            let (stop, stopped) = reiver::sync::oneshot::channel::<()>();
            let service = reiver::spawn(serve(listener, address, async { drop(stopped.await) }));
            let mut rows = Vec::new();
            for path in ["/async", "/blocking", "/cpu", "/aggregate", "/tasks"] {
                rows.push(load(address, path, path).await);
            }
            let mut bad = JoinSet::new();
            for _ in 0..BAD_REQUESTS {
                bad.spawn(get(address, "/bad"));
            }
            // They have all begun, or are about to.
            sleep(PAUSE).await;
            for (path, name) in [
                ("/hello", "/hello with /bad"),
                ("/async", "/async with /bad"),
                ("/blocking", "/blocking with /bad"),
            ] {
                rows.push(load(address, path, name).await);
            }
            if let Some(file) = trace {
                // While `/bad` goes on: a timeline has the names of tasks that are alive.
                let runtime = Handle::current();
                spawn_blocking(move || runtime.write_trace(file)).await??;
            }
            while let Some(answer) = bad.join_next().await {
                drop(answer??);
            }
            drop(stop);
            service.await?;
            print!("{}", if json { as_json(&rows) } else { as_table(&rows) });
            Ok(rows.iter().all(|row| row.ok == REQUESTS))
        }
    }
}

async fn bind(address: &str) -> Fallible<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind(address).await.map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

// ---- the service ------------------------------------------------------------------------------

/// Serves until `stop` is ready, then lets open connections finish their requests.
async fn serve(listener: TcpListener, address: SocketAddr, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let mut connections = JoinSet::new();
    let (ending, _) = reiver::sync::watch::channel(false);
    loop {
        reiver::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let connection = connection(stream, address, ending.subscribe());
                    let name = format!("connection {peer}");
                    let spawned = connections.build_task().name(&name).spawn(connection);
                    drop(spawned);
                }
                // Out of descriptors, for example: the connections that are open go on, and those
                // that end make room.
                Err(error) => {
                    eprintln!("service: accept: {error}");
                    sleep(Duration::from_millis(10)).await;
                }
            },
            // Connections that have ended leave the set.
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    ending.send_replace(true);
    let drained = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        eprintln!("service: {} connections were still busy after {GRACE:?}", connections.len());
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    mut ending: reiver::sync::watch::Receiver<bool>,
) {
    // A reply is one small packet; waiting for more to send with it only delays it.
    let _ = stream.set_nodelay(true);
    let service =
        service_fn(
            move |request| async move { Ok::<_, Infallible>(answer(request, address).await) },
        );
    let mut http = http1::Builder::new();
    http.timer(HyperTimer::new());
    let mut serving = pin!(http.serve_connection(HyperIo::new(stream), service));
    reiver::select! {
        // A peer that goes away in the middle of a request is its own affair.
        _ = serving.as_mut() => return,
        _ = ending.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

async fn answer(request: Request<Incoming>, address: SocketAddr) -> Reply {
    let query = request.uri().query().unwrap_or_default();
    let reply = match request.uri().path() {
        "/hello" => Ok(text("hello\n")),
        "/async" => {
            sleep(PAUSE).await;
            Ok(text("slept without a thread\n"))
        }
        "/bad" => {
            std::thread::sleep(BAD);
            Ok(text("blocked a worker\n"))
        }
        "/blocking" => {
            let job = spawn_blocking(|| std::thread::sleep(PAUSE));
            job.await.map(|()| text("blocked a thread of the pool\n")).map_err(Into::into)
        }
        "/cpu" => match count(query) {
            Ok(n) => {
                let job = spawn_blocking(move || sort_by_square(n));
                job.await.map(|median| text(&format!("median {median}\n"))).map_err(Into::into)
            }
            Err(why) => return status(StatusCode::BAD_REQUEST, &why),
        },
        #[cfg(target_os = "linux")]
        "/process" => match count(query) {
            Ok(n) => sort_by_square::offload(n)
                .await
                .map(|median| text(&format!("median {median}\n")))
                .map_err(Into::into),
            Err(why) => return status(StatusCode::BAD_REQUEST, &why),
        },
        #[cfg(target_os = "linux")]
        "/crash" => crash::offload().await.map(|()| text("survived\n")).map_err(Into::into),
        "/aggregate" => aggregate(address).await.map(|both| text(&both)),
        "/tasks" => Ok(html(tasks())),
        path => return status(StatusCode::NOT_FOUND, &format!("no such path: {path}\n")),
    };
    reply.unwrap_or_else(|error| status(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")))
}

fn count(query: &str) -> Result<usize, String> {
    match query.split('&').find_map(|pair| pair.strip_prefix("n=")) {
        None => Ok(100_000),
        Some(n) => match n.parse() {
            Ok(n @ 1..=MAX_N) => Ok(n),
            _ => Err(format!("n must be a number from 1 to {MAX_N}, not {n:?}\n")),
        },
    }
}

/// What no service survives in its own process.
#[cfg(target_os = "linux")]
#[reiver::offload]
fn crash() {
    std::process::abort()
}

/// Sorts `n` numbers by their square, and gives the middle one.
#[cfg_attr(target_os = "linux", reiver::offload)]
fn sort_by_square(n: usize) -> i64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut numbers: Vec<i64> = (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % 2_000_001) as i64 - 1_000_000
        })
        .collect();
    numbers.sort_unstable_by_key(|x| x * x);
    numbers[n / 2]
}

/// Both upstream requests at once.
async fn aggregate(address: SocketAddr) -> Fallible<String> {
    let (first, second) = reiver::try_join!(get(address, "/async"), get(address, "/blocking"))?;
    Ok(format!("{first}{second}"))
}

fn tasks() -> String {
    let runtime = Handle::current();
    let metrics = runtime.metrics();
    let mut page = String::from("<!doctype html><title>tasks</title><h1>Tasks</h1><table>\n");
    page.push_str("<tr><th>id<th>name<th>state<th>spawned at\n");
    for task in runtime.dump() {
        let name = task.name().unwrap_or("").replace('&', "&amp;").replace('<', "&lt;");
        let (id, state, place) = (task.id(), task.phase(), task.location());
        let _ = writeln!(page, "<tr><td>{id}<td>{name}<td>{state:?}<td>{place}");
    }
    page.push_str("</table><h1>Workers</h1><table>\n");
    page.push_str("<tr><th>worker<th>polls<th>parks<th>steals<th>busy\n");
    for worker in 0..metrics.num_workers() {
        let polls = metrics.worker_poll_count(worker);
        let parks = metrics.worker_park_count(worker);
        let steals = metrics.worker_steal_operations(worker);
        let busy = metrics.worker_total_busy_duration(worker);
        let _ = writeln!(page, "<tr><td>{worker}<td>{polls}<td>{parks}<td>{steals}<td>{busy:?}");
    }
    let (alive, spawned) = (metrics.num_alive_tasks(), metrics.spawned_tasks_count());
    let _ = writeln!(page, "</table><p>{alive} tasks alive of {spawned} spawned");
    page
}

fn text(body: &str) -> Reply {
    Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())))
}

fn html(body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    let kind = header::HeaderValue::from_static("text/html; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

fn status(status: StatusCode, body: &str) -> Reply {
    let mut reply = text(body);
    *reply.status_mut() = status;
    reply
}

// ---- the load ---------------------------------------------------------------------------------

struct Row {
    endpoint: &'static str,
    ok: usize,
    seconds: f64,
}

impl Row {
    fn per_second(&self) -> f64 {
        REQUESTS as f64 / self.seconds
    }
}

/// All requests at once, each over a connection of its own.
async fn load(address: SocketAddr, path: &'static str, endpoint: &'static str) -> Row {
    let start = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        requests.spawn(timeout(PATIENCE, get(address, path)));
    }
    let mut ok = 0;
    while let Some(answer) = requests.join_next().await {
        match answer {
            Ok(Ok(Ok(_))) => ok += 1,
            Ok(Ok(Err(error))) => eprintln!("service: {endpoint}: {error}"),
            Ok(Err(late)) => eprintln!("service: {endpoint}: {late}"),
            Err(panicked) => eprintln!("service: {endpoint}: {panicked}"),
        }
    }
    Row { endpoint, ok, seconds: start.elapsed().as_secs_f64() }
}

/// One request over a new connection.
async fn get(address: SocketAddr, path: &str) -> Fallible<String> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(HyperIo::new(stream)).await?;
    let driver = task::Builder::new().name("client connection").spawn(connection)?;
    let request =
        Request::get(path).header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let reply = sender.send_request(request).await?;
    let status = reply.status();
    let body = reply.into_body().collect().await?.to_bytes();
    drop(sender);
    driver.await??;
    if status != StatusCode::OK {
        return Err(format!("{path} answered {status}").into());
    }
    Ok(String::from_utf8(body.to_vec())?)
}

fn as_table(rows: &[Row]) -> String {
    let mut table = String::from(
        "endpoint              requests    ok   seconds   requests/s   the tutorial took\n",
    );
    for row in rows {
        let tutorial = match row.endpoint {
            "/async" => "1.05 s",
            "/blocking" => "10.23 s",
            "/hello with /bad" | "/async with /bad" | "/blocking with /bad" => {
                "as long as /bad: 5 s"
            }
            _ => "",
        };
        let (endpoint, ok, seconds) = (row.endpoint, row.ok, row.seconds);
        let per_second = row.per_second();
        let _ = writeln!(
            table,
            "{endpoint:<21} {REQUESTS:>8} {ok:>5} {seconds:>9.3} {per_second:>12.0}   {tutorial}"
        );
    }
    table
}

fn as_json(rows: &[Row]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let (endpoint, ok, seconds) = (row.endpoint, row.ok, row.seconds);
            let per_second = row.per_second();
            format!(
                "  {{\"endpoint\": \"{endpoint}\", \"requests\": {REQUESTS}, \"ok\": {ok}, \
                 \"seconds\": {seconds:.6}, \"per_second\": {per_second:.1}}}"
            )
        })
        .collect();
    format!("[\n{}\n]\n", rows.join(",\n"))
}
