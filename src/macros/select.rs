//! `select!`.
//!
//! The futures live in a block of their own, so that they are gone when a handler runs: it may use
//! what they borrowed. That forbids binding the pattern where the output appears. The output leaves
//! the block as a variant of a local enum, after a test that its pattern will match.

/// Waits for several futures at once and runs the handler of the first that completes with a value
/// its pattern matches; the others are dropped.
///
/// ```text
/// select! {
///     biased;                                          // optional: poll from top to bottom
///     <pattern> = <future> => <handler>,               // up to 64 branches
///     <pattern> = <future>, if <precondition> => { <handler> }
///     else => <handler>                                // optional
/// }
/// ```
///
/// Use it in `async` functions, blocks and closures. In order:
///
/// 1. The preconditions are evaluated. A branch whose precondition is `false` is disabled for this
///    call.
/// 2. All the future expressions are evaluated, those of disabled branches too.
/// 3. The enabled futures are polled concurrently, on the current task.
/// 4. When one completes, its output is held against its pattern. A match ends the wait: all the
///    futures are dropped, then the handler runs. Without a match the branch is disabled and the wait
///    goes on.
/// 5. When all branches are disabled, `else` runs.
///
/// Handlers are ordinary code of the enclosing function, with `?`, `break`, `return` and `.await`.
/// They all have the type that the whole `select!` has. To go on with a future after the `select!`,
/// pass it by reference, pinned: see [`pin!`](crate::pin).
///
/// # Fairness
///
/// Each poll begins at a branch chosen at random and goes on in order, so that of several branches
/// that are always ready each has its turn. With `biased;` each poll begins at the first branch, and
/// the order in which you write them is their rank: put the one that must never be missed (a shutdown
/// signal) before the one that is always busy.
///
/// When the task has used up its poll budget, `select!` lets other tasks run before it polls any
/// branch.
///
/// # Panics
///
/// When all branches are disabled and there is no `else`.
///
/// # Cancel safety
///
/// The futures that did not win are dropped, wherever they stand. In a loop, use futures that lose
/// nothing by that (each method's documentation says so under this heading), or keep one future
/// across the turns of the loop by `&mut`.
///
/// An `if` precondition is evaluated once, before the wait. A condition that may change during the
/// wait does not belong there.
///
/// # Examples
///
/// ```
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # let mut main = std::pin::pin!(async {
/// let text = reiver::select! {
///     _ = std::future::pending::<()>() => "never",
///     n = async { 5 } => if n == 5 { "five" } else { "another" },
/// };
/// assert_eq!(text, "five");
/// # });
/// # assert!(std::future::Future::poll(main.as_mut(), &mut cx).is_ready());
/// ```
///
/// Draining two sources until both end:
///
/// ```
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # let mut main = std::pin::pin!(async {
/// let (mut small, mut large) = (1..=2, 10..=11);
/// let mut sum = 0;
/// loop {
///     reiver::select! {
///         Some(n) = async { small.next() } => sum += n,
///         Some(n) = async { large.next() } => sum += n,
///         else => break,
///     }
/// }
/// assert_eq!(sum, 24);
/// # });
/// # assert!(std::future::Future::poll(main.as_mut(), &mut cx).is_ready());
/// ```
///
/// A future kept across turns, and a precondition:
///
/// ```
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # let mut main = std::pin::pin!(async {
/// let deadline = std::future::ready(());
/// reiver::pin!(deadline);
/// let mut expired = false;
/// for _ in 0..3 {
///     reiver::select! {
///         biased;
///         () = &mut deadline, if !expired => expired = true,
///         n = async { 1 } => assert_eq!(n, 1),
///     }
/// }
/// assert!(expired);
/// # });
/// # assert!(std::future::Future::poll(main.as_mut(), &mut cx).is_ready());
/// ```
#[macro_export]
macro_rules! select {
    ($(biased;)? else => $else:expr $(,)?) => { $else };
    (biased; $($branches:tt)+) => {
        $crate::__reiver_names!(__reiver_select zero $($branches)+)
    };
    ($($branches:tt)+) => {
        $crate::__reiver_names!(__reiver_select random_below $($branches)+)
    };
    () => { ::core::compile_error!("`select!` needs at least one branch") };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __reiver_select {
    // The branches are taken one by one and get a number and a name each. Last comes `else`.
    (@ $start:ident [$($done:tt)+] [$($free:tt)*]) => {
        $crate::__reiver_select!(@run $start [$($done)+] {
            ::core::panic!("all branches of `select!` are disabled and there is no `else` branch")
        })
    };
    (@ $start:ident [$($done:tt)+] [$($free:tt)*] else => $else:expr $(,)?) => {
        $crate::__reiver_select!(@run $start [$($done)+] $else)
    };
    (@ $start:ident [$($done:tt)*] [] $($rest:tt)+) => {
        ::core::compile_error!("`select!` takes at most 64 branches")
    };
    // A block needs no comma. It is matched by its braces, since a `block` fragment refuses an `expr`.
    (@ $start:ident [$($done:tt)*] [$n:tt $name:ident $($free:tt)*]
        $pat:pat = $future:expr $(, if $cond:expr)? => { $($handler:tt)* }, $($rest:tt)*) => {
        $crate::__reiver_select!(@ $start
            [$($done)* { $n $name ($pat) ($future) ($($cond)?) ({ $($handler)* }) }] [$($free)*] $($rest)*)
    };
    (@ $start:ident [$($done:tt)*] [$n:tt $name:ident $($free:tt)*]
        $pat:pat = $future:expr $(, if $cond:expr)? => { $($handler:tt)* } $($rest:tt)*) => {
        $crate::__reiver_select!(@ $start
            [$($done)* { $n $name ($pat) ($future) ($($cond)?) ({ $($handler)* }) }] [$($free)*] $($rest)*)
    };
    (@ $start:ident [$($done:tt)*] [$n:tt $name:ident $($free:tt)*]
        $pat:pat = $future:expr $(, if $cond:expr)? => $handler:expr $(, $($rest:tt)*)?) => {
        $crate::__reiver_select!(@ $start
            [$($done)* { $n $name ($pat) ($future) ($($cond)?) ($handler) }] [$($free)*] $($($rest)*)?)
    };
    (@ $start:ident [$($done:tt)*] [$n:tt $name:ident $($free:tt)*]
        $pat:pat = $future:expr $(, if $cond:expr)? => $handler:block $($rest:tt)*) => {
        $crate::__reiver_select!(@ $start
            [$($done)* { $n $name ($pat) ($future) ($($cond)?) ($handler) }] [$($free)*] $($rest)*)
    };

    (@run $start:ident
        [$({ $n:tt $name:ident ($pat:pat) ($future:expr) ($($cond:expr)?) ($handler:expr) })+]
        $else:expr
    ) => {{
        #[allow(non_camel_case_types)]
        enum __ReiverSelected<$($name),+> {
            $( $name($name), )+
            Disabled,
        }

        let branches = [$($n),+].len() as u32;
        // One bit for each branch that is out.
        #[allow(unused_mut)]
        let mut disabled = 0u64;
        $($(
            if !$cond {
                disabled |= 1 << $n;
            }
        )?)+

        #[allow(unused_mut)]
        let mut output = {
            // Two statements for each, since only the first extends the life of temporaries.
            $( let $name = $future; )+
            $( let mut $name = $crate::macros::support::pin!(
                $crate::macros::support::IntoFuture::into_future($name)
            ); )+
            $crate::macros::support::poll_fn(|cx| {
                $crate::macros::support::ready!($crate::macros::support::poll_budget(cx));
                let mut waiting = false;
                let start = $crate::macros::support::$start(branches);
                for i in 0..branches {
                    let branch = (start + i) % branches;
                    if disabled & (1 << branch) != 0 {
                        continue;
                    }
                    match branch {
                        $( $n => match $crate::macros::support::Future::poll($name.as_mut(), cx) {
                            $crate::macros::support::Poll::Pending => waiting = true,
                            #[allow(unreachable_code)]
                            $crate::macros::support::Poll::Ready(value) => {
                                disabled |= 1 << $n;
                                match value {
                                    #[allow(unused_parens, clippy::all)]
                                    $crate::macros::support::without_bindings!($pat) => {
                                        return $crate::macros::support::Poll::Ready(
                                            __ReiverSelected::$name(value),
                                        );
                                    }
                                    #[allow(unreachable_patterns)]
                                    _ => {}
                                }
                            }
                        }, )+
                        _ => ::core::unreachable!(),
                    }
                }
                if waiting {
                    $crate::macros::support::Poll::Pending
                } else {
                    $crate::macros::support::Poll::Ready(__ReiverSelected::Disabled)
                }
            })
            .await
        };

        match output {
            $( __ReiverSelected::$name($pat) => $handler, )+
            __ReiverSelected::Disabled => $else,
            #[allow(unreachable_patterns)]
            _ => ::core::unreachable!("a pattern of `select!` has a constant with a small letter"),
        }
    }};
}
