//! Implicit score matching without and with noise: does the objective have a minimum, and does training reach it?
//!
//! On a manifold the floor −J/2 is −∞ without noise, and a network that follows it grows for ever; with noise it is
//! finite and known (Song & Ermon 2019, figure 1, is the same on images).

use ndarray::{Array2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use score_objective::exact::sampled_fisher_information;
use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric, adam::Adam, denoising::Bed};
use crate::{
    error::Error,
    exact::place::Place,
    stream::{Role, Stream},
    summary::Better,
};

/// A network of one hidden layer, W₂ tanh(W₁ x + b₁) + b₂, that is trained on E\[½ ‖s‖² + div s\] with exact gradients
/// and Adam at a constant rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Implicit {
    /// What is learned.
    pub bed: Bed,
    /// The noise that is added to the data; 0 for none.
    pub sigma: f64,
    /// How the divergence is taken.
    pub divergence: Divergence,
    /// Hidden width.
    pub width: usize,
    /// Fresh points in a step.
    pub batch: usize,
    /// Steps.
    pub steps: u64,
    /// Learning rate.
    pub rate: f64,
    /// Fresh points that the score is compared at.
    pub queries: usize,
}

/// How the divergence is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// The trace of the Jacobian (Hyvärinen 2005).
    Exact,
    /// vᵀ J v for one random sign vector v a point (sliced, variance-reduced; Song et al. 2019).
    Sliced,
}

/// *Ranges*: `excess` and `oscillation` in `[0, ∞)`, the others real. `excess` is 0 at the floor, and 1 for a network that
/// answers nothing.
/// *Misleading*: without a floor there is no `excess`, and `loss` falls for ever: lower is not better. `decline` and
/// `oscillation` are over the size of a mean loss that may pass through 0. A network that stopped by its learning rate has no
/// decline either: read `norm_growth` beside it.
/// *Source*: Hyvärinen 2005 for the loss and its floor; the readings of its course are defined here.
const METRICS: &[Metric] = &[
    Metric {
        name: "excess",
        unit: "",
        meaning: "(loss − floor)/|floor| at the end, by ½ E‖s − s*‖² over |floor|; only where there is a floor",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "decline",
        unit: "",
        meaning: "fall of the mean loss from the third to the last quarter of training, as a share of the former's size",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "norm_growth",
        unit: "",
        meaning: "log2 of the norm of all weights, at the end − at half time",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "oscillation",
        unit: "",
        meaning: "standard deviation of the last tenth's losses over the size of their mean",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "loss",
        unit: "",
        meaning: "mean loss of the last tenth",
        better: Better::Descriptive,
        worst: None,
    },
];

