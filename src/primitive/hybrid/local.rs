//! Thread-locals: one value for each thread of a model or a storm, std's outside.

use super::{in_model, storm};
use std::fmt;

/// What [`local!`] declares.
pub struct Local<T: 'static> {
    real: &'static std::thread::LocalKey<T>,
    model: &'static loom::thread::LocalKey<T>,
    init: fn() -> T,
}

/// The thread is ending and its value is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError;

impl<T> Local<T> {
    /// For [`local!`].
    pub const fn new(
        real: &'static std::thread::LocalKey<T>,
        model: &'static loom::thread::LocalKey<T>,
        init: fn() -> T,
    ) -> Self {
        Self { real, model, init }
    }

    /// Reads the value.
    ///
    /// # Panics
    ///
    /// If the thread is ending and the value is gone.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).expect("a thread-local was used after its end")
    }

    /// Reads the value, if the thread still has it.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        if in_model() {
            self.model.try_with(f).map_err(|_| AccessError)
        } else if storm::is_on() {
            let key = std::ptr::from_ref(self.real).addr();
            storm::local(key, self.init).map(|value| f(&value)).ok_or(AccessError)
        } else {
            self.real.try_with(f).map_err(|_| AccessError)
        }
    }
}

impl<T> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread-local is gone")
    }
}

impl std::error::Error for AccessError {}

/// Declares a thread-local with a constant initial value; read it by `NAME.with(|value| …)` or,
/// where the thread may be ending, `NAME.try_with(…)`.
macro_rules! local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;) => {
        $(#[$meta])* $vis static $name: $crate::primitive::Local<$ty> = {
            ::std::thread_local! { static REAL: $ty = const { $init }; }
            ::loom::thread_local! { static MODEL: $ty = $init; }
            $crate::primitive::Local::new(&REAL, &MODEL, || $init)
        };
    };
}
pub(crate) use local;
