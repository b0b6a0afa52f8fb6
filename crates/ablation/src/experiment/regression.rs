//! Does gradient descent reach every layer of a deep network, and what does it learn?

use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric, tower::Tower};
use crate::{error::Error, exact::place::Place, stream::Stream, summary::Better};

/// A tower on a regression in the plane (y = sin(6 x₁) cos(4 x₂) + ½ sin(9 x₁ x₂), standardised), in f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {
    /// The network.
    pub tower: Tower,
    /// How gradients become updates.
    pub optimiser: Optimiser,
    /// Learning rate, after the warm-up falling to 0 by a half cosine.
    pub rate: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Steps.
    pub steps: u64,
    /// Examples in a step, drawn anew from the training examples.
    pub batch: usize,
    /// Training examples.
    pub examples: usize,
    /// Fresh points that the result is measured on.
    pub fresh: usize,
    /// Steps whose updates are looked at layer by layer, rising.
    pub looks: Vec<u64>,
}

/// How gradients become updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimiser {
    /// Δw = −rate·g.
    Sgd,
    /// Kingma & Ba 2015, with its usual constants.
    Adam,
    /// Δw = −rate·g·|w|/|g| in each layer (You et al. 2017, without momentum and decay): every layer moves by the same share.
    Lars,
}

const fn metric(
    name: &'static str,
    meaning: &'static str,
    better: Better,
    worst: Option<f64>,
) -> Metric {
    Metric {
        name,
        unit: "",
        meaning,
        better,
        worst,
    }
}

/// What a lesion can cost at most.
const WORST_LESION: f64 = 1e6;

/// *Ranges*: `nmse`, `silent_fraction` and `lambda` in `[0, 1]`; `gradient_ratio` real, −45 where one of the two is 0; `theil`
/// in `[0, ln layers]`; `lesion` in `(0, 10⁶]`; `rho` in `[0, ∞)`.
/// *Misleading*: `gradient_ratio` is of two layers and of no training. Under LARS, and nearly under Adam, relative updates are
/// equal by construction, so `lambda` and `theil` say nothing of gradients: read `nmse` first. Without a block the others see
/// what they never saw, so `lesion` is large also where the block could be learned away. Absorption has failure modes of its
/// own: `learnability::silence`.
/// *Source*: `learnability::index`, `silence` and `gradient`; lesions after Veit, Wilber & Belongie 2016.
const METRICS: &[Metric] = &[
    metric(
        "nmse",
        "mean squared error on fresh points over the variance; saying 0 gives 1, and nothing counts as more",
        Better::Lower,
        Some(1.0),
    ),
    metric(
        "silent_fraction",
        "share of layers of whose scalars more than 99 % were left as they were, to the last bit, by every step that was looked at",
        Better::Lower,
        Some(1.0),
    ),
    metric(
        "gradient_ratio",
        "log10 of |g| of the first over the last square layer, untrained",
        Better::Descriptive,
        None,
    ),
    metric(
        "lambda",
        "level-aware fairness of the layers' relative updates |Δw|/|w|, the learning rate as reference; mean over looks",
        Better::Higher,
        Some(0.0),
    ),
    metric(
        "theil",
        "Theil's index of the layers' relative updates; mean over looks that have any",
        Better::Lower,
        None,
    ),
    metric(
        "lesion",
        "median over blocks of the error without the block over the error with it, after training",
        Better::Lower,
        Some(WORST_LESION),
    ),
    metric(
        "rho",
        "median over blocks of |h' − h|/|h| on fresh points, after training",
        Better::Descriptive,
        None,
    ),
];

