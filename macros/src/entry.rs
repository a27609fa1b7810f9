//! `#[reiver::main]` and `#[reiver::test]`.
//!
//! `async fn main() -> T { body }` becomes
//!
//! ```text
//! fn main() -> T {
//!     async fn __reiver_body() -> T { body }
//!     ::reiver::__start_of_main!(); // a worker of `offload` goes no further
//!     return ::reiver::runtime::Builder::new_multi_thread().….build().expect("…")
//!         .block_on(__reiver_body());
//! }
//! ```
//!
//! With `flavor = "local"` the runtime is built by `build_local`. With `deadline` or `leak_check` the call is
//! `::reiver::testing::Checks::new().….run(::reiver::runtime::Builder::….enable_all(), …)`.
//!
//! The body keeps its tokens and spans, and only the body of an `async fn` knows its type: around an
//! `async` block or closure, the compiler reports a wrong tail expression or `return` at `block_on`
//! or at the return type (tried with 1.95; tokio moves spans around to soften that). A function in a
//! function sees no argument, generic or `Self` of the outer one, so a function that is neither a
//! test nor `main` has its body in an `async || -> T { body }` instead.
//!
//! After a mistake in the arguments the function is expanded with the defaults, so that the only
//! error is the one about the arguments.

use crate::manifest;
use crate::pattern::generics_len;
use proc_macro::{Delimiter, Group, Ident, Literal, Span, TokenStream, TokenTree};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Main,
    Test,
}

pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let attribute = match kind {
        Kind::Main => "#[main]",
        Kind::Test => "#[test]",
    };
    let function = match Function::parse(kind, attribute, item.clone()) {
        Ok(function) => function,
        Err(error) => return [error.into_tokens(), item].into_iter().collect(),
    };
    if let Some(span) = function.stray_params.filter(|_| function.is_main) {
        let error = Error::new(span, "the main function takes no arguments");
        return [error.into_tokens(), tokens("fn main() {}")].into_iter().collect();
    }
    let (config, error) = match Args::parse(args).and_then(|args| args.check(kind)) {
        Ok(config) => (config, None),
        Err(error) => (Config::new(kind), Some(error.into_tokens())),
    };
    error.into_iter().chain([function.expand(kind, config)]).collect()
}

pub(crate) struct Error {
    span: Span,
    message: String,
}

