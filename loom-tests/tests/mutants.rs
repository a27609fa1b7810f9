//! Mutants: small breakages of the sources, each of which must make its model fail. A model that
//! passes on its mutant checks nothing.
//!
//! They stand in `loom-tests/mutants/PART.txt`, in blocks separated by a line `---`:
//!
//! ```text
//! name: wake_during_poll_forgotten
//! file: src/task/state.rs
//! find: self.word.fetch_or(SCHEDULED, AcqRel)
//! replace: self.word.load(Acquire)
//! model: task_wake_vs_run
//! ```
//!
//! `find` must occur exactly once in the file. Several `find:` (or `replace:`) lines make one text of
//! several lines, each with its indentation after the one space. `model:` is a test in
//! `loom-tests/tests/*.rs`; several `model:` lines mean that each of them must fail. A line that
//! begins with `#` is a comment.
//!
//! `cargo test -p loom-tests --test mutants` checks that the texts still fit the sources.
//! `cargo test -p loom-tests --test mutants -- --ignored --nocapture` runs them, in a copy of the
//! repository under the temporary directory with a target directory of its own, which is kept for
//! the next run; `REIVER_MUTANTS=word,word` runs those whose name or file contains one of the words. Run
//! one at a time.

#[path = "harness/sources.rs"]
mod sources;

use sources::repository;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

#[derive(Debug, Default, PartialEq)]
struct Mutant {
    name: String,
    file: String,
    find: String,
    replace: String,
    models: Vec<String>,
}

/// Reads the blocks of one file.
fn parse(text: &str) -> Result<Vec<Mutant>, String> {
    let mut mutants = Vec::new();
    for block in format!("\n{text}\n").split("\n---\n") {
        let mut mutant = Mutant::default();
        let (mut find, mut replace) = (Vec::new(), Vec::new());
        let lines = block.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
        for line in lines {
            let (key, value) = line.split_once(':').ok_or(format!("no key: {line:?}"))?;
            let value = value.strip_prefix(' ').unwrap_or(value).trim_end();
            match key {
                "name" => mutant.name = value.trim().into(),
                "file" => mutant.file = value.trim().into(),
                "find" => find.push(value),
                "replace" => replace.push(value),
                "model" => mutant.models.push(value.trim().into()),
                _ => return Err(format!("unknown key: {line:?}")),
            }
        }
        if mutant.name.is_empty() && find.is_empty() {
            continue;
        }
        mutant.find = find.join("\n");
        mutant.replace = replace.join("\n");
        let incomplete = mutant.name.is_empty()
            || mutant.file.is_empty()
            || mutant.find.trim().is_empty()
            || replace.is_empty()
            || mutant.models.is_empty()
            || mutant.find == mutant.replace;
        if incomplete {
            return Err(format!("incomplete: {mutant:?}"));
        }
        mutants.push(mutant);
    }
    Ok(mutants)
}

