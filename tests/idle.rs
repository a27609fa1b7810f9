//! Ten thousand connections that do nothing, held at once. It raises its limit of descriptors itself, and
//! prints what a connection costs:
//!
//! ```text
//! cargo test --release --test idle --example service -- --ignored --nocapture
//! ```
//!
//! What the kernel holds for a socket is not in these numbers.

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::TcpListener;
use reiver::runtime::Builder;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 10_000;

/// Makes room for `count` descriptors and some more; children have it too. `false`: the system does not
/// let it.
fn raise_limit(count: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let wanted = count as u64 + 500;
    if limit.current.is_none_or(|soft| soft >= wanted) {
        return true;
    }
    // Root may go beyond the hard limit.
    let maximum = limit.maximum.map(|hard| hard.max(wanted));
    let raised = Rlimit { current: Some(wanted), maximum };
    let done = setrlimit(Resource::Nofile, raised).is_ok();
    if !done {
        println!("skipped: the hard limit of descriptors is {:?}", limit.maximum);
    }
    done
}

/// The memory of a process that is in RAM, in bytes. (`VmRSS`: what was touched, not what was asked for.)
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kilobytes = status.split("VmRSS:").nth(1).and_then(|rest| rest.split_whitespace().next());
    kilobytes.unwrap().parse::<usize>().unwrap() * 1024
}

fn report(what: &str, before: usize, after: usize) {
    let each = after.saturating_sub(before) / CONNECTIONS;
    println!("{what}: {CONNECTIONS} idle connections, {each} bytes of memory each");
}

fn connect(address: SocketAddr) -> Vec<TcpStream> {
    let connect = |_| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    };
    (0..CONNECTIONS).map(connect).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "holds 20,000 descriptors"]
fn tasks_that_read() {
    if !raise_limit(2 * CONNECTIONS) {
        return;
    }
    let runtime = Builder::new_multi_thread().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let before = resident(std::process::id());
    runtime.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            reiver::spawn(async move {
                while let Ok(byte) = stream.read_u8().await {
                    stream.write_u8(byte).await.unwrap();
                }
            });
        }
    });
    let mut clients = connect(address);
    let metrics = runtime.metrics();
    eventually("all are accepted", || metrics.num_alive_tasks() == CONNECTIONS + 1);
    report("a task that reads", before, resident(std::process::id()));
    for (n, client) in clients.iter_mut().enumerate().step_by(100) {
        client.write_all(&[n as u8]).unwrap();
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [n as u8]);
    }
    drop(clients);
    eventually("all have ended", || metrics.num_alive_tasks() == 1);
}

#[test]
#[ignore = "holds 10,000 descriptors in each of two processes"]
fn the_service() {
    if !raise_limit(CONNECTIONS) {
        return;
    }
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/service");
    let mut service = Command::new(program)
        .args(["--serve", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo build --example service");
    let mut line = String::new();
    let mut output = BufReader::new(service.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    let pid = service.id();
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let (before, few) = (resident(pid), descriptors());
    let mut clients = connect(address.parse().unwrap());
    eventually("all are accepted", || descriptors() == few + CONNECTIONS);
    report("the HTTP service", before, resident(pid));
    for client in clients.iter_mut().step_by(100) {
        client.write_all(b"GET /hello HTTP/1.1\r\nhost: it\r\n\r\n").unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
    drop(clients);
    eventually("all are closed", || descriptors() == few);
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::INT).unwrap();
    assert!(service.wait().unwrap().success());
}