impl Error {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    pub(crate) fn into_tokens(self) -> TokenStream {
        let mut call = tokens("::core::compile_error!").into_iter().collect::<Vec<_>>();
        let message = TokenTree::from(Literal::string(&self.message));
        call.push(Group::new(Delimiter::Brace, message.into()).into());
        with_span(call.into_iter().collect(), self.span)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Flavor {
    CurrentThread,
    MultiThread,
    Local,
}

/// The arguments as they are written.
#[derive(Default)]
struct Args {
    flavor: Option<(Flavor, Span)>,
    worker_threads: Option<Literal>,
    start_paused: Option<(bool, Span)>,
    name: Option<Literal>,
    deadline: Option<Literal>,
    leak_check: Option<(bool, Span)>,
    path: Option<TokenStream>,
}

/// What the arguments and the defaults come to.
struct Config {
    flavor: Flavor,
    worker_threads: Option<Literal>,
    start_paused: Option<bool>,
    name: Option<Literal>,
    deadline: Option<Literal>,
    leak_check: bool,
    path: Option<TokenStream>,
}

impl Args {
    fn parse(args: TokenStream) -> Result<Self, Error> {
        let mut parsed = Self::default();
        let mut rest = ungroup(args).into_iter().peekable();
        while let Some(token) = rest.next() {
            let TokenTree::Ident(name) = &token else {
                return Err(Error::new(token.span(), "expected `name = value`"));
            };
            match rest.next() {
                Some(TokenTree::Punct(p)) if p.as_char() == '=' => {}
                _ => {
                    let hint = match name.to_string().as_str() {
                        flavor @ ("multi_thread" | "current_thread" | "local") => {
                            format!("; write `flavor = \"{flavor}\"`")
                        }
                        _ => String::new(),
                    };
                    return Err(Error::new(name.span(), format!("expected `name = value`{hint}")));
                }
            }
            let mut value = Vec::new();
            while let Some(token) = rest.next_if(|t| !is_punct(t, ',')) {
                value.push(token);
            }
            rest.next();
            parsed.set(name, &value)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, name: &Ident, value: &[TokenTree]) -> Result<(), Error> {
        let text = name.to_string();
        let span = value.first().map_or(name.span(), TokenTree::span);
        let already = match text.as_str() {
            "flavor" => self.flavor.replace((flavor(value, span)?, span)).is_some(),
            "worker_threads" => self.worker_threads.replace(number(value, span)?).is_some(),
            "start_paused" => {
                let paused = boolean(&text, value, span)?;
                self.start_paused.replace((paused, name.span())).is_some()
            }
            "name" => self.name.replace(runtime_name(value, span)?).is_some(),
            "leak_check" => {
                let check = boolean(&text, value, span)?;
                self.leak_check.replace((check, name.span())).is_some()
            }
            "deadline" => match value {
                [TokenTree::Literal(n)] if is_number(n) => {
                    self.deadline.replace(n.clone()).is_some()
                }
                _ => return Err(Error::new(span, "`deadline` is a number of seconds")),
            },
            "crate" => self.path.replace(path(value, span)?).is_some(),
            _ => {
                let message = format!(
                    "unknown argument `{text}`: expected `flavor`, `worker_threads`, \
                     `start_paused`, `name`, `deadline`, `leak_check` or `crate`"
                );
                return Err(Error::new(name.span(), message));
            }
        };
        if already {
            return Err(Error::new(name.span(), format!("`{text}` is given twice")));
        }
        Ok(())
    }

    fn check(self, kind: Kind) -> Result<Config, Error> {
        let default = Config::new(kind);
        let flavor = self.flavor.map_or(default.flavor, |(flavor, _)| flavor);
        if let Some(threads) =
            self.worker_threads.as_ref().filter(|_| flavor != Flavor::MultiThread)
        {
            let message = "`worker_threads` needs `flavor = \"multi_thread\"`";
            return Err(Error::new(threads.span(), message));
        }
        let checks = self.deadline.as_ref().map(Literal::span);
        if let Some(span) = checks.or(self.leak_check.map(|(_, span)| span)) {
            if kind == Kind::Main {
                return Err(Error::new(span, "`deadline` and `leak_check` are for tests"));
            }
            if flavor == Flavor::Local {
                let message = "`deadline` and `leak_check` know nothing of local tasks; use another \
                               flavor and a `LocalSet`";
                return Err(Error::new(span, message));
            }
        }
        Ok(Config {
            flavor,
            worker_threads: self.worker_threads,
            start_paused: self.start_paused.map(|(paused, _)| paused),
            name: self.name,
            deadline: self.deadline,
            leak_check: self.leak_check.is_some_and(|(check, _)| check),
            path: self.path,
        })
    }
}

fn flavor(value: &[TokenTree], span: Span) -> Result<Flavor, Error> {
    match string(value).as_deref() {
        Some("multi_thread") => Ok(Flavor::MultiThread),
        Some("current_thread") => Ok(Flavor::CurrentThread),
        Some("local") => Ok(Flavor::Local),
        Some(other) => {
            let message = format!(
                "unknown flavor `{other}`: expected \"multi_thread\", \"current_thread\" or \"local\""
            );
            Err(Error::new(span, message))
        }
        None => Err(Error::new(span, "`flavor` is a string literal")),
    }
}

fn boolean(name: &str, value: &[TokenTree], span: Span) -> Result<bool, Error> {
    match value {
        [TokenTree::Ident(i)] if i.to_string() == "true" => Ok(true),
        [TokenTree::Ident(i)] if i.to_string() == "false" => Ok(false),
        _ => Err(Error::new(span, format!("`{name}` is `true` or `false`"))),
    }
}

fn is_number(literal: &Literal) -> bool {
    literal.to_string().starts_with(|c: char| c.is_ascii_digit())
}

fn number(value: &[TokenTree], span: Span) -> Result<Literal, Error> {
    match value {
        [TokenTree::Literal(n)] if is_number(n) => {
            if n.to_string() == "0" {
                return Err(Error::new(span, "`worker_threads` is at least 1"));
            }
            Ok(n.clone())
        }
        _ => Err(Error::new(span, "`worker_threads` is an integer literal")),
    }
}

/// A string literal of any kind. An empty name would be a panic of the builder.
fn runtime_name(value: &[TokenTree], span: Span) -> Result<Literal, Error> {
    if string(value).is_some_and(|name| name.trim().is_empty()) {
        return Err(Error::new(span, "`name` must not be empty"));
    }
    match value {
        [TokenTree::Literal(name)] if name.to_string().starts_with(['"', 'r']) => Ok(name.clone()),
        _ => Err(Error::new(span, "`name` is a string literal")),
    }
}

/// The value of `crate = …`, the only argument there may be.
pub(crate) fn path_argument(args: TokenStream) -> Result<Option<TokenStream>, Error> {
    let args: Vec<TokenTree> = ungroup(args).into_iter().collect();
    match &args[..] {
        [] => Ok(None),
        [name, eq, value @ ..] if is_ident(name, "crate") && is_punct(eq, '=') => {
            path(value, name.span()).map(Some)
        }
        [other, ..] => Err(Error::new(other.span(), "the only argument is `crate = path`")),
    }
}

/// A path, or a string with one.
pub(crate) fn path(value: &[TokenTree], span: Span) -> Result<TokenStream, Error> {
    let path = match string(value) {
        Some(text) => text.parse().map(|path| with_span(path, span)).unwrap_or_default(),
        None => value.iter().cloned().collect::<TokenStream>(),
    };
    let is_path = !path.is_empty()
        && path.clone().into_iter().all(|token| match token {
            TokenTree::Ident(_) => true,
            TokenTree::Punct(p) => p.as_char() == ':',
            _ => false,
        });
    if is_path { Ok(path) } else { Err(Error::new(span, "`crate` is a path to reiver")) }
}

/// The text of a string literal without escapes.
fn string(value: &[TokenTree]) -> Option<String> {
    match value {
        [TokenTree::Literal(text)] => {
            let text = text.to_string();
            let text = text.strip_prefix('"')?.strip_suffix('"')?;
            (!text.contains('\\')).then(|| text.to_owned())
        }
        _ => None,
    }
}

impl Config {
    fn new(kind: Kind) -> Self {
        let flavor = match kind {
            Kind::Main => Flavor::MultiThread,
            Kind::Test => Flavor::CurrentThread,
        };
        Self {
            flavor,
            worker_threads: None,
            start_paused: None,
            name: None,
            deadline: None,
            leak_check: false,
            path: None,
        }
    }

