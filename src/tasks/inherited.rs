//! Task locals that spawned tasks and blocking jobs inherit. How: `task/context.rs`.

use super::task_local::AccessError;
use crate::primitive::Arc;
use crate::task::context::{self, Inherited};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A value that a future is given by [`scope`](InheritedKey::scope), and that is seen by everything that
/// it polls, by the tasks and blocking jobs that are spawned there, and by theirs. Declared in
/// [`task_local!`](crate::task_local) with `static inherit`.
///
/// It is one value, shared by all that see it, and dropped with the last of them.
///
/// # Examples
///
/// ```
/// reiver::task_local! {
///     /// Which request this is done for.
///     pub static inherit REQUEST: u64;
/// }
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// REQUEST.scope(7, async {
///     let task = reiver::spawn(async {
///         reiver::task::spawn_blocking(|| REQUEST.get()).await.unwrap()
///     });
///     assert_eq!(task.await.unwrap(), 7);
/// })
/// .await;
/// assert!(REQUEST.try_get().is_err());
/// # });
/// ```
pub struct InheritedKey<T: 'static> {
    /// Statics that take space have addresses of their own, by which they are told apart.
    _place: u8,
    _value: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> InheritedKey<T> {
    /// For [`task_local!`](crate::task_local).
    #[doc(hidden)]
    #[allow(clippy::new_without_default)]
    pub const fn __new() -> Self {
        Self { _place: 0, _value: PhantomData }
    }

    /// A future that runs `f` with `value` set, in its polls and in its drop. Values of other inherited
    /// keys are those of the call.
    pub fn scope<F: Future>(&'static self, value: T, f: F) -> InheritedFuture<F> {
        InheritedFuture { context: Inherited::with(self.key(), Box::new(value)), future: Some(f) }
    }

    /// Runs `f` with `value` set.
    ///
    /// # Examples
    ///
    /// ```
    /// reiver::task_local! { static inherit NUMBER: u32; }
    /// assert_eq!(NUMBER.sync_scope(21, || NUMBER.get() * 2), 42);
    /// ```
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        context::within(Some(&Inherited::with(self.key(), Box::new(value))), f)
    }

    /// Looks at the value.
    ///
    /// # Panics
    ///
    /// Outside a [`scope`](Self::scope) of this key.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!("cannot access a task-local value: {error}"),
        }
    }

    /// Looks at the value, if there is one.
    ///
    /// # Errors
    ///
    /// Outside a [`scope`](Self::scope) of this key.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let look = |value: &(dyn std::any::Any + Send + Sync)| {
            f(value.downcast_ref::<T>().expect("a key has values of one type"))
        };
        context::look(self.key(), look).ok_or(AccessError(()))
    }

    /// A copy of the value.
    ///
    /// # Panics
    ///
    /// Outside a [`scope`](Self::scope) of this key.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// A copy of the value, if there is one.
    ///
    /// # Errors
    ///
    /// Outside a [`scope`](Self::scope) of this key.
    pub fn try_get(&'static self) -> Result<T, AccessError>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for InheritedKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InheritedKey { .. }")
    }
}

pin_project! {
    /// The future of [`InheritedKey::scope`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct InheritedFuture<F> {
        context: Arc<Inherited>,
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for InheritedFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                context::within(Some(this.context), || this.future.set(None));
            }
        }
    }
}

impl<F: Future> Future for InheritedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        context::within(Some(this.context), || {
            let future = this.future.as_mut().as_pin_mut();
            let poll = future.expect("`InheritedFuture` polled after completion").poll(cx);
            if poll.is_ready() {
                // Dropped here, where it still sees the value.
                this.future.set(None);
            }
            poll
        })
    }
}

impl<F> fmt::Debug for InheritedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InheritedFuture { .. }")
    }
}
