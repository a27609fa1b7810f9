//! `#[reiver::offload]`.
//!
//! `fn f(a: A, b: B) -> R { … }` stays, and beside it comes
//!
//! ```text
//! struct f {}
//! const _: () = {
//!     #[distributed_slice(JOBS)]
//!     static ENTRY: Entry = Entry::new("crate::f", "src/x.rs", 7, run);
//!     fn run(input: Input<'_>) -> Output {
//!         let (a0, a1,): (A, B,) = match input.decode() { … };
//!         input.encode(f(a0, a1,))
//!     }
//!     impl f {
//!         fn job(a: A, b: B) -> Job<R> { Job::new(&ENTRY, &(a, b,)) }
//!         fn offload(a: A, b: B) -> Running<R> { run_on_default(Self::job(a, b)) }
//!     }
//! };
//! ```
//!
//! A struct with braces has no name among values, so `f(…)` and `let f = …` mean what they did.
//!
//! A type that is written `Vec<u8>` goes as one piece instead of byte by byte, beside the message if it is large.

use crate::entry::{Error, is_ident, is_punct, path_argument, tokens, ungroup, with_span};
use crate::manifest;
use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let parsed = path_argument(args).and_then(|path| Ok((path, Function::parse(item.clone())?)));
    match parsed {
        Ok((path, function)) => {
            let path = path.unwrap_or_else(|| tokens(&format!("::{}", manifest::crate_name())));
            [item, function.expand(path)].into_iter().collect()
        }
        Err(error) => [error.into_tokens(), item].into_iter().collect(),
    }
}

struct Argument {
    name: Ident,
    ty: TokenStream,
}

struct Function {
    visibility: TokenStream,
    name: Ident,
    arguments: Vec<Argument>,
    /// `None` is `()`.
    output: Option<TokenStream>,
}

impl Function {
    fn parse(item: TokenStream) -> Result<Self, Error> {
        let all: Vec<TokenTree> = ungroup(item).into_iter().collect();
        let first = all.first().map_or_else(Span::call_site, TokenTree::span);
        let not_a_function = || Error::new(first, "#[offload] goes on a function");
        let at = all.iter().position(|t| is_ident(t, "fn")).ok_or_else(not_a_function)?;
        let Some(TokenTree::Ident(name)) = all.get(at + 1) else { return Err(not_a_function()) };
        let visibility = visibility(&all[..at])?;
        let params = match all.get(at + 2) {
            Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis => g,
            _ => {
                let text = "#[offload] cannot be on a generic function: a worker finds functions \
                            by name, and this would be many";
                return Err(Error::new(name.span(), text));
            }
        };
        let rest = &all[at + 3..];
        let output: Option<Vec<TokenTree>> = match rest {
            [TokenTree::Punct(a), TokenTree::Punct(b), output @ ..]
                if a.as_char() == '-' && b.as_char() == '>' =>
            {
                Some(output[..output.len().saturating_sub(1)].to_vec())
            }
            _ => None,
        };
        if !matches!(rest.last(), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Brace) {
            return Err(Error::new(name.span(), "#[offload] needs a function with a body"));
        }
        if let Some(output) = &output {
            check_output(output)?;
        }
        let output = output.map(|output| output.into_iter().collect());
        let arguments = arguments(params)?;
        Ok(Self { visibility, name: name.clone(), arguments, output })
    }

