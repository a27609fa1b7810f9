//! What happens when a task panics and nobody is there to see it.

use super::TaskInfo;
use crate::primitive::{Arc, StaticMutex};
use std::any::Any;

/// What a runtime does when one of its tasks panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnhandledPanic {
    /// Nothing: whoever awaits the task gets the panic. If nobody does, it is
    /// [reported](crate::task::on_unobserved_panic).
    #[default]
    Ignore,
    /// The runtime shuts down, and `block_on` panics.
    ShutdownRuntime,
    /// The process aborts.
    Abort,
}

type Hook = Arc<dyn Fn(&TaskInfo, &str) + Send + Sync>;

static HOOK: StaticMutex<Option<Hook>> = StaticMutex::new(None);

/// Calls `hook` with each task, or blocking job, that panicked and whose handle nobody awaited, and with
/// the panic's message. Without a hook a line is written to stderr.
///
/// The hook is the whole process's, as that of [`std::panic::set_hook`] is, which is called at the panic
/// itself and does not know the task. It must not panic.
///
/// # Examples
///
/// ```
/// reiver::task::on_unobserved_panic(|task, message| {
///     println!("task {:?} from {} panicked: {message}", task.name(), task.location());
/// });
/// ```
pub fn on_unobserved_panic(hook: impl Fn(&TaskInfo, &str) + Send + Sync + 'static) {
    let before = HOOK.lock().replace(Arc::new(hook));
    // Without the lock: it is a user's.
    drop(before);
}

/// Ends the process because of a panic.
pub(crate) fn abort(task: &TaskInfo, message: &str) -> ! {
    eprintln!("reiver: aborting, since {} panicked: {message}", describe(task));
    std::process::abort();
}

/// Reports a panic whose payload is about to be dropped.
#[cold]
pub(super) fn report(task: &TaskInfo, payload: &(dyn Any + Send)) {
    let message = message(payload).unwrap_or("a payload that is no text");
    let hook = HOOK.lock().clone();
    match hook {
        Some(hook) => hook(task, message),
        None => eprintln!("{} panicked, and nobody awaited it: {message}", describe(task)),
    }
}

/// The text that a panic was given.
pub(super) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// The task, for a sentence.
pub(crate) fn describe(task: &TaskInfo) -> String {
    match task.name() {
        Some(name) => format!("task {} {name:?} (spawned at {})", task.id(), task.location()),
        None => format!("task {} (spawned at {})", task.id(), task.location()),
    }
}
