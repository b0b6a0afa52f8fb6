//! How deep a plain network can be and still be trained, against the depth at which it forgets its inputs.

use ndarray::Array2;
use rand::Rng;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    mean_field::{sech_mean, tanh_square},
    mlp::{Mlp, Unit, Wiring, mean_square},
    network::{Law, Weights},
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number, median},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    fit::slope,
    stream::{Role, Stream},
};

/// Plain tanh networks of normal matrices with gain g and normal biases of variance σ_b², by gradient descent on all
/// points of a function, y = √3 x₁ over the square \[−1, 1\]².
///
/// The correlation of two inputs goes to its limit c* like e^(−l/ξ) over layers l, with
///
/// ```text
/// q = g² E φ(√q z)² + σ_b²,   c* = (g² E φ(u) φ(u′) + σ_b²)/q,   1/ξ = −ln (g² E φ′(u) φ′(u′))
/// ```
///
/// u, u′ normal of variance q and correlation c*: c* = 1 where g is small (ordered: all inputs become one), c* < 1 where
/// it is large (chaotic: neighbours become strangers), and ξ is infinite between (Schoenholz et al. 2017, section 3).
/// Networks are said to be trainable to about 6 ξ (section 5 and figure 5 there).
/// The frontier is the depth at which the median loss over seeds, at the best rate for that depth, crosses the
/// threshold, between two of the depths by a line in ln depth; it is the last depth where it does not cross.
///
/// Range: depths in \[first, last\] of the list, ξ in (0, ∞\]; ξ is invariant to rotations, and to no scale.
/// It misleads by the budget: more steps and more rates move the frontier, ξ they do not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frontier {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// g, each a group of numbers.
    pub gains: Vec<f64>,
    /// σ_b².
    pub bias: f64,
    /// Hidden layers, rising.
    pub depths: Vec<usize>,
    /// Units per layer.
    pub width: usize,
    /// Points of the function.
    pub points: usize,
    /// Steps of gradient descent.
    pub steps: usize,
    /// Rates to choose from.
    pub rates: Vec<f64>,
    /// The share of the variance of y that may be left.
    pub threshold: f64,
    /// Seeds.
    pub seeds: u32,
    /// Around the expected values, of which there are none.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

impl Table for Frontier {
    table_fields!("frontier");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("number of gains", self.gains.len(), 1, 100)?;
        place.non_negative("bias", self.bias)?;
        for &gain in &self.gains {
            place.positive("gains", gain)?;
            if WIDEST < gain.hypot(self.bias.sqrt()) {
                let rule = format!(
                    "with such biases preactivations are wider than {WIDEST}, where tanh is a sign whose bend no grid sees: take a smaller gain, or less bias"
                );
                return Err(place.refuse("gains", gain, &rule));
            }
            if !(0.0..1e3).contains(&depth_scale(gain, self.bias)) {
                let rule = "a network this near criticality forgets at no depth that can be tried: take another gain";
                return Err(place.refuse("gains", gain, rule));
            }
        }
        place.depths(&self.depths, 1)?;
        place.count("number of depths", self.depths.len(), 2, 100)?;
        place.count("width", self.width, 2, 4096)?;
        place.count("points", self.points, 2, 100_000)?;
        place.count("steps", self.steps, 1, 10_000_000)?;
        place.count("number of rates", self.rates.len(), 1, 100)?;
        for &rate in &self.rates {
            place.positive("rates", rate)?;
        }
        place.positive("threshold", self.threshold)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        let layers: usize = self.depths.iter().sum();
        let work = (layers * self.width.pow(2)) as f64
            * (self.points * self.steps) as f64
            * (self.gains.len() * self.rates.len() * self.seeds as usize) as f64;
        let product = "depths · width² · points · steps · gains · rates · seeds";
        place.work(product, work, 1e12)
    }

    fn measure(&self, seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "the depth to which plain tanh networks can be trained, over the depth at which they forget",
            parameters: format!(
                "width {}, biases of variance {}, depths {:?}, {} points, {} steps at the best of the rates {:?}, threshold {}, {} seeds",
                self.width,
                self.bias,
                self.depths,
                self.points,
                self.steps,
                self.rates,
                self.threshold,
                self.seeds
            ),
            ..Measured::default()
        };
        let mut laws = Vec::new();
        for &gain in &self.gains {
            let scale = depth_scale(gain, self.bias);
            let frontier = crossing(&self.depths, &self.losses(gain, seed), self.threshold);
            laws.push((scale, frontier));
            measured.group = format!("g = {gain}");
            for (what, value) in [
                ("ξ", scale),
                ("frontier", frontier),
                ("frontier over ξ", frontier / scale),
            ] {
                measured.expected(what, Number::exact(value), None, self.tolerance);
            }
        }
        measured.group = "all gains".to_owned();
        let ratios: Vec<f64> = laws.iter().map(|(scale, depth)| depth / scale).collect();
        measured.expected(
            "frontier over ξ, median",
            Number::median(&ratios),
            None,
            self.tolerance,
        );
        let logs: Vec<(f64, f64)> = laws.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        if let Some(power) = slope(&logs) {
            let what = "power of ξ in the frontier";
            measured.expected(what, Number::exact(power), None, self.tolerance);
        }
        measured
    }
}

