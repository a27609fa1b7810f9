//! What a runtime's threads are, how they wait, and what is called on them.

use super::Builder;
use crate::primitive::Arc;
use std::time::Duration;

impl Builder {
    /// The name of the runtime's threads. By default `reiver-worker`.
    pub fn thread_name(&mut self, name: impl Into<String>) -> &mut Self {
        let name = name.into();
        self.thread_name_fn(move || name.clone())
    }

    /// A function that names each thread.
    pub fn thread_name_fn<F>(&mut self, name: F) -> &mut Self
    where
        F: Fn() -> String + Send + Sync + 'static,
    {
        self.thread_name = Arc::new(name);
        self
    }

    /// The stack size of the runtime's threads in bytes. By default std's, 2 MiB.
    pub fn thread_stack_size(&mut self, bytes: usize) -> &mut Self {
        self.hooks.stack_size = Some(bytes);
        self
    }

    /// How long an idle thread of the blocking pool stays. By default 10 s.
    pub fn thread_keep_alive(&mut self, duration: Duration) -> &mut Self {
        self.thread_keep_alive = duration;
        self
    }

    /// How long a worker, or a thread of the blocking pool, goes on looking for work before it sleeps, at most. By
    /// default 50 µs; zero: not at all.
    ///
    /// A thread does so only while its last sleeps were that short and ended by a call from another thread, as
    /// those of one blocking job after the other: a round trip takes 1 µs then and not 50. It pays with CPU
    /// time, on one more core than the work needs; where it waits in vain it soon stops. Where it gives its CPU to others
    /// meanwhile (workers and threads of the blocking pool do, for each other's sake), it may take a time slice of these.
    ///
    /// A process pool of this runtime does the same on both sides, for 20 µs at most, while one short job comes
    /// after the other.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// // In a container that pays for each microsecond.
    /// let runtime = reiver::runtime::Builder::new_multi_thread()
    ///     .spin_before_sleep(Duration::ZERO)
    ///     .build()?;
    /// assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 6 * 7)).unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spin_before_sleep(&mut self, limit: Duration) -> &mut Self {
        self.hooks.spin = limit;
        self
    }

    /// Whether threads in [`Runtime::block_on`](crate::runtime::Runtime::block_on) run tasks while their futures wait,
    /// as the one of a current-thread runtime always does. By default not.
    ///
    /// What the future spawns and wakes stays near then: a round trip between it and a task takes 0.3 µs of CPU time,
    /// and not several. But a future stays on its thread: if a task blocks that thread, the future waits for it, and
    /// if the task waits for the future, both do for ever. (Once a task has blocked such a thread for some
    /// milliseconds, they run no more tasks.)
    ///
    /// # Examples
    ///
    /// ```
    /// let mut builder = reiver::runtime::Builder::new_multi_thread();
    /// let runtime = builder.worker_threads(2).block_on_runs_tasks(true).build()?;
    /// assert_eq!(runtime.block_on(async { reiver::spawn(async { 6 * 7 }).await }).unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn block_on_runs_tasks(&mut self, on: bool) -> &mut Self {
        self.block_on_runs_tasks = on;
        self
    }

    /// Called on each of the runtime's threads when it starts, inside the runtime's context. A panic in
    /// it aborts the process.
    pub fn on_thread_start<F: Fn() + Send + Sync + 'static>(&mut self, f: F) -> &mut Self {
        self.hooks.start = Some(Arc::new(f));
        self
    }

    /// Called on each of the runtime's threads when it ends, inside the runtime's context. A panic in it
    /// aborts the process.
    pub fn on_thread_stop<F: Fn() + Send + Sync + 'static>(&mut self, f: F) -> &mut Self {
        self.hooks.stop = Some(Arc::new(f));
        self
    }

    /// Called on a worker that has found nothing to do, before it sleeps. It may yet find something, and then
    /// does not sleep. What the function spawns or wakes is found. A panic in it aborts the process.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// static SLEEPS: AtomicU64 = AtomicU64::new(0);
    /// let runtime = reiver::runtime::Builder::new_current_thread()
    ///     .on_thread_park(|| _ = SLEEPS.fetch_add(1, Relaxed))
    ///     .build()?;
    /// let (tx, rx) = reiver::sync::oneshot::channel();
    /// std::thread::spawn(move || {
    ///     while SLEEPS.load(Relaxed) == 0 {
    ///         std::thread::yield_now();
    ///     }
    ///     tx.send(())
    /// });
    /// runtime.block_on(rx)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_thread_park<F: Fn() + Send + Sync + 'static>(&mut self, f: F) -> &mut Self {
        self.hooks.park = Some(Arc::new(f));
        self
    }

    /// Called on a worker after each call of [`on_thread_park`](Self::on_thread_park)'s, when it has slept
    /// or found something to do. A panic in it aborts the process.
    pub fn on_thread_unpark<F: Fn() + Send + Sync + 'static>(&mut self, f: F) -> &mut Self {
        self.hooks.unpark = Some(Arc::new(f));
        self
    }
}
