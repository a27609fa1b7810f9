//! Templates, as the parent has them: processes that make workers by `clone`, which saves `exec` and the loader.
//!
//! A template is this program, started as a worker is, and caught where a worker is caught; but it does nothing of a
//! worker except to wait for requests (`worker/template.rs`). The thread that starts processes owns all of them. Each
//! makes workers of one program, with one environment, that have inherited the same (`heritage.rs`).
//!
//! # A request
//!
//! 1. The parent sets the *word* to 0: memory that it shares with the template and with nobody else.
//! 2. It sends the orders, with the descriptors that the worker is to have.
//! 3. The template calls `clone`, in which the kernel writes the worker's number into the word before the worker runs.
//! 4. The template answers, and the parent reads the word.
//!
//! If no answer comes, or the word is 0 then, the template is killed and reaped, and makes no worker from there on. So the
//! word says for certain whether it has made one: that is the worker then, however its template ended. Otherwise the
//! worker is started directly.

use super::config::{Builder, Stdio};
use super::heritage::Heritage;
use super::orders::{self, VARIABLE};
use super::page::sealed_memory;
use super::spawn::Plan;
use crate::primitive::{clock, thread};
use crate::process::Known;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    SocketFlags, SocketType,
};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::time::{Duration, Instant};

/// How many there may be: more are needed only by pools with different environments or programs.
const MOST: usize = 4;
/// How many may fail before workers are started directly, until there was no failure for so long.
const FAILURES: (u32, Duration) = (3, Duration::from_secs(600));
/// How long an answer may take, which takes 0.1 ms: longer is only for one that is stopped, on any machine.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one may take until it is ready.
const BIRTH: Duration = Duration::from_secs(10);
/// How long they stay when there is no pool any more, for a program that makes another.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What is started: a program and its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    program: OsString,
    environment: Vec<(OsString, OsString)>,
}

impl Recipe {
    pub(super) fn of(config: &Builder) -> Self {
        Self { program: config.program.clone(), environment: config.environment() }
    }

    /// A process with these orders.
    pub(super) fn command(&self, orders: &str, input: OwnedFd) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(environment).env(VARIABLE, orders);
        command.stdin(input).process_group(0);
        command
    }
}

/// Those of this process, the last that was used at the end.
#[derive(Default)]
pub(super) struct Templates {
    entries: Vec<Entry>,
    /// Since when there is no pool.
    unused: Option<Instant>,
}

struct Entry {
    recipe: Recipe,
    failures: u32,
    last_failure: Instant,
    template: Option<Template>,
}

impl Entry {
    fn new(recipe: Recipe) -> Self {
        Self { recipe, failures: 0, last_failure: clock::now(), template: None }
    }

    fn fail(&mut self) {
        (self.template, self.last_failure) = (None, clock::now());
        self.failures += 1;
    }

    fn may_try(&mut self) -> bool {
        if self.last_failure.elapsed() > FAILURES.1 {
            self.failures = 0;
        }
        self.failures < FAILURES.0
    }
}

impl Templates {
    /// Makes a worker. `None`: there is no template that is ready and fits, or it has failed, and no worker was made.
    pub(super) fn make(&mut self, plan: &Plan, errors: BorrowedFd<'_>) -> Option<Known> {
        let entry = self.entry(&plan.recipe)?;
        let template = entry.template.as_mut()?;
        if !Heritage::now().is_ok_and(|now| now == template.heritage) {
            // Those that are always too late are as good as none.
            if template.is_of_use {
                entry.template = None
            } else {
                entry.fail()
            }
            return None;
        }
        match template.is_ready() {
            Ok(true) => {}
            Ok(false) if template.since.elapsed() < BIRTH => return None,
            _ => {
                entry.fail();
                return None;
            }
        }
        let (worker, is_well) = template.make(plan, errors);
        if !is_well {
            entry.fail();
        }
        worker
    }

