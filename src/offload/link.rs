//! The parent's side of one worker: its process, its channel, its error output.
//!
//! Everything that can happen to a worker is watched in one poll, so that nothing waits behind something
//! else: a long message goes out while error output comes in, and the caller who gives up, the deadline and
//! the worker's death are seen at any time.

use super::cgroup::Group;
use super::config::Builder;
use super::error::{Failure, KillHint};
use super::error_output::Errors;
use super::frame::{Frame, Head, Kind, Malformed, Reader};
use super::offer::CELLS;
use super::outgoing::{Outgoing, Queue};
use super::page::Page;
use super::real_time::{before, sleep_until};
use super::registry;
use super::spawn;
use super::worker::{self, CUT_OFF, UNFIT};
use crate::io::unix::AsyncFd;
use crate::io::{Interest, ReadBuf};
use crate::primitive::clock;
use crate::process::{Child, ExitStatus};
use crate::scheduler;
use crate::time::Instant;
use crate::util::patience::{Patience, Way};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How long a worker that has closed its channel has to end by itself: exiting takes a millisecond, or longer if
/// it has much memory to give back. On a machine full of other work it gets no CPU for a good while: the time is
/// such that only one that does not exit at all reaches it, since what is said then is less.
const LAST_BREATH: Duration = Duration::from_secs(2);
/// How long a worker that was asked to exit has for what it does at its exit.
const FAREWELL: Duration = Duration::from_secs(2);
/// Our end of the channel.
type Socket = AsyncFd<UnixStream>;

/// One worker.
pub(super) struct Link {
    socket: Socket,
    reader: Reader,
    errors: Errors,
    child: Child,
    pid: u32,
    group: Option<Group>,
    /// Which of its jobs have begun.
    page: Page,
    /// What is to be written.
    out: Queue,
    patience: Patience,
    /// Since when an answer is waited for.
    expecting: Option<std::time::Instant>,
}

/// How a wait for a worker ended.
#[derive(Debug)]
pub(super) enum End {
    /// With a message.
    Answer(Frame),
    /// It has ended, or its channel is closed or broken.
    Lost,
    /// It cannot be written to, though it lives.
    Unsent(io::Error),
    /// It wrote what is no message.
    Garbage(Malformed),
    /// Time is up.
    Late,
    /// What else was waited for has come: the caller is gone, or there is work.
    Other,
}

/// Whether there is something to read.
pub(super) fn has_input(socket: impl AsFd) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(socket, &mut [0], flags) != Err(Errno::AGAIN)
}

/// Reads once.
fn receive(socket: &UnixStream, buf: &mut ReadBuf<'_>) -> rustix::io::Result<()> {
    // SAFETY: `recv` writes into it, and nothing else.
    let unfilled = unsafe { buf.unfilled_mut() };
    let (_, received) = rustix::net::recv(socket, unfilled, RecvFlags::DONTWAIT)?;
    // SAFETY: `recv` has filled so many bytes.
    unsafe { buf.assume_init(received) };
    buf.advance(received);
    Ok(())
}

