//! The set-up of a study in words, for its report.

use super::PlannedBlock;
use crate::{
    architecture::Architecture,
    config::{Data, Network, PublishedLong, PublishedShort, Start},
    error::Error,
};

/// One line each: data, network, skip, noise off, noise on, training.
pub(super) fn setup(main: &PlannedBlock, place: &str) -> Result<Vec<String>, Error> {
    let [off, .., on] = &main.arms[..] else {
        unreachable!("a 2×2 has four arms")
    };
    let config = &off.config;
    let data = match &config.data {
        Data::SongErmon {} => {
            "0.8 N((5,5), I) + 0.2 N((−5,−5), I) in the plane, exact score known".to_owned()
        }
        Data::Sphere {
            intrinsic: 2,
            ambient,
            radius,
        } => {
            format!(
                "circle of radius {radius} embedded at random in R^{ambient}; it has an exact score only once it is noised"
            )
        }
        Data::Sphere {
            intrinsic,
            ambient,
            radius,
        } => {
            format!(
                "sphere S^{} of radius {radius} embedded at random in R^{ambient}; exact score only once it is noised",
                intrinsic - 1
            )
        }
        Data::GaussianField {} => {
            "mixture of four Gaussian random fields on 16×16, exact score known per frequency band"
                .to_owned()
        }
        Data::Images {
            name,
            held_out,
            shape: [c, h, w],
            digest,
            noise,
        } => {
            let noised = if *noise == 0.0 {
                String::new()
            } else {
                format!(", with noise of {noise}")
            };
            format!(
                "{name}: {h}×{w} images{noised}, {c} channel(s), last {held_out} kept back, digest {}",
                &digest[..12]
            )
        }
    };
    let architecture = Architecture::of(&config.network, &config.shape(), place)?;
    let fewest = main
        .arms
        .iter()
        .map(|arm| arm.parameters)
        .min()
        .unwrap_or(0);
    let most = main
        .arms
        .iter()
        .map(|arm| arm.parameters)
        .max()
        .unwrap_or(0);
    let parameters = if fewest == most {
        format!("{most} parameters in every arm")
    } else {
        format!("{fewest} to {most} parameters, not the same in every arm")
    };
    let (min, max) = (config.noise.sigma_min, config.noise.sigma_max);
    let start = match config.sampling.langevin.start {
        Start::Uniform(a) => format!("uniform on ±{a}"),
        Start::Gaussian(s) => format!("N(0, {s}²)"),
    };
    let initial = |network: &Network| match network.trained() {
        Network::Mlp { init, .. }
        | Network::Unet { init, .. }
        | Network::Transformer { init, .. } => serde_json::to_value(init)
            .expect("plain")
            .as_str()
            .unwrap_or("")
            .to_owned(),
        Network::Published { .. } => "as published".to_owned(),
        Network::Exact {} | Network::Matched { .. } => "none".to_owned(),
    };
    Ok(vec![
        format!("Data: {data}."),
        format!(
            "Network: {}, {parameters}; initial weights `{}`.",
            architecture.words(),
            initial(&off.config.network)
        ),
        format!(
            "Skip on: {}.",
            match on.config.network.trained() {
                Network::Unet { short, long, .. } => format!(
                    "{} around each block, {} from encoder to decoder",
                    short.words(),
                    long.words()
                ),
                Network::Transformer { short, long, .. } => format!(
                    "{} around each attention and each pair of layers, {} from the first half of the blocks to the second",
                    short.words(),
                    long.words()
                ),
                Network::Mlp { short, .. } => format!("{} around each block", short.words()),
                Network::Published { short, long, .. } => format!(
                    "{} around each block, {} from encoder to decoder",
                    match short {
                        PublishedShort::Published => "what is published".to_owned(),
                        PublishedShort::Other(short) => short.words(),
                    },
                    match long {
                        PublishedLong::Published => "what is published".to_owned(),
                        PublishedLong::Other(long) => long.words(),
                    }
                ),
                Network::Exact {} | Network::Matched { .. } => "–".to_owned(),
            }
        ),
        format!(
            "Noise off: {} on clean data, the noise embedding fed the constant sigma = {min}; sampled by plain Langevin from {start}, step {}, {} evaluations.",
            off.config.objective.words(config.noise.data_std),
            config.sampling.langevin.step,
            config.sampling.evaluations + 1
        ),
        format!(
            "Noise on: denoising score matching{}, sigma log-uniform on [{min}, {max}], weight {}; sampled by annealed Langevin ({} levels from {}, step {}·sigma², {} evaluations) and by the probability-flow ODE (Heun, {} steps).",
            on.config.objective.target().told(),
            on.config
                .objective
                .weighting()
                .unwrap_or_default()
                .words(config.noise.data_std),
            config.sampling.annealed.levels,
            config.sampling.annealed.from,
            config.sampling.annealed.epsilon,
            config.sampling.evaluations + 1,
            config.sampling.ode.steps
        ),
        format!(
            "Training: Adam, {} steps of {} examples, peak rate {}, {} steps of warm-up, then a cosine to zero; the same in every arm, tuned for none.",
            config.training.steps,
            config.training.batch,
            config.training.rate,
            config.training.warmup
        ),
    ])
}
