//! Reads Rust as far as the checks of the tree need it: no comments, no literals, then words and punctuation.
//!
//! ```text
//! code │ "…" r#"…"# 'x' │ // … │ /* … /* … */ … */ │ code     becomes     code │ spaces, newlines kept │ code
//! ```
//!
//! It knows nothing of grammar, and may be wrong only on text that does not compile.
#![forbid(unsafe_code)]

/// Blanks comments, strings and character literals with spaces; every newline stays, so that lines still count.
pub(crate) fn strip(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let word_before = at > 0 && is_word(chars[at - 1]);
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => find(&chars, at, |c| c[0] == '\n'),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            '\'' => char_end(&chars, at),
            'r' | 'b' | 'c' if !word_before => raw_string_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first place from `from` on where `stop` holds for the rest of the text, or the end.
fn find(chars: &[char], from: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|&i| stop(&chars[i..]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_u32);
    while at < chars.len() {
        if chars[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if chars[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(chars.len())
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of a character literal, or `from` itself if the quote begins a lifetime.
fn char_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), Some(_)) => (find(chars, from + 3, |c| c[0] == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// The end of `r"…"`, `r#"…"#`, `br"…"` and their like, or `None` if no raw string begins here.
fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let r = if chars[from] == 'r' { from } else { from + 1 };
    if chars.get(r) != Some(&'r') {
        return None;
    }
    let quote = find(chars, r + 1, |c| c[0] != '#');
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.resize(quote - r, '#');
    Some((find(chars, quote + 1, |c| c.starts_with(&close)) + close.len()).min(chars.len()))
}

/// A word, `::`, or a single other character, with its line.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Splits stripped text.
pub(crate) fn tokens(stripped: &str) -> Vec<Token> {
    let mut all = Vec::new();
    for (number, line) in stripped.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            all.push(Token {
                text: rest[..len].to_owned(),
                line: number + 1,
            });
            rest = rest[len..].trim_start();
        }
    }
    all
}

/// The text of a token, empty past the end.
pub(crate) fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |t| &t.text)
}
