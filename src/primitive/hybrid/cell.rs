//! A cell whose accesses loom checks for races.

use super::in_model;

/// A cell that hands out raw pointers inside closures. In a model, two accesses without an edge
/// between them, one of them by `with_mut`, fail the model.
#[derive(Debug)]
pub struct UnsafeCell<T: ?Sized> {
    /// Watches the accesses; the value stands beside it so that it may be unsized.
    watch: Option<Box<loom::cell::UnsafeCell<()>>>,
    value: std::cell::UnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    /// Makes the cell: watched inside a model.
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self {
            watch: in_model().then(|| Box::new(loom::cell::UnsafeCell::new(()))),
            value: std::cell::UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> UnsafeCell<T> {
    /// Reads through a shared pointer. The closure must not let it escape.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        match &self.watch {
            Some(watch) => watch.with(|_| f(self.value.get())),
            None => f(self.value.get()),
        }
    }

    /// Writes through an exclusive pointer. The closure must not let it escape.
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        match &self.watch {
            Some(watch) => watch.with_mut(|_| f(self.value.get())),
            None => f(self.value.get()),
        }
    }
}

impl<T: Default> Default for UnsafeCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
