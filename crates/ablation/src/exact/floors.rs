//! The floor of score matching on a manifold, and what follows it without noise.

use score_objective::exact::{ExactScore, Gaussian, Sphere, sampled_implicit_loss};
use serde::Deserialize;

use super::{
    place::Place,
    report::{Found, How, Measured, Number},
    study::{Claim, Level, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// The smallest implicit score matching loss, −½ J(q_σ), of a manifold with noise.
///
/// It is finite for every σ > 0 and falls like −(D − m)/(2 σ²), m the dimension of the manifold: at σ = 0 the objective
/// has no minimum (Song and Ermon 2019, section 3.1).
/// It is held against draws, E\[½‖s‖² + div s\] of the exact score, and against its own limit.
///
/// Beside it gradient descent on the linear score s = −a x along a normal, whose loss is ½ σ² a² − a:
/// a(t) = (1 − e^(−η σ² t))/σ², and η t without noise, which never stops.
///
/// Range: the floor in (−∞, 0), a in \[0, 1/σ²); the floor is invariant to rotations and shifts, σ² times it to the scale
/// of x and σ together.
/// It misleads in that a finite floor is not one that is found: the time to it is 1/(η σ²); and in that it says nothing of
/// data with a density, which have a floor without noise.
/// Source: Hyvärinen 2005, theorem 1, for the loss; the descent is that of a quadratic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// The data.
    pub manifold: Manifold,
    /// Draws for the loss of the exact score.
    pub samples: usize,
    /// Noise levels, rising; the floor at zero is −∞, and only the descent is computed there.
    pub levels: Vec<Level>,
    /// Rate η of the descent along a normal; η σ² is below 1 at every level.
    pub rate: f64,
    /// Steps of the descent.
    pub steps: usize,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<FloorMeasure>>,
}

/// A manifold in ℝ^D.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Manifold {
    /// Uniform on a sphere in a random subspace.
    Sphere {
        /// Dimension d of the subspace; the manifold has one less.
        intrinsic: usize,
        /// Dimension D.
        ambient: usize,
        /// Radius R.
        radius: f64,
    },
    /// Standard normal on a subspace.
    Subspace {
        /// Dimension d of the subspace.
        intrinsic: usize,
        /// Dimension D.
        ambient: usize,
    },
}

/// What a claim about floors measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloorMeasure {
    /// The power of 1/σ with which J grows between the two smallest levels above zero: 2 on a manifold, 0 where the data
    /// have a density.
    Singularity,
    /// ln a(2t) − ln a(t) at σ = 0, the first level: ln 2 where the descent never stops.
    GrowthWithoutNoise,
    /// The same at the last level.
    GrowthWithNoise,
}

impl Table for Floors {
    table_fields!("floors");

