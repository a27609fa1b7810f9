//! `#[main]` and `#[test]` against a runtime that only writes down how it was built.

use std::cell::RefCell;
use std::fmt::Display;

mod runtime {
    //! The part of `reiver::runtime` that the attributes use.

    use std::cell::RefCell;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    thread_local! {
        pub(crate) static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) struct Builder;
    pub(crate) struct Runtime;

    fn note(call: String) -> Builder {
        CALLS.with_borrow_mut(|calls| calls.push(call));
        Builder
    }

    impl Builder {
        pub(crate) fn new_multi_thread() -> Self {
            note("multi".into())
        }
        pub(crate) fn new_current_thread() -> Self {
            note("current".into())
        }
        pub(crate) fn worker_threads(&mut self, n: usize) -> &mut Self {
            note(format!("workers {n}"));
            self
        }
        pub(crate) fn enable_all(&mut self) -> &mut Self {
            note("all".into());
            self
        }
        pub(crate) fn start_paused(&mut self, paused: bool) -> &mut Self {
            note(format!("paused {paused}"));
            self
        }
        pub(crate) fn name(&mut self, name: &str) -> &mut Self {
            note(format!("name {name}"));
            self
        }
        pub(crate) fn build_local(&mut self, (): ()) -> std::io::Result<Runtime> {
            note("local".into());
            Ok(Runtime)
        }
        pub(crate) fn build(&mut self) -> std::io::Result<Runtime> {
            Ok(Runtime)
        }
    }

    impl Runtime {
        pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
            let mut cx = Context::from_waker(Waker::noop());
            match pin!(future).poll(&mut cx) {
                Poll::Ready(output) => output,
                Poll::Pending => panic!("the bodies in this file never wait"),
            }
        }
    }
}

/// A second place where a runtime may be.
mod nested {
    pub(crate) mod reexport {
        pub(crate) use crate::runtime;
    }
}

fn calls() -> Vec<String> {
    runtime::CALLS.with_borrow_mut(std::mem::take)
}

#[reiver_macros::main(crate = "crate")]
async fn plain() {}

#[reiver_macros::main(
    flavor = "multi_thread",
    worker_threads = 3,
    crate = "crate::nested::reexport"
)]
async fn with_workers() -> u32 {
    7
}

#[reiver_macros::main(flavor = "current_thread", start_paused = true, crate = crate::nested::reexport,)]
async fn paused() {}

#[reiver_macros::main(start_paused = false, worker_threads = 1_0usize, crate = "self")]
async fn numbers() {}

#[reiver_macros::main(flavor = "local", name = "a \"local\" one", crate = "crate")]
async fn local() {}

#[reiver_macros::main(name = r"raw", crate = "crate")]
async fn named() {}

#[test]
fn the_builder_is_asked_for_what_the_arguments_say() {
    plain();
    assert_eq!(calls(), ["multi", "all"]);
    assert_eq!(with_workers(), 7);
    assert_eq!(calls(), ["multi", "workers 3", "all"]);
    paused();
    assert_eq!(calls(), ["current", "all", "paused true"]);
    numbers();
    assert_eq!(calls(), ["multi", "workers 10", "all", "paused false"]);
    local();
    assert_eq!(calls(), ["current", "all", "name a \"local\" one", "local"]);
    named();
    assert_eq!(calls(), ["multi", "all", "name raw"]);
}

#[reiver_macros::test(crate = "crate")]
async fn a_test_is_current_thread() {
    assert_eq!(calls(), ["current", "all"]);
}

#[reiver_macros::test(crate = "crate", flavor = "multi_thread")]
async fn a_test_may_be_multi_thread() -> Result<(), std::num::ParseIntError> {
    assert_eq!(calls(), ["multi", "all"]);
    let one: u32 = async { "1".parse() }.await?;
    assert_eq!(one, 1);
    if one == 1 {
        return Ok(());
    }
    unreachable!()
}

#[reiver_macros::test(crate = "crate")]
#[should_panic(expected = "as it should")]
async fn attributes_below_are_kept() {
    panic!("as it should");
}

#[should_panic(expected = "as it should")]
#[reiver_macros::test(crate = "crate")]
async fn attributes_above_are_kept() {
    panic!("as it should");
}

#[reiver_macros::test(crate = "crate")]
#[ignore = "shows that the attribute is kept: this body fails"]
async fn ignored() {
    panic!("an ignored test ran");
}

/// Documented.
#[reiver_macros::main(crate = "crate")]
#[must_use]
pub(crate) async fn generic<'a, T: Display + 'a, F: Fn(&T) -> String, const N: usize>(
    value: &'a T,
    (mut left, right): (String, String),
    show: F,
) -> (&'a T, [String; N])
where
    String: From<&'a str>,
{
    left.push_str(&right);
    left.push_str(&show(value));
    drop(show);
    (value, std::array::from_fn(|_| left.clone()))
}

#[reiver_macros::main(crate = "crate")]
async fn opaque(n: usize) -> impl Iterator<Item = usize> {
    0..n
}

#[reiver_macros::main(crate = "crate")]
async fn elided(s: &mut String, body: &str) -> usize {
    s.push_str(body);
    s.len()
}

#[reiver_macros::main(crate = "crate")]
async fn never() -> ! {
    panic!("never returns")
}

struct Owner(String);

impl Owner {
    #[reiver_macros::main(crate = "crate")]
    async fn take(self) -> String {
        self.0
    }

    #[reiver_macros::main(crate = "crate")]
    async fn show(&self) -> &Self {
        self
    }
}

#[test]
fn any_signature_goes_through() {
    let (value, [a, b]) = generic::<_, _, 2>(&5, ("a".into(), "b".into()), |v| v.to_string());
    assert_eq!((value, a.as_str(), b.as_str()), (&5, "ab5", "ab5"));
    assert_eq!(opaque(3).sum::<usize>(), 3);
    assert_eq!(elided(&mut "ab".to_owned(), "c"), 3);
    assert!(std::panic::catch_unwind(|| never()).is_err());
    let owner = Owner("own".into());
    assert_eq!(owner.show().0, "own");
    assert_eq!(owner.take(), "own");
}

macro_rules! declare {
    ($name:ident, $path:path, $item:item) => {
        #[reiver_macros::main(crate = $path)]
        $item

        #[reiver_macros::main(crate = $crate)]
        async fn $name() -> &'static str {
            stringify!($name)
        }
    };
}
declare!(
    by_macro,
    crate::nested::reexport,
    async fn whole_item() -> u8 {
        1
    }
);

#[test]
fn macros_may_write_the_function() {
    assert_eq!(by_macro(), "by_macro");
    assert_eq!(whole_item(), 1);
}

thread_local!(static DROPS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) });

struct Noted(&'static str);

impl Drop for Noted {
    fn drop(&mut self) {
        DROPS.with_borrow_mut(|d| d.push(self.0));
    }
}

#[reiver_macros::main(crate = "crate")]
async fn dropping(_first: Noted, _: Noted) {
    let _inner = Noted("inner");
}

#[test]
fn locals_go_before_arguments() {
    dropping(Noted("first"), Noted("unnamed"));
    let drops = DROPS.take();
    assert_eq!(drops[0], "inner");
    assert_eq!(drops.len(), 3);
}
