//! What score matching pays, beside maximum likelihood, for learning the weights of two modes.

use score_objective::exact::{GaussianMixture, spectral_gap};
use serde::Deserialize;

use super::{
    modes::Variances,
    place::Place,
    report::{Found, Measured, Number},
    spectral_gap::{has_gap, on_a_line},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{error::Error, fit::slope};

/// The asymptotic variances of two estimators of the weight π in π N(h, v + σ²) + (1 − π) N(−h, v + σ²).
///
/// With u = ∂ ln p/∂π, maximum likelihood has the variance 1/I, I = E u².
/// Implicit score matching minimises E\[½ s² + s′\]; its variance is V/H² with H = E u′² and V = E(s u′ + u″)².
/// By Poincaré's inequality I ≤ H/λ₁, so that V/H² is at most (1/λ₁)² (1/I)² V: where Langevin dynamics is slow, score
/// matching needs more samples than maximum likelihood (Koehler, Heckett and Risteski 2022), which is why the noise of
/// annealing conditions it (Qin and Risteski 2023).
/// The relative inefficiency is I V/H²; it is 1 where the modes merge, since both estimators are then the mean.
///
/// Range: \[1, ∞), by the bound of Cramér and Rao; invariant to shifts and to the scale of x and σ together, and to any
/// smooth change of the parameter.
/// It misleads for few samples, being of the second moment in the limit of many, and where the model is wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// π in (0, 1).
    pub weight: f64,
    /// v.
    pub variance: f64,
    /// h, rising: half the distance of the modes.
    pub halves: Vec<f64>,
    /// σ, rising; the first one is that at which distances are compared.
    pub sigmas: Vec<f64>,
    /// Points of the spectral gap's coarser grid.
    pub nodes: usize,
    /// Around the expected values, of which there are none.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<EfficiencyMeasure>>,
}

/// What a claim about efficiency measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EfficiencyMeasure {
    /// log₁₀ of the inefficiency at the first level over that at the last, at the largest distance.
    Gain,
}

/// What the two estimators know.
struct Information {
    /// I.
    likelihood: f64,
    /// H.
    curvature: f64,
    /// V.
    noise: f64,
}

impl Table for Efficiency {
    table_fields!("efficiency");

    fn check(&self, place: &Place) -> Result<(), Error> {
        if !(0.0 < self.weight && self.weight < 1.0) {
            let rule = "it is the share of one of two modes: give one in (0, 1)";
            return Err(place.refuse("weight", self.weight, rule));
        }
        place.positive("variance", self.variance)?;
        place.count("nodes", self.nodes, 100, 1_000_000)?;
        for (name, list) in [("halves", &self.halves), ("sigmas", &self.sigmas)] {
            place.count(&format!("number of {name}"), list.len(), 2, 1000)?;
            for &value in list {
                place.non_negative(name, value)?;
            }
            if let Some(pair) = list.windows(2).find(|pair| pair[1] <= pair[0]) {
                let rule = format!("they rise, and the one before is {}: sort them", pair[0]);
                return Err(place.refuse(name, pair[1], &rule));
            }
        }
        place.positive("halves", self.halves[0])?;
        let half = self.halves[self.halves.len() - 1];
        let deepest = half * half / (self.variance + self.sigmas[0].powi(2));
        if 600.0 <= deepest {
            let rule = "the valley between the modes is below e^-300: bring them nearer";
            return Err(place.refuse("halves", half, rule));
        }
        for &half in &self.halves {
            let modes = ("halves", half.to_string());
            has_gap(place, &self.data(half), self.sigmas[0], self.nodes, modes)?;
        }
        Ok(())
    }

    fn measure(&self, _seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "asymptotic variance of score matching over that of maximum likelihood, for the weight of two modes; λ₁ is the spectral gap",
            parameters: format!("weight {}, variance {}", self.weight, self.variance),
            ..Measured::default()
        };
        let shown = |measured: &mut Measured, what: String, value: f64| {
            measured.expected(what, Number::exact(value), None, self.tolerance);
        };
        let mut points = Vec::new();
        let last = self.halves.len() - 1;
        let mut gain = [0.0; 2];
        for (place, &half) in self.halves.iter().enumerate() {
            measured.group = format!("modes at ±{half}");
            let data = self.data(half);
            let levels = if place == last { self.sigmas.len() } else { 1 };
            for &sigma in &self.sigmas[..levels] {
                let information = self.information(half, sigma);
                let ratio = information.inefficiency();
                let gap = spectral_gap(&data, sigma, self.nodes).expect("it was checked");
                shown(&mut measured, format!("inefficiency at σ = {sigma}"), ratio);
                let share = information.likelihood / information.curvature;
                let used = Number {
                    error: gap.error * share,
                    ..Number::exact(gap.value * share)
                };
                let what = format!("share of Poincaré's constant used, λ₁ I/H at σ = {sigma}");
                measured.at_most(what, used, 1.0);
                if sigma == self.sigmas[0] {
                    points.push((-gap.value.ln(), ratio.ln()));
                    gain[0] = ratio.log10();
                }
                gain[1] = ratio.log10();
            }
        }
        measured.group.clear();
        let exponent = slope(&points).unwrap_or(f64::NAN);
        let what = "power of 1/λ₁ in the inefficiency, over the distances";
        shown(&mut measured, what.to_owned(), exponent);
        shown(
            &mut measured,
            "log₁₀ inefficiency, first − last level".to_owned(),
            gain[0] - gain[1],
        );
        for claim in &self.claims {
            let EfficiencyMeasure::Gain = claim.measure;
            let words = "log₁₀ inefficiency, first − last level";
            measured.found.push(Found::exact(words, gain[0] - gain[1]));
        }
        measured
    }
}

