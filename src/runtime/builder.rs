//! Everything about a runtime that can be chosen.

mod threads;
mod watching;

use super::debug::Endpoint;
use super::trace::Files;
use super::{Handle, Runtime};
use crate::blocking::{Body, Calls, Config, Pool};
use crate::primitive::{Arc, explore, num_cpus};
use crate::scheduler::{self, Hooks, Listener, Rescue, Settings, Shared, SlowPoll, Writer};
use crate::task::UnhandledPanic;
use crate::util::abort::AbortOnUnwind;
use crate::util::patience::SPIN;
use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;
use std::{fmt, io};

/// The environment variables that set the number of workers where the program does not: the first that is set.
const WORKERS_VARIABLES: [&str; 2] = ["REIVER_WORKER_THREADS", "TOKIO_WORKER_THREADS"];
/// The environment variable that turns the debug endpoint on.
const DEBUG_VARIABLE: &str = "REIVER_DEBUG";
/// More workers than any machine has CPUs: a mistyped number is an error, not a million threads.
const MAX_WORKERS: usize = 32_768;
/// The environment variable that says where traces go, where the program does not.
const TRACE_VARIABLE: &str = "REIVER_TRACE";
/// The poll that is reported: asyncio's number.
const SLOW_POLL: Duration = Duration::from_millis(100);

/// The most that the flight recorder keeps of each thread of a blocking pool, of which there may be hundreds: 6 KiB.
const JOB_EVENTS: usize = 256;
/// What the flight recorder keeps of each worker if only its files were asked for.
const EVENTS: usize = 4096;

type NameFn = Arc<dyn Fn() -> String + Send + Sync>;

/// Whether the environment asks for a debug endpoint.
fn is_debugged() -> bool {
    std::env::var_os(DEBUG_VARIABLE).is_some_and(|value| value == "1")
}

/// Builds a [`Runtime`].
///
/// # Examples
///
/// ```
/// let runtime = reiver::runtime::Builder::new_multi_thread()
///     .worker_threads(2)
///     .thread_name("raider")
///     .build()?;
/// let name = runtime.block_on(async {
///     reiver::spawn(async { std::thread::current().name().map(str::to_owned) }).await.unwrap()
/// });
/// # let _ = name;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Builder {
    flavor: Flavor,
    worker_threads: Option<usize>,
    max_blocking_threads: usize,
    max_blocking_queue: Option<usize>,
    thread_name: NameFn,
    thread_keep_alive: Duration,
    start_paused: bool,
    rescue: Rescue,
    slow_poll: Option<Duration>,
    on_slow_poll: Option<Listener>,
    slow_blocking: Option<Duration>,
    task_records: bool,
    block_on_runs_tasks: bool,
    flight_recorder: usize,
    trace_files: Option<PathBuf>,
    debug_endpoint: bool,
    dump_on_signal: Option<i32>,
    hooks: Hooks,
    on_panic: UnhandledPanic,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavor {
    CurrentThread,
    MultiThread,
}

impl Builder {
    /// Workers with threads of their own.
    pub fn new_multi_thread() -> Self {
        Self::new(Flavor::MultiThread)
    }

    /// No threads but the blocking pool's: whoever calls `block_on` is the only worker. The scheduler
    /// is the same, with one slot.
    pub fn new_current_thread() -> Self {
        Self::new(Flavor::CurrentThread)
    }

    fn new(flavor: Flavor) -> Self {
        Self {
            flavor,
            worker_threads: None,
            max_blocking_threads: 512,
            max_blocking_queue: None,
            thread_name: Arc::new(|| "reiver-worker".to_owned()),
            thread_keep_alive: Duration::from_secs(10),
            start_paused: false,
            rescue: Rescue::On,
            slow_poll: None,
            on_slow_poll: None,
            slow_blocking: None,
            task_records: false,
            block_on_runs_tasks: false,
            flight_recorder: 0,
            trace_files: None,
            debug_endpoint: false,
            dump_on_signal: None,
            hooks: Hooks { spin: SPIN, ..Hooks::default() },
            on_panic: UnhandledPanic::Ignore,
        }
    }

    /// Accepted as tokio has it; the poller and the timers are always on.
    pub fn enable_all(&mut self) -> &mut Self {
        self
    }

