//! The standard streams of the process.
//!
//! They block, and may do so for ever: a terminal at which nobody types, a pipe that nobody reads. So each
//! has a thread of its own, a pool of one that belongs to the process and not to a runtime, and that nobody
//! waits for: neither a runtime that is shut down nor the end of the process. Being one, it also keeps the
//! order.
//!
//! **Input** is read when somebody wants it, and no more than that: what is typed for a child that has our
//! input is not ours. What was read and not given, since the one who wanted it was dropped, is kept for
//! whoever reads next (`LEFT`); so is a read that is under way.
//!
//! **Output** goes through one outbox (`util/outbox.rs`) for all handles, so pieces stay in the order in
//! which they were written. A flush is a job behind those before it, and writes what is there. At the end of
//! the process a handler gives the threads a second ([`GRACE`]) to get the rest out: a program that ends
//! without a flush does not lose what it said, and one whose reader is stuck ends.
//!
//! A child by `fork` has pools and outboxes of its own (`util/of_process.rs`): the parent's threads are not there. A
//! handle from before the fork is still the parent's.
//!
//! All go through std's own buffers, so they may be mixed with `println!` and `std::io::stdin`.
//!
//! Rejected: jobs on the runtime's pool (tokio's way: a read under way holds up shutdown until Enter is
//! pressed); the poller (a standard stream shares its mode with other processes, so it must not be set to
//! nonblocking, and without that a read after readiness may block a worker).

