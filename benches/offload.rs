//! `cargo bench --bench offload`: what a call in another process costs, beside a bare socket pair and Python.
//!
//! Bare figures and Python's are taken in the same run, by turns, since a machine full of other work moves all of
//! them alike: trust the ratios. Python's are left out where `python3` is not installed.
//!
//! ```text
//! cargo bench --bench offload               all
//! cargo bench --bench offload -- trip rate  those whose names contain one of these
//! ```
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
#[path = "offload/linux.rs"]
mod linux;

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
}
