//! The training loop: one loop for all arms; what differs is the loss.

use learnability::gradient::{Snapshot, UnitGradient, unit_gradients};
use ndarray::Array2;
use noise_schedule::{Kernel, LevelDistribution, LogUniform};
use rand::Rng;
use rand_distr::StandardNormal;
use score_objective::Snr;
use tch::{Kind, Tensor};

use super::{
    Stop,
    model::{Learned, Model, kernel},
    optimizer::Adam,
};
use crate::{
    config::{CellConfig, Objective, Training},
    dataset::Dataset,
    error::Error,
    record::Record,
    stream::{Role, Stream},
};

/// What training came to.
pub(super) struct Trained {
    /// The step whose loss or gradient left the finite numbers.
    pub(super) diverged_at: Option<u64>,
}

/// Steps of logarithmically rising distance at which gradients are looked at.
const LOOKS: [u64; 9] = [0, 1, 3, 10, 30, 100, 300, 1000, 3000];

/// Trains the model in place and enters losses and gradients; `None` if it was asked to stop.
pub(super) fn train(
    model: &Model,
    config: &CellConfig,
    dataset: &Dataset<'_>,
    own: &Stream,
    stop: Stop<'_>,
    record: &mut Record,
) -> Result<Option<Trained>, Error> {
    let Some(learned) = &model.learned else {
        return Ok(Some(Trained { diverged_at: None }));
    };
    let mut parameters = learned.parameters();
    let mut adam = Adam::new(&mut parameters);
    let Training { steps, batch, .. } = config.training;
    let (mut losses, mut ratios, mut silence) = (Vec::new(), Vec::new(), Vec::new());
    let every = (steps / 60).max(1);
    let mut recent = Vec::new();
    let mut diverged_at = None;
    for step in 0..steps {
        if stop() {
            return Ok(None);
        }
        let example = Example::draw(config, dataset, own, Role::Data, step, batch);
        let loss = loss(learned, model, config, &example).mean(Kind::Float);
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            diverged_at = Some(step);
            break;
        }
        recent.push(value);
        if (step + 1) % every == 0 {
            losses.push((
                step as f64 + 1.0,
                String::new(),
                recent.iter().sum::<f64>() / recent.len() as f64,
            ));
            recent.clear();
        }
        let look = LOOKS.contains(&step) || step + 1 == steps;
        if look {
            let gradients = unit_gradients(&loss, &learned.units);
            let (first, last) = learned.ends();
            if let Some(ratio) = first_to_last(&gradients, first, last) {
                ratios.push((step as f64 + 1.0, String::new(), ratio));
            }
            if step == 0 {
                let layers = learned.layers();
                let points = layers.iter().enumerate().map(|(place, &unit)| {
                    (
                        place as f64 + 1.0,
                        gradients[unit].name.clone(),
                        gradients[unit].norm.max(1e-45).log10(),
                    )
                });
                record.curve(
                    "gradient_by_layer",
                    ["layer", "gradient norm, log10"],
                    false,
                    points.collect(),
                );
            }
        }
        // The rate of the last step is zero: it absorbs everything and says nothing.
        let before = (look && step + 1 < steps).then(|| Snapshot::of(&learned.units));
        let gradients = Tensor::run_backward(&[&loss], &parameters, false, false);
        adam.step(&gradients, rate(&config.training, step));
        if let Some(before) = before {
            let share = learned.silent_share(&before);
            silence.push((step as f64 + 1.0, String::new(), share));
        }
    }
    record.evaluations.training = diverged_at.unwrap_or(steps);
    for (probe, at) in [("gradient_ratio_init", 1), ("gradient_ratio_end", steps)] {
        if let Some((_, _, ratio)) = ratios.iter().find(|(step, ..)| *step == at as f64) {
            record.set(probe, *ratio);
        }
    }
    if let Some(((_, _, first), rest)) = silence.split_first() {
        record.set("silent_fraction_init", *first);
        if !rest.is_empty() {
            record.set(
                "silent_fraction_training",
                rest.iter().map(|(_, _, s)| s).sum::<f64>() / rest.len() as f64,
            );
        }
    }
    let quarter = &losses[losses.len() - losses.len().div_ceil(4)..];
    record.set(
        "training_loss",
        quarter.iter().map(|(_, _, loss)| loss).sum::<f64>() / quarter.len() as f64,
    );
    record.curve("loss", ["training step", "training loss"], false, losses);
    record.curve(
        "gradient_ratio",
        ["training step", "gradient first/last layer, log10"],
        true,
        ratios,
    );
    record.curve(
        "silent_layers",
        ["training step", "share of silent layers"],
        true,
        silence,
    );
    Ok(Some(Trained { diverged_at }))
}

