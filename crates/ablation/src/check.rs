//! Impossible values, refused before any work starts.

use crate::{
    architecture::{Architecture, MOST_BLOCKS},
    config::{
        CellConfig, Data, Device, MemoryFormat, Network, Objective, Precision, Start, Weighting,
    },
    error::Error,
};

/// More of anything than a machine holds: beyond it, a slip of the keyboard, refused before it is multiplied.
const MOST: usize = 100_000_000;

/// Noise levels that single precision can compute with.
const LEVELS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Checks every value of a resolved configuration.
///
/// # Errors
///
/// [`Error::Impossible`] names the first setting that breaks its rule.
pub(crate) fn check(config: &CellConfig, place: &str) -> Result<(), Error> {
    let refuse = |name: &str, value: String, rule: &str| {
        Err(Error::Impossible {
            place: place.to_owned(),
            name: name.to_owned(),
            value,
            rule: rule.to_owned(),
        })
    };
    macro_rules! require {
        ($holds:expr, $name:literal, $value:expr, $rule:literal) => {
            if !$holds {
                return refuse($name, format!("{:?}", $value), $rule);
            }
        };
    }
    let positive = |x: f64| x.is_finite() && 0.0 < x;
    let ambient = match config.data {
        Data::Sphere { ambient, .. } => ambient,
        _ => 0,
    };
    let counts = [
        ("data.ambient", ambient),
        ("training.batch", config.training.batch),
        ("sampling.samples", config.sampling.samples),
        ("sampling.evaluations", config.sampling.evaluations),
        ("sampling.ode.steps", config.sampling.ode.steps),
        ("probes.fresh", config.probes.fresh),
        ("probes.queries", config.probes.queries),
        ("probes.bands", config.probes.bands),
    ];
    if let Some((name, value)) = counts.into_iter().find(|(_, value)| MOST < *value) {
        return refuse(name, value.to_string(), "no machine holds more than 10⁸");
    }

    match &config.data {
        Data::Sphere {
            intrinsic,
            ambient,
            radius,
        } => {
            require!(
                2 <= *intrinsic,
                "data.intrinsic",
                intrinsic,
                "a sphere spans at least 2 dimensions"
            );
            require!(
                intrinsic <= ambient,
                "data.ambient",
                ambient,
                "it must be at least data.intrinsic"
            );
            require!(
                positive(*radius),
                "data.radius",
                radius,
                "a radius is a finite number > 0"
            );
        }
        Data::Images {
            held_out,
            name,
            noise,
            ..
        } => {
            require!(
                1 <= *held_out,
                "data.held_out",
                held_out,
                "at least 1 image must be kept back as fresh data"
            );
            require!(!name.is_empty(), "data.name", name, "the set needs a name");
            require!(
                0.0 <= *noise && noise.is_finite(),
                "data.noise",
                noise,
                "the noise in the images is a finite number >= 0"
            );
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
    require!(
        LEVELS.contains(&noise.sigma_min),
        "noise.sigma_min",
        noise.sigma_min,
        "a noise level lies within [1e-6, 1e6], where single precision holds its square"
    );
    require!(
        LEVELS.contains(&noise.sigma_max) && noise.sigma_min < noise.sigma_max,
        "noise.sigma_max",
        noise.sigma_max,
        "it must be above noise.sigma_min and at most 1e6"
    );
    require!(
        positive(noise.data_std),
        "noise.data_std",
        noise.data_std,
        "a standard deviation is a finite number > 0"
    );
    if let Objective::SlicedDifferences { step } = config.objective {
        require!(
            positive(step),
            "objective.step",
            step,
            "the length of a difference is a finite number > 0"
        );
        require!(
            matches!(config.data, Data::SongErmon {} | Data::GaussianField {}),
            "objective.kind",
            "sliced_differences",
            "on data without a density a difference is itself a noise level: use kind = \"sliced\""
        );
    }
    if let Some(Weighting::MinSnr(gamma)) = config.objective.weighting() {
        require!(
            positive(gamma),
            "objective.weighting.min_snr",
            gamma,
            "the cap is a finite signal-to-noise ratio > 0: Hang et al. 2023 use 5.0"
        );
    }
    let training = &config.training;
    require!(
        1 <= training.steps,
        "training.steps",
        training.steps,
        "at least 1 step"
    );
    require!(
        2 <= training.batch,
        "training.batch",
        training.batch,
        "at least 2 examples"
    );
    require!(
        positive(training.rate),
        "training.rate",
        training.rate,
        "a learning rate is a finite number > 0"
    );
    require!(
        training.warmup <= training.steps,
        "training.warmup",
        training.warmup,
        "the warm-up cannot be longer than the training"
    );
    let sampling = &config.sampling;
    require!(
        8 <= sampling.samples,
        "sampling.samples",
        sampling.samples,
        "at least 8 samples"
    );
    require!(
        1 <= sampling.evaluations,
        "sampling.evaluations",
        sampling.evaluations,
        "at least 1 evaluation"
    );
    require!(
        positive(sampling.langevin.step),
        "sampling.langevin.step",
        sampling.langevin.step,
        "a step is a finite number > 0"
    );
    let (Start::Uniform(scale) | Start::Gaussian(scale)) = sampling.langevin.start;
    require!(
        positive(scale),
        "sampling.langevin.start",
        scale,
        "the scale of the start is a finite number > 0"
    );
    let annealed = &sampling.annealed;
    require!(
        2 <= annealed.levels,
        "sampling.annealed.levels",
        annealed.levels,
        "at least 2 levels"
    );
    require!(
        sampling.evaluations.is_multiple_of(annealed.levels),
        "sampling.annealed.levels",
        annealed.levels,
        "sampling.evaluations must be a multiple of it, so that both samplers spend the same"
    );
    require!(
        annealed.from.is_finite()
            && noise.sigma_min < annealed.from
            && annealed.from <= noise.sigma_max,
        "sampling.annealed.from",
        annealed.from,
        "it must lie above noise.sigma_min and not above noise.sigma_max, where the network was trained"
    );
    require!(
        positive(annealed.epsilon),
        "sampling.annealed.epsilon",
        annealed.epsilon,
        "a step is a finite number > 0"
    );
    require!(
        1 <= sampling.ode.steps,
        "sampling.ode.steps",
        sampling.ode.steps,
        "at least 1 step"
    );
    let probes = &config.probes;
    require!(
        8 <= probes.fresh,
        "probes.fresh",
        probes.fresh,
        "at least 8 fresh data points"
    );
    require!(
        8 <= probes.queries,
        "probes.queries",
        probes.queries,
        "at least 8 query points"
    );
    let (Start::Uniform(scale) | Start::Gaussian(scale)) = probes.off_data;
    require!(
        positive(scale),
        "probes.off_data",
        scale,
        "the scale is a finite number > 0"
    );
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
    require!(
        probes
            .depths
            .iter()
            .all(|depth| (1..=MOST_BLOCKS).contains(depth)),
        "probes.depths",
        probes.depths,
        "a depth is 1 to 10000 blocks"
    );
    require!(
        (1..=1024).contains(&config.numerics.threads),
        "numerics.threads",
        config.numerics.threads,
        "1 to 1024 threads"
    );
    let has_images = matches!(
        config.network.trained(),
        Network::Unet { .. } | Network::Published { .. }
    );
    if config.numerics.precision == Precision::Bf16 {
        require!(
            has_images,
            "numerics.precision",
            Precision::Bf16,
            "bfloat16 is for U-Nets: of a network on vectors it would round the points; leave it out"
        );
        require!(
            config.objective.uses_noise(),
            "numerics.precision",
            Precision::Bf16,
            "score matching on clean data takes derivatives of the score, which bfloat16 rounds away: train with noise, or leave it out"
        );
        require!(
            config.numerics.device == Device::Cpu,
            "numerics.precision",
            Precision::Bf16,
            "bfloat16 is known to agree with single precision on the processor alone: leave it out on a card"
        );
    }
    require!(
        has_images || config.numerics.memory_format == MemoryFormat::Contiguous,
        "numerics.memory_format",
        "channels_last",
        "channels lie last in the images of a U-Net, and this network has none: leave it out"
    );
    Ok(())
}

/// Whether the objective's derivatives of the network can be had.
///
/// # Errors
///
/// [`Error::Impossible`] where it differentiates twice and the network attends.
pub(crate) fn differentiates(
    config: &CellConfig,
    architecture: &Architecture,
    place: &str,
) -> Result<(), Error> {
    if !(architecture.attends() && config.objective == (Objective::Sliced {})) {
        return Ok(());
    }
    Err(Error::Impossible {
        place: place.to_owned(),
        name: "objective".to_owned(),
        value: "sliced".to_owned(),
        rule: "it differentiates twice, which libtorch's attention cannot: choose \"sliced_differences\", or a network without attention".to_owned(),
    })
}

#[cfg(test)]
mod tests;