impl Measurement for Implicit {
    fn check(&self, place: &Place) -> Result<(), Error> {
        self.bed.check(place)?;
        if let Bed::GaussianField {} = self.bed {
            let rule = "one hidden layer does not learn fields: give a sphere or song_ermon";
            return Err(place.refuse("bed.kind", "gaussian_field", rule));
        }
        place.non_negative("sigma", self.sigma)?;
        place.count("width", self.width, 1, 10_000)?;
        place.count("batch", self.batch, 1, 1_000_000)?;
        place.count("steps", self.steps as usize, 20, 10_000_000)?;
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
        let dim: usize = self.bed.shape().iter().product();
        2e-9 * (self.steps as usize * self.batch * self.width * (20 + 6 * dim)) as f64
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        let data = self.bed.exact(stream);
        let dim = data.dim();
        let mut network = self.draw(dim, &mut stream.at(Role::Init, 0));
        let mut adam = Adam::default();
        let (mut losses, mut half) = (Vec::new(), 0.0);
        for step in 0..self.steps {
            let mut x = data.draw(self.batch, &mut stream.at(Role::Data, step));
            if 0.0 < self.sigma {
                let mut rng = stream.at(Role::Noise, step);
                x.mapv_inplace(|x| x + self.sigma * rng.sample::<f64, _>(StandardNormal));
            }
            let signs = (self.divergence == Divergence::Sliced).then(|| {
                let mut rng = stream.at(Role::Nuisance, step);
                let sign = || if rng.random() { 1.0 } else { -1.0 };
                Array2::from_shape_simple_fn(x.raw_dim(), sign)
            });
            let (loss, gradients) = gradients(&network, &x, signs.as_ref());
            if !loss.is_finite() {
                break;
            }
            losses.push(loss);
            let pairs = network.iter_mut().flatten().zip(gradients.iter().flatten());
            adam.step(pairs, self.rate);
            if step == self.steps / 2 {
                half = norm(&network);
            }
        }
        found.trained(losses.len() as u64);
        let shown = (losses.len() / 100).max(1);
        let points: Vec<(f64, f64)> = losses
            .chunks(shown)
            .enumerate()
            .map(|(at, part)| (((at + 1) * shown) as f64, mean(part)))
            .collect();
        found.curve("loss", ["step", "implicit loss"], true, &points);
        if losses.len() < self.steps as usize {
            found.set("loss", f64::NAN);
            return Ok(());
        }
        let quarter = losses.len() / 4;
        let (third, last) = (
            mean(&losses[2 * quarter..3 * quarter]),
            mean(&losses[3 * quarter..]),
        );
        found.set("decline", (third - last) / third.abs());
        found.set("norm_growth", (norm(&network) / half).log2());
        let tail = &losses[losses.len() - losses.len() / 10..];
        let level = mean(tail);
        let squares: Vec<f64> = tail.iter().map(|l| (l - level).powi(2)).collect();
        found.set("oscillation", mean(&squares).sqrt() / level.abs());
        found.set("loss", level);
        if 0.0 < self.sigma || data.has_density() {
            let mut rng = stream.at(Role::Probe, 0);
            let noise =
                noise_schedule::Kernel::variance_exploding(self.sigma).expect("it was checked");
            let x = data.draw_at(self.queries, noise, &mut rng);
            let missed = score(&network, &x) - data.score(x.view(), self.sigma);
            let excess = 0.5 * missed.mapv(|m| m * m).sum() / self.queries as f64;
            let information = data.fisher_information(self.sigma).unwrap_or_else(|| {
                sampled_fisher_information(&*data, self.sigma, 20_000, &mut rng).value
            });
            found.set("excess", excess / (0.5 * information));
        }
        Ok(())
    }
}

impl Implicit {
    /// W₁ \[H, D\], b₁ \[1, H\], W₂ \[D, H\], b₂ \[1, D\], uniform in ±1/√fan-in.
    fn draw(&self, dim: usize, rng: &mut ChaCha8Rng) -> Vec<Array2<f64>> {
        let h = self.width;
        [((h, dim), dim), ((1, h), dim), ((dim, h), h), ((1, dim), h)]
            .map(|(shape, fan_in)| {
                let bound = 1.0 / (fan_in as f64).sqrt();
                Array2::from_shape_simple_fn(shape, || rng.random_range(-bound..bound))
            })
            .to_vec()
    }
}

fn score(network: &[Array2<f64>], x: &Array2<f64>) -> Array2<f64> {
    let hidden = (x.dot(&network[0].t()) + &network[1]).mapv_into(f64::tanh);
    hidden.dot(&network[2].t()) + &network[3]
}

