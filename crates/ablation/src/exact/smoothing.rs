//! What noise does to a distribution with edges: how far it moves it, and how smooth it makes it.

use serde::Deserialize;
use statrs::function::erf::erfc;

use super::{
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Level, Table, Tolerance, table_fields},
};
use crate::error::Error;

/// The uniform distribution on \[−a, a\], whose density jumps at its edges, and q_σ, the same with noise N(0, σ²) added:
///
/// ```text
/// q_σ(x) = [Φ((x + a)/σ) − Φ((x − a)/σ)] / 2a          var q_σ = a²/3 + σ²
/// W₂(p, q_σ)² = ∫ q_σ(x) (x − a (2 F_σ(x) − 1))² dx ≤ σ²,   F_σ the distribution function of q_σ
/// ```
///
/// F_σ followed by the quantiles of p is monotone, and so the optimal map on a line.
/// How often a density can be differentiated is seen in its second differences: the largest of
/// |q(x + h) − 2 q(x) + q(x − h)| falls like h² where it is twice differentiable, like h at a kink, and not at all at a
/// jump. The power is taken between h and 2h, over a grid of step h around an edge.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoothing {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// a.
    pub half_width: f64,
    /// h, at most a tenth of a and of the smallest σ above zero.
    pub spacing: f64,
    /// Noise levels, rising; the expected value is that of W₂.
    pub levels: Vec<Level>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<SmoothingMeasure>>,
}

/// What a claim about smoothing measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmoothingMeasure {
    /// The power of h in the second differences at σ = 0, the first level: 0 at a jump.
    PowerWithoutNoise,
    /// The power less 2 at the level above zero where it is farthest from 2.
    PowerWithNoiseLessTwo,
    /// (var q_σ − var p)/σ² − 1 at the level where it is farthest from 0.
    Spread,
    /// The smallest rise of W₂(p, q_σ) from one level to the next.
    SmallestMove,
}

impl Table for Smoothing {
    table_fields!("smoothing");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.positive("half_width", self.half_width)?;
        place.positive("spacing", self.spacing)?;
        place.levels(&self.levels)?;
        let noisy = self.noisy();
        place.count("number of levels above zero", noisy.len(), 1, 1000)?;
        let finest = self.half_width.min(noisy[0]);
        if 0.1 * finest < self.spacing {
            let rule = format!("it must be at most a tenth of {finest}: give a smaller one");
            return Err(place.refuse("spacing", self.spacing, &rule));
        }
        let widest = noisy[noisy.len() - 1];
        // Of Φ's rounding in second differences: those of a density as wide as σ are h²/σ² of it.
        let rounding =
            f64::EPSILON * (widest / self.spacing).powi(2) * (widest / self.half_width).max(1.0);
        if 1e-3 < rounding {
            let rule = format!(
                "at sigma {widest} rounding is {rounding:.0e} of the second differences: give a larger one"
            );
            return Err(place.refuse("spacing", self.spacing, &rule));
        }
        let cells = (self.half_width + 9.0 * widest) / self.spacing;
        place.count("points of the grid", cells as usize, 1, 10_000_000)?;
        place.work(
            "points of the grid · levels",
            cells * self.levels.len() as f64,
            1e8,
        )?;
        let asks = |measure| self.claims.iter().any(|claim| claim.measure == measure);
        if asks(SmoothingMeasure::PowerWithoutNoise) && self.levels[0].sigma != 0.0 {
            let rule = "power_without_noise needs the level zero: add it";
            return Err(place.refuse("levels.sigma", self.levels[0].sigma, rule));
        }
        if asks(SmoothingMeasure::SmallestMove) {
            place.count("number of levels", self.levels.len(), 2, 1000)?;
        }
        Ok(())
    }

    fn measure(&self, _seed: u64) -> Measured {
        let a = self.half_width;
        let mut measured = Measured {
            meaning: "the uniform distribution with noise: mass, variance, Wasserstein distance from what it was, and the power of h in the second differences of its density",
            parameters: format!("half width {a}, h = {}", self.spacing),
            ..Measured::default()
        };
        let moments: Vec<[f64; 3]> = self.levels.iter().map(|l| self.moments(l.sigma)).collect();
        let powers: Vec<f64> = self.levels.iter().map(|l| self.power(l.sigma)).collect();
        for ((level, [mass, variance, moved]), power) in
            self.levels.iter().zip(&moments).zip(&powers)
        {
            let sigma = level.sigma;
            let wanted = a * a / 3.0 + sigma * sigma;
            measured.closed_form(
                format!("mass at σ = {sigma}"),
                Number::exact(*mass),
                1.0,
                1e-9,
            );
            let what = format!("variance at σ = {sigma}");
            measured.closed_form(what, Number::exact(*variance), wanted, 1e-9 * wanted);
            let what = format!("W₂ at σ = {sigma}");
            measured.expected(
                what.clone(),
                Number::exact(*moved),
                level.expected,
                self.tolerance,
            );
            measured.at_most(format!("{what}, below σ"), Number::exact(*moved), sigma);
            let what = format!("power of h at σ = {sigma}");
            measured.expected(what, Number::exact(*power), None, self.tolerance);
        }
        let noisy = || (0..self.levels.len()).filter(|&i| 0.0 < self.levels[i].sigma);
        let farthest = |of: &dyn Fn(usize) -> f64| {
            let values = noisy().map(of);
            values.fold(0.0, |far: f64, x| if far.abs() < x.abs() { x } else { far })
        };
        for claim in &self.claims {
            measured.found.push(match claim.measure {
                SmoothingMeasure::PowerWithoutNoise => Found::exact(
                    "power of h in the second differences without noise",
                    powers[0],
                ),
                SmoothingMeasure::PowerWithNoiseLessTwo => Found::exact(
                    "power of h in the second differences with noise − 2",
                    farthest(&|i| powers[i] - 2.0),
                ),
                SmoothingMeasure::Spread => Found::exact(
                    "(variance with noise − without)/σ² − 1",
                    farthest(&|i| {
                        (moments[i][1] - a * a / 3.0) / self.levels[i].sigma.powi(2) - 1.0
                    }),
                ),
                SmoothingMeasure::SmallestMove => Found::exact(
                    "smallest rise of W₂ between levels",
                    moments
                        .windows(2)
                        .map(|pair| pair[1][2] - pair[0][2])
                        .fold(f64::INFINITY, f64::min),
                ),
            });
        }
        measured
    }
}

