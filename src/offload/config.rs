//! How a pool is set up.

use super::job::{Call, Job};
use super::page;
use super::pool::ProcessPool;
use crate::primitive;
use crate::runtime::Handle;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The page that both sides have is announced by a message, as any memory.
const LEAST_MESSAGE: u64 = page::SIZE as u64;
/// Variables that workers get from our environment, besides those that were asked for: where programs and
/// temporary files are, the language, and what libraries, backtraces, logs and coverage need.
const PASSED: [&str; 18] = [
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LC_NUMERIC",
    "LC_TIME",
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_LOG",
    "LLVM_PROFILE_FILE",
    "ASAN_OPTIONS",
    "TSAN_OPTIONS",
];

/// What becomes of workers' output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stdio {
    /// It goes where ours goes.
    Inherit,
    /// It is dropped. (The end of the error output is in the errors all the same.)
    Null,
}

/// Faults on purpose, for tests of programs that use a pool. Probabilities are in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chaos {
    /// The worker is killed when it has just got the job.
    pub kill: u32,
    /// The message to the worker is damaged, so that it ends.
    pub garble: u32,
    /// The job is delayed by `delay_by`.
    pub delay: u32,
    /// For how long.
    pub delay_by: Duration,
}

/// Sets up a [`ProcessPool`].
///
/// # Examples
///
/// ```
/// use reiver::offload::ProcessPool;
/// use std::time::Duration;
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let pool = ProcessPool::builder()
///     .workers(2)
///     .memory(1 << 30)
///     .timeout(Duration::from_secs(30))
///     .recycle_after(1000)
///     .build();
/// # drop(pool);
/// # });
/// ```
#[derive(Clone)]
#[must_use = "`build` makes the pool"]
pub struct Builder {
    pub(super) workers: usize,
    pub(super) min_workers: usize,
    pub(super) depth: usize,
    pub(super) max_queued: usize,
    pub(super) max_queued_bytes: usize,
    pub(super) max_message: u64,
    pub(super) idle_timeout: Duration,
    pub(super) start_timeout: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) back_off: (Duration, Duration),
    pub(super) grace: Duration,
    pub(super) recycle_after: u64,
    pub(super) recycle_memory: u64,
    pub(super) memory: u64,
    pub(super) address_space: u64,
    pub(super) cpu_time: Duration,
    pub(super) cgroup: Option<(PathBuf, u64)>,
    pub(super) nice: i32,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
    pub(super) inherit_env: bool,
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) program: OsString,
    pub(super) template: bool,
    pub(super) initializer: Option<Call>,
    pub(super) inline: bool,
    pub(super) chaos: Chaos,
    /// How long both sides look on for a message before they sleep, at most.
    pub(super) spin: Duration,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            workers: primitive::num_cpus(),
            min_workers: 0,
            depth: 4,
            max_queued: 1024,
            max_queued_bytes: 256 << 20,
            max_message: 1 << 30,
            idle_timeout: Duration::from_secs(60),
            start_timeout: Duration::from_secs(10),
            timeout: None,
            grace: Duration::ZERO,
            recycle_after: 0,
            recycle_memory: 0,
            memory: 0,
            address_space: 0,
            cpu_time: Duration::ZERO,
            cgroup: None,
            back_off: (Duration::from_millis(50), Duration::from_secs(5)),
            nice: 5,
            stdout: Stdio::Inherit,
            stderr: Stdio::Inherit,
            inherit_env: false,
            env: Vec::new(),
            program: "/proc/self/exe".into(),
            template: true,
            initializer: None,
            inline: std::env::var_os("REIVER_OFFLOAD").is_some_and(|value| value == "inline"),
            chaos: Chaos::default(),
            spin: Duration::ZERO,
        }
    }

    /// The most worker processes: by default one for each CPU. They are started when jobs come.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(workers > 0, "a pool needs at least 1 worker");
        self.workers = workers;
        self
    }

    /// How many workers are started at once and kept when there is nothing to do: by default none.
    pub fn min_workers(mut self, workers: usize) -> Self {
        self.min_workers = workers;
        self
    }

    /// How many jobs a worker may be given at a time: by default 4.
    ///
    /// With more than 1, a worker that has been quick lately (50 µs a job, or less) finds its next job without a wait
    /// for us, which about doubles the rate of tiny jobs. They still run one after the other. When the first takes
    /// longer than a millisecond, those behind it are taken back and go to other workers, in their order; the same when
    /// the worker is lost. One whose caller goes away is taken back, too. So each job ahead of another holds it up for a
    /// millisecond at most. A worker never has more than 512, chunks of a [`map`](super::Map::chunks) included.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn depth(mut self, jobs: usize) -> Self {
        assert!(jobs > 0, "a worker without a job does nothing");
        self.depth = jobs;
        self
    }

    /// The most jobs that wait for a worker, by default 1024. `run` then waits, `try_run` gives an error.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_queued(mut self, jobs: usize) -> Self {
        assert!(jobs > 0, "every job passes through the queue");
        self.max_queued = jobs;
        self
    }

    /// The most bytes of jobs that wait for a worker, by default 256 MiB. One job may be longer.
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.max_queued_bytes = bytes;
        self
    }

    /// The longest message in either direction, by default 1 GiB.
    ///
    /// # Panics
    ///
    /// If it is less than 4096: what a worker and its pool say to each other needs as much.
    pub fn max_message(mut self, bytes: u64) -> Self {
        assert!(bytes >= LEAST_MESSAGE, "max_message must be at least {LEAST_MESSAGE}");
        self.max_message = bytes;
        self
    }

    /// How long a worker without jobs is kept: by default a minute.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a worker may take to start, its initialiser included: by default 10 seconds.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// How long a job may run that says nothing else; by default without limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long a job may go on whose time is up or whose caller is gone, before its worker is killed: it is asked
    /// to stop, which it learns from [`stop_requested`](super::stop_requested). The caller of one that is late is told
    /// at once. By default not at all, and workers do not listen: a job that does not look costs the whole
    /// grace period.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Replaces a worker after so many jobs; 0, the default, is never.
    pub fn recycle_after(mut self, jobs: u64) -> Self {
        self.recycle_after = jobs;
        self
    }

    /// Replaces a worker that has more resident memory than this after a job, in bytes; 0 is never.
    pub fn recycle_memory(mut self, bytes: u64) -> Self {
        self.recycle_memory = bytes;
        self
    }

    /// The most private memory of a worker, in bytes (`RLIMIT_DATA`); 0 is no limit.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// The most address space of a worker, in bytes (`RLIMIT_AS`); 0 is no limit.
    pub fn address_space(mut self, bytes: u64) -> Self {
        self.address_space = bytes;
        self
    }

    /// The most CPU time of a worker in all its life, rounded up to seconds (`RLIMIT_CPU`); 0 is no limit.
    pub fn cpu_time(mut self, time: Duration) -> Self {
        self.cpu_time = time;
        self
    }

    /// Each worker is in a control group of its own below `parent`, with so much memory in bytes: all that counts
    /// there, shared memory, files that it has read, and what it has started included. Whoever goes beyond is killed
    /// by the kernel, and the error then says for certain that it was
    /// [`OutOfMemory`](super::KillHint::OutOfMemory). With version 2 of the interface, killing a worker kills its whole
    /// group.
    ///
    /// `parent` is a directory that has been delegated to this process: with version 2 one whose `cgroup.procs`
    /// is empty, with version 1 one of the `memory` hierarchy. Where no group can be made there, no worker
    /// starts, and jobs get [`Failure::WorkerStart`](super::Failure::WorkerStart). A process that is killed leaves
    /// the directories of its workers behind, which are empty.
    pub fn cgroup(mut self, parent: impl Into<PathBuf>, memory: u64) -> Self {
        self.cgroup = Some((parent.into(), memory));
        self
    }

    /// How long the pool waits before it starts a worker again, when two starts in a row went wrong: `first`, and then
    /// twice as long each time, up to `most`. By default 50 ms and 5 s.
    pub fn back_off(mut self, first: Duration, most: Duration) -> Self {
        self.back_off = (first, most);
        self
    }

    /// Added to the nice value of workers: by default 5, so that they do not hold up this process.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = nice;
        self
    }

    /// What becomes of workers' standard output: by default it goes to ours.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.stdout = stdout;
        self
    }

    /// What becomes of workers' error output: by default it goes to ours.
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.stderr = stderr;
        self
    }

    /// Gives workers our whole environment. By default they get `PATH`, `HOME` and a few others, and no secret
    /// that happens to be in a variable.
    pub fn inherit_env(mut self) -> Self {
        self.inherit_env = true;
        self
    }

    /// Sets a variable of workers' environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Gives workers a variable of our environment, if it is set.
    pub fn pass_env(mut self, name: impl Into<OsString>) -> Self {
        let name = name.into();
        let value = std::env::var_os(&name);
        self.env.push((name, value));
        self
    }

    /// The program that workers run: by default this one, `/proc/self/exe`, also when its file was replaced
    /// since. A library in another program's process (a Python module, say) names an executable of its own,
    /// with the same functions linked in.
    pub fn program(mut self, path: impl Into<OsString>) -> Self {
        self.program = path.into();
        self
    }

    /// Whether workers are made by a *template*, as Python's `forkserver` and Android's zygote make processes: by
    /// default yes. The first worker is started as any program is; then a process of the same program is started that
    /// runs nothing of it, and each further worker is a copy of that. This saves `exec` and the loader, which take most
    /// of a worker's start, and the more the more libraries the program has; and workers come also when the program's
    /// file has been replaced meanwhile.
    ///
    /// The price is a small process for as long as there is a pool, and a second longer; pools with different programs
    /// or environments need several (4 at most). Workers of one template have their code and libraries at the same
    /// addresses, where otherwise each has its own, and the secrets that a process draws at its start (stack canary,
    /// allocator's cookies): a job that learns them learns those of the others. What constructors
    /// of shared libraries do happens once, in the template; where they start threads there is no template, and the
    /// functions of `pthread_atfork` are not called. Constructors of the program itself run in each worker. If this
    /// process has changed since in what a child inherits (user, groups, capabilities, seccomp filters, limits, working
    /// directory, control group), a worker is started as the first was. A program with a pool must not reap children that
    /// are not its own (`waitpid` of any child): a template, as a worker, is known by its number.
    ///
    /// Only on Linux with glibc, on x86-64 and aarch64; elsewhere nothing happens.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let pool = reiver::offload::ProcessPool::builder().template(false).build();
    /// # drop(pool);
    /// # });
    /// ```
    pub fn template(mut self, template: bool) -> Self {
        self.template = template;
        self
    }

    /// A job that each worker does before its first: it loads a model, say.
    ///
    /// If it fails, the worker is not used, and jobs get
    /// [`Failure::WorkerStart`](super::Failure::WorkerStart).
    pub fn initializer<R>(mut self, job: Job<R>) -> Self {
        self.initializer = Some(job.call);
        self
    }

    /// Runs jobs on threads of this process, for debuggers and tests; the environment variable
    /// `REIVER_OFFLOAD=inline` does it for all pools. All else is the same: values are encoded and decoded, the queue
    /// has its bounds, panics come back, the initialiser runs (once for the pool), jobs are tried again, and
    /// [`chaos`](Self::chaos) ends jobs as if their workers were lost. But nothing can be killed: a job that runs out
    /// of time is answered in time and asked to stop, and runs on if it does not look; one that crashes takes the
    /// process along; and there are no limits of memory.
    pub fn inline(mut self, inline: bool) -> Self {
        self.inline = inline;
        self
    }

    /// Faults on purpose.
    pub fn chaos(mut self, chaos: Chaos) -> Self {
        self.chaos = chaos;
        self
    }

    /// Makes the pool, on the current runtime. Its workers end with the last clone of the pool, or with the
    /// runtime.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[must_use = "dropping the pool ends its workers"]
    pub fn build(self) -> ProcessPool {
        ProcessPool::new(self, Handle::current())
    }

    /// The environment of a worker: what stands here, and the orders.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut all: Vec<(OsString, OsString)> = if self.inherit_env {
            std::env::vars_os().collect()
        } else {
            PASSED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect()
        };
        for (name, value) in &self.env {
            all.extend(value.clone().map(|value| (name.clone(), value)));
        }
        all
    }
}
