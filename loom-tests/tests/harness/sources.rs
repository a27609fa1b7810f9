//! The tests of this package, as their sources say: which are models, and what they are about.

#![allow(dead_code)] // each test file uses its own part

use std::fs;
use std::path::{Path, PathBuf};

/// The folder above this package.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A test.
#[derive(Debug)]
pub struct Test {
    pub name: String,
    /// Without `.rs`.
    pub file: String,
    /// Its documentation, in one line.
    pub about: String,
    /// It is a model of a protocol of the runtime's, a storm, or a known bug.
    pub is_model: bool,
}

/// One file of tests.
#[derive(Debug)]
pub struct File {
    pub name: String,
    /// The first paragraph of its documentation, in one line.
    pub about: String,
    pub tests: Vec<Test>,
}

/// All files of tests, by their names.
pub fn files() -> Vec<File> {
    let mut files = Vec::new();
    for entry in fs::read_dir(repository().join("loom-tests/tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "rs") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            files.push(read(name, &fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// Whether the tests of this file are about the runtime, and not about what finds its bugs.
fn is_of_protocols(name: &str, text: &str) -> bool {
    let about_the_harness = ["canaries", "storm_canaries"].contains(&name);
    text.contains("\nmod harness;\n") && !about_the_harness || name == "known_bugs"
}

fn read(name: String, text: &str) -> File {
    let head = text.lines().map_while(|line| line.strip_prefix("//!"));
    let head: Vec<_> = head.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let mut tests = Vec::new();
    let mut about = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(line) = line.strip_prefix("///") {
            about.push(line.trim());
            continue;
        }
        let attributes = ["#[test]", "#[reiver::sim", "#[reiver::model"];
        if attributes.iter().any(|start| line.starts_with(start)) {
            let mut names = lines.by_ref().map(|l| l.strip_prefix("async ").unwrap_or(l));
            let test = names.find_map(|l| l.strip_prefix("fn ")).and_then(|l| l.split('(').next());
            let test = test.unwrap_or("").to_owned();
            // A model is called by the name of its test; the rest are ordinary tests.
            let is_called = name == "known_bugs" || text.contains(&format!("(\"{test}\""));
            tests.push(Test {
                is_model: is_of_protocols(&name, text) && is_called,
                name: test,
                file: name.clone(),
                about: about.join(" "),
            });
        }
        about.clear();
    }
    File { name, about: head.join(" "), tests }
}
