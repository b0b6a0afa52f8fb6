//! The study as it was frozen before its first cell, and what was changed since, on the record.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::Plan;

/// A frozen plan: the first of a run, or an amendment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of the format.
    pub schema: u32,
    /// Why the plan was changed; absent in the first lock of a run.
    pub reason: Option<String>,
    /// What was changed since the lock before.
    pub changed: Vec<Change>,
    /// Cells that had a result by then.
    pub finished: usize,
    /// What is to be done, resolved.
    pub plan: Plan,
    /// BLAKE3 digest of all of the above: a lock that was damaged, or edited, is no lock.
    pub digest: String,
}

/// A difference between two plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// In words.
    pub what: String,
    /// Whether it touches what was registered: then no verdict rests on the registration any more. A block or
    /// a study that is added does not.
    pub registered: bool,
}

impl Lock {
    /// The first lock of a run.
    pub fn first(plan: &Plan) -> Lock {
        Lock {
            schema: 1,
            reason: None,
            changed: Vec::new(),
            finished: 0,
            plan: plan.clone(),
            digest: String::new(),
        }
        .sealed()
    }

    /// A later lock, for what was `changed` after so many cells.
    pub fn amendment(plan: &Plan, reason: &str, changed: Vec<Change>, finished: usize) -> Lock {
        Lock {
            reason: Some(reason.to_owned()),
            changed,
            finished,
            ..Lock::first(plan)
        }
        .sealed()
    }

    /// Whether it is as it was made.
    pub fn is_whole(&self) -> bool {
        self.clone().sealed().digest == self.digest
    }

    fn sealed(mut self) -> Lock {
        self.digest = String::new();
        let bytes = serde_json::to_vec(&self).expect("a plan is plain data");
        self.digest = blake3::hash(&bytes).to_hex().to_string();
        self
    }
}

/// Words and prices, which decide nothing.
const WORDS: [&str; 7] = [
    "title",
    "question",
    "notes",
    "setup",
    "change",
    "parameters",
    "seconds",
];
/// What tells the elements of a list apart.
const NAMES: [&str; 3] = ["name", "id", "label"];

/// What differs between two plans, but for words and prices.
pub fn changes(from: &Plan, to: &Plan) -> Vec<Change> {
    let value = |plan| serde_json::to_value(plan).expect("a plan is plain data");
    let mut changes = Vec::new();
    compare(
        &value(from),
        &value(to),
        &mut Vec::new(),
        &mut |path, how| {
            // studies/<name> or studies/<name>/blocks/<name>
            let whole = matches!(path, [a, _] if a == "studies" || a == "claims")
                || matches!(path, [a, _, b, _] if a == "studies" && b == "blocks");
            let added = matches!(how, Difference::Added);
            changes.push(Change {
                what: words(path, &how),
                registered: !(whole && added),
            });
        },
    );
    changes
}

/// What differs between two values, one line each: `training.steps: 20 → 40`.
pub fn differences(from: &Value, to: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(from, to, &mut Vec::new(), &mut |path, how| {
        lines.push(words(path, &how));
    });
    lines
}

enum Difference<'a> {
    Added,
    Removed,
    Altered(&'a Value, &'a Value),
}

/// A place as a person names it, and what became of it.
fn words(path: &[String], how: &Difference<'_>) -> String {
    let place: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .filter(|part| {
            ![
                "studies",
                "claims",
                "blocks",
                "arms",
                "contrasts",
                "findings",
            ]
            .contains(part)
        })
        .collect();
    let place = place.join(" / ");
    match how {
        Difference::Added => format!("{place} is new"),
        Difference::Removed => format!("{place} is gone"),
        Difference::Altered(from, to) => format!("{place}: {} → {}", short(from), short(to)),
    }
}

