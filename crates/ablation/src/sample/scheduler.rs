//! Which scheduler steps, and how often.

use std::path::{Path, PathBuf};

use samplers::compat::{Options, Value, diffusers};

use super::{Request, State, impossible};
use crate::{
    conform::options::{Map, options, without_infinities},
    error::{Error, nearest_name},
    files,
};

/// The name of the file.
pub(super) const CONFIG: &str = "scheduler_config.json";

/// A scheduler of diffusers: its class and the fields of its configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) class: String,
    config: Map,
}

impl Chosen {
    /// What a person named: a folder, a file or a class.
    pub(super) fn named(given: &str) -> Result<Chosen, Error> {
        let path = Path::new(given);
        let inside = [path.join(CONFIG), path.join("scheduler").join(CONFIG)];
        if let Some(file) = inside.iter().find(|file| file.is_file()) {
            return Chosen::read(file);
        }
        if path.is_dir() {
            return Err(Error::Unusable {
                path: path.to_owned(),
                reason: format!("it holds no {CONFIG}; give the folder that does"),
            });
        }
        if path.is_file() {
            return Chosen::read(path);
        }
        if diffusers::class_names().any(|name| name == given) {
            return Ok(Chosen {
                class: given.to_owned(),
                config: Map::new(),
            });
        }
        let hint = nearest_name(given, diffusers::class_names())
            .map(|name| format!("did you mean {name}? The classes are "))
            .unwrap_or_else(|| "the classes are ".to_owned());
        let rule = format!(
            "it is neither a folder, nor a file, nor a class; {hint}{}",
            known()
        );
        Err(impossible("--scheduler", given, &rule))
    }

    /// Reads a `scheduler_config.json`.
    pub(super) fn read(path: &Path) -> Result<Chosen, Error> {
        let unusable = |reason: String| Error::Unusable {
            path: path.to_owned(),
            reason,
        };
        let bytes = files::read(path)?;
        let text = String::from_utf8(bytes).map_err(|_| unusable("it is not text".to_owned()))?;
        let config: Map = serde_json::from_str(&without_infinities(&text))
            .map_err(|error| unusable(format!("it is not a JSON object ({error})")))?;
        let class = config.get("_class_name").and_then(|name| name.as_str());
        let class = class.ok_or_else(|| {
            unusable("it has no `_class_name`; write the scheduler's class".to_owned())
        })?;
        Ok(Chosen {
            class: class.to_owned(),
            config,
        })
    }

    /// Inference steps where none are asked for: those of diffusers' pipelines.
    pub(super) fn steps(&self) -> usize {
        match self.class.as_str() {
            "DDPMScheduler" | "DDPMParallelScheduler" => {
                let train = self.config.get("num_train_timesteps");
                train.and_then(|n| n.as_u64()).map_or(1000, |n| n as usize)
            }
            "ScoreSdeVeScheduler" => 2000,
            "CMStochasticIterativeScheduler" => 1,
            _ => 50,
        }
    }

    /// Makes it ready.
    pub(super) fn prepared(
        &self,
        steps: usize,
        request: &Request,
    ) -> Result<samplers::Prepared<State>, Error> {
        let arguments = request.options.iter();
        let step = Options::new(
            &format!("{}.step", self.class),
            arguments.map(|(name, text)| (name.clone(), value(text))),
        );
        let config = options(&self.class, Some(&self.config));
        Ok(diffusers::prepare(&self.class, config, steps, step)?)
    }
}

/// The error of a model without a scheduler.
pub(super) fn missing(model: &Path) -> Error {
    Error::Unusable {
        path: PathBuf::from(model),
        reason: format!(
            "no {CONFIG} lies with the network; name a scheduler with --scheduler: a folder, a file, or one of {}",
            known()
        ),
    }
}

fn known() -> String {
    diffusers::class_names().collect::<Vec<_>>().join(", ")
}

/// An argument as Python would write it.
fn value(text: &str) -> Value {
    match text {
        "None" | "null" => Value::Null,
        "True" | "true" => Value::Bool(true),
        "False" | "false" => Value::Bool(false),
        _ => text
            .parse()
            .map_or_else(|_| Value::Text(text.to_owned()), Value::Number),
    }
}
