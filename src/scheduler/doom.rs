//! A runtime that ends because one of its tasks panicked: who has to be told, and why it was.
//!
//! Whoever waits in `block_on` leaves its waker here after its first poll that was not ready, under the
//! same lock under which the cause is set. So either it sees the cause then, or it is woken with it.

use super::Shared;
use super::block_on::RootWaker;
use super::trigger::Trigger;
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::{Arc, Mutex, fixed};
use crate::task::{TaskInfo, UnhandledPanic, panics};
use std::ptr;
use std::sync::Weak;
use std::task::Wake;

pub(super) struct Doom {
    /// Not 0 once there is a cause: what every poll of a root looks at.
    sealed: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    policy: UnhandledPanic,
    /// The sentence with which `block_on` panics.
    cause: Option<String>,
    /// Some of them may be gone.
    roots: Vec<Weak<RootWaker>>,
}

impl Doom {
    pub(super) fn new() -> Self {
        // No model sees it: nothing waits under it, and there is nothing in it that could race.
        let policy = UnhandledPanic::default();
        let state = fixed::mutex(State { policy, cause: None, roots: Vec::new() });
        Self { sealed: fixed::atomic_usize(0), state }
    }

    /// Why the runtime ended before its time, if it did.
    #[inline]
    pub(super) fn cause(&self) -> Option<String> {
        // Relaxed: the lock publishes the cause; and the wake after it, or `tell`, brings who must see
        // it here.
        if self.sealed.load(Relaxed) == 0 {
            return None;
        }
        self.state.lock().cause.clone()
    }

    /// Whether a `block_on` is about to poll its future: for the paused clock.
    pub(super) fn is_a_root_woken(&self) -> bool {
        let roots = &self.state.lock().roots;
        roots.iter().filter_map(Weak::upgrade).any(|root| root.is_set())
    }

    /// Has `root` woken when the runtime ends so. `false`: it has.
    pub(super) fn tell(&self, root: Weak<RootWaker>) -> bool {
        let mut state = self.state.lock();
        if state.cause.is_some() {
            return false;
        }
        if state.roots.len() == state.roots.capacity() {
            state.roots.retain(|root| root.strong_count() > 0);
            let left = state.roots.len();
            state.roots.reserve(left.max(4));
        }
        state.roots.push(root);
        true
    }

    /// `root` is over, though wakers of it may be left.
    pub(super) fn forget(&self, root: &Arc<RootWaker>) {
        self.state.lock().roots.retain(|other| !ptr::eq(other.as_ptr(), Arc::as_ptr(root)));
    }
}

impl Shared {
    /// What happens when a task panics that was spawned without a policy of its own.
    pub(crate) fn set_panic_policy(&self, policy: UnhandledPanic) {
        self.doom.state.lock().policy = policy;
    }

    /// A task has panicked.
    #[cold]
    pub(super) fn panicked(
        self: &Arc<Self>,
        task: &TaskInfo,
        message: &str,
        own: Option<UnhandledPanic>,
    ) {
        self.trigger(Trigger::Panic);
        let policy = own.unwrap_or_else(|| self.doom.state.lock().policy);
        match policy {
            UnhandledPanic::Ignore => {}
            UnhandledPanic::Abort => panics::abort(task, message),
            UnhandledPanic::ShutdownRuntime => {
                let task = panics::describe(task);
                let cause = format!("the runtime shut down, since {task} panicked: {message}");
                let roots = {
                    let mut state = self.doom.state.lock();
                    state.cause.get_or_insert(cause);
                    self.doom.sealed.store(1, Relaxed);
                    std::mem::take(&mut state.roots)
                };
                self.close();
                roots.iter().filter_map(Weak::upgrade).for_each(Wake::wake);
            }
        }
    }
}
