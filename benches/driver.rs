//! What the drivers share: the program with the cases, starting it, and the files with its figures.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The one whose figures stand below the ratio comes first.
pub const RUNTIMES: [&str; 3] = ["reiver", "tokio", "smol"];

/// The cases asked for on the command line: all, or those whose names contain one of the words.
pub struct Filter(Vec<String>);

impl Filter {
    pub fn of_this_run() -> Self {
        Self(std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect())
    }

    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    pub fn wants(&self, case: &str) -> bool {
        self.is_all() || self.0.iter().any(|word| case.contains(&**word))
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the program of the cases, with the profile that users build theirs with. Gives its path.
pub fn build() -> Result<PathBuf, String> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "reiver-bench", "--message-format=json"])
        .current_dir(root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    if !output.status.success() {
        return Err("the cases do not build".into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // The one artifact with an executable; the path has no escapes unless the checkout's has.
    let path = text.lines().filter_map(|line| line.split("\"executable\":\"").nth(1)).next_back();
    let path = path.and_then(|rest| rest.split('"').next());
    path.map(PathBuf::from).ok_or_else(|| "cargo names no executable".into())
}

/// Runs the program; gives its figures by name, none if the runtime has no such thing.
pub fn figures(command: &mut Command) -> Result<Vec<(String, f64)>, String> {
    let output = command.output().map_err(|e| format!("cannot start {command:?}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |line: &str| {
        let (name, figure) = line.rsplit_once('=')?;
        Some((name.to_owned(), figure.parse().ok()?))
    };
    let figures: Option<Vec<_>> = text.lines().map(figure).collect();
    figures.filter(|_| output.status.success()).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("{command:?}: {}\n{text}{errors}", output.status)
    })
}

/// Three digits that mean something; a dash for a figure that is not there.
pub fn digits(figure: Option<f64>) -> String {
    match figure {
        None => "—".into(),
        Some(n @ ..10.0) => format!("{n:.2}"),
        Some(n @ ..100.0) => format!("{n:.1}"),
        Some(n) => format!("{n:.0}"),
    }
}

/// The better peer's figure ÷ reiver's.
pub fn ratio(figures: [Option<f64>; 3]) -> f64 {
    let [ours, peers @ ..] = figures;
    let better = peers.into_iter().flatten().fold(f64::INFINITY, f64::min);
    better / ours.unwrap_or(f64::NAN)
}

/// Replaces what stands between `<!-- NAME -->` and `<!-- end of NAME -->` in a file of this repository.
pub fn put(file: &str, name: &str, text: &str) -> Result<(), String> {
    let path = root().join(file);
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let old = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {file}: {e}"))?;
    let parts = old.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("{file} has no part {name}"))?;
    std::fs::write(&path, format!("{before}{begin}{text}{end}{after}"))
        .map_err(|e| format!("cannot write {file}: {e}"))?;
    println!("written to {file}");
    Ok(())
}
