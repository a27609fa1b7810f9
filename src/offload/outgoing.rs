//! What goes to a worker: messages, and those that wait for room in its socket.

use super::context::JobContext;
use super::frame::{Head, Kind, MAX_SEGMENTS, SHARED};
use super::real_time::sleep_until;
use super::registry::Message;
use super::worker::MAX_DESCRIPTORS;
use crate::io::unix::AsyncFd;
use crate::primitive::Arc;
use crate::time::Instant;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A message up to this long is copied into one piece instead of being gathered.
const SMALL: usize = 4096;

/// A message that is being written.
pub(super) struct Outgoing {
    head: Vec<u8>,
    message: Option<Arc<Result<Message, String>>>,
    /// What follows the payload.
    context: Vec<u8>,
    sent: usize,
    total: usize,
    /// How many messages it is: small ones that are written together.
    messages: usize,
}

impl Outgoing {
    /// A message without payload.
    pub(super) fn plain(head: Head) -> Self {
        let mut bytes = Vec::new();
        head.write([].into_iter(), &mut bytes);
        let context = Vec::new();
        Self { total: bytes.len(), head: bytes, message: None, context, sent: 0, messages: 1 }
    }

    /// A message with the payload and the blobs of `message`, which is one, and with the job's context.
    pub(super) fn new(
        mut head: Head,
        message: Arc<Result<Message, String>>,
        about: &JobContext,
    ) -> Self {
        let Ok(content) = &*message else { return Self::plain(head) };
        let mut context = Vec::new();
        head.context = about.write(&mut context);
        let mut total = content.payload.len() + context.len();
        head.payload = total as u64;
        head.segments = content.blobs.len() as u16;
        let mut bytes = Vec::with_capacity(128);
        let mut descriptors = 0;
        let sizes = content.blobs.iter().map(|blob| {
            let shared = blob.shared().is_some() && descriptors < MAX_DESCRIPTORS;
            descriptors += usize::from(shared);
            total += if shared { 0 } else { blob.len() };
            blob.len() as u64 | if shared { SHARED } else { 0 }
        });
        let sizes: Vec<u64> = sizes.collect();
        head.write(sizes.into_iter(), &mut bytes);
        total += bytes.len();
        if content.blobs.is_empty() && content.payload.len() <= SMALL {
            bytes.extend_from_slice(&content.payload);
            bytes.append(&mut context);
            return Self { head: bytes, message: None, context, sent: 0, total, messages: 1 };
        }
        Self { head: bytes, message: Some(message), context, sent: 0, total, messages: 1 }
    }

    /// Damages it, so that no reader takes it.
    pub(super) fn garble(&mut self) {
        self.head[0] = 0xff;
    }

    fn is_sent(&self) -> bool {
        self.sent == self.total
    }

    /// The shared memory among the blobs, as far as it goes by descriptor.
    fn shared(&self) -> Vec<BorrowedFd<'_>> {
        let blobs = self.message.iter().flat_map(|message| (**message).iter());
        let shared = blobs.flat_map(|message| message.blobs.iter().filter_map(|b| b.shared()));
        shared.take(MAX_DESCRIPTORS).collect()
    }

    /// What is still to be written, from the first byte on.
    fn rest(&self) -> Vec<IoSlice<'_>> {
        let mut parts = vec![&self.head[..]];
        let mut descriptors = 0;
        for content in self.message.iter().flat_map(|message| (**message).iter()) {
            parts.extend([&content.payload[..], &self.context[..]]);
            for blob in &content.blobs {
                let shared = blob.shared().is_some() && descriptors < MAX_DESCRIPTORS;
                descriptors += usize::from(shared);
                parts.extend((!shared).then_some(&blob[..]));
            }
        }
        let mut skip = self.sent;
        let mut slices = Vec::with_capacity(parts.len());
        for part in parts {
            let some = skip.min(part.len());
            skip -= some;
            if some < part.len() {
                slices.push(IoSlice::new(&part[some..]));
            }
        }
        slices
    }

    fn poll_write(
        &mut self,
        socket: &AsyncFd<UnixStream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_sent() {
            match self.write(socket.get_ref()) {
                Ok(written) => self.sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    // Waited for from now on only: a worker that takes a message makes the socket writable, and
                    // telling us of that each time costs more than the message.
                    let mut ready = ready!(socket.poll_write_ready(cx))?;
                    match self.write(socket.get_ref()) {
                        Ok(written) => self.sent += written,
                        Err(Errno::AGAIN) => ready.clear_ready(),
                        Err(Errno::INTR) => {}
                        Err(error) => return Poll::Ready(Err(error.into())),
                    }
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes some.
    fn write(&self, socket: &UnixStream) -> rustix::io::Result<usize> {
        let shared = if self.sent == 0 { self.shared() } else { Vec::new() };
        if self.message.is_none() {
            return rustix::net::send(socket, &self.head[self.sent..], SendFlags::NOSIGNAL);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !shared.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&shared));
        }
        let rest = self.rest();
        let parts = &rest[..rest.len().min(MAX_SEGMENTS)];
        rustix::net::sendmsg(socket, parts, &mut control, SendFlags::NOSIGNAL)
    }
}

