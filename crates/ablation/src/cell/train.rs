//! The training loop: one loop for all arms; what differs is the loss.

use learnability::gradient::{Snapshot, UnitGradient, unit_gradients};
use ndarray::Array2;
use noise_schedule::{Kernel, LevelDistribution, LogUniform};
use rand::Rng;
use rand_distr::StandardNormal;
use score_objective::DenoisingBatch;
use tch::{Kind, Tensor};

use super::{
    Turn, Work,
    model::{Model, kernel},
    optimizer::Adam,
};
use crate::{
    checkpoint::{Numbers, Place},
    config::{CellConfig, Objective, Training},
    dataset::Dataset,
    error::Error,
    record::Record,
    stream::{Role, Stream},
};

/// Steps of logarithmically rising distance at which gradients are looked at.
const LOOKS: [u64; 9] = [0, 1, 3, 10, 30, 100, 300, 1000, 3000];

/// The mean loss of a step.
enum Loss {
    /// With the graph that it is the end of.
    Graph(Tensor),
    /// Without one: the step is taken.
    Written(f64),
}

/// What was seen of the training so far.
#[derive(Default)]
struct Course {
    losses: Vec<f64>,
    ratios: Vec<f64>,
    silence: Vec<f64>,
    /// Losses since the last point of their curve.
    recent: Vec<f64>,
}

impl Course {
    /// Names in a checkpoint. The curves are pairs of a step and a number, one after the other.
    fn named(&mut self) -> [(&'static str, &mut Vec<f64>); 4] {
        [
            ("losses", &mut self.losses),
            ("ratios", &mut self.ratios),
            ("silence", &mut self.silence),
            ("recent", &mut self.recent),
        ]
    }
}

impl Work<'_> {
    /// Trains the model in place, from where the cell is, and enters losses and gradients.
    ///
    /// The step whose loss left the finite numbers, if one did; `None` if it was told to stop.
    pub(super) fn train(
        &mut self,
        model: &Model,
        adam: &mut Adam,
    ) -> Result<Option<Option<u64>>, Error> {
        let (config, learned) = (self.config, &model.learned);
        let Training { steps, batch, .. } = config.training;
        let parameters = learned.parameters();
        let mut course = Course::default();
        let begun = match self.at.place {
            Place::Training { step } => step,
            _ => steps,
        };
        if 0 < begun {
            adam.set_parameters(self.at.singles("parameters"));
            adam.set_moments(begun, ["mean", "square"].map(|name| self.at.singles(name)));
            for (name, numbers) in course.named() {
                *numbers = self.at.doubles(name).to_vec();
            }
        }
        let weight = config.objective.weighting();
        let weight = weight.map(|weighting| weighting.rule(config.noise.data_std));
        let every = (steps / 60).max(1);
        let mut diverged_at = None;
        for step in begun..steps {
            let turn = self.watch.turn();
            if turn != Turn::GoOn {
                self.at.place = Place::Training { step };
                let [mean, square] = adam.moments();
                let singles = [
                    ("parameters", adam.parameters()),
                    ("mean", mean),
                    ("square", square),
                ];
                let singles = singles.map(|(name, numbers)| (name, Numbers::Single(numbers)));
                let doubles = course.named();
                let doubles =
                    doubles.map(|(name, numbers)| (name, Numbers::Double(numbers.clone())));
                let all = singles.into_iter().chain(doubles);
                self.at.arrays = all
                    .map(|(name, numbers)| (name.to_owned(), numbers))
                    .collect();
                self.watch.keep(&mut self.at)?;
            }
            if turn == Turn::Stop {
                return Ok(None);
            }
            self.agreement(model, step);
            let example = Example::draw(config, self.dataset, &self.own, Role::Data, step, batch);
            let look = LOOKS.contains(&step) || step + 1 == steps;
            let rate = rate(&config.training, step);
            // A step that is looked at goes by the graph, since that is what is looked at.
            let written = model.written.as_ref().filter(|_| !look);
            let loss = match written.zip(weight.as_deref()) {
                Some((written, weight)) => {
                    let batch = DenoisingBatch::new(
                        &*model.row(),
                        weight,
                        example.x0.view(),
                        example.noise.view(),
                        &example.levels,
                    );
                    Loss::Written(written.denoising(adam, &batch, rate))
                }
                None => {
                    let net = learned.in_training(self.own.at(Role::Dropout, step));
                    Loss::Graph(loss(&net, model, config, &example).mean(Kind::Float))
                }
            };
            let value = match &loss {
                Loss::Written(loss) => *loss,
                Loss::Graph(loss) => loss.double_value(&[]),
            };
            if !value.is_finite() {
                diverged_at = Some(step);
                break;
            }
            let done = step as f64 + 1.0;
            course.recent.push(value);
            if (step + 1) % every == 0 {
                let mean = course.recent.iter().sum::<f64>() / course.recent.len() as f64;
                course.losses.extend([done, mean]);
                course.recent.clear();
            }
            if look && let Loss::Graph(loss) = &loss {
                let gradients = unit_gradients(loss, &learned.units);
                let (first, last) = learned.ends();
                if let Some(ratio) = first_to_last(&gradients, first, last) {
                    course.ratios.extend([done, ratio]);
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
                    self.at.record.curve(
                        "gradient_by_layer",
                        ["layer", "gradient norm, log10"],
                        false,
                        points.collect(),
                    );
                }
            }
            // The rate of the last step is zero: it absorbs everything and says nothing.
            let before = (look && step + 1 < steps).then(|| Snapshot::of(&learned.units));
            if let Loss::Graph(loss) = &loss {
                let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
                adam.step(&gradients, rate);
            }
            if let Some(before) = before {
                course.silence.extend([done, learned.silent_share(&before)]);
            }
        }
        if diverged_at.is_none() {
            self.agreement(model, steps);
        }
        self.at.record.evaluations.training = diverged_at.unwrap_or(steps);
        if !config.objective.uses_noise() && diverged_at.is_none() {
            settle(&mut self.at.record, &course.losses, steps);
        }
        enter(&mut self.at.record, course, steps);
        Ok(Some(diverged_at))
    }
}

