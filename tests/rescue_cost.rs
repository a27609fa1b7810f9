//! What the monitor costs: nothing while all sleep, and little else.
//!
//! ```text
//! cargo test --release --test rescue_cost -- --ignored --nocapture --test-threads 1
//! ```

use reiver::io::{AsyncReadExt, AsyncWriteExt};
use reiver::net::{TcpListener, TcpStream};
use reiver::runtime::{Builder, Rescue, Runtime};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

fn runtime(rescue: Rescue) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).rescue(rescue).on_slow_poll(|slow| println!("{slow}"));
    builder.build().unwrap()
}

/// What the system says of this process's monitors, as far as they have their name yet.
#[cfg(target_os = "linux")]
fn monitors() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread that ends meanwhile is another one.
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok())
        .filter(|status| status.contains("Name:\treiver-monitor"))
        .collect()
}

/// How often the monitor's thread has gone to sleep. `None`: there is none.
#[cfg(target_os = "linux")]
fn sleeps_of_the_monitor() -> Option<u64> {
    let status = monitors().pop()?;
    let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Some(switches.unwrap().trim().parse().unwrap())
}

/// The only test here that is not ignored, so that its runtime is the only one of this process.
#[cfg(target_os = "linux")]
#[test]
fn the_monitor_sleeps_while_all_sleep_and_is_there_when_they_wake() {
    let runtime = runtime(Rescue::On);
    let deadline = Instant::now() + SOON;
    for _ in 0..3 {
        loop {
            let before = sleeps_of_the_monitor();
            // Longer than the longest time between two of its looks.
            std::thread::sleep(Duration::from_millis(400));
            if before.is_some() && sleeps_of_the_monitor() == before {
                break;
            }
            assert!(Instant::now() < deadline, "it does not doze");
        }
        // It dozes, and is roused: both workers block, and somebody else goes on.
        let before = runtime.metrics().rescues_count();
        let (begin, begun) = mpsc::channel();
        let doors: Vec<_> = (0..2)
            .map(|_| {
                let (door, closed) = mpsc::channel::<()>();
                let begin = begin.clone();
                runtime.spawn(async move {
                    begin.send(()).unwrap();
                    closed.recv().unwrap_or(())
                });
                begun.recv_timeout(SOON).unwrap();
                door
            })
            .collect();
        let (send, receive) = mpsc::channel();
        runtime.spawn(async move { send.send(()).unwrap() });
        receive.recv_timeout(SOON).expect("it was roused");
        // One of the two is enough for the third to run.
        assert!(runtime.metrics().rescues_count() > before);
        drop(doors);
    }
    // One for all runtimes, and none when they are gone.
    let others = [self::runtime(Rescue::On), self::runtime(Rescue::Warn)];
    assert_eq!(monitors().len(), 1);
    drop((runtime, others));
    while !monitors().is_empty() {
        assert!(Instant::now() < deadline, "it stays for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    // And then another.
    let runtime = self::runtime(Rescue::On);
    let deadline = Instant::now() + SOON;
    while monitors().len() != 1 {
        assert!(Instant::now() < deadline, "none has come");
        std::thread::yield_now();
    }
    drop(runtime);
}

/// One connection that is always busy, for `time`. Gives the messages.
fn echo(runtime: &Runtime, time: Duration) -> u64 {
    let task = runtime.spawn(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = reiver::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..n]).await.unwrap();
            }
        });
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let start = Instant::now();
        let mut messages = 0;
        while start.elapsed() < time {
            stream.write_all(b"0123456789").await.unwrap();
            stream.read_exact(&mut [0; 10]).await.unwrap();
            messages += 1;
        }
        drop(stream);
        server.await.unwrap();
        messages
    });
    runtime.handle().block_on(task).unwrap()
}

struct Busy(Vec<Child>);

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// `RESCUE_SECONDS` of it; 60 by default.
#[test]
#[ignore = "keeps the machine busy for a minute"]
fn a_busy_machine_is_no_reason_for_a_rescue() {
    let seconds = std::env::var("RESCUE_SECONDS").map_or(60, |text| text.parse().unwrap());
    let busy =
        (0..6).map(|_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    let _busy = Busy(busy.collect());
    let runtime = runtime(Rescue::On);
    let messages = echo(&runtime, Duration::from_secs(seconds));
    let rescues = runtime.metrics().rescues_count();
    println!("{messages} messages, {rescues} rescues");
    assert_eq!(rescues, 0);
}

fn yields(runtime: &Runtime) -> f64 {
    const YIELDS: u32 = 2_000_000;
    let task = runtime.spawn(async {
        let start = Instant::now();
        for _ in 0..YIELDS {
            reiver::task::yield_now().await;
        }
        start.elapsed().as_nanos() as f64 / f64::from(YIELDS)
    });
    runtime.handle().block_on(task).unwrap()
}

/// The CPU time of this process until now.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// At most 1 ns a poll and 2 % of the CPU time of a message.
#[test]
#[ignore = "a measurement, for a machine with nothing else to do"]
fn the_cost_of_on_against_off() {
    let mut best = [(f64::MAX, f64::MAX); 2];
    for _ in 0..7 {
        for (mode, best) in [Rescue::Off, Rescue::On].into_iter().zip(&mut best) {
            let runtime = runtime(mode);
            best.0 = best.0.min(yields(&runtime));
            let before = cpu();
            let messages = echo(&runtime, Duration::from_millis(500));
            best.1 = best.1.min((cpu() - before).as_nanos() as f64 / messages as f64);
        }
    }
    let [off, on] = best;
    println!("a poll: {:.2} ns off, {:.2} ns on", off.0, on.0);
    println!("CPU time of a message: {:.0} ns off, {:.0} ns on", off.1, on.1);
    assert!(on.0 <= off.0 + 1.0 && on.1 <= 1.02 * off.1);
}
