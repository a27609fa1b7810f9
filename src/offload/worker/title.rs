//! Which job runs: for the job itself, and for people who look at the process from outside.
//!
//! The title is the name of the thread that runs jobs, of which the kernel keeps 15 bytes: `top -H`, `ps -L`,
//! `perf` and debuggers show it. The process's own name is that of its main thread, which another thread can
//! change by a file only: 3 µs for each job, where a round trip takes 15.

use super::super::context::JobContext;
use crate::primitive::StaticMutex;
use std::ffi::CString;

/// What the kernel keeps of a name.
const LONGEST: usize = 15;

static RUNNING: StaticMutex<Option<JobContext>> = StaticMutex::new(None);
/// What the title was made of.
static TITLE: StaticMutex<Option<JobContext>> = StaticMutex::new(None);

/// The job that runs, whichever thread asks: a job may have threads of its own.
pub(in crate::offload) fn running_job() -> Option<JobContext> {
    RUNNING.lock().clone()
}

/// This thread runs a job from here on.
pub(super) fn begins(context: JobContext) {
    let mut title = TITLE.lock();
    // As the last one, mostly: then it is there already.
    let same = title.as_ref().is_some_and(|last| {
        last.name == context.name && std::ptr::eq(last.function, context.function)
    });
    if !same {
        let function = context.function.rsplit("::").next().unwrap_or_default();
        if let Ok(text) = CString::new(text(context.name().unwrap_or(function))) {
            let _ = rustix::thread::set_name(&text);
        }
        *title = Some(context.clone());
    }
    *RUNNING.lock() = Some(context);
}

pub(super) fn ends() {
    *RUNNING.lock() = None;
}

/// `reiver-w: resize`, as much of it as the kernel keeps, and of the job rather than of us.
fn text(job: &str) -> String {
    let job: String = job.chars().filter(|c| !c.is_control()).collect();
    ["reiver-w: ", "w: "]
        .iter()
        .map(|prefix| format!("{prefix}{job}"))
        .find(|title| title.len() <= LONGEST)
        .unwrap_or_else(|| {
            let mut end = job.len().min(LONGEST - 3);
            while !job.is_char_boundary(end) {
                end -= 1;
            }
            format!("w: {}", &job[..end])
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn titles_are_no_longer_than_the_kernel_keeps() {
        for (job, title) in [
            ("sort", "reiver-w: sort"),
            ("resize", "w: resize"),
            ("thumbnail_of_all", "w: thumbnail_of"),
            ("größenänderung", "w: größenänd"),
            ("a\nb", "reiver-w: ab"),
        ] {
            assert_eq!(super::text(job), title);
        }
    }
}
