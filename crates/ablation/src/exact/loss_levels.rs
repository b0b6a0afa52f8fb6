//! The least that a denoiser can lose, noise level by noise level, in EDM's units.

use noise_schedule::Kernel;
use score_objective::{EdmWeight, Weighting};
use serde::Deserialize;

use super::{
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::error::Error;

/// The loss of the best denoiser of Gaussian images, weighted as EDM weighs it (Karras et al. 2022, figure 5a).
///
/// The images are stationary Gaussian fields of side × side pixels with the power 1/(1 + ‖k‖²)^(a/2) at the frequency k,
/// and standard deviation s per pixel.
/// The best denoiser loses λ σ²/(λ + σ²) along each eigenvector, the mean of which times (σ² + s²)/(σ s)² is at most 1,
/// with equality for white noise: 1 is what a network loses that answers nothing.
/// At the smallest levels noise cannot be told from detail, at the largest the image from its mean; only in between is
/// there anything to gain, and that is where EDM trains, ln σ ~ N(−1.2, 1.2²).
///
/// Range: \[0, 1\]; invariant to the scale of x, s and σ together.
/// It misleads as a training curve: it is what cannot be learned, not how long the rest takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossLevels {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Pixels per side.
    pub side: usize,
    /// a.
    pub exponent: f64,
    /// s.
    pub data_std: f64,
    /// The smallest and the largest level.
    pub sigmas: [f64; 2],
    /// Of the identities.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

impl Table for LossLevels {
    table_fields!("loss_levels");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("side", self.side, 1, 4096)?;
        place.non_negative("exponent", self.exponent)?;
        place.positive("data_std", self.data_std)?;
        place.positive("sigmas[0]", self.sigmas[0])?;
        if self.sigmas[1] <= self.sigmas[0] || !self.sigmas[1].is_finite() {
            let rule = format!("levels rise from {}: give a larger one", self.sigmas[0]);
            return Err(place.refuse("sigmas[1]", self.sigmas[1], &rule));
        }
        Ok(())
    }

    fn measure(&self, _seed: u64) -> Measured {
        let spectrum = self.spectrum();
        let mut measured = Measured {
            meaning: "the least that a denoiser loses at a noise level, with EDM's weight: 1 is the loss of answering nothing",
            parameters: format!(
                "{0} × {0} pixels, power law {1}, data_std {2}, σ from {3} to {4}",
                self.side, self.exponent, self.data_std, self.sigmas[0], self.sigmas[1]
            ),
            ..Measured::default()
        };
        const POINTS: usize = 400;
        let [first, last] = self.sigmas.map(f64::ln);
        let at = |i: usize| first + (last - first) * i as f64 / POINTS as f64;
        let losses: Vec<(f64, f64)> = (0..=POINTS)
            .map(|i| (at(i), self.loss(&spectrum, at(i).exp())))
            .collect();
        let best = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let &(log_sigma, least) = best.expect("there are levels");
        let largest = losses.iter().map(|(_, loss)| *loss).fold(0.0, f64::max);
        measured.at_most("largest loss", Number::exact(largest), 1.0);
        for (what, value) in [
            ("loss at the smallest level", losses[0].1),
            ("least loss", least),
            ("loss at the largest level", losses[POINTS].1),
            ("ln σ of the least loss", log_sigma),
            (
                "share of what can be gained at levels that EDM trains, ln σ = −1.2 ± 2.4",
                self.share(&losses),
            ),
        ] {
            measured.expected(what, Number::exact(value), None, self.tolerance);
        }
        measured
    }
}

impl LossLevels {
    /// Eigenvalues of the covariance, of mean s².
    fn spectrum(&self) -> Vec<f64> {
        let side = self.side;
        let frequency = |k: usize| k.min(side - k) as f64;
        let mut spectrum: Vec<f64> = (0..side * side)
            .map(|place| {
                let square = frequency(place / side).powi(2) + frequency(place % side).powi(2);
                (1.0 + square).powf(-0.5 * self.exponent)
            })
            .collect();
        let mean = spectrum.iter().sum::<f64>() / spectrum.len() as f64;
        for eigenvalue in &mut spectrum {
            *eigenvalue *= self.data_std.powi(2) / mean;
        }
        spectrum
    }

    fn loss(&self, spectrum: &[f64], sigma: f64) -> f64 {
        let weighting = EdmWeight::new(self.data_std).expect("it was checked");
        let kernel = Kernel::new(1.0, sigma).expect("it was checked");
        let square = sigma * sigma;
        let errors = spectrum.iter().map(|l| l * square / (l + square));
        weighting.weight(kernel) * errors.sum::<f64>() / spectrum.len() as f64
    }

    /// Of 1 − loss over ln σ, within two standard deviations of EDM's levels; NaN where all of it is rounding.
    fn share(&self, losses: &[(f64, f64)]) -> f64 {
        let gain = |(_, loss): &&(f64, f64)| if 1e-12 < 1.0 - loss { 1.0 - loss } else { 0.0 };
        let all: f64 = losses.iter().map(|row| gain(&row)).sum();
        let trained = losses.iter().filter(|(x, _)| (x + 1.2).abs() <= 2.4);
        trained.map(|row| gain(&row)).sum::<f64>() / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(side: usize, exponent: f64) -> LossLevels {
        LossLevels {
            name: "l".to_owned(),
            about: Vec::new(),
            side,
            exponent,
            data_std: 0.5,
            sigmas: [0.002, 80.0],
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn white_images_leave_nothing_to_gain() {
        let table = table(6, 0.0);
        let spectrum = table.spectrum();
        assert!(spectrum.iter().all(|l| (l - 0.25).abs() < 1e-15));
        for sigma in [0.01, 0.5, 20.0] {
            assert!((table.loss(&spectrum, sigma) - 1.0).abs() < 1e-12);
        }
        let rows = table.measure(0).rows;
        let share = rows
            .iter()
            .find(|row| row.what.starts_with("share"))
            .unwrap();
        assert!(share.number.value.is_nan());
    }

    #[test]
    fn two_frequencies_have_the_loss_of_their_formula() {
        // Side 2: frequencies 0, 1, 1 and √2; power 1, ½, ½, ⅓ for a = 2.
        let table = table(2, 2.0);
        let spectrum = table.spectrum();
        let unit = 0.25 / ((1.0 + 0.5 + 0.5 + 1.0 / 3.0) / 4.0);
        assert!((spectrum[0] - unit).abs() < 1e-15 && (spectrum[3] - unit / 3.0).abs() < 1e-15);
        let mean = [1.0, 0.5, 0.5, 1.0 / 3.0].map(|p| p * unit / (p * unit + 1.0));
        let wanted = 5.0 * mean.iter().sum::<f64>() / 4.0;
        // σ = 1: the weight is (1 + ¼)/¼.
        assert!((table.loss(&spectrum, 1.0) - wanted).abs() < 1e-12);
    }
}
