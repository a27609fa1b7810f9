//! The name under which the package being compiled knows reiver.
//!
//! An attribute cannot see the path it was called by, nor `$crate`. The name is therefore read from
//! `CARGO_MANIFEST_DIR/Cargo.toml`: the dependency whose package is `reiver`, be it plain, renamed
//! (`tokio = { package = "reiver" }`), under a target, for tests only, or inherited from the
//! workspace. Where there is none (another build system, a re-export), `reiver` is the guess and
//! `crate = "…"` the way out.
//!
//! The reader below knows as much TOML as that question needs: it flattens a document into
//! `dotted.key.path = value` entries. What it cannot read it skips, since cargo has read it before.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

const PACKAGE: &str = "reiver";

/// The crate name of reiver in the package being compiled.
pub(crate) fn crate_name() -> String {
    /// The last answer: one process compiles one package, but an editor's server may do many.
    static LAST: Mutex<Option<(String, String)>> = Mutex::new(None);

    let Ok(dir) = std::env::var("CARGO_MANIFEST_DIR") else { return PACKAGE.to_owned() };
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((of, name)) = &*last {
        if *of == dir {
            return name.clone();
        }
    }
    let name = name_in_dir(Path::new(&dir)).unwrap_or_else(|| PACKAGE.to_owned());
    *last = Some((dir, name.clone()));
    name
}

fn name_in_dir(dir: &Path) -> Option<String> {
    let manifest = read(dir)?;
    name_in(&manifest, || workspace_manifest(dir, &manifest))
}

fn read(dir: &Path) -> Option<Document> {
    Some(Document::parse(&std::fs::read_to_string(dir.join("Cargo.toml")).ok()?))
}

/// The manifest with the `[workspace]` that `dir` belongs to.
fn workspace_manifest(dir: &Path, manifest: &Document) -> Option<Document> {
    if manifest.has_table("workspace") {
        return Some(manifest.clone());
    }
    if let Some(root) = manifest.string(&["package", "workspace"]) {
        return read(&dir.join(root));
    }
    let mut above: Option<PathBuf> = dir.parent().map(Path::to_owned);
    while let Some(dir) = above {
        if let Some(found) = read(&dir).filter(|m| m.has_table("workspace")) {
            return Some(found);
        }
        above = dir.parent().map(Path::to_owned);
    }
    None
}

/// The name of the dependency in `manifest` that is reiver. `reiver` itself goes before an alias.
fn name_in(manifest: &Document, workspace: impl FnOnce() -> Option<Document>) -> Option<String> {
    if manifest.string(&["package", "name"]) == Some(PACKAGE) {
        return Some(PACKAGE.to_owned());
    }
    let mut dependencies: Vec<&[String]> = Vec::new();
    for (path, _) in &manifest.entries {
        if let Some(len) = dependency_len(path) {
            if !dependencies.contains(&&path[..len]) {
                dependencies.push(&path[..len]);
            }
        }
    }
    dependencies.sort_by_key(|path| path.last().is_some_and(|name| name != PACKAGE));

    let mut workspace = Some(workspace);
    let mut root: Option<Document> = None;
    for path in dependencies {
        let name = path.last()?;
        let inherited = manifest.value_under(path, "workspace") == Some("true");
        let package = if inherited {
            if let Some(find) = workspace.take() {
                root = find();
            }
            root.as_ref()
                .and_then(|root| root.string(&["workspace", "dependencies", name, "package"]))
        } else {
            manifest.value_under(path, "package")
        };
        if package.unwrap_or(name) == PACKAGE {
            return Some(name.replace('-', "_"));
        }
    }
    None
}

/// How long the part of `path` is that names a dependency of the package, if it does.
fn dependency_len(path: &[String]) -> Option<usize> {
    let kind = if path.first()? == "target" { 2 } else { 0 };
    let kinds = ["dependencies", "dev-dependencies", "dev_dependencies"];
    (path.len() > kind + 1 && kinds.contains(&path[kind].as_str())).then_some(kind + 2)
}

/// A TOML document, flattened. A value that is neither a string nor a bare word is empty.
#[derive(Clone, Debug, Default)]
struct Document {
    entries: Vec<(Vec<String>, String)>,
}

impl Document {
    fn parse(text: &str) -> Self {
        let mut reader = Reader { text: text.as_bytes(), at: 0, document: Self::default() };
        reader.document();
        reader.document
    }

