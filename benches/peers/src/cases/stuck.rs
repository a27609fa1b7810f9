//! Tasks that block or compute inside one poll, and what the others have of it: a client in another process asks an
//! echo server over 64 connections, one after the other or all at once, and notes how long each answer takes.

use super::net;
use crate::measure::{Figures, compute, percentile};
use crate::rt::Rt;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;

/// The client's process, and what to tell it.
struct Client {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What it saw while it asked for some time.
struct Seen {
    messages: f64,
    p99_us: f64,
    worst_us: f64,
}

impl Client {
    /// Connects it to an echo server on this runtime.
    fn start<R: Rt>() -> Self {
        let (listener, address) = net::listen();
        R::remote(R::echo(listener));
        let mut process = Command::new(std::env::current_exe().expect("Linux"))
            .args(["client", "latency", &address.to_string(), &CONNECTIONS.to_string(), "0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let orders = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, orders, answers }
    }

    fn order(&mut self, time: Duration, at_once: usize) {
        writeln!(self.orders, "{} {at_once}", time.as_millis()).expect("it listens");
    }

    fn answer(&mut self) -> Seen {
        let line = self.answers.next().expect("a line").expect("text");
        let mut numbers = line.split(' ').map(|n| n.parse().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        Seen { messages: next(), p99_us: next(), worst_us: next() }
    }

    /// Lets it ask for so long, on so many connections at once.
    fn ask(&mut self, time: Duration, at_once: usize) -> Seen {
        self.order(time, at_once);
        self.answer()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // This child alone, by its own handle.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The child's part: for each line, milliseconds and a number of connections, it asks for so long, on so many at
/// once, and says how it went.
pub fn client(streams: &mut [TcpStream]) {
    for line in std::io::stdin().lines() {
        let line = line.expect("text");
        let (time, at_once) = line.split_once(' ').expect("two numbers");
        let time = Duration::from_millis(time.parse().expect("a number"));
        let at_once: usize = at_once.parse().expect("a number");
        let mut waits = Vec::new();
        let begin = Instant::now();
        'asking: loop {
            for streams in streams.chunks_mut(at_once) {
                let asked = Instant::now();
                for stream in &mut *streams {
                    stream.write_all(&[7]).expect("the server reads");
                }
                for stream in streams {
                    stream.read_exact(&mut [0]).expect("the server answers");
                    waits.push(asked.elapsed());
                }
                if begin.elapsed() >= time {
                    break 'asking;
                }
            }
        }
        let (p99, worst) = (percentile(&mut waits, 99), percentile(&mut waits, 100));
        println!("{} {p99} {worst}", waits.len());
    }
}

/// Each of two workers gets a task that blocks it for five seconds.
pub fn blocked_5s<R: Rt>() -> Figures {
    const BLOCK: Duration = Duration::from_secs(5);
    let mut client = Client::start::<R>();
    client.ask(Duration::from_millis(300), 1);
    client.order(BLOCK, 1);
    (0..2).for_each(|_| R::remote(async { std::thread::sleep(BLOCK) }));
    let seen = client.answer();
    vec![("worst µs", seen.worst_us), ("p99 µs", seen.p99_us)]
}

/// Eight tasks that block for 50 ms again and again: how many times as long as without them a message takes, all
/// connections being asked at once, so that the server has as much to do as it can.
pub fn blockers_8<R: Rt>() -> Figures {
    const EACH: Duration = Duration::from_millis(50);
    let mut client = Client::start::<R>();
    client.ask(Duration::from_millis(300), CONNECTIONS);
    let before = client.ask(Duration::from_secs(1), CONNECTIONS);
    for _ in 0..8 {
        R::remote(async {
            loop {
                std::thread::sleep(EACH);
                R::yield_now().await;
            }
        });
    }
    client.ask(2 * EACH, CONNECTIONS);
    let during = client.ask(Duration::from_secs(1), CONNECTIONS);
    vec![("times", before.messages / during.messages), ("p99 µs", during.p99_us)]
}

/// A 1 ms tick beside two tasks that compute for 20 ms again and again.
pub fn spinners_2<R: Rt>() -> Figures {
    const TICKS: u32 = 500;
    for _ in 0..2 {
        R::remote(async {
            loop {
                compute(Duration::from_millis(20));
                R::yield_now().await;
            }
        });
    }
    let mut late = R::run(async {
        let mut late = Vec::new();
        while late.len() < TICKS as usize {
            let due = Instant::now() + Duration::from_millis(1);
            R::sleep(Duration::from_millis(1)).await;
            late.push(due.elapsed());
        }
        late
    });
    vec![("late p99 µs", percentile(&mut late, 99)), ("late p50 µs", percentile(&mut late, 50))]
}

/// A task spawns another and then blocks for 50 ms: when the other starts.
pub fn block_after_spawn<R: Rt>() -> Figures {
    let mut late: Vec<Duration> = (0..20)
        .map(|_| {
            let (started, start) = mpsc::channel();
            let spawned = R::run(async move {
                let spawned = Instant::now();
                R::detach(async move { started.send(Instant::now()).expect("it is waited for") });
                std::thread::sleep(Duration::from_millis(50));
                spawned
            });
            start.recv().expect("it starts").duration_since(spawned)
        })
        .collect();
    vec![("late p50 µs", percentile(&mut late, 50)), ("late max µs", percentile(&mut late, 100))]
}
