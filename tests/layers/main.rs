//! The architecture as a test: who may use whom, and where some names may stand.
//!
//! The table of layers is the fenced block `layers` of `src/ARCHITECTURE.md`. This test reads every
//! `src/**/*.rs` without comments, strings and test code, and fails on:
//!
//! 1. a path `crate::a::…` in module `b` that the table does not allow, and a cycle of modules;
//! 2. the names of locks, atomics, queues, poller and loom, and the model switch, outside
//!    `primitive/` and `lib.rs`;
//! 3. a thread-local outside the few files that have one;
//! 4. `target_os` anywhere but on a `mod`, a `use` or a path;
//! 5. a file of more than 600 lines.
//!
//! `cargo test --test layers -- --nocapture` also prints the lines of code of each module.

mod source;
mod tests;

use source::{Source, matching, words};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The longest a file may be.
const MAX_LINES: usize = 600;
/// The files that may declare a thread-local: the poll budget, who is running here, what the poll here
/// waits for, and the memory of ended tasks. And the one that writes the word in a macro, which declares it in its
/// user's crate; and the one that passes blobs past serde, which has no other way.
const LOCALS: [&str; 6] = [
    "task/budget.rs",
    "scheduler/current.rs",
    "util/note.rs",
    "util/kept.rs",
    "tasks/task_local.rs",
    "offload/blob.rs",
];
/// Re-exports that lead up: programs find them there, and nothing in that module uses them.
const DOORS: [(&str, &str); 6] = [
    ("task/mod.rs", "tasks"),
    ("task/mod.rs", "group"),
    ("io/mod.rs", "reactor"),
    ("io/mod.rs", "net"),
    ("io/mod.rs", "stdio"),
    ("runtime/mod.rs", "tasks"),
];
/// What only `primitive/` may name. A path, or the beginning of an identifier if it ends in `*`.
const FACADE_ONLY: [&str; 21] = [
    "std::sync::atomic",
    "core::sync::atomic",
    "std::sync::Mutex",
    "std::sync::MutexGuard",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::Barrier",
    "std::sync::mpsc",
    "std::thread::spawn",
    "std::thread::scope",
    "std::thread::park",
    "std::thread::park_timeout",
    "std::thread::current",
    "std::thread::yield_now",
    "std::thread::Builder",
    "std::thread::JoinHandle",
    "parking_lot*",
    "crossbeam*",
    "polling::",
    "loom*",
    "generator::",
];

