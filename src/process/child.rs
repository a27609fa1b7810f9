//! A child that runs, or has ended.

use super::command::runtime;
use super::exit::Exit;
use super::known::Known;
use super::orphan;
use super::{ChildStderr, ChildStdin, ChildStdout};
use crate::io::{AsyncRead, AsyncReadExt};
use crate::signal::unix::SignalKind;
use crate::task::budget;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::process::{self, ExitStatus, Output};
use std::task::{Context, Poll, ready};

/// A child, made by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it lets it run on, unless [`kill_on_drop`](super::Command::kill_on_drop) was set. Either way
/// it is reaped when it ends.
#[derive(Debug)]
pub struct Child {
    state: State,
    /// Its input, if that was piped.
    pub stdin: Option<ChildStdin>,
    /// Its output, if that was piped.
    pub stdout: Option<ChildStdout>,
    /// Its error output, if that was piped.
    pub stderr: Option<ChildStderr>,
}

#[derive(Debug)]
enum State {
    Running(Running),
    Ended(ExitStatus),
}

/// Our ends of its input, its output and its error output.
pub(crate) type Pipes =
    (Option<process::ChildStdin>, Option<process::ChildStdout>, Option<process::ChildStderr>);

/// A child that has not been reaped.
#[derive(Debug)]
struct Running {
    /// Taken by the drop only.
    parts: Option<(Known, Exit)>,
    kill_on_drop: bool,
}

impl Running {
    fn parts(&mut self) -> &mut (Known, Exit) {
        self.parts.as_mut().expect("it is taken by the drop only")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some((mut child, exit)) = self.parts.take() else { return };
        if self.kill_on_drop {
            // It may have ended, and be killed already.
            let _ = child.kill();
        }
        // An error means that somebody else has reaped it.
        if let Ok(None) = child.try_wait() {
            orphan::adopt(child, exit);
        }
    }
}

impl Child {
    pub(super) fn new(child: Known, exit: Exit, kill_on_drop: bool) -> Self {
        let running = Running { parts: Some((child, exit)), kill_on_drop };
        Self { state: State::Running(running), stdin: None, stdout: None, stderr: None }
    }