impl Efficiency {
    fn data(&self, half: f64) -> GaussianMixture {
        let weights = [self.weight, 1.0 - self.weight];
        on_a_line(&weights, &[half, -half], &Variances::Equal(self.variance))
    }

    fn information(&self, half: f64, sigma: f64) -> Information {
        let v = self.variance + sigma * sigma;
        let share = self.weight;
        // Both logistic functions of x: r = 1/(1 + e^−z), z = ln(π/(1 − π)) + 2 h x/v.
        let (rate, scale) = (2.0 * half / v, share * (1.0 - share));
        let reach = half + 12.0 * v.sqrt();
        let points = 40_000;
        let step = 2.0 * reach / f64::from(points);
        let (mut likelihood, mut curvature, mut noise) = (0.0, 0.0, 0.0);
        for i in 0..=points {
            let x = f64::from(i) * step - reach;
            let normal = |mean: f64| (-(x - mean).powi(2) / (2.0 * v)).exp();
            let p = share * normal(half) + (1.0 - share) * normal(-half);
            let z = (share / (1.0 - share)).ln() + rate * x;
            let r = 1.0 / (1.0 + (-z).exp());
            let s = 1.0 / (1.0 + z.exp());
            let u = likelihood_slope(rate * x, share);
            let slope = r * s * rate / scale;
            let bend = r * s * (s - r) * rate * rate / scale;
            let score = (r * half - s * half - x) / v;
            likelihood += p * u * u;
            curvature += p * slope * slope;
            noise += p * (score * slope + bend).powi(2);
        }
        let norm = step / (2.0 * std::f64::consts::PI * v).sqrt();
        Information {
            likelihood: likelihood * norm,
            curvature: curvature * norm,
            noise: noise * norm,
        }
    }
}

/// u at δ = 2 h x/v: (r − π)/(π (1 − π)) = (1 − e^−δ)/(π + (1 − π) e^−δ), without a difference of two that are nearly one.
fn likelihood_slope(delta: f64, share: f64) -> f64 {
    if delta < 0.0 {
        return -likelihood_slope(-delta, 1.0 - share);
    }
    -(-delta).exp_m1() / (share + (1.0 - share) * (-delta).exp())
}

impl Information {
    fn inefficiency(&self) -> f64 {
        self.likelihood * self.noise / (self.curvature * self.curvature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(weight: f64) -> Efficiency {
        Efficiency {
            name: "e".to_owned(),
            about: Vec::new(),
            weight,
            variance: 1.0,
            halves: vec![1.0, 2.0],
            sigmas: vec![0.0, 1.0],
            nodes: 400,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn where_the_modes_merge_both_estimators_are_the_mean() {
        let information = table(0.3).information(0.01, 0.0);
        // u is 2 h x/v to first order, so I = 4 h²/v = H v.
        assert!((information.likelihood / 4e-4 - 1.0).abs() < 1e-3);
        assert!((information.curvature / 4e-4 - 1.0).abs() < 1e-3);
        assert!((information.inefficiency() - 1.0).abs() < 1e-3);
        // However near: at h = 1e-30 nothing but the mean is left.
        for weight in [1e-9, 0.3, 0.9] {
            let near = table(weight).information(1e-30, 0.0).inefficiency();
            assert!((near - 1.0).abs() < 1e-12, "{weight}: {near}");
        }
        let [r, s] = [0.7_f64, 0.3];
        assert!((likelihood_slope((r / s).ln(), 0.5) - (r - s) / 0.5).abs() < 1e-15);
        assert!((likelihood_slope(-800.0, 0.25) + 4.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn where_they_are_far_apart_maximum_likelihood_counts_them() {
        let weight = 0.3;
        let information = table(weight).information(6.0, 0.0);
        // The variance of a count, π (1 − π), is 1/I.
        assert!((information.likelihood * weight * (1.0 - weight) - 1.0).abs() < 1e-4);
        assert!(1e5 < information.inefficiency());
    }

    #[test]
    fn equal_modes_have_known_moments() {
        // Against sums over a coarse grid of another form: r(1 − r) = 1/(4 cosh²(h x)) for v = 1, π = 1/2.
        let half = 1.3;
        let density = |x: f64| {
            let normal = |m: f64| (-0.5 * (x - m).powi(2)).exp();
            0.5 * (normal(half) + normal(-half)) / (2.0 * std::f64::consts::PI).sqrt()
        };
        let step = 0.01;
        let sum = |f: &dyn Fn(f64) -> f64| {
            let at = |i: i32| f64::from(i) * step;
            (-1500..=1500)
                .map(|i| density(at(i)) * f(at(i)) * step)
                .sum::<f64>()
        };
        let information = table(0.5).information(half, 0.0);
        let likelihood = sum(&|x| 4.0 * (half * x).tanh().powi(2));
        assert!((information.likelihood - likelihood).abs() < 1e-9);
        let curvature = sum(&|x| (2.0 * half / (half * x).cosh().powi(2)).powi(2));
        assert!((information.curvature - curvature).abs() < 1e-9);
        // s u' + u'' with s = h tanh(h x) − x, u' = 2 h sech², u'' = −4 h² sech² tanh.
        let noise = sum(&|x| {
            let (t, sech) = ((half * x).tanh(), (half * x).cosh().powi(-2));
            let first = (half * t - x) * 2.0 * half * sech;
            (first - 4.0 * half * half * sech * t).powi(2)
        });
        assert!((information.noise - noise).abs() < 1e-9);
    }
}
