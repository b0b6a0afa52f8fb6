//! Options as peers write them in JSON: for cases, and for the scheduler of a model.

use std::collections::BTreeMap;

use samplers::compat::{Options, Value};
use serde_json::Value as Json;

/// Named options.
pub(crate) type Map = BTreeMap<String, Json>;

/// The options of `owner`, without those that start with an underscore, which say where a file came from.
pub(crate) fn options(owner: &str, map: Option<&Map>) -> Options {
    let pairs = map.into_iter().flatten();
    Options::new(
        owner,
        pairs
            .filter(|(name, _)| !name.starts_with('_'))
            .map(|(name, json)| (name.clone(), value(json))),
    )
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        // Every JSON number is finite or an infinity of f64; the reader of the option refuses the latter.
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::INFINITY)),
        Json::String(text) => match text.as_str() {
            "Infinity" => Value::Number(f64::INFINITY),
            "-Infinity" => Value::Number(f64::NEG_INFINITY),
            _ => Value::Text(text.clone()),
        },
        Json::Array(list) => Value::List(list.iter().map(value).collect()),
        // No peer has an option that is a map.
        Json::Object(_) => Value::Text(json.to_string()),
    }
}

/// The text with Python's `Infinity`, `-Infinity` and `NaN` in quotes: diffusers writes them into its configurations,
/// and JSON has no such numbers.
pub(crate) fn without_infinities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(next) = rest.chars().next() {
        let words = ["-Infinity", "Infinity", "NaN"];
        let word = words
            .into_iter()
            .find(|word| !quoted && rest.starts_with(word));
        let length = match word {
            Some(word) => {
                out.push_str(&format!("\"{word}\""));
                word.len()
            }
            None => {
                let escaped = quoted && next == '\\';
                let length = rest
                    .chars()
                    .take(1 + usize::from(escaped))
                    .map(char::len_utf8)
                    .sum();
                out.push_str(&rest[..length]);
                quoted ^= next == '"';
                length
            }
        };
        rest = &rest[length..];
    }
    out
}
