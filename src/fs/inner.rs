//! What is under way with a file.
//!
//! A file does one thing at a time: `job` is what is under way, and whoever wants something else waits for
//! its end first, also if the future that began it was dropped. So operations happen in the order in which
//! they were first polled. Only writes may join the job that is at work (`util/outbox.rs`).
//!
//! A small read of what is in memory needs no job, where the system can tell (`cached/`).
//!
//! The position is the descriptor's own, which duplicates and other processes may share. It is where the
//! program thinks it is, but for bytes that a dropped future has read: `unread`. They are given to the next
//! read, and given back by moving the position before anything that depends on it.

use super::writing::Writing;
use super::{cached, start, start_mandatory};
use crate::io::ReadBuf;
use crate::primitive::Arc;
use crate::task::{JoinHandle, budget};
use crate::util::outbox::{Outbox, Put};
use rustix::io::retry_on_intr;
use std::fs::File as StdFile;
use std::future::Future;
use std::io::{self, IoSlice, Seek, SeekFrom};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// The most bytes that are read on the worker itself, if they are in memory: a copy of so many takes about
/// as long as handing a job over. Larger reads are worth a job.
const CACHED_MOST: usize = 64 * 1024;

/// What is under way with a file, and what it leaves.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) job: Option<Job>,
    unread: Unread,
    /// A seek that was asked for and has not begun.
    pub(super) seek: Option<SeekFrom>,
    /// Where the last seek ended.
    position: u64,
    pub(super) outbox: Arc<Outbox>,
}

/// What is under way.
pub(super) enum Job {
    Read(JoinHandle<(io::Result<()>, Vec<u8>)>),
    Seek(JoinHandle<io::Result<u64>>),
    /// Its errors are in the outbox.
    Write(JoinHandle<()>),
    /// Its result goes to the one who began it.
    Other(JoinHandle<()>),
}

impl Job {
    fn is_finished(&self) -> bool {
        match self {
            Self::Read(job) => job.is_finished(),
            Self::Seek(job) => job.is_finished(),
            Self::Write(job) | Self::Other(job) => job.is_finished(),
        }
    }
}

/// How the job ended.
enum Done {
    Read(io::Result<()>),
    Seek(io::Result<u64>),
    Other,
}

/// Bytes that were read from the file and given to nobody.
#[derive(Default)]
struct Unread {
    bytes: Vec<u8>,
    given: usize,
}

impl Unread {
    fn len(&self) -> usize {
        self.bytes.len() - self.given
    }

    fn give(&mut self, to: &mut ReadBuf<'_>) {
        let given = self.len().min(to.remaining());
        to.put_slice(&self.bytes[self.given..][..given]);
        self.given += given;
    }
}

