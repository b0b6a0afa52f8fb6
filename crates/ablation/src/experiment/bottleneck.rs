//! Does the rank law say which prediction is easier? Networks with a bottleneck, trained to predict x₀ and ε.
//!
//! The law is exact for the best linear network (`exact::rank`); here networks are trained by stochastic gradients, linear
//! ones and others, and the winner is compared with the law's over widths and noise levels.

use ndarray::Array2;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use score_objective::exact::{ExactScore, Gaussian};
use serde::{Deserialize, Serialize};

use super::{
    Found, Measurement, Metric,
    adam::{Adam, cosine},
};
use crate::{
    error::Error,
    exact::{place::Place, rank::Law},
    stream::{Role, Stream},
    summary::Better,
};

/// F(x) = W₂ φ(W₁ x) of h hidden units, at one noise level and width at a time, for each of three ways to predict;
/// the loss is that of ε for all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bottleneck {
    /// φ.
    pub hidden: Hidden,
    /// Dimension of the data, a Gaussian in a random basis with the spectrum …
    pub dim: usize,
    /// … k^−exponent.
    pub exponent: f64,
    /// Noise levels.
    pub levels: Vec<f64>,
    /// Widths h.
    pub widths: Vec<usize>,
    /// The law decides where its two excess losses are further apart than this factor; elsewhere nothing is compared.
    pub margin: f64,
    /// Fresh points in a step.
    pub batch: usize,
    /// Steps of Adam.
    pub steps: u64,
    /// Learning rate, falling to 0 by a half cosine.
    pub rate: f64,
    /// Fresh points that the excess is measured on.
    pub queries: usize,
}

/// What a hidden unit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hidden {
    /// a: the network that the law is about.
    Linear,
    /// max(a, 0).
    Relu,
    /// tanh a.
    Tanh,
}

/// What the network is asked for; D = skip · x + out · F.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// D = F.
    X0,
    /// D = x − σ F.
    Eps,
    /// D = a x − σ F, a trained.
    LongSkip,
}

/// *Ranges*: shares in `[0, 1]`; `law_error` in `[0, ∞)` nats; `long_skip_gain` real. None where no cell decides.
/// *Misleading*: over few deciding cells an agreement is coarse, and a winner by a hair counts as one by far. What was not
/// trained to its end counts against the law: `law_error` is that of the training too. Of hidden units that are not linear
/// the law promises nothing.
/// *Source*: defined here; the law is that of the best matrix of a rank, Eckart & Young 1936.
const METRICS: &[Metric] = &[
    Metric {
        name: "agreement",
        unit: "",
        meaning: "share of the cells (noise level × width) where the law decides and the trained winner is its own",
        better: Better::Higher,
        worst: Some(0.0),
    },
    Metric {
        name: "flips",
        unit: "",
        meaning: "share of the deciding cells in which ε is the trained winner; neither 0 nor 1 if the winner flips",
        better: Better::Descriptive,
        worst: None,
    },
    Metric {
        name: "law_error",
        unit: "",
        meaning: "median over cells of |ln(excess of the trained winner/excess by the law)|",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "long_skip_wins",
        unit: "",
        meaning: "share of all cells in which ε with a trained long skip loses at most a tenth to the better of x₀ and ε",
        better: Better::Higher,
        worst: Some(0.0),
    },
    Metric {
        name: "long_skip_gain",
        unit: "decades",
        meaning: "mean over all cells of log10 excess, the better of x₀ and ε − with the long skip",
        better: Better::Higher,
        worst: None,
    },
];