impl Smoothing {
    fn noisy(&self) -> Vec<f64> {
        let sigmas = self.levels.iter().map(|level| level.sigma);
        sigmas.filter(|sigma| 0.0 < *sigma).collect()
    }

    /// q_σ; at an edge without noise the mean of both sides.
    fn density(&self, sigma: f64, x: f64) -> f64 {
        let a = self.half_width;
        (below((x + a) / sigma) - below((x - a) / sigma)) / (2.0 * a)
    }

    /// F_σ for σ > 0.
    fn distribution(&self, sigma: f64, x: f64) -> f64 {
        let a = self.half_width;
        let bell = |u: f64| (-0.5 * u * u).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let part = |y: f64| y * below(y / sigma) + sigma * bell(y / sigma);
        (part(x + a) - part(x - a)) / (2.0 * a)
    }

    /// Mass, variance and W₂.
    fn moments(&self, sigma: f64) -> [f64; 3] {
        let a = self.half_width;
        if sigma == 0.0 {
            return [1.0, a * a / 3.0, 0.0];
        }
        // The integrands are analytic at the scale σ: the sum over a grid is exact to rounding.
        let (edge, step) = (a + 9.0 * sigma, sigma.min(a) / 16.0);
        let points = (2.0 * edge / step).ceil() as usize;
        let step = 2.0 * edge / points as f64;
        let mut sums = [0.0; 3];
        for i in 0..=points {
            let x = -edge + step * i as f64;
            let weight = step * self.density(sigma, x);
            let moved = x - a * (2.0 * self.distribution(sigma, x) - 1.0);
            for (sum, value) in sums.iter_mut().zip([1.0, x * x, moved * moved]) {
                *sum += weight * value;
            }
        }
        [sums[0], sums[1], sums[2].sqrt()]
    }

    /// The power of h in the largest second difference, between h and 2h.
    fn power(&self, sigma: f64) -> f64 {
        let h = self.spacing;
        let reach = ((self.half_width + 9.0 * sigma) / h).ceil() as i64 + 2;
        let largest = |h: f64| {
            let differences = (-reach..=reach).map(|i| {
                // The edge lies between two points, whatever the step.
                let x = self.half_width + self.spacing * (i as f64 + 0.5);
                let q = |x: f64| self.density(sigma, x);
                (q(x + h) - 2.0 * q(x) + q(x - h)).abs()
            });
            differences.fold(0.0, f64::max)
        };
        (largest(2.0 * h) / largest(h)).log2()
    }
}

/// Φ; ½ at 0/0, which is an edge without noise.
fn below(u: f64) -> f64 {
    if u.is_nan() {
        0.5
    } else {
        0.5 * erfc(-u / std::f64::consts::SQRT_2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(half_width: f64) -> Smoothing {
        Smoothing {
            name: "s".to_owned(),
            about: Vec::new(),
            half_width,
            spacing: 1e-3,
            levels: Vec::new(),
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn the_distribution_function_is_the_integral_of_the_density() {
        let (table, sigma, h) = (table(1.5), 0.4, 1e-4);
        for x in [-2.0, -1.5, 0.3, 1.4, 2.2] {
            let slope =
                (table.distribution(sigma, x + h) - table.distribution(sigma, x - h)) / (2.0 * h);
            assert!((slope - table.density(sigma, x)).abs() < 1e-7, "{x}");
        }
        assert!((table.distribution(sigma, 9.0) - 1.0).abs() < 1e-12);
        assert_eq!(table.density(0.0, 1.5), 0.5 * table.density(0.0, 0.0));
    }

    #[test]
    fn much_noise_moves_it_as_far_as_a_point_would_be() {
        // Of a point, W₂ is σ; the interval is a point from far away.
        let [mass, variance, moved] = table(1e-2).moments(1.0);
        assert!((mass - 1.0).abs() < 1e-12 && (variance - (1.0 + 1e-4 / 3.0)).abs() < 1e-9);
        assert!(0.99 < moved && moved < 1.0, "{moved}");
    }

    #[test]
    fn a_jump_has_the_power_zero_and_noise_makes_it_two() {
        let table = table(1.0);
        assert!(table.power(0.0).abs() < 1e-12);
        assert!(
            (table.power(0.1) - 2.0).abs() < 0.01,
            "{}",
            table.power(0.1)
        );
    }
}
