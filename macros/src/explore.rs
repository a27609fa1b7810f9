//! `#[reiver::sim]` and `#[reiver::model]`.
//!
//! `async fn name() { body }` becomes
//!
//! ```text
//! ::reiver::__reiver_explore! {
//!     { fn name() }
//!     { async fn __reiver_body() { body } }
//!     { ::reiver::sim::Sim::new(module_path!(), "name", file!()).seeds(1000).must_reach(&["…"]) }
//! }
//! ```
//!
//! and that macro, which knows how reiver was compiled, makes the test of it: one that explores, one that
//! is ignored, or an error that says which feature is missing. Arguments become calls of methods of the
//! same names, so that the compiler checks them. The labels of all `reached!("…")` in the body are
//! demanded.

use crate::entry::{Error, Function, Kind, is_ident, is_punct, path, tokens, ungroup, with_span};
use crate::manifest;
use proc_macro::{Delimiter, Group, Literal, TokenStream, TokenTree};

/// An attribute that explores.
pub(crate) struct Explorer {
    /// As it is written.
    attribute: &'static str,
    /// The type that does it, below the crate.
    pub(crate) path: &'static str,
    /// The names of its options.
    pub(crate) options: &'static [&'static str],
    /// It notes what failed, which a test that is to fail must not do.
    keeps_seeds: bool,
}

pub(crate) const SIM: Explorer = Explorer {
    attribute: "#[sim]",
    path: "::sim::Sim",
    options: &["seeds", "steps", "buggify", "refusals", "must_reach"],
    keeps_seeds: true,
};

pub(crate) const MODEL: Explorer = Explorer {
    attribute: "#[model]",
    path: "::model::Model",
    options: &["bound", "seconds", "must_reach"],
    keeps_seeds: false,
};

pub(crate) fn expand(explorer: &Explorer, args: TokenStream, item: TokenStream) -> TokenStream {
    let function = match Function::parse(Kind::Test, explorer.attribute, item.clone()) {
        Ok(function) => function,
        Err(error) => return [error.into_tokens(), item].into_iter().collect(),
    };
    if let Some(span) = function.stray_params {
        let message = format!("what {} explores takes no arguments", explorer.attribute);
        return Error::new(span, message).into_tokens();
    }
    match options(explorer, args) {
        Ok((path, calls)) => write(explorer, function, path, calls),
        Err(error) => error.into_tokens(),
    }
}

/// Where the crate is, and the calls that set the options.
fn options(explorer: &Explorer, args: TokenStream) -> Result<(TokenStream, TokenStream), Error> {
    let mut krate = tokens(&format!("::{}", manifest::crate_name()));
    let mut calls = TokenStream::new();
    let mut known = Vec::new();
    let mut rest = ungroup(args).into_iter().peekable();
    while let Some(name) = rest.next() {
        let text = name.to_string();
        if known.contains(&text) {
            return Err(Error::new(name.span(), format!("`{text}` is given twice")));
        }
        if !matches!(rest.next(), Some(token) if is_punct(&token, '=')) {
            return Err(Error::new(name.span(), "expected `name = value`"));
        }
        let mut value = Vec::new();
        while let Some(token) = rest.next_if(|token| !is_punct(token, ',')) {
            value.push(token);
        }
        rest.next();
        if text == "crate" {
            krate = path(&value, name.span())?;
        } else if explorer.options.contains(&text.as_str()) {
            let borrow = if text == "must_reach" { tokens("&") } else { TokenStream::new() };
            let value = borrow.into_iter().chain(value).collect();
            calls.extend(with_span(tokens("."), name.span()));
            calls.extend([name, Group::new(Delimiter::Parenthesis, value).into()]);
        } else {
            let options = explorer.options.join("`, `");
            let message = format!("unknown argument `{text}`: expected `{options}` or `crate`");
            return Err(Error::new(name.span(), message));
        }
        known.push(text);
    }
    Ok((krate, calls))
}

fn write(
    explorer: &Explorer,
    function: Function,
    krate: TokenStream,
    options: TokenStream,
) -> TokenStream {
    let mut labels = Vec::new();
    find_labels(function.body.stream(), &mut labels);
    let name = function.name.clone();
    let (header, body) = function.into_parts();
    let should_fail = mentions(header.clone(), "should_panic");

    let mut call = krate.clone();
    call.extend(tokens(explorer.path));
    call.extend(tokens(&format!("::new(::core::module_path!(), \"{name}\", ::core::file!())")));
    call.extend(options);
    if should_fail && explorer.keeps_seeds {
        call.extend(tokens(".keep_seeds(false)"));
    }
    if !labels.is_empty() {
        let comma = || tokens(",").into_iter();
        let list = labels.into_iter().flat_map(|label| comma().chain([label.into()])).skip(1);
        let list = list.collect();
        call.extend(tokens(".must_reach"));
        let list = TokenTree::from(Group::new(Delimiter::Bracket, list));
        let borrowed = tokens("&").into_iter().chain([list]).collect();
        call.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, borrowed))]);
    }

    let brace = |stream| TokenTree::from(Group::new(Delimiter::Brace, stream));
    let parts = [brace(header), brace(body), brace(call)].into_iter().collect();
    let mut out = krate;
    out.extend(tokens("::__reiver_explore!"));
    out.extend([brace(parts)]);
    out
}

fn mentions(stream: TokenStream, word: &str) -> bool {
    stream.into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions(group.stream(), word),
        token => is_ident(&token, word),
    })
}

/// The literals of all `reached!("…")`, each once.
fn find_labels(body: TokenStream, labels: &mut Vec<Literal>) {
    let body: Vec<_> = body.into_iter().collect();
    for (at, token) in body.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let is_call = at >= 2 && is_punct(&body[at - 1], '!') && is_ident(&body[at - 2], "reached");
        match group.stream().into_iter().next() {
            Some(TokenTree::Literal(label)) if is_call => {
                if labels.iter().all(|known| known.to_string() != label.to_string()) {
                    labels.push(label);
                }
            }
            _ => find_labels(group.stream(), labels),
        }
    }
}
