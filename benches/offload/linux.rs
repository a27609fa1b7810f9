//! The cases.

use reiver::offload::{Blob, BlobMut, Builder, ProcessPool, Stdio};
use reiver::time::{MissedTickBehavior, interval};
use rustix::event::epoll;
use std::fmt::Display;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::task::Poll;
use std::time::{Duration, Instant};

#[reiver::offload]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[reiver::offload]
fn touch(blob: Blob) -> u64 {
    blob.iter().step_by(4096).map(|byte| u64::from(*byte)).sum()
}

#[reiver::offload]
fn length(blob: Blob) -> usize {
    blob.len()
}

#[reiver::offload]
fn pid() -> u32 {
    std::process::id()
}

#[reiver::offload]
fn abort() {
    std::process::abort()
}

#[reiver::offload]
fn forever() {
    loop {
        std::hint::spin_loop();
    }
}

/// Work of about so many microseconds.
#[reiver::offload]
fn work(us: u64) -> u64 {
    let start = Instant::now();
    let mut n = 0;
    while start.elapsed() < Duration::from_micros(us) {
        n += 1;
    }
    n
}

const ROUNDS: usize = 20_000;
const MIB64: usize = 64 << 20;

pub fn main() {
    if std::env::var_os("BENCH_ECHO").is_some() {
        return bare_echo();
    }
    if std::env::var_os("BENCH_PARENT").is_some() {
        return runtime().block_on(busy_parent());
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str()));
    let cases: [(&str, fn()); 8] = [
        ("trip", trip),
        ("rate", rate),
        ("large", large),
        ("start", start),
        ("failure", failure),
        ("orphans", orphans),
        ("ticker", ticker),
        ("break-even", break_even),
    ];
    for (name, case) in cases {
        if wants(name) {
            case();
        }
    }
}

fn row(what: &str, value: impl Display, note: impl Display) {
    println!("| {what} | {value} | {note} |");
}

fn us(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn runtime() -> reiver::runtime::Runtime {
    reiver::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn pool(workers: usize) -> ProcessPool {
    builder(workers).build()
}

fn builder(workers: usize) -> Builder {
    ProcessPool::builder().workers(workers).nice(0).stderr(Stdio::Null)
}

// ---- a round trip -----------------------------------------------------------------------------

async fn trips(pool: ProcessPool) -> Vec<Duration> {
    let mut times = Vec::new();
    for round in 0..ROUNDS / 4 + 200 {
        let bytes = vec![7; 100];
        let start = Instant::now();
        pool.run(echo::job(bytes)).await.unwrap();
        if round >= 200 {
            times.push(start.elapsed());
        }
    }
    times
}

/// From a task, as a service asks; and from the future of a `block_on`, whose thread is another than the worker's.
fn trip() {
    let mut ours = Vec::new();
    let mut roots = Vec::new();
    let mut bare = Vec::new();
    let runtime = runtime();
    let pool = runtime.block_on(async { pool(1) });
    for _ in 0..4 {
        bare.extend(bare_trips());
        ours.extend(runtime.block_on(runtime.spawn(trips(pool.clone()))).unwrap());
        roots.extend(runtime.block_on(trips(pool.clone())));
    }
    let (ours, roots, bare) = (median(ours), median(roots), median(bare));
    row("100 bytes there and back, p50", us(ours), "goal 15 µs");
    row("the same from the future of a `block_on`", us(roots), "");
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    row("a bare socket pair with epoll", us(bare), format!("ratio {ratio:.2}, goal 2"));
    if let Some([trip, _]) = python() {
        let ratio = trip.as_secs_f64() / ours.as_secs_f64();
        row(
            "Python's asyncio with a ProcessPoolExecutor",
            us(trip),
            format!("× {ratio:.1}, goal 7"),
        );
    }
}

/// The other end of the bare pair: this program, whose input is the socket.
fn bare_echo() {
    let mut socket =
        UnixStream::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).unwrap());
    let mut buf = [0; 4096];
    while let Ok(n @ 1..) = socket.read(&mut buf) {
        socket.write_all(&buf[..n]).unwrap();
    }
}

