//! `examples/service.rs` as a process, and the HTTP that its clients speak.
//!
//! The clients are on std's sockets, so that nothing of reiver tests itself.

#![allow(dead_code)] // each test binary uses its part

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No answer takes this long, on the slowest machine; what does is a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `cargo test` builds the examples beside the tests.
pub fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/service");
    assert!(path.exists(), "{} is missing: cargo build --example service", path.display());
    path
}

pub struct Service {
    pub process: Child,
    output: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Service {
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// As [`start`](Self::start), with something more said to the process.
    pub fn start_with(set: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program());
        command.args(["--serve", "127.0.0.1:0"]).stdout(Stdio::piped());
        set(&mut command);
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(';').next());
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        Self { process, output, address }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// The reply to one request over a connection of its own: head and body.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = self.connect();
        ask(&mut stream, path);
        reply(&mut BufReader::new(stream))
    }

    /// Its open descriptors, by what they lead to: each socket and pipe has a name of its own.
    pub fn descriptors(&self) -> BTreeSet<PathBuf> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap();
        // One that is closed between the listing and the look is not open.
        entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
    }

    /// How many tasks live, the service's own and that of the question counted in.
    pub fn tasks(&self) -> usize {
        let page = self.get("/tasks").1;
        let line = page.split("<p>").nth(1).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    }

    pub fn interrupt(&self) {
        kill_process(Pid::from_child(&self.process), Signal::INT).unwrap();
    }

    /// What it prints from here on, and how it ends.
    pub fn end(&mut self) -> (String, ExitStatus) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (rest, self.process.wait().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn ask(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: it\r\n\r\n").unwrap();
}

/// Waits for what another process does by itself.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// One reply of a connection that may go on.
pub fn reply(stream: &mut impl BufRead) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
    }
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}
