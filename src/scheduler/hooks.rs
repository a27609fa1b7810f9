//! What a builder hangs into the scheduler beside its settings.

use crate::primitive::Arc;

/// A function of a user's.
pub(crate) type Hook = Arc<dyn Fn() + Send + Sync>;

/// A runtime's name, and what is called around each sleep of a worker.
///
/// The hooks run outside of the sleep protocol: before a worker says that it sleeps, and when it has said that
/// it is awake. So what they spawn or wake is found, and a worker that finds it does not sleep after all.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) name: Option<Box<str>>,
    pub(crate) park: Option<Hook>,
    pub(crate) unpark: Option<Hook>,
}
