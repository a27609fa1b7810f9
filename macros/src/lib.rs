//! The attribute and procedural macros of reiver; use them through the `reiver` crate.
//!
//! Written over `proc_macro` alone. An attribute has to find the `async` keyword, the return type
//! and the body of one function, and a pattern has to lose its bindings: both are walks over token
//! trees, and a parser of all of Rust (`syn`, eight seconds of cold build) is not needed for them.
//!
//! * `entry`: [`macro@main`] and [`macro@test`].
//! * `manifest`: under which name the calling package knows reiver.
//! * `pattern`: the one thing that `select!` cannot do as a declarative macro.

mod entry;
mod manifest;
mod pattern;

use proc_macro::TokenStream;

/// Runs an `async fn` on a runtime made for it: the usual way to start a program.
///
/// The function keeps its name, visibility, generics, arguments, return type and other attributes,
/// and is no longer `async`. Without arguments the runtime is multi-threaded, with one worker for
/// each CPU.
///
/// # Arguments
///
/// * `flavor = "multi_thread"` (the default) or `"current_thread"`.
/// * `worker_threads = N`: with the flavor `multi_thread` only.
/// * `start_paused = true`: the clock starts paused.
/// * `crate = "path"` or `crate = path`: where reiver is found. Needed only when the package does
///   not depend on reiver itself, for example because another crate re-exports it. A dependency
///   under another name (`tokio = { package = "reiver", … }`) is found without it.
///
/// # Panics
///
/// The function panics when the runtime cannot be built, and when it is called from inside a
/// runtime.
///
/// # Examples
///
/// ```ignore
/// // `reiver` is not a dependency of this crate; `reiver::main` has this example as a test.
/// #[reiver::main(flavor = "multi_thread", worker_threads = 4)]
/// async fn main() -> std::io::Result<()> {
///     reiver::spawn(async { println!("hello") }).await?;
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(entry::Kind::Main, args, item)
}

/// Makes an `async fn` a test that runs on a runtime of its own.
///
/// Without arguments the runtime is a `current_thread` one. `#[should_panic]`, `#[ignore]` and the
/// like work as on any test.
///
/// # Arguments
///
/// Those of [`macro@main`], and
///
/// * `deadline = SECONDS`: in real time; a test that takes longer fails and lists its tasks.
/// * `leak_check = true`: the test fails if it leaves tasks, blocking jobs, timers or registered
///   descriptors behind.
///
/// What the checks do in detail stands at `reiver::testing`.
///
/// # Examples
///
/// ```ignore
/// #[reiver::test(start_paused = true)]
/// async fn a_minute_passes_at_once() {
///     reiver::time::sleep(std::time::Duration::from_secs(60)).await;
/// }
/// ```
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(entry::Kind::Test, args, item)
}

/// Replaces every binding of a pattern by `_`. Part of `select!`; not for direct use.
#[doc(hidden)]
#[proc_macro]
pub fn without_bindings(pattern: TokenStream) -> TokenStream {
    pattern::without_bindings(pattern)
}
