//! When the modes of Gaussian data emerge in what a linear denoiser generates, while it is trained.

use serde::Deserialize;

use super::{
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::{error::Error, fit::slope};

/// Gradient flow of linear denoisers D(x) = W x, one per noise level, from W = 0, and the samples of their probability
/// flow (Wang and Pehlevan 2025).
///
/// Along an eigenvector of the data's covariance with eigenvalue λ the flow of E‖W (x₀ + σ ε) − x₀‖² has
/// w(t) = λ/(λ + σ²) · (1 − e^(−2 (λ + σ²) t)), and the probability flow dx/dσ = (x − w x)/σ from σ_max to σ_min turns
/// the variance σ_max² into σ_max² exp(−2 ∫ (1 − w) dσ/σ): σ_min² at t = 0, λ at the end.
/// A mode emerges at the time τ at which its variance is the geometric mean of those two; the law is τ ∝ 1/λ.
///
/// Range: τ in (0, ∞), the power in ℝ, −1 by the law; the power is invariant to the scale of x and σ together.
/// It misleads for networks with a bias of their own towards some modes, as convolutions have, and under Adam.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emergence {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// λ, rising, above σ_min².
    pub eigenvalues: Vec<f64>,
    /// σ_min and σ_max.
    pub sigmas: [f64; 2],
    /// The power of λ that is expected.
    pub power: Option<Expected>,
    /// Around the expected power.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

impl Table for Emergence {
    table_fields!("emergence");

    fn check(&self, place: &Place) -> Result<(), Error> {
        let [least, most] = self.sigmas;
        place.positive("sigmas[0]", least)?;
        if most <= least || !most.is_finite() {
            let rule = format!("levels rise from {least}: give a larger one");
            return Err(place.refuse("sigmas[1]", most, &rule));
        }
        place.count("number of eigenvalues", self.eigenvalues.len(), 2, 1000)?;
        let mut before = least * least;
        for &eigenvalue in &self.eigenvalues {
            if eigenvalue <= before || most * most <= eigenvalue {
                let rule = format!(
                    "they rise between the smallest and the largest level squared, and here above {before}: sort them"
                );
                return Err(place.refuse("eigenvalues", eigenvalue, &rule));
            }
            before = eigenvalue;
        }
        Ok(())
    }

    fn measure(&self, _seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "time of gradient flow after which a mode of variance λ emerges in the samples",
            parameters: format!("σ from {} to {}", self.sigmas[0], self.sigmas[1]),
            ..Measured::default()
        };
        let mut points = Vec::new();
        for &eigenvalue in &self.eigenvalues {
            let time = self.time(eigenvalue);
            points.push((eigenvalue.ln(), time.ln()));
            let what = format!("time at λ = {eigenvalue}");
            measured.expected(what, Number::exact(time), None, self.tolerance);
        }
        let power = Number::exact(slope(&points).unwrap_or(f64::NAN));
        measured.expected("power of λ in the time", power, self.power, self.tolerance);
        measured
    }
}

impl Emergence {
    /// ln of the generated variance at time t.
    fn log_variance(&self, eigenvalue: f64, time: f64) -> f64 {
        const POINTS: usize = 2000;
        let [least, most] = self.sigmas.map(f64::ln);
        let step = (most - least) / POINTS as f64;
        let missing = |i: usize| {
            let sigma = (least + (i as f64 + 0.5) * step).exp();
            1.0 - gain(eigenvalue, sigma, time)
        };
        2.0 * most - 2.0 * (0..POINTS).map(missing).sum::<f64>() * step
    }

    /// τ.
    fn time(&self, eigenvalue: f64) -> f64 {
        let half = 0.5 * (2.0 * self.sigmas[0].ln() + self.log_variance(eigenvalue, f64::INFINITY));
        // In logarithms of the time in units of 1/λ.
        let (mut low, mut high) = (-60.0_f64, 60.0_f64);
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if self.log_variance(eigenvalue, middle.exp() / eigenvalue) < half {
                low = middle;
            } else {
                high = middle;
            }
        }
        (0.5 * (low + high)).exp() / eigenvalue
    }
}

/// w(t).
fn gain(eigenvalue: f64, sigma: f64, time: f64) -> f64 {
    let rate = eigenvalue + sigma * sigma;
    -eigenvalue / rate * (-2.0 * rate * time).exp_m1()
}

#[cfg(test)]
mod tests {
    use learnability::index::jain;
    use ndarray::{Array1, Array2, array};

    use super::*;