impl Measurement for Bottleneck {
    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("dim", self.dim, 1, 1000)?;
        place.non_negative("exponent", self.exponent)?;
        place.count("number of levels", self.levels.len(), 1, 100)?;
        for &sigma in &self.levels {
            place.positive("levels", sigma)?;
        }
        place.count("number of widths", self.widths.len(), 1, 100)?;
        for &width in &self.widths {
            place.count("widths", width, 1, self.dim)?;
        }
        if self.margin < 1.0 || !self.margin.is_finite() {
            let rule = "it is a factor: give a number of 1 or more";
            return Err(place.refuse("margin", self.margin, rule));
        }
        if !self.cells().any(|cell| cell.decides(self.margin)) {
            let rule = "the law decides in no cell: give other levels, widths, or a smaller margin";
            return Err(place.refuse("margin", self.margin, rule));
        }
        place.count("batch", self.batch, 1, 1_000_000)?;
        place.count("steps", self.steps as usize, 1, 10_000_000)?;
        place.positive("rate", self.rate)?;
        place.count("queries", self.queries, 1, 1_000_000)
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        false
    }

    fn seconds(&self) -> f64 {
        let widths: usize = self.widths.iter().map(|h| h + 8).sum();
        let trained = 3 * self.levels.len() * widths;
        2e-9 * (trained * self.steps as usize * self.dim * (self.batch + 10)) as f64
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        let data = self
            .spectrum()
            .rotated(&mut stream.at(Role::Data, u64::MAX));
        let (mut right, mut noise_wins, mut deciding) = (0, 0, 0);
        let (mut wins, mut gain, mut off) = (0, 0.0, Vec::new());
        let cells: Vec<Cell> = self.cells().collect();
        for (index, cell) in cells.iter().enumerate() {
            // One stream of points for the three ways to predict.
            let excess = |target| self.train(cell, target, &data, stream, index as u64);
            let [x0, eps, skip] = [Target::X0, Target::Eps, Target::LongSkip].map(excess);
            found.trained(3 * self.steps);
            if ![x0, eps, skip].iter().all(|e| e.is_finite()) {
                found.set("agreement", f64::NAN);
                return Ok(());
            }
            if cell.decides(self.margin) {
                deciding += 1;
                right += usize::from((eps < x0) == (cell.eps < cell.x0));
                noise_wins += usize::from(eps < x0);
            }
            let (best, law) = (x0.min(eps), cell.x0.min(cell.eps));
            if 1e-6 < law {
                off.push((best / law).ln().abs());
            }
            wins += usize::from(skip <= 1.1 * best);
            gain += (best / skip).log10();
        }
        found.set("agreement", right as f64 / deciding as f64);
        found.set("flips", noise_wins as f64 / deciding as f64);
        found.set("long_skip_wins", wins as f64 / cells.len() as f64);
        found.set("long_skip_gain", gain / cells.len() as f64);
        off.sort_by(f64::total_cmp);
        if let Some(median) = off.get(off.len() / 2) {
            found.set("law_error", *median);
        }
        Ok(())
    }
}

/// A noise level and a width, with what the law says of the two ways to predict.
#[derive(Clone, Copy, Debug)]
struct Cell {
    sigma: f64,
    width: usize,
    x0: f64,
    eps: f64,
}

impl Cell {
    fn decides(&self, margin: f64) -> bool {
        let (small, large) = (self.x0.min(self.eps), self.x0.max(self.eps));
        margin * small < large
    }
}

impl Bottleneck {
    fn spectrum(&self) -> Gaussian {
        Gaussian::power_law(self.dim, self.exponent).expect("it was checked")
    }

    fn cells(&self) -> impl Iterator<Item = Cell> {
        let spectrum = self.spectrum();
        self.levels.iter().flat_map(move |&sigma| {
            let law = Law::new(&spectrum, sigma);
            self.widths.iter().map(move |&width| Cell {
                sigma,
                width,
                x0: law.excess(0.0, width),
                eps: law.excess(1.0, width),
            })
        })
    }

    /// The excess of ε's loss after training, per dimension.
    fn train(
        &self,
        cell: &Cell,
        target: Target,
        data: &Gaussian,
        stream: &Stream,
        index: u64,
    ) -> f64 {
        let (dim, sigma) = (self.dim, cell.sigma);
        // Each coordinate of what the network is given has a mean square of about 1.
        let variance = data.spectrum().mean().expect("a dimension") + sigma * sigma;
        let input = 1.0 / variance.sqrt();
        let mut network = {
            let mut rng = stream.at(Role::Init, index);
            let mut normal = |rows, columns: usize| {
                let std = 1.0 / (columns as f64).sqrt();
                Array2::from_shape_simple_fn((rows, columns), || {
                    std * rng.sample::<f64, _>(StandardNormal)
                })
            };
            vec![
                normal(cell.width, dim),
                normal(dim, cell.width),
                // The long skip begins at 1, which is D = x − σ F.
                Array2::ones((1, 1)),
            ]
        };
        let draw = |count, rng: &mut ChaCha8Rng| {
            let x0 = data.draw(count, rng);
            let noise = x0.mapv(|_| rng.sample::<f64, _>(StandardNormal));
            let x = &x0 + &(noise * sigma);
            (x0, x)
        };
        let mut adam = Adam::default();
        for step in 0..self.steps {
            let (x0, x) = draw(self.batch, &mut stream.at(Role::Data, index << 32 | step));
            let (_, gradients) = self.gradients(&network, target, &x, &x0, sigma, input);
            let pairs = network.iter_mut().flatten().zip(gradients.iter().flatten());
            adam.step(pairs, cosine(self.rate, step, self.steps));
        }
        let (_, x) = draw(self.queries, &mut stream.at(Role::Probe, index));
        let best = data.denoise(x.view(), sigma);
        self.gradients(&network, target, &x, &best, sigma, input).0
    }

