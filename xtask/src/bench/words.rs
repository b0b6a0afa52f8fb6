//! Words from elsewhere: names of benchmarks, revisions, machines, which whoever proposes a change may choose.

/// As one line of at most so many characters, in which nothing moves the text around it.
pub(crate) fn line(words: &str, longest: usize) -> String {
    let mut rest = words.chars().map(|c| if moves(c) { ' ' } else { c });
    let mut line: String = rest.by_ref().take(longest).collect();
    if rest.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// Names in a row, and how many more there are.
pub(crate) fn row(names: &[String], most: usize, shown: impl Fn(&str) -> String) -> String {
    let mut words: Vec<String> = names.iter().take(most).map(|name| shown(name)).collect();
    if most < names.len() {
        words.push(format!("and {} more", names.len() - most));
    }
    words.join(", ")
}

/// Ends a line, or turns or hides what is beside it.
fn moves(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_ends() {
        assert_eq!(line("a\n::error::b\u{202e}c", 80), "a ::error::b c");
        assert_eq!(line("four", 4), "four");
        assert_eq!(line("fives", 4), "fiv…");
        let names = ["a", "b", "c"].map(str::to_owned);
        let quoted = |name: &str| format!("<{name}>");
        assert_eq!(row(&names, 2, quoted), "<a>, <b>, and 1 more");
        assert_eq!(row(&names, 3, quoted), "<a>, <b>, <c>");
    }
}