    /// Gradient descent of a whole matrix whose modes are not its axes: what a mode misses falls by 2 (λ + σ²) of itself
    /// in each step, from a gradient that is −2 λ whatever the noise, and w(t) is its limit of small steps.
    #[test]
    fn the_modes_of_a_matrix_converge_at_the_rates_of_their_eigenvalues() {
        const STEPS: u32 = 200;
        let eigenvalues = array![0.2, 1.0, 3.0];
        let mirror: Array2<f64> = array![[2.0], [1.0], [2.0]] / 3.0;
        let identity: Array2<f64> = Array2::eye(3);
        let basis = &identity - &(mirror.dot(&mirror.t()) * 2.0);
        let covariance = basis.dot(&Array2::from_diag(&eigenvalues)).dot(&basis.t());
        let modes = |w: &Array2<f64>| basis.t().dot(w).dot(&basis).diag().to_owned();
        for sigma in [0.1, 1.0, 10.0] {
            let second = &covariance + &(&identity * (sigma * sigma));
            let gradient = |w: &Array2<f64>| 2.0 * (w.dot(&second) - &covariance);
            let best = eigenvalues.mapv(|e| e / (e + sigma * sigma));
            let mut w: Array2<f64> = Array2::zeros((3, 3));
            let at_start = modes(&gradient(&w));
            assert!(
                (at_start + 2.0 * &eigenvalues)
                    .iter()
                    .all(|g| g.abs() < 1e-12)
            );
            let step = 1e-3 / (3.0 + sigma * sigma);
            let factor = eigenvalues.mapv(|e| 1.0 - 2.0 * step * (e + sigma * sigma));
            for _ in 0..STEPS {
                let missing = &best - &modes(&w);
                w = &w - &(gradient(&w) * step);
                let left = &best - &modes(&w);
                let off = &left / &missing - &factor;
                assert!(off.iter().all(|off| off.abs() < 1e-9), "{off}");
            }
            let time = f64::from(STEPS) * step;
            let flow: Array1<f64> = eigenvalues.mapv(|e| gain(e, sigma, time));
            let off = (modes(&w) - &flow) / &best;
            assert!(off.iter().all(|off| off.abs() < 1e-3), "{off}");
        }
    }

    /// Jain's index of the rates is 1/(1 + CV²), CV = std λ/(mean λ + σ²): noise makes modes equally fast.
    #[test]
    fn noise_shares_out_the_rates() {
        let eigenvalues = [0.01, 0.1, 1.0, 10.0];
        let mean = eigenvalues.iter().sum::<f64>() / 4.0;
        let variance = eigenvalues.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 4.0;
        let share = |sigma: f64| {
            let time = 0.1 / (mean + sigma * sigma);
            let rate = |e: f64| {
                let best = gain(e, sigma, f64::INFINITY);
                -(-gain(e, sigma, time) / best).ln_1p() / (2.0 * time)
            };
            jain(&eigenvalues.map(rate)).expect("rates are above 0")
        };
        let mut before = 0.0;
        for sigma in [0.0, 1.0, 3.0, 10.0, 1000.0] {
            let closed = 1.0 / (1.0 + variance / (mean + sigma * sigma).powi(2));
            assert!(
                (share(sigma) - closed).abs() < 1e-9,
                "{sigma}: {}",
                share(sigma)
            );
            assert!(before < share(sigma));
            before = share(sigma);
        }
        assert!(1.0 - before < 1e-9, "{before}");
        // What they begin with is not shared out: it is proportional to λ at every level.
        for sigma in [0.0, 1000.0] {
            let start = eigenvalues.map(|e| gain(e, sigma, 1e-12) / 1e-12);
            let mut off = start
                .iter()
                .zip(eigenvalues)
                .map(|(g, e)| g / (2.0 * e) - 1.0);
            assert!(off.all(|off| off.abs() < 1e-5), "{start:?}");
        }
    }

    fn table() -> Emergence {
        Emergence {
            name: "e".to_owned(),
            about: Vec::new(),
            eigenvalues: vec![0.1, 1.0],
            sigmas: [0.01, 100.0],
            power: None,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn an_untrained_denoiser_leaves_the_last_level_and_a_trained_one_makes_the_data() {
        let table = table();
        assert!((table.log_variance(1.0, 0.0) - 2.0 * 0.01_f64.ln()).abs() < 1e-9);
        // σ_max² (λ + σ_min²)/(λ + σ_max²).
        let end = 1e4 * (1.0 + 1e-4) / (1.0 + 1e4);
        assert!((table.log_variance(1.0, f64::INFINITY) - f64::ln(end)).abs() < 1e-5);
        let time = table.time(1.0);
        let half = 0.5 * (table.log_variance(1.0, 0.0) + f64::ln(end));
        assert!((table.log_variance(1.0, time) - half).abs() < 1e-6);
    }

    #[test]
    fn where_levels_and_eigenvalues_scale_together_so_does_the_time() {
        let mut other = table();
        other.sigmas = [0.1, 1000.0];
        assert!((other.time(100.0) / table().time(1.0) * 100.0 - 1.0).abs() < 1e-6);
        // However small or large: by 1e±17, and λ by its square.
        for scale in [1e-17, 1e17] {
            other.sigmas = [0.01 * scale, 100.0 * scale];
            let time = other.time(scale * scale) * scale * scale;
            assert!(
                (time / table().time(1.0) - 1.0).abs() < 1e-6,
                "{scale}: {time}"
            );
        }
    }
}