    /// ‖D(x) − wanted‖²/(σ² dim), its mean over points, and its gradients.
    fn gradients(
        &self,
        network: &[Array2<f64>],
        target: Target,
        x: &Array2<f64>,
        wanted: &Array2<f64>,
        sigma: f64,
        input: f64,
    ) -> (f64, Vec<Array2<f64>>) {
        let [first, second, skip] = network else {
            unreachable!("two layers and a skip")
        };
        let x_in = x * input;
        let a = x_in.dot(&first.t());
        let h = a.mapv(|a| self.hidden.at(a));
        let f = h.dot(&second.t());
        let (factor, out) = match target {
            Target::X0 => (0.0, 1.0),
            Target::Eps => (1.0, -sigma),
            Target::LongSkip => (skip[[0, 0]], -sigma),
        };
        let error = x * factor + f * out - wanted;
        let unit = 1.0 / (sigma * sigma * x.len() as f64);
        let loss = unit * error.mapv(|e| e * e).sum();
        let upstream = &error * (2.0 * unit * out);
        let inner = upstream.dot(second) * a.mapv(|a| self.hidden.slope(a));
        let by_skip = match target {
            Target::LongSkip => 2.0 * unit * (&error * x).sum(),
            Target::X0 | Target::Eps => 0.0,
        };
        let gradients = vec![
            inner.t().dot(&x_in),
            upstream.t().dot(&h),
            Array2::from_elem((1, 1), by_skip),
        ];
        (loss, gradients)
    }
}

impl Hidden {
    fn at(self, a: f64) -> f64 {
        match self {
            Hidden::Linear => a,
            Hidden::Relu => a.max(0.0),
            Hidden::Tanh => a.tanh(),
        }
    }

    fn slope(self, a: f64) -> f64 {
        match self {
            Hidden::Linear => 1.0,
            Hidden::Relu => f64::from(u8::from(0.0 < a)),
            Hidden::Tanh => 1.0 - a.tanh().powi(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::record, *};

    fn numbers(experiment: &Bottleneck, seed: u32) -> std::collections::BTreeMap<String, f64> {
        record(experiment.clone(), seed).values
    }

    fn small(hidden: Hidden) -> Bottleneck {
        Bottleneck {
            hidden,
            dim: 6,
            exponent: 2.0,
            levels: vec![0.2, 1.0],
            widths: vec![1, 4],
            margin: 1.5,
            batch: 64,
            steps: 1500,
            rate: 0.02,
            queries: 2000,
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let mut rng = Stream::new(4).at(Role::Init, 0);
        let mut normal =
            |shape| Array2::from_shape_simple_fn(shape, || rng.sample::<f64, _>(StandardNormal));
        let network = vec![normal((2, 3)), normal((3, 2)), normal((1, 1))];
        let (x, wanted) = (normal((4, 3)), normal((4, 3)));
        for hidden in [Hidden::Linear, Hidden::Relu, Hidden::Tanh] {
            for target in [Target::X0, Target::Eps, Target::LongSkip] {
                let loss = |network: &[Array2<f64>]| {
                    small(hidden).gradients(network, target, &x, &wanted, 0.7, 0.8)
                };
                let (_, found) = loss(&network);
                for layer in 0..3 {
                    for (index, found) in found[layer].indexed_iter() {
                        let at = |step: f64| {
                            let mut network = network.clone();
                            network[layer][index] += step;
                            loss(&network).0
                        };
                        let wanted = (at(1e-6) - at(-1e-6)) / 2e-6;
                        assert!(
                            (wanted - found).abs() < 1e-7,
                            "{hidden:?} {target:?} {layer}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn trained_linear_networks_come_to_the_law() {
        let numbers = numbers(&small(Hidden::Linear), 1);
        assert_eq!(numbers["agreement"], 1.0, "{numbers:?}");
        assert!(numbers["law_error"] < 0.1, "{numbers:?}");
        assert!(
            0.0 < numbers["flips"] && numbers["flips"] < 1.0,
            "{numbers:?}"
        );
        assert!(0.7 < numbers["long_skip_wins"], "{numbers:?}");
    }

    #[test]
    fn a_margin_that_no_cell_meets_is_refused() {
        let mut bottleneck = small(Hidden::Linear);
        bottleneck.margin = 1e9;
        let refused = bottleneck.check(&Place("here".to_owned()));
        let message = refused.expect_err("nothing decides").to_string();
        assert!(message.contains("decides in no cell"), "{message}");
    }
}
