//! What a builder hangs into the scheduler beside its settings.

use crate::primitive::{Arc, thread};
use std::time::Duration;

/// A function of a user's.
pub(crate) type Hook = Arc<dyn Fn() + Send + Sync>;

/// A runtime's name, what its threads are, and what is called around each sleep of a worker.
///
/// The hooks of the sleep run outside of the sleep protocol: before a worker says that it sleeps, and when it has said that
/// it is awake. So what they spawn or wake is found, and a worker that finds it does not sleep after all.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) name: Option<Box<str>>,
    pub(crate) park: Option<Hook>,
    pub(crate) unpark: Option<Hook>,
    /// Called on each thread at its start, and at its end.
    pub(crate) start: Option<Hook>,
    pub(crate) stop: Option<Hook>,
    pub(crate) stack_size: Option<usize>,
    /// How long a thread looks on before it blocks.
    pub(crate) spin: Duration,
    /// How many events the flight recorder keeps of each thread of a blocking pool; 0 for none.
    pub(crate) recorded: usize,
}

impl Hooks {
    /// A thread of this runtime.
    pub(crate) fn thread(&self, name: String) -> thread::Builder {
        let builder = thread::Builder::new().name(name);
        match self.stack_size {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        }
    }

    /// What such a thread does.
    pub(crate) fn around(&self, body: &mut dyn FnMut()) {
        self.start.iter().for_each(|start| start());
        body();
        self.stop.iter().for_each(|stop| stop());
    }
}
