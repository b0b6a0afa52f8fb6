//! How long it takes to learn the weights of two modes by score matching, at each noise level.
//!
//! Wenliang & Kanagawa 2020, Zhang et al. 2022: a score hardly sees the weights of modes that are far apart.

use ndarray::{Array1, array};
use score_objective::exact::{GaussianMixture, fisher_divergence};
use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric};
use crate::{error::Error, exact::place::Place, fit::slope, stream::Stream, summary::Better};

/// Gradient flow on σ^power · ½ FD(p, p_w) in w, the logit of the first weight, from ½ to nine tenths of the way to the
/// true weight; FD is the Fisher divergence, the excess of (denoising) score matching. Exact but for quadrature.
///
/// Two modes N(±distance/2, 1), of which only the weights are not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeWeight {
    /// Between the modes.
    pub distance: f64,
    /// The true weight of the first, above ½.
    pub weight: f64,
    /// Noise levels, rising; the first stands for learning without noise.
    pub levels: Vec<f64>,
    /// 0 for the loss of the score, 2 for that of the noise (NCSN's).
    pub power: f64,
}

/// *Ranges*: `time_saved` in `[0, ∞)`, since the first level is one of them; `slope` real; `best_level` one of the levels.
/// *Misleading*: the weights alone are learned, of modes whose shapes are known, on an exact loss: a network learns all at
/// once, from samples. Time is that of the flow in the logit; in another parameter it is another.
/// *Source*: Wenliang & Kanagawa 2020 for the blindness; the time is defined here.
const METRICS: &[Metric] = &[
    Metric {
        name: "time_saved",
        unit: "decades",
        meaning: "log10 of the time at the first level − at the best one",
        better: Better::Higher,
        worst: None,
    },
    Metric {
        name: "slope",
        unit: "",
        meaning: "slope of log10 time over log10 of what the score says of the weights, the weighted FD at the start",
        better: Better::Descriptive,
        worst: None,
    },
    Metric {
        name: "best_level",
        unit: "",
        meaning: "the level at which the weights are learned fastest",
        better: Better::Descriptive,
        worst: None,
    },
];

/// Points of the midpoint rule over the way of w.
const POINTS: usize = 48;

impl Measurement for ModeWeight {
    fn check(&self, place: &Place) -> Result<(), Error> {
        place.positive("distance", self.distance)?;
        if 20.0 < self.distance {
            let rule =
                "the valley between modes that far apart is below what f64 holds: give 20 or less";
            return Err(place.refuse("distance", self.distance, rule));
        }
        if self.weight <= 0.5 || 1.0 <= self.weight {
            let rule = "it is the larger weight of two: give more than 0.5 and less than 1";
            return Err(place.refuse("weight", self.weight, rule));
        }
        place.count("number of levels", self.levels.len(), 2, 100)?;
        for &sigma in &self.levels {
            place.non_negative("levels", sigma)?;
        }
        if let Some(pair) = self.levels.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(place.refuse("levels", pair[1], "levels rise: sort them"));
        }
        place.non_negative("power", self.power)?;
        if 0.0 < self.power && self.levels[0] == 0.0 {
            let rule = "a power of σ weighs no noise as nothing: begin above 0";
            return Err(place.refuse("levels", 0.0, rule));
        }
        Ok(())
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        false
    }

    fn seconds(&self) -> f64 {
        2e-3 * (POINTS * self.levels.len()) as f64
    }

    fn run(&self, _: &Stream, found: &mut Found) -> Result<(), Error> {
        let times: Vec<f64> = self.levels.iter().map(|&sigma| self.time(sigma)).collect();
        let mut best = 0;
        for (index, time) in times.iter().enumerate() {
            if *time < times[best] {
                best = index;
            }
        }
        found.set("time_saved", (times[0] / times[best]).log10());
        found.set("best_level", self.levels[best]);
        let points: Vec<(f64, f64)> = self
            .levels
            .iter()
            .zip(&times)
            .map(|(&sigma, time)| (2.0 * self.loss(sigma, 0.0), time))
            .map(|(audible, time)| (audible.log10(), time.log10()))
            .collect();
        if let Some(slope) = slope(&points) {
            found.set("slope", slope);
        }
        let by_level = self.levels.iter().zip(&times);
        let by_level: Vec<(f64, f64)> = by_level.map(|(&s, time)| (s, time.log10())).collect();
        found.curve(
            "time_by_sigma",
            ["noise level sigma", "time to learn the weights, log10"],
            false,
            &by_level,
        );
        Ok(())
    }
}

impl ModeWeight {
    /// ∫ dw/(−L′(w)) from ½ to nine tenths of the way.
    fn time(&self, sigma: f64) -> f64 {
        let logit = |p: f64| (p / (1.0 - p)).ln();
        let end = logit(0.5 + 0.9 * (self.weight - 0.5));
        let step = end / POINTS as f64;
        let pull = |w: f64| {
            let h = 1e-4;
            (self.loss(sigma, w - h) - self.loss(sigma, w + h)) / (2.0 * h)
        };
        (0..POINTS)
            .map(|i| step / pull((i as f64 + 0.5) * step))
            .sum()
    }

    /// σ^power ½ FD of the true weights from those of logit w.
    fn loss(&self, sigma: f64, w: f64) -> f64 {
        let modes = |weight: f64| {
            let half = 0.5 * self.distance;
            let weights: Array1<f64> = array![weight, 1.0 - weight];
            GaussianMixture::new(weights, array![[half], [-half]], 1.0).expect("it was checked")
        };
        let divergence =
            fisher_divergence(&modes(self.weight), &modes(1.0 / (1.0 + (-w).exp())), sigma);
        0.5 * sigma.powf(self.power) * divergence.expect("mixtures on a line").value
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::record, *};

    fn small(power: f64) -> ModeWeight {
        ModeWeight {
            distance: 10.0,
            weight: 0.8,
            levels: vec![0.5, 1.0, 2.0],
            power,
        }
    }

    /// By Euler's method on the same flow.
    #[test]
    fn the_time_is_that_of_gradient_descent() {
        let modes = small(0.0);
        let wanted = modes.time(2.0);
        let (mut w, mut time, rate) = (0.0, 0.0, wanted / 400.0);
        while 1.0 / (1.0 + f64::exp(-w)) < 0.77 {
            w -= rate * (modes.loss(2.0, w + 1e-4) - modes.loss(2.0, w - 1e-4)) / 2e-4;
            time += rate;
        }
        assert!(
            (time / wanted - 1.0).abs() < 0.02,
            "{time} against {wanted}"
        );
    }

    #[test]
    fn noise_makes_weights_audible_and_the_time_follows() {
        let numbers = record(small(0.0), 0).values;
        assert!((numbers["slope"] + 1.0).abs() < 0.1, "{numbers:?}");
        assert!(0.5 < numbers["time_saved"], "{numbers:?}");
        // A weight of σ² favours the large levels.
        let weighted = record(small(2.0), 0).values;
        assert!(
            numbers["time_saved"] < weighted["time_saved"],
            "{weighted:?}"
        );
    }
}
