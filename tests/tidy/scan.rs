//! Finds paths and other marks in a file's tokens. Tokens are read rather than syntax, because
//! syntax ends at a macro's bracket, and an import inside `select!` points upward all the same.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Words after which `::name` begins a path.
const KEYWORDS: [&str; 26] = [
    "as", "async", "await", "break", "const", "dyn", "else", "extern", "fn", "for", "if", "impl", "in", "let", "loop",
    "match", "mod", "move", "mut", "pub", "ref", "return", "unsafe", "use", "where", "while",
];

/// Something seen in a file.
pub(crate) struct Seen {
    pub(crate) what: What,
    pub(crate) line: usize,
    /// Stands below `#[cfg(test)]`.
    pub(crate) in_test: bool,
}

pub(crate) enum What {
    /// A path, resolved to begin at the crate's root.
    Inside(Vec<String>),
    /// A path that begins elsewhere.
    Outside(Vec<String>),
    /// `crate` under another name, behind which paths could hide.
    RootRenamed,
    /// `mod name`.
    Module(String),
    /// `.unwrap` or `::unwrap`.
    Unwrap,
    /// `name!`.
    Macro(String),
}

/// Everything in a file that rules are about.
pub(crate) fn scan(tokens: TokenStream, module: &[String], in_test: bool) -> Vec<Seen> {
    let mut scanner = Scanner { module: module.to_vec(), seen: Vec::new() };
    scanner.level(tokens, in_test);
    scanner.seen
}

struct Scanner {
    /// The module that the tokens stand in.
    module: Vec<String>,
    seen: Vec<Seen>,
}

impl Scanner {
    fn level(&mut self, tokens: TokenStream, outer_test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut in_test = outer_test;
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => {
                    in_test |= is_attribute(&tokens, at) && is_cfg_test(group);
                    self.group(&tokens, at, group, in_test);
                    if group.delimiter() == Delimiter::Brace {
                        in_test = outer_test;
                    }
                    at += 1;
                }
                TokenTree::Punct(punct) => {
                    if punct.as_char() == ';' {
                        in_test = outer_test;
                    }
                    at += 1;
                }
                TokenTree::Ident(ident) if KEYWORDS.contains(&ident.to_string().as_str()) => {
                    self.marks(&tokens, at, ident, in_test);
                    at += 1;
                }
                TokenTree::Ident(ident) => {
                    self.marks(&tokens, at, ident, in_test);
                    at = if continues_path(&tokens, at) { at + 1 } else { self.path(&tokens, at, &[], in_test) };
                }
                TokenTree::Literal(_) => at += 1,
            }
        }
    }

    fn group(&mut self, tokens: &[TokenTree], at: usize, group: &Group, in_test: bool) {
        let named = (at >= 2)
            .then(|| (ident_at(tokens, at - 2), ident_at(tokens, at - 1)))
            .and_then(|(keyword, name)| name.filter(|_| keyword.as_deref() == Some("mod")));
        match named {
            Some(name) if group.delimiter() == Delimiter::Brace => {
                self.module.push(name);
                self.level(group.stream(), in_test);
                self.module.pop();
            }
            _ => self.level(group.stream(), in_test),
        }
    }

    fn marks(&mut self, tokens: &[TokenTree], at: usize, ident: &Ident, in_test: bool) {
        let name = ident.to_string();
        let before = |mark| at > 0 && is_punct(tokens, at - 1, mark);
        let what = if name == "unwrap" && (before('.') || before(':')) {
            What::Unwrap
        } else if is_punct(tokens, at + 1, '!') && !is_punct(tokens, at + 2, '=') {
            What::Macro(name)
        } else if name == "mod" && ident_at(tokens, at + 1).is_some() {
            What::Module(ident_at(tokens, at + 1).expect("looked at above"))
        } else if name == "crate" && ident_at(tokens, at + 1).as_deref() == Some("as") {
            What::RootRenamed
        } else {
            return;
        };
        self.push(what, ident, in_test);
    }

    /// Reads the path that begins at `at`, braces of a `use` included, and returns what follows it.
    fn path(&mut self, tokens: &[TokenTree], at: usize, prefix: &[String], in_test: bool) -> usize {
        let TokenTree::Ident(first) = &tokens[at] else {
            return at + 1;
        };
        let mut segments = prefix.to_vec();
        segments.push(plain(first));
        let mut next = at + 1;
        while is_punct(tokens, next, ':') && is_punct(tokens, next + 1, ':') {
            match tokens.get(next + 2) {
                Some(TokenTree::Ident(ident)) => segments.push(plain(ident)),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.use_group(group, &segments, in_test);
                    return next + 3;
                }
                Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => segments.push("*".to_owned()),
                _ => break,
            }
            next += 3;
            // The end of the path may itself be a mark: `x::unwrap`, `x::todo!`.
            if let Some(TokenTree::Ident(last)) = tokens.get(next - 1) {
                self.marks(tokens, next - 1, last, in_test);
            }
        }
        if segments.len() > 1 {
            let what = self.resolve(segments);
            self.push(what, first, in_test);
        }
        next
    }

    fn use_group(&mut self, group: &Group, prefix: &[String], in_test: bool) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(_) => at = self.path(&tokens, at, prefix, in_test),
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    let what = self.resolve([prefix, &["*".to_owned()]].concat());
                    self.seen.push(Seen { what, line: punct.span().start().line, in_test });
                    at += 1;
                }
                TokenTree::Group(inner) => {
                    self.use_group(inner, prefix, in_test);
                    at += 1;
                }
                _ => at += 1,
            }
            // What stands between the end of a path and the comma is its new name.
            while at < tokens.len() && !is_punct(&tokens, at - 1, ',') {
                at += 1;
            }
        }
    }

    fn resolve(&self, mut segments: Vec<String>) -> What {
        segments.retain({
            let mut index = 0;
            move |segment| {
                index += 1;
                index == 1 || segment != "self"
            }
        });
        match segments[0].as_str() {
            "crate" | "dapple" => What::Inside(segments.split_off(1)),
            "self" | "super" => {
                let supers = segments.iter().take_while(|s| *s == "super").count();
                let kept = self.module.len().saturating_sub(supers);
                let rest = segments.split_off(supers.max(1));
                What::Inside([&self.module[..kept], &rest].concat())
            }
            _ => What::Outside(segments),
        }
    }

    fn push(&mut self, what: What, at: &Ident, in_test: bool) {
        self.seen.push(Seen { what, line: at.span().start().line, in_test });
    }
}

/// An identifier without the `r#` of raw ones.
fn plain(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn ident_at(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(plain(ident)),
        _ => None,
    }
}

fn is_punct(tokens: &[TokenTree], at: usize, mark: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// Tells whether the identifier at `at` is a later part of a path such as `<T as X>::name`, whose
/// beginning was not one that [`Scanner::path`] follows. `::name` on its own begins a path.
fn continues_path(tokens: &[TokenTree], at: usize) -> bool {
    at >= 3
        && is_punct(tokens, at - 1, ':')
        && is_punct(tokens, at - 2, ':')
        && (ident_at(tokens, at - 3).is_some_and(|word| !KEYWORDS.contains(&word.as_str()))
            || is_punct(tokens, at - 3, '>'))
}

fn is_attribute(tokens: &[TokenTree], at: usize) -> bool {
    at >= 1 && (is_punct(tokens, at - 1, '#') || (at >= 2 && is_punct(tokens, at - 2, '#')))
}

fn is_cfg_test(group: &Group) -> bool {
    let text = group.stream().to_string();
    group.delimiter() == Delimiter::Bracket && text.replace(' ', "").starts_with("cfg(test")
}
