//! The attribute and procedural macros of reiver; use them through the `reiver` crate.
//!
//! Written over `proc_macro` alone. An attribute has to find the `async` keyword, the return type
//! and the body of one function, and a pattern has to lose its bindings: both are walks over token
//! trees, and a parser of all of Rust (`syn`, eight seconds of cold build) is not needed for them.
//!
//! * `entry`: [`macro@main`] and [`macro@test`].
//! * `explore`: [`macro@sim`] and [`macro@model`].
//! * `offload`: [`macro@offload`].
//! * `manifest`: under which name the calling package knows reiver.
//! * `pattern`: the one thing that `select!` cannot do as a declarative macro.

mod entry;
mod explore;
mod manifest;
mod offload;
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
/// * `flavor = "multi_thread"` (the default), `"current_thread"`, or `"local"`: a `LocalRuntime`, on which
///   `task::spawn_local` works.
/// * `worker_threads = N`: with the flavor `multi_thread` only.
/// * `start_paused = true`: the clock starts paused.
/// * `name = "…"`: the runtime's name, which its handles tell.
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
/// Both need a flavor other than `local`.
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

/// Makes an `async fn` a test that is simulated many times, each time with another order of its tasks.
///
/// It needs the feature `model` (`[dev-dependencies] reiver = { features = ["model"] }`) and debug
/// assertions; without the latter it is an ignored test. The guide is in `reiver::docs::testing`.
///
/// # Arguments
///
/// * `seeds = N`: how many runs, 1000 unless given. The environment's `REIVER_SEEDS` overrides it.
/// * `buggify = false`: no run is disturbed by late timers, short reads and the like.
/// * `refusals = true`: in some runs `try_…` operations fail though nothing is in their way.
/// * `steps = N`: how many steps a run may take before it counts as endless.
/// * `must_reach = ["label", …]`: labels of `reached!` outside the body; those inside are found.
/// * `crate = path`: where reiver is found.
///
/// # Panics
///
/// The test panics with a report when a run fails.
///
/// # Examples
///
/// ```ignore
/// #[reiver::sim(seeds = 1000)]
/// async fn two_tasks_add() {
///     let sum = std::sync::Arc::new(reiver::sync::Mutex::new(0));
///     let other = sum.clone();
///     let task = reiver::spawn(async move { *other.lock().await += 1 });
///     *sum.lock().await += 1;
///     task.await.unwrap();
///     assert_eq!(*sum.lock().await, 2);
/// }
/// ```
#[proc_macro_attribute]
pub fn sim(args: TokenStream, item: TokenStream) -> TokenStream {
    explore::expand(&explore::SIM, args, item)
}

/// Makes an `async fn` a test that is run in every interleaving of its tasks' operations on reiver's
/// primitives, and with every value that the memory model allows a load to give, within a bound.
///
/// It needs the feature `model` (`[dev-dependencies] reiver = { features = ["model"] }`) and debug
/// assertions; without the latter it is an ignored test. The guide is in `reiver::docs::testing`.
///
/// The body is task 1 of at most 4, each of a few operations.
///
/// # Arguments
///
/// * `bound = N`: how often a task that could go on is interrupted, at most; 2 unless given.
/// * `seconds = N`: how long it may take, 60 unless given.
/// * `must_reach = ["label", …]`: labels of `reached!` outside the body; those inside are found.
/// * `crate = path`: where reiver is found.
///
/// # Panics
///
/// The test panics with a report when an execution fails.
///
/// # Examples
///
/// ```ignore
/// #[reiver::model]
/// async fn a_value_arrives() {
///     let (tx, rx) = reiver::sync::oneshot::channel();
///     reiver::spawn(async move { tx.send(1) });
///     assert_eq!(rx.await, Ok(1));
/// }
/// ```
#[proc_macro_attribute]
pub fn model(args: TokenStream, item: TokenStream) -> TokenStream {
    explore::expand(&explore::MODEL, args, item)
}

/// Lets a function run in a worker process: `f::offload(…).await` beside the ordinary `f(…)`.
///
/// The function stays what it is. A type of the same name is put beside it (functions and types have
/// separate names), with `job(…)`, which gives a `Job` for a pool, and `offload(…)`, which runs it on the
/// default pool of the runtime. Arguments and result implement serde's `Serialize` and `Deserialize`;
/// arguments may be borrowed (`&str`, `&[u8]`), the result may not.
///
/// # Arguments
///
/// * `crate = "path"` or `crate = path`: where reiver is found, as for [`macro@main`].
///
/// # Examples
///
/// ```ignore
/// // `reiver` is not a dependency of this crate; `reiver::offload` has this example as a test.
/// #[reiver::offload]
/// fn thumbnail(image: Vec<u8>, width: u32) -> Vec<u8> {
///     image.into_iter().take(width as usize).collect()
/// }
///
/// let small = thumbnail::offload(image, 200).await?;
/// ```
#[proc_macro_attribute]
pub fn offload(args: TokenStream, item: TokenStream) -> TokenStream {
    offload::expand(args, item)
}

/// Replaces every binding of a pattern by `_`. Part of `select!`; not for direct use.
#[doc(hidden)]
#[proc_macro]
pub fn without_bindings(pattern: TokenStream) -> TokenStream {
    pattern::without_bindings(pattern)
}