/// The arm's own loss on an example batch, one number per row.
pub(super) fn loss(
    learned: &Learned,
    model: &Model,
    config: &CellConfig,
    example: &Example,
) -> Tensor {
    let net = |x: &Tensor, label: &Tensor| learned.forward(x, label);
    let epsilon = model.epsilon();
    let (x0, noise) = (
        learned.tensor(example.x0.view()),
        learned.tensor(example.noise.view()),
    );
    let score = |x: &Tensor| score_objective::torch::score(&net, &epsilon, x, &example.levels);
    match config.objective {
        Objective::Denoising {} => score_objective::torch::denoising_loss(
            &net,
            &epsilon,
            &Snr,
            &x0,
            &noise,
            &example.levels,
        ),
        Objective::Sliced {} => {
            score_objective::torch::sliced_score_matching(&score, &x0, &noise.sign())
        }
        Objective::SlicedDifferences { step } => {
            score_objective::torch::finite_difference_score_matching(
                &score,
                &x0,
                &noise.sign(),
                step,
            )
        }
    }
}

/// log10 |g_first|/|g_last|; a first gradient that has vanished entirely counts as the smallest number of single
/// precision, so that the worst case does not disappear.
pub(super) fn first_to_last(gradients: &[UnitGradient], first: usize, last: usize) -> Option<f64> {
    const SMALLEST: f64 = 1e-45;
    let (first, last) = (gradients[first].norm, gradients[last].norm);
    (0.0 < last).then(|| (first.max(SMALLEST) / last).log10())
}

/// Linear warm-up, then a cosine to zero.
pub(super) fn rate(training: &Training, step: u64) -> f64 {
    let done = step as f64 + 1.0;
    if step < training.warmup {
        return training.rate * done / training.warmup as f64;
    }
    let span = (training.steps - training.warmup).max(1) as f64;
    let progress = (done - training.warmup as f64) / span;
    training.rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// A batch: clean data, standard normal noise and a noise level for each row (the constant where noise is off).
///
/// Every arm draws all of it, whether it uses it or not: that is what pairs them.
pub(super) struct Example {
    pub(super) x0: Array2<f64>,
    pub(super) noise: Array2<f64>,
    pub(super) levels: Vec<Kernel>,
}

impl Example {
    pub(super) fn draw(
        config: &CellConfig,
        dataset: &Dataset<'_>,
        own: &Stream,
        role: Role,
        index: u64,
        batch: usize,
    ) -> Example {
        let x0 = dataset.draw(batch, &mut own.at(role, index));
        let normal = own
            .at(Role::Noise, index)
            .sample_iter(StandardNormal)
            .take(x0.len())
            .collect();
        let noise = Array2::from_shape_vec(x0.raw_dim(), normal).expect("as many as there are");
        let levels = LogUniform::new(config.noise.sigma_min, config.noise.sigma_max)
            .expect("checked by the plan");
        let mut rng = own.at(Role::Levels, index);
        // Stratified: one level in each of `batch` equal shares of the range.
        let levels = (0..batch)
            .map(|row| {
                levels.quantile(
                    (row as f64 + rng.random::<f64>().clamp(1e-6, 1.0 - 1e-6)) / batch as f64,
                )
            })
            .map(|level| {
                if config.objective.uses_noise() {
                    level
                } else {
                    kernel(config.noise.sigma_min)
                }
            })
            .collect();
        Example { x0, noise, levels }
    }

    /// x as the arm's network sees it in training: noised at the levels, or clean.
    pub(super) fn noised(&self, config: &CellConfig) -> Array2<f64> {
        let mut x = self.x0.clone();
        if config.objective.uses_noise() {
            for ((mut row, noise), level) in x
                .outer_iter_mut()
                .zip(self.noise.outer_iter())
                .zip(&self.levels)
            {
                row.scaled_add(level.sigma(), &noise);
            }
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let training = Training {
            steps: 100,
            batch: 2,
            rate: 1.0,
            warmup: 10,
        };
        assert_eq!(rate(&training, 0), 0.1);
        assert_eq!(rate(&training, 9), 1.0);
        assert!(rate(&training, 99) < 1e-12);
        assert!((10..99).all(|step| rate(&training, step + 1) < rate(&training, step)));
    }
}
