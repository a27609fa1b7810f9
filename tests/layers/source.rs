//! A source file without its comments, strings and tests, and the few looks at it that need no
//! grammar: words, and matching brackets.

/// A file without what does not count.
pub struct Source {
    /// Relative to `src/`.
    pub path: String,
    pub lines: usize,
    /// Without comments, test code and the contents of strings; lines stay where they are.
    pub code: String,
    /// Without comments and test code.
    pub code_and_strings: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (mut code, mut code_and_strings) = strip(text);
        for (start, end) in test_items(&code) {
            blank(&mut code, start, end);
            blank(&mut code_and_strings, start, end);
        }
        if path.ends_with("/tests.rs") || path.contains("/tests/") {
            (code, code_and_strings) = (String::new(), String::new());
        }
        Self { path: path.into(), lines: text.lines().count(), code, code_and_strings }
    }

    /// The top-level module: the first folder, or the file.
    pub fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How deep the file's own module lies below the crate root.
    pub fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    pub fn is_facade(&self) -> bool {
        matches!(self.module(), "primitive" | "lib")
    }

    pub fn line(&self, at: usize) -> String {
        format!("{}:{}", self.path, self.code[..at].matches('\n').count() + 1)
    }
}

/// The identifiers of `code`, each with its place.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let start = rest + code[rest..].find(is_word)?;
        let len = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        rest = start + len;
        Some((start, &code[start..start + len]))
    })
}

/// Where the first `open` of `text` is closed: the place after it.
pub fn matching(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at + c.len_utf8());
            }
        }
    }
    None
}

/// `text` without comments and the contents of strings, and `text` without comments. What is left
/// out becomes spaces, so places and lines stay.
fn strip(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut with_strings) = (String::new(), String::new());
    let mut put = |c: char, in_code: bool, in_strings: bool| {
        // One byte for one character, so that the two texts keep the same places.
        let c = if c.is_ascii() { c } else { 'x' };
        let or_space = |keep| if keep || c == '\n' { c } else { ' ' };
        code.push(or_space(in_code));
        with_strings.push(or_space(in_strings));
    };
    let mut at = 0;
    while at < chars.len() {
        let end = match token_at(&chars, at) {
            Token::Comment(end) => {
                chars[at..end].iter().for_each(|c| put(*c, false, false));
                end
            }
            Token::Text(end) => {
                chars[at..end].iter().for_each(|c| put(*c, false, true));
                end
            }
            Token::Code => {
                put(chars[at], true, true);
                at + 1
            }
        };
        at = end;
    }
    (code, with_strings)
}

enum Token {
    Comment(usize),
    /// A string or character literal.
    Text(usize),
    Code,
}

fn token_at(chars: &[char], at: usize) -> Token {
    let next = chars.get(at + 1).copied();
    let until = |mut end: usize, done: &dyn Fn(usize) -> Option<usize>| loop {
        if end >= chars.len() {
            return chars.len();
        }
        if let Some(end) = done(end) {
            return end;
        }
        end += 1;
    };
    match (chars[at], next) {
        ('/', Some('/')) => Token::Comment(until(at, &|i| (chars[i] == '\n').then_some(i))),
        ('/', Some('*')) => Token::Comment(block_comment(chars, at)),
        ('"', _) => Token::Text(quoted(chars, at + 1, '"')),
        ('\'', Some('\\')) => Token::Text(quoted(chars, at + 1, '\'')),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => Token::Text(at + 3),
        ('r', Some('"' | '#')) if at == 0 || !is_word(chars[at - 1]) || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if chars.get(at + 1 + hashes) != Some(&'"') {
                return Token::Code; // a raw identifier
            }
            Token::Text(until(at + 2 + hashes, &|i| {
                let closes = chars[i] == '"'
                    && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
                closes.then_some(i + 1 + hashes)
            }))
        }
        _ => Token::Code,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The end of a literal whose contents begin at `at`.
fn quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of a block comment; they nest.
fn block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// The items that exist in test builds only, attribute included.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    for (at, _) in code.match_indices("#[cfg(") {
        let attribute = at + matching(&code[at..], '[', ']').unwrap_or(code.len() - at);
        let condition: String = code[at..attribute].split_whitespace().collect();
        let tests = words(&condition).any(|(_, word)| word == "test");
        if tests && !condition.contains("not(test)") {
            items.push((at, attribute + item_end(&code[attribute..])));
        }
    }
    items
}

/// Where the item at the start of `code` ends: at its `;`, or at the end of its braces.
fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            '{' if depth == 0 => {
                return at + matching(&code[at..], '{', '}').unwrap_or(code.len() - at);
            }
            _ => {}
        }
    }
    code.len()
}

fn blank(code: &mut String, start: usize, end: usize) {
    let spaces: String =
        code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
    code.replace_range(start..end, &spaces);
}
