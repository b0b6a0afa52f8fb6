//! The format of a case, `conformance/1`.

use std::collections::BTreeMap;

use samplers::compat::{Options, Value};
use serde::Deserialize;
use serde_json::Value as Json;

/// A file of cases. Each is read on its own, so that a bad one does not take the file down.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    pub(super) format: String,
    #[serde(default)]
    #[expect(dead_code, reason = "where the numbers come from; not compared")]
    peer: Json,
    pub(super) cases: Vec<Json>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    #[expect(dead_code, reason = "read before the rest, so that errors can name it")]
    name: String,
    pub(super) kind: String,
    pub(super) model: Mixture,
    #[serde(default)]
    pub(super) noise: Vec<Draw>,
    pub(super) expect: Expect,
    pub(super) tolerance: f64,

    pub(super) scheduler_config: Option<Map>,
    pub(super) num_inference_steps: Option<usize>,
    pub(super) step_kwargs: Option<Map>,
    pub(super) init: Option<Samples>,

    pub(super) sampler: Option<String>,
    pub(super) kwargs: Option<Map>,
    pub(super) sigma_grid: Option<Map>,
    pub(super) sigma_range: Option<[f64; 2]>,
    #[serde(default)]
    pub(super) args: Vec<f64>,

    pub(super) net_sigma_range: Option<[Option<f64>; 2]>,
    pub(super) latents: Option<Samples>,
}

/// Samples, one row each.
pub(super) type Samples = Vec<Vec<f64>>;

/// Named options.
pub(super) type Map = BTreeMap<String, Json>;

/// The data: a mixture of isotropic normals.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mixture {
    pub(super) kind: String,
    pub(super) weights: Vec<f64>,
    pub(super) means: Samples,
    pub(super) stds: Vec<f64>,
}

/// A recorded draw, made when the sampler had called the model so often.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draw {
    pub(super) after_evals: usize,
    pub(super) value: Samples,
}

/// What the peer found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) timesteps: Option<Vec<f64>>,
    pub(super) sigmas: Option<Vec<f64>>,
    pub(super) alpha_sigma: Option<Vec<[f64; 2]>>,
    pub(super) denoiser_sigmas: Option<Vec<f64>>,
    pub(super) trace: Option<Vec<Samples>>,
    pub(super) output: Option<Samples>,
}

/// The options of `owner`, without those that start with an underscore, which say where a file came from.
pub(super) fn options(owner: &str, map: Option<&Map>) -> Options {
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
pub(super) fn without_infinities(text: &str) -> String {
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
