//! `select!`, `join!`, `try_join!` and `pin!`.
//!
//! Each expands to code in the caller's function, since handlers use `?`, `break` and `.await` there.
//! What can be an ordinary function instead is one, in [`support`].
//!
//! A branch needs a number (to poll in turns) and a name (for its future, and for its variant of the
//! output). `macro_rules` cannot count, so both come from one list of 64 pairs that is consumed
//! branch by branch (`__reiver_names!`). Each branch costs one level of macro recursion, whose limit
//! is 128. Rejected: tokio's tables from `_ _ _` to `3`, which are 400 lines; and a procedural macro
//! for the whole, which would need a parser for expressions.
//!
//! Names of local variables are hygienic, names of items are not: the one item of an expansion,
//! `select!`'s output type, has a name that nobody else takes.

mod join;
mod pin;
mod reached;
#[cfg(feature = "macros")]
mod select;
#[doc(hidden)]
pub mod support;

/// Calls `$macro!(@ $mode [] [0 _0 1 _1 …] tokens)`.
#[doc(hidden)]
#[macro_export]
macro_rules! __reiver_names {
    ($macro:ident $mode:ident $($tokens:tt)*) => {
        $crate::$macro!(@ $mode [] [
            0 _0 1 _1 2 _2 3 _3 4 _4 5 _5 6 _6 7 _7 8 _8 9 _9
            10 _10 11 _11 12 _12 13 _13 14 _14 15 _15 16 _16 17 _17 18 _18 19 _19
            20 _20 21 _21 22 _22 23 _23 24 _24 25 _25 26 _26 27 _27 28 _28 29 _29
            30 _30 31 _31 32 _32 33 _33 34 _34 35 _35 36 _36 37 _37 38 _38 39 _39
            40 _40 41 _41 42 _42 43 _43 44 _44 45 _45 46 _46 47 _47 48 _48 49 _49
            50 _50 51 _51 52 _52 53 _53 54 _54 55 _55 56 _56 57 _57 58 _58 59 _59
            60 _60 61 _61 62 _62 63 _63
        ] $($tokens)*)
    };
}