/// The mean of ½ ‖s‖² + div s and its gradients; along `signs`, if there are, instead of the whole trace.
///
/// With h = tanh a, div s = Σ_j (1 − h_j²) c_j; c_j is Σ_k W₂_kj W₁_jk, or (v·W₂_j)(W₁_j·v).
fn gradients(
    network: &[Array2<f64>],
    x: &Array2<f64>,
    signs: Option<&Array2<f64>>,
) -> (f64, Vec<Array2<f64>>) {
    let [w1, b1, w2, b2] = network else {
        unreachable!("two layers")
    };
    let n = x.nrows() as f64;
    let hidden = (x.dot(&w1.t()) + b1).mapv_into(f64::tanh);
    let slope = hidden.mapv(|h| 1.0 - h * h);
    let s = hidden.dot(&w2.t()) + b2;
    // What of the divergence goes through unit j at each point, but for the slope.
    let (through, sides) = match signs {
        None => {
            let trace = (w1 * &w2.t()).sum_axis(Axis(1)).insert_axis(Axis(0));
            (trace, None)
        }
        Some(v) => {
            let (left, right) = (v.dot(w2), v.dot(&w1.t()));
            (&left * &right, Some((v, left, right)))
        }
    };
    let divergence = (&slope * &through).sum();
    let loss = (0.5 * s.mapv(|s| s * s).sum() + divergence) / n;
    let upstream = s / n;
    // d(1 − h²)/da = −2 h (1 − h²).
    let inner = (upstream.dot(w2) - &hidden * &through * (2.0 / n)) * &slope;
    let mut by_w1 = inner.t().dot(x);
    let mut by_w2 = upstream.t().dot(&hidden);
    match sides {
        None => {
            let each = slope.sum_axis(Axis(0)) / n;
            by_w2 += &(&w1.t() * &each);
            by_w1 += &(&w2.t() * &each.insert_axis(Axis(1)));
        }
        Some((v, left, right)) => {
            by_w2 += &v.t().dot(&(right * &slope / n));
            by_w1 += &(left * &slope / n).t().dot(v);
        }
    }
    let by_b1 = inner.sum_axis(Axis(0)).insert_axis(Axis(0));
    let by_b2 = upstream.sum_axis(Axis(0)).insert_axis(Axis(0));
    (loss, vec![by_w1, by_b1, by_w2, by_b2])
}

fn norm(network: &[Array2<f64>]) -> f64 {
    let squares = network.iter().map(|w| w.mapv(|v| v * v).sum());
    squares.sum::<f64>().sqrt()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::{super::tests::record, *};

    fn numbers(experiment: &Implicit, seed: u32) -> std::collections::BTreeMap<String, f64> {
        record(experiment.clone(), seed).values
    }

    fn small() -> Implicit {
        Implicit {
            bed: Bed::Sphere {
                intrinsic: 2,
                ambient: 2,
            },
            sigma: 0.5,
            divergence: Divergence::Exact,
            width: 32,
            batch: 128,
            steps: 3000,
            rate: 1e-2,
            queries: 2000,
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let mut rng = Stream::new(1).at(Role::Init, 0);
        let network = small().draw(3, &mut rng);
        let normal = || rng.sample::<f64, _>(StandardNormal);
        let x = Array2::from_shape_simple_fn((5, 3), normal);
        let signs = x.mapv(f64::signum);
        for signs in [None, Some(&signs)] {
            let (_, found) = gradients(&network, &x, signs);
            for (layer, gradient) in found.iter().enumerate() {
                for (index, found) in gradient.indexed_iter().step_by(7) {
                    let at = |step: f64| {
                        let mut network = network.clone();
                        network[layer][index] += step;
                        gradients(&network, &x, signs).0
                    };
                    let wanted = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((wanted - found).abs() < 1e-8, "{layer} {index:?}");
                }
            }
        }
    }

    /// The mean of the sliced loss over all sign vectors is the loss with the whole trace.
    #[test]
    fn slices_add_up_to_the_trace() {
        let mut rng = Stream::new(2).at(Role::Init, 0);
        let network = small().draw(2, &mut rng);
        let x = Array2::from_shape_fn((1, 2), |(_, j)| 0.3 + j as f64);
        let along = |a: f64, b: f64| gradients(&network, &x, Some(&ndarray::array![[a, b]])).0;
        let mean = 0.5 * (along(1.0, 1.0) + along(1.0, -1.0));
        assert!((mean - gradients(&network, &x, None).0).abs() < 1e-12);
    }

    #[test]
    fn with_noise_the_floor_is_reached_and_without_it_the_loss_falls_on() {
        let noised = numbers(&small(), 3);
        assert!(noised["excess"] < 0.1, "{noised:?}");
        assert!(noised["decline"].abs() < 0.1, "{noised:?}");
        let clean = numbers(
            &Implicit {
                sigma: 0.0,
                ..small()
            },
            3,
        );
        assert!(0.15 < clean["decline"], "{clean:?}");
        assert!(noised["norm_growth"] < clean["norm_growth"], "{clean:?}");
        assert!(!clean.contains_key("excess"));
    }
}