#[test]
fn the_sources_keep_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table = Table::parse(&std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let mut sources = Vec::new();
    read_sources(&root, &root, &mut sources);
    assert!(sources.len() > 10, "the sources are not where this test looks");

    let mut lines = BTreeMap::<&str, (usize, usize)>::new();
    for source in &sources {
        let count = lines.entry(source.module()).or_default();
        count.0 += 1;
        count.1 += source.code.lines().filter(|line| !line.trim().is_empty()).count();
    }
    for (module, (files, lines)) in &lines {
        println!("{module:12} {lines:6} lines of code in {files:3} files");
    }
    println!("{:12} {:6} lines of code", "all", lines.values().map(|count| count.1).sum::<usize>());

    let found = violations(&sources, &table);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn read_sources(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(root, &path, sources);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push(Source::new(&name, &std::fs::read_to_string(&path).unwrap()));
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
}

/// Who may use whom.
struct Table {
    allowed: BTreeMap<String, BTreeSet<String>>,
}

impl Table {
    /// Each line of the block is `row  modules…`, and its modules may use those of lower rows; or
    /// `row  modules… -> others…`, and they may use exactly the others.
    fn parse(text: &str) -> Self {
        let block = text.split("```layers\n").nth(1).and_then(|rest| rest.split("```").next());
        let block = block.expect("src/ARCHITECTURE.md has a fenced block `layers`");
        let mut lines = Vec::new();
        for line in block.lines().filter(|line| !line.trim().is_empty()) {
            let (left, uses) = line.split_once("->").map_or((line, None), |(l, u)| (l, Some(u)));
            let mut words = left.split_whitespace();
            let row: u32 = words.next().unwrap().parse().expect("a line begins with its row");
            let modules: Vec<&str> = words.collect();
            lines.push((row, modules, uses));
        }
        let mut allowed = BTreeMap::new();
        for (row, modules, uses) in &lines {
            let below = lines.iter().filter(|(r, _, _)| r < row).flat_map(|(_, m, _)| m);
            let uses: BTreeSet<String> = match uses {
                Some(uses) => uses.split_whitespace().map(String::from).collect(),
                None => below.map(|m| m.to_string()).collect(),
            };
            for module in modules {
                let twice = allowed.insert(module.to_string(), uses.clone());
                assert!(twice.is_none(), "{module} stands twice in the table");
            }
        }
        Self { allowed }
    }
}

/// Everything in `sources` that the rules forbid.
fn violations(sources: &[Source], table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let mut edges = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources {
        if source.lines > MAX_LINES {
            found.push(format!("{}: {} lines are too many", source.path, source.lines));
        }
        check_edges(source, table, &mut edges, &mut found);
        check_names(source, &mut found);
        check_target_os(source, &mut found);
    }
    found.extend(cycle(&edges));
    found.dedup();
    found
}

fn check_edges(
    source: &Source,
    table: &Table,
    edges: &mut BTreeMap<String, BTreeSet<String>>,
    found: &mut Vec<String>,
) {
    let module = source.module();
    if module == "lib" {
        return;
    }
    let Some(allowed) = table.allowed.get(module) else {
        found.push(format!("{}: module `{module}` is not in the table", source.path));
        return;
    };
    for (at, used) in used_modules(source) {
        let line = source.line(at);
        let is_reexport = source.code[..at].trim_end().ends_with("pub use");
        if used == module || (is_reexport && DOORS.contains(&(&*source.path, &*used))) {
            continue;
        }
        if !table.allowed.contains_key(&used) {
            found.push(format!("{line}: `crate::{used}` is no module of the table"));
        } else if !allowed.contains(&used) {
            found.push(format!("{line}: `{module}` may not use `{used}`"));
        }
        edges.entry(module.into()).or_default().insert(used);
    }
}

/// The top-level modules that a file names, each with the place.
fn used_modules(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut used = Vec::new();
    for (at, word) in words(code) {
        if word == "crate" && code[at + 5..].trim_start().starts_with("::") {
            let rest = code[at + 5..].trim_start()[2..].trim_start();
            used.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    // A chain of `super` that is as long as the module is deep ends in the crate root.
    let compact = |at: usize| code[at..].chars().take(400).filter(|c| !c.is_whitespace());
    let mut last_end = 0;
    for (at, word) in words(code) {
        if word != "super" || at < last_end {
            continue;
        }
        let text: String = compact(at).collect();
        let chain = text.split("::").take_while(|part| *part == "super").count();
        let inner = inline_modules_around(code, at);
        if chain >= source.depth() + inner {
            let rest: Vec<&str> = text.split("::").skip(chain).collect();
            used.extend(first_names(&rest.join("::")).into_iter().map(|name| (at, name)));
        }
        last_end = at + chain * "super::".len();
    }
    used
}

/// The first name of a path, or those of a group.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        let name = name(path);
        // An exported macro lives at the root, wherever it is written; `$crate::$x` has no name yet.
        let is_macro = path.trim_start()[name.len()..].starts_with('!');
        return if is_macro || name.is_empty() { Vec::new() } else { vec![name] };
    };
    let mut depth = 0;
    let mut names = Vec::new();
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty() && name != "self");
    names
}

