//! A program to start.

use super::Child;
use crate::primitive::Arc;
use crate::scheduler::{self, Shared};
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as StdChild, Command as StdCommand, ExitStatus, Output, Stdio};
use std::{fmt, io};

/// A program to start, with its arguments, its environment and its standard streams.
///
/// As [`std::process::Command`], and made from one if need be.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::process::Command;
///
/// let output = Command::new("echo").arg("hello").output().await?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Command {
    std: StdCommand,
    kill_on_drop: bool,
}

/// The current runtime.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub(super) fn runtime() -> Arc<Shared> {
    scheduler::runtime().expect(
        "a child was started outside a reiver runtime: do it inside `Runtime::block_on`, a spawned \
         task or `#[reiver::main]`, or under the guard of `Runtime::enter`",
    )
}

impl Command {
    /// A program by its path, or by a name that is looked for in `PATH`.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Self {
        StdCommand::new(program).into()
    }

    /// std's command inside, to look at.
    pub fn as_std(&self) -> &StdCommand {
        &self.std
    }

    /// std's command inside, for settings that are not here.
    pub fn as_std_mut(&mut self) -> &mut StdCommand {
        &mut self.std
    }

    /// std's command. `kill_on_drop` is lost.
    pub fn into_std(self) -> StdCommand {
        self.std
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Self {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.std.args(args);
        self
    }

    /// Sets the name that the program sees as its own, its argument 0.
    pub fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Self {
        self.std.arg0(arg);
        self
    }

    /// Sets an environment variable.
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, key: K, value: V) -> &mut Self {
        self.std.env(key, value);
        self
    }

    /// Sets environment variables.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(vars);
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Self {
        self.std.env_remove(key);
        self
    }

    /// Empties the environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// Sets the directory that the program starts in. What a relative path of the program itself then
    /// means depends on the system; make it absolute.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Self {
        self.std.current_dir(dir);
        self
    }

    /// Sets its input: by default ours.
    pub fn stdin<T: Into<Stdio>>(&mut self, stdin: T) -> &mut Self {
        self.std.stdin(stdin);
        self
    }

    /// Sets its output: by default ours, and a pipe in [`output`](Self::output).
    pub fn stdout<T: Into<Stdio>>(&mut self, stdout: T) -> &mut Self {
        self.std.stdout(stdout);
        self
    }

    /// Sets its error output: by default ours, and a pipe in [`output`](Self::output).
    pub fn stderr<T: Into<Stdio>>(&mut self, stderr: T) -> &mut Self {
        self.std.stderr(stderr);
        self
    }

    /// Whether the child is killed when its [`Child`] is dropped: by default not.
    ///
    /// `status` and `output` hold one as long as they are not complete, so this kills a child whose wait
    /// is given up, by a timeout for instance.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.kill_on_drop = kill;
        self
    }

    /// What [`kill_on_drop`](Self::kill_on_drop) was set to.
    pub fn get_kill_on_drop(&self) -> bool {
        self.kill_on_drop
    }

    /// Sets the user that it runs as. Groups that are not set are given up by the child.
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.std.uid(id);
        self
    }

    /// Sets the group that it runs as.
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.std.gid(id);
        self
    }

    /// Sets its process group; 0 means one of its own, with its number. A signal to the group reaches its
    /// children too, and Ctrl-C at the terminal does not reach it.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.std.process_group(group);
        self
    }

    /// Adds a function that the child calls between `fork` and `exec`.
    ///
    /// # Safety
    ///
    /// The child has one thread, and a copy of everything else, locks that other threads hold included: `f` may
    /// do only what is async-signal-safe. See [`CommandExt::pre_exec`].
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Self
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller's.
        unsafe { self.std.pre_exec(f) };
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// If the program does not exist or may not be run (the error names it; its `source` is the
    /// system's), if there are no descriptors or processes left, or if the runtime is shut down.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.spawn_with(StdCommand::spawn)
    }

    /// As [`spawn`](Self::spawn), by a function that starts std's command in its own way.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_with(
        &mut self,
        spawn: impl FnOnce(&mut StdCommand) -> io::Result<StdChild>,
    ) -> io::Result<Child> {
        // Before there is a child that a panic would lose.
        runtime();
        let mut std =
            spawn(&mut self.std).map_err(|error| SpawnError::explain(&self.std, error))?;
        let pipes = (std.stdin.take(), std.stdout.take(), std.stderr.take());
        Child::adopt(std.into(), pipes, self.kill_on_drop)
    }

    /// Starts it and waits for its end. Pipes are closed at once.
    ///
    /// It is started by the call, not by the first poll.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future lets the child run, unless [`kill_on_drop`](Self::kill_on_drop) is set.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let status = reiver::process::Command::new("sh").args(["-c", "exit 3"]).status().await?;
    /// assert_eq!(status.code(), Some(3));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async {
            let mut child = child?;
            (child.stdout, child.stderr) = (None, None);
            child.wait().await
        }
    }

    /// Starts it and collects what it writes, until its end. Its output and error output become pipes,
    /// whatever they were set to.
    ///
    /// It is started by the call, not by the first poll.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future lets the child run, unless [`kill_on_drop`](Self::kill_on_drop) is set. What
    /// was read is lost.
    #[track_caller]
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        self.std.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawn();
        async { child?.wait_with_output().await }
    }
}

impl From<StdCommand> for Command {
    fn from(std: StdCommand) -> Self {
        Self { std, kill_on_drop: false }
    }
}

/// A program could not be started, and which.
#[derive(Debug)]
struct SpawnError {
    program: OsString,
    directory: Option<PathBuf>,
    source: io::Error,
}

impl SpawnError {
    /// The same kind of error, with the program's name.
    fn explain(command: &StdCommand, source: io::Error) -> io::Error {
        let program = command.get_program().into();
        let directory = command.get_current_dir().map(Path::to_owned);
        io::Error::new(source.kind(), Self { program, directory, source })
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start {:?}", self.program)?;
        if let Some(directory) = &self.directory {
            write!(f, " in {directory:?}")?;
        }
        write!(f, ": {}", self.source)
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
