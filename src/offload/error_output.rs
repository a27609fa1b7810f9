//! What a worker writes to its error output: the end of it goes into errors, and all of it to ours, if that is
//! wanted and takes it.

use super::config::Stdio;
use crate::io::{AsyncRead, AsyncWrite, ReadBuf, Stderr, stderr};
use crate::process::ChildStderr;
use crate::task::budget;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

/// How much of a worker's error output is kept for errors.
const TAIL: usize = 8192;

/// A worker's error output: its end, and where it goes.
pub(super) struct Errors {
    pipe: Option<ChildStderr>,
    tail: Vec<u8>,
    /// Ours, which may be stuck.
    forward: Option<Stderr>,
    /// How many bytes had no room there.
    lost: usize,
}

impl Errors {
    pub(super) fn new(pipe: Option<ChildStderr>, policy: Stdio) -> Self {
        let forward = (policy == Stdio::Inherit).then(stderr);
        Self { pipe, tail: Vec::new(), forward, lost: 0 }
    }

    /// What came so far is not kept.
    pub(super) fn forget(&mut self) {
        self.tail.clear();
    }

    /// Takes what is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        let mut space = [MaybeUninit::uninit(); 2048];
        while let Some(pipe) = &mut self.pipe {
            let mut buf = ReadBuf::uninit(&mut space);
            match Pin::new(pipe).poll_read(cx, &mut buf) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.take(buf.filled()),
                Poll::Ready(_) => self.pipe = None,
            }
        }
    }

    fn take(&mut self, text: &[u8]) {
        if self.lost > 0 {
            let note =
                format!("[reiver: {} bytes of a worker's error output were lost]\n", self.lost);
            if self.say(note.as_bytes()) == note.len() {
                self.lost = 0;
            }
        }
        if self.lost == 0 {
            self.lost = text.len() - self.say(text);
        } else {
            self.lost += text.len();
        }
        self.tail.extend_from_slice(text);
        if self.tail.len() > 4 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    /// Hands text to our error output, without waiting for room: neither this thread nor the worker waits for
    /// whoever reads that, or does not. Gives how much there was room for.
    fn say(&mut self, text: &[u8]) -> usize {
        let Some(stderr) = &mut self.forward else { return text.len() };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut said = 0;
        while said < text.len() {
            let poll = || Pin::new(&mut *stderr).poll_write(&mut cx, &text[said..]);
            match budget::without_budget(poll) {
                Poll::Ready(Ok(taken)) if taken > 0 => said += taken,
                // Ours may be closed; that is no reason to stop.
                Poll::Ready(_) => return text.len(),
                Poll::Pending => break,
            }
        }
        said
    }

    pub(super) fn text(&self) -> String {
        let start = self.tail.len().saturating_sub(TAIL);
        String::from_utf8_lossy(&self.tail[start..]).into_owned()
    }
}