    /// The path to reiver.
    fn path(&self) -> TokenStream {
        self.path.clone().unwrap_or_else(|| tokens(&format!("::{}", manifest::crate_name())))
    }

    /// The expression that runs the future `__reiver_body()`.
    fn run(mut self) -> TokenStream {
        let path = self.path();
        let (deadline, leak_check) = (self.deadline.take(), self.leak_check);
        let build = match self.flavor {
            Flavor::Local => ".build_local(::core::default::Default::default())",
            _ => ".build()",
        };
        let builder = self.builder(path.clone());
        if deadline.is_none() && !leak_check {
            let mut out = builder;
            out.extend(tokens(build));
            out.extend(tokens(".expect(\"the runtime could not be built\")"));
            out.extend(tokens(".block_on(__reiver_body())"));
            return out;
        }
        let mut out = path;
        out.extend(tokens(&format!("::testing::Checks::new().leak_check({leak_check})")));
        if let Some(seconds) = deadline {
            let duration = format!("::core::time::Duration::from_secs_f64({seconds} as f64)");
            out.extend(tokens(&format!(".deadline({duration})")));
        }
        let mut arguments = builder;
        arguments.extend(tokens(", __reiver_body()"));
        out.extend(tokens(".run"));
        out.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, arguments))]);
        out
    }

    /// The expression that is a builder of the runtime, by reference.
    fn builder(self, path: TokenStream) -> TokenStream {
        let mut out = path;
        out.extend(tokens(match self.flavor {
            Flavor::MultiThread => "::runtime::Builder::new_multi_thread()",
            Flavor::CurrentThread | Flavor::Local => "::runtime::Builder::new_current_thread()",
        }));
        if let Some(threads) = self.worker_threads {
            out.extend(tokens(".worker_threads"));
            let threads = TokenTree::from(threads);
            out.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, threads.into()))]);
        }
        out.extend(tokens(".enable_all()"));
        if let Some(paused) = self.start_paused {
            out.extend(tokens(&format!(".start_paused({paused})")));
        }
        if let Some(name) = self.name {
            out.extend(tokens(".name"));
            let name = TokenTree::from(name);
            out.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, name.into()))]);
        }
        out
    }
}

