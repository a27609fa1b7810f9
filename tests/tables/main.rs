//! The tables of `reiver::docs`: each item stands in one, with tests that exist, and compiles.
//!
//! `tokio-1.54.txt` is the list of tokio's public items, taken from its documentation as JSON (features
//! `full` and `test-util`). `asyncio-3.11.txt` is `asyncio.__all__` of Python 3.11, with the public names in the classes
//! that programs use, in `AbstractEventLoop` (as `loop`) and in `subprocess.Process`.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const TOKIO: &str = include_str!("../../src/docs/tokio.md");
const ASYNCIO: &str = include_str!("../../src/docs/asyncio.md");
const ITEMS: &str = include_str!("tokio-1.54.txt");
const ASYNCIO_ITEMS: &str = include_str!("asyncio-3.11.txt");
const NAMES: &str = include_str!("names.rs");

struct Row<'a> {
    /// The module, from the heading.
    module: String,
    /// What stands in backquotes in the first column.
    items: Vec<&'a str>,
    verdict: &'a str,
    /// What stands in backquotes in the last column.
    tests: Vec<&'a str>,
}

fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let mut module = String::new();
    let mut rows = Vec::new();
    for line in table.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            module = quoted(heading).first().map(|name| name.to_string()).unwrap_or_default();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.len() < 3 || cells[2] == "here" || cells[1].starts_with("--") {
            continue;
        }
        assert_eq!(cells.len(), 5, "a row has three cells: {line}");
        rows.push(Row {
            module: module.clone(),
            items: quoted(cells[1]),
            verdict: cells[2],
            tests: quoted(cells[3]),
        });
    }
    assert!(rows.len() > 20);
    rows
}

fn verdict(row: &Row) -> &'static str {
    let verdicts = ["works", "differs", "not"];
    let word = row.verdict.split(|c: char| !c.is_alphabetic()).next().unwrap();
    let known = verdicts.into_iter().find(|verdict| *verdict == word);
    known.unwrap_or_else(|| panic!("{:?}: {:?} is no verdict", row.items, row.verdict))
}

/// The files in which a test may be, by the name that the tables give them.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if path.is_dir() {
                let name = path.file_name().unwrap().to_str().unwrap();
                // A package has its tests in `tests`.
                let inner =
                    if name == "tests" { prefix.to_string() } else { format!("{prefix}{name}/") };
                walk(&path, &inner, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.insert(format!("{prefix}{name}"), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    walk(&root.join("tests"), "", &mut found);
    walk(&root.join("macros/tests"), "macros/", &mut found);
    found
}

#[test]
fn what_is_said_to_work_has_tests_that_exist() {
    let sources = sources();
    let mut wrong = Vec::new();
    for row in rows(TOKIO).iter().chain(&rows(ASYNCIO)) {
        match verdict(row) {
            "not" if row.verdict.len() < 12 => {
                wrong.push(format!("{:?}: not, but why?", row.items))
            }
            "works" | "differs" if row.tests.is_empty() => {
                wrong.push(format!("{:?}: no test", row.items));
            }
            _ => {}
        }
        for test in &row.tests {
            let example = test.starts_with("examples/");
            let exists = match test.rsplit_once("::") {
                Some((file, name)) => sources.get(file).is_some_and(|source| {
                    let find = format!("fn {name}(");
                    source.find(&find).is_some_and(|at| {
                        let before = source[..at].trim_end().rsplit('\n').next().unwrap();
                        before.trim_start().starts_with("#[") || before.ends_with("async")
                    })
                }),
                None if example => {
                    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(test);
                    // CI runs those with this line.
                    std::fs::read_to_string(path).is_ok_and(|text| text.contains("\n// ci:"))
                }
                None => false,
            };
            if !exists {
                wrong.push(format!("{:?}: there is no {test}", row.items));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// In one cell, "`Queue.get`, `put`" are two methods of `Queue`.
fn with_classes(items: &[&str]) -> Vec<String> {
    let mut class = "";
    let full = items.iter().map(|item| match item.split_once('.') {
        Some((before, _)) => {
            class = before;
            item.to_string()
        }
        None if class.is_empty() => item.to_string(),
        None => format!("{class}.{item}"),
    });
    full.collect()
}

#[test]
fn every_item_of_asyncio_is_in_the_table_once() {
    let mut listed = BTreeSet::new();
    for row in rows(ASYNCIO) {
        for name in with_classes(&row.items) {
            assert!(listed.insert(name.clone()), "{name} stands twice");
        }
    }
    let left_out: Vec<_> = ASYNCIO_ITEMS.lines().filter(|item| !listed.contains(*item)).collect();
    assert!(left_out.is_empty(), "not in the table: {left_out:#?}");
    assert!(ASYNCIO_ITEMS.lines().count() > 200);
}

#[test]
fn every_item_of_tokio_is_in_the_table_once() {
    let mut listed = BTreeSet::new();
    let mut missing = BTreeSet::new();
    for row in rows(TOKIO) {
        for item in &row.items {
            let name = match &*row.module {
                "" => item.to_string(),
                module => format!("{module}::{item}"),
            };
            if row.verdict.starts_with("not") {
                missing.insert(name.clone());
            }
            assert!(listed.insert(name.clone()), "{name} stands twice");
        }
    }
    let items: BTreeSet<&str> = ITEMS.lines().collect();
    assert!(items.len() > 200);
    let left_out: Vec<_> = items.iter().filter(|item| !listed.contains(**item)).collect();
    assert!(left_out.is_empty(), "not in the table: {left_out:#?}");
    // What is here is used by its name in `names.rs`, which compiles.
    let used: BTreeSet<&str> = NAMES
        .lines()
        .filter_map(|line| line.strip_prefix("use reiver::"))
        .filter_map(|line| line.strip_suffix(" as _;"))
        .collect();
    let here: BTreeSet<&str> = items.into_iter().filter(|item| !missing.contains(*item)).collect();
    assert_eq!(used, here);
}
