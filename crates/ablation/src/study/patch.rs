//! Changing named settings of a configuration, and saying what is wrong with a name.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::error::{Error, nearest_name};

/// Settings by dotted path (`"network.short" = "none"`).
pub(crate) type Patch = BTreeMap<String, toml::Value>;

/// The baseline with patches applied in order; each comes with its place for messages.
pub(crate) fn resolve<T: Clone + Serialize + DeserializeOwned>(
    base: &T,
    patches: &[(String, &Patch)],
    place: &str,
) -> Result<T, Error> {
    let mut value = serde_json::to_value(base).expect("a configuration is plain data");
    finite(&value, &format!("{place}, config"))?;
    let mut config = base.clone();
    for (section, patch) in patches {
        let place = format!("{place}, {section}");
        for (path, new) in *patch {
            let new = serde_json::to_value(new).expect("TOML is plain data");
            match slot(&mut value, path) {
                Some(slot) => *slot = new,
                None => {
                    let paths = paths(&value, "");
                    return Err(Error::UnknownSetting {
                        place,
                        path: path.clone(),
                        nearest: nearest_name(path, paths.iter().map(String::as_str)),
                    });
                }
            }
        }
        finite(&value, &place)?;
        // Section by section, so that a bad value is blamed on the section that holds it.
        config = serde_json::from_value(value.clone())
            .map_err(|error| syntax(place, &error.to_string()))?;
    }
    Ok(config)
}

/// JSON has no `nan` and no `inf`: they became null, which nothing else in a configuration is.
fn finite(value: &Value, place: &str) -> Result<(), Error> {
    match null(value, "") {
        None => Ok(()),
        Some(path) => Err(Error::Impossible {
            place: place.to_owned(),
            name: path,
            value: "nan or inf".to_owned(),
            rule: "every number of a configuration is finite".to_owned(),
        }),
    }
}

/// The path of the first null.
fn null(value: &Value, path: &str) -> Option<String> {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, inner)| null(inner, &below(key))),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, inner)| null(inner, &below(&i.to_string()))),
        _ => None,
    }
}

/// A parser's message with the nearest of the keys that it lists.
pub(super) fn syntax(place: String, message: &str) -> Error {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let nearest = match quoted.split_first() {
        Some((given, known)) if message.contains("unknown ") => {
            nearest_name(given, known.iter().copied())
        }
        _ => None,
    };
    Error::StudySyntax {
        place,
        message: message.trim().replace('\n', " "),
        nearest,
    }
}

fn slot<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.')
        .try_fold(value, |value, key| value.get_mut(key))
}

fn paths(value: &Value, prefix: &str) -> Vec<String> {
    let Value::Object(fields) = value else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, inner) in fields {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        found.extend(paths(inner, &path));
        found.push(path);
    }
    found
}