    fn expand(self, path: TokenStream) -> TokenStream {
        let Self { visibility, name, arguments, output } = self;
        let text = name.to_string();
        let text = text.trim_start_matches("r#");
        // In raw strings, since `quote` is not here: names that start with `$` are filled in.
        let fill = |template: &str| {
            template_tokens(template, &|hole| match hole {
                "path" => path.clone(),
                "vis" => visibility.clone(),
                "name" => TokenTree::from(name.clone()).into(),
                "params" => arguments
                    .iter()
                    .flat_map(|a| {
                        let mut one = TokenStream::from(TokenTree::from(a.name.clone()));
                        one.extend(tokens(":"));
                        one.extend(a.ty.clone());
                        one.extend(tokens(","));
                        one
                    })
                    .collect(),
                "names" => arguments
                    .iter()
                    .flat_map(|a| {
                        let mut one = TokenStream::from(TokenTree::from(a.name.clone()));
                        one.extend(tokens(","));
                        one
                    })
                    .collect(),
                "sent" => arguments.iter().flat_map(|a| a.sent(&path)).collect(),
                "taken" => arguments.iter().flat_map(|a| a.taken(&path)).collect(),
                "types" => arguments.iter().flat_map(|a| a.wire_type(&path)).collect(),
                "output" => output.clone().unwrap_or_else(|| tokens("()")),
                "wire_output" => {
                    let output = output.clone().unwrap_or_else(|| tokens("()"));
                    wire(&path, output)
                }
                "result" => match output.clone().map(is_byte_vec) {
                    Some(true) => {
                        let mut wrapped = path.clone();
                        wrapped.extend(tokens("::offload::__private::Bytes::new(__reiver_result)"));
                        wrapped
                    }
                    _ => tokens("__reiver_result"),
                },
                "title" => tokens(&format!("{text:?}")),
                other => unreachable!("no hole is called {other}"),
            })
        };
        let mut out = tokens(&format!(
            "#[doc = \"Runs [`{text}`](fn@{text}) in a worker process: `{text}::offload(…)`, or \
             `{text}::job(…)` for a pool.\"] \
             #[allow(non_camel_case_types, dead_code)]"
        ));
        out.extend(fill("$vis struct $name {}"));
        out.extend(tokens(
            "#[allow(dead_code, clippy::all, clippy::pedantic, clippy::nursery, missing_docs)]",
        ));
        let mut body = fill(
            "use $path::offload::__private as __reiver;
             #[__reiver::linkme::distributed_slice(__reiver::JOBS)]
             #[linkme(crate = $path::offload::__private::linkme)]
             static __REIVER_ENTRY: __reiver::Entry = __reiver::Entry::new(
                 ::core::concat!(::core::module_path!(), \"::\", $title),
                 ::core::file!(), ::core::line!(), __reiver_run,
             );
             fn __reiver_run(mut __reiver_input: __reiver::Input<'_>) -> __reiver::Output {
                 // Before an argument of the same name hides it.
                 let __reiver_function = $name;
                 let ($names): ($types) = match __reiver_input.decode() {
                     ::core::result::Result::Ok(__reiver_ok) => __reiver_ok,
                     ::core::result::Result::Err(__reiver_error) => return __reiver_error,
                 };
                 let __reiver_result: $output = __reiver_function($taken);
                 __reiver_input.encode($result)
             }",
        );
        body.extend(fill(
            "impl $name {
                 /// The call as a value, for a pool.
                 #[must_use]
                 $vis fn job($params) -> $path::offload::Job<$output> {
                     __reiver::job::<_, $wire_output, $output>(&__REIVER_ENTRY, &($sent))
                 }
                 /// The call, in a worker process of the runtime's default pool.
                 $vis fn offload($params) -> $path::offload::Running<$output> {
                     __reiver::run_on_default(Self::job($names))
                 }
             }",
        ));
        out.extend(tokens("const _: () ="));
        out.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
        out.extend(tokens(";"));
        out
    }
}

impl Argument {
    fn is_bytes(&self) -> bool {
        is_byte_vec(self.ty.clone())
    }

    /// The argument as it is encoded, by reference.
    fn sent(&self, path: &TokenStream) -> TokenStream {
        let mut out = TokenStream::new();
        if self.is_bytes() {
            out.extend(path.clone());
            out.extend(tokens("::offload::__private::Bytes::new"));
            out.extend([TokenTree::from(Group::new(
                Delimiter::Parenthesis,
                TokenTree::from(self.name.clone()).into(),
            ))]);
        } else {
            out.extend([TokenTree::from(self.name.clone())]);
        }
        out.extend(tokens(","));
        out
    }

    /// The argument as the function takes it.
    fn taken(&self, _path: &TokenStream) -> TokenStream {
        let mut out = TokenStream::from(TokenTree::from(self.name.clone()));
        out.extend(tokens(if self.is_bytes() { ".into_vec()," } else { "," }));
        out
    }

    fn wire_type(&self, path: &TokenStream) -> TokenStream {
        let mut out = wire(path, self.ty.clone());
        out.extend(tokens(","));
        out
    }
}

/// The type that stands for `ty` in a message.
fn wire(path: &TokenStream, ty: TokenStream) -> TokenStream {
    if !is_byte_vec(ty.clone()) {
        return ty;
    }
    let mut out = path.clone();
    out.extend(tokens("::offload::__private::Bytes"));
    out
}

fn is_byte_vec(ty: TokenStream) -> bool {
    ty.to_string().split_whitespace().collect::<String>() == "Vec<u8>"
}