    /// Starts a template for the next worker of this kind, if there is none and it makes sense.
    pub(super) fn prepare(&mut self, recipe: Recipe) {
        if self.entry(&recipe).is_none() {
            if self.entries.len() == MOST {
                self.entries.remove(0);
            }
            self.entries.push(Entry::new(recipe));
        }
        let Some(entry) = self.entries.last_mut() else { return };
        if entry.template.is_none() && entry.may_try() {
            match Template::start(&entry.recipe) {
                Ok(template) => entry.template = Some(template),
                Err(_) => entry.fail(),
            }
        }
    }

    /// That of this recipe, which is the last that was used from here on.
    fn entry(&mut self, recipe: &Recipe) -> Option<&mut Entry> {
        let at = self.entries.iter().position(|entry| entry.recipe == *recipe)?;
        self.entries[at..].rotate_left(1);
        self.entries.last_mut()
    }

    /// Ends a template whose worker did not come up.
    pub(super) fn distrust(&mut self, recipe: &Recipe) {
        let entry = self.entries.iter_mut().find(|entry| entry.recipe == *recipe);
        entry.into_iter().filter(|entry| entry.template.is_some()).for_each(Entry::fail);
    }

    /// Ends them if there has been no pool for a while. `true`: it is to be called again after a while.
    pub(super) fn tidy(&mut self, is_used: bool) -> bool {
        let has_some = self.entries.iter().any(|entry| entry.template.is_some());
        if is_used || !has_some {
            self.unused = None;
            return false;
        }
        if self.unused.get_or_insert_with(clock::now).elapsed() < LINGER {
            return true;
        }
        self.entries.iter_mut().for_each(|entry| entry.template = None);
        false
    }
}

/// A process that makes workers. It ends when this is dropped.
struct Template {
    process: process::Child,
    control: OwnedFd,
    /// Where the kernel writes the number of the worker that it makes.
    word: OwnedFd,
    is_ready: bool,
    /// It has made a worker.
    is_of_use: bool,
    since: Instant,
    heritage: Heritage,
}

/// A socket for requests and answers, and the template's end of it.
fn control() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)
}

impl Template {
    fn start(recipe: &Recipe) -> io::Result<Self> {
        let heritage = Heritage::now()?;
        let (control, theirs) = control()?;
        set_socket_timeout(&control, Timeout::Recv, Some(PATIENCE))?;
        let word = sealed_memory("reiver template", size_of::<u32>())?;
        let mut command = recipe.command(&orders::template(process::id()), theirs);
        command.stdout(word.try_clone()?).stderr(process::Stdio::null());
        let process = command.spawn()?;
        let (is_ready, is_of_use, since) = (false, false, clock::now());
        Ok(Self { process, control, word, is_ready, is_of_use, since, heritage })
    }

    /// Whether it has said that it is. An error: it has ended.
    fn is_ready(&mut self) -> io::Result<bool> {
        if !self.is_ready {
            match self.hear(RecvFlags::DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                heard => {
                    heard?;
                    self.is_ready = true;
                }
            }
        }
        Ok(self.is_ready)
    }

