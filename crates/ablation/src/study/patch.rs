//! Changing named settings of a configuration, and saying what is wrong with a name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    config::CellConfig,
    error::{Error, nearest_name},
};

/// Settings by dotted path (`"network.short" = "none"`).
pub(crate) type Patch = BTreeMap<String, toml::Value>;

/// The baseline with patches applied in order; each comes with its place for messages.
pub(crate) fn resolve(base: &CellConfig, patches: &[(String, &Patch)], place: &str) -> Result<CellConfig, Error> {
    let mut value = serde_json::to_value(base).expect("a configuration is plain data");
    let mut last = place.to_owned();
    for (section, patch) in patches {
        last = format!("{place}, {section}");
        for (path, new) in *patch {
            let new = serde_json::to_value(new).expect("TOML is plain data");
            match slot(&mut value, path) {
                Some(slot) => *slot = new,
                None => {
                    let paths = paths(&value, "");
                    return Err(Error::UnknownSetting {
                        place: last,
                        path: path.clone(),
                        nearest: nearest_name(path, paths.iter().map(String::as_str)),
                    });
                }
            }
        }
    }
    serde_json::from_value(value).map_err(|error| syntax(last, &error.to_string()))
}

/// A parser's message with the nearest of the keys that it lists.
pub(super) fn syntax(place: String, message: &str) -> Error {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let nearest = match quoted.split_first() {
        Some((given, known)) if message.contains("unknown ") => nearest_name(given, known.iter().copied()),
        _ => None,
    };
    Error::StudySyntax { place, message: message.trim().replace('\n', " "), nearest }
}

fn slot<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(value, |value, key| value.get_mut(key))
}

fn paths(value: &Value, prefix: &str) -> Vec<String> {
    let Value::Object(fields) = value else { return Vec::new() };
    let mut found = Vec::new();
    for (key, inner) in fields {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        found.extend(paths(inner, &path));
        found.push(path);
    }
    found
}