fn short(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

type Found<'f> = &'f mut dyn FnMut(&[String], Difference<'_>);

fn compare(from: &Value, to: &Value, path: &mut Vec<String>, found: Found<'_>) {
    let pairs = match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let keys = from
                .keys()
                .chain(to.keys().filter(|key| !from.contains_key(*key)));
            let keys = keys.filter(|key| !WORDS.contains(&key.as_str()));
            keys.map(|key| (key.clone(), from.get(key), to.get(key)))
                .collect()
        }
        (Value::Array(from), Value::Array(to)) => match (named(from), named(to)) {
            (Some(from), Some(to)) => {
                let other = |list: &[(String, &'_ Value)], name: &str| {
                    list.iter().position(|(other, _)| other == name)
                };
                let mut pairs: Vec<_> = from
                    .iter()
                    .map(|(name, value)| {
                        let there = other(&to, name).map(|place| to[place].1);
                        (name.clone(), Some(*value), there)
                    })
                    .collect();
                let new = to.iter().filter(|(name, _)| other(&from, name).is_none());
                pairs.extend(new.map(|(name, value)| (name.clone(), None, Some(*value))));
                pairs
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    if pairs.is_empty() {
        if from != to {
            found(path, Difference::Altered(from, to));
        }
        return;
    }
    for (name, from, to) in pairs {
        path.push(name);
        match (from, to) {
            (Some(from), Some(to)) => compare(from, to, path, found),
            (None, Some(_)) => found(path, Difference::Added),
            _ => found(path, Difference::Removed),
        }
        path.pop();
    }
}

/// The elements of a list by their names, if each has one of its own; an empty list has them.
fn named(list: &[Value]) -> Option<Vec<(String, &Value)>> {
    let name = |value: &Value| {
        let name = NAMES.iter().find_map(|key| value.get(key)?.as_str());
        name.map(str::to_owned)
    };
    let named: Option<Vec<_>> = list.iter().map(|v| name(v).map(|name| (name, v))).collect();
    let named = named?;
    let distinct: std::collections::BTreeSet<&String> =
        named.iter().map(|(name, _)| name).collect();
    (distinct.len() == named.len()).then_some(named)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{STUDY, plan, study_with};

    fn after(from: &str, to: &str) -> Vec<Change> {
        let before = plan(STUDY).expect("the study is sound");
        let after = plan(&study_with(from, to)).expect("the study is sound");
        changes(&before, &after)
    }

    #[test]
    fn words_are_no_change() {
        assert_eq!(after("title = \"A plane\"", "title = \"The plane\""), []);
        assert_eq!(after("\"Does it work?\"", "\"Does it?\""), []);
    }

    #[test]
    fn what_was_registered_is_named() {
        let changed = |from: &str, to: &str| {
            let changes = after(from, to);
            assert!(changes.iter().all(|change| change.registered));
            changes
                .into_iter()
                .map(|change| change.what)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            changed("delta = 0.1", "delta = 0.2"),
            ["plane / noise / delta: 0.1 → 0.2"]
        );
        assert_eq!(
            changed("\"lower\"", "\"higher\"")[0],
            "plane / noise / expect: \"lower\" → \"higher\""
        );
        let steps = changed("steps = 20,", "steps = 30,");
        assert_eq!(steps.len(), 4 + 2 + 1, "one line for each arm: {steps:?}");
        assert!(steps[0].starts_with("plane / the 2×2 / "), "{steps:?}");
        assert!(
            steps[0].ends_with(" / config / training / steps: 20 → 30"),
            "{steps:?}"
        );
        let gone = "[[beside]]\nname = \"well-initialised plain\"\nrole = \"counter_arm\"\nset = { \"network.init\" = \"orthogonal_lsuv\" }\nonly = { skip = \"off\" }\nseeds = 1\n";
        assert_eq!(
            changed(gone, ""),
            ["plane / well-initialised plain is gone"]
        );
        assert!(
            changed("\nseeds = 2\nprimary", "\nseeds = 3\nprimary")
                .contains(&"plane / seeds: 2 → 3".to_owned())
        );
    }

    #[test]
    fn a_block_that_is_added_leaves_the_registration() {
        let block = "[[beside]]\nname = \"deep\"\nrole = \"depth\"\nset = { \"network.blocks\" = 3 }\nseeds = 1\n\n[[contrasts]]";
        let changes = after("[[contrasts]]", block);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].what, "plane / deep is new");
        assert!(!changes[0].registered);
        let contrast = "[[contrasts]]\nid = \"skip\"\nclaim = \"c\"\neffect = \"skip\"\nexpect = \"lower\"\ndelta = 0.1\n\n[[contrasts]]";
        assert!(
            after("[[contrasts]]", contrast)[0].registered,
            "the family grows"
        );
    }

    #[test]
    fn what_was_edited_is_not_whole() {
        let lock = Lock::first(&plan(STUDY).expect("the study is sound"));
        assert!(lock.is_whole());
        let mut edited = lock.clone();
        edited.plan.studies[0].contrasts[0].delta *= 2.0;
        assert!(!edited.is_whole());
        edited.finished = 1;
        assert!(!edited.is_whole());
    }

    #[test]
    fn any_two_values_are_compared() {
        let from = json!({ "a": 1, "b": [1, 2], "c": { "d": "x" }, "gone": 0 });
        let to = json!({ "a": 1, "b": [1, 3], "c": { "d": "y" }, "new": 0 });
        assert_eq!(
            differences(&from, &to),
            [
                "b: [1,2] → [1,3]",
                "c / d: \"x\" → \"y\"",
                "gone is gone",
                "new is new"
            ]
        );
    }
}