impl Inner {
    /// Waits for the end of what is under way. `None`: nothing is.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Done>>> {
        let done = match &mut self.job {
            None => return Poll::Ready(Ok(None)),
            Some(Job::Read(job)) => ready!(Pin::new(job).poll(cx)).map(|(result, bytes)| {
                self.unread = Unread { bytes, given: 0 };
                Done::Read(result)
            }),
            Some(Job::Seek(job)) => ready!(Pin::new(job).poll(cx)).map(|result| {
                self.position = *result.as_ref().unwrap_or(&self.position);
                Done::Seek(result)
            }),
            Some(Job::Write(job) | Job::Other(job)) => {
                ready!(Pin::new(job).poll(cx)).map(|()| Done::Other)
            }
        };
        self.job = None;
        Poll::Ready(done.map(Some).map_err(io::Error::from))
    }

    /// Waits until nothing is under way. Who began it and does not want its result any more has dropped
    /// it; a write's error waits in the outbox.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.job.is_some() {
            let _ = ready!(self.poll_job(cx));
        }
        Poll::Ready(())
    }

    /// Whether nothing is under way, after a look at the job: it may have ended, and nobody have asked since.
    pub(super) fn is_settled(&mut self) -> bool {
        if self.job.as_ref().is_some_and(Job::is_finished) {
            // It is ready: the waker is a dummy.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = budget::without_budget(|| self.poll_job(&mut cx));
        }
        self.job.is_none()
    }

    /// Sets the position to where the program thinks that it is. Nothing is under way.
    ///
    /// On this thread: a relative seek changes a number. What cannot seek keeps its bytes for the next
    /// read, and has no position that they could be behind.
    pub(super) fn give_back(&mut self, mut file: &StdFile) {
        let unread = self.unread.len();
        if unread > 0 && file.seek(SeekFrom::Current(-(unread as i64))).is_ok() {
            self.unread = Unread::default();
        }
    }

    /// Begins the seek that was asked for, if there is one. Nothing is under way.
    fn begin_seek(&mut self, file: &Arc<StdFile>) -> io::Result<bool> {
        let Some(to) = self.seek.take() else { return Ok(false) };
        self.give_back(file);
        let file = file.clone();
        self.job = Some(Job::Seek(start(move || (&*file).seek(to))?));
        Ok(true)
    }

    pub(super) fn poll_read(
        &mut self,
        file: &Arc<StdFile>,
        most: usize,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(Done::Read(result)) = ready!(self.poll_job(cx))? {
                result?;
                self.unread.give(buf);
                return Poll::Ready(Ok(()));
            }
            if self.begin_seek(file)? {
                continue;
            }
            if self.unread.len() > 0 || buf.remaining() == 0 {
                self.unread.give(buf);
                return Poll::Ready(Ok(()));
            }
            let wanted = buf.remaining().min(most);
            if wanted <= CACHED_MOST {
                if let Some(read) = cached::read(file, buf.initialize_unfilled_to(wanted)) {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
            }
            let mut bytes = mem::take(&mut self.unread).bytes;
            let file = file.clone();
            self.job = Some(Job::Read(start(move || (read(&file, &mut bytes, wanted), bytes))?));
        }
    }

    pub(super) fn poll_write(
        &mut self,
        file: &Arc<StdFile>,
        most: usize,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.job.is_none() {
                self.begin_seek(file)?;
            }
            let put = match &self.job {
                // A seek that was asked for comes between the bytes before and these.
                Some(Job::Write(_)) if self.seek.is_none() => self.outbox.join(bufs, most),
                Some(_) => Put::Wait,
                None => {
                    self.give_back(file);
                    self.outbox.put(bufs, most)
                }
            };
            match put {
                Put::Taken(taken) => return Poll::Ready(Ok(taken)),
                Put::Failed(error) => return Poll::Ready(Err(error)),
                // Its result is nobody's.
                Put::Wait => drop(ready!(self.poll_job(cx))),
                Put::Start(taken) => {
                    let writing = Writing::new(file.clone(), self.outbox.clone());
                    self.job = Some(Job::Write(start_mandatory(move || writing.run())?));
                    return Poll::Ready(Ok(taken));
                }
            }
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_settled(cx));
        Poll::Ready(self.outbox.take_error().map_or(Ok(()), Err))
    }

    pub(super) fn poll_seek(
        &mut self,
        file: &Arc<StdFile>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>> {
        loop {
            match ready!(self.poll_job(cx))? {
                Some(Done::Seek(result)) if self.seek.is_none() => return Poll::Ready(result),
                Some(_) => {}
                None if self.begin_seek(file)? => {}
                None => return Poll::Ready(Ok(self.position)),
            }
        }
    }
}

/// Reads once, up to `wanted` bytes, and over what was in `bytes`.
fn read(file: &StdFile, bytes: &mut Vec<u8>, wanted: usize) -> io::Result<()> {
    bytes.clear();
    bytes.reserve(wanted);
    let read = retry_on_intr(|| {
        rustix::io::read(file, &mut bytes.spare_capacity_mut()[..wanted])
            .map(|(read, _)| read.len())
    })?;
    // SAFETY: the vector is empty, and the system has filled so many bytes of its room.
    unsafe { bytes.set_len(read) };
    Ok(())
}