impl Measurement for Regression {
    fn check(&self, place: &Place) -> Result<(), Error> {
        self.tower.check(place)?;
        place.positive("rate", self.rate)?;
        place.count("steps", self.steps as usize, 1, 10_000_000)?;
        place.count("warmup", self.warmup as usize, 0, self.steps as usize)?;
        place.count("batch", self.batch, 1, 1_000_000)?;
        place.count("examples", self.examples, 2, 10_000_000)?;
        place.count("fresh", self.fresh, 2, 10_000_000)?;
        place.count("number of looks", self.looks.len(), 1, 1000)?;
        let sorted = self.looks.windows(2).all(|pair| pair[0] < pair[1]);
        match self.looks.last() {
            Some(last) if sorted && *last < self.steps => Ok(()),
            last => {
                let rule = "looks rise, and the last is before the end of the steps";
                Err(place.refuse("looks", last.copied().unwrap_or(0), rule))
            }
        }
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        true
    }

    fn seconds(&self) -> f64 {
        let lesions = 0.5 * self.tower.blocks as f64 * self.tower.seconds(self.fresh);
        let step = match self.optimiser {
            // Its passes are written out: 50 GFLOP/s, and what each layer takes beside.
            Optimiser::Adam => {
                let layer = 2e-6 + 1.2e-10 * (self.batch * self.tower.width.pow(2)) as f64;
                2.0 * (self.tower.blocks + 1) as f64 * layer
            }
            Optimiser::Sgd | Optimiser::Lars => 4.0 * self.tower.seconds(self.batch),
        };
        0.1 + self.steps as f64 * step + lesions
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        measure(self, stream, found)
    }
}

#[cfg(not(feature = "tch"))]
fn measure(_: &Regression, _: &Stream, _: &mut Found) -> Result<(), Error> {
    Err(Error::WithoutTorch)
}

#[cfg(feature = "tch")]
use live::measure;

#[cfg(feature = "tch")]
mod live {
    use learnability::{
        gradient::{Snapshot, first_to_last, unit_gradients},
        index::{level_aware, silent_fraction, theil},
        silence::is_silent,
        window::silent_throughout,
    };
    use rand::{Rng, RngCore};
    use tch::{Kind, Tensor};

    use super::{Optimiser, Regression, WORST_LESION};
    use crate::{
        cell::optimizer::Adam,
        error::Error,
        exact::report::median,
        experiment::{
            Found,
            passes::Passes,
            target,
            tower::{Drawn, points},
        },
        stream::{Role, Stream},
    };