impl Frontier {
    /// The median loss at each depth, at the rate where it is least.
    fn losses(&self, gain: f64, seed: u64) -> Vec<f64> {
        let jobs: Vec<(usize, f64, u64)> = (self.depths.iter())
            .flat_map(|&depth| self.rates.iter().map(move |&rate| (depth, rate)))
            .flat_map(|(depth, rate)| {
                (0..u64::from(self.seeds)).map(move |s| (depth, rate, seed + s))
            })
            .collect();
        let left: Vec<f64> = jobs
            .into_par_iter()
            .map(|(depth, rate, seed)| self.left(gain, depth, rate, Stream::new(seed)))
            .collect();
        let rates = left.chunks(self.seeds as usize).map(median);
        let rates: Vec<f64> = rates.collect();
        let best = |of_depth: &[f64]| of_depth.iter().copied().fold(f64::INFINITY, f64::min);
        rates.chunks(self.rates.len()).map(best).collect()
    }

    /// The loss after the last step; that of answering zero where it is worse or not finite.
    fn left(&self, gain: f64, depth: usize, rate: f64, stream: Stream) -> f64 {
        let rng = &mut stream.at(Role::Data, 0);
        let x = Array2::from_shape_simple_fn((self.points, 2), || {
            rng.random_range(-1.0..1.0_f64) as f32
        });
        let y = x.slice(ndarray::s![.., ..1]).mapv(|x| 3.0_f32.sqrt() * x);
        let sizes: Vec<usize> = std::iter::once(2)
            .chain(std::iter::repeat_n(self.width, depth))
            .chain([1])
            .collect();
        let weights = Weights {
            law: Law::Normal,
            gain,
        };
        let mut network = Mlp::new(Unit::Tanh, Wiring::Plain, weights, &sizes, stream);
        network.draw_biases(self.bias.sqrt(), stream);
        for _ in 0..self.steps {
            let (loss, gradient) = network.gradient(&x, |out| mean_square(out, &y));
            if !loss.is_finite() {
                return 1.0;
            }
            network.descend(rate, gradient);
        }
        let (loss, _) = mean_square(&network.forward(&x), &y);
        let zero = f64::from(y.mapv(|y| y * y).mean().expect("there are points"));
        // A loss that is not a number is no less.
        if loss < zero { loss / zero } else { 1.0 }
    }
}

/// The widest preactivations whose pairs are integrated over.
const WIDEST: f64 = 10.0;

/// ξ of tanh networks.
fn depth_scale(gain: f64, bias: f64) -> f64 {
    let square = gain.powi(2);
    // g² E tanh²(√q z) + σ_b² − q is positive below the fixed point, which is below g² + σ_b².
    let (mut low, mut high) = (0.0, square + bias);
    for _ in 0..100 {
        let q = 0.5 * (low + high);
        if q < square * tanh_square(q.sqrt()) + bias {
            low = q;
        } else {
            high = q;
        }
    }
    let root = high.sqrt();
    let slope = |u: f64| u.cosh().powi(-2);
    // At c* = 1, which attracts where it is at most 1.
    let chi = square * sech_mean(root, 4);
    if chi <= 1.0 {
        return -1.0 / chi.ln();
    }
    let mut c = 0.5;
    for _ in 0..2000 {
        let next = (square * pair_mean(root, c, f64::tanh) + bias) / high;
        let moved = (next - c).abs();
        c = next;
        if moved < 1e-12 {
            break;
        }
    }
    -1.0 / (square * pair_mean(root, c, slope)).ln()
}

