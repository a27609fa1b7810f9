//! For whom a job runs: its name and its place in a distributed trace, as they cross into the worker.
//!
//! They go at the end of the payload: at most 255 bytes, the name, a zero byte, the trace's parent. One that is
//! longer is cut, since a name is for people.

use crate::primitive::Arc;
use std::fmt;

/// What a job's function can learn of its call: see [`current_job`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct JobContext {
    pub(super) function: &'static str,
    pub(super) name: Option<Arc<str>>,
    pub(super) traceparent: Option<Arc<str>>,
}

/// The longest name that crosses: it leaves room for a `traceparent`, which has 55 bytes.
const NAME: usize = 150;
const ALL: usize = 255;

impl JobContext {
    /// The function: `crate::module::name`.
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// The job's own name, or else that of the task that submitted it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The job's place in a trace, as [`Job::traceparent`](super::Job::traceparent) gave it.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// How many bytes it may have in a message.
    pub(super) fn room(&self) -> usize {
        let any = self.name.is_some() || self.traceparent.is_some();
        if any { ALL } else { 0 }
    }

    /// As bytes: at most 255.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> u8 {
        let before = out.len();
        if self.name.is_none() && self.traceparent.is_none() {
            return 0;
        }
        let name = self.name.as_deref().unwrap_or_default();
        out.extend(cut(name, NAME).bytes().filter(|byte| *byte != 0));
        out.push(0);
        let left = ALL - (out.len() - before);
        out.extend_from_slice(
            cut(self.traceparent.as_deref().unwrap_or_default(), left).as_bytes(),
        );
        (out.len() - before) as u8
    }

    /// From bytes. Nobody but our parent writes them; what is no text gives no name.
    pub(super) fn read(function: &'static str, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let (name, traceparent) = text.split_once('\0').unwrap_or_default();
        let some = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
        Self { function, name: some(name), traceparent: some(traceparent) }
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("function", &self.function)
            .field("name", &self.name)
            .field("traceparent", &self.traceparent)
            .finish()
    }
}

/// The longest beginning of `text` that has at most `most` bytes and is text.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The job that runs on this thread, if it is one of a pool.
///
/// # Examples
///
/// ```
/// use reiver::offload::{ProcessPool, current_job};
///
/// #[reiver::offload]
/// fn who() -> Option<String> {
///     current_job()?.name().map(str::to_owned)
/// }
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let pool = ProcessPool::builder().workers(1).build();
/// assert_eq!(pool.run(who::job().name("img-42")).await.unwrap().as_deref(), Some("img-42"));
/// assert!(current_job().is_none());
/// # });
/// ```
pub fn current_job() -> Option<JobContext> {
    if super::in_worker() { super::worker::running_job() } else { super::inline::job_here() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_too_long_is_cut() {
        let context = |name: Option<&str>, traceparent: Option<&str>| JobContext {
            function: "f",
            name: name.map(Arc::from),
            traceparent: traceparent.map(Arc::from),
        };
        let long = "ä".repeat(200);
        for (given, expected) in [
            (context(None, None), context(None, None)),
            (context(Some("a"), None), context(Some("a"), None)),
            (context(None, Some("00-1-2-01")), context(None, Some("00-1-2-01"))),
            (context(Some(&long), Some("b")), context(Some(&long[..150]), Some("b"))),
            (context(Some("n"), Some(&long)), context(Some("n"), Some(&long[..252]))),
        ] {
            let mut bytes = vec![9];
            let len = given.write(&mut bytes);
            assert_eq!(bytes.len(), 1 + usize::from(len));
            assert_eq!(JobContext::read("f", &bytes[1..]), expected);
        }
        assert_eq!(JobContext::read("f", &[0xff, 0, 1]), context(None, None));
        assert_eq!(JobContext::read("f", b"no end"), context(None, None));
    }
}