fn bare_trips() -> Vec<Duration> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut child = Command::new("/proc/self/exe")
        .env("BENCH_ECHO", "1")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&poller, &ours, epoll::EventData::new_u64(0), flags).unwrap();
    let mut events = Vec::with_capacity(8);
    let mut buf = [7; 4096];
    let mut times = Vec::new();
    for round in 0..ROUNDS / 4 + 200 {
        let start = Instant::now();
        ours.write_all(&buf[..132]).unwrap();
        loop {
            events.clear();
            epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), None).unwrap();
            if ours.read(&mut buf).is_ok() {
                break;
            }
        }
        if round >= 200 {
            times.push(start.elapsed());
        }
    }
    drop(ours);
    child.wait().unwrap();
    times
}

/// Python's round trip, and the time of one job of many.
fn python() -> Option<[Duration; 2]> {
    let script = r#"
import asyncio, time, statistics
from concurrent.futures import ProcessPoolExecutor
def echo(b): return b
async def main():
    loop = asyncio.get_running_loop()
    b = b"x" * 100
    with ProcessPoolExecutor(1) as pool:
        for _ in range(100): await loop.run_in_executor(pool, echo, b)
        times = []
        for _ in range(2000):
            start = time.perf_counter()
            await loop.run_in_executor(pool, echo, b)
            times.append(time.perf_counter() - start)
    with ProcessPoolExecutor(2) as pool:
        await asyncio.gather(*[loop.run_in_executor(pool, echo, b) for _ in range(100)])
        start = time.perf_counter()
        done = 0
        async def one():
            nonlocal done
            while done < 8000:
                done += 1
                await loop.run_in_executor(pool, echo, b)
        await asyncio.gather(*[one() for _ in range(16)])
        rate = (time.perf_counter() - start) / 8000
    print(statistics.median(times), rate)
if __name__ == "__main__":
    asyncio.run(main())
"#;
    let path = std::env::temp_dir().join(format!("reiver-bench-{}.py", std::process::id()));
    std::fs::write(&path, script).ok()?;
    let output = Command::new("python3").arg(&path).output();
    let _ = std::fs::remove_file(&path);
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
    let mut next = || Some(Duration::from_secs_f64(numbers.next()??));
    Some([next()?, next()?])
}

// ---- many jobs --------------------------------------------------------------------------------

fn rate() {
    let per_second = |one: Duration| format!("{:.0} /s", 1.0 / one.as_secs_f64());
    let (plain, single) = (rate_of(None, 2), rate_of(Some(1), 2));
    row("jobs, 2 workers, 16 outstanding", per_second(plain), "goal 100,000");
    row(
        "the same from a runtime with one worker",
        per_second(rate_of(None, 1)),
        "as Python's loop",
    );
    for depth in [2, 8] {
        row(&format!("the same with `depth({depth})`"), per_second(rate_of(Some(depth), 2)), "");
    }
    row("one at a time at a worker, `depth(1)`", per_second(single), "");
    row("`map` in chunks of 16", per_second(chunked()), "");
    if let Some([_, python]) = python() {
        let [a, b] = [plain, single].map(|one| python.as_secs_f64() / one.as_secs_f64());
        row("Python's", per_second(python), format!("× {a:.1} and × {b:.1}, goal 10"));
    }
}

/// A `map` over many jobs, in the caller's task.
fn chunked() -> Duration {
    runtime().block_on(async {
        let pool = pool(2);
        let jobs = 64_000_u32;
        let mut all = pool.map((0..jobs).map(|_| echo::job(vec![7; 100]))).chunks(16);
        all.next().await.unwrap().1.unwrap();
        let start = Instant::now();
        while let Some((_, result)) = all.next().await {
            result.unwrap();
        }
        start.elapsed() / jobs
    })
}