/// E f(u) f(u′) for normal u, u′ of standard deviation `root` and correlation c.
fn pair_mean(root: f64, c: f64, f: impl Fn(f64) -> f64) -> f64 {
    // Steps that see the bend of tanh, whose width is 1/root, and root at most √(g² + σ_b²).
    let points = (80.0 * root.clamp(1.0, WIDEST)) as i32;
    let step = 16.0 / f64::from(points);
    let nodes = || {
        (0..=points).map(move |i| {
            let z = f64::from(i) * step - 8.0;
            (
                z,
                (-0.5 * z * z).exp() * step / std::f64::consts::TAU.sqrt(),
            )
        })
    };
    let rest = (1.0 - c * c).max(0.0).sqrt();
    nodes()
        .map(|(z, weight)| {
            let inner: f64 = nodes()
                .map(|(other, weight)| weight * f(root * (c * z + rest * other)))
                .sum();
            weight * f(root * z) * inner
        })
        .sum()
}

/// Where the losses, which rise with depth, cross the threshold for the first time.
fn crossing(depths: &[usize], losses: &[f64], threshold: f64) -> f64 {
    let place = losses.iter().position(|loss| threshold < *loss);
    let depth = |place: usize| depths[place] as f64;
    match place {
        None => depth(depths.len() - 1),
        Some(0) => depth(0),
        Some(place) => {
            let [below, above] = [losses[place - 1], losses[place]];
            let share = (threshold - below) / (above - below);
            let [low, high] = [depth(place - 1).ln(), depth(place).ln()];
            (low + share * (high - low)).exp()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_diverges_at_criticality_and_has_its_limits() {
        // Without biases q = 0 in the ordered phase: ξ = −1/ln g².
        assert!((depth_scale((-0.5_f64).exp(), 0.0) - 1.0).abs() < 1e-9);
        assert!(100.0 < depth_scale(0.999, 0.0) && 100.0 < depth_scale(1.002, 0.0));
        let scales: Vec<f64> = [1.2, 1.5, 2.0, 4.0].map(|g| depth_scale(g, 0.0)).to_vec();
        assert!(
            scales.windows(2).all(|pair| pair[1] < pair[0]),
            "{scales:?}"
        );
        // For large gains tanh is a sign: q = g², E φ′ = √(2/π)/g, c* = 0, χ = 2/π.
        let limit = -1.0 / std::f64::consts::FRAC_2_PI.ln();
        let near = depth_scale(10.0, 0.0) / limit;
        assert!(1.0 < near && near < 1.3, "{near}");
        // The critical gain of biases of variance 0.05 is √1.76 in the literature's phase diagram.
        let near = depth_scale(1.76_f64.sqrt(), 0.05);
        assert!(4.0 * depth_scale(1.0, 0.05) < near && 4.0 * depth_scale(2.0, 0.05) < near);
    }

    #[test]
    fn correlations_go_to_their_limit_at_that_scale() {
        let (gain, bias) = (2.0_f64, 0.05);
        let chi = (-1.0 / depth_scale(gain, bias)).exp();
        let (mut q, mut c) = (1.0, 0.9);
        let mut seen = Vec::new();
        for _ in 0..60 {
            let next = gain.powi(2) * tanh_square(f64::sqrt(q)) + bias;
            c = (gain.powi(2) * pair_mean(f64::sqrt(q), c, f64::tanh) + bias) / next;
            q = next;
            seen.push(c);
        }
        let moved = |l: usize| seen[l] - seen[l - 1];
        let ratio = moved(25) / moved(24);
        assert!((ratio / chi - 1.0).abs() < 0.01, "{ratio} {chi}");
    }

    #[test]
    fn a_crossing_lies_between_its_neighbours() {
        assert_eq!(crossing(&[1, 2, 4], &[0.1, 0.2, 0.3], 0.5), 4.0);
        assert_eq!(crossing(&[1, 2, 4], &[0.6, 0.7, 0.8], 0.5), 1.0);
        let found = crossing(&[2, 8], &[0.0, 1.0], 0.5);
        assert!((found - 4.0).abs() < 1e-12);
    }

    #[test]
    fn shallow_networks_are_trained_and_deep_ordered_ones_are_not() {
        let table = Frontier {
            name: "f".to_owned(),
            about: Vec::new(),
            gains: vec![0.6],
            bias: 0.0,
            depths: vec![1, 24],
            width: 24,
            points: 32,
            steps: 150,
            rates: vec![0.1],
            threshold: 0.5,
            seeds: 2,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        };
        let [shallow, deep] = table.losses(0.6, 3)[..] else {
            panic!("two depths")
        };
        assert!(shallow < 0.5 && 0.9 < deep, "{shallow} {deep}");
    }
}