/// An `async fn` taken apart.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Everything before the body, without the `async`.
    header: Vec<TokenTree>,
    /// The return type, if one is written.
    output: Option<Vec<TokenTree>>,
    pub(crate) body: Group,
    /// The body may stand in a function of its own.
    alone: bool,
    /// It is a program's `main`.
    is_main: bool,
    /// The arguments, which a `main` and what is explored have not.
    pub(crate) stray_params: Option<Span>,
}

impl Function {
    pub(crate) fn parse(kind: Kind, attribute: &str, item: TokenStream) -> Result<Self, Error> {
        let mut header: Vec<TokenTree> = ungroup(item).into_iter().collect();
        let first = header.first().map_or_else(Span::call_site, TokenTree::span);
        let Some(at) = header.iter().position(|t| is_ident(t, "fn")) else {
            return Err(Error::new(first, format!("{attribute} goes on an `async fn`")));
        };
        let body = match header.pop() {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => body,
            _ => {
                return Err(Error::new(first, format!("{attribute} needs a function with a body")));
            }
        };
        let Some(asyncness) = header[..at].iter().position(|t| is_ident(t, "async")) else {
            let message = format!("{attribute} needs `async` before this `fn`");
            return Err(Error::new(header[at].span(), message));
        };
        if kind == Kind::Test {
            if let Some(other) = second_test(&header[..at]) {
                return Err(Error::new(other, "this function has a test attribute already"));
            }
        }
        let name = at + 1;
        let mut params = name + 1;
        if header.get(params).is_some_and(|t| is_punct(t, '<')) {
            params += generics_len(&header[params..]);
        }
        let is_main = kind == Kind::Main && is_ident(&header[name], "main");
        let stray = match header.get(params) {
            Some(TokenTree::Group(params)) if !params.stream().is_empty() => Some(params.span()),
            _ => None,
        };
        let is_plain = params == name + 1 && stray.is_none();
        let output = output(&header[(params + 1).min(header.len())..]);
        let text = header[name].to_string();
        header.remove(asyncness);
        Ok(Self {
            name: text,
            header,
            output,
            body,
            alone: is_plain && (is_main || kind == Kind::Test),
            is_main,
            stray_params: stray,
        })
    }

    /// What stands before the body, and the body as a function without arguments, both without the
    /// return type.
    pub(crate) fn into_parts(mut self) -> (TokenStream, TokenStream) {
        let mut body = tokens("async fn __reiver_body()");
        if let Some(output) = self.output {
            self.header.truncate(self.header.len() - output.len() - 2);
            body.extend(tokens("->"));
            body.extend(output);
        }
        body.extend([TokenTree::Group(self.body)]);
        (self.header.into_iter().collect(), body)
    }

