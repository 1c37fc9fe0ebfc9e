//! Reads Rust source far enough to check its style: what is code, which paths it names, how long its functions are.

/// Source with every string and character literal blanked, and every comment too if `Keep::CodeOnly`.
///
/// Line breaks stay, so that line numbers do.
pub fn masked(source: &str, keep: Keep) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, shown) = next_piece(&chars, at, keep);
        for &c in &chars[at..end] {
            out.push(if shown || c == '\n' { c } else { ' ' });
        }
        at = end;
    }
    out
}

/// What [`masked`] leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Code alone.
    CodeOnly,
    /// Code and comments.
    CodeAndComments,
}

/// The end of the literal, comment, word or character that starts at `at`, and whether it is shown.
fn next_piece(chars: &[char], at: usize, keep: Keep) -> (usize, bool) {
    let two = (chars[at], chars.get(at + 1).copied().unwrap_or(' '));
    match two {
        ('/', '/') => (line_end(chars, at), keep == Keep::CodeAndComments),
        ('/', '*') => (block_comment_end(chars, at), keep == Keep::CodeAndComments),
        ('"', _) => (quoted_end(chars, at, '"'), false),
        ('\'', '\\') => (quoted_end(chars, at, '\''), false),
        ('\'', _) if chars.get(at + 2) == Some(&'\'') => (at + 3, false),
        (c, _) if is_word(c) => {
            let end = (at..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len());
            match raw_string_end(chars, at, end) {
                Some(raw_end) => (raw_end, false),
                None => (end, true),
            }
        }
        _ => (at + 1, true),
    }
}

fn line_end(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// Where the raw string ends whose prefix is the word from `start` to `end`, if it is one.
fn raw_string_end(chars: &[char], start: usize, end: usize) -> Option<usize> {
    let prefix: String = chars[start..end].iter().collect();
    if !["r", "br", "cr"].contains(&prefix.as_str()) {
        return None;
    }
    let hashes = chars[end..].iter().take_while(|&&c| c == '#').count();
    let body = end + hashes + 1;
    if chars.get(body - 1) != Some(&'"') {
        return None;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    Some((body..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Code with the bodies of its test modules blanked.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(found) = out[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = block_end(&out, start).unwrap_or(start);
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
        from = start + blank.len().max(1);
    }
    out
}

/// The end of the first `{ ... }` after `start`, or nothing if the item ends with a semicolon instead.
fn block_end(code: &str, start: usize) -> Option<usize> {
    let (mut braces, mut nested) = (0, 0);
    for (offset, c) in code[start..].char_indices() {
        match c {
            '(' | '[' => nested += 1,
            ')' | ']' => nested -= 1,
            '{' => braces += 1,
            '}' if braces == 1 => return Some(start + offset + 1),
            '}' => braces -= 1,
            ';' if braces == 0 && nested == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Every function of some code: its name, the line on which it starts and how many lines it has.
pub fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = !code[..at].chars().next_back().is_some_and(is_word);
        let name: String = code[at + 3..].chars().take_while(|&c| is_word(c)).collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some(end) = block_end(code, at) {
            let lines = code[at..end].lines().count();
            found.push((name, code[..at].matches('\n').count() + 1, lines));
        }
    }
    found
}

/// Some code, followed by what its `use` items name, one full path a line: `use a::{b, c::d}` adds `a::b` and `a::c::d`.
pub fn with_full_paths(code: &str) -> String {
    let mut out = code.to_owned();
    for (at, _) in code.match_indices("use ") {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let tree = code[at + 4..].split(';').next().unwrap_or_default();
        for path in paths_of(tree.trim()) {
            out.push('\n');
            out.push_str(&path);
        }
    }
    out
}

fn paths_of(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let branches = split_outside_braces(inner).into_iter().filter(|branch| !branch.is_empty());
    branches.flat_map(paths_of).map(|path| format!("{prefix}{path}")).collect()
}

fn split_outside_braces(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    parts
}

/// The lines, counted from one, on which code names a path or word as a whole.
pub fn lines_naming(code: &str, wanted: &str) -> Vec<usize> {
    let whole = |at: usize| {
        let before = code[..at].chars().next_back();
        let after = code[at + wanted.len()..].chars().next();
        let goes_on = wanted.ends_with(is_word) && after.is_some_and(is_word);
        !before.is_some_and(is_word) && !goes_on
    };
    let hits = code.match_indices(wanted).filter(|&(at, _)| whole(at));
    hits.map(|(at, _)| code[..at].matches('\n').count() + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_blanks_literals_and_comments_only() {
        let source =
            "let a = \"x // {\"; // dbg\nlet b = r#\"\"y\"#; /* c /* d */ e */ let 'l: char = '{'; f::<'_>('\\'');";
        let code = masked(source, Keep::CodeOnly);
        assert_eq!(code.split_whitespace().collect::<String>(), "leta=;letb=;let'l:char=;f::<'_>();");
        assert_eq!(code.matches('\n').count(), 1);
        assert!(masked(source, Keep::CodeAndComments).contains("// dbg"));
    }

    #[test]
    fn test_modules_are_blanked_and_what_follows_is_not() {
        let code = without_tests("fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\nfn c() {}");
        let names: Vec<String> = functions(&code).into_iter().map(|f| f.0).collect();
        assert_eq!(names, ["a", "c"]);
        assert!(without_tests("#[cfg(test)]\nmod tests;\nfn c() {}").contains("fn c"));
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_brace() {
        let code = "struct S { f: fn (u8) }\ntrait T { fn no_body(a: [u8; 4]); }\nfn long<T>(a: [u8; 4])\nwhere T: Copy {\n  {}\n}";
        assert_eq!(functions(code), [("long".to_owned(), 3, 4)]);
    }

    #[test]
    fn use_trees_are_spelt_out() {
        let paths = with_full_paths("use std::{fs, time::{Duration, Instant}};");
        for path in ["std::fs", "std::time::Duration", "std::time::Instant"] {
            assert!(paths.contains(path), "{path} is missing");
        }
    }

    #[test]
    fn words_are_found_whole() {
        assert_eq!(lines_naming("rand\nbrand\nrandom\nx::rand::y", "rand"), [1, 4]);
        assert_eq!(lines_naming("a\nprintln!(x)", "println!"), [2]);
    }
}
