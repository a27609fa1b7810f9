//! `pin!`.

/// Pins values on the stack.
///
/// `pin!(a, b)` takes the named variables and binds each name to a [`Pin`](std::pin::Pin)`<&mut T>`
/// instead; `pin! { let a = expr; let b = expr; }` declares pinned variables. A future that is to be
/// polled more than once, as by [`select!`](crate::select) in a loop, has to be pinned first.
///
/// [`std::pin::pin!`] does the same as an expression.
///
/// # Examples
///
/// ```
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// use std::future::Future;
///
/// let future = async { 5 };
/// reiver::pin!(future);
/// assert!(future.as_mut().poll(&mut cx).is_ready());
///
/// reiver::pin! {
///     let first = async { 5 };
///     let second = std::future::pending::<()>();
/// }
/// assert!(first.poll(&mut cx).is_ready());
/// assert!(second.poll(&mut cx).is_pending());
/// ```
#[macro_export]
macro_rules! pin {
    ($($name:ident),* $(,)?) => { $(
        #[allow(unused_mut)]
        let mut $name = $crate::macros::support::pin!($name);
    )* };
    ($(let $name:ident = $init:expr;)*) => { $(
        #[allow(unused_mut)]
        let mut $name = $crate::macros::support::pin!($init);
    )* };
}
