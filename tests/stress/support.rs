//! What the parts share: rounds with a seed and a watchdog, counted drops, ways to wait.

// std's own lock is invisible to ThreadSanitizer: std was compiled without it.
use parking_lot::Mutex;
use reiver::runtime::{Builder, Runtime};
use std::cell::RefCell;
use std::future::Future;
use std::io::{Write, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many tests share the time.
pub const TESTS: u32 = 17;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Repeats `round` until this test's share of the time is over.
pub fn rounds(round: impl Fn(&mut Rng)) {
    let seconds = variable("REIVER_STRESS_SECONDS").unwrap_or(2);
    let time = Duration::from_secs(seconds) / TESTS;
    let fixed = variable("REIVER_STRESS_SEED");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut seeds = Rng(now.as_nanos() as u64 | 1);
    let watchdog = Watchdog::start();
    let start = Instant::now();
    loop {
        let seed = fixed.unwrap_or_else(|| seeds.next() >> 16);
        watchdog.begin(seed);
        let result = catch_unwind(AssertUnwindSafe(|| round(&mut Rng::new(seed))));
        if let Err(panic) = result {
            eprintln!("failed with REIVER_STRESS_SEED={seed}");
            resume_unwind(panic);
        }
        if start.elapsed() >= time {
            return;
        }
    }
}

/// Ends the process if a round hangs.
struct Watchdog {
    /// The round's number, 0 when all are over, and its seed.
    round: Arc<(AtomicU64, AtomicU64)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watchdog {
    fn start() -> Self {
        let limit = Duration::from_secs(variable("REIVER_STRESS_HANG_SECONDS").unwrap_or(120));
        let round = Arc::new((AtomicU64::new(1), AtomicU64::new(0)));
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        let seen = round.clone();
        let thread = std::thread::spawn(move || {
            let (mut last, mut deadline) = (0, Instant::now());
            loop {
                let now = seen.0.load(SeqCst);
                if now == 0 {
                    return;
                }
                if now != last {
                    (last, deadline) = (now, Instant::now() + limit);
                } else if Instant::now() >= deadline {
                    // Not by `eprintln!`, which the test harness would keep for itself.
                    let seed = seen.1.load(SeqCst);
                    let _ = writeln!(stderr(), "{test} hangs, with REIVER_STRESS_SEED={seed}");
                    std::process::abort();
                }
                std::thread::park_timeout(limit / 8);
            }
        });
        Self { round, thread: Some(thread) }
    }

    fn begin(&self, seed: u64) {
        self.round.1.store(seed, SeqCst);
        self.round.0.fetch_add(1, SeqCst);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.round.0.store(0, SeqCst);
        let thread = self.thread.take().unwrap();
        thread.thread().unpark();
        thread.join().unwrap();
    }
}

/// Threads that may borrow, as [`std::thread::scope`] has them. Each is joined: what std uses instead
/// at the end of a scope is invisible to ThreadSanitizer.
pub fn scope<'env, R>(f: impl for<'scope> FnOnce(&Scope<'scope, 'env>) -> R) -> R {
    std::thread::scope(|inner| {
        let scope = Scope { inner, threads: RefCell::default() };
        let result = f(&scope);
        for thread in scope.threads.into_inner() {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
        result
    })
}

pub struct Scope<'scope, 'env> {
    inner: &'scope std::thread::Scope<'scope, 'env>,
    threads: RefCell<Vec<std::thread::ScopedJoinHandle<'scope, ()>>>,
}

impl<'scope> Scope<'scope, '_> {
    pub fn spawn(&self, f: impl FnOnce() + Send + 'scope) {
        self.threads.borrow_mut().push(self.inner.spawn(f));
    }
}

/// Random numbers: xorshift64*.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 32) as usize * limit) >> 32
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Another generator, for a task or a thread.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// A runtime with 1, 2 or 4 workers.
    pub fn workers(&mut self) -> Runtime {
        let workers = 1 << self.below(3);
        Builder::new_multi_thread().worker_threads(workers).build().unwrap()
    }

    /// Such a runtime, or a current-thread runtime.
    pub fn runtime(&mut self) -> Runtime {
        match self.below(4) {
            0 => Builder::new_current_thread().build().unwrap(),
            _ => self.workers(),
        }
    }
}

/// Counts what it gave out and what was dropped.
#[derive(Clone, Default)]
pub struct Tally(Arc<(AtomicUsize, AtomicUsize)>);

impl Tally {
    pub fn one(&self) -> Counted {
        self.0.0.fetch_add(1, SeqCst);
        Counted(self.clone())
    }

    pub fn live(&self) -> usize {
        let dropped = self.0.1.load(SeqCst);
        let made = self.0.0.load(SeqCst);
        made.checked_sub(dropped).expect("something was dropped twice")
    }

    /// Waits until everything was dropped: for ends that nobody can wait for in another way.
    pub fn wait_for_none(&self) {
        while self.live() > 0 {
            std::thread::yield_now();
        }
    }

    #[track_caller]
    pub fn assert_none(&self) {
        assert_eq!(self.live(), 0, "not dropped");
    }
}

/// Something of a [`Tally`].
pub struct Counted(Tally);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, SeqCst);
    }
}

/// A future that ends when told to, from any thread. It may have many owners, and the last to poll it
/// is woken.
#[derive(Clone, Default)]
pub struct Signal(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Signal {
    pub fn set(&self) {
        self.0.0.store(true, SeqCst);
        self.wake();
    }

    /// Wakes without a reason.
    pub fn wake(&self) {
        let waker = self.0.1.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn waker(&self) -> Option<Waker> {
        self.0.1.lock().clone()
    }
}

impl Future for Signal {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.0.1.lock().replace(cx.waker().clone());
        drop(before);
        if self.0.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Ends when it was counted down, for one waiter.
#[derive(Clone)]
pub struct Latch(Arc<AtomicUsize>, Signal);

impl Latch {
    pub fn new(count: usize) -> Self {
        let latch = Self(Arc::new(AtomicUsize::new(count)), Signal::default());
        if count == 0 {
            latch.1.set();
        }
        latch
    }

    pub fn down(&self) {
        let before = self.0.fetch_sub(1, SeqCst);
        assert!(before > 0, "counted down more often than it was to be");
        if before == 1 {
            self.1.set();
        }
    }

    pub async fn wait(&self) {
        self.1.clone().await;
    }
}
