//! The layer test finds what is planted, and only that.

use super::*;

const TABLE: &str = "\
```layers
6  net fs
6  sync -> task primitive
5  runtime
2  task timer
0  primitive
```";

/// What is wrong with one file.
fn check(path: &str, text: &str) -> Vec<String> {
    violations(&[Source::new(path, text)], &Table::parse(TABLE))
}

#[track_caller]
fn refused(path: &str, text: &str, why: &str) {
    let found = check(path, text);
    assert!(found.len() == 1 && found[0].contains(why), "{path}: {text:?} gives {found:?}");
}

#[track_caller]
fn accepted(path: &str, text: &str) {
    assert_eq!(check(path, text), [""; 0], "{path}: {text:?}");
}

#[test]
fn edges_follow_the_table() {
    accepted("net/mod.rs", "use crate::runtime::Handle;\nuse crate::{task, timer::{a, b}};");
    refused("net/tcp.rs", "use crate::fs::File;", "net/tcp.rs:1: `net` may not use `fs`");
    refused("task/a.rs", "fn f() {\n    crate :: timer :: now()\n}", "a.rs:2: `task` may not");
    refused("timer.rs", "use crate::{primitive::a, task::{b, c}};", "may not use `task`");
    refused("sync/a.rs", "use crate::runtime::Handle;", "`sync` may not use `runtime`");
    accepted("sync/a.rs", "use crate::{primitive, task::budget};");
    refused("net/a.rs", "use crate::spawn;", "`crate::spawn` is no module");
    refused("other/a.rs", "", "`other` is not in the table");
    refused("task/a.rs", "macro_rules! m { () => { $crate::net::x() } }", "may not use `net`");
    accepted("task/a.rs", "macro_rules! m { ($x:path) => { $crate::other!($crate::$x) } }");
    accepted("lib.rs", "mod net; pub use crate::net::Tcp;");
}

#[test]
fn a_door_is_for_reexports_only() {
    accepted("task/mod.rs", "mod a;\npub use crate::tasks::*;");
    refused("task/mod.rs", "use crate::tasks::spawn;", "`crate::tasks` is no module");
    refused("task/a.rs", "pub use crate::tasks::*;", "`crate::tasks` is no module");
}

#[test]
fn a_chain_of_super_is_followed() {
    refused("task/state.rs", "use super::super::net::Tcp;", "`task` may not use `net`");
    refused("task/mod.rs", "use super::net::Tcp;", "`task` may not use `net`");
    accepted("task/state.rs", "use super::header::Header;");
    accepted("task/mod.rs", "mod inner { use super::header::Header; }");
    refused("task/mod.rs", "mod inner { use super::super::net; }", "may not use `net`");
}

#[test]
fn comments_strings_and_tests_do_not_count() {
    accepted("task/a.rs", "//! `crate::net`\n/* crate::net /* nested */ crate::fs */");
    accepted("task/a.rs", "const A: &str = \"crate::net \\\" loom\"; const B: char = '\"';");
    accepted("task/a.rs", "const A: &str = r#\"crate::net \" loom\"#; fn f<'a>(x: &'a u8) {}");
    accepted("task/a.rs", "#[cfg(test)]\nmod tests { use crate::net; use loom::thread; }");
    accepted("task/a.rs", "#[cfg(test)]\n#[path = \"x\"]\nmod tests;\nfn f() {}");
    accepted("task/tests.rs", "use crate::net;");
    refused("task/a.rs", "#[cfg(not(test))]\nuse crate::net;", "may not use `net`");
    refused("task/a.rs", "fn f<'a>() {} /* */ use crate::net;", "may not use `net`");
    let after = "#[cfg(test)]\nmod tests { fn f() { let x = \"}\"; } }\nuse crate::net;";
    refused("task/a.rs", after, "a.rs:3: `task` may not use `net`");
}

#[test]
fn primitive_names_stay_in_primitive() {
    for name in [
        "use std::sync::atomic::AtomicU8;",
        "use std::sync::{Arc, atomic::{AtomicU8, Ordering}};",
        "use std::{sync::{Arc, Mutex}, io};",
        "fn f() { std::thread::park() }",
        "use parking_lot::Mutex;",
        "use crossbeam_deque::{Worker};",
        "use polling::Poller;",
        "loom::model(|| ());",
        "generator::done();",
        "#[cfg(feature = \"model\")] mod x;",
    ] {
        refused("task/a.rs", name, "belongs to `primitive`");
        accepted("primitive/a.rs", name);
        accepted("lib.rs", name);
    }
    accepted("task/a.rs", "use std::sync::{Arc, OnceLock}; fn polling() { bloom(heirloom) }");
    accepted("task/a.rs", "fn f() { std::thread::panicking(); poll.polling = 1; }");
}

#[test]
fn thread_locals_have_their_files() {
    refused("task/a.rs", "local! { static A: u8 = 1; }", "thread-local");
    refused("task/a.rs", "std::thread_local! { static A: u8 = 1; }", "thread-local");
    accepted("task/budget.rs", "local! { static A: u8 = 1; }");
    accepted("task/a.rs", "use crate::primitive::local; fn f() { local(); }");
}

#[test]
fn target_os_chooses_files() {
    accepted("net/a.rs", "#[cfg(target_os = \"linux\")]\npub(crate) mod linux;");
    accepted("net/a.rs", "#[cfg(not(target_os = \"linux\"))]\n#[doc(hidden)]\nuse other::*;");
    accepted("net/a.rs", "#[cfg_attr(target_os = \"linux\", path = \"linux.rs\")]\nmod sys;");
    refused("net/a.rs", "#[cfg(target_os = \"linux\")]\nfn f() {}", "whole files");
    refused("net/a.rs", "fn f() { if cfg!(target_os = \"linux\") {} }", "whole files");
    refused("net/a.rs", "#[inline]\nfn f() { cfg!(target_os = \"linux\") }", "whole files");
}

#[test]
fn files_are_short_and_modules_have_no_cycle() {
    accepted("task/a.rs", &"\n".repeat(MAX_LINES));
    refused("task/a.rs", &"\n".repeat(MAX_LINES + 1), "too many");
    let table = Table::parse("```layers\n1 a -> b\n1 b -> c\n1 c -> a\n```");
    let source = |path: &str, used: &str| Source::new(path, &format!("use crate::{used};"));
    let sources = [source("a.rs", "b"), source("b.rs", "c"), source("c.rs", "a")];
    assert_eq!(violations(&sources, &table), ["a cycle of modules: a → b → c → a"]);
    assert_eq!(violations(&sources[..2], &table), [""; 0]);
}