    fn string(&self, path: &[&str]) -> Option<&str> {
        self.entries.iter().find(|(p, _)| p == path).map(|(_, value)| value.as_str())
    }

    fn value_under(&self, path: &[String], key: &str) -> Option<&str> {
        let found = self.entries.iter().find(|(p, _)| {
            p.len() == path.len() + 1 && p.starts_with(path) && p[path.len()] == key
        });
        found.map(|(_, value)| value.as_str())
    }

    fn has_table(&self, name: &str) -> bool {
        self.entries.iter().any(|(p, _)| p[0] == name)
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    document: Document,
}

impl Reader<'_> {
    fn document(&mut self) {
        let mut table = Vec::new();
        loop {
            self.blanks(true);
            match self.peek() {
                None => return,
                Some(b'[') => {
                    while self.take_if(b'[') {}
                    table = self.key();
                    // A table may be empty, and still be there.
                    self.document.entries.push((table.clone(), String::new()));
                    self.rest_of_line();
                }
                Some(_) => {
                    self.key_value(&table);
                    self.rest_of_line();
                }
            }
        }
    }

    fn key_value(&mut self, table: &[String]) {
        let mut path = table.to_vec();
        path.extend(self.key());
        if self.take_if(b'=') {
            self.value(path);
        }
    }

    /// A dotted key.
    fn key(&mut self) -> Vec<String> {
        let mut key = Vec::new();
        loop {
            self.blanks(false);
            match self.peek() {
                Some(quote @ (b'"' | b'\'')) => key.push(self.quoted(quote)),
                _ => key.push(self.bare()),
            }
            self.blanks(false);
            if !self.take_if(b'.') {
                return key;
            }
        }
    }