/// How many `mod x { … }` enclose a place.
fn inline_modules_around(code: &str, place: usize) -> usize {
    let mut open = Vec::new();
    let mut recent = ["", ""];
    let mut word_start = None;
    for (at, c) in code[..place].char_indices() {
        if c.is_alphanumeric() || c == '_' {
            word_start.get_or_insert(at);
            continue;
        }
        if let Some(start) = word_start.take() {
            recent = [recent[1], &code[start..at]];
        }
        match c {
            '{' => {
                open.push(recent[0] == "mod");
                recent = ["", ""];
            }
            '}' => {
                open.pop();
            }
            _ if !c.is_whitespace() => recent = ["", ""],
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}

fn check_names(source: &Source, found: &mut Vec<String>) {
    let code = &source.code;
    for (at, word) in words(code) {
        let is_macro = code[at + word.len()..].starts_with('!');
        let local = (word == "local" || word == "thread_local") && is_macro;
        if local && !LOCALS.contains(&source.path.as_str()) && source.module() != "primitive" {
            found.push(format!("{}: a thread-local has no place here", source.line(at)));
        }
    }
    if source.is_facade() {
        return;
    }
    for (at, path) in paths(code) {
        let forbidden = FACADE_ONLY.iter().find(|rule| match rule.strip_suffix('*') {
            Some(start) => path.split("::").next().unwrap().starts_with(start),
            None => format!("{path}::").starts_with(&format!("{}::", rule.trim_end_matches("::"))),
        });
        // A bare word is a path only if it is the crate of a rule.
        let is_path = path.contains("::") || forbidden.is_some_and(|rule| rule.ends_with('*'));
        if let Some(rule) = forbidden.filter(|_| is_path) {
            found.push(format!("{}: `{rule}` belongs to `primitive`", source.line(at)));
        }
    }
    let squeezed: String = source.code_and_strings.split_whitespace().collect();
    if squeezed.contains("feature=\"model\"") {
        found.push(format!("{}: the model switch belongs to `primitive`", source.path));
    }
}

fn check_target_os(source: &Source, found: &mut Vec<String>) {
    let code = &source.code;
    for (at, word) in words(code) {
        if word != "target_os" {
            continue;
        }
        let start = code[..at].rfind('#').unwrap_or(0);
        let attribute = &code[start..];
        let end = matching(attribute, '[', ']').unwrap_or(attribute.len());
        let is_attribute = attribute.starts_with("#[") && start + end > at;
        let what = if attribute[..end].contains("path") { "mod" } else { item(&attribute[end..]) };
        if !is_attribute || !matches!(what, "mod" | "use") {
            found.push(format!("{}: `target_os` only chooses whole files", source.line(at)));
        }
    }
}

/// The word that says what item follows: attributes and visibility are skipped.
fn item(mut code: &str) -> &str {
    loop {
        code = code.trim_start();
        if code.starts_with("#[") {
            code = &code[matching(code, '[', ']').unwrap_or(code.len())..];
        } else if let Some(rest) = code.strip_prefix("pub") {
            code = rest.trim_start();
            if code.starts_with('(') {
                code = &code[matching(code, '(', ')').unwrap_or(code.len())..];
            }
        } else {
            return words(code).next().map_or("", |(_, word)| word);
        }
    }
}

/// A cycle among the modules, if there is one.
fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    fn visit<'a>(
        module: &'a str,
        edges: &'a BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<String> {
        if let Some(start) = path.iter().position(|m| *m == module) {
            return Some(format!("a cycle of modules: {} → {module}", path[start..].join(" → ")));
        }
        if !done.insert(module) {
            return None;
        }
        path.push(module);
        let uses = edges.get(module).into_iter().flatten();
        let found = uses.into_iter().find_map(|used| visit(used, edges, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|module| visit(module, edges, &mut Vec::new(), &mut done))
}

/// The paths of `code`, groups written out: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some((at, word)) = words(&code[rest..]).next() {
        let at = rest + at;
        rest = path_from(code, at, String::new(), &mut found).max(at + word.len());
    }
    found
}

/// Reads the path at `at` with `prefix` before it; returns where it ends.
fn path_from(code: &str, at: usize, prefix: String, found: &mut Vec<(usize, String)>) -> usize {
    let skip = |at: usize| at + (code[at..].len() - code[at..].trim_start().len());
    let Some((0, word)) = words(&code[at..]).next() else {
        return at + 1;
    };
    let path = if prefix.is_empty() { word.to_string() } else { format!("{prefix}::{word}") };
    let end = at + word.len();
    let next = skip(end);
    if !code[next..].starts_with("::") {
        found.push((at, path));
        return end;
    }
    let next = skip(next + 2);
    if !code[next..].starts_with('{') {
        if words(&code[next..]).next().is_some_and(|(start, _)| start == 0) {
            return path_from(code, next, path, found);
        }
        found.push((at, path));
        return next;
    }
    let end = next + matching(&code[next..], '{', '}').unwrap_or(code.len() - next);
    let mut inside = next + 1;
    while inside + 1 < end {
        match words(&code[inside..end]).next() {
            Some((start, _)) => inside = path_from(code, inside + start, path.clone(), found),
            None => break,
        }
    }
    end
}
