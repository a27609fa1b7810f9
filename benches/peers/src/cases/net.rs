//! An echo server in this process, and its client in a child, so that the CPU time measured is the
//! server's alone.
//!
//! The client is one thread with blocking sockets, the same for all: it writes to every connection,
//! then reads from every connection.

use crate::measure::{Figures, Stopwatch};
use crate::rt::Rt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

const MESSAGE: usize = 64;

fn echo<R: Rt>(connections: usize, rounds: usize) -> Figures {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    R::remote(R::echo(listener));
    let mut client = Command::new(std::env::current_exe().expect("Linux"))
        .args(["client", &address, &connections.to_string(), &rounds.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(client.stdout.take().expect("piped")).lines();
    let mut expect = |line: &str| assert_eq!(lines.next().expect("a line").expect("text"), line);
    expect("connected");
    let watch = Stopwatch::start();
    expect("done");
    let figures = watch.per_op(connections * rounds);
    assert!(client.wait().expect("a child").success());
    figures
}

/// The child's part.
pub fn client(address: &str, connections: usize, rounds: usize) {
    let connect = |_| {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        stream
    };
    let mut streams: Vec<TcpStream> = (0..connections).map(connect).collect();
    let mut round = |fill: u8| {
        let mut buffer = [0; MESSAGE];
        for stream in &mut streams {
            stream.write_all(&[fill; MESSAGE]).expect("the server reads");
        }
        for stream in &mut streams {
            stream.read_exact(&mut buffer).expect("the server answers");
            assert_eq!(buffer, [fill; MESSAGE]);
        }
    };
    (0..10).for_each(&mut round);
    println!("connected");
    (0..rounds).for_each(|n| round(n as u8));
    println!("done");
}

pub fn echo_1<R: Rt>() -> Figures {
    echo::<R>(1, 6000)
}

pub fn echo_16<R: Rt>() -> Figures {
    echo::<R>(16, 1000)
}

pub fn echo_64<R: Rt>() -> Figures {
    echo::<R>(64, 400)
}
