//! Values that a task carries along: set for a future, seen by everything that it polls.
//!
//! A key is a thread-local of the user's crate. [`TaskLocalFuture`] swaps its value in before it polls
//! the inner future and out again afterwards, so that whichever thread polls finds the value, and no
//! other task does. The swap, and not a map per task, makes an access as cheap as a thread-local's.
//!
//! The value is seen in `Drop` of the inner future too: that runs inside a swap of its own.

use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

/// Declares values that belong to a task, as [`LocalKey`]s; with `static inherit`, as [`InheritedKey`]s,
/// which tasks and blocking jobs inherit that are spawned inside.
///
/// [`InheritedKey`]: crate::task::InheritedKey
///
/// # Examples
///
/// ```
/// reiver::task_local! {
///     /// Who asked.
///     pub static USER: String;
///     static DEPTH: u32;
/// }
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let task = reiver::spawn(USER.scope("ada".into(), async {
///     DEPTH.scope(1, async { (USER.with(String::len), DEPTH.get()) }).await
/// }));
/// assert_eq!(task.await.unwrap(), (3, 1));
/// assert!(USER.try_with(|_| ()).is_err());
/// # });
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attr:meta])* $vis:vis static inherit $name:ident: $type:ty $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::task::InheritedKey<$type> = $crate::task::InheritedKey::__new();
        $($crate::task_local! { $($rest)* })?
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $type:ty $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::task::LocalKey<$type> = {
            ::std::thread_local! {
                static SLOT: ::std::cell::RefCell<::std::option::Option<$type>> = const {
                    ::std::cell::RefCell::new(::std::option::Option::None)
                };
            }
            $crate::task::LocalKey::__new(&SLOT)
        };
        $($crate::task_local! { $($rest)* })?
    };
}
pub(crate) use task_local;

/// A value that a future is given by [`scope`](LocalKey::scope), and that everything it polls can see.
/// Made by [`task_local!`](crate::task_local).
///
/// A task that is spawned inside does not inherit it; [`InheritedKey`](crate::task::InheritedKey)s are
/// for that.
pub struct LocalKey<T: 'static> {
    slot: &'static thread::LocalKey<RefCell<Option<T>>>,
}

impl<T: 'static> LocalKey<T> {
    /// For [`task_local!`](crate::task_local).
    #[doc(hidden)]
    pub const fn __new(slot: &'static thread::LocalKey<RefCell<Option<T>>>) -> Self {
        Self { slot }
    }

    /// A future that runs `f` with `value` set, in its polls and in its drop.
    ///
    /// # Panics
    ///
    /// The future, when polled inside a [`with`](Self::with) of this key.
    ///
    /// # Examples
    ///
    /// ```
    /// reiver::task_local! { static NUMBER: u32; }
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let twice = NUMBER.scope(21, async { NUMBER.get() * 2 }).await;
    /// assert_eq!(twice, 42);
    /// # });
    /// ```
    pub fn scope<F: Future>(&'static self, value: T, f: F) -> TaskLocalFuture<T, F> {
        TaskLocalFuture { key: self, value: Some(value), future: Some(f), _pinned: PhantomPinned }
    }

    /// Runs `f` with `value` set.
    ///
    /// # Panics
    ///
    /// Inside a [`with`](Self::with) of this key, and in a thread that is ending.
    ///
    /// # Examples
    ///
    /// ```
    /// reiver::task_local! { static NUMBER: u32; }
    /// assert_eq!(NUMBER.sync_scope(21, || NUMBER.get() * 2), 42);
    /// ```
    #[track_caller]
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let mut value = Some(value);
        match self.swapped(&mut value, f) {
            Ok(result) => result,
            Err(error) => error.panic(),
        }
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
        let look = |slot: &RefCell<Option<T>>| slot.borrow().as_ref().map(f);
        // The outer error: the thread is ending.
        self.slot.try_with(look).ok().flatten().ok_or(AccessError(()))
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

    /// Runs `f` with the slot's value and `value` exchanged.
    fn swapped<R>(
        &'static self,
        value: &mut Option<T>,
        f: impl FnOnce() -> R,
    ) -> Result<R, ScopeError> {
        /// Exchanges them back, also when `f` panics.
        struct Back<'a, T: 'static>(&'static LocalKey<T>, &'a mut Option<T>);

        impl<T> Back<'_, T> {
            fn swap(&mut self) -> Result<(), ScopeError> {
                let swap = |slot: &RefCell<Option<T>>| match slot.try_borrow_mut() {
                    Ok(mut slot) => {
                        std::mem::swap(&mut *slot, self.1);
                        Ok(())
                    }
                    Err(_) => Err(ScopeError::Borrowed),
                };
                self.0.slot.try_with(swap).unwrap_or(Err(ScopeError::ThreadEnds))
            }
        }

        impl<T> Drop for Back<'_, T> {
            fn drop(&mut self) {
                // The borrows that `f` made have ended, and the thread has not: it is in here.
                let _ = self.swap();
            }
        }

        let mut back = Back(self, value);
        if let Err(error) = back.swap() {
            std::mem::forget(back);
            return Err(error);
        }
        Ok(f())
    }
}

/// Why a value could not be set.
enum ScopeError {
    Borrowed,
    ThreadEnds,
}

impl ScopeError {
    #[track_caller]
    fn panic(self) -> ! {
        match self {
            Self::Borrowed => {
                panic!("cannot enter a task-local scope while the task-local storage is borrowed")
            }
            Self::ThreadEnds => panic!(
                "cannot enter a task-local scope during or after destruction of the underlying \
                 thread-local"
            ),
        }
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey { .. }")
    }
}

pin_project! {
    /// The future of [`LocalKey::scope`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TaskLocalFuture<T: 'static, F> {
        key: &'static LocalKey<T>,
        // The value while it is not in the slot.
        value: Option<T>,
        #[pin]
        future: Option<F>,
        #[pin]
        _pinned: PhantomPinned,
    }

    impl<T: 'static, F> PinnedDrop for TaskLocalFuture<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Nothing to see for the drop of a value alone.
            if this.value.is_some() && this.future.is_some() {
                // If the value cannot be set, the future is dropped without it.
                let _ = this.key.swapped(this.value, || this.future.set(None));
            }
        }
    }
}

impl<T: 'static, F> TaskLocalFuture<T, F> {
    /// Takes the value out; the future then runs without it, or, if it has ended, has no more use
    /// for it. `None` when called twice.
    ///
    /// # Examples
    ///
    /// ```
    /// reiver::task_local! { static NUMBER: u32; }
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let mut future = Box::pin(NUMBER.scope(7, async {}));
    /// future.as_mut().await;
    /// assert_eq!(future.as_mut().take_value(), Some(7));
    /// # });
    /// ```
    pub fn take_value(self: Pin<&mut Self>) -> Option<T> {
        self.project().value.take()
    }
}

impl<T: 'static, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let poll = this.key.swapped(this.value, || {
            let future = this.future.as_mut().as_pin_mut();
            let poll = future.expect("`TaskLocalFuture` polled after completion").poll(cx);
            if poll.is_ready() {
                // Dropped here, where it still sees the value.
                this.future.set(None);
            }
            poll
        });
        poll.unwrap_or_else(|error| error.panic())
    }
}

impl<T: 'static, F> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskLocalFuture { .. }")
    }
}

/// There is no value: the code runs outside of any scope of the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessError(pub(super) ());

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessError")
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task-local value not set")
    }
}

impl std::error::Error for AccessError {}
