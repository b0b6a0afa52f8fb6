//! The weighting whose loss is a bound on the negative log-likelihood.

use noise_schedule::{Kernel, NoiseSchedule};

use super::Weighting;

/// ½ snr (−d ln snr/dt): the weight under which the loss at a uniform time bounds −log p(x₀), up to terms at the ends.
///
/// It is ½ g² on the score (likelihood weighting; Song, Durkan, Murray and Ermon 2021, theorem 1) and ½ γ′ on ε with
/// γ = −ln snr (Kingma, Salimans, Poole and Ho 2021).
/// Per unit of log-SNR it is ½ snr whatever the schedule, so that the bound depends on the schedule by its ends only:
/// for levels that are not drawn at uniform times use [`PerLogSnr`](super::PerLogSnr) of half of [`Snr`](super::Snr).
/// The terms at the ends are in [`variational`](crate::variational).
/// Infinite at σ = 0, 0 at α = 0 while the rates are finite there.
///
/// ```
/// use noise_schedule::{LogSnrLinear, NoiseSchedule};
/// use score_objective::{Epsilon, Likelihood, Weighting};
///
/// // A linear log-SNR has the same weight on ε at all times: half its range.
/// let schedule = LogSnrLinear::new(10.0, -6.0).unwrap();
/// let weight = Likelihood::new(schedule).on(&Epsilon::unit(), schedule.kernel(0.3));
/// assert!((weight - 8.0).abs() < 1e-9);
/// ```
#[doc(alias = "likelihood_weighting")]
#[doc(alias = "VDM")]
#[doc(alias = "ELBO")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood<S> {
    schedule: S,
}

impl<S: NoiseSchedule> Likelihood<S> {
    /// The weighting for times of this schedule, uniform in \[0, 1\].
    ///
    /// For times between `from` and `to` the bound is the mean loss times (to − from).
    pub fn new(schedule: S) -> Likelihood<S> {
        Likelihood { schedule }
    }
}

impl<S: NoiseSchedule> Weighting for Likelihood<S> {
    fn weight(&self, k: Kernel) -> f64 {
        if k.sigma() == 0.0 {
            return f64::INFINITY;
        }
        let t = self.schedule.time_at(k.log_snr());
        let (at, rates) = (self.schedule.kernel(t), self.schedule.rates(t));
        // snr (sigma'/sigma - alpha'/alpha), without its division by alpha.
        let ratio = at.alpha() / at.sigma();
        ratio * (ratio * (rates.sigma / at.sigma()) - rates.alpha / at.sigma())
    }
}