    fn value(&mut self, path: Vec<String>) {
        self.blanks(false);
        let value = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote),
            Some(b'{') => {
                self.at += 1;
                self.document.entries.push((path.clone(), String::new()));
                self.items(b'}', |reader| reader.key_value(&path));
                return;
            }
            Some(b'[') => {
                self.at += 1;
                // Elements are read to be skipped: their entries go under a key nobody asks for.
                self.items(b']', |reader| reader.value(vec![String::new()]));
                String::new()
            }
            _ => self.bare(),
        };
        self.document.entries.push((path, value));
    }

    /// Comma-separated items up to `end`.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self)) {
        loop {
            self.blanks(true);
            if self.peek().is_none() || self.take_if(end) {
                return;
            }
            let before = self.at;
            item(self);
            self.blanks(true);
            if !self.take_if(b',') && self.at == before {
                self.at += 1; // not TOML: get past it
            }
        }
    }

    /// A string in one or three quotes. Escapes stay as written: no name contains one.
    fn quoted(&mut self, quote: u8) -> String {
        let mut width = 0;
        while width < 3 && self.take_if(quote) {
            width += 1;
        }
        if width == 2 {
            return String::new();
        }
        let start = self.at;
        while let Some(byte) = self.peek() {
            if self.text[self.at..].starts_with(&[quote; 3][..width]) {
                break;
            }
            self.at += if byte == b'\\' && quote == b'"' { 2 } else { 1 };
        }
        let text = &self.text[start.min(self.text.len())..self.at.min(self.text.len())];
        let text = String::from_utf8_lossy(text).into_owned();
        self.at += width;
        while self.take_if(quote) {} // `""""` may end with quotes that belong to the text
        text
    }

    fn bare(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b"-_+:".contains(&b)) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    /// Skips spaces and, if `lines`, line ends and comments.
    fn blanks(&mut self, lines: bool) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\r' | b'\n' if lines => self.at += 1,
                b'#' if lines => self.rest_of_line(),
                _ => return,
            }
        }
    }

    fn rest_of_line(&mut self) {
        while self.peek().is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(manifest: &str) -> Option<String> {
        name_in(&Document::parse(manifest), || panic!("no workspace is needed"))
    }

    fn inherited(manifest: &str, workspace: &str) -> Option<String> {
        name_in(&Document::parse(manifest), || Some(Document::parse(workspace)))
    }

    #[test]
    fn a_plain_dependency_in_every_spelling() {
        for manifest in [
            "[dependencies]\nreiver = \"0.1\"",
            "[dependencies]\nreiver = { version = \"0.1\" }",
            "[dependencies.reiver]\npath = \"..\"",
            "[dependencies]\nreiver.version = \"0.1\"",
            "dependencies.reiver = \"0.1\"",
            "dependencies = { reiver = { path = \"..\" } }",
            "[dev-dependencies]\n\"reiver\" = '0.1'",
            "[target.'cfg(unix)'.dependencies]\nreiver = \"0.1\"",
            "[target.\"cfg(not(target_os = \\\"linux\\\"))\".dev-dependencies.reiver]\npath = \"..\"",
        ] {
            assert_eq!(name(manifest).as_deref(), Some("reiver"), "{manifest}");
        }
    }

    #[test]
    fn a_renamed_dependency_in_every_spelling() {
        for manifest in [
            "[dependencies]\ntokio = { package = \"reiver\", version = \"0.1\" }",
            "[dependencies]\ntokio = { version = \"0.1\", features = [\"full\", 'x'], package = 'reiver' }",
            "[dependencies]\ntokio = {\n  version = \"0.1\", # soon 1.0\n  package = \"reiver\",\n}",
            "[dependencies.tokio]\nfeatures = [\n  \"a]\", # b\n  \"c\",\n]\npackage = \"reiver\"\n",
            "[dependencies]\ntokio.package = \"reiver\"\ntokio.version = \"0.1\"",
            "[target.x86_64-unknown-linux-gnu.dependencies]\ntokio = { package = \"reiver\" }",
            "[package]\nname = \"user\"\ndescription = \"\"\"\n[dependencies]\n\"quoted\" \"\"\"\n\
             [dev-dependencies]\r\ntokio = { package = \"reiver\" }\r\n",
        ] {
            assert_eq!(name(manifest).as_deref(), Some("tokio"), "{manifest}");
        }
        assert_eq!(
            name("[dependencies]\nmy-rt = { package = \"reiver\" }").as_deref(),
            Some("my_rt")
        );
    }

    #[test]
    fn a_dependency_that_is_not_reiver_is_not_taken_for_it() {
        for manifest in [
            "",
            "[dependencies]\ntokio = \"1\"",
            "[dependencies]\nreiver = { package = \"other\" }",
            "[features]\nreiver = []",
            "[package.metadata]\ndependencies = { reiver = \"0.1\" }",
            "[workspace.dependencies]\ntokio = { package = \"reiver\" }",
            "[patch.crates-io]\nreiver = { path = \"..\" }",
            "# [dependencies]\n# reiver = \"0.1\"",
            "[package]\nkeywords = [\"dependencies.reiver\"]",
        ] {
            assert_eq!(name(manifest), None, "{manifest}");
        }
    }

    #[test]
    fn reiver_goes_before_an_alias() {
        let both = "[dependencies]\ntokio = { package = \"reiver\" }\nreiver = \"0.1\"";
        assert_eq!(name(both).as_deref(), Some("reiver"));
        assert_eq!(name("[package]\nname = \"reiver\"").as_deref(), Some("reiver"));
    }

    #[test]
    fn an_inherited_dependency_is_looked_up_in_the_workspace() {
        let root = "[workspace]\nmembers = [\"a\"]\n[workspace.dependencies]\n\
                    tokio = { package = \"reiver\", path = \"r\" }\nreiver = \"0.1\"\nserde = \"1\"";
        for manifest in [
            "[dependencies]\nserde.workspace = true\ntokio.workspace = true",
            "[dependencies]\ntokio = { workspace = true, features = [\"full\"] }",
            "[dev-dependencies.tokio]\nworkspace = true",
        ] {
            assert_eq!(inherited(manifest, root).as_deref(), Some("tokio"), "{manifest}");
        }
        let plain = "[dependencies]\nreiver = { workspace = true }";
        assert_eq!(inherited(plain, root).as_deref(), Some("reiver"));
        assert_eq!(inherited("[dependencies]\nserde.workspace = true", root), None);
    }

    #[test]
    fn what_is_not_toml_ends_the_reading_and_nothing_else() {
        for text in ["[", "a = [", "a = {", "a = \"", "= = =", "{}{", "a = '''", "a = [1,,[}", "\\"]
        {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn this_package_knows_no_reiver() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(name_in_dir(dir), None);
        assert_eq!(
            name_in_dir(dir.parent().expect("macros/ has a parent")).as_deref(),
            Some("reiver")
        );
    }
}
