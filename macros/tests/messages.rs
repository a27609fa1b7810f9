//! What the compiler says, and where, when an attribute is used wrongly.
//!
//! Each case is compiled by `rustc` against the macro library that this test was built with. A line
//! of the case that ends in `//~ text` must be the one blamed, with that text; a line without it must
//! not be blamed.

use std::path::{Path, PathBuf};
use std::process::Command;

const RUNTIME: &str = "
#[allow(unused_macros)]
macro_rules! __start_of_main { () => {} }
#[allow(unused_imports)]
pub(crate) use __start_of_main;
#[allow(unused)]
mod runtime {
    pub struct Builder;
    impl Builder {
        pub fn new_multi_thread() -> Self { Self }
        pub fn new_current_thread() -> Self { Self }
        pub fn worker_threads(&mut self, _: usize) -> &mut Self { self }
        pub fn enable_all(&mut self) -> &mut Self { self }
        pub fn start_paused(&mut self, _: bool) -> &mut Self { self }
        pub fn build(&mut self) -> Result<Self, ()> { Ok(Self) }
        pub fn block_on<F: std::future::Future>(&self, _: F) -> F::Output { loop {} }
    }
}
#[allow(unused)]
mod sim {
    pub struct Sim;
    impl Sim {
        pub fn new(_: &str, _: &str, _: &str) -> Self { Self }
        pub fn seeds(self, _: u64) -> Self { self }
        pub fn steps(self, _: u64) -> Self { self }
        pub fn buggify(self, _: bool) -> Self { self }
        pub fn must_reach(self, _: &[&'static str]) -> Self { self }
        pub fn keep_seeds(self, _: bool) -> Self { self }
        pub fn run<F: std::future::Future>(self, _: impl Fn() -> F) {}
    }
}
#[allow(unused)]
mod model {
    pub struct Model;
    impl Model {
        pub fn new(_: &str, _: &str, _: &str) -> Self { Self }
        pub fn bound(self, _: usize) -> Self { self }
        pub fn must_reach(self, _: &[&'static str]) -> Self { self }
        pub fn run<F: std::future::Future>(self, _: impl Fn() -> F + Send + Sync + 'static) {}
    }
}
#[allow(unused_macros)]
macro_rules! __reiver_explore {
    ({ $($header:tt)* } { $($body:tt)* } { $($call:tt)* }) => {
        #[allow(unused)]
        $($header)* {
            $($body)*
            $($call)* .run(__reiver_body);
        }
    };
}
#[allow(unused_imports)]
pub(crate) use __reiver_explore;
";

/// The newest build of the macro library beside this test.
fn macro_library() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its path");
    let deps = test.parent().expect("a test lies in a directory");
    let name = format!("{}reiver_macros-", std::env::consts::DLL_PREFIX);
    std::fs::read_dir(deps)
        .expect("the directory of this test")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&name)))
        .max_by_key(|p| p.metadata().and_then(|m| m.modified()).ok())
        .expect("cargo builds the macro library before this test")
}

/// Compiles `code` and returns the blamed lines with their messages, in order of lines.
fn compile(name: &str, code: &str, args: &[&str]) -> Vec<(usize, String)> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = dir.join(format!("{name}.rs"));
    std::fs::write(&source, code).expect("the target directory is writable");
    let mut library = std::ffi::OsString::from("reiver_macros=");
    library.push(macro_library());
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2021", "--emit=metadata", "--error-format=short", "-Adead_code"])
        .args(args)
        .arg("--extern")
        .arg(library)
        .arg("--out-dir")
        .arg(dir)
        .arg(&source)
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let mut blamed: Vec<(usize, String)> = text
        .lines()
        .filter(|line| line.contains(": error"))
        .filter_map(|line| {
            let rest = line.split_once(".rs:")?.1;
            let (number, rest) = rest.split_once(':')?;
            Some((number.parse().ok()?, rest.to_owned()))
        })
        .collect();
    blamed.sort();
    assert_eq!(blamed.is_empty(), output.status.success(), "{name}: {text}");
    blamed
}

