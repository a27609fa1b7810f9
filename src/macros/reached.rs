//! `reached!`.

/// Notes, for `#[reiver::model]` and `#[reiver::sim]`, that an execution got here.
///
/// A test that explores its body fails if it never met a label that stands in it, or is in its `must_reach`
/// as those in functions that it calls have to be: so it cannot go on passing when the race that it is about
/// no longer happens. Elsewhere this does nothing, and costs
/// nothing without the feature `model`.
///
/// # Examples
///
/// ```
/// async fn look_up(cache: &mut Option<u32>) -> u32 {
///     if let Some(value) = *cache {
///         reiver::reached!("found in the cache");
///         return value;
///     }
///     *cache.insert(5)
/// }
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// assert_eq!(look_up(&mut Some(4)).await, 4);
/// # });
/// ```
#[macro_export]
macro_rules! reached {
    ($label:literal) => {
        $crate::macros::support::reached($label)
    };
}