/// Every mutant of the repository.
fn mutants() -> Vec<Mutant> {
    let folder = repository().join("loom-tests/mutants");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "txt"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let parsed = parse(&fs::read_to_string(&file).unwrap());
        all.extend(parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    assert!(!all.is_empty());
    all
}

/// Which test files have a test of each name.
fn models() -> BTreeMap<String, Vec<String>> {
    let mut models = BTreeMap::<String, Vec<String>>::new();
    for test in sources::files().into_iter().flat_map(|file| file.tests) {
        models.entry(test.name).or_default().push(test.file);
    }
    models
}

/// `source` with the mutant in it.
fn mutate(mutant: &Mutant, source: &str) -> Result<String, String> {
    match source.matches(&mutant.find).count() {
        1 => Ok(source.replacen(&mutant.find, &mutant.replace, 1)),
        n => Err(format!("{}: its text occurs {n} times in {}", mutant.name, mutant.file)),
    }
}

#[test]
fn mutants_fit_the_sources() {
    let models = models();
    let mut wrong = Vec::new();
    let mut names = Vec::new();
    for mutant in mutants() {
        match fs::read_to_string(repository().join(&mutant.file)) {
            Ok(source) => wrong.extend(mutate(&mutant, &source).err()),
            Err(error) => wrong.push(format!("{}: {}: {error}", mutant.name, mutant.file)),
        }
        for model in &mutant.models {
            match models.get(model).map_or(0, Vec::len) {
                1 => {}
                n => wrong.push(format!("{}: {n} tests are named {model}", mutant.name)),
            }
        }
        if names.contains(&mutant.name) {
            wrong.push(format!("{}: the name is taken", mutant.name));
        }
        names.push(mutant.name);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_model_has_a_mutant() {
    let killers: Vec<String> = mutants().into_iter().flat_map(|mutant| mutant.models).collect();
    let tests: Vec<_> = sources::files().into_iter().flat_map(|file| file.tests).collect();
    let models: Vec<_> = tests.iter().filter(|test| test.is_model).collect();
    assert!(models.len() > 150, "only {} models were found", models.len());
    let without = models.iter().filter(|model| !killers.contains(&model.name));
    let without: Vec<_> = without.map(|m| format!("{}.rs: {}", m.file, m.name)).collect();
    assert!(without.is_empty(), "no mutant names these:\n{}", without.join("\n"));
}

#[test]
fn a_block_is_read_as_documented() {
    let text = "# why\nname: a\nfile: src/x.rs\nfind: if x {\nfind:     y()\nreplace:\n\
        model: one\nmodel: two\n---\n\n---\n";
    let expected = Mutant {
        name: "a".into(),
        file: "src/x.rs".into(),
        find: "if x {\n    y()".into(),
        replace: "".into(),
        models: vec!["one".into(), "two".into()],
    };
    let read = parse(text).unwrap();
    assert_eq!(read, [expected]);
    assert_eq!(mutate(&read[0], "if x {\n    y()\n}").unwrap(), "\n}");
    assert!(mutate(&read[0], "if x { y() }").is_err());
    assert!(mutate(&read[0], "if x {\n    y() } if x {\n    y() }").is_err());
    for broken in ["name: a", "name: a\nfile: b\nfind: c\nreplace: c\nmodel: d", "find c", "fnd: c"]
    {
        assert!(parse(broken).is_err(), "{broken}");
    }
}

/// A copy of the repository in which one mutant at a time lives.
struct Laboratory {
    sources: PathBuf,
    target: PathBuf,
    models: BTreeMap<String, Vec<String>>,
}

/// What a model did.
#[derive(Debug, PartialEq)]
enum Verdict {
    Passed,
    Failed,
    /// It does not build, or the test did not run.
    Broken(String),
}

impl Laboratory {
    fn new() -> Self {
        let repository = repository();
        // One place for each checkout, so that what was built last time is found again.
        let id = repository.display().to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, b| {
            (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        let place = std::env::temp_dir().join(format!("reiver-mutants-{id:016x}"));
        let sources = place.join("sources");
        if sources.exists() {
            fs::remove_dir_all(&sources).unwrap();
        }
        copy_folder(&repository, &sources);
        Self { sources, target: place.join("target"), models: models() }
    }

    /// Builds and runs one model.
    fn run(&self, model: &str) -> Verdict {
        let [file] = self.models.get(model).map_or(&[][..], Vec::as_slice) else {
            return Verdict::Broken(format!("not one test named {model}"));
        };
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let output = Command::new(cargo)
            // Built in 4 s instead of 30: most die within a few executions.
            .args(["--config", "profile.dev.package.loom-tests.opt-level=0"])
            .env("CARGO_INCREMENTAL", "1")
            .args(["test", "--offline", "-p", "loom-tests", "--test", file, "--"])
            .args([model, "--exact", "--include-ignored"])
            .current_dir(&self.sources)
            .env("CARGO_TARGET_DIR", &self.target)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        // The summary in full: what a child said may stand above it.
        let passed = said.contains("test result: ok. 1 passed; 0 failed");
        let failed = said.contains("test result: FAILED. 0 passed; 1 failed");
        match output.status.success() {
            true if passed => Verdict::Passed,
            false if failed => Verdict::Failed,
            _ => Verdict::Broken(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
        let left_out = name == "target" || name == ".git" || kind.is_symlink();
        if left_out {
            continue;
        }
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

#[test]
#[ignore = "builds and runs every mutant: about 4 s each"]
fn every_mutant_is_killed() {
    let words = std::env::var("REIVER_MUTANTS").unwrap_or_default();
    let mut mutants = mutants();
    mutants.retain(|mutant| {
        words.split(',').any(|word| mutant.name.contains(word) || mutant.file.contains(word))
    });
    assert!(!mutants.is_empty(), "no mutant is called {words}");
    let laboratory = Laboratory::new();

    let mut models: Vec<&String> = mutants.iter().flat_map(|mutant| &mutant.models).collect();
    models.sort();
    models.dedup();
    let mut wrong = Vec::new();
    for model in models {
        let verdict = laboratory.run(model);
        if verdict != Verdict::Passed {
            let text = format!("{model}, with nothing broken: {verdict:?}");
            println!("{text}");
            wrong.push(text);
        }
    }

    for mutant in &mutants {
        let path = laboratory.sources.join(&mutant.file);
        let source = fs::read_to_string(&path).unwrap();
        fs::write(&path, mutate(mutant, &source).unwrap()).unwrap();
        let start = Instant::now();
        for model in &mutant.models {
            let verdict = laboratory.run(model);
            let said = if verdict == Verdict::Failed { "killed" } else { "NOT KILLED" };
            println!("{} by {model}: {said} in {:.1?}", mutant.name, start.elapsed());
            if verdict != Verdict::Failed {
                wrong.push(format!("{} by {model}: {verdict:?}", mutant.name));
            }
        }
        fs::write(&path, source).unwrap();
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
