//! The attributes find reiver under whatever name the package gives it.
//!
//! A workspace is written to the target directory: a package named `reiver` with a runtime of ten
//! lines, and packages that depend on it in several ways. `cargo run` must run each.

use std::fs;
use std::path::Path;
use std::process::Command;

const REIVER: &str = "
pub use reiver_macros::{main, test};
#[macro_export]
macro_rules! __start_of_main {
    () => {};
}
pub mod runtime {
    pub struct Builder;
    impl Builder {
        pub fn new_multi_thread() -> Self { Self }
        pub fn new_current_thread() -> Self { Self }
        pub fn enable_all(&mut self) -> &mut Self { self }
        pub fn build(&mut self) -> Result<Self, String> { Ok(Self) }
        pub fn block_on<F: Future>(&self, future: F) -> F::Output {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match std::pin::pin!(future).poll(&mut cx) {
                std::task::Poll::Ready(output) => output,
                std::task::Poll::Pending => unreachable!(),
            }
        }
    }
}
";

/// Package, its dependency table, and the name it uses.
const USERS: &[(&str, &str, &str)] = &[
    ("plain", "[dependencies]\nreiver = { path = \"../reiver\" }", "reiver"),
    ("renamed", "[dependencies]\ntokio = { package = \"reiver\", path = \"../reiver\" }", "tokio"),
    ("inherited", "[dependencies]\ntokio.workspace = true", "tokio"),
    (
        "target",
        "[target.'cfg(any(unix, windows))'.dependencies.my-rt]\npackage = \"reiver\"\npath = \"../reiver\"",
        "my_rt",
    ),
];

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("writable");
    fs::write(path, text).expect("writable");
}

#[test]
fn under_every_name() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("renamed");
    let members: Vec<&str> = USERS.iter().map(|(name, ..)| *name).chain(["reiver"]).collect();
    let manifest = format!(
        "[workspace]\nmembers = {members:?}\nresolver = \"3\"\n\
         [workspace.dependencies]\ntokio = {{ package = \"reiver\", path = \"reiver\" }}\n"
    );
    write(&root.join("Cargo.toml"), &manifest);
    let package = |name: &str, dependencies: &str| {
        let text = format!("[package]\nname = {name:?}\nedition = \"2024\"\n{dependencies}\n");
        write(&root.join(name).join("Cargo.toml"), &text);
    };
    let macros = env!("CARGO_MANIFEST_DIR");
    package("reiver", &format!("[dependencies]\nreiver-macros = {{ path = {macros:?} }}"));
    write(&root.join("reiver/src/lib.rs"), REIVER);
    for (name, dependencies, path) in USERS {
        package(name, dependencies);
        let main = format!(
            "#[{path}::main]\nasync fn main() {{ println!(\"ran {name}\"); }}\n\
             #[cfg(test)]\nmod tests {{\n    #[{path}::test]\n    async fn runs() {{}}\n}}\n"
        );
        write(&root.join(name).join("src/main.rs"), &main);
    }

    for (name, ..) in USERS {
        let run = cargo(&root, &["run", "-q", "--offline", "-p", name]);
        assert_eq!(run, format!("ran {name}\n"));
        let test = cargo(&root, &["test", "-q", "--offline", "-p", name]);
        assert!(test.contains("1 passed"), "{test}");
    }
}

/// Runs cargo and returns what it printed.
fn cargo(root: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .env("CARGO_TERM_COLOR", "never")
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