    /// Accepted as tokio has it; the poller is always on.
    pub fn enable_io(&mut self) -> &mut Self {
        self
    }

    /// Accepted as tokio has it; timers are always on.
    pub fn enable_time(&mut self) -> &mut Self {
        self
    }

    /// How many workers a multi-thread runtime has. Without this call: the environment variable
    /// `REIVER_WORKER_THREADS`, else `TOKIO_WORKER_THREADS`, else the number of CPUs that this process may use, cgroup
    /// quotas and affinity counted in. A current-thread runtime ignores it.
    ///
    /// # Panics
    ///
    /// If `workers` is 0.
    #[track_caller]
    pub fn worker_threads(&mut self, workers: usize) -> &mut Self {
        assert!(workers > 0, "worker_threads must be at least 1; for none use new_current_thread");
        self.worker_threads = Some(workers);
        self
    }

    /// How many threads the pool for blocking jobs may have. Jobs beyond wait in a queue.
    /// By default 512.
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    #[track_caller]
    pub fn max_blocking_threads(&mut self, threads: usize) -> &mut Self {
        assert!(threads > 0, "max_blocking_threads must be at least 1");
        self.max_blocking_threads = threads;
        self
    }

    /// How many blocking jobs may wait for a thread before
    /// [`try_spawn_blocking`](crate::task::try_spawn_blocking) refuses and
    /// [`submit_blocking`](crate::task::submit_blocking) waits. By default there is no limit, and
    /// [`spawn_blocking`](crate::task::spawn_blocking) knows none.
    pub fn max_blocking_queue(&mut self, jobs: usize) -> &mut Self {
        self.max_blocking_queue = Some(jobs);
        self
    }

