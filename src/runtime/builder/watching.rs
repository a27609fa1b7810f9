//! What a runtime tells about itself, where somebody asks for it.

use super::Builder;
use std::path::PathBuf;
use std::time::Duration;

impl Builder {
    /// How long a blocking job may wait for a thread, and how long it may run, before it is reported to the
    /// listener of [`on_slow_poll`](Self::on_slow_poll), or to stderr. By default jobs may take what they take.
    ///
    /// [`SlowPoll::subject`](crate::runtime::SlowPoll::subject) tells the reports apart. There are none with
    /// [`Rescue::Off`](crate::runtime::Rescue::Off).
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::{Builder, Subject};
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (send, receive) = mpsc::channel();
    /// let runtime = Builder::new_multi_thread()
    ///     .slow_blocking(Duration::from_millis(100))
    ///     .on_slow_poll(move |slow| drop(send.send(slow.clone())))
    ///     .build()?;
    /// runtime.spawn_blocking(|| std::thread::sleep(Duration::from_millis(300)));
    /// let slow = receive.recv().unwrap();
    /// assert_eq!(slow.subject(), Subject::RunningJob);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn slow_blocking(&mut self, duration: Duration) -> &mut Self {
        self.slow_blocking = Some(duration);
        self
    }

    /// Whether the runtime keeps a record of each task, for [`Handle::dump`](crate::runtime::Handle::dump): its parent, how
    /// often and how long it was polled, since when it waits, and for which socket, lock, timer or task. By
    /// default it does not, and a listing shows only what kind of thing a task waits for. The histograms
    /// [`poll_time`](crate::runtime::RuntimeMetrics::poll_time) and
    /// [`schedule_latency`](crate::runtime::RuntimeMetrics::schedule_latency) come from these records.
    ///
    /// It costs each poll some 60 ns, each wake-up 25, and each task 80 bytes. (In instructions of both: 445, of which
    /// 88 are the histograms'. Without records they cost none.)
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::{Builder, Handle, WaitKind};
    /// let runtime = Builder::new_multi_thread().task_records(true).build()?;
    /// runtime.block_on(async {
    ///     let lock = std::sync::Arc::new(reiver::sync::Mutex::new(()));
    ///     let guard = lock.clone().lock_owned().await;
    ///     let task = reiver::spawn(async move { drop(lock.lock().await) });
    ///     let waits = loop {
    ///         let dump = Handle::current().dump();
    ///         let Some(waits) = dump[0].waiting() else { continue };
    ///         break *waits;
    ///     };
    ///     assert_eq!(waits.kind(), WaitKind::Mutex);
    ///     drop(guard);
    ///     task.await.unwrap();
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn task_records(&mut self, records: bool) -> &mut Self {
        self.task_records = records;
        self
    }

    /// How many events of each worker the flight recorder keeps, at least: 4096 are a good number. By default
    /// there is no recorder. [`Handle::write_trace`](crate::runtime::Handle::write_trace) writes what it has.
    ///
    /// An event costs some 10 ns, and 24 bytes of memory for each that is kept.
    pub fn flight_recorder(&mut self, events: usize) -> &mut Self {
        self.flight_recorder = events;
        self
    }

    /// Where the [flight recorder](Self::flight_recorder) is written by itself when something happens: a worker is
    /// rescued, a slow poll or blocking job is reported, a task panics, or the process gets the signal of
    /// [`dump_on_signal`](Self::dump_on_signal). By default it is where the environment variable `REIVER_TRACE`
    /// says; and without that it is written only by [`write_trace`](crate::runtime::Handle::write_trace).
    ///
    /// `path` is a directory and the beginning of the files' names: `/var/log/raid` becomes
    /// `/var/log/raid-PID-NUMBER-REASON.json`, where the reason is `rescue`, `slow-poll`, `panic` or `signal`. The
    /// directory is made if it is not there. There is one file in 10 seconds for each reason but the signal, and
    /// the last 16 of a runtime are kept. A file is there when it is whole. Its events are those of the
    /// moment; it is written on a thread of the pool for blocking jobs.
    ///
    /// Without `flight_recorder` there is one of 4096 events.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::Builder;
    /// let directory = std::env::temp_dir().join(format!("reiver-doc-{}", std::process::id()));
    /// let runtime = Builder::new_multi_thread().trace_files(directory.join("raid")).build()?;
    /// assert!(runtime.block_on(runtime.spawn(async { panic!("what led here?") })).is_err());
    /// // Waits for the file.
    /// drop(runtime);
    /// let mut files = std::fs::read_dir(&directory)?.map(|file| file.unwrap().file_name());
    /// assert!(files.any(|file| file.to_str().unwrap().ends_with("-panic.json")));
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn trace_files(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.trace_files = Some(path.into());
        self
    }

    /// Whether the runtime shows its tasks to the program `reiver` (`cargo install reiver`) and to
    /// [`inspect`](crate::runtime::inspect): `reiver ps PID`, `reiver pstree PID`. By default it does if the environment
    /// variable `REIVER_DEBUG` is `1`. [Records](Self::task_records) of the tasks are kept then too.
    ///
    /// A thread listens on a Unix socket in a directory that only the process's user can enter, and answers
    /// nobody else. It answers when all workers are stuck, too.
    pub fn debug_endpoint(&mut self, endpoint: bool) -> &mut Self {
        self.debug_endpoint = endpoint;
        self
    }

    /// A signal on which the runtime writes a table of its tasks to stderr, even when all workers are stuck.
    /// What the system does by default on that signal is off from then on. By default there is none. With
    /// [`trace_files`](Self::trace_files) the flight recorder is written too.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::signal::unix::SignalKind;
    /// let signal = SignalKind::user_defined1().as_raw_value();
    /// let runtime = reiver::runtime::Builder::new_multi_thread().dump_on_signal(signal).build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn dump_on_signal(&mut self, signal: i32) -> &mut Self {
        self.dump_on_signal = Some(signal);
        self
    }
}
