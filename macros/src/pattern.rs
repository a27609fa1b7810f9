//! Patterns without their bindings, for `select!`.
//!
//! `select!` asks whether a value matches the pattern of its branch while the other futures are
//! still alive, and binds only later, when they are gone. The question must not move the value, so
//! it is put with the same pattern in which `_` stands for each binding: `Some((mut a, ref b))`
//! becomes `Some((_, _))`.
//!
//! Rejected: matching on `&value` with `mut` and `ref` taken away (tokio's way), because in edition
//! 2024 a `&` in the pattern is then an error.
//!
//! A bare name is a binding, a constant or a unit variant, and tokens do not tell which. Case does,
//! as the compiler's own lints demand: a name with a capital is left alone. If a program breaks that
//! rule it hears of it: a capital binding moves the value twice, which does not compile, and a small
//! constant that does not match reaches the `unreachable!` of `select!`.

use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

pub(crate) fn without_bindings(pattern: TokenStream) -> TokenStream {
    clean(pattern, false)
}

/// `fields`: these are the fields of a struct pattern, where a bare name also names a field.
fn clean(pattern: TokenStream, fields: bool) -> TokenStream {
    let tokens: Vec<TokenTree> = pattern.into_iter().collect();
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        at += match &tokens[at] {
            TokenTree::Ident(name) => clean_name(name, &tokens, at, fields, &mut out),
            // An attribute, or the generic arguments of a path: nothing binds there.
            TokenTree::Punct(p) if p.as_char() == '#' => copy(&tokens, at, 2, &mut out),
            TokenTree::Punct(p) if p.as_char() == '<' => {
                copy(&tokens, at, generics_len(&tokens[at..]), &mut out)
            }
            TokenTree::Group(group) => {
                let inside = match group.delimiter() {
                    Delimiter::Brace => true,
                    Delimiter::None => fields,
                    _ => false,
                };
                let mut cleaned = Group::new(group.delimiter(), clean(group.stream(), inside));
                cleaned.set_span(group.span());
                out.push(cleaned.into());
                1
            }
            _ => copy(&tokens, at, 1, &mut out),
        };
    }
    out.into_iter().collect()
}

/// Cleans one name and returns how many tokens that took.
fn clean_name(
    name: &Ident,
    tokens: &[TokenTree],
    at: usize,
    fields: bool,
    out: &mut Vec<TokenTree>,
) -> usize {
    let text = name.to_string();
    let before = at.checked_sub(1).map(|i| &tokens[i]);
    let after = tokens.get(at + 1);
    match text.as_str() {
        "mut" | "ref" if !is_punct(before, '&') => return 1,
        "mut" | "true" | "false" | "_" | "box" | "const" => return copy(tokens, at, 1, out),
        _ => {}
    }
    if is_punct(after, '!') {
        return copy(tokens, at, 3, out); // a macro and its arguments
    }
    let names_something = match after {
        // A path (`::`), a field with its own pattern (`:`), the end of a range.
        Some(TokenTree::Punct(p)) => matches!(p.as_char(), ':' | '.'),
        Some(TokenTree::Group(g)) => g.delimiter() != Delimiter::None,
        _ => false,
    } || is_punct(before, '.')
        || (is_punct(before, ':') && is_joint_colon(tokens, at))
        || text.trim_start_matches("r#").trim_start_matches('_').starts_with(char::is_uppercase);
    if names_something {
        return copy(tokens, at, 1, out);
    }
    if is_punct(after, '@') {
        return 2; // `name @ pattern` is `pattern`
    }
    if fields && is_shorthand(tokens, at) {
        out.push(name.clone().into());
        out.push(Punct::new(':', Spacing::Alone).into());
    }
    out.push(Ident::new("_", Span::mixed_site()).into());
    1
}

/// Whether the `:` before `at` ends a `::`.
fn is_joint_colon(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2
        && matches!(&tokens[at - 2], TokenTree::Punct(p) if p.as_char() == ':' && p.spacing() == Spacing::Joint)
}

/// Whether the name at `at`, among the fields of a struct pattern, is a field and its binding in one.
fn is_shorthand(tokens: &[TokenTree], at: usize) -> bool {
    let before = tokens[..at].iter().rev().find(
        |t| !matches!(t, TokenTree::Ident(i) if ["mut", "ref"].contains(&i.to_string().as_str())),
    );
    match before {
        None => true,
        Some(TokenTree::Punct(p)) => p.as_char() == ',',
        Some(TokenTree::Group(g)) => g.delimiter() == Delimiter::Bracket, // an attribute
        Some(_) => false,
    }
}

/// The length of `<…>`, both ends included.
pub(crate) fn generics_len(tokens: &[TokenTree]) -> usize {
    let mut depth = 0;
    let mut arrow = false;
    for (i, token) in tokens.iter().enumerate() {
        if let TokenTree::Punct(p) = token {
            match p.as_char() {
                '<' => depth += 1,
                '>' if !arrow => depth -= 1,
                _ => {}
            }
            arrow = p.as_char() == '-' && p.spacing() == Spacing::Joint;
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

fn is_punct(token: Option<&TokenTree>, c: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == c)
}

fn copy(tokens: &[TokenTree], at: usize, len: usize, out: &mut Vec<TokenTree>) -> usize {
    out.extend(tokens[at..].iter().take(len).cloned());
    len
}
