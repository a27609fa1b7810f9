//! The loop of a worker: a message, a call, an answer.

use super::super::blob::Blob;
use super::super::context::{JobContext, cut};
use super::super::error::Trouble;
use super::super::frame::{Frame, HEAD, Head, Kind, Reader, Segment};
use super::super::link::has_input;
use super::super::offer::Taken;
use super::super::orders::Orders;
use super::super::page::Page;
use super::super::registry::{self, Entry, Message, Output};
use super::{UNFIT, stack, stop, title};
use crate::io::ReadBuf;
use crate::primitive::{Arc, StaticMutex, clock, thread};
use crate::util::patience::{Patience, Way};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{Resource, Rlimit};
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::exit;
use std::time::Duration;

/// What the hook has seen of the job's panic.
static PANIC: StaticMutex<Option<Panic>> = StaticMutex::new(None);

/// Message, place, backtrace.
pub(in crate::offload) type Panic = (String, String, Option<String>);

/// Takes jobs until the parent says that it is enough, or goes away.
pub(super) fn serve(channel: OwnedFd, orders: &Orders) -> ! {
    if let Err(error) = stack::watch() {
        eprintln!("reiver worker: stack overflows will not be named: {error}");
    }
    if orders.listen {
        if let Err(error) = stop::listen() {
            eprintln!("reiver worker: jobs cannot be asked to stop: {error}");
        }
    }
    watch_panics();
    let hello = Head::new(Kind::Hello, std::process::id(), 0, registry::fingerprint());
    let mut channel = Channel {
        reader: Reader::new(orders.limit, true),
        descriptors: VecDeque::new(),
        fd: channel,
        head: Vec::new(),
    };
    if registry::fingerprint() != orders.fingerprint {
        eprintln!("reiver worker: this is another program than the parent");
        exit(UNFIT)
    }
    let mut page = match channel.page() {
        Ok(page) => page,
        Err(error) => {
            eprintln!("reiver worker: no memory for offers: {error}");
            exit(UNFIT)
        }
    };
    let mut alive = channel.send(hello, &Message::default());
    let patience = Patience::new(Duration::from_nanos(orders.spin));
    while alive.is_ok() {
        let frame = match channel.next(&page, &patience) {
            Ok(frame) => frame,
            Err(error) => {
                eprintln!("reiver worker: {error}");
                exit(UNFIT)
            }
        };
        alive = match frame.head.kind {
            Kind::Run => channel.run(frame, &mut page, orders),
            Kind::Close => exit(0),
            other => {
                eprintln!("reiver worker: a {other:?} is nothing for a worker");
                exit(UNFIT)
            }
        };
    }
    exit(UNFIT)
}

struct Channel {
    fd: OwnedFd,
    reader: Reader,
    /// Received with messages, in their order.
    descriptors: VecDeque<OwnedFd>,
    /// Used again for each message.
    head: Vec<u8>,
}

impl Channel {
    fn receive(&mut self) -> io::Result<Frame> {
        loop {
            let next = self.reader.next();
            if let Some(frame) = next.map_err(|error| io::Error::other(error.to_string()))? {
                return Ok(frame);
            }
            let Self { fd, reader, descriptors, .. } = self;
            let (result, filled) = reader.fill(|buf| receive_into(fd, buf, descriptors));
            result?;
            if filled == 0 {
                return Err(io::Error::other("the parent has closed the channel"));
            }
        }
    }

    /// The next message, for which it looks on if it should come soon.
    fn next(&mut self, page: &Page, patience: &Patience) -> io::Result<Frame> {
        if page.is_offered() {
            // Jobs come several at a time: who gives them needs the CPU more.
            patience.learn(Duration::ZERO, false);
            return self.receive();
        }
        let since = clock::now();
        // It is offered before it is sent.
        patience.look_on(since, || Way::Kept, || page.is_offered() && has_input(&self.fd));
        let frame = self.receive();
        patience.learn(since.elapsed(), true);
        frame
    }