    /// Takes a child on for the current runtime. If that fails it is killed.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub(crate) fn adopt(mut known: Known, pipes: Pipes, kill_on_drop: bool) -> io::Result<Self> {
        orphan::reap_left();
        let exit = match Exit::new(&runtime(), known.id()) {
            Ok(exit) => exit,
            Err(error) => {
                let _ = known.kill();
                orphan::leave(known);
                return Err(error);
            }
        };
        let mut child = Self::new(known, exit, true);
        // Without its pipes it would be dropped, so killed.
        child.stdin = pipes.0.map(ChildStdin::from_std).transpose()?;
        child.stdout = pipes.1.map(ChildStdout::from_std).transpose()?;
        child.stderr = pipes.2.map(ChildStderr::from_std).transpose()?;
        if let State::Running(running) = &mut child.state {
            running.kill_on_drop = kill_on_drop;
        }
        Ok(child)
    }

    /// The process's number; `None` when it has ended and a wait has said so, since the system may give the
    /// number to another one then.
    pub fn id(&self) -> Option<u32> {
        match &self.state {
            State::Running(running) => running.parts.as_ref().map(|(child, _)| child.id()),
            State::Ended(_) => None,
        }
    }

    /// Sends `SIGKILL`, and does not wait for the end. Does nothing if a wait has said that it ended.
    ///
    /// # Errors
    ///
    /// If the system refuses, for example because the child has become another user's.
    pub fn start_kill(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Running(running) => running.parts().0.kill(),
            State::Ended(_) => Ok(()),
        }
    }

    /// Sends a signal, and does not wait for what becomes of it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a wait has said that it ended, or if there is no such signal.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// use reiver::signal::unix::SignalKind;
    /// use std::os::unix::process::ExitStatusExt;
    /// let mut child = reiver::process::Command::new("sleep").arg("60").spawn()?;
    /// child.send_signal(SignalKind::terminate())?;
    /// assert_eq!(child.wait().await?.signal(), Some(SignalKind::terminate().as_raw_value()));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn send_signal(&self, kind: SignalKind) -> io::Result<()> {
        let State::Running(running) = &self.state else { return Err(has_ended()) };
        // Nobody has reaped it, so the number is still its own.
        let pid = running.parts.as_ref().map(|(child, _)| child.id() as libc::pid_t);
        let number = kind.as_raw_value();
        // 0 would be a question. What else is no signal the system says: it alone knows all real-time signals.
        let Some(pid) = pid.filter(|_| number > 0) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such signal"));
        };
        // SAFETY: no memory is involved. The process is a child of ours.
        match unsafe { libc::kill(pid, number) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends `SIGTERM`, the polite request to end, and does not wait for the end.
    ///
    /// # Errors
    ///
    /// As [`send_signal`](Self::send_signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(SignalKind::terminate())
    }

    /// Sends `SIGKILL` and waits for the end. Does nothing if a wait has said that it ended.
    ///
    /// Children of the child live on; use a [process group](super::Command::process_group) to reach
    /// them.
    ///
    /// # Errors
    ///
    /// As [`start_kill`](Self::start_kill) and [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// The signal is sent by the first poll; the wait may be cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let mut child = reiver::process::Command::new("sleep").arg("60").spawn()?;
    /// child.kill().await?;
    /// assert!(child.id().is_none());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Waits for the end. The child's input is closed first, so that it does not wait for us.
    ///
    /// It may be called again, and gives the same answer.
    ///
    /// # Errors
    ///
    /// If the runtime is shut down that started it, or if somebody else has reaped it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        poll_fn(|cx| self.poll_wait(cx)).await
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let running = match &mut self.state {
            State::Running(running) => running,
            State::Ended(status) => return Poll::Ready(Ok(*status)),
        };
        let unit = ready!(budget::poll_proceed(cx));
        let (child, exit) = running.parts();
        let status = ready!(exit.poll(child, cx))?;
        unit.made_progress();
        self.state = State::Ended(status);
        Poll::Ready(Ok(status))
    }

    /// Waits for the end without reaping it. Pending for ever where the system tells only by signal; ready also when
    /// the runtime is shut down.
    #[allow(dead_code)] // only `offload` asks
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            State::Running(running) => match &running.parts {
                Some((_, exit)) => exit.poll_told(cx),
                None => Poll::Pending,
            },
            State::Ended(_) => Poll::Ready(()),
        }
    }

    /// How it ended, or `None` if it runs. Does not wait, and does not close its input.
    ///
    /// # Errors
    ///
    /// If somebody else has reaped it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match &mut self.state {
            State::Ended(status) => Ok(Some(*status)),
            State::Running(running) => {
                let status = running.parts().0.try_wait()?;
                if let Some(status) = status {
                    self.state = State::Ended(status);
                }
                Ok(status)
            }
        }
    }

    /// Closes the child's input, collects what it writes into pipes, and waits for its end.
    ///
    /// Output that is not piped is empty here. A child of the child that holds the pipe open is waited
    /// for too.
    ///
    /// # Errors
    ///
    /// Those of reading, and of [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the child and what was read.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let read = both(collect(self.stdout.take()), collect(self.stderr.take()));
        let (stdout, stderr) = read.await?;
        let status = self.wait().await?;
        Ok(Output { status, stdout, stderr })
    }
}

fn has_ended() -> io::Error {
    let text = "this child has ended already and cannot be signalled";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Reads a pipe to its end, and closes it.
async fn collect(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut text).await?;
    }
    Ok(text)
}

/// Runs two futures at once; the first error ends both.
async fn both<T>(
    a: impl Future<Output = io::Result<T>>,
    b: impl Future<Output = io::Result<T>>,
) -> io::Result<(T, T)> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_said, mut b_said) = (None, None);
    poll_fn(|cx| {
        if a_said.is_none() {
            if let Poll::Ready(said) = a.as_mut().poll(cx) {
                a_said = Some(said?);
            }
        }
        if b_said.is_none() {
            if let Poll::Ready(said) = b.as_mut().poll(cx) {
                b_said = Some(said?);
            }
        }
        match (a_said.take(), b_said.take()) {
            (Some(a), Some(b)) => Poll::Ready(Ok((a, b))),
            (a, b) => {
                (a_said, b_said) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