use crate::blocking::{Body, Calls, Config, Pool, Spec};
use crate::primitive::{StaticMutex, clock, thread};
use crate::task::{JoinHandle, budget};
use crate::util::of_process::OfProcess;
use crate::util::outbox::{Outbox, Put};
use std::future::Future;
use std::io::{self, BufRead, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that wait to be written, and that are read at once. A pipe of Linux has as much.
const MOST: usize = 64 * 1024;

/// How long the end of the process waits for output.
const GRACE: Duration = Duration::from_secs(1);

/// A pool of one thread, which nobody ever shuts down.
fn pool_of_one(name: &'static str) -> Pool {
    let config = Config { max_threads: 1, reserved: 0, homes: 1, ..Config::default() };
    let start = move |body: Body| {
        thread::Builder::new().name(name.into()).spawn(move || body.run()).map(drop)
    };
    Pool::new(config, Calls::new(start))
}

/// What was read from the standard input and given to nobody.
static LEFT: StaticMutex<Vec<u8>> = StaticMutex::new(Vec::new());

/// The standard input of the process, by [`AsyncRead`]. Made by [`stdin`].
///
/// Any number may exist, also in several runtimes; each byte goes to one of them.
///
/// # Cancel safety
///
/// A read that is dropped loses nothing: what it would have given goes to the next read, by whichever
/// handle.
#[derive(Debug)]
pub struct Stdin(Option<JoinHandle<io::Result<Read>>>);

/// How a look at the standard input ended.
#[derive(Debug)]
enum Read {
    /// There is something in `LEFT`, or was.
    Some,
    /// There is no more.
    End,
}

/// The standard input of the process.
///
/// Reading it never holds up the end of a runtime or of the process. It is read by lines if it is a
/// terminal; wrap it into a [`BufReader`](crate::io::BufReader) to have
/// [`lines`](crate::io::AsyncBufReadExt::lines).
///
/// # Examples
///
/// ```no_run
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::io::{AsyncBufReadExt, BufReader, stdin};
///
/// let mut lines = BufReader::new(stdin()).lines();
/// while let Some(line) = lines.next_line().await? {
///     println!("{line}, you say");
/// }
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn stdin() -> Stdin {
    Stdin(None)
}

/// The job: waits for input, unless there is some that nobody has taken.
fn look(most: usize) -> io::Result<Read> {
    if !LEFT.lock().is_empty() {
        return Ok(Read::Some);
    }
    // Others of this process may use it, and then this waits for them.
    let mut input = io::stdin().lock();
    loop {
        match input.fill_buf() {
            Ok([]) => return Ok(Read::End),
            Ok(bytes) => {
                let taken = bytes.len().min(most);
                LEFT.lock().extend_from_slice(&bytes[..taken]);
                input.consume(taken);
                return Ok(Read::Some);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        static POOL: OfProcess<Pool> = OfProcess::new();
        let unit = ready!(budget::poll_proceed(cx));
        loop {
            let ended = match &mut self.0 {
                None => false,
                Some(job) => {
                    let looked = ready!(Pin::new(job).poll(cx));
                    self.0 = None;
                    matches!(looked??, Read::End)
                }
            };
            let mut left = LEFT.lock();
            if !left.is_empty() || ended || buf.remaining() == 0 {
                let given = left.len().min(buf.remaining());
                buf.put_slice(&left[..given]);
                left.drain(..given);
                unit.made_progress();
                return Poll::Ready(Ok(()));
            }
            drop(left);
            let (pool, most) =
                (POOL.get_or_init(|| pool_of_one("stdin")), buf.remaining().min(MOST));
            self.0 = Some(pool.spawn(Spec::user(), move || look(most))?);
        }
    }
}

/// One of the streams that are written.
#[derive(Debug)]
struct Output {
    outbox: Outbox,
    pool: Pool,
    write: fn(&[u8]) -> io::Result<()>,
}

static STDOUT: OfProcess<Output> = OfProcess::new();
static STDERR: OfProcess<Output> = OfProcess::new();

impl Output {
    fn new(name: &'static str, write: fn(&[u8]) -> io::Result<()>) -> Self {
        // Without it, what is not flushed may be lost at the end; no reason to fail.
        // SAFETY: the function may be called at any time, and does not unwind.
        unsafe { libc::atexit(give_time) };
        Self { outbox: Outbox::default(), pool: pool_of_one(name), write }
    }

    /// The job: writes what there is.
    fn run(&self) {
        let mut bytes = Vec::new();
        while self.outbox.next(&mut bytes) {
            if let Err(error) = (self.write)(&bytes) {
                // Somebody else may look: the stream has no end.
                drop(self.outbox.fail(error));
                return;
            }
        }
    }

    fn start(&'static self) -> io::Result<JoinHandle<()>> {
        Ok(self.pool.spawn(Spec::user(), || self.run())?)
    }
}

/// At the end of the process: gives the threads some time to write what they have.
///
/// It runs when thread-locals are gone, so it does not park.
extern "C" fn give_time() {
    let end = clock::now() + GRACE;
    for output in [&STDOUT, &STDERR].into_iter().filter_map(OfProcess::get) {
        while !output.outbox.is_idle() && clock::now() < end {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// A handle to an output.
#[derive(Debug)]
struct Writer {
    output: &'static Output,
    /// What it waits for.
    job: Option<JoinHandle<()>>,
    /// The job was started after the last write by this handle, so it ends after that was written.
    behind: bool,
}

impl Writer {
    fn new(output: &'static Output) -> Self {
        Self { output, job: None, behind: false }
    }

    /// Waits for the job, or for a new one, which is behind all others.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.job.is_none() {
            self.job = Some(self.output.start()?);
            self.behind = true;
        }
        let ended = self.job.as_mut().map(|job| Pin::new(job).poll(cx));
        let ended = ready!(ended.expect("it was just made"));
        self.job = None;
        Poll::Ready(Ok(ended?))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let unit = ready!(budget::poll_proceed(cx));
        let written = loop {
            match self.output.outbox.put(bufs, MOST) {
                Put::Taken(taken) => break Ok(taken),
                Put::Failed(error) => break Err(error),
                Put::Wait => ready!(self.poll_job(cx))?,
                Put::Start(taken) => match self.output.start() {
                    Ok(_) => break Ok(taken),
                    // It also says that no job is at work; the next look gives it back.
                    Err(error) => drop(self.output.outbox.fail(error)),
                },
            }
        };
        self.behind = false;
        unit.made_progress();
        Poll::Ready(written)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.outbox.is_idle() {
            ready!(self.poll_job(cx))?;
            if self.behind {
                break;
            }
        }
        Poll::Ready(self.output.outbox.take_error().map_or(Ok(()), Err))
    }
}

macro_rules! outputs {
    ($($(#[$doc:meta])* $name:ident, $(#[$make_doc:meta])* $make:ident, $output:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Writer);

        $(#[$make_doc])*
        pub fn $make() -> $name {
            $name(Writer::new($output.get_or_init(|| {
                Output::new(stringify!($make), |bytes| {
                    let mut stream = io::$make().lock();
                    stream.write_all(bytes)?;
                    stream.flush()
                })
            })))
        }

        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_flush(cx)
            }
        }
    )* };
}

outputs! {
    /// The standard output of the process, by [`AsyncWrite`]. Made by [`stdout`].
    ///
    /// A write that is done has been taken, in the order of all handles; `flush` waits until the system
    /// has it. An error is given to the next write or flush, by whichever handle.
    ///
    /// # Cancel safety
    ///
    /// A write that is dropped before it was done has written nothing.
    Stdout,
    /// The standard output of the process.
    ///
    /// Writing never holds up the end of a runtime. The end of the process waits for what is not written,
    /// but no longer than a second; flush what must arrive.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// use reiver::io::{AsyncWriteExt, stdout};
    ///
    /// let mut out = stdout();
    /// out.write_all(b"hello\n").await?;
    /// out.flush().await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    stdout, STDOUT;
    /// The standard error of the process, by [`AsyncWrite`]. Made by [`stderr`]; otherwise as [`Stdout`].
    Stderr,
    /// The standard error of the process; otherwise as [`stdout`].
    stderr, STDERR;
}

macro_rules! descriptors {
    ($($name:ident: $std:ident),*) => { $(
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                rustix::stdio::$std()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                rustix::stdio::$std().as_raw_fd()
            }
        }
    )* };
}

descriptors!(Stdin: stdin, Stdout: stdout, Stderr: stderr);