fn check(name: &str, code: &str) {
    check_whole(name, &format!("{}{RUNTIME}", code.trim_start()), &["--crate-type=bin"]);
}

/// As [`check`], of code that needs nothing else.
fn check_whole(name: &str, code: &str, args: &[&str]) {
    let expected: Vec<(usize, &str)> = code
        .lines()
        .enumerate()
        .filter_map(|(i, line)| Some((i + 1, line.split_once("//~ ")?.1)))
        .collect();
    let blamed = compile(name, code, args);
    let all_there = blamed.len() == expected.len()
        && blamed.iter().zip(&expected).all(|(b, e)| b.0 == e.0 && b.1.contains(e.1));
    assert!(all_there, "{name}: expected {expected:#?}, rustc says {blamed:#?}");
}

/// One case for each bad argument: the attribute's line is blamed and nothing else.
#[test]
fn bad_arguments() {
    let cases = [
        ("flavor = \"threads\"", "unknown flavor `threads`: expected"),
        ("local", "write `flavor = \"local\"`"),
        ("flavor = \"local\", worker_threads = 2", "`worker_threads` needs `flavor"),
        ("name = raid", "`name` is a string literal"),
        ("name = 1", "`name` is a string literal"),
        ("name = \" \"", "`name` must not be empty"),
        ("flavor = multi_thread", "`flavor` is a string literal"),
        ("flavor = 1", "`flavor` is a string literal"),
        ("flavor = \"multi_thread\", flavor = \"multi_thread\"", "`flavor` is given twice"),
        ("multi_thread", "write `flavor = \"multi_thread\"`"),
        ("worker_threads", "expected `name = value`"),
        ("\"multi_thread\"", "expected `name = value`"),
        ("worker_threads = \"2\"", "`worker_threads` is an integer literal"),
        ("worker_threads = 0", "`worker_threads` is at least 1"),
        ("worker_threads = -1", "`worker_threads` is an integer literal"),
        ("worker_threads = 1.5", "mismatched types"),
        ("flavor = \"current_thread\", worker_threads = 2", "`worker_threads` needs `flavor"),
        ("start_paused = 1", "`start_paused` is `true` or `false`"),
        ("deadline = 5", "`deadline` and `leak_check` are for tests"),
        ("leak_check = true", "`deadline` and `leak_check` are for tests"),
        ("leak_check = 1", "`leak_check` is `true` or `false`"),
        ("deadline = \"5 s\"", "`deadline` is a number of seconds"),
        ("threads = 2", "unknown argument `threads`: expected `flavor`"),
        ("crate = \"a b+\"", "`crate` is a path to reiver"),
        ("crate = 3", "`crate` is a path to reiver"),
    ];
    let mut code = String::new();
    for (i, (args, message)) in cases.iter().enumerate() {
        let path = if args.contains("crate") { "" } else { ", crate = crate" };
        code +=
            &format!("#[reiver_macros::main({args}{path})] //~ {message}\nasync fn f{i}() {{}}\n");
    }
    code += "fn main() {}\n";
    // The default expansion of a function with bad arguments needs `::reiver`.
    code += "extern crate self as reiver;\n";
    check("bad_arguments", &code);
}

#[test]
fn functions_that_cannot_be_entered() {
    check(
        "bad_functions",
        r#"
extern crate self as reiver;
#[reiver_macros::main]
fn not_async() {} //~ #[main] needs `async` before this `fn`
#[reiver_macros::test]
pub(crate) fn not_async_either() {} //~ #[test] needs `async` before this `fn`
#[reiver_macros::main]
struct Other; //~ #[main] goes on an `async fn`
trait Trait {
    #[reiver_macros::main]
    async fn no_body(); //~ #[main] needs a function with a body
}
#[reiver_macros::test]
#[test] //~ this function has a test attribute already
async fn tested_twice() {}
#[reiver_macros::test(flavor = "local", deadline = 5)] //~ know nothing of local tasks
async fn checked_and_local() {}
fn main() {}
"#,
    );
    check(
        "main_with_arguments",
        r#"
extern crate self as reiver;
#[reiver_macros::main]
async fn main(args: Vec<String>) {} //~ the main function takes no arguments
"#,
    );
}