    /// A word from it, which has no content.
    fn hear(&self, flags: RecvFlags) -> io::Result<()> {
        let start = clock::now();
        let (_, len) = loop {
            match rustix::net::recv(&self.control, &mut [0], flags) {
                // Each signal begins the wait anew, so there is an end to that.
                Err(Errno::INTR) if start.elapsed() < PATIENCE => {}
                heard => break heard?,
            }
        };
        if len == 1 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Makes a worker, if it can. `false`: it has ended.
    fn make(&mut self, plan: &Plan, errors: BorrowedFd<'_>) -> (Option<Known>, bool) {
        if rustix::io::pwrite(&self.word, &[0; size_of::<u32>()], 0).is_err() {
            return (None, false);
        }
        let is_answered = self.ask(plan, errors).is_ok();
        match self.made().filter(|_| is_answered) {
            Some(worker) => {
                self.is_of_use = true;
                (Some(worker), true)
            }
            None => {
                self.end();
                (self.made(), false)
            }
        }
    }

    /// Asks for a worker, and waits for the answer.
    fn ask(&self, plan: &Plan, errors: BorrowedFd<'_>) -> io::Result<()> {
        let output = rustix::stdio::stdout();
        let descriptors = [plan.channel.as_fd(), errors, output];
        let descriptors = match plan.stdout {
            Stdio::Inherit => &descriptors[..],
            Stdio::Null => &descriptors[..2],
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(descriptors));
        let text = [IoSlice::new(plan.orders.as_bytes())];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(&self.control, &text, &mut control, flags)?;
        self.hear(RecvFlags::empty())
    }

    /// The worker that was made since the word was set to 0.
    fn made(&self) -> Option<Known> {
        let mut word = [0; size_of::<u32>()];
        rustix::io::pread(&self.word, &mut word, 0).ok()?;
        // Whoever may write there could name another process.
        Known::new(u32::from_ne_bytes(word)).filter(Known::is_ours)
    }

    /// Ends it, so that it makes no worker from here on.
    fn end(&mut self) {
        // For one that cannot be killed, since this process has become another user's: it exits then.
        let _ = rustix::net::shutdown(&self.control, Shutdown::Both);
        // An error: somebody else has reaped it, and its number may be another's.
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        if self.process.kill().is_ok() {
            let _ = self.process.wait();
            return;
        }
        let start = clock::now();
        while matches!(self.process.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is believed of a template that has made a worker before, and does this with the next request: writes
    /// the word, and answers.
    fn asked(word: Option<u32>, answers: bool) -> (Option<u32>, bool) {
        let (control, theirs) = control().unwrap();
        let memory = sealed_memory("word", size_of::<u32>()).unwrap();
        rustix::io::pwrite(&memory, &std::process::id().to_ne_bytes(), 0).unwrap();
        let shared = memory.try_clone().unwrap();
        let process = Command::new("sleep").arg("60").spawn().unwrap();
        let heritage = Heritage::now().unwrap();
        let (is_ready, is_of_use, since) = (true, false, clock::now());
        let mut template =
            Template { process, control, word: memory, is_ready, is_of_use, since, heritage };
        let fake = thread::Builder::new().spawn(move || {
            let mut text = [0; 64];
            let (_, len) = rustix::net::recv(&theirs, &mut text, RecvFlags::empty()).unwrap();
            assert_eq!(&text[..len], b"orders");
            if let Some(word) = word {
                rustix::io::pwrite(&shared, &word.to_ne_bytes(), 0).unwrap();
            }
            if answers {
                rustix::net::send(&theirs, &[1], SendFlags::NOSIGNAL).unwrap();
            }
        });
        let (channel, errors) = rustix::pipe::pipe().unwrap();
        let recipe = Recipe { program: "none".into(), environment: Vec::new() };
        let (orders, stdout) = ("orders".into(), Stdio::Inherit);
        let plan = Plan { recipe, orders, channel, stdout, group: None, template: true };
        let (made, is_well) = template.make(&plan, errors.as_fd());
        fake.unwrap().join().unwrap();
        let has_ended = template.process.try_wait().unwrap().is_some();
        assert_ne!(is_well, has_ended, "it could still make one");
        (made.map(|known| known.id()), is_well)
    }

    #[test]
    fn the_word_says_whether_a_worker_was_made() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let worker = child.id();
        assert_eq!(asked(Some(worker), true), (Some(worker), true));
        assert_eq!(asked(Some(worker), false), (Some(worker), false), "it runs: it is taken on");
        assert_eq!(asked(None, true), (None, false));
        assert_eq!(asked(None, false), (None, false), "not the one before");
        assert_eq!(
            asked(Some(std::process::id()), true),
            (None, false),
            "that is no child of ours"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_fails_often_is_left_alone_for_a_while() {
        let mut entry = Entry::new(Recipe { program: "none".into(), environment: Vec::new() });
        for _ in 0..FAILURES.0 {
            assert!(entry.may_try());
            entry.fail();
        }
        assert!(!entry.may_try());
        let Some(earlier) = entry.last_failure.checked_sub(FAILURES.1) else { return };
        entry.last_failure = earlier;
        assert!(entry.may_try());
    }
}