    /// The memory in which the parent offers jobs: the first message.
    fn page(&mut self) -> io::Result<Page> {
        let first = self.receive()?;
        match (first.head.kind, self.descriptors.pop_front()) {
            (Kind::Page, Some(descriptor)) => Page::map(descriptor),
            _ => Err(io::Error::other("the first message is another")),
        }
    }

    fn run(&mut self, frame: Frame, page: &mut Page, orders: &Orders) -> io::Result<()> {
        let Frame { head, payload, segments } = frame;
        let mut blobs = Vec::with_capacity(segments.len());
        for segment in segments {
            blobs.push(match segment {
                Segment::Bytes(bytes) => Blob::from(bytes),
                Segment::Shared(len) => {
                    let missing = || io::Error::other("a descriptor is missing");
                    Blob::from_parent(self.descriptors.pop_front().ok_or_else(missing)?, len)?
                }
            });
        }
        match page.take() {
            Taken::Ours => {}
            Taken::Withdrawn => {
                // Another worker has it. What came with it goes as after a call.
                self.recycle(blobs);
                return Ok(());
            }
            Taken::Damaged => {
                eprintln!("reiver worker: a job has written where it must not");
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let Some(entry) = Entry::at(head.function) else {
            let unknown = Head::new(Kind::Unknown, head.function, head.job, 0);
            return self.send(unknown, &Message::default());
        };
        let limited = (head.extra != 0).then(|| limit_memory(head.extra));
        stop::begins(head.job);
        let (arguments, context) = payload.split_at(payload.len() - usize::from(head.context));
        title::begins(JobContext::read(entry.name(), context));
        let begun = clock::now();
        let called = catch_unwind(AssertUnwindSafe(|| entry.call(arguments, &mut blobs)));
        let took = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        title::ends();
        if let Some(before) = limited {
            let _ = rustix::process::setrlimit(Resource::Data, before);
        }
        // Apart: the lock is free when the panic's payload is dropped, which may panic again.
        let seen = PANIC.lock().take();
        let (kind, mut extra, message) = answer(called, orders.limit, seen);
        if orders.report_memory && kind != Kind::TooLarge {
            extra = resident_kib();
        }
        let sent = self.send(Head::new(kind, took, head.job, extra), &message);
        self.recycle(message.blobs.into_iter().chain(blobs));
        sent
    }

    /// Keeps a buffer of these for the next message.
    fn recycle(&mut self, blobs: impl IntoIterator<Item = Blob>) {
        let buffers = blobs.into_iter().filter_map(Blob::reclaim);
        buffers.for_each(|buffer| self.reader.recycle(buffer));
    }

    fn send(&mut self, mut head: Head, message: &Message) -> io::Result<()> {
        head.payload = message.payload.len() as u64;
        head.segments = message.blobs.len() as u16;
        self.head.clear();
        head.write(message.blobs.iter().map(|blob| blob.len() as u64), &mut self.head);
        // A small message is one piece.
        if message.blobs.is_empty() && message.payload.len() <= 4096 {
            self.head.extend_from_slice(&message.payload);
            return write_all(&self.fd, &mut [IoSlice::new(&self.head)]);
        }
        let parts = [&self.head[..], &message.payload[..]];
        let parts = parts.into_iter().chain(message.blobs.iter().map(|blob| &blob[..]));
        let mut parts: Vec<_> = parts.map(IoSlice::new).collect();
        write_all(&self.fd, &mut parts)
    }
}

/// What the parent is told of a call.
pub(in crate::offload) fn answer(
    called: Result<Output, Box<dyn Any + Send>>,
    limit: u64,
    seen: Option<Panic>,
) -> (Kind, u64, Message) {
    // An error may say as much as a result.
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(HEAD);
    let text = |text: &str| Message { payload: cut(text, most).into(), blobs: Vec::new() };
    match called {
        Ok(Output(Ok(message))) => {
            let size = message.len() as u64 + 8 * message.blobs.len() as u64 + HEAD as u64;
            if size > limit || message.blobs.len() > super::super::frame::MAX_SEGMENTS {
                return (Kind::TooLarge, size, Message::default());
            }
            (Kind::Done, 0, message)
        }
        Ok(Output(Err(Trouble::Arguments(error)))) => {
            (Kind::Codec, 0, text(&format!("its arguments: {error}")))
        }
        Ok(Output(Err(Trouble::Result(error)))) => {
            (Kind::Codec, 0, text(&format!("its result: {error}")))
        }
        Err(panic) => {
            let (message, place, backtrace) =
                seen.unwrap_or_else(|| (payload_text(&*panic), String::new(), None));
            // Its drop may panic again.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
                std::mem::forget(again);
            }
            (Kind::Panicked, 0, panicked((message, place, backtrace), most))
        }
    }
}

/// A panic in at most so many bytes: without its backtrace if need be, and then without the end of its message.
fn panicked((mut message, place, backtrace): Panic, most: usize) -> Message {
    let whole = registry::encode(&(&message, &place, backtrace)).unwrap_or_default();
    if whole.len() <= most {
        return whole;
    }
    let bare = registry::encode(&(&message, &place, None::<String>)).unwrap_or_default();
    let excess = bare.len().saturating_sub(most);
    message.truncate(cut(&message, message.len().saturating_sub(excess)).len());
    let bare = registry::encode(&(&message, &place, None::<String>)).unwrap_or_default();
    // A limit below the length of a path: there was a panic, and that is all.
    if bare.len() <= most { bare } else { Message::default() }
}

/// Notes the panics of this thread, and leaves those of others to the hook before.
fn watch_panics() {
    let job = thread::current().id();
    let others = Arc::new(panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        // Where a panic aborts, nobody would send what is noted.
        if thread::current().id() != job || cfg!(panic = "abort") {
            return others(info);
        }
        let seen = panic_seen(info);
        *PANIC.lock() = Some(seen);
    }));
}