#[test]
fn a_wrong_body_is_blamed_where_it_is_wrong() {
    check(
        "bad_bodies",
        r#"
extern crate self as reiver;
mod tail {
    #[reiver_macros::main]
    async fn main() -> u32 {
        let _ = 1;
        "text" //~ mismatched types
    }
}
mod unit {
    #[reiver_macros::main]
    async fn main() {
        5 //~ mismatched types
    }
}
mod early {
    #[reiver_macros::main]
    async fn main() -> Result<(), String> {
        if true {
            return Ok(1); //~ mismatched types
        }
        Ok(())
    }
}
mod question {
    #[reiver_macros::main]
    async fn main() {
        "1".parse::<u32>()?; //~ the `?` operator can only be used
    }
}
mod no_tail {
    #[reiver_macros::main]
    async fn main() -> String { //~ mismatched types
        let _ = 1;
    }
}
mod not_main {
    #[reiver_macros::main]
    async fn helper() -> u32 { //~ mismatched types: expected `u32`, found `&str`
        let _ = 1;
        "text"
    }
}
#[reiver_macros::main]
async fn main() {
    missing(); //~ cannot find function `missing`
}
"#,
    );
}

/// `-Dwarnings` on good code: the expansion must not be what a lint complains of.
#[test]
fn good_code_is_clean() {
    check(
        "good_code",
        r#"
#![deny(warnings, unused, unused_mut, unreachable_code, unsafe_code, future_incompatible)]
#![deny(elided_lifetimes_in_paths, unused_qualifications)]
extern crate self as reiver;
#[reiver_macros::main]
async fn helper(x: &mut u32) -> u32 {
    *x += 1;
    if *x == 3 {
        return 5;
    }
    std::future::ready(()).await;
    *x
}
#[reiver_macros::main(worker_threads = 2)]
async fn main() -> Result<(), std::num::ParseIntError> {
    "1".parse::<u32>()?;
    helper(&mut 1);
    Ok(())
}
"#,
    );
}

#[test]
fn functions_that_cannot_be_offloaded() {
    check(
        "bad_offload",
        r#"
extern crate self as reiver;
#[reiver_macros::offload]
async fn waits() {} //~ #[offload] cannot be on an `async fn`
#[reiver_macros::offload]
unsafe fn dangerous() {} //~ #[offload] cannot be on an `unsafe fn`
#[reiver_macros::offload]
extern "C" fn foreign() {} //~ #[offload] cannot be on an `extern fn`
#[reiver_macros::offload]
fn generic<T>(_: T) {} //~ #[offload] cannot be on a generic function
#[reiver_macros::offload]
fn implied(_: impl Copy) {} //~ #[offload] cannot be on a generic function
#[reiver_macros::offload]
fn changes(_: &mut u8) {} //~ an argument of an #[offload] function is not changed for the caller
#[reiver_macros::offload]
fn borrows(x: &str) -> &str { x } //~ the result of an #[offload] function is owned
#[reiver_macros::offload]
struct NoFunction; //~ #[offload] goes on a function
struct S;
impl S {
    #[reiver_macros::offload]
    fn method(&self) {} //~ #[offload] cannot be on a method
}
#[reiver_macros::offload(workers = 2)] //~ the only argument is `crate = path`
fn arguments() {}
fn main() {}
"#,
    );
}

