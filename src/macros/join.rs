//! `join!` and `try_join!`.

/// Waits for several futures at once and returns all their outputs as a tuple.
///
/// The futures run concurrently on the current task: one that blocks the thread holds up the others.
/// For parallelism spawn each and join the handles. They are stored inline, each is dropped as soon
/// as it completes, and one that has completed is not polled again. Takes up to 64 of them.
///
/// # Fairness
///
/// Each poll begins at another branch, so that a branch which uses up the poll budget of the task
/// does not starve the others. With `biased;` at the front every poll goes from the first to the
/// last.
///
/// # Cancel safety
///
/// Dropping the enclosing future drops all branches and the outputs that are there.
///
/// # Examples
///
/// ```
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # let mut main = std::pin::pin!(async {
/// let (number, text) = reiver::join!(async { 5 }, async { "five" });
/// assert_eq!((number, text), (5, "five"));
///
/// let (first, second) = reiver::join!(biased; async { 1 }, async { 2 });
/// assert_eq!(first + second, 3);
/// # });
/// # assert!(std::future::Future::poll(main.as_mut(), &mut cx).is_ready());
/// ```
#[macro_export]
macro_rules! join {
    ($(biased;)?) => { async {}.await };
    (biased; $($future:expr),+ $(,)?) => {
        $crate::__reiver_names!(__reiver_join in_order $($future,)+)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::__reiver_names!(__reiver_join rotating $($future,)+)
    };
}

/// Waits for several futures at once, until all return `Ok` or one returns `Err`.
///
/// With all of them `Ok` the result is `Ok` with the tuple of their values. The first `Err` is
/// returned at once, and the other futures are dropped. All have the same error type. Otherwise it is
/// [`join!`](crate::join), fairness and `biased;` included.
///
/// # Cancel safety
///
/// An error cancels the other branches where they stand, and values that are there are dropped.
///
/// # Examples
///
/// ```
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # let mut main = std::pin::pin!(async {
/// let parse = |text: &'static str| async move { text.parse::<u8>() };
///
/// assert_eq!(reiver::try_join!(parse("1"), parse("2")), Ok((1, 2)));
/// assert!(reiver::try_join!(parse("1"), parse("x")).is_err());
/// # });
/// # assert!(std::future::Future::poll(main.as_mut(), &mut cx).is_ready());
/// ```
#[macro_export]
macro_rules! try_join {
    ($(biased;)?) => { async { ::core::result::Result::Ok(()) }.await };
    (biased; $($future:expr),+ $(,)?) => {
        $crate::__reiver_names!(__reiver_try_join in_order $($future,)+)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::__reiver_names!(__reiver_try_join rotating $($future,)+)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __reiver_join {
    // One more future gets its number and its name.
    (@ $order:ident [$($done:tt)*] [$n:tt $name:ident $($free:tt)*] $future:expr, $($rest:tt)*) => {
        $crate::__reiver_join!(@ $order [$($done)* { $n $name $future }] [$($free)*] $($rest)*)
    };
    (@ $order:ident [$($done:tt)*] [] $($rest:tt)+) => {
        ::core::compile_error!("`join!` takes at most 64 futures")
    };
    (@ $order:ident [$({ $n:tt $name:ident $future:expr })+] [$($free:tt)*]) => {{
        $( let mut $name = $crate::macros::support::pin!($crate::macros::support::maybe_done($future)); )+
        let branches = [$($n),+].len() as u32;
        let mut first = 0;
        $crate::macros::support::poll_fn(|cx| {
            let start = $crate::macros::support::$order(&mut first, branches);
            let mut all_done = true;
            for i in 0..branches {
                all_done &= match (start + i) % branches {
                    $( $n => $name.as_mut().poll_done(cx), )+
                    _ => ::core::unreachable!(),
                };
            }
            if all_done {
                $crate::macros::support::Poll::Ready(($($name.as_mut().take(),)+))
            } else {
                $crate::macros::support::Poll::Pending
            }
        })
        .await
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __reiver_try_join {
    (@ $order:ident [$($done:tt)*] [$n:tt $name:ident $($free:tt)*] $future:expr, $($rest:tt)*) => {
        $crate::__reiver_try_join!(@ $order [$($done)* { $n $name $future }] [$($free)*] $($rest)*)
    };
    (@ $order:ident [$($done:tt)*] [] $($rest:tt)+) => {
        ::core::compile_error!("`try_join!` takes at most 64 futures")
    };
    (@ $order:ident [$({ $n:tt $name:ident $future:expr })+] [$($free:tt)*]) => {{
        $( let mut $name = $crate::macros::support::pin!($crate::macros::support::maybe_done($future)); )+
        let branches = [$($n),+].len() as u32;
        let mut first = 0;
        $crate::macros::support::poll_fn(|cx| {
            let start = $crate::macros::support::$order(&mut first, branches);
            let mut all_done = true;
            for i in 0..branches {
                let done = match (start + i) % branches {
                    $( $n => $name.as_mut().poll_ok(cx), )+
                    _ => ::core::unreachable!(),
                };
                match done {
                    ::core::result::Result::Ok(done) => all_done &= done,
                    ::core::result::Result::Err(error) => {
                        return $crate::macros::support::Poll::Ready(
                            ::core::result::Result::Err(error),
                        );
                    }
                }
            }
            if all_done {
                $crate::macros::support::Poll::Ready(::core::result::Result::Ok(
                    ($($name.as_mut().take_ok(),)+),
                ))
            } else {
                $crate::macros::support::Poll::Pending
            }
        })
        .await
    }};
}