    /// The runtime's name: see [`Handle::name`].
    ///
    /// # Panics
    ///
    /// If it is empty.
    #[track_caller]
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        let name = name.into();
        assert!(!name.trim().is_empty(), "a runtime's name must not be empty");
        self.hooks.name = Some(name.into());
        self
    }

    /// Accepted as tokio has it. A busy worker looks at the poller and the timers by the clock, every 50 µs.
    ///
    /// # Panics
    ///
    /// If `polls` is 0.
    #[track_caller]
    pub fn event_interval(&mut self, polls: u32) -> &mut Self {
        assert!(polls > 0, "event_interval must be at least 1");
        self
    }

    /// Accepted as tokio has it. A busy worker takes its share of what other threads spawned by the clock,
    /// every 50 µs.
    ///
    /// # Panics
    ///
    /// If `polls` is 0.
    #[track_caller]
    pub fn global_queue_interval(&mut self, polls: u32) -> &mut Self {
        assert!(polls > 0, "global_queue_interval must be at least 1");
        self
    }

    /// Accepted as tokio has it: how many events are taken from the poller at a time is fixed.
    ///
    /// # Panics
    ///
    /// If `events` is 0.
    #[track_caller]
    pub fn max_io_events_per_tick(&mut self, events: usize) -> &mut Self {
        assert!(events > 0, "max_io_events_per_tick must be at least 1");
        self
    }

    /// Accepted as [`max_io_events_per_tick`](Self::max_io_events_per_tick).
    ///
    /// # Panics
    ///
    /// If `events` is 0.
    #[track_caller]
    pub fn max_io_events_per_busy_tick(&mut self, events: usize) -> &mut Self {
        assert!(events > 0, "max_io_events_per_busy_tick must be at least 1");
        self
    }

    /// Whether the clock starts paused, for tests. See `time::pause`.
    pub fn start_paused(&mut self, paused: bool) -> &mut Self {
        self.start_paused = paused;
        self
    }

    /// What happens when a task panics, for tasks that were not spawned with a policy of
    /// [their own](crate::task::Builder::unhandled_panic). By default nothing but what whoever awaits the
    /// task does.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::{Builder, UnhandledPanic};
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    /// let runtime = Builder::new_multi_thread()
    ///     .unhandled_panic(UnhandledPanic::ShutdownRuntime)
    ///     .build()?;
    /// let main = AssertUnwindSafe(|| {
    ///     runtime.block_on(async {
    ///         reiver::spawn(async { panic!("nobody looks") });
    ///         std::future::pending::<()>().await
    ///     })
    /// });
    /// assert!(catch_unwind(main).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unhandled_panic(&mut self, policy: UnhandledPanic) -> &mut Self {
        self.on_panic = policy;
        self
    }

    /// What the runtime does about a worker whose task blocks its thread, or computes for long. By default
    /// [`Rescue::On`]: other threads go on with that worker's other tasks, its timers and its sockets.
    ///
    /// It is a safety net: a rescue comes some milliseconds late, and only so many threads can be stuck at
    /// once (four for each worker, 32 at least). [`spawn_blocking`](crate::task::spawn_blocking) stays the way
    /// to block. A current-thread runtime has nobody to rescue it; there `On` means [`Rescue::Warn`], and
    /// it has an effect only together with [`slow_poll`](Self::slow_poll) or
    /// [`on_slow_poll`](Self::on_slow_poll).
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::{Builder, Rescue};
    /// let runtime = Builder::new_multi_thread().rescue(Rescue::Off).build()?;
    /// assert_eq!(runtime.metrics().rescues_count(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn rescue(&mut self, rescue: Rescue) -> &mut Self {
        self.rescue = rescue;
        self
    }

    /// How long a poll may take before it is reported, whether its worker was rescued or not. By default
    /// 100 ms. A worker that is rescued from a task that blocks is reported in any case.
    pub fn slow_poll(&mut self, duration: Duration) -> &mut Self {
        self.slow_poll = Some(duration);
        self
    }

    /// Who hears of slow polls, once for each such poll. It is called on a thread of the pool for blocking
    /// jobs, while the poll is going on or soon after. Without this call a line goes to stderr, for the first
    /// slow poll of each place where tasks are spawned. With the feature `tracing` that first one is an event of the
    /// target `reiver::slow`, and goes to stderr only if no subscriber wants it.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::Builder;
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (send, receive) = mpsc::channel();
    /// let runtime = Builder::new_multi_thread()
    ///     .worker_threads(1)
    ///     .on_slow_poll(move |slow| drop(send.send(slow.clone())))
    ///     .build()?;
    /// runtime.spawn(async { std::thread::sleep(Duration::from_millis(300)) });
    /// let slow = receive.recv().unwrap();
    /// assert_eq!(slow.location().unwrap().file(), file!());
    /// println!("{slow}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_slow_poll<F>(&mut self, listener: F) -> &mut Self
    where
        F: Fn(&SlowPoll) + Send + Sync + 'static,
    {
        self.on_slow_poll = Some(Arc::new(listener));
        self
    }

    /// Builds the runtime and starts its workers.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started; if `REIVER_WORKER_THREADS` is no number from 1 to 32768; if the debug
    /// endpoint, the signal or the directory for traces that were asked for cannot be had. (The poller is made when the
    /// first socket is, and that call fails if the system has no descriptors to give.)
    pub fn build(&mut self) -> io::Result<Runtime> {
        explore::forbid("a runtime of its own: use the one that the body runs in");
        let workers = match self.flavor {
            Flavor::CurrentThread => 0,
            Flavor::MultiThread => self.workers()?,
        };
        let is_debugged = is_debugged();
        let settings = self.watch(is_debugged)?;
        let hooks = settings.hooks.clone();
        let pool = |weak| self.pool(weak, hooks);
        let (shared, seats) = Shared::new(workers, settings, pool);
        shared.set_panic_policy(self.on_panic);
        if self.start_paused {
            shared.driver.clock().pause();
        }
        let hooks = self.hooks.clone();
        shared.start(
            seats,
            |_| self.hooks.thread((self.thread_name)()),
            move |body| {
                hooks.around(body);
            },
        )?;
        let mut runtime = Runtime { handle: Handle::new(shared), endpoint: None, ended: false };
        runtime.endpoint = self.endpoint(&runtime, is_debugged)?;
        Ok(runtime)
    }

    fn endpoint(&self, runtime: &Runtime, is_debugged: bool) -> io::Result<Option<Endpoint>> {
        if !is_debugged && !self.debug_endpoint && self.dump_on_signal.is_none() {
            return Ok(None);
        }
        let listens = is_debugged || self.debug_endpoint;
        match Endpoint::start(runtime.handle.shared(), listens, self.dump_on_signal) {
            // Whoever sets a variable wants to look at a program, and not to stop it.
            Err(error) if !self.debug_endpoint && self.dump_on_signal.is_none() => {
                eprintln!("reiver: no debug endpoint: {error}");
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn pool(&self, weak: Weak<Shared>, hooks: Hooks) -> Pool {
        let config = Config {
            max_threads: self.max_blocking_threads,
            keep_alive: self.thread_keep_alive,
            max_queue: self.max_blocking_queue,
            ..Config::default()
        };
        let name = self.thread_name.clone();
        blocking_pool(config, weak, hooks, move || name())
    }

    fn workers(&self) -> io::Result<usize> {
        let mut variables = WORKERS_VARIABLES.into_iter();
        let set = variables.find_map(|name| Some((name, std::env::var_os(name)?)));
        let (source, asked) = match (self.worker_threads, set) {
            (Some(workers), _) => ("worker_threads", workers),
            (None, None) => return Ok(num_cpus()),
            (None, Some((name, text))) => {
                (name, text.to_str().and_then(|text| text.trim().parse().ok()).unwrap_or(0))
            }
        };
        if (1..=MAX_WORKERS).contains(&asked) {
            return Ok(asked);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{source} must be a number from 1 to {MAX_WORKERS}"),
        ))
    }

    fn traces(&self) -> io::Result<Option<Writer>> {
        if let Some(path) = &self.trace_files {
            return Files::writer(path).map(Some);
        }
        let Some(path) = std::env::var_os(TRACE_VARIABLE).filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        // As in `endpoint`.
        let writer = Files::writer(path.as_ref());
        Ok(writer.inspect_err(|error| eprintln!("reiver: no traces: {error}")).ok())
    }

    fn watch(&self, is_debugged: bool) -> io::Result<Settings> {
        // A current-thread runtime is for those who count threads: one more only where it is asked for.
        let unasked =
            self.slow_poll.is_none() && self.on_slow_poll.is_none() && self.slow_blocking.is_none();
        let is_idle = self.flavor == Flavor::CurrentThread && unasked;
        let traces = self.traces()?;
        let recorder = match self.flight_recorder {
            0 if traces.is_some() => EVENTS,
            events => events,
        };
        Ok(Settings {
            rescue: if is_idle { Rescue::Off } else { self.rescue },
            slow_poll: self.slow_poll.unwrap_or(SLOW_POLL),
            listener: self.on_slow_poll.clone(),
            slow_blocking: self.slow_blocking,
            recorder,
            traces,
            records: self.task_records || self.debug_endpoint || is_debugged,
            roots_work: self.block_on_runs_tasks,
            hooks: Hooks { recorded: recorder.min(JOB_EVENTS), ..self.hooks.clone() },
        })
    }
}

/// A pool for blocking jobs, whose threads are inside of the runtime.
pub(crate) fn blocking_pool(
    config: Config,
    runtime: Weak<Shared>,
    hooks: Hooks,
    name: impl Fn() -> String + Send + Sync + 'static,
) -> Pool {
    let config = Config { spin: hooks.spin, recorded: hooks.recorded, ..config };
    let weak = runtime.clone();
    let start = move |body: Body| {
        let (weak, hooks) = (weak.clone(), hooks.clone());
        let thread = hooks.thread(name()).spawn(move || {
            // Gone only if the runtime is, and then the pool has nothing to run.
            let Some(shared) = weak.upgrade() else { return };
            let _abort = AbortOnUnwind::new("a thread hook of the runtime");
            let _entered = scheduler::enter(shared);
            let mut body = Some(body);
            hooks.around(&mut || body.take().map_or((), Body::run));
        })?;
        drop(thread);
        Ok(())
    };
    let busy = runtime.clone();
    let is_busy = move || busy.upgrade().is_some_and(|shared| shared.has_work());
    let after_job = move || {
        if let Some(shared) = runtime.upgrade() {
            shared.release_clock();
        }
    };
    let (after_job, is_busy) = (Box::new(after_job), Box::new(is_busy));
    Pool::new(config, Calls { after_job, is_busy, ..Calls::new(start) })
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("worker_threads", &self.worker_threads)
            .field("max_blocking_threads", &self.max_blocking_threads)
            .field("thread_stack_size", &self.hooks.stack_size)
            .field("thread_keep_alive", &self.thread_keep_alive)
            .field("start_paused", &self.start_paused)
            .field("rescue", &self.rescue)
            .field("slow_poll", &self.slow_poll)
            .finish_non_exhaustive()
    }
}
