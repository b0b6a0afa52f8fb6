//! The format of a case, `conformance/1`.

use serde::Deserialize;
use serde_json::Value as Json;

use super::options::Map;

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
