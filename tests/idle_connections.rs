//! Ten thousand connections that do nothing, held at once. It raises its limit of descriptors itself, and
//! prints what a connection costs:
//!
//! ```text
//! cargo build --release --example service; cargo test --release -p reiver --test idle_connections -- --ignored --nocapture
//! ```
//!
//! What the kernel holds for a socket is not in these numbers.

#[path = "support/service.rs"]
mod support;

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::TcpListener;
use reiver::runtime::Builder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::{Service, ask, connect, eventually, reply};

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

fn clients(count: usize, address: SocketAddr) -> Vec<TcpStream> {
    (0..count).map(|_| connect(address)).collect()
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
    let mut clients = clients(count, address);
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

#[test]
#[ignore = "holds 10,000 descriptors in each of two processes"]
fn the_service() {
    let _alone = alone();
    let count = room(1);
    let mut service = Service::start();
    let pid = service.process.id();
    // One for each connection, that of the question, and the service's own.
    let connections = || service.tasks() - 2;
    eventually("it is idle", || connections() == 0);
    let before = resident(pid);
    let mut clients = clients(count, service.address);
    eventually("all are accepted", || connections() == count);
    report("the HTTP service", count, before, resident(pid));
    for client in clients.iter_mut().step_by(100) {
        ask(client, "/hello");
        let (head, body) = reply(&mut BufReader::new(client));
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(body, "hello\n");
    }
    drop(clients);
    eventually("all are closed", || connections() == 0);
    service.interrupt();
    assert!(service.end().1.success());
}