/// One case for each bad argument of the two attributes that explore.
#[test]
fn bad_arguments_of_explorers() {
    let cases = [
        ("sim", "seeds", "expected `name = value`"),
        ("sim", "1000", "expected `name = value`"),
        ("sim", "seed = 1000", "unknown argument `seed`: expected `seeds`, `steps`, `buggify`"),
        ("sim", "bound = 2", "unknown argument `bound`"),
        ("sim", "seeds = 1, seeds = 2", "`seeds` is given twice"),
        ("sim", "seeds = \"1000\"", "mismatched types"),
        ("sim", "seeds =", "this method takes 1 argument"),
        ("sim", "buggify = 1", "mismatched types"),
        ("sim", "crate = 3", "`crate` is a path to reiver"),
        (
            "model",
            "seeds = 5",
            "unknown argument `seeds`: expected `bound`, `seconds`, `must_reach`",
        ),
        ("model", "bound = -1", "cannot apply unary operator `-` to type `usize`"),
        ("model", "bound = \"2\"", "mismatched types"),
        ("model", "must_reach = \"label\"", "mismatched types"),
        ("model", "bound: 2", "expected `name = value`"),
    ];
    let mut code = String::new();
    for (i, (attribute, args, message)) in cases.iter().enumerate() {
        let path = if args.contains("crate") { "" } else { ", crate = crate" };
        let line = format!("#[reiver_macros::{attribute}({args}{path})] //~ {message}");
        code += &format!("{line}\nasync fn f{i}() {{}}\n");
    }
    code += "fn main() {}\nextern crate self as reiver;\n";
    check("bad_arguments_of_explorers", &code);
}

#[test]
fn functions_that_cannot_be_explored() {
    check(
        "bad_explored",
        r#"
extern crate self as reiver;
#[reiver_macros::sim]
fn not_async() {} //~ #[sim] needs `async` before this `fn`
#[reiver_macros::model]
fn not_async_either() {} //~ #[model] needs `async` before this `fn`
#[reiver_macros::model]
struct Other; //~ #[model] goes on an `async fn`
#[reiver_macros::sim]
async fn with_arguments(x: u32) {} //~ what #[sim] explores takes no arguments
#[reiver_macros::sim]
#[test] //~ this function has a test attribute already
async fn tested_twice() {}
trait Trait {
    #[reiver_macros::model]
    async fn no_body(); //~ #[model] needs a function with a body
}
fn main() {}
"#,
    );
}

/// What is wrong in an explored body is blamed there; what a model cannot share is.
#[test]
fn a_wrong_explored_body_is_blamed_where_it_is_wrong() {
    check(
        "bad_explored_bodies",
        r#"
extern crate self as reiver;
#[reiver_macros::sim]
async fn tail() -> Result<(), String> {
    5 //~ mismatched types
}
#[reiver_macros::model]
async fn missing() {
    absent(); //~ cannot find function `absent`
}
#[reiver_macros::sim(seeds = 3, must_reach = ["other"])]
async fn good() -> Result<(), std::num::ParseIntError> {
    macro_rules! reached { ($label:literal) => { let _ = $label; } }
    "1".parse::<u32>()?;
    reached!("label");
    Ok(())
}
fn main() {}
"#,
    );
}

/// Without the feature the attributes say what is missing, and where it goes.
#[test]
fn without_the_feature_it_is_said_what_to_add() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let without = root.join("src/macros/without_model.rs");
    // A crate of its own, as for its users: an error in one's own macro is blamed on the macro.
    let krate = format!("#[path = {without:?}]\nmod without_model;\n");
    assert!(compile("reiver", &krate, &["--crate-type=lib", "--crate-name=reiver"]).is_empty());
    check_whole(
        "without_feature",
        "#[reiver_macros::sim] //~ need the feature `model` for tests: [dev-dependencies] reiver\n\
         async fn simulated() {}\n\
         #[reiver_macros::model] //~ need the feature `model` for tests\n\
         async fn modelled() {}\n\
         fn main() {}\n",
        &["--crate-type=bin", "-L", env!("CARGO_TARGET_TMPDIR"), "--extern=reiver"],
    );
}