/// What a hook sees of a panic.
pub(in crate::offload) fn panic_seen(info: &PanicHookInfo<'_>) -> Panic {
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    (payload_text(info.payload()), place, captured.then(|| backtrace.to_string()))
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".into())
}

/// Sets the limit of one job; gives the one before.
fn limit_memory(bytes: u64) -> Rlimit {
    let before = rustix::process::getrlimit(Resource::Data);
    let least = before.maximum.map_or(bytes, |hard| hard.min(bytes));
    let limit = Rlimit { current: Some(least), maximum: before.maximum };
    let _ = rustix::process::setrlimit(Resource::Data, limit);
    before
}

/// The resident memory of this process.
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    // SAFETY: reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * (page as u64 / 1024)
}

/// Reads once, and takes the descriptors that come along.
fn receive_into(
    fd: &OwnedFd,
    buf: &mut ReadBuf<'_>,
    descriptors: &mut VecDeque<OwnedFd>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // `recvmsg` takes initialized bytes only; the staging buffer is small, and large parts come by `recv`.
    if buf.remaining() > 8192 {
        // SAFETY: `recv` writes into it, and nothing else.
        let unfilled = unsafe { buf.unfilled_mut() };
        let received = retry_on_intr(|| {
            rustix::net::recv(fd, &mut *unfilled, RecvFlags::empty()).map(|(_, len)| len)
        })?;
        // SAFETY: `recv` has filled so many bytes.
        unsafe { buf.assume_init(received) };
        buf.advance(received);
        return Ok(());
    }
    let received = loop {
        let parts = &mut [IoSliceMut::new(buf.initialize_unfilled())];
        match rustix::net::recvmsg(fd, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    buf.advance(received.bytes);
    Ok(())
}

/// The most descriptors of one message: what the kernel takes at a time.
pub(in crate::offload) const MAX_DESCRIPTORS: usize = 253;

fn write_all(fd: &OwnedFd, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let most = parts.len().min(1024);
        let written = retry_on_intr(|| rustix::io::writev(fd, &parts[..most]))?;
        IoSlice::advance_slices(&mut parts, written);
    }
    Ok(())
}
