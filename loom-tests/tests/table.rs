//! The table of models in `loom-tests/README.md`: that each model is in it, and what writes it.
//!
//! `cargo test -p loom-tests --test table -- --ignored` runs all models and writes the table anew.

#[path = "harness/sources.rs"]
mod sources;

use sources::{File, Test, files, repository};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const BEGIN: &str = "<!-- models -->\n";
const END: &str = "<!-- end of models -->\n";

fn readme() -> PathBuf {
    repository().join("loom-tests/README.md")
}

fn models(file: &File) -> impl Iterator<Item = &Test> {
    file.tests.iter().filter(|test| test.is_model)
}

#[test]
fn every_model_is_in_the_table() {
    let text = fs::read_to_string(readme()).unwrap();
    let table = text.split_once(BEGIN).unwrap().1.split_once(END).unwrap().0;
    let files = files();
    let missing: Vec<_> = files
        .iter()
        .flat_map(models)
        .filter(|model| !table.contains(&format!("\n| `{}` | ", model.name)))
        .map(|model| format!("{}.rs: {}", model.file, model.name))
        .collect();
    assert!(missing.is_empty(), "not in the README's table:\n{}", missing.join("\n"));
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    let models = files.iter().flat_map(models).count();
    assert_eq!(rows, models, "rows of models that are gone");
}

#[test]
fn every_model_says_what_it_checks() {
    let mut wrong = Vec::new();
    for file in files() {
        if models(&file).count() > 0 && !file.about.contains("hecks ") && file.name != "known_bugs"
        {
            wrong.push(format!("{}.rs does not say which text it checks", file.name));
        }
        let silent = models(&file).filter(|model| model.about.is_empty());
        wrong.extend(silent.map(|model| format!("{}.rs: {}", model.file, model.name)));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What one run said of a model: bound, executions, time.
fn heard(said: &str, name: &str) -> Option<[String; 3]> {
    for line in said.lines() {
        // `model NAME: finished, 12 executions (3 preemptions) in 1.23ms, reached …`
        if let Some((_, rest)) = line.split_once(&format!("model {name}: finished, ")) {
            let (count, rest) = rest.split_once(' ')?;
            let bound = match rest.strip_prefix("executions (") {
                Some(rest) => rest.split_once(')')?.0,
                None => "seeds",
            };
            let time = rest.split_once(" in ")?.1.split([',', ';']).next()?;
            return Some([bound, count, time].map(str::to_owned));
        }
        // `model NAME: 12 executions with 2 preemptions in 1.23ms, …`
        if let Some((_, rest)) = line.split_once(&format!("model {name}: ")) {
            let (count, rest) = rest.split_once(" executions with ")?;
            let (bound, rest) = rest.split_once(" in ")?;
            return Some([bound, count, rest.split(',').next()?].map(str::to_owned));
        }
        // `sim NAME: 12 schedules, all there are, …`
        if let Some((_, rest)) = line.split_once(&format!("sim {name}: ")) {
            let (count, rest) = rest.split_once(" schedules, ")?;
            let bound = if rest.starts_with("all") { "all" } else { "seeds" };
            return Some([bound, count, "–"].map(str::to_owned));
        }
    }
    None
}

/// `12345` as `12,345`.
fn with_commas(number: &str) -> String {
    let mut text = String::new();
    for (at, digit) in number.chars().enumerate() {
        if at > 0 && (number.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn what_a_model_says_is_understood() {
    let said = "\nmodel a: finished, 12 executions (3 preemptions) in 1.23ms, reached {\"x\": 1}\n\
        model b: finished, 300 storms in 150.10ms, of 4 steps, 3 changes\n\
        model c: 9 executions with 2 preemptions in 7s, 2 tasks\ntest d ... sim d: 5 schedules, all there are, 2";
    let read = |name| heard(said, name).unwrap().join(" ");
    assert_eq!(
        ["a", "b", "c", "d"].map(read),
        ["3 preemptions 12 1.23ms", "seeds 300 150.10ms", "2 preemptions 9 7s", "all 5 –",]
    );
    assert_eq!(with_commas("1234567"), "1,234,567");
}

#[test]
#[ignore = "runs every model and writes README.md"]
fn write_the_table() {
    let mutants = repository().join("loom-tests/mutants");
    let mutants =
        fs::read_dir(mutants).unwrap().map(|e| fs::read_to_string(e.unwrap().path()).unwrap());
    let mutants: String = mutants.collect::<Vec<_>>().join("\n");
    let mut table = String::new();
    for file in files().iter().filter(|file| models(file).count() > 0) {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let output = Command::new(cargo)
            .args(["test", "--offline", "-p", "loom-tests", "--test", &file.name, "--"])
            .args(["--nocapture", "--test-threads=1"])
            .current_dir(repository())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|part| String::from_utf8(part).unwrap());
        let said = said.join("\n");
        assert!(output.status.success(), "{said}");
        table.push_str(&format!("\n**`{}.rs`**: {}\n\n", file.name, file.about));
        table.push_str("| model | what it shows | bound | executions | CPU time | mutants |\n");
        table.push_str("|---|---|---|---:|---:|---:|\n");
        for Test { name, about, .. } in models(file) {
            let [bound, count, time] = heard(&said, name).expect(name);
            let killed = mutants.lines().filter(|line| *line == format!("model: {name}")).count();
            let (count, about) = (with_commas(&count), about.split(". ").next().unwrap());
            table.push_str(&format!(
                "| `{name}` | {about} | {bound} | {count} | {time} | {killed} |\n"
            ));
        }
    }
    let text = fs::read_to_string(readme()).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    fs::write(readme(), format!("{before}{BEGIN}{table}\n{END}{after}")).unwrap();
}