/// Enters whether the loss comes to rest: with means of losses at the steps that they end with.
fn settle(record: &mut Record, losses: &[f64], steps: u64) {
    let quarter = |number: u64| -> Vec<f64> {
        let within = (number * steps) as f64 / 4.0..((number + 1) * steps) as f64 / 4.0;
        let points = losses.as_chunks::<2>().0.iter();
        let points = points.filter(|[step, _]| within.start < *step && *step <= within.end);
        points.map(|[_, loss]| *loss).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (second, third) = (quarter(1), quarter(2));
    if second.is_empty() || third.is_empty() {
        return;
    }
    let (before, level) = (mean(&second), mean(&third));
    let squares: Vec<f64> = third.iter().map(|loss| (loss - level).powi(2)).collect();
    record.set("loss_decline", (before - level) / before.abs());
    record.set("loss_oscillation", mean(&squares).sqrt() / level.abs());
}

/// Enters what was seen of a training that is over.
fn enter(record: &mut Record, course: Course, steps: u64) {
    let pairs = |numbers: &[f64]| numbers.as_chunks().0.to_vec();
    let [losses, ratios, silence]: [Vec<[f64; 2]>; 3] =
        [&course.losses, &course.ratios, &course.silence].map(|numbers| pairs(numbers));
    for (probe, at) in [("gradient_ratio_init", 1), ("gradient_ratio_end", steps)] {
        if let Some([_, ratio]) = ratios.iter().find(|[step, _]| *step == at as f64) {
            record.set(probe, *ratio);
        }
    }
    if let Some(([_, first], rest)) = silence.split_first() {
        record.set("silent_fraction_init", *first);
        if !rest.is_empty() {
            record.set(
                "silent_fraction_training",
                rest.iter().map(|[_, s]| s).sum::<f64>() / rest.len() as f64,
            );
        }
    }
    let quarter = &losses[losses.len() - losses.len().div_ceil(4)..];
    record.set(
        "training_loss",
        quarter.iter().map(|[_, loss]| loss).sum::<f64>() / quarter.len() as f64,
    );
    let points = |pairs: Vec<[f64; 2]>| {
        let points = pairs.into_iter().map(|[x, y]| (x, String::new(), y));
        points.collect()
    };
    record.curve(
        "loss",
        ["training step", "training loss"],
        false,
        points(losses),
    );
    record.curve(
        "gradient_ratio",
        ["training step", "gradient first/last layer, log10"],
        true,
        points(ratios),
    );
    record.curve(
        "silent_layers",
        ["training step", "share of silent layers"],
        true,
        points(silence),
    );
}

/// The arm's own loss of this network on an example batch, one number per row.
pub(super) fn loss(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    model: &Model,
    config: &CellConfig,
    example: &Example,
) -> Tensor {
    let row = model.row();
    let (x0, noise) = (
        model.learned.tensor(example.x0.view()),
        model.learned.tensor(example.noise.view()),
    );
    let score = |x: &Tensor| score_objective::torch::score(net, &*row, x, &example.levels);
    match config.objective {
        Objective::Denoising { weighting, .. } => score_objective::torch::denoising_loss(
            net,
            &*row,
            &*weighting.rule(config.noise.data_std),
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
pub(crate) fn rate(training: &Training, step: u64) -> f64 {
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
    use crate::{
        fixture::{STUDY, plan, record},
        plan::Cell,
    };

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

    #[test]
    fn a_loss_settles_or_declines() {
        let plan = plan(STUDY).expect("the study is sound");
        let cell = Cell::new(plan.studies[0].blocks[0].arms[0].config.clone(), 3);
        let settled = |loss: &dyn Fn(f64) -> f64| {
            let mut record = record(&cell, 0.0);
            let losses: Vec<f64> = (1..=40)
                .flat_map(|i| [f64::from(i), loss(f64::from(i))])
                .collect();
            settle(&mut record, &losses, 40);
            [
                record.values["loss_decline"],
                record.values["loss_oscillation"],
            ]
        };
        assert_eq!(settled(&|_| -3.0), [0.0, 0.0]);
        // From −15.5 to −25.5 in the mean of ten steps, by one a step.
        let [decline, oscillation] = settled(&|step| -step);
        assert_eq!(decline, 10.0 / 15.5);
        assert!((oscillation - (99.0_f64 / 12.0).sqrt() / 25.5).abs() < 1e-12);
        // The last quarter has no say.
        assert_eq!(
            settled(&|step| if step <= 30.0 { 1.0 } else { 9.0 }),
            [0.0, 0.0]
        );
    }
}