    fn check(&self, place: &Place) -> Result<(), Error> {
        let (least, intrinsic, ambient) = match self.manifold {
            Manifold::Sphere {
                intrinsic,
                ambient,
                radius,
            } => {
                place.positive("manifold.radius", radius)?;
                (2, intrinsic, ambient)
            }
            Manifold::Subspace { intrinsic, ambient } => (0, intrinsic, ambient),
        };
        place.count("manifold.ambient", ambient, 1, 4096)?;
        place.count("manifold.intrinsic", intrinsic, least, ambient)?;
        place.count("samples", self.samples, 2, 1_000_000)?;
        let numbers = self.samples * ambient;
        if 20_000_000 < numbers {
            let rule = "samples · manifold.ambient above 2·10⁷ takes more memory than it is worth: make one of them smaller";
            return Err(place.refuse("samples", self.samples, rule));
        }
        place.count("steps", self.steps, 1, 100_000_000)?;
        place.positive("rate", self.rate)?;
        place.levels(&self.levels)?;
        let work = self.levels.len() as f64 * self.steps as f64;
        place.work("levels · steps", work, 1e10)?;
        let noisy = self.levels.iter().filter(|level| 0.0 < level.sigma);
        place.count("number of levels above zero", noisy.count(), 1, 1000)?;
        for level in &self.levels {
            if 1.0 <= self.rate * level.sigma.powi(2) {
                let rule = format!(
                    "at sigma {} the descent would oscillate: rate · sigma² must be below 1",
                    level.sigma
                );
                return Err(place.refuse("rate", self.rate, &rule));
            }
            if level.sigma == 0.0 && level.expected.is_some() {
                let rule = "there is no floor without noise: leave the expected value out";
                return Err(place.refuse("levels.expected", "given at sigma 0", rule));
            }
        }
        for claim in &self.claims {
            let zero = self.levels[0].sigma == 0.0;
            let enough = match claim.measure {
                FloorMeasure::Singularity => 2 <= self.levels.len() - usize::from(zero),
                FloorMeasure::GrowthWithoutNoise => zero,
                FloorMeasure::GrowthWithNoise => true,
            };
            if !enough {
                let rule = "singularity needs two levels above zero, growth_without_noise the level zero: add them";
                return Err(place.refuse("claims.measure", format!("{:?}", claim.measure), rule));
            }
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let stream = Stream::new(seed);
        let rng = &mut stream.at(Role::Data, 0);
        let (data, words): (Box<dyn ExactScore>, _) = match self.manifold {
            Manifold::Sphere {
                intrinsic,
                ambient,
                radius,
            } => (
                Box::new(Sphere::new(intrinsic, ambient, radius, rng).expect("it was checked")),
                format!("sphere of radius {radius} in {intrinsic} of {ambient} dimensions"),
            ),
            Manifold::Subspace { intrinsic, ambient } => (
                Box::new(Gaussian::subspace(intrinsic, ambient).expect("it was checked")),
                format!("standard normal on {intrinsic} of {ambient} dimensions"),
            ),
        };
        let mut measured = Measured {
            meaning: "smallest implicit score matching loss −½ J, and a, the score's slope along a normal under gradient descent",
            parameters: format!(
                "{words}; {} draws; rate {}, {} steps",
                self.samples, self.rate, self.steps
            ),
            ..Measured::default()
        };
        let floor = |sigma: f64| data.implicit_loss_floor(sigma).expect("both know it");
        let noisy: Vec<&Level> = self.levels.iter().filter(|l| 0.0 < l.sigma).collect();
        for (index, level) in noisy.iter().enumerate() {
            let sigma = level.sigma;
            let number = Number {
                value: floor(sigma),
                error: 1e-6 * floor(sigma).abs(),
                how: How::Grid,
            };
            measured.expected(
                format!("floor at σ = {sigma}"),
                number,
                level.expected,
                self.tolerance,
            );
            let draws = &mut stream.at(Role::Probe, index as u64);
            let loss = sampled_implicit_loss(&*data, sigma, self.samples, draws);
            let number = Number {
                value: loss.value,
                error: loss.standard_error,
                how: How::Sampled,
            };
            let what = format!("loss of the exact score at σ = {sigma}");
            measured.closed_form(what, number, floor(sigma), 1e-9 * floor(sigma).abs());
        }
        let smallest = noisy[0].sigma;
        let scaled = Number::exact(-2.0 * floor(smallest) * smallest * smallest);
        let (law, slack) = self.manifold.information(smallest);
        measured.closed_form(
            format!("σ² J at σ = {smallest}, the codimension and its first correction"),
            scaled,
            law,
            slack + 1e-9 * law,
        );
        for level in &self.levels {
            let strength = self.rate * level.sigma.powi(2);
            let time = self.steps as f64;
            let limit = if strength == 0.0 {
                self.rate * time
            } else {
                -(-strength * time).exp_m1() / level.sigma.powi(2)
            };
            measured.closed_form(
                format!("a after {} steps at σ = {}", self.steps, level.sigma),
                Number::exact(self.descend(level.sigma, self.steps)),
                limit,
                // Steps are not continuous time; and their sum is rounded.
                (strength + 1e-16 * time) * limit,
            );
        }
        let growth = |sigma: f64| {
            let later = self.descend(sigma, 2 * self.steps);
            (later / self.descend(sigma, self.steps)).ln()
        };
        let last = self.levels[self.levels.len() - 1].sigma;
        for claim in &self.claims {
            measured.found.push(match claim.measure {
                FloorMeasure::Singularity => {
                    let (a, b) = (noisy[0].sigma, noisy[1].sigma);
                    let power = (floor(a) / floor(b)).ln() / (b / a).ln();
                    Found::exact("power of 1/σ in J at the smallest levels", power)
                }
                FloorMeasure::GrowthWithoutNoise => {
                    Found::exact("ln a(2t)/a(t) without noise", growth(0.0))
                }
                FloorMeasure::GrowthWithNoise => {
                    Found::exact(format!("ln a(2t)/a(t) at σ = {last}"), growth(last))
                }
            });
        }
        measured
    }
}

impl Manifold {
    /// σ² J(q_σ) for a small σ, and how far off that may be.
    ///
    /// It is exact on a subspace, where each of its directions has 1/(1 + σ²).
    /// On a sphere it is D − E‖x₀ − E\[x₀|x\]‖²/σ², with A_d(k)² = 1 − (d − 1)/k + (d − 1)(d − 2)/2k² + … of k = R ‖x‖/σ².
    fn information(self, sigma: f64) -> (f64, f64) {
        match self {
            Manifold::Sphere {
                intrinsic,
                ambient,
                radius,
            } => {
                let (d, ratio) = (intrinsic as f64, (sigma / radius).powi(2));
                let correction = 0.5 * (d - 1.0) * (2.0 * d - 5.0) * ratio;
                let codimension = (ambient - intrinsic + 1) as f64;
                // The next term is of the order of the cube of the dimension.
                (codimension + correction, 2.0 * d.powi(3) * ratio * ratio)
            }
            Manifold::Subspace { intrinsic, ambient } => {
                let variance = sigma * sigma;
                let along = intrinsic as f64 * variance / (1.0 + variance);
                ((ambient - intrinsic) as f64 + along, 1e-12)
            }
        }
    }
}

impl Floors {
    /// a after so many steps of gradient descent on ½ σ² a² − a, from 0.
    fn descend(&self, sigma: f64, steps: usize) -> f64 {
        (0..steps).fold(0.0, |a, _| a + self.rate * (1.0 - sigma * sigma * a))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_noise_is_what_the_dimensions_say() {
        let stream = Stream::new(3);
        for (intrinsic, ambient, radius, sigma) in [
            (2, 2, 1.0, 0.03),
            (3, 5, 1.0, 0.03),
            (3, 3, 0.1, 1e-3),
            (64, 64, 8.0, 0.03),
            (64, 80, 1.0, 0.003),
            (200, 200, 30.0, 0.1),
        ] {
            let manifold = Manifold::Sphere {
                intrinsic,
                ambient,
                radius,
            };
            let rng = &mut stream.at(Role::Data, 0);
            let data = Sphere::new(intrinsic, ambient, radius, rng).unwrap();
            let found = -2.0 * sigma * sigma * data.implicit_loss_floor(sigma).unwrap();
            let (law, slack) = manifold.information(sigma);
            // The slack is small beside the correction, and is needed.
            let correction = (law - (ambient - intrinsic + 1) as f64).abs();
            assert!(
                slack < 0.3 * correction,
                "{manifold:?}: {slack} {correction}"
            );
            assert!(
                (found - law).abs() < slack + 1e-9 * law,
                "{manifold:?}: {found} {law}"
            );
        }
        let flat = Manifold::Subspace {
            intrinsic: 2,
            ambient: 5,
        };
        assert!((flat.information(3.0).0 - (3.0 + 2.0 * 0.9)).abs() < 1e-14);
    }
}