/// With the default `depth`, or another.
fn rate_of(depth: Option<usize>, threads: usize) -> Duration {
    let runtime = reiver::runtime::Builder::new_multi_thread().worker_threads(threads).build();
    let runtime = runtime.unwrap();
    let rates: Vec<Duration> = (0..5)
        .map(|_| {
            runtime.block_on(async {
                let mut pool = ProcessPool::builder().workers(2).nice(0);
                if let Some(depth) = depth {
                    pool = pool.depth(depth);
                }
                let pool = pool.build();
                pool.run(echo::job(vec![0; 100])).await.unwrap();
                let start = Instant::now();
                let jobs = 64_000_u32;
                let tasks: Vec<_> = (0..16)
                    .map(|_| {
                        let pool = pool.clone();
                        reiver::spawn(async move {
                            for _ in 0..jobs / 16 {
                                pool.run(echo::job(vec![7; 100])).await.unwrap();
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                start.elapsed() / jobs
            })
        })
        .collect();
    median(rates)
}

// ---- large values -----------------------------------------------------------------------------

fn large() {
    runtime().block_on(async {
        let pool = pool(1);
        let blob = Blob::from(vec![1; MIB64]);
        let mut copied = Vec::new();
        for _ in 0..12 {
            let start = Instant::now();
            assert_eq!(pool.run(touch::job(blob.clone())).await.unwrap(), (MIB64 / 4096) as u64);
            copied.push(start.elapsed());
        }
        row("64 MiB `Blob` to a worker that touches it", ms(median(copied)), "goal 25 ms");
        let mut shared = BlobMut::zeroed(MIB64).unwrap();
        shared.fill(1);
        let shared = shared.freeze().unwrap();
        // From a task, as the round trip: the thread in `block_on` is not the worker's.
        let hander = pool.clone();
        let passed = reiver::spawn(async move {
            let mut passed = Vec::new();
            for _ in 0..200 {
                let start = Instant::now();
                hander.run(length::job(shared.clone())).await.unwrap();
                passed.push(start.elapsed());
            }
            passed
        });
        let passed = median(passed.await.unwrap());
        row("the same built in shared memory, handed over", us(passed), "goal 50 µs");
        let bytes = vec![1; MIB64];
        let mut echoed = Vec::new();
        for _ in 0..5 {
            let bytes = bytes.clone();
            let start = Instant::now();
            pool.run(echo::job(bytes)).await.unwrap();
            echoed.push(start.elapsed());
        }
        row("64 MiB `Vec<u8>` there and back", ms(median(echoed)), "goal 120 ms");
    });
}

// ---- starts -----------------------------------------------------------------------------------

fn start() {
    let ballast = std::hint::black_box(vec![1_u8; 4 << 30]);
    runtime().block_on(async {
        // As in a program that has a pool, or has had one within the last second: there is a template.
        let other = pool(1);
        other.run(pid::job()).await.unwrap();
        reiver::time::sleep(Duration::from_millis(50)).await;
        let (mut ready, mut held, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        let mut alone = Vec::new();
        for _ in 0..30 {
            floor.push(first_byte());
            let direct = builder(1).template(false).build();
            let start = Instant::now();
            direct.run(pid::job()).await.unwrap();
            alone.push(start.elapsed());
            direct.close(Duration::from_secs(5)).await;

            let pool = pool(1);
            let start = Instant::now();
            let mut first = std::pin::pin!(pool.run(pid::job()));
            let polled = std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
            held.push(start.elapsed());
            // Ready, if this thread had no CPU meanwhile.
            let result = if let Poll::Ready(result) = polled { result } else { first.await };
            result.unwrap();
            ready.push(start.elapsed());
            pool.close(Duration::from_secs(5)).await;
        }
        let (ready, floor, bare) = (median(ready), median(floor), bare_start());
        let alone = median(alone);
        let what = "new pool to its first result, 4 GiB parent, by the template";
        row(what, ms(ready), "goal 1 ms");
        row("the same without one, as the first worker of a process", ms(alone), "");
        let more = ms(alone.saturating_sub(floor));
        let more = format!("a first worker's result takes {more} more");
        row("this program, to a byte from its first constructor", ms(floor), more);
        row("`/bin/true`, started and ended", ms(bare), "");
        row("the caller's poll of a start by the template", us(median(held)), "goal 200 µs");
    });
    drop(ballast);
}

/// Before all other constructors of this program: what no worker can be faster than.
extern "C" fn floor() {
    // SAFETY: a text that ends; what it gives is looked at for being there only.
    if !unsafe { libc::getenv(c"BENCH_FLOOR".as_ptr()) }.is_null() {
        // SAFETY: one byte that is there, and the end of the process.
        unsafe {
            libc::write(0, c"x".as_ptr().cast(), 1);
            libc::_exit(0)
        }
    }
}

#[used]
// SAFETY: the section is a table of such functions, in the order of the numbers.
#[unsafe(link_section = ".init_array.00001")]
static FLOOR: extern "C" fn() = floor;

/// From the start of this program to the first sign of it: the kernel's part and the loader's.
fn first_byte() -> Duration {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let start = Instant::now();
    let mut child = Command::new("/proc/self/exe")
        .env("BENCH_FLOOR", "1")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    ours.read_exact(&mut [0]).unwrap();
    let time = start.elapsed();
    child.wait().unwrap();
    time
}

/// What the system takes for the smallest dynamic program: no worker is faster. On a virtual machine most of it
/// is the loader's questions about the processor's caches, each of which leaves the guest.
fn bare_start() -> Duration {
    let one = |_| {
        let start = Instant::now();
        assert!(Command::new("/bin/true").status().unwrap().success());
        start.elapsed()
    };
    median((0..30).map(one).collect())
}

// ---- ends -------------------------------------------------------------------------------------

fn failure() {
    runtime().block_on(async {
        let pool = pool(1);
        pool.run(pid::job()).await.unwrap();
        let (mut crash, mut late, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..30 {
            pool.run(abort::job()).await.unwrap_err();
            let start = Instant::now();
            pool.run(pid::job()).await.unwrap();
            crash.push(start.elapsed());

            let limit = Duration::from_millis(20);
            let start = Instant::now();
            pool.run(forever::job().timeout(limit)).await.unwrap_err();
            late.push(start.elapsed().saturating_sub(limit));

            let running = pool.run(forever::job());
            let _ = reiver::time::timeout(Duration::from_millis(5), running).await;
            let start = Instant::now();
            pool.run(pid::job()).await.unwrap();
            dropped.push(start.elapsed());
        }
        row("crash until the next job is done", ms(median(crash)), "goal 2 ms");
        row("timeout: how late", ms(median(late)), "goal 5 ms");
        row("drop until the next job is done", ms(median(dropped)), "goal 5 ms");
    });
}

async fn busy_parent() {
    let pool = pool(2);
    println!("{}", pool.run(pid::job()).await.unwrap());
    pool.run(forever::job()).await.unwrap();
}

fn orphans() {
    let mut times = Vec::new();
    for _ in 0..10 {
        let mut parent = Command::new("/proc/self/exe")
            .env("BENCH_PARENT", "1")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(parent.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let worker: u32 = line.trim().parse().unwrap();
        std::thread::sleep(Duration::from_millis(10));
        let start = Instant::now();
        parent.kill().unwrap();
        let stat = format!("/proc/{worker}/stat");
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(start.elapsed() < Duration::from_secs(10), "worker {worker} lives on");
        }
        times.push(start.elapsed());
        parent.wait().unwrap();
    }
    row("parent killed: busy worker gone", ms(median(times)), "goal 50 ms");
}

fn ticker() {
    runtime().block_on(async {
        let workers = std::thread::available_parallelism().unwrap().get();
        let pool = ProcessPool::builder().workers(workers).build();
        let busy: Vec<_> =
            (0..workers).map(|_| reiver::spawn(pool.run(work::job(2_500_000)))).collect();
        reiver::time::sleep(Duration::from_millis(100)).await;
        let mut ticks = interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut late = Vec::new();
        for _ in 0..1500 {
            let due = ticks.tick().await;
            late.push(reiver::time::Instant::now().saturating_duration_since(due));
        }
        late.sort_unstable();
        let p99 = late[late.len() * 99 / 100];
        row("1 ms ticker beside workers on all CPUs, p99 late", ms(p99), "goal 5 ms");
        for job in busy {
            job.await.unwrap().unwrap();
        }
    });
}

// ---- which to take ----------------------------------------------------------------------------

/// Jobs a second of 2 at a time, by length: in tasks, on the thread pool, in processes.
fn break_even() {
    println!("| work of | in the task | spawn_blocking | offload |");
    runtime().block_on(async {
        let pool = pool(2);
        for us in [1, 10, 50, 100, 1000, 10_000] {
            let jobs = (400_000 / (us + 20)).clamp(20, 4000);
            let mut cells = Vec::new();
            for kind in 0..3 {
                let run = |jobs: u64| {
                    let pool = pool.clone();
                    async move {
                        for _ in 0..jobs {
                            match kind {
                                0 => drop(std::hint::black_box(work(us))),
                                1 => {
                                    reiver::task::spawn_blocking(move || work(us)).await.unwrap();
                                }
                                _ => drop(pool.run(work::job(us)).await.unwrap()),
                            }
                        }
                    }
                };
                run(20).await;
                let start = Instant::now();
                let (a, b) = (reiver::spawn(run(jobs / 2)), reiver::spawn(run(jobs / 2)));
                a.await.unwrap();
                b.await.unwrap();
                cells.push(format!("{:.0}", jobs as f64 / start.elapsed().as_secs_f64()));
            }
            row(&format!("{us} µs"), &cells[0], format!("{} | {}", cells[1], cells[2]));
        }
    });
}
