//! A server in this process, and its client in a child, so that the CPU time measured is the server's alone.
//!
//! The client is one thread with blocking sockets, the same for all: it writes to every connection,
//! then reads from every connection.

use super::{Case, epoll};
use crate::calls::Calls;
use crate::measure::{Figures, Stopwatch, resident};
use crate::rt::{HELLO, Rt};
use std::future::Future;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const MESSAGE: usize = 64;

/// Connections and rounds of the echo cases.
pub const ECHO_1: (usize, usize) = (1, 6000);
pub const ECHO_16: (usize, usize) = (16, 1000);
pub const ECHO_64: (usize, usize) = (64, 400);
pub const ECHO_1000: (usize, usize) = (1000, 25);

/// A listener, and what runs on it, at this address, until the client of this kind is done.
fn serve<R: Rt>(
    server: impl Future<Output = ()> + Send + 'static,
    address: SocketAddr,
    kind: &str,
    size: (usize, usize),
) -> Figures {
    let before = resident();
    R::remote(server);
    measure(address, kind, size, before)
}

/// What the client of this kind costs this process, whose server listens; and how many bytes more there are
/// than before.
fn measure(address: SocketAddr, kind: &str, size: (usize, usize), before: f64) -> Figures {
    let client = Client::connect(address, kind, size);
    let calls = Calls::start(std::process::id());
    let watch = Stopwatch::start();
    let memory = (resident() - before) / size.0 as f64;
    client.run();
    let messages = (size.0 * size.1).max(1);
    if let Some(calls) = calls {
        // Each was counted by an interrupt: the times are not worth anything.
        return vec![("calls", calls.stop() / messages as f64)];
    }
    let mut figures = watch.per_op(messages);
    figures.push(("bytes", memory));
    figures
}

/// The client's process.
pub struct Client {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Comes back when it has its connections.
    pub fn connect(address: SocketAddr, kind: &str, (connections, rounds): (usize, usize)) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("Linux"))
            .args(["client", kind, &address.to_string()])
            .args([connections.to_string(), rounds.to_string()])
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut this = Self { child, lines };
        this.expect("connected");
        this
    }

    /// All its rounds.
    pub fn run(mut self) {
        // Now it goes on.
        drop(self.child.stdin.take());
        self.expect("done");
        assert!(self.child.wait().expect("a child").success());
    }

    fn expect(&mut self, line: &str) {
        assert_eq!(self.lines.next().expect("a line").expect("text"), line);
    }
}

pub fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    // std's queue of 128 is too short for clients that connect faster than a busy machine accepts.
    // SAFETY: a call on a descriptor that is open.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 4096) }, 0);
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// The times without the memory.
fn times(mut figures: Figures) -> Figures {
    figures.truncate(2);
    figures
}

fn echo<R: Rt>(size: (usize, usize)) -> Figures {
    let (listener, address) = listen();
    serve::<R>(R::echo(listener), address, "tcp", size)
}

pub fn echo_1<R: Rt>() -> Figures {
    times(echo::<R>(ECHO_1))
}

pub fn echo_16<R: Rt>() -> Figures {
    times(echo::<R>(ECHO_16))
}

pub fn echo_64<R: Rt>() -> Figures {
    times(echo::<R>(ECHO_64))
}

pub fn echo_1000<R: Rt>() -> Figures {
    times(echo::<R>(ECHO_1000))
}

/// The same on a bare epoll loop.
fn bare(size: (usize, usize)) -> Figures {
    let (listener, address) = listen();
    std::thread::spawn(|| epoll::echo(listener));
    times(measure(address, "tcp", size, 0.0))
}

pub const BARE: &[Case] = &[
    ("echo_1", || bare(ECHO_1)),
    ("echo_16", || bare(ECHO_16)),
    ("echo_64", || bare(ECHO_64)),
    ("echo_1000", || bare(ECHO_1000)),
];

pub fn memory_connection<R: Rt>() -> Figures {
    echo::<R>((4000, 0)).split_off(2)
}

pub fn udp_echo<R: Rt>() -> Figures {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let address = socket.local_addr().expect("bound");
    times(serve::<R>(R::udp_echo(socket), address, "udp", (16, 1000)))
}

pub fn http_keep_alive<R: Rt>() -> Figures {
    let (listener, address) = listen();
    times(serve::<R>(R::http(listener), address, "http", (64, 300)))
}

/// A connection for every request.
pub fn http_churn<R: Rt>() -> Figures {
    let (listener, address) = listen();
    times(serve::<R>(R::http(listener), address, "churn", (16, 200)))
}

/// The child's part: says when all is prepared, waits for the end of its input, and says when it is done.
pub fn client(kind: &str, address: &str, connections: usize, rounds: usize) {
    let connect = |_| {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        stream
    };
    let open = || (0..connections).map(connect).collect::<Vec<_>>();
    match kind {
        "tcp" => {
            let mut streams = open();
            run(rounds, |fill| messages(&mut streams, fill));
        }
        "udp" => {
            let bind = |_| {
                let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
                socket.connect(address).expect("an address");
                socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
                socket
            };
            let sockets: Vec<_> = (0..connections).map(bind).collect();
            run(rounds, |fill| datagrams(&sockets, fill));
        }
        "http" => {
            let mut streams = open();
            run(rounds, |_| requests(&mut streams, "keep-alive"));
        }
        "churn" => run(rounds, |_| {
            let mut streams = open();
            requests(&mut streams, "close");
            for stream in &mut streams {
                assert_eq!(stream.read(&mut [0]).expect("the server closes"), 0);
            }
        }),
        "latency" => super::stuck::client(&mut open()),
        _ => panic!("no such client"),
    }
}

fn run(rounds: usize, mut round: impl FnMut(u8)) {
    (0..10).for_each(&mut round);
    println!("connected");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
    (0..rounds).for_each(|n| round(n as u8));
    println!("done");
}

fn messages(streams: &mut [TcpStream], fill: u8) {
    let mut buffer = [0; MESSAGE];
    for stream in &mut *streams {
        stream.write_all(&[fill; MESSAGE]).expect("the server reads");
    }
    for stream in streams {
        stream.read_exact(&mut buffer).expect("the server answers");
        assert_eq!(buffer, [fill; MESSAGE]);
    }
}

fn datagrams(sockets: &[UdpSocket], fill: u8) {
    let mut buffer = [0; 2 * MESSAGE];
    for socket in sockets {
        socket.send(&[fill; MESSAGE]).expect("there is room");
    }
    for socket in sockets {
        let n = socket.recv(&mut buffer).expect("nothing is lost within a machine");
        assert_eq!(buffer[..n], [fill; MESSAGE]);
    }
}

fn requests(streams: &mut [TcpStream], connection: &str) {
    let request = format!("GET / HTTP/1.1\r\nhost: bench\r\nconnection: {connection}\r\n\r\n");
    for stream in &mut *streams {
        stream.write_all(request.as_bytes()).expect("the server reads");
    }
    let mut buffer = [0; 1024];
    for stream in streams {
        let mut n = 0;
        while !buffer[..n].ends_with(HELLO.as_bytes()) {
            let more = stream.read(&mut buffer[n..]).expect("the server answers");
            assert!(more > 0, "the server ends early");
            n += more;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}