impl Link {
    /// Starts a worker, up to its hello and the initialiser's end.
    pub(super) async fn start(config: &Builder) -> Result<Self, String> {
        let deadline = Instant::now().checked_add(config.start_timeout);
        let (mut link, mut is_cloned) = Self::make(config, config.template, deadline).await?;
        let mut hello = link.exchange(deadline, |_| Poll::Pending).await;
        if is_cloned && !matches!(&hello, End::Answer(frame) if frame.head.kind == Kind::Hello) {
            // Perhaps it is the template's fault, and one that is started directly comes up.
            spawn::distrust(config);
            (link, is_cloned) = Self::make(config, false, deadline).await?;
            hello = link.exchange(deadline, |_| Poll::Pending).await;
        }
        match hello {
            End::Answer(frame) if frame.head.kind == Kind::Hello => {
                if frame.head.extra != registry::fingerprint() {
                    return Err("it is another program: its functions are not ours".into());
                }
            }
            end => return Err(link.explain("starting", end).await),
        }
        if !is_cloned {
            spawn::prepare_next(config);
        }
        let Some(first) = &config.initializer else { return Ok(link) };
        let Some(function) = first.entry.index() else { return Err("unknown initialiser".into()) };
        if let Err(error) = &*first.message {
            return Err(format!("the initialiser's arguments: {error}"));
        }
        let head = Head::new(Kind::Run, function, 0, 0);
        link.give(Outgoing::new(head, first.message.clone(), &first.context));
        match link.exchange(deadline, |_| Poll::Pending).await {
            End::Answer(frame) if frame.head.kind == Kind::Done => Ok(link),
            End::Answer(frame) if frame.head.kind == Kind::Panicked => {
                let said = registry::decode::<(String, String, Option<String>)>(
                    &frame.payload,
                    &mut Vec::new(),
                );
                let (message, place, _) = said.unwrap_or_default();
                Err(format!("the initialiser panicked at {place}: {message}"))
            }
            end => Err(link.explain("its initialiser", end).await),
        }
    }

    /// Makes a process that is to be a worker. Gives whether a template has made it.
    async fn make(
        config: &Builder,
        template: bool,
        deadline: Option<Instant>,
    ) -> Result<(Self, bool), String> {
        let starting = spawn::spawn(config, template);
        let started = match deadline {
            // Dropped in time or not: a worker that nobody takes on is ended.
            Some(deadline) => before(deadline, starting).await,
            None => Some(starting.await),
        };
        let started = started.ok_or("starting: it took too long to make a process")?;
        let (newborn, socket, page) = started.map_err(|error| error.to_string())?;
        let (group, is_cloned) = (newborn.group(), newborn.is_cloned());
        let (known, errors) = newborn.take();
        let adopted = Child::adopt(known, (None, None, Some(errors.into())), true);
        let mut child = adopted.map_err(|error| error.to_string())?;
        let socket = AsyncFd::with_interest(socket, Interest::READABLE);
        let socket = socket.map_err(|error| error.to_string())?;
        let pid = child.id().unwrap_or_default();
        let errors = Errors::new(child.stderr.take(), config.stderr);
        let reader = Reader::new(config.max_message, false);
        let (out, patience) = (Queue::default(), Patience::new(config.spin));
        let expecting = None;
        let link =
            Self { socket, reader, errors, child, pid, group, page, out, patience, expecting };
        Ok((link, is_cloned))
    }

    /// The worker's process.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Gives the worker a job to write: its number among the worker's jobs.
    pub(super) fn give(&mut self, message: Outgoing) -> u64 {
        let number = self.page.offer();
        self.out.push(message);
        number
    }

    /// Takes a job back that the worker was given. `false`: it has begun.
    #[must_use = "`true`: the job is to be queued again"]
    pub(super) fn take_back(&mut self, number: u64) -> bool {
        let is_back = self.page.withdraw(number);
        if is_back {
            self.out.strike_out(self.page.since(number));
        }
        is_back
    }

    /// Whether the worker can hold one job more, when it has not ended job `oldest`.
    pub(super) fn has_room(&self, oldest: u64) -> bool {
        self.page.since(oldest) < CELLS
    }

    /// Whether a job can have reached the worker whole: only then can it begin.
    pub(super) fn delivered(&self, number: u64) -> bool {
        self.out.may_be_through(self.page.since(number))
    }

    /// The end of its error output, with what has come by now.
    pub(super) fn stderr_tail(&mut self) -> String {
        // The waker is a dummy: the next wait polls again.
        self.errors.poll(&mut Context::from_waker(std::task::Waker::noop()));
        self.errors.text()
    }

    /// A new job begins: what the last one wrote is not its.
    pub(super) fn forget_errors(&mut self) {
        self.errors.forget();
    }

