//! `#[reiver::model]` and `#[reiver::sim]` in a build that has no models.

/// What the two attributes expand to.
#[doc(hidden)]
#[macro_export]
macro_rules! __reiver_explore {
    ($($parts:tt)*) => {
        ::core::compile_error!(
            "`#[reiver::model]` and `#[reiver::sim]` need the feature `model` for tests: \
             [dev-dependencies] reiver = { features = [\"model\"] }"
        );
    };
}