/// What stands before `fn`: attributes are skipped, and what cannot be offloaded is refused.
fn visibility(before: &[TokenTree]) -> Result<TokenStream, Error> {
    let mut out = TokenStream::new();
    let mut at = 0;
    while let Some(token) = before.get(at) {
        match token {
            TokenTree::Punct(p) if p.as_char() == '#' => at += 1, // and its group below
            TokenTree::Ident(word) => {
                let text = match word.to_string().as_str() {
                    "pub" => {
                        out.extend([token.clone()]);
                        if let Some(TokenTree::Group(g)) = before.get(at + 1) {
                            if g.delimiter() == Delimiter::Parenthesis {
                                out.extend([before[at + 1].clone()]);
                                at += 1;
                            }
                        }
                        at += 1;
                        continue;
                    }
                    "async" => {
                        "#[offload] cannot be on an `async fn`: a worker runs one function at a \
                         time, and has no runtime"
                    }
                    "unsafe" => "#[offload] cannot be on an `unsafe fn`: nobody could promise",
                    "extern" => "#[offload] cannot be on an `extern fn`",
                    "const" => {
                        at += 1;
                        continue;
                    }
                    _ => "#[offload] goes on a function",
                };
                return Err(Error::new(token.span(), text));
            }
            _ => {}
        }
        at += 1;
    }
    Ok(out)
}

/// A result that borrows cannot come out of another process.
fn check_output(output: &[TokenTree]) -> Result<(), Error> {
    for (i, token) in output.iter().enumerate() {
        if is_punct(token, '&') {
            let text =
                "the result of an #[offload] function is owned: it comes from another process";
            return Err(Error::new(output[i].span(), text));
        }
        if is_ident(token, "impl") {
            let text = "the result of an #[offload] function is a type with a name";
            return Err(Error::new(token.span(), text));
        }
        if let TokenTree::Group(group) = token {
            check_output(&group.stream().into_iter().collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn arguments(params: &Group) -> Result<Vec<Argument>, Error> {
    let all: Vec<TokenTree> = params.stream().into_iter().collect();
    let mut arguments = Vec::new();
    for part in split_at_commas(&all) {
        let colon = part.iter().position(|t| is_punct(t, ':'));
        let Some(colon) = colon else {
            let text = "#[offload] cannot be on a method: the receiver would have to be sent; make \
                        it an argument of a function";
            return Err(Error::new(part[0].span(), text));
        };
        let (pattern, ty) = (&part[..colon], &part[colon + 1..]);
        for token in ty {
            if is_ident(token, "impl") {
                let text = "#[offload] cannot be on a generic function: name the argument's type";
                return Err(Error::new(token.span(), text));
            }
            if is_ident(token, "mut") {
                let text = "an argument of an #[offload] function is not changed for the caller: \
                            return what has changed";
                return Err(Error::new(token.span(), text));
            }
        }
        let number = arguments.len();
        let mut name = None;
        match pattern {
            [TokenTree::Ident(n)] if n.to_string() != "_" => name = Some(n.clone()),
            [TokenTree::Ident(m), TokenTree::Ident(n)] if m.to_string() == "mut" => {
                name = Some(n.clone());
            }
            _ => {}
        }
        let name =
            name.unwrap_or_else(|| Ident::new(&format!("argument_{number}"), Span::call_site()));
        // The types that are not serde's are blamed where they stand.
        arguments.push(Argument { name, ty: ty.iter().cloned().collect() });
    }
    Ok(arguments)
}

/// The parts between the commas that are not inside `<…>`.
fn split_at_commas(all: &[TokenTree]) -> Vec<&[TokenTree]> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut arrow) = (0, 0, false);
    for (i, token) in all.iter().enumerate() {
        match token {
            TokenTree::Punct(p) => {
                match p.as_char() {
                    '<' => depth += 1,
                    '>' if !arrow => depth -= 1,
                    ',' if depth == 0 => {
                        parts.push(&all[start..i]);
                        start = i + 1;
                    }
                    _ => {}
                }
                arrow = p.as_char() == '-';
            }
            _ => arrow = false,
        }
    }
    parts.push(&all[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Parses `template` and puts `fill(hole)` in the place of each `$hole`.
fn template_tokens(template: &str, fill: &dyn Fn(&str) -> TokenStream) -> TokenStream {
    fn walk(stream: TokenStream, fill: &dyn Fn(&str) -> TokenStream) -> TokenStream {
        let mut out = TokenStream::new();
        let mut rest = stream.into_iter();
        while let Some(token) = rest.next() {
            match token {
                TokenTree::Punct(p) if p.as_char() == '$' => {
                    let hole = rest.next().map(|t| t.to_string()).unwrap_or_default();
                    out.extend(fill(&hole));
                }
                TokenTree::Group(group) => {
                    let inner = Group::new(group.delimiter(), walk(group.stream(), fill));
                    out.extend([TokenTree::Group(inner)]);
                }
                token => out.extend([token]),
            }
        }
        out
    }
    walk(with_span(tokens(template), Span::call_site()), fill)
}
