//! Ten thousand connections that do nothing, held at once. It raises its limit of descriptors itself, and
//! prints what a connection costs:
//!
//! ```text
//! cargo build --release --example service; cargo test --release -p reiver --test idle_connections -- --ignored --nocapture
//! ```
//!
//! What the kernel holds for a socket is not in these numbers.

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::TcpListener;
use reiver::runtime::Builder;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 10_000;

/// The limit of descriptors is the process's, so its tests come one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises the limit of descriptors as far as is needed and allowed; children have it too. Gives how many
/// connections there can be, with `each` descriptors for one in this process.
fn room(each: usize) -> usize {
    const OTHERS: usize = 500;
    let wanted = (each * CONNECTIONS + OTHERS) as u64;
    let limit = getrlimit(Resource::Nofile);
    let set = |soft: u64, hard| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: hard }).is_ok()
    };
    let short = |limit: Option<u64>| limit.is_some_and(|limit| limit < wanted);
    // Beyond the hard limit only a privileged process comes.
    if short(limit.current) && !set(wanted, limit.maximum.map(|hard| hard.max(wanted))) {
        assert!(set(limit.maximum.unwrap_or(wanted), limit.maximum));
    }
    let allowed = getrlimit(Resource::Nofile).current.map_or(wanted, |soft| soft.min(wanted));
    let room = (allowed as usize - OTHERS) / each;
    if room < CONNECTIONS {
        println!("{room} connections only: the hard limit of descriptors is {allowed}");
    }
    room
}

/// The memory of a process that is in RAM, in bytes. (`VmRSS`: what was touched, not what was asked for.)
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kilobytes = status.split("VmRSS:").nth(1).and_then(|rest| rest.split_whitespace().next());
    kilobytes.unwrap().parse::<usize>().unwrap() * 1024
}

fn report(what: &str, count: usize, before: usize, after: usize) {
    let each = after.saturating_sub(before) / count;
    println!("{what}: {count} idle connections, {each} bytes of memory each");
}

fn connect(count: usize, address: SocketAddr) -> Vec<TcpStream> {
    let connect = |_| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    };
    (0..count).map(connect).collect()
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
    let _alone = alone();
    let count = room(2);
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
    let mut clients = connect(count, address);
    let metrics = runtime.metrics();
    eventually("all are accepted", || metrics.num_alive_tasks() == count + 1);
    report("a task that reads", count, before, resident(std::process::id()));
    for (n, client) in clients.iter_mut().enumerate().step_by(100) {
        client.write_all(&[n as u8]).unwrap();
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [n as u8]);
    }
    drop(clients);
    eventually("all have ended", || metrics.num_alive_tasks() == 1);
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "holds 10,000 descriptors in each of two processes"]
fn the_service() {
    let _alone = alone();
    let count = room(1);
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/service");
    let mut service = Running(
        Command::new(program)
            .args(["--serve", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo build --example service"),
    );
    let mut line = String::new();
    let mut output = BufReader::new(service.0.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let hello = |client: &mut TcpStream| {
        client.write_all(b"GET /hello HTTP/1.1\r\nhost: it\r\n\r\n").unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    };
    let pid = service.0.id();
    // Its page of tasks ends with a line that says how many live: one for each connection.
    let connections = || {
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        write!(stream.get_mut(), "GET /tasks HTTP/1.1\r\nhost: it\r\n\r\n").unwrap();
        let line = stream.lines().map(Result::unwrap).find(|line| line.contains(" tasks alive"));
        let line = line.unwrap();
        let alive = line.split("<p>").nth(1).and_then(|rest| rest.split(' ').next());
        alive.unwrap().parse::<usize>().unwrap() - 1
    };
    eventually("it is idle", || connections() == 0);
    let before = resident(pid);
    let mut clients = connect(count, address);
    eventually("all are accepted", || connections() == count);
    report("the HTTP service", count, before, resident(pid));
    clients.iter_mut().step_by(100).for_each(hello);
    drop(clients);
    eventually("all are closed", || connections() == 0);
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::INT).unwrap();
    assert!(service.0.wait().unwrap().success());
}