    pub(super) fn measure(
        this: &Regression,
        stream: &Stream,
        found: &mut Found,
    ) -> Result<(), Error> {
        let (x, y) = target::draw(this.examples, &mut stream.at(Role::Data, 0));
        let tensors = (points(&x), points(&y));
        let seed = stream.at(Role::Init, 0).next_u64();
        let drawn = Drawn::new(&this.tower, 1, &tensors.0, seed);
        let mut parameters = drawn.parameters();
        let mut adam = Adam::new(&mut parameters);
        let (mut heard, mut lambdas, mut theils) = (Vec::new(), Vec::new(), Vec::new());
        let rows = |step: u64| -> Vec<i64> {
            let mut rng = stream.at(Role::Data, 1 + step);
            (0..this.batch)
                .map(|_| rng.random_range(0..this.examples as i64))
                .collect()
        };
        let by_graph = |step: u64| -> Tensor {
            let rows = Tensor::from_slice(&rows(step));
            let x = tensors.0.index_select(0, &rows);
            let y = tensors.1.index_select(0, &rows);
            (drawn.forward(&x) - y).square().mean(Kind::Float)
        };
        let gradients = unit_gradients(&by_graph(0), &drawn.units);
        let ratio = first_to_last(&gradients, 1, drawn.units.len() - 2);
        // What has vanished entirely is further down than single precision reaches.
        found.set("gradient_ratio", ratio.unwrap_or(-45.0));
        let examples = [&tensors.0, &tensors.1].map(numbers);
        let mut passes = match this.optimiser {
            Optimiser::Adam => Passes::of(&this.tower, x.ncols(), this.batch),
            Optimiser::Sgd | Optimiser::Lars => None,
        };
        let mut finite = true;
        for step in 0..this.steps {
            let before = this
                .looks
                .contains(&step)
                .then(|| Snapshot::of(&drawn.units));
            let rate = this.rate_at(step);
            let loss = if let Some(passes) = &mut passes {
                let rows = rows(step);
                let [x, y] = [0, 1].map(|of| batch(&examples[of], &rows, this.examples));
                let (loss, gradient) = passes.gradient(&adam.parameters(), &x, &y);
                adam.step_along(gradient, rate);
                f64::from(loss)
            } else {
                let loss = by_graph(step);
                let gradients = Tensor::run_backward(&[&loss], &parameters, false, false);
                match this.optimiser {
                    Optimiser::Adam => adam.step(&gradients, rate),
                    Optimiser::Sgd => descend(&mut parameters, &gradients, |_| rate),
                    Optimiser::Lars => {
                        let shares = shares(&drawn, &gradients);
                        descend(&mut parameters, &gradients, |index| rate * shares[index]);
                    }
                }
                loss.double_value(&[])
            };
            finite &= loss.is_finite();
            if let Some(before) = before {
                let absorbed = before.absorbed(&drawn.units);
                heard.push(absorbed.into_iter().map(|a| !is_silent(a)).collect());
                let moved = before.relative_update(&drawn.units);
                // A unit that began at 0 has no share of itself to move by.
                let moved: Vec<f64> = moved
                    .into_iter()
                    .map(|u| if u.is_nan() { 0.0 } else { u.min(1e6) })
                    .collect();
                lambdas.extend(level_aware(&moved, rate));
                theils.extend(theil(&moved));
            }
        }
        found.trained(this.steps);
        let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
        let silent = silent_fraction(&silent_throughout(&heard)).expect("a tower has layers");
        // What is not a number has moved, and yet it is no sign of life.
        let alive = |value: f64| if finite { value } else { f64::NAN };
        found.set("silent_fraction", alive(silent));
        found.set("lambda", alive(mean(&lambdas)));
        if finite && !theils.is_empty() {
            found.set("theil", mean(&theils));
        }
        after(this, stream, &drawn, found);
        Ok(())
    }

    /// The error, lesions and the size of blocks on fresh points.
    fn after(this: &Regression, stream: &Stream, drawn: &Drawn, found: &mut Found) {
        let _guard = tch::no_grad_guard();
        let fresh = target::draw(this.fresh, &mut stream.at(Role::Probe, 0));
        let (x, y): (Tensor, Tensor) = (points(&fresh.0), points(&fresh.1));
        let error = |outputs: &Tensor| (outputs - &y).square().mean(Kind::Double).double_value(&[]);
        let states = drawn.states(&x);
        let whole = error(&drawn.forward(&x));
        found.set(
            "nmse",
            if whole.is_finite() {
                whole.min(1.0)
            } else {
                whole
            },
        );
        let blocks = 0..states.len() - 1;
        let lesions: Vec<f64> = blocks
            .clone()
            .map(|block| error(&drawn.without(block, &states[block])) / whole)
            .map(|ratio| {
                if ratio.is_nan() {
                    ratio
                } else {
                    ratio.min(WORST_LESION)
                }
            })
            .collect();
        let norm = |h: &Tensor| h.square().sum(Kind::Double).sqrt().double_value(&[]);
        let rho: Vec<f64> = blocks
            .map(|block| norm(&(&states[block + 1] - &states[block])) / norm(&states[block]))
            .collect();
        let curve = |values: &[f64]| -> Vec<(f64, f64)> {
            let values = values.iter().enumerate();
            values
                .map(|(block, value)| (block as f64, *value))
                .collect()
        };
        found.curve(
            "lesion",
            ["block", "error without it / with it"],
            false,
            &curve(&lesions),
        );
        found.curve("rho", ["block", "|h' − h|/|h|"], false, &curve(&rho));
        found.set("lesion", median(&lesions));
        found.set("rho", median(&rho));
    }

