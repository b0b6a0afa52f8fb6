//! The exact score in the place of a network: what the samplers alone lose.

use ndarray::{Array2, ArrayView2};
use score_objective::exact::ExactScore;

use crate::config::CellConfig;

/// The score at points \[n, d\]: of the noised data at `sigma` for a noise-on arm, of the clean data, whatever
/// `sigma`, for a noise-off arm.
pub(super) fn score(
    config: &CellConfig,
    exact: Option<&dyn ExactScore>,
    x: ArrayView2<'_, f64>,
    sigma: f64,
) -> Array2<f64> {
    let exact = exact.expect("the plan refuses an exact network without an exact score");
    let level = match (config.objective.uses_noise(), exact.has_density()) {
        (true, _) => sigma,
        (false, true) => 0.0,
        // A manifold has no clean score: the smallest level stands in for it.
        (false, false) => config.noise.sigma_min,
    };
    exact.score(x, level)
}
