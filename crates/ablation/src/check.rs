//! Impossible values, refused before any work starts.

use crate::{
    config::{CellConfig, Data, Network, Objective, Start},
    error::Error,
};

/// Checks every value of a resolved configuration.
///
/// # Errors
///
/// [`Error::Impossible`] names the first setting that breaks its rule.
pub(crate) fn check(config: &CellConfig, place: &str) -> Result<(), Error> {
    let refuse = |name: &str, value: String, rule: &str| {
        Err(Error::Impossible { place: place.to_owned(), name: name.to_owned(), value, rule: rule.to_owned() })
    };
    macro_rules! require {
        ($holds:expr, $name:literal, $value:expr, $rule:literal) => {
            if !$holds {
                return refuse($name, format!("{:?}", $value), $rule);
            }
        };
    }
    let positive = |x: f64| x.is_finite() && 0.0 < x;

    match &config.data {
        Data::Sphere { intrinsic, ambient, radius } => {
            require!(2 <= *intrinsic, "data.intrinsic", intrinsic, "a sphere spans at least 2 dimensions");
            require!(intrinsic <= ambient, "data.ambient", ambient, "it must be at least data.intrinsic");
            require!(positive(*radius), "data.radius", radius, "a radius is a finite number > 0");
        }
        Data::Images { held_out, name, .. } => {
            require!(1 <= *held_out, "data.held_out", held_out, "at least 1 image must be kept back as fresh data");
            require!(!name.is_empty(), "data.name", name, "the set needs a name");
        }
        Data::SongErmon {} | Data::GaussianField {} => {}
    }
    let images = matches!(config.data, Data::Images { .. });
    require!(
        !(images && matches!(config.network, Network::Exact {})),
        "network.kind",
        "exact",
        "images from files have no exact score: leave the reference block out"
    );
    let noise = &config.noise;
    require!(positive(noise.sigma_min), "noise.sigma_min", noise.sigma_min, "a noise level is a finite number > 0");
    require!(
        noise.sigma_max.is_finite() && noise.sigma_min < noise.sigma_max,
        "noise.sigma_max",
        noise.sigma_max,
        "it must be finite and above noise.sigma_min"
    );
    require!(positive(noise.data_std), "noise.data_std", noise.data_std, "a standard deviation is a finite number > 0");
    if let Objective::SlicedDifferences { step } = config.objective {
        require!(positive(step), "objective.step", step, "the length of a difference is a finite number > 0");
    }
    let training = &config.training;
    require!(1 <= training.steps, "training.steps", training.steps, "at least 1 step");
    require!(2 <= training.batch, "training.batch", training.batch, "at least 2 examples");
    require!(positive(training.rate), "training.rate", training.rate, "a learning rate is a finite number > 0");
    require!(
        training.warmup <= training.steps,
        "training.warmup",
        training.warmup,
        "the warm-up cannot be longer than the training"
    );
    let sampling = &config.sampling;
    require!(8 <= sampling.samples, "sampling.samples", sampling.samples, "at least 8 samples");
    require!(1 <= sampling.evaluations, "sampling.evaluations", sampling.evaluations, "at least 1 evaluation");
    require!(positive(sampling.langevin.step), "sampling.langevin.step", sampling.langevin.step, "a step is a finite number > 0");
    let (Start::Uniform(scale) | Start::Gaussian(scale)) = sampling.langevin.start;
    require!(positive(scale), "sampling.langevin.start", scale, "the scale of the start is a finite number > 0");
    let annealed = &sampling.annealed;
    require!(2 <= annealed.levels, "sampling.annealed.levels", annealed.levels, "at least 2 levels");
    require!(
        sampling.evaluations % annealed.levels == 0,
        "sampling.annealed.levels",
        annealed.levels,
        "sampling.evaluations must be a multiple of it, so that both samplers spend the same"
    );
    require!(
        annealed.from.is_finite() && noise.sigma_min < annealed.from && annealed.from <= noise.sigma_max,
        "sampling.annealed.from",
        annealed.from,
        "it must lie above noise.sigma_min and not above noise.sigma_max, where the network was trained"
    );
    require!(positive(annealed.epsilon), "sampling.annealed.epsilon", annealed.epsilon, "a step is a finite number > 0");
    require!(1 <= sampling.ode.steps, "sampling.ode.steps", sampling.ode.steps, "at least 1 step");
    let probes = &config.probes;
    require!(8 <= probes.fresh, "probes.fresh", probes.fresh, "at least 8 fresh data points");
    require!(8 <= probes.queries, "probes.queries", probes.queries, "at least 8 query points");
    let (Start::Uniform(scale) | Start::Gaussian(scale)) = probes.off_data;
    require!(positive(scale), "probes.off_data", scale, "the scale is a finite number > 0");
    for level in &probes.levels {
        require!(
            level.is_finite() && noise.sigma_min <= *level && *level <= noise.sigma_max,
            "probes.levels",
            level,
            "every level must lie within [noise.sigma_min, noise.sigma_max]"
        );
    }
    if let Data::Images { held_out, .. } = &config.data {
        require!(
            2 * probes.fresh <= *held_out,
            "probes.fresh",
            probes.fresh,
            "two fresh sets are drawn from the images kept back: data.held_out must be at least twice probes.fresh"
        );
    }
    require!(probes.depths.iter().all(|depth| 0 < *depth), "probes.depths", probes.depths, "a depth is at least 1 block");
    require!(1 <= config.numerics.threads, "numerics.threads", config.numerics.threads, "at least 1 thread");
    Ok(())
}
