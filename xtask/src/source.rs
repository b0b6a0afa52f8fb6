//! Rust source with its comments and literals blanked out, so that rules look at code only.

/// Same lines, same columns (in characters); comments and the insides of literals have become spaces.
pub(crate) fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| literal(rest, &code)).unwrap_or(0);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(
                rest[..length]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[length..];
        }
    }
    code
}

/// Length of the comment that `rest` begins with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    // Block comments nest.
    let (mut depth, mut place) = (0_usize, 0);
    while place < rest.len() {
        let here = &rest.as_bytes()[place..];
        match here {
            [b'/', b'*', ..] => (depth, place) = (depth + 1, place + 2),
            [b'*', b'/', ..] => (depth, place) = (depth - 1, place + 2),
            _ => place += 1,
        }
        if depth == 0 {
            return Some(place);
        }
    }
    Some(rest.len())
}

/// Length of the string or character that `rest` begins with; `before` is the code so far.
fn literal(rest: &str, before: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    if bytes[0] == b'"' {
        return Some(closed(bytes, 1, b'"'));
    }
    if bytes[0] == b'\'' {
        // 'a' and '\n' are characters, 'a is a lifetime.
        let mut characters = rest[1..].chars();
        let escaped = characters.next() == Some('\\');
        return (escaped || characters.next() == Some('\'')).then(|| closed(bytes, 1, b'\''));
    }
    // r"…", r#"…"#; the r must begin a word (br and cr leave their first letter, which does no harm).
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    let begins = before
        .chars()
        .next_back()
        .is_none_or(|c| !of_name(c) || matches!(c, 'b' | 'c'));
    let raw = rest.strip_prefix('r').filter(|_| begins)?;
    let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
    let body = raw[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - body.len();
    Some(
        body.find(&end)
            .map_or(rest.len(), |place| start + place + end.len()),
    )
}

/// Place after the closing quote, over escapes.
fn closed(bytes: &[u8], mut place: usize, quote: u8) -> usize {
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => place += 2,
            byte if byte == quote => return place + 1,
            _ => place += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::code_only;

    /// Blanks written as one, so that the expectation is readable.
    fn words(source: &str) -> Vec<String> {
        code_only(source)
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn comments_are_blanked() {
        assert_eq!(
            words("a // b\nc /* d /* e */ f */ g //! h"),
            ["a", "c", "g"]
        );
    }

    #[test]
    fn literals_are_blanked() {
        assert_eq!(words(r#"a "b \" // c" d"#), ["a", "d"]);
        assert_eq!(words("a r#\"b \" c\"# d r\"e\\\" f"), ["a", "d", "f"]);
        assert_eq!(words(r"a '\'' b '/' c 'd' e"), ["a", "b", "c", "e"]);
    }

    #[test]
    fn lifetimes_and_names_are_code() {
        assert_eq!(
            words("fn f<'a>(x: &'a str) -> r::T<'_>"),
            ["fn", "f<'a>(x:", "&'a", "str)", "->", "r::T<'_>"]
        );
        assert_eq!(words("for \"x\" in r#type"), ["for", "in", "r#type"]);
    }

    #[test]
    fn lines_stay_where_they_were() {
        let source = "a\n/* b\nc */ d \"é\n\" e";
        let code = code_only(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert_eq!(code.lines().nth(3), Some("  e"));
    }
}
