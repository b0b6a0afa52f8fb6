//! How long a frequency band takes to be learned, by its variance: the order in which a denoiser learns.
//!
//! Wang & Pehlevan 2025: the time is about 1/λ for linear denoisers under gradient descent.

use ndarray::{Array1, Array2};
use rand::Rng;
use rand_distr::StandardNormal;
use score_objective::exact::{ExactScore, Gaussian};
use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric, adam::Adam};
use crate::{
    error::Error,
    exact::place::Place,
    fit::slope,
    stream::{Role, Stream},
    summary::Better,
};

/// A linear denoiser for each band, at the noise level that equals the band (σ² = λ), where it is decided whether the
/// band appears in samples; its time is the step at which the denoiser's gain in the band is nine tenths of the best, ½.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// How the denoiser is trained; the loss is a mean over the noise in closed form.
    pub optimiser: BandOptimiser,
    /// Variances λ of the bands.
    pub variances: Vec<f64>,
    /// Dimensions of each band.
    pub multiplicity: usize,
    /// Data points; all of them are in every step.
    pub points: usize,
    /// Learning rate.
    pub rate: f64,
    /// Steps after which a band is given up.
    pub budget: u64,
}

/// How the denoiser is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BandOptimiser {
    /// w ← w − rate · gradient.
    Descent,
    /// Adam, which gives every weight the same speed in a basis of its own.
    Adam,
}

/// *Ranges*: `slope` real, from two learned bands on; `time_ratio` up to log₁₀ of the budget over the strongest band's time;
/// `learned` in `[0, 1]`.
/// *Misleading*: a band that was not learned is left out of `slope`, and makes of `time_ratio` a lower bound: read `learned`
/// first. Times are of one gain, nine tenths of the best, and depend on it. Adam's are those of weights
/// in a basis of its own.
/// *Source*: Wang & Pehlevan 2025 for the law; the threshold is defined here.
const METRICS: &[Metric] = &[
    Metric {
        name: "slope",
        unit: "",
        meaning: "slope of log10 time over log10 λ, over the bands that were learned within the budget; −1 is time ~ 1/λ, 0 is equal time",
        better: Better::Descriptive,
        worst: None,
    },
    Metric {
        name: "time_ratio",
        unit: "decades",
        meaning: "log10 time of the weakest band − of the strongest; the budget counts where a band was not learned",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "learned",
        unit: "",
        meaning: "share of the bands that were learned within the budget",
        better: Better::Higher,
        worst: Some(0.0),
    },
];

impl Measurement for Bands {
    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("number of variances", self.variances.len(), 2, 100)?;
        for &variance in &self.variances {
            place.positive("variances", variance)?;
        }
        if let Some(pair) = self.variances.windows(2).find(|pair| pair[0] <= pair[1]) {
            return Err(place.refuse("variances", pair[1], "they fall: sort them"));
        }
        place.count("multiplicity", self.multiplicity, 1, 100)?;
        place.count("points", self.points, 2, 1_000_000)?;
        place.positive("rate", self.rate)?;
        place.count("budget", self.budget as usize, 1, 10_000_000)
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        false
    }

    fn seconds(&self) -> f64 {
        let dim = self.variances.len() * self.multiplicity;
        5e-10 * (dim.pow(3) * self.variances.len()) as f64 * self.budget as f64
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        let dim = self.variances.len() * self.multiplicity;
        let spectrum = Array1::from_shape_fn(dim, |i| self.variances[i / self.multiplicity]);
        // A basis in which no weight is a band's own, and the same one without the spectrum.
        let mut rng = stream.at(Role::Data, u64::MAX);
        let normal = Array2::from_shape_simple_fn((dim, dim), || rng.sample(StandardNormal));
        let basis = super::reconditioning::orthonormal(&normal);
        let data = Gaussian::with_spectrum(spectrum)
            .and_then(|data| data.in_basis(basis.clone()))
            .expect("it was checked");
        let x = data.draw(self.points, &mut stream.at(Role::Data, 0));
        let covariance = x.t().dot(&x) / self.points as f64;
        let times: Vec<Option<u64>> = (0..self.variances.len())
            .map(|band| {
                let from = band * self.multiplicity;
                let own = basis.slice(ndarray::s![.., from..from + self.multiplicity]);
                self.time(&covariance, self.variances[band], &own.to_owned())
            })
            .collect();
        let points: Vec<(f64, f64)> = self
            .variances
            .iter()
            .zip(&times)
            .filter_map(|(variance, time)| {
                time.map(|time| (variance.log10(), (time.max(1) as f64).log10()))
            })
            .collect();
        let log_time = |time: &Option<u64>| (time.unwrap_or(self.budget).max(1) as f64).log10();
        found.set("learned", points.len() as f64 / times.len() as f64);
        found.set(
            "time_ratio",
            log_time(&times[times.len() - 1]) - log_time(&times[0]),
        );
        if let Some(slope) = slope(&points) {
            found.set("slope", slope);
        }
        found.curve(
            "time_by_variance",
            ["variance of the band, log10", "steps to learn it, log10"],
            false,
            &points,
        );
        Ok(())
    }
}

impl Bands {
    /// The step at which E ‖W x − x₀‖² under x = x₀ + ε √λ has brought tr(Eᵀ W E) to 9/20 of its dimensions.
    fn time(&self, covariance: &Array2<f64>, variance: f64, own: &Array2<f64>) -> Option<u64> {
        let dim = covariance.nrows();
        let noised = covariance + &(Array2::<f64>::eye(dim) * variance);
        let mut weights = Array2::zeros((dim, dim));
        let mut adam = Adam::default();
        for step in 0..=self.budget {
            let gain = (own * &weights.dot(own)).sum() / own.ncols() as f64;
            if 0.45 <= gain {
                return Some(step);
            }
            let gradient = weights.dot(&noised) - covariance;
            match self.optimiser {
                BandOptimiser::Descent => weights.scaled_add(-self.rate, &gradient),
                BandOptimiser::Adam => adam.step(weights.iter_mut().zip(&gradient), self.rate),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::record, *};

    fn numbers(experiment: &Bands, seed: u32) -> std::collections::BTreeMap<String, f64> {
        record(experiment.clone(), seed).values
    }

    fn small(optimiser: BandOptimiser) -> Bands {
        Bands {
            optimiser,
            variances: vec![1.0, 0.3, 0.1, 0.03],
            multiplicity: 2,
            points: 20_000,
            rate: 0.02,
            budget: 20_000,
        }
    }

    /// The gain is ½ (1 − (1 − 2 λ rate)^t), so the time is ln 0.1/ln(1 − 2 λ rate).
    #[test]
    fn under_gradient_descent_the_time_is_one_over_the_variance() {
        let numbers = numbers(&small(BandOptimiser::Descent), 1);
        assert!((numbers["slope"] + 1.0).abs() < 0.03, "{numbers:?}");
        let wanted = ((1.0 - 0.04_f64).ln() / (1.0 - 0.0012_f64).ln()).log10();
        assert!((numbers["time_ratio"] - wanted).abs() < 0.05, "{numbers:?}");
    }

    #[test]
    fn adam_takes_some_of_the_order_away() {
        let adam = Bands {
            rate: 1e-3,
            ..small(BandOptimiser::Adam)
        };
        let numbers = numbers(&adam, 1);
        assert!(-0.8 < numbers["slope"], "{numbers:?}");
    }
}