/// How long it waits when the system has no room for a message. The room is the system's, or that of all processes of
/// this user: nothing tells when there is some. So little time costs a job little, and the machine less.
const PAUSE: Duration = Duration::from_millis(5);

/// Messages in their order.
#[derive(Default)]
pub(super) struct Queue {
    messages: VecDeque<Outgoing>,
    /// Until when nothing is written.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a message. Small ones go together.
    pub(super) fn push(&mut self, message: Outgoing) {
        match self.messages.back_mut() {
            Some(last) if last.sent == 0 && last.message.is_none() && message.message.is_none() => {
                last.head.extend_from_slice(&message.head);
                last.total += message.total;
                last.messages += message.messages;
            }
            _ => self.messages.push_back(message),
        }
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    ///
    /// If the worker cannot be written to any more, though it lives. That its side is closed shows when that is read:
    /// what the worker has said before may explain it.
    pub(super) fn poll_write(
        &mut self,
        socket: &AsyncFd<UnixStream>,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Ok(());
                }
                self.pause = None;
            }
            let Some(message) = self.messages.front_mut() else { return Ok(()) };
            let error = match message.poll_write(socket, cx) {
                Poll::Ready(Ok(())) => {
                    self.messages.pop_front();
                    continue;
                }
                Poll::Ready(Err(error)) => error,
                Poll::Pending => return Ok(()),
            };
            match Errno::from_io_error(&error) {
                // Without a number it is the end of the runtime, which the reader is told too.
                None | Some(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                // Too many descriptors of this user are on their way, or there is no memory.
                Some(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => {
                    self.pause = Some(Box::pin(sleep_until(Instant::now() + PAUSE)));
                }
                Some(_) => return Err(error),
            }
        }
    }

    /// Spares the worker a large message that is not wanted any more, the `nth` last, if nothing of it is sent: an
    /// empty one stands for it, for the worker counts.
    pub(super) fn strike_out(&mut self, nth: u64) {
        let mut behind = 0;
        let found = self.messages.iter_mut().rev().find(|out| {
            behind += out.messages as u64;
            behind >= nth
        });
        if let Some(out) = found.filter(|out| out.sent == 0 && out.message.is_some()) {
            *out = Outgoing::plain(Head::new(Kind::Run, 0, 0, 0));
        }
    }

    /// Whether the `nth` last message that was pushed can have reached the worker whole.
    pub(super) fn may_be_through(&self, nth: u64) -> bool {
        let unsent: usize = self.messages.iter().map(|out| out.messages).sum();
        // Of several that are written together, the first may be whole.
        let partly = self.messages.front().is_some_and(|out| out.sent > 0 && out.messages > 1);
        (unsent as u64) < nth || partly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: usize) -> Outgoing {
        let message = Message { payload: vec![7; payload], blobs: Vec::new() };
        let about = JobContext::read("f", &[]);
        Outgoing::new(Head::new(Kind::Run, 1, 1, 0), Arc::new(Ok(message)), &about)
    }

    #[test]
    fn a_large_message_that_is_taken_back_unsent_does_not_cross() {
        let large = 10 * SMALL;
        let mut small = message(1);
        small.messages = 3;
        let mut begun = message(large);
        begun.sent = 1;
        let messages = VecDeque::from([begun, message(large), small, message(large)]);
        let mut out = Queue { messages, pause: None };
        let mut totals = |nth| {
            out.strike_out(nth);
            out.messages.iter().map(|out| out.total > large).collect::<Vec<_>>()
        };
        assert_eq!(totals(7), [true, true, false, true], "it was sent long ago");
        assert_eq!(totals(6), [true, true, false, true], "the worker has some of it");
        assert_eq!(totals(3), [true, true, false, true], "small ones go together");
        assert_eq!(totals(5), [true, false, false, true]);
        assert_eq!(totals(1), [true, false, false, false]);
        assert_eq!(
            out.messages.iter().map(|out| out.messages).sum::<usize>(),
            6,
            "the worker's count"
        );
    }
}