    fn expand(self, kind: Kind, config: Config) -> TokenStream {
        let span = self.body.span();
        let mut inner = tokens(if self.alone {
            "async fn __reiver_body()"
        } else {
            "let mut __reiver_body = async ||"
        });
        match self.output {
            None => inner.extend(tokens("-> ()")),
            // A closure cannot say `impl Trait`; its body says it then.
            Some(output) if !self.alone && contains_impl(&output) => {}
            Some(output) => {
                inner.extend(tokens("->"));
                inner.extend(output);
            }
        }
        inner.extend([TokenTree::Group(self.body)]);
        if !self.alone {
            inner.extend(tokens(";"));
        }

        let mut run = TokenStream::new();
        if self.is_main {
            run.extend(config.path());
            run.extend(tokens("::__start_of_main!();"));
        }
        run.extend(tokens("return"));
        run.extend(config.run());
        run.extend(tokens(";"));
        // For `-> !`, and for a user's own choice of lints. The body is not under it.
        inner.extend(tokens(
            "#[allow(unreachable_code, clippy::diverging_sub_expression, clippy::expect_used, \
             clippy::needless_return, clippy::unwrap_in_result)]",
        ));
        inner.extend([TokenTree::Group(Group::new(Delimiter::Brace, run))]);
        let mut body = Group::new(Delimiter::Brace, inner);
        body.set_span(span);

        let mut out = match kind {
            Kind::Main => TokenStream::new(),
            Kind::Test => tokens("#[::core::prelude::v1::test]"),
        };
        out.extend(self.header);
        out.extend([TokenTree::Group(body)]);
        out
    }
}

/// The type after `->`, up to a `where`.
fn output(after_params: &[TokenTree]) -> Option<Vec<TokenTree>> {
    match after_params {
        [TokenTree::Punct(a), TokenTree::Punct(b), output @ ..]
            if a.as_char() == '-' && b.as_char() == '>' =>
        {
            Some(output.iter().take_while(|t| !is_ident(t, "where")).cloned().collect())
        }
        _ => None,
    }
}

/// Where another `#[test]` stands: the harness would run the function twice.
fn second_test(header: &[TokenTree]) -> Option<Span> {
    let attribute = header.windows(2).find(|pair| {
        let TokenTree::Group(group) = &pair[1] else { return false };
        let path = group.stream().to_string().replace(' ', "");
        is_punct(&pair[0], '#') && (path == "test" || path.ends_with("::prelude::v1::test"))
    });
    attribute.map(|pair| pair[1].span())
}

fn contains_impl(tokens: &[TokenTree]) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Group(group) => contains_impl(&group.stream().into_iter().collect::<Vec<_>>()),
        token => is_ident(token, "impl"),
    })
}

/// Tokens without the invisible groups that macro fragments leave around a whole.
pub(crate) fn ungroup(stream: TokenStream) -> TokenStream {
    stream
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Group(g) if g.delimiter() == Delimiter::None => ungroup(g.stream()),
            token => token.into(),
        })
        .collect()
}

/// Our own tokens. They name nothing of the user's.
pub(crate) fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the text is a literal of this file or a crate name")
}

pub(crate) fn with_span(stream: TokenStream, span: Span) -> TokenStream {
    stream
        .into_iter()
        .map(|mut token| {
            if let TokenTree::Group(group) = &token {
                token = Group::new(group.delimiter(), with_span(group.stream(), span)).into();
            }
            token.set_span(span);
            token
        })
        .collect()
}

pub(crate) fn is_ident(token: &TokenTree, text: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == text)
}

pub(crate) fn is_punct(token: &TokenTree, c: char) -> bool {
    matches!(token, TokenTree::Punct(p) if p.as_char() == c)
}
