//! Rust source as far as the rules need it: which paths and macros it names, and where. In: the
//! text of a file. Out: its names without comments, strings and in-file tests. Not a parser: what
//! the compiler accepts is assumed.

/// The names in a file.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// Every `a::b::c` and every `use`, with braces multiplied out.
    pub(super) paths: Vec<Named<Vec<String>>>,
    /// Every `name!`.
    pub(super) macros: Vec<Named<String>>,
    /// Every identifier.
    pub(super) words: Vec<Named<String>>,
}

/// Something and the line it stands on, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<T> {
    pub(super) line: usize,
    pub(super) name: T,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Mark(char),
}

impl Code {
    pub(super) fn read(text: &str) -> Self {
        let tokens = without_tests(&tokens(&without_prose(text)));
        let mut code = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let (line, token) = &tokens[at];
            let Token::Word(word) = token else {
                at += 1;
                continue;
            };
            let used = at > 0 && tokens[at - 1].1 == Token::Word("use".into());
            let field = at > 0 && tokens[at - 1].1 == Token::Mark('.');
            let mut found = Vec::new();
            let next = read_path(&tokens, at, &[], &mut found);
            for (line, path) in found {
                if (used || path.len() > 1) && !field {
                    code.paths.push(Named { line, name: path });
                }
            }
            if tokens.get(at + 1).map(|(_, token)| token) == Some(&Token::Mark('!')) {
                let name = word.clone();
                code.macros.push(Named { line: *line, name });
            }
            for (line, token) in &tokens[at..next] {
                if let Token::Word(word) = token {
                    let (line, name) = (*line, word.clone());
                    code.words.push(Named { line, name });
                }
            }
            at = next;
        }
        code
    }
}

/// Reads `a::b::{c, d::e}` from `at`; adds `prefix` plus each branch to `found`; gives what is next.
fn read_path(
    tokens: &[(usize, Token)],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens[at].0;
    loop {
        match tokens.get(at).map(|(_, token)| token) {
            Some(Token::Word(word)) => path.push(word.clone()),
            Some(Token::Mark('*')) if path.len() > prefix.len() => path.push("*".into()),
            Some(Token::Mark('{')) => return read_branches(tokens, at + 1, &path, found),
            _ => break,
        }
        at += 1;
        if tokens.get(at).map(|(_, token)| token) != Some(&Token::Colons) {
            break;
        }
        at += 1;
    }
    found.push((line, path));
    at
}

fn read_branches(
    tokens: &[(usize, Token)],
    mut at: usize,
    path: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        match token {
            Token::Mark('}') => return at + 1,
            Token::Word(_) => at = read_path(tokens, at, path, found),
            _ => at += 1,
        }
    }
    at
}

fn tokens(text: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    for (index, row) in text.lines().enumerate() {
        let line = index + 1;
        let mut before = ' ';
        for mark in row.chars().chain([' ']) {
            if mark.is_alphanumeric() || mark == '_' {
                word.push(mark);
            } else {
                if !word.is_empty() {
                    tokens.push((line, Token::Word(std::mem::take(&mut word))));
                }
                if mark == ':' && before == ':' {
                    tokens.pop();
                    tokens.push((line, Token::Colons));
                    before = ' ';
                    continue;
                }
                if !mark.is_whitespace() {
                    tokens.push((line, Token::Mark(mark)));
                }
            }
            before = mark;
        }
    }
    tokens
}

/// Leaves out `#[cfg(test)] mod … { … }`: tests may use anything.
fn without_tests(tokens: &[(usize, Token)]) -> Vec<(usize, Token)> {
    let word = |word: &str| Token::Word(word.into());
    let opening = [
        Token::Mark('#'),
        Token::Mark('['),
        word("cfg"),
        Token::Mark('('),
        word("test"),
        Token::Mark(')'),
        Token::Mark(']'),
        word("mod"),
    ];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let here = tokens[at..].iter().map(|(_, token)| token);
        if here.take(opening.len()).eq(&opening) {
            at = after_module(tokens, at + opening.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// What follows `name;` or `name { … }`.
fn after_module(tokens: &[(usize, Token)], from: usize) -> usize {
    let mut depth = 0;
    for (at, (_, token)) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token, Token::Mark('}' | ';')) {
            return at + 1;
        }
    }
    tokens.len()
}

/// The text with comments, strings and characters made blank; lines stay where they are.
fn without_prose(text: &str) -> String {
    let marks: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < marks.len() {
        let end = match marks[at] {
            '/' if marks.get(at + 1) == Some(&'/') => end_of_line(&marks, at),
            '/' if marks.get(at + 1) == Some(&'*') => end_of_comment(&marks, at),
            '"' => end_of_string(&marks, at),
            'r' if !in_word(&marks, at) => end_of_raw_string(&marks, at),
            '\'' => end_of_character(&marks, at),
            _ => at,
        };
        if end == at {
            out.push(marks[at]);
            at += 1;
        } else {
            let blank = |mark: &char| if *mark == '\n' { '\n' } else { ' ' };
            out.extend(marks[at..end].iter().map(blank));
            at = end;
        }
    }
    out
}

/// Whether the letter is inside a name; the `b` of `br"…"` does not make it one.
fn in_word(marks: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| marks[index]);
    let named = |mark: Option<char>| mark.is_some_and(|mark| mark.is_alphanumeric() || mark == '_');
    match before(1) {
        Some('b' | 'c') => named(before(2)),
        mark => named(mark),
    }
}

fn end_of_line(marks: &[char], at: usize) -> usize {
    let length = marks[at..].iter().position(|mark| *mark == '\n');
    length.map_or(marks.len(), |length| at + length)
}

fn end_of_comment(marks: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < marks.len() {
        match (marks[at], marks.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(marks.len())
}

fn end_of_string(marks: &[char], mut at: usize) -> usize {
    at += 1;
    while at < marks.len() && marks[at] != '"' {
        at += if marks[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(marks.len())
}

fn end_of_raw_string(marks: &[char], at: usize) -> usize {
    let hashes = marks[at + 1..]
        .iter()
        .take_while(|mark| **mark == '#')
        .count();
    let open = at + 1 + hashes;
    if marks.get(open) != Some(&'"') {
        return at;
    }
    let closing: Vec<char> = std::iter::once('"').chain(vec!['#'; hashes]).collect();
    let length = marks[open + 1..]
        .windows(closing.len())
        .position(|end| end == closing);
    length.map_or(marks.len(), |length| open + 1 + length + closing.len())
}

fn end_of_character(marks: &[char], at: usize) -> usize {
    match (marks.get(at + 1), marks.get(at + 2)) {
        (Some('\\'), _) => {
            let length = marks.iter().skip(at + 3).position(|mark| *mark == '\'');
            length.map_or(marks.len(), |length| at + 4 + length)
        }
        (_, Some('\'')) => at + 3,
        // A lifetime.
        _ => at,
    }
}
