//! What HTML and SVG share: escaping, and the attributes that say what a number is of.

use std::fmt::Write as _;

/// Text that is safe between tags and inside double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// ` data-study="…" data-probe="…"`, with the leading space.
pub(super) fn data(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        let _ = write!(out, " data-{name}=\"{}\"", escape(value));
    }
    out
}

/// A word that can stand in `id="…"`: letters, digits and hyphens.
pub(super) fn slug(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_brackets_cannot_break_out() {
        assert_eq!(escape("a<b & \"c\">"), "a&lt;b &amp; &quot;c&quot;&gt;");
        assert_eq!(data(&[("arm", "\"x\"")]), " data-arm=\"&quot;x&quot;\"");
        assert_eq!(slug("Half the depth"), "half-the-depth");
    }
}