    impl Regression {
        /// Linear warm-up, then a half cosine to zero.
        fn rate_at(&self, step: u64) -> f64 {
            let done = step as f64 + 1.0;
            if step < self.warmup {
                return self.rate * done / self.warmup as f64;
            }
            let span = (self.steps - self.warmup).max(1) as f64;
            let progress = (done - 1.0 - self.warmup as f64) / span;
            self.rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
        }
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.reshape([-1])).expect("single precision")
    }

    /// These rows of so many examples.
    fn batch(numbers: &[f32], rows: &[i64], examples: usize) -> Vec<f32> {
        let length = numbers.len() / examples;
        let of = |&row: &i64| &numbers[row as usize * length..][..length];
        rows.iter().flat_map(of).copied().collect()
    }

    /// w −= rate·g, a rate for each tensor.
    fn descend(parameters: &mut [Tensor], gradients: &[Tensor], rate: impl Fn(usize) -> f64) {
        let _guard = tch::no_grad_guard();
        for (index, (parameter, gradient)) in parameters.iter_mut().zip(gradients).enumerate() {
            *parameter -= gradient * rate(index);
        }
    }

    /// |w|/|g| of the layer of each tensor; 0 where there is no gradient.
    fn shares(drawn: &Drawn, gradients: &[Tensor]) -> Vec<f64> {
        let norm = |tensors: &mut dyn Iterator<Item = &Tensor>| {
            let square = |t: &Tensor| t.square().sum(Kind::Double).double_value(&[]);
            tensors.map(square).sum::<f64>().sqrt()
        };
        let mut shares = Vec::new();
        let mut rest = gradients;
        for (_, own) in &drawn.units {
            let (along, after) = rest.split_at(own.len());
            rest = after;
            let ratio = norm(&mut own.iter()) / norm(&mut along.iter());
            let ratio = if ratio.is_finite() { ratio } else { 0.0 };
            shares.extend(vec![ratio; own.len()]);
        }
        shares
    }
}

#[cfg(all(test, feature = "tch"))]
mod tests {
    use super::*;
    use crate::{
        config::{Activation, Init, ShortSkip},
        experiment::tests::record,
    };

    fn regression(blocks: usize, short: ShortSkip, init: Init, optimiser: Optimiser) -> Regression {
        Regression {
            tower: Tower {
                width: 16,
                blocks,
                activation: Activation::Relu,
                short,
                init,
                gain: 1.0,
            },
            optimiser,
            rate: 0.01,
            warmup: 0,
            steps: 5,
            batch: 32,
            examples: 256,
            fresh: 128,
            looks: vec![0, 2, 4],
        }
    }

    #[test]
    fn plain_networks_of_pytorchs_weights_fall_silent_and_residual_ones_do_not() {
        let silent = |short, init| record(regression(32, short, init, Optimiser::Sgd), 0).values["silent_fraction"];
        assert!(0.3 < silent(ShortSkip::None, Init::Pytorch));
        assert_eq!(silent(ShortSkip::InverseSqrtDepth, Init::Pytorch), 0.0);
    }

    #[test]
    fn lars_moves_every_layer_by_the_rate() {
        let record = record(
            regression(4, ShortSkip::InverseSqrtDepth, Init::He, Optimiser::Lars),
            0,
        );
        assert!((record.values["lambda"] - 1.0).abs() < 1e-3);
        assert!(record.values["theil"].abs() < 1e-6);
    }

    #[test]
    fn it_learns_and_a_block_that_is_the_identity_can_be_taken_out() {
        let mut deep = regression(2, ShortSkip::ReZero, Init::He, Optimiser::Adam);
        // Untrained, the blocks of ReZero are the identity: lesions cost nothing.
        deep.rate = 1e-12;
        let untouched = record(deep.clone(), 0);
        assert!((untouched.values["lesion"] - 1.0).abs() < 1e-3);
        assert!(untouched.values["rho"] < 1e-6);
        deep.rate = 0.01;
        deep.steps = 300;
        let trained = record(deep, 0);
        assert!(trained.values["nmse"] < 0.5, "{:?}", trained.values);
        assert!(1.0 < trained.values["lesion"]);
    }
}