    /// Why a worker went wrong that has done nothing yet.
    pub(super) async fn explain(&mut self, what: &str, end: End) -> String {
        let how = match end {
            End::Answer(frame) => format!("answered with {:?}", frame.head.kind),
            End::Garbage(malformed) => malformed.to_string(),
            End::Late => "took too long".into(),
            End::Unsent(error) => format!("could not be written to: {error}"),
            End::Lost | End::Other => match self.bury().await {
                Failure::Killed { signal, .. } => format!("was killed by signal {signal}"),
                Failure::Exited { code } => format!("exited with code {code}"),
                Failure::Protocol { reason } => format!("ended: {reason}"),
                _ => "was lost".into(),
            },
        };
        let tail = self.stderr_tail();
        let said = if tail.is_empty() { "" } else { "; it said: " };
        format!("{what}: it {how}{said}{}", tail.trim_end())
    }

    /// Writes what there is to write, and waits for the worker's next message or its end, or for `other`.
    ///
    /// A message that was read with the last one comes first: what is given to the worker on account of both is then
    /// written at once, and wakes it once.
    pub(super) async fn exchange(
        &mut self,
        deadline: Option<Instant>,
        mut other: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> End {
        let mut late = pin!(deadline.map(sleep_until));
        poll_fn(|cx| {
            if let Some(end) = self.come() {
                return Poll::Ready(end);
            }
            if let Err(error) = self.out.poll_write(&self.socket, cx) {
                return Poll::Ready(End::Unsent(error));
            }
            let is_found = self.look_on();
            if let Poll::Ready(end) = self.poll_message(cx, is_found) {
                return Poll::Ready(end);
            }
            self.errors.poll(cx);
            if self.child.poll_ended(cx).is_ready() {
                // Its channel may be open still: what it has started by `fork` alone has it too. What it said
                // last may be there, and the poller not have told of it yet.
                let last = self.poll_message(cx, true);
                return Poll::Ready(if let Poll::Ready(end) = last { end } else { End::Lost });
            }
            if other(cx).is_ready() {
                return Poll::Ready(End::Other);
            }
            if let Some(late) = late.as_mut().as_pin_mut() {
                ready!(late.poll(cx));
                return Poll::Ready(End::Late);
            }
            Poll::Pending
        })
        .await
    }

    /// As [`exchange`](Self::exchange), for the answer to a job, which may come so soon that it is not worth a sleep.
    pub(super) async fn answer(
        &mut self,
        deadline: Option<Instant>,
        other: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> End {
        let since = clock::now();
        self.expecting = Some(since);
        let end = self.exchange(deadline, other).await;
        // Else it had been read with the one before.
        let has_waited = self.expecting.take().is_none();
        self.patience.learn(since.elapsed(), has_waited && matches!(end, End::Answer(_)));
        end
    }

    /// Looks on for an answer that should come soon, in the first poll that waits for it. Gives whether it is there.
    fn look_on(&mut self) -> bool {
        let (socket, out) = (self.socket.get_ref(), &self.out);
        let since = self.expecting.take().filter(|_| out.is_empty());
        let is_free = || scheduler::worker(|worker| worker.is_none_or(|worker| !worker.has_more()));
        let look_on = |since| self.patience.look_on(since, || Way::Kept, || has_input(socket));
        since.is_some_and(|since| is_free() && look_on(since))
    }

    /// A message that was read, or what was read instead.
    fn come(&mut self) -> Option<End> {
        match self.reader.next() {
            Ok(frame) => frame.map(End::Answer),
            Err(malformed) => Some(End::Garbage(malformed)),
        }
    }

    /// Reads a message. `is_found`: there is one, also if the poller has not told of it.
    fn poll_message(&mut self, cx: &mut Context<'_>, is_found: bool) -> Poll<End> {
        loop {
            let ready = match self.socket.poll_read_ready(cx) {
                Poll::Ready(Ok(ready)) => Some(ready),
                Poll::Ready(Err(_)) => return Poll::Ready(End::Lost),
                Poll::Pending if is_found => None,
                Poll::Pending => return Poll::Pending,
            };
            let is_told = ready.is_some();
            let clear = || ready.into_iter().for_each(|mut ready| ready.clear_ready());
            let (socket, mut room) = (self.socket.get_ref(), 0);
            let (read, filled) = self.reader.fill(|buf| {
                room = buf.remaining();
                receive(socket, buf)
            });
            match read {
                // All that there was; what came since makes it ready again. No descriptors come this way, at
                // which a read would stop short.
                Ok(()) if filled > 0 && filled < room => clear(),
                Ok(()) if filled > 0 => {}
                Err(Errno::AGAIN) if is_told => clear(),
                Err(Errno::AGAIN) => return Poll::Pending,
                Err(Errno::INTR) => {}
                _ => return Poll::Ready(End::Lost),
            }
            if let Some(end) = self.come() {
                return Poll::Ready(end);
            }
        }
    }

    /// Asks a job to stop.
    pub(super) fn ask(&self, job: u64) {
        if let Some(pid) = self.child.id() {
            worker::ask(pid, job);
        }
    }

    /// Kills the worker as a stranger would.
    pub(super) fn strike(&mut self) {
        let _ = self.child.start_kill();
    }

    /// Kills the worker and what it has started. Does not wait.
    pub(super) fn kill(&mut self) {
        // As long as it is not reaped, its number is its own, also as its group's.
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            // It leads its group unless it has left it.
            let _ = self.child.start_kill();
            // What has left its process group.
            self.group.iter().for_each(Group::kill);
        }
    }

    /// Waits for the end of a worker whose channel is closed; says how it ended.
    pub(super) async fn bury(&mut self) -> Failure {
        let ended = before(Instant::now() + LAST_BREATH, self.ended()).await.is_some();
        // What it has started and left behind. It is not reaped yet.
        self.kill();
        let status = self.child.wait().await;
        match status {
            Ok(status) if ended => self.failure(status),
            _ => Failure::Protocol { reason: "it closed its channel".into() },
        }
    }

    /// Waits until it has ended, without reaping it.
    async fn ended(&mut self) {
        let mut by_pidfd = false;
        let pid = Pid::from_raw(self.pid as i32);
        if let Some(Ok(pidfd)) =
            pid.map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()))
        {
            if let Ok(pidfd) = AsyncFd::with_interest(pidfd, Interest::READABLE) {
                by_pidfd = pidfd.readable().await.is_ok();
            }
        }
        if !by_pidfd {
            // No descriptor left, or no such call: reaped here, and what it has left behind lives on.
            let _ = self.child.wait().await;
        }
    }

    fn failure(&mut self, status: ExitStatus) -> Failure {
        let Some(signal) = status.signal() else {
            let reason = match status.code().unwrap_or_default() {
                CUT_OFF => "its channel was closed",
                UNFIT => "it could not go on",
                code => return Failure::Exited { code },
            };
            return Failure::Protocol { reason: reason.into() };
        };
        let tail = self.stderr_tail();
        let hint = if tail.contains("has overflowed its stack") {
            Some(KillHint::StackOverflow)
        } else if tail.contains("memory allocation of ") {
            Some(KillHint::OutOfMemory)
        } else if signal == libc::SIGXCPU {
            Some(KillHint::CpuTime)
        } else if signal == libc::SIGKILL
            && self.group.as_ref().is_some_and(Group::is_out_of_memory)
        {
            Some(KillHint::OutOfMemory)
        } else {
            None
        };
        Failure::Killed { signal, hint }
    }

    /// Lets the worker exit in good order; kills it if that takes too long.
    pub(super) async fn retire(mut self) {
        self.out.push(Outgoing::plain(Head::new(Kind::Close, 0, 0, 0)));
        let deadline = Instant::now().checked_add(FAREWELL);
        let end = self.exchange(deadline, |_| Poll::Pending).await;
        if matches!(end, End::Lost) {
            let _ = self.bury().await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.kill();
    }
}
