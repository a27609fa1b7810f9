//! What the published package promises about itself: the oldest Rust, and the files inside.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

type Version = (u32, u32);

/// What the edition alone asks for: 2024 came with 1.85.
const EDITION: Version = (1, 85);

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Set by whoever runs this test, for this test's own build.
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

fn version(text: &str) -> Version {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// What each `name version` asks for. Packages are told from the other objects of the text by their
/// first two members.
fn asked() -> BTreeMap<String, Version> {
    // Of this platform: what others need is not downloaded. What only other packages of the workspace need may
    // be now, if this is the first thing that anybody has run here.
    let about = cargo(&["-vV"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let host = format!("--filter-platform={host}");
    let text = cargo(&["metadata", "--format-version=1", "--locked", &host]);
    let mut found = BTreeMap::new();
    let mut package = None;
    for piece in text.split("\"name\":\"").skip(1) {
        let (name, rest) = piece.split_once('"').unwrap();
        if let Some(rest) = rest.strip_prefix(",\"version\":\"") {
            let number = rest.split('"').next().unwrap();
            package = Some(format!("{name} {number}"));
        }
        // Behind the package's dependencies and targets, which have names too.
        if let Some((_, rest)) = piece.split_once("\"rust_version\":\"") {
            let package = package.take().expect("the version of a package");
            found.insert(package, version(rest.split('"').next().unwrap()));
        }
    }
    found
}

#[test]
fn the_oldest_rust_is_what_the_dependencies_ask_for() {
    let asked = asked();
    let tree = cargo(&[
        "tree",
        "--offline",
        "--locked",
        "-p",
        "reiver",
        "--edges=normal",
        "--features=hyper,futures-io,stream,tracing",
        "--prefix=none",
        "--format={p}",
    ]);
    let packages: BTreeSet<String> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, number) = (words.next()?, words.next()?);
            Some(format!("{name} {}", number.strip_prefix('v')?))
        })
        .collect();
    assert!(packages.len() > 10, "{packages:?}");
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let mut newest = EDITION;
    for package in packages.iter().filter(|package| !package.starts_with("reiver")) {
        let Some(&theirs) = asked.get(package) else { continue };
        assert!(theirs <= ours, "{package} needs Rust {theirs:?}, we say {ours:?}");
        newest = newest.max(theirs);
    }
    assert!(asked.keys().any(|package| package.starts_with("tokio ")), "{asked:?}");
    assert_eq!(ours, newest, "nothing needs so new a Rust");
}

#[test]
fn the_package_has_what_users_need_and_no_more() {
    let list =
        cargo(&["package", "--list", "--allow-dirty", "--offline", "--locked", "-p", "reiver"]);
    let files: BTreeSet<&str> = list.lines().collect();
    for needed in [
        "Cargo.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "src/lib.rs",
        // Included in the documentation by `include_str!`.
        "src/task/README.md",
        "src/scheduler/README.md",
    ] {
        assert!(files.contains(needed), "{needed} is missing: {list}");
    }
    let allowed =
        ["src/", "examples/", "Cargo.", ".cargo_vcs_info", "README", "CHANGELOG", "LICENSE"];
    for file in files {
        assert!(allowed.iter().any(|prefix| file.starts_with(prefix)), "{file}");
    }
}
