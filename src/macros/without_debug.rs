//! `#[reiver::model]` and `#[reiver::sim]` in a build without debug assertions: ignored tests.

/// What the two attributes expand to.
#[doc(hidden)]
#[macro_export]
macro_rules! __reiver_explore {
    ({ $($header:tt)* } { $($body:tt)* } { $($call:tt)* }) => {
        #[::core::prelude::v1::test]
        #[ignore = "models and simulations need debug assertions, which `--release` switches off: \
                    run `cargo test` without it"]
        $($header)* {
            $($body)*
            let _ = __reiver_body;
        }
    };
}
